/*
 * env_posix.c - driver/core/env.h over pthreads.
 *
 * Spin locks are mutexes, so that thread sanitizers know them and a thread that was
 * preempted with one costs nobody a time slice.  The counts are atomic and relaxed: they
 * order nothing, and so hide no race of the core from a sanitizer.
 */
#include "driver/sim/env_posix.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "driver/core/env.h"

struct event {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	enum env_event_kind kind;
	bool set;
};

struct thread {
	pthread_t id;
	void (*run)(void *arg);
	void *arg;
};

/* Lies before what env_alloc gives; keeps its alignment. */
struct block {
	uint64_t bytes, mark;
};
#define BLOCK_MARK 0x686f74636f707921u
#define BLOCK_FREED 0x2166726565642121u

typedef char env_lock_fits[sizeof(pthread_mutex_t) <= sizeof(struct env_lock) ? 1 : -1];
typedef char env_mutex_fits[sizeof(pthread_mutex_t) <= sizeof(struct env_mutex) ? 1 : -1];
typedef char env_event_fits[sizeof(struct event) <= sizeof(struct env_event) ? 1 : -1];
typedef char env_thread_fits[sizeof(struct thread) <= sizeof(struct env_thread) ? 1 : -1];

static _Thread_local unsigned locks_held;
static struct env_posix_facts count;
static uint64_t fail_at, failed;

static uint64_t
add(uint64_t *n, uint64_t by)
{
	return __atomic_add_fetch(n, by, __ATOMIC_RELAXED);
}

