#include "server/rescues.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

#define SOURCE_LEN 8

struct rescues {
	pthread_mutex_t lock; /* A leaf. */
	struct rescues_waiting waiting[RESCUES_WAITING_MAX];
	size_t waiting_count;
	struct rescues_progress progress[RESCUES_PROGRESS_MAX];
	size_t progress_count;
	unsigned wrong;	  /* Tokens, */
	int64_t wrong_ms; /* Since then. */
};

struct rescues *
rescues_new(void)
{
	struct rescues *r = calloc(1, sizeof(*r));

	if (r != NULL)
		(void)pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
rescues_free(struct rescues *r)
{
	if (r == NULL)
		return;
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

/* Whom a limit is for: an IPv4 address, the first half of an IPv6 one. */
static void
source_of(const char *address, uint8_t out[SOURCE_LEN])
{
	struct in6_addr v6;
	struct in_addr v4;

	memset(out, 0, SOURCE_LEN);
	if (inet_pton(AF_INET, address, &v4) == 1) {
		memcpy(out + 4, &v4, 4);
	} else if (inet_pton(AF_INET6, address, &v6) == 1) {
		if (IN6_IS_ADDR_V4MAPPED(&v6))
			memcpy(out + 4, v6.s6_addr + 12, 4);
		else
			memcpy(out, v6.s6_addr, SOURCE_LEN);
	}
}

static int
same_source(const char *a, const char *b)
{
	uint8_t x[SOURCE_LEN], y[SOURCE_LEN];

	source_of(a, x);
	source_of(b, y);
	return memcmp(x, y, SOURCE_LEN) == 0;
}

/* ------------------------------------------------------------------ waiting -- */

static void
drop(struct rescues *r, size_t i)
{
	memmove(&r->waiting[i], &r->waiting[i + 1],
	    (r->waiting_count - i - 1) * sizeof(r->waiting[0]));
	r->waiting_count--;
}

static void
drop_silent(struct rescues *r, int64_t now_ms)
{
	for (size_t i = r->waiting_count; i-- > 0;)
		if (now_ms - r->waiting[i].seen_ms > RESCUES_WAITING_MS)
			drop(r, i);
}

static struct rescues_waiting *
find(struct rescues *r, const uint8_t key_hash[STORE_HASH_LEN])
{
	for (size_t i = 0; i < r->waiting_count; i++)
		if (memcmp(r->waiting[i].key_hash, key_hash, STORE_HASH_LEN) == 0)
			return &r->waiting[i];
	return NULL;
}

/* Those that have places of the same share as `w`. */
static size_t
count_alike(const struct rescues *r, const struct rescues_waiting *w)
{
	size_t n = 0;

	for (size_t i = 0; i < r->waiting_count; i++) {
		const struct rescues_waiting *k = &r->waiting[i];

		n += (size_t)(k->armed == w->armed &&
			      (w->armed != 0 || same_source(k->address, w->address)));
	}
	return n;
}

/* Make a place for `w`: 0, or -1 if nobody has to give way to it. */
static int
make_room(struct rescues *r, const struct rescues_waiting *w)
{
	size_t i = 0;

	if (count_alike(r, w) >= RESCUES_WAITING_EACH)
		return -1;
	if (r->waiting_count < RESCUES_WAITING_MAX)
		return 0;
	while (i < r->waiting_count && r->waiting[i].armed != 0)
		i++;
	if (w->armed == 0 || i == r->waiting_count)
		return -1;
	drop(r, i);
	return 0;
}

/* It asks again, and may have been armed meanwhile, if there is a place for that. */
static void
asks_again(
    struct rescues *r, struct rescues_waiting *known, const struct rescues_waiting *w)
{
	uint64_t armed = w->armed;

	if (armed != 0 && armed != known->armed &&
	    count_alike(r, w) >= RESCUES_WAITING_EACH)
		armed = 0;
	*known = *w;
	known->armed = armed;
}

int
rescues_wait(
    struct rescues *r, const struct rescues_waiting *w, int64_t now_ms, struct err *err)
{
	struct rescues_waiting *known;
	int64_t since_us = w->since_us;
	int rc = 0;

	(void)pthread_mutex_lock(&r->lock);
	drop_silent(r, now_ms);
	known = find(r, w->key_hash);
	if (known != NULL) {
		since_us = known->since_us;
		asks_again(r, known, w);
	} else if ((rc = make_room(r, w)) == 0) {
		known = &r->waiting[r->waiting_count++];
		*known = *w;
	}
	if (known != NULL) {
		known->since_us = since_us;
		known->seen_ms = now_ms;
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (rc != 0)
		return err_set(err, ERR_BUSY,
		    "too many machines wait here to be confirmed: try again in a minute");
	return 0;
}

size_t
rescues_waiting(
    struct rescues *r, int64_t now_ms, struct rescues_waiting out[RESCUES_WAITING_MAX])
{
	size_t n;

	(void)pthread_mutex_lock(&r->lock);
	drop_silent(r, now_ms);
	n = r->waiting_count;
	memcpy(out, r->waiting, n * sizeof(*out));
	(void)pthread_mutex_unlock(&r->lock);
	return n;
}

void
rescues_forget(struct rescues *r, const uint8_t key_hash[STORE_HASH_LEN])
{
	struct rescues_waiting *w;

	(void)pthread_mutex_lock(&r->lock);
	if ((w = find(r, key_hash)) != NULL)
		drop(r, (size_t)(w - r->waiting));
	(void)pthread_mutex_unlock(&r->lock);
}

/* ----------------------------------------------------------------- progress -- */

void
rescues_note(struct rescues *r, const struct rescues_progress *p)
{
	struct rescues_progress *at = NULL, *oldest = NULL;

	(void)pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->progress_count; i++) {
		struct rescues_progress *k = &r->progress[i];

		if (k->restore == p->restore)
			at = k;
		if (oldest == NULL || k->seen_us < oldest->seen_us)
			oldest = k;
	}
	if (at == NULL && r->progress_count < RESCUES_PROGRESS_MAX) {
		at = &r->progress[r->progress_count++];
		memset(at, 0, sizeof(*at));
	} else if (at == NULL) {
		at = oldest;
	}
	/* Who only says Hello has not taken back what was reported. */
	if (p->state == 0 && at->restore == p->restore) {
		at->seen_us = p->seen_us;
		memcpy(at->address, p->address, sizeof(at->address));
	} else {
		*at = *p;
	}
	(void)pthread_mutex_unlock(&r->lock);
}

int
rescues_noted(struct rescues *r, uint64_t restore, struct rescues_progress *out)
{
	int found = 0;

	(void)pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->progress_count && !found; i++) {
		found = r->progress[i].restore == restore;
		if (found)
			*out = r->progress[i];
	}
	(void)pthread_mutex_unlock(&r->lock);
	return found;
}

/* ----------------------------------------------------------------- guessing -- */

int
rescues_wrong(struct rescues *r, int64_t now_ms)
{
	int alarm;

	(void)pthread_mutex_lock(&r->lock);
	if (r->wrong == 0 || now_ms - r->wrong_ms >= RESCUES_GUESS_MS) {
		r->wrong = 0;
		r->wrong_ms = now_ms;
	}
	alarm = ++r->wrong == RESCUES_GUESSES_ALARM;
	(void)pthread_mutex_unlock(&r->lock);
	return alarm;
}
