/*
 * queue.h - handing things from one thread to the next, with a limit.
 *
 * A queue holds pointers; each has a weight (usually its bytes).  A full queue
 * makes queue_put() wait: that is how a slow stage slows those before it.
 * Ending is part of it: the producer says queue_finish() and the consumer sees
 * QUEUE_END once all is taken; whoever fails says queue_abort() and every
 * waiting call, on both sides, returns QUEUE_ABORTED at once.
 *
 * Any number of threads on either side.
 */
#ifndef PROTO_BASE_QUEUE_H
#define PROTO_BASE_QUEUE_H

#include <stddef.h>

struct queue;

enum queue_result {
	QUEUE_OK,
	QUEUE_END,	/* Finished and empty. */
	QUEUE_ABORTED,	/* Someone gave up; what is inside is the freer's. */
	QUEUE_EMPTY	/* Only from queue_get_now(). */
};

/*
 * A queue that is full at `items_max` items or once `weight_max` is reached
 * (one item is always let in, however heavy).  NULL without memory.
 */
struct queue *queue_new(size_t items_max, size_t weight_max);

/* Free it; every item still inside goes to `drop` (may be NULL). */
void queue_free(struct queue *q, void (*drop)(void *item));

/* Add an item, waiting for room.  QUEUE_OK or QUEUE_ABORTED (item not taken). */
enum queue_result queue_put(struct queue *q, void *item, size_t weight);

/* Take the oldest item, waiting for one.  QUEUE_OK, QUEUE_END, QUEUE_ABORTED. */
enum queue_result queue_get(struct queue *q, void **item);

/* The same without waiting; QUEUE_EMPTY if there is none now. */
enum queue_result queue_get_now(struct queue *q, void **item);

/* No more items will come.  Idempotent. */
void queue_finish(struct queue *q);

/* Give up: wakes everyone.  Idempotent. */
void queue_abort(struct queue *q);

#endif /* PROTO_BASE_QUEUE_H */
