#include "agent/clone/clone_feed.h"

#include <pthread.h>
#include <stdlib.h>

#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "proto/base/queue.h"

struct clone_feed {
	struct clone_feed_job job;
	struct clone_slab slab[CLONE_SLABS];
	struct queue *empty, *full;
	pthread_t thread;
	int running;
	int failed; /* This and why: the thread's, until it ends what is full. */
	struct err why;
};

/* A slab to fill; NULL if nobody wants more. */
static struct clone_slab *
take_empty(struct clone_feed *f)
{
	void *slab;

	return queue_get(f->empty, &slab) == QUEUE_OK ? slab : NULL;
}

static size_t
slab_len(const struct clone_range *r)
{
	uint64_t n = CLONE_SLAB - r->offset % CLONE_SLAB;

	return (size_t)(r->len < n ? r->len : n);
}

/* One range, as many slabs as it takes: 0; 1: nobody wants more; -1. */
static int
feed(struct clone_feed *f, struct clone_range r)
{
	const int read = (f->job.read_kinds & 1u << r.kind) != 0;
	struct clone_slab *s;
	uint64_t n;

	for (; r.len > 0; r.offset += n, r.len -= n) {
		n = read ? slab_len(&r) : r.len;
		if ((s = take_empty(f)) == NULL)
			return 1;
		s->range = r;
		s->range.len = n;
		if (stop_asked(f->job.stop))
			return err_set(&f->why, ERR_CANCELED, "interrupted");
		if (read &&
		    f->job.read(f->job.arg, r.offset, s->p, (size_t)n, &f->why) != 0)
			return -1;
		if (queue_put(f->full, s, 1) != QUEUE_OK)
			return 1;
	}
	return 0;
}

static void *
run(void *arg)
{
	struct clone_feed *f = arg;
	struct clone_place place = { 0, 0 };
	struct clone_range r;
	int rc = 0;

	while (rc == 0 && clone_ranges_next(f->job.ranges, &place, &r))
		rc = feed(f, r);
	f->failed = rc < 0;
	queue_finish(f->full);
	return NULL;
}

static int
begin(struct clone_feed *f, struct err *err)
{
	int os;

	f->empty = queue_new(CLONE_SLABS, CLONE_SLABS);
	f->full = queue_new(CLONE_SLABS, CLONE_SLABS);
	if (f->empty == NULL || f->full == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (unsigned i = 0; i < CLONE_SLABS; i++) {
		if ((f->slab[i].p = malloc(CLONE_SLAB)) == NULL)
			return err_set(err, ERR_NOMEM, "out of memory");
		(void)queue_put(f->empty, &f->slab[i], 1);
	}
	if ((os = pthread_create(&f->thread, NULL, run, f)) != 0)
		return err_os(err, os, "thread");
	f->running = 1;
	return 0;
}

int
clone_feed_new(const struct clone_feed_job *job, struct clone_feed **out, struct err *err)
{
	struct clone_feed *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	f->job = *job;
	if (begin(f, err) != 0) {
		clone_feed_free(f);
		return -1;
	}
	*out = f;
	return 0;
}

int
clone_feed_next(struct clone_feed *f, struct clone_slab **out, struct err *err)
{
	void *slab;

	if (queue_get(f->full, &slab) == QUEUE_OK) {
		*out = slab;
		return 1;
	}
	if (!f->failed)
		return 0;
	*err = f->why;
	return -1;
}

void
clone_feed_give(struct clone_feed *f, struct clone_slab *slab)
{
	(void)queue_put(f->empty, slab, 1);
}

void
clone_feed_free(struct clone_feed *f)
{
	if (f == NULL)
		return;
	if (f->running) {
		queue_abort(f->empty);
		queue_abort(f->full);
		pthread_join(f->thread, NULL);
	}
	queue_free(f->empty, NULL);
	queue_free(f->full, NULL);
	for (unsigned i = 0; i < CLONE_SLABS; i++)
		free(f->slab[i].p);
	free(f);
}
