#include "server/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"
#include "proto/net/loop.h"
#include "proto/tls/cert.h"

struct entry {
	struct entry *next;
	uint64_t id;
	struct session *session;
	struct loop *loop;
	char name[CERT_NAME_MAX + 24]; /* With marks for some: session_state.h. */
};

struct registry {
	pthread_mutex_t lock; /* Guards all below; held for no upcall. */
	pthread_cond_t left;
	struct entry *first;
	size_t count;
	uint64_t last_id;
};

/* Something to do on a session's loop, if the session still lives. */
struct errand {
	struct registry *registry;
	uint64_t id;
	void (*fn)(struct session *s, const struct err *why);
	struct err why;
};

struct registry *
registry_new(void)
{
	struct registry *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (r == NULL)
		return NULL;
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&r->left, &attr);
	(void)pthread_condattr_destroy(&attr);
	return r;
}

void
registry_free(struct registry *r)
{
	if (r == NULL)
		return;
	while (r->first != NULL) {
		struct entry *e = r->first;

		r->first = e->next;
		free(e);
	}
	(void)pthread_cond_destroy(&r->left);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

uint64_t
registry_enter(struct registry *r, struct session *s, struct loop *l)
{
	struct entry *e = calloc(1, sizeof(*e));
	uint64_t id;

	if (e == NULL)
		return 0;
	e->session = s;
	e->loop = l;
	(void)pthread_mutex_lock(&r->lock);
	e->id = id = ++r->last_id;
	e->next = r->first;
	r->first = e;
	r->count++;
	(void)pthread_mutex_unlock(&r->lock);
	return id;
}

void
registry_name(struct registry *r, uint64_t id, const char *name)
{
	(void)pthread_mutex_lock(&r->lock);
	for (struct entry *e = r->first; e != NULL; e = e->next) {
		if (e->id == id)
			(void)snprintf(e->name, sizeof(e->name), "%s", name);
	}
	(void)pthread_mutex_unlock(&r->lock);
}

void
registry_leave(struct registry *r, uint64_t id)
{
	struct entry **at, *e;

	(void)pthread_mutex_lock(&r->lock);
	for (at = &r->first; (e = *at) != NULL && e->id != id;)
		at = &e->next;
	if (e != NULL) {
		*at = e->next;
		r->count--;
		(void)pthread_cond_broadcast(&r->left);
	}
	(void)pthread_mutex_unlock(&r->lock);
	free(e);
}

size_t
registry_count(struct registry *r, const char *name)
{
	size_t n = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (name == NULL) {
		n = r->count;
	} else {
		for (const struct entry *e = r->first; e != NULL; e = e->next)
			n += strcmp(e->name, name) == 0;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return n;
}

/* On the loop of the session, so it cannot be freed while we look. */
static void
run_errand(void *arg)
{
	struct errand *errand = arg;
	struct registry *r = errand->registry;
	struct session *s = NULL;

	(void)pthread_mutex_lock(&r->lock);
	for (const struct entry *e = r->first; e != NULL; e = e->next) {
		if (e->id == errand->id)
			s = e->session;
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (s != NULL)
		errand->fn(s, &errand->why);
	free(errand);
}

size_t
registry_tell(struct registry *r, const char *name, uint64_t except,
    void (*fn)(struct session *s, const struct err *why), const struct err *why)
{
	size_t n = 0;

	(void)pthread_mutex_lock(&r->lock);
	for (const struct entry *e = r->first; e != NULL; e = e->next) {
		struct errand *errand;

		if (e->id == except || (name != NULL && strcmp(e->name, name) != 0))
			continue;
		errand = calloc(1, sizeof(*errand));
		if (errand == NULL)
			abort(); /* As loop_post(): a revocation must not get lost. */
		errand->registry = r;
		errand->id = e->id;
		errand->fn = fn;
		if (why != NULL)
			errand->why = *why;
		loop_post(e->loop, run_errand, errand);
		n++;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return n;
}

int
registry_wait_empty(struct registry *r, uint64_t ms)
{
	struct timespec until;
	int rc = 0, empty;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_mutex_lock(&r->lock);
	while (r->count > 0 && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&r->left, &r->lock, &until);
	empty = r->count == 0;
	(void)pthread_mutex_unlock(&r->lock);
	return empty ? 0 : -1;
}
