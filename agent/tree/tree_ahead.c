#include "agent/tree/tree_ahead.h"

#include <pthread.h>
#include <stdlib.h>

#include "agent/tree/tree_fetch.h"
#include "agent/tree/tree_nodes.h"
#include "proto/base/err.h"

#define WORKERS 2u
#define STREAMS 16u
#define JOBS 64u
#define SLACK (8u * 1024 * 1024) /* Reads side by side come in any order. */
#define ENOUGH (1024u * 1024)	 /* Read forward, before it is believed. */
#define RECENT 1024u		 /* Reads, after which a stream counts as ended. */

struct stream {
	const struct tree_of *of; /* NULL: unused. */
	uint64_t next, run;	  /* Bytes: where it goes on, how long it was. */
	uint64_t queued;	  /* Spans before this one are asked for. */
	uint64_t used;		  /* When, in reads. */
	uint32_t window;	  /* Spans ahead. */
};

struct job {
	const struct tree_of *of;
	uint64_t span;
};

struct tree_ahead {
	struct tree_nodes *nodes;
	struct tree_fetch *fetch;
	uint32_t room; /* Spans. */
	pthread_t workers[WORKERS];
	unsigned workers_n;

	pthread_mutex_t lock; /* Guards all below; nothing is locked under it. */
	pthread_cond_t more;
	struct stream streams[STREAMS];
	uint64_t reads;
	struct job jobs[JOBS];
	unsigned first, count;
	int closing;
};

/* ----------------------------------------------------------------- the workers -- */

static void
run(struct tree_ahead *a, const struct job *j)
{
	const struct tree_node *leaf;
	struct err ignored = ERR_INIT;

	/* Who reads there will meet the failure and say it. */
	if (tree_nodes_leaf(a->nodes, j->of, j->span, 1, 1, &leaf, &ignored) != 0 ||
	    leaf == NULL)
		return;
	(void)tree_fetch_ahead(a->fetch, j->of, j->span, leaf, &ignored);
	tree_nodes_drop(a->nodes, leaf);
}

static void *
worker(void *arg)
{
	struct tree_ahead *a = arg;
	struct job j;

	pthread_mutex_lock(&a->lock);
	for (;;) {
		while (a->count == 0 && !a->closing)
			pthread_cond_wait(&a->more, &a->lock);
		if (a->closing)
			break;
		j = a->jobs[a->first];
		a->first = (a->first + 1) % JOBS;
		a->count--;
		pthread_mutex_unlock(&a->lock);
		run(a, &j);
		pthread_mutex_lock(&a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

int
tree_ahead_open(struct tree_nodes *nodes, struct tree_fetch *fetch, size_t room,
    struct tree_ahead **out, struct err *err)
{
	struct tree_ahead *a = calloc(1, sizeof(*a));
	int os;

	if (a == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	a->nodes = nodes;
	a->fetch = fetch;
	a->room = (uint32_t)(room / TREE_SPAN_LEN);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->more, NULL);
	for (; a->workers_n < WORKERS; a->workers_n++)
		if ((os = pthread_create(&a->workers[a->workers_n], NULL, worker, a)) !=
		    0) {
			err_os(err, os, "thread");
			tree_ahead_close(a);
			return -1;
		}
	*out = a;
	return 0;
}

void
tree_ahead_close(struct tree_ahead *a)
{
	if (a == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	a->closing = 1;
	pthread_cond_broadcast(&a->more);
	pthread_mutex_unlock(&a->lock);
	while (a->workers_n > 0)
		pthread_join(a->workers[--a->workers_n], NULL);
	pthread_cond_destroy(&a->more);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ----------------------------------------------------------------- the streams -- */

/* The stream that this read goes on with, or a new one in place of the oldest. */
static struct stream *
stream_of(struct tree_ahead *a, const struct tree_of *of, uint64_t offset)
{
	struct stream *oldest = &a->streams[0];

	for (unsigned i = 0; i < STREAMS; i++) {
		struct stream *s = &a->streams[i];

		if (s->of == of && offset + SLACK >= s->next && offset <= s->next + SLACK)
			return s;
		if (s->used < oldest->used)
			oldest = s;
	}
	*oldest = (struct stream){ of, offset, 0, 0, 0, 1 };
	return oldest;
}

/* Spans that each stream may have ahead. */
static uint32_t
share(const struct tree_ahead *a)
{
	unsigned n = 0;

	for (unsigned i = 0; i < STREAMS; i++)
		n += a->streams[i].of != NULL && a->streams[i].run >= ENOUGH &&
		     a->streams[i].used + RECENT > a->reads;
	return n == 0 ? a->room : a->room / n;
}

void
tree_ahead_note(
    struct tree_ahead *a, const struct tree_of *of, uint64_t offset, size_t len)
{
	uint64_t here = offset / TREE_SPAN_LEN, until, spans = tree_spans(of->root.size);
	uint32_t most;
	struct stream *s;

	pthread_mutex_lock(&a->lock);
	s = stream_of(a, of, offset);
	s->used = ++a->reads;
	s->run += len;
	if (s->next < offset + len)
		s->next = offset + len;
	if (s->run >= ENOUGH && (most = share(a)) > 0) {
		if (s->queued < here)
			s->queued = here;
		until = s->next / TREE_SPAN_LEN + 1 + s->window;
		if (until > spans)
			until = spans;
		if (s->queued < until)
			s->window = s->window * 2 < most ? s->window * 2 : most;
		for (; s->queued < until && a->count < JOBS; s->queued++, a->count++)
			a->jobs[(a->first + a->count) % JOBS] =
			    (struct job){ of, s->queued };
		pthread_cond_broadcast(&a->more);
	}
	pthread_mutex_unlock(&a->lock);
}
