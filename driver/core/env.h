/*
 * env.h - what the core asks of the machine it runs on: memory, locks, events, threads,
 * time.  Linked in, not called through pointers: driver/nt/env_nt.c is the kernel's,
 * driver/sim/env_posix.c that of every Linux program.
 *
 * IRQL: a function says "passive" if it may wait or must be called where waiting is
 * allowed; all others may be called at DISPATCH_LEVEL and below.
 */
#ifndef DRIVER_CORE_ENV_H
#define DRIVER_CORE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the system's own objects, asserted where they are laid into it. */
struct env_lock {
	uint64_t space[8];
};
struct env_mutex {
	uint64_t space[24];
};
struct env_event {
	uint64_t space[24];
};
struct env_thread {
	uint64_t space[8];
};

/* Memory that is never paged, zeroed.  NULL: there is none; callers go on without.
   env_free(NULL) is legal. */
void *env_alloc(size_t bytes);
/* The same, of bytes that are anything: of much memory, each of which is written before it
   is read. */
void *env_alloc_bare(size_t bytes);
void env_free(void *p);

/* Spin locks, for a few instructions; never held across a call out of the core. */
void env_lock_init(struct env_lock *lock);
unsigned env_lock_take(struct env_lock *lock); /* what give wants back */
void env_lock_give(struct env_lock *lock, unsigned old);

/* Passive.  Held across waits; never taken by a path that a host's write goes along. */
void env_mutex_init(struct env_mutex *mutex);
void env_mutex_take(struct env_mutex *mutex);
void env_mutex_give(struct env_mutex *mutex);
void env_mutex_done(struct env_mutex *mutex);

/* ENV_STAYS: set until cleared, wakes all.  ENV_ONE: wakes one waiter, and is clear
 * again. */
enum env_event_kind { ENV_STAYS, ENV_ONE };
void env_event_init(struct env_event *event, enum env_event_kind kind);
void env_event_set(struct env_event *event);
void env_event_clear(struct env_event *event);
void env_event_done(struct env_event *event);
#define ENV_FOREVER UINT64_MAX
/* Passive.  Time in 100 ns; false: it passed and the event was not set. */
bool env_event_wait(struct env_event *event, uint64_t time);

/* Passive.  -1: no thread could be made. */
int env_thread_start(struct env_thread *thread, void (*run)(void *arg), void *arg);
void env_thread_join(struct env_thread *thread);

/* 100 ns since the machine started; never steps back. */
uint64_t env_now(void);

#endif /* DRIVER_CORE_ENV_H */
