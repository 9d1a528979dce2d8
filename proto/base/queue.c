#include "proto/base/queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct slot {
	void *item;
	size_t weight;
};

struct queue {
	pthread_mutex_t lock;	/* Guards all below; nothing is locked under it. */
	pthread_cond_t more;	/* An item came, or the end did. */
	pthread_cond_t room;	/* An item left, or the end came. */
	struct slot *ring;
	size_t items_max, weight_max;
	size_t first, items, weight;
	int finished, aborted;
};

struct queue *
queue_new(size_t items_max, size_t weight_max)
{
	struct queue *q;

	assert(items_max > 0);
	if ((q = calloc(1, sizeof(*q))) == NULL)
		return NULL;
	if ((q->ring = calloc(items_max, sizeof(*q->ring))) == NULL) {
		free(q);
		return NULL;
	}
	q->items_max = items_max;
	q->weight_max = weight_max;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->more, NULL);
	pthread_cond_init(&q->room, NULL);
	return q;
}

void
queue_free(struct queue *q, void (*drop)(void *item))
{
	if (q == NULL)
		return;
	for (; q->items > 0; q->items--) {
		if (drop != NULL)
			drop(q->ring[q->first].item);
		q->first = (q->first + 1) % q->items_max;
	}
	pthread_cond_destroy(&q->room);
	pthread_cond_destroy(&q->more);
	pthread_mutex_destroy(&q->lock);
	free(q->ring);
	free(q);
}

static int
full(const struct queue *q)
{
	return q->items == q->items_max || (q->items > 0 && q->weight >= q->weight_max);
}

enum queue_result
queue_put(struct queue *q, void *item, size_t weight)
{
	enum queue_result r = QUEUE_ABORTED;

	pthread_mutex_lock(&q->lock);
	assert(!q->finished);
	while (!q->aborted && full(q))
		pthread_cond_wait(&q->room, &q->lock);
	if (!q->aborted) {
		struct slot *s = &q->ring[(q->first + q->items) % q->items_max];

		s->item = item;
		s->weight = weight;
		q->items++;
		q->weight += weight;
		pthread_cond_signal(&q->more);
		r = QUEUE_OK;
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

/* The lock is held. */
static enum queue_result
take(struct queue *q, void **item)
{
	if (q->aborted)
		return QUEUE_ABORTED;
	if (q->items == 0)
		return q->finished ? QUEUE_END : QUEUE_EMPTY;
	*item = q->ring[q->first].item;
	q->weight -= q->ring[q->first].weight;
	q->first = (q->first + 1) % q->items_max;
	q->items--;
	pthread_cond_signal(&q->room);
	return QUEUE_OK;
}

enum queue_result
queue_get(struct queue *q, void **item)
{
	enum queue_result r;

	pthread_mutex_lock(&q->lock);
	while ((r = take(q, item)) == QUEUE_EMPTY)
		pthread_cond_wait(&q->more, &q->lock);
	pthread_mutex_unlock(&q->lock);
	return r;
}

enum queue_result
queue_get_now(struct queue *q, void **item)
{
	enum queue_result r;

	pthread_mutex_lock(&q->lock);
	r = take(q, item);
	pthread_mutex_unlock(&q->lock);
	return r;
}

static void
stop(struct queue *q, int *flag)
{
	pthread_mutex_lock(&q->lock);
	*flag = 1;
	pthread_cond_broadcast(&q->more);
	pthread_cond_broadcast(&q->room);
	pthread_mutex_unlock(&q->lock);
}

void
queue_finish(struct queue *q)
{
	stop(q, &q->finished);
}

void
queue_abort(struct queue *q)
{
	stop(q, &q->aborted);
}
