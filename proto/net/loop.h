/*
 * loop.h - an event loop on a thread of its own.
 *
 * Everything of libuv stays inside proto/net; above it a loop is a thread that
 * runs small pieces of work, one after another.  Nothing that blocks may run
 * there: that is what workers.h is for.
 */
#ifndef PROTO_NET_LOOP_H
#define PROTO_NET_LOOP_H

#include <stdint.h>

struct err;
struct loop;

/* Start a thread with an empty loop; `name` shows in the process list. */
int loop_start(const char *name, struct loop **out, struct err *err);

/*
 * Run `fn(arg)` on the loop's thread, soon; from any thread, also from itself.
 * Calls keep their order.  Never blocks.  Aborts the process without memory.
 */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* Non-zero on the loop's own thread. */
int loop_here(const struct loop *l);

/*
 * Stop once all that is queued is done and all that lives on it is closed, join
 * the thread and free.  Every conn, listener and timer (timer.h) must be closed
 * before or by work that is queued: what nobody closes is waited for.  NULL is
 * allowed; not on the loop's own thread.
 */
void loop_stop(struct loop *l);

#endif /* PROTO_NET_LOOP_H */