static uint64_t
get(const uint64_t *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

static void
put(uint64_t *n, uint64_t value)
{
	__atomic_store_n(n, value, __ATOMIC_RELAXED);
}

static void
die(const char *call, const char *why)
{
	fprintf(stderr, "%s: %s\n", call, why);
	abort();
}

void
env_posix_passive(const char *call)
{
	if (locks_held > 0)
		die(call, "called while a spin lock is held");
}

static void
must(const char *call, int error)
{
	if (error != 0)
		die(call, "the system refused it");
}

/* ----------------------------------------------------------------------- memory -- */

static bool
fails(void)
{
	if (add(&count.takings, 1) != get(&fail_at))
		return false;
	put(&failed, 1);
	return true;
}

void
env_posix_fail(uint64_t nth)
{
	put(&failed, 0);
	put(&fail_at, nth == 0 ? 0 : get(&count.takings) + nth);
}

bool
env_posix_failed(void)
{
	return get(&failed) != 0;
}

/* As the system's allocator gave it, or NULL. */
static void *
take_block(struct block *b, size_t bytes)
{
	uint64_t now, peak;

	if (b == NULL)
		return NULL;
	b->bytes = bytes;
	b->mark = BLOCK_MARK;
	add(&count.blocks, 1);
	now = add(&count.bytes, bytes);
	peak = get(&count.bytes_peak);
	while (now > peak && !__atomic_compare_exchange_n(&count.bytes_peak, &peak, now,
				 false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return b + 1;
}

void *
env_alloc(size_t bytes)
{
	if (fails() || bytes > SIZE_MAX - sizeof(struct block))
		return NULL;
	return take_block(calloc(1, sizeof(struct block) + bytes), bytes);
}

void *
env_alloc_bare(size_t bytes)
{
	if (fails() || bytes > SIZE_MAX - sizeof(struct block))
		return NULL;
	return take_block(malloc(sizeof(struct block) + bytes), bytes);
}

void
env_free(void *p)
{
	struct block *b = p;

	if (p == NULL)
		return;
	b--;
	if (b->mark != BLOCK_MARK)
		die("env_free", "not from env_alloc, written before its begin, or freed");
	b->mark = BLOCK_FREED;
	add(&count.blocks, -(uint64_t)1);
	add(&count.bytes, -b->bytes);
	free(b);
}

void
env_posix_facts(struct env_posix_facts *facts)
{
	facts->takings = get(&count.takings);
	facts->bytes = get(&count.bytes);
	facts->bytes_peak = get(&count.bytes_peak);
	facts->blocks = get(&count.blocks);
	facts->locks = get(&count.locks);
	facts->threads = get(&count.threads);
}

void
env_posix_peak_reset(void)
{
	put(&count.bytes_peak, get(&count.bytes));
}

/* ------------------------------------------------------------------------ locks -- */

void
env_lock_init(struct env_lock *lock)
{
	must("env_lock_init", pthread_mutex_init((pthread_mutex_t *)lock->space, NULL));
}

unsigned
env_lock_take(struct env_lock *lock)
{
	must("env_lock_take", pthread_mutex_lock((pthread_mutex_t *)lock->space));
	add(&count.locks, 1);
	return locks_held++;
}

void
env_lock_give(struct env_lock *lock, unsigned old)
{
	if (locks_held == 0 || --locks_held != old)
		die("env_lock_give", "not what the last env_lock_take returned");
	must("env_lock_give", pthread_mutex_unlock((pthread_mutex_t *)lock->space));
}

void
env_mutex_init(struct env_mutex *mutex)
{
	must("env_mutex_init", pthread_mutex_init((pthread_mutex_t *)mutex->space, NULL));
}

void
env_mutex_take(struct env_mutex *mutex)
{
	env_posix_passive("env_mutex_take");
	must("env_mutex_take", pthread_mutex_lock((pthread_mutex_t *)mutex->space));
}

void
env_mutex_give(struct env_mutex *mutex)
{
	env_posix_passive("env_mutex_give");
	must("env_mutex_give", pthread_mutex_unlock((pthread_mutex_t *)mutex->space));
}

void
env_mutex_done(struct env_mutex *mutex)
{
	must("env_mutex_done", pthread_mutex_destroy((pthread_mutex_t *)mutex->space));
}

/* ----------------------------------------------------------------------- events -- */

void
env_event_init(struct env_event *event, enum env_event_kind kind)
{
	struct event *e = (struct event *)event->space;
	pthread_condattr_t attr;

	must("env_event_init", pthread_mutex_init(&e->mutex, NULL));
	must("env_event_init", pthread_condattr_init(&attr));
	must("env_event_init", pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	must("env_event_init", pthread_cond_init(&e->changed, &attr));
	pthread_condattr_destroy(&attr);
	e->kind = kind;
	e->set = false;
}

/* Signalled with the mutex held: who wakes may free the event at once. */
void
env_event_set(struct env_event *event)
{
	struct event *e = (struct event *)event->space;

	must("env_event_set", pthread_mutex_lock(&e->mutex));
	e->set = true;
	if (e->kind == ENV_STAYS)
		pthread_cond_broadcast(&e->changed);
	else
		pthread_cond_signal(&e->changed);
	must("env_event_set", pthread_mutex_unlock(&e->mutex));
}

void
env_event_clear(struct env_event *event)
{
	struct event *e = (struct event *)event->space;

	must("env_event_clear", pthread_mutex_lock(&e->mutex));
	e->set = false;
	must("env_event_clear", pthread_mutex_unlock(&e->mutex));
}

void
env_event_done(struct env_event *event)
{
	struct event *e = (struct event *)event->space;

	must("env_event_done", pthread_cond_destroy(&e->changed));
	must("env_event_done", pthread_mutex_destroy(&e->mutex));
}

/* What is beyond some centuries is for ever. */
#define TIME_MOST ((uint64_t)1 << 61)

bool
env_event_wait(struct env_event *event, uint64_t time)
{
	struct event *e = (struct event *)event->space;
	struct timespec until = { 0 };
	bool timed = time < TIME_MOST, was;
	uint64_t end = timed ? env_now() + time : 0;

	env_posix_passive("env_event_wait");
	until.tv_sec = (time_t)(end / 10000000);
	until.tv_nsec = (long)(end % 10000000 * 100);
	must("env_event_wait", pthread_mutex_lock(&e->mutex));
	while (!e->set) {
		if (!timed)
			pthread_cond_wait(&e->changed, &e->mutex);
		else if (time == 0 ||
			 pthread_cond_timedwait(&e->changed, &e->mutex, &until) != 0)
			break;
	}
	was = e->set;
	if (e->kind == ENV_ONE)
		e->set = false;
	must("env_event_wait", pthread_mutex_unlock(&e->mutex));
	return was;
}

/* ---------------------------------------------------------------------- threads -- */

static void *
thread_run(void *arg)
{
	struct thread *t = arg;

	t->run(t->arg);
	env_posix_passive("the end of a thread");
	return NULL;
}

int
env_thread_start(struct env_thread *thread, void (*run)(void *arg), void *arg)
{
	struct thread *t = (struct thread *)thread->space;

	env_posix_passive("env_thread_start");
	t->run = run;
	t->arg = arg;
	if (fails() || pthread_create(&t->id, NULL, thread_run, t) != 0)
		return -1;
	add(&count.threads, 1);
	return 0;
}

void
env_thread_join(struct env_thread *thread)
{
	struct thread *t = (struct thread *)thread->space;

	env_posix_passive("env_thread_join");
	must("env_thread_join", pthread_join(t->id, NULL));
	add(&count.threads, -(uint64_t)1);
}

uint64_t
env_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 10000000 + (uint64_t)now.tv_nsec / 100;
}
