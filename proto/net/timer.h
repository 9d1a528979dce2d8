/*
 * timer.h - work on a loop after a time.  Made, used and freed on its thread.
 */
#ifndef PROTO_NET_TIMER_H
#define PROTO_NET_TIMER_H

#include <stdint.h>

struct loop;
struct timer;

/* A timer at rest; `fire` may call anything here, timer_free() included. */
struct timer *timer_new(struct loop *l, void (*fire)(void *arg), void *arg);

/* Fire after `ms`, then every `repeat_ms` (0: once).  Replaces an earlier setting. */
void timer_set(struct timer *t, uint64_t ms, uint64_t repeat_ms);

/* It fires no more.  NULL is allowed. */
void timer_free(struct timer *t);

#endif /* PROTO_NET_TIMER_H */
