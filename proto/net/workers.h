/*
 * workers.h - threads for what blocks or computes, so that loops never do.
 */
#ifndef PROTO_NET_WORKERS_H
#define PROTO_NET_WORKERS_H

#include <stddef.h>

struct err;
struct loop;
struct workers;

/* `threads` threads that run jobs in order of arrival; `name` shows in the process list.
 */
int
workers_start(const char *name, unsigned threads, struct workers **out, struct err *err);

/*
 * Run `run(arg)` on one of them, then `done(arg)` on loop `reply` (NULL: no
 * done).  Never blocks: whoever submits keeps count of what it has under way.
 */
void workers_submit(struct workers *w, void (*run)(void *arg), struct loop *reply,
    void (*done)(void *arg), void *arg);

/* Jobs waiting or running now. */
size_t workers_busy(const struct workers *w);

/* Finish what was submitted, join and free.  The reply loops must still run. */
void workers_stop(struct workers *w);

#endif /* PROTO_NET_WORKERS_H */
