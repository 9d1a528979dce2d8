#include "proto/net/workers.h"

#include <pthread.h>
#include <stdlib.h>

#include "proto/base/err.h"
#include "proto/net/loop.h"
#include "proto/net/thread.h"

struct job {
	struct job *next;
	void (*run)(void *arg);
	struct loop *reply;
	void (*done)(void *arg);
	void *arg;
};

struct workers {
	pthread_mutex_t *lock; /* Guards all below but `threads`. */
	pthread_cond_t more;
	struct job *first, **last;
	size_t busy; /* Waiting or running. */
	int stopping;
	unsigned threads;
	pthread_t thread[];
};

static void
work(void *arg)
{
	struct workers *w = arg;
	struct job *j;

	pthread_mutex_lock(w->lock);
	for (;;) {
		if ((j = w->first) == NULL) {
			if (w->stopping)
				break;
			pthread_cond_wait(&w->more, w->lock);
			continue;
		}
		if ((w->first = j->next) == NULL)
			w->last = &w->first;
		pthread_mutex_unlock(w->lock);

		j->run(j->arg);
		/* Counted off first: who hears of the end may ask workers_busy(). */
		pthread_mutex_lock(w->lock);
		w->busy--;
		pthread_mutex_unlock(w->lock);
		if (j->reply != NULL)
			loop_post(j->reply, j->done, j->arg);
		free(j);
		pthread_mutex_lock(w->lock);
	}
	pthread_mutex_unlock(w->lock);
}

static void
discard(struct workers *w)
{
	pthread_mutex_destroy(w->lock);
	pthread_cond_destroy(&w->more);
	free(w->lock);
	free(w);
}

int
workers_start(const char *name, unsigned threads, struct workers **out, struct err *err)
{
	struct workers *w;

	if ((w = calloc(1, sizeof(*w) + threads * sizeof(w->thread[0]))) == NULL ||
	    (w->lock = malloc(sizeof(*w->lock))) == NULL) {
		free(w);
		return err_set(err, ERR_NOMEM, "no memory for workers %s", name);
	}
	w->last = &w->first;
	pthread_mutex_init(w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	for (; w->threads < threads; w->threads++) {
		if (thread_start(name, work, w, &w->thread[w->threads], err) < 0) {
			workers_stop(w);
			return -1;
		}
	}
	*out = w;
	return 0;
}

void
workers_submit(struct workers *w, void (*run)(void *arg), struct loop *reply,
    void (*done)(void *arg), void *arg)
{
	struct job *j;

	if ((j = malloc(sizeof(*j))) == NULL)
		abort();
	*j = (struct job){ NULL, run, done != NULL ? reply : NULL, done, arg };
	pthread_mutex_lock(w->lock);
	*w->last = j;
	w->last = &j->next;
	w->busy++;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(w->lock);
}

size_t
workers_busy(const struct workers *w)
{
	size_t n;

	pthread_mutex_lock(w->lock);
	n = w->busy;
	pthread_mutex_unlock(w->lock);
	return n;
}

void
workers_stop(struct workers *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(w->lock);
	w->stopping = 1;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(w->lock);
	for (unsigned i = 0; i < w->threads; i++)
		pthread_join(w->thread[i], NULL);
	discard(w);
}
