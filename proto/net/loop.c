#include "proto/net/loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "proto/base/err.h"
#include "proto/net/loop_uv.h"
#include "proto/net/thread.h"

struct job {
	struct job *next;
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	uv_loop_t uv;
	uv_async_t wake;
	pthread_t thread;
	pthread_mutex_t lock; /* Guards first and last. */
	struct job *first, **last;
	int stopping; /* On the loop's thread only. */
	uint8_t plain[LOOP_RECORD_LEN], outgoing[LOOP_RECORD_LEN];
	uint8_t input[LOOP_INPUT_LEN];
};

/* Run what was posted before this call; what that posts waits for the next. */
static int
run_jobs(struct loop *l)
{
	struct job *j, *next;

	pthread_mutex_lock(&l->lock);
	j = l->first;
	l->first = NULL;
	l->last = &l->first;
	pthread_mutex_unlock(&l->lock);

	if (j == NULL)
		return 0;
	for (; j != NULL; j = next) {
		next = j->next;
		j->fn(j->arg);
		free(j);
	}
	return 1;
}

static void
wake_cb(uv_async_t *h)
{
	(void)run_jobs(h->data);
}

static void
run(void *arg)
{
	struct loop *l = arg;

	/*
	 * The handle that posts wake keeps the loop alive until loop_stop().
	 * After that it runs on for connections that are still closing, and
	 * for what their last callbacks post.
	 */
	do {
		(void)uv_run(&l->uv, UV_RUN_DEFAULT);
	} while (run_jobs(l) || !l->stopping);
	uv_close((uv_handle_t *)&l->wake, NULL);
	(void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

int
loop_start(const char *name, struct loop **out, struct err *err)
{
	struct loop *l;
	int r;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for loop %s", name);
	l->last = &l->first;
	if ((r = uv_loop_init(&l->uv)) < 0) {
		free(l);
		return err_set(err, ERR_IO, "loop %s: %s", name, uv_strerror(r));
	}
	if ((r = uv_async_init(&l->uv, &l->wake, wake_cb)) < 0) {
		(void)uv_loop_close(&l->uv);
		free(l);
		return err_set(err, ERR_IO, "loop %s: %s", name, uv_strerror(r));
	}
	l->wake.data = l;
	pthread_mutex_init(&l->lock, NULL);
	if (thread_start(name, run, l, &l->thread, err) < 0) {
		uv_close((uv_handle_t *)&l->wake, NULL);
		(void)uv_run(&l->uv, UV_RUN_DEFAULT);
		(void)uv_loop_close(&l->uv);
		pthread_mutex_destroy(&l->lock);
		free(l);
		return -1;
	}
	*out = l;
	return 0;
}

void
loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct job *j;

	if ((j = malloc(sizeof(*j))) == NULL)
		abort();
	j->next = NULL;
	j->fn = fn;
	j->arg = arg;
	pthread_mutex_lock(&l->lock);
	*l->last = j;
	l->last = &j->next;
	/* Under the lock: once it runs, `j` may be what ends the loop. */
	(void)uv_async_send(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

int
loop_here(const struct loop *l)
{
	return pthread_equal(pthread_self(), l->thread);
}

static void
stop(void *arg)
{
	struct loop *l = arg;

	l->stopping = 1;
	uv_unref((uv_handle_t *)&l->wake);
}

void
loop_stop(struct loop *l)
{
	if (l == NULL)
		return;
	loop_post(l, stop, l);
	pthread_join(l->thread, NULL);
	assert(l->first == NULL);
	if (uv_loop_close(&l->uv) < 0)
		abort(); /* A handle was left open: a bug that must not go unseen. */
	pthread_mutex_destroy(&l->lock);
	free(l);
}

uv_loop_t *
loop_uv(struct loop *l)
{
	return &l->uv;
}

uint8_t *
loop_input(struct loop *l)
{
	return l->input;
}

uint8_t *
loop_plain(struct loop *l)
{
	return l->plain;
}

uint8_t *
loop_outgoing(struct loop *l)
{
	return l->outgoing;
}
