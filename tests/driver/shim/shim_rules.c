/* shim_rules.c - IRQL, counts, disturbed order, and what a broken rule comes to. */
#include "tests/driver/shim/shim.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Thread_local KIRQL irql;
static _Thread_local unsigned locks, regions;
static _Thread_local unsigned dice;
static _Thread_local unsigned pause_left;
static _Thread_local PKEVENT pause_at, pause_go;
static unsigned driver_left;   /* of all the driver's own threads together */
static unsigned driver_inside; /* threads that look at it, or stop there */
static PKEVENT driver_at, driver_go;
static long counts[SHIM_SORTS];
static _Thread_local unsigned long takings, lockings;
static unsigned chaos, sleeps = 2;
static unsigned patience; /* 0: not asked yet */

void
shim_bugcheck(const char *format, ...)
{
	va_list args;

	fputs("BUGCHECK: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

void
shim_assert(const char *what, const char *file, int line)
{
	shim_bugcheck("assertion of the driver's: %s (%s:%d)", what, file, line);
}

VOID
KeBugCheckEx(ULONG code, ULONG_PTR a, ULONG_PTR b, ULONG_PTR c, ULONG_PTR d)
{
	shim_bugcheck(
	    "the driver's own: 0x%x (%#lx, %#lx, %#lx, %#lx)", code, a, b, c, d);
}

KIRQL
KeGetCurrentIrql(VOID)
{
	return irql;
}

void
shim_irql_at_most(KIRQL limit, const char *what)
{
	if (irql > limit)
		shim_bugcheck(
		    "%s at IRQL %d, which may be called up to %d", what, irql, limit);
}

KIRQL
shim_irql_raise(KIRQL to)
{
	KIRQL old = irql;

	irql = to;
	return old;
}

void
shim_irql_set(KIRQL to)
{
	irql = to;
}

VOID
KeRaiseIrql(KIRQL to, PKIRQL old)
{
	if (to < irql)
		shim_bugcheck("KeRaiseIrql from %d to %d", irql, to);
	*old = shim_irql_raise(to);
}

VOID
KeLowerIrql(KIRQL to)
{
	if (to > irql)
		shim_bugcheck("KeLowerIrql from %d to %d", irql, to);
	if (to < DISPATCH_LEVEL && locks > 0)
		shim_bugcheck("KeLowerIrql with %u spin locks held", locks);
	irql = to;
}

/* Spin locks. */
static ULONG_PTR
self(void)
{
	return (ULONG_PTR)&irql;
}

unsigned
shim_locks_held(void)
{
	return locks;
}

VOID
KeInitializeSpinLock(PKSPIN_LOCK lock)
{
	memset(lock, 0, sizeof(*lock));
	pthread_mutex_init(&lock->lock, NULL);
}

VOID
KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK lock)
{
	if (irql != DISPATCH_LEVEL)
		shim_bugcheck("KeAcquireSpinLockAtDpcLevel at IRQL %d", irql);
	if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == self())
		shim_bugcheck("a spin lock is taken by the thread that holds it");
	shim_chaos();
	pthread_mutex_lock(&lock->lock);
	__atomic_store_n(&lock->owner, self(), __ATOMIC_RELAXED);
	locks++;
	lockings++;
}

KIRQL
KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK lock)
{
	KIRQL old = irql;

	shim_irql_at_most(DISPATCH_LEVEL, "KeAcquireSpinLock");
	irql = DISPATCH_LEVEL;
	KeAcquireSpinLockAtDpcLevel(lock);
	return old;
}

VOID
KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK lock)
{
	if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) != self())
		shim_bugcheck("a spin lock is given back by one who does not hold it");
	if (irql != DISPATCH_LEVEL)
		shim_bugcheck("a spin lock is given back at IRQL %d", irql);
	__atomic_store_n(&lock->owner, 0, __ATOMIC_RELAXED);
	locks--;
	pthread_mutex_unlock(&lock->lock);
}

VOID
KeReleaseSpinLock(PKSPIN_LOCK lock, KIRQL old)
{
	KeReleaseSpinLockFromDpcLevel(lock);
	if (old > DISPATCH_LEVEL || (old < DISPATCH_LEVEL && locks > 0))
		shim_bugcheck("a spin lock is given back to IRQL %d with %u others held",
		    old, locks);
	irql = old;
	shim_chaos();
}

/* Who comes back with one more stops Windows: APC_INDEX_MISMATCH. */
VOID
KeEnterCriticalRegion(VOID)
{
	shim_irql_at_most(APC_LEVEL, "KeEnterCriticalRegion");
	regions++;
}

VOID
KeLeaveCriticalRegion(VOID)
{
	shim_irql_at_most(APC_LEVEL, "KeLeaveCriticalRegion");
	if (regions == 0)
		shim_bugcheck("a critical region is left by a thread that is in none");
	regions--;
}

unsigned
shim_regions(void)
{
	return regions;
}

struct shim_frame
shim_enter(void)
{
	return (struct shim_frame){ irql, locks, regions };
}

void
shim_leave(struct shim_frame frame, const char *what)
{
	if (irql != frame.irql)
		shim_bugcheck(
		    "%s came back at IRQL %d, was called at %d", what, irql, frame.irql);
	if (locks != frame.locks)
		shim_bugcheck(
		    "%s came back with %u spin locks more", what, locks - frame.locks);
	if (regions != frame.regions)
		shim_bugcheck("%s came back in %d critical regions more", what,
		    (int)(regions - frame.regions));
}

/* What is taken. */
static const char *const names[SHIM_SORTS] = { "pool", "IRPs", "MDLs", "devices",
	"threads", "handles", "work items", "log entries", "symbolic links" };

void
shim_took(enum shim_sort sort, int by)
{
	__atomic_fetch_add(&counts[sort], by, __ATOMIC_RELAXED);
	takings += by > 0;
}

unsigned long
shim_takings(void)
{
	return takings;
}

void
shim_locked(void)
{
	lockings++;
}

unsigned long
shim_lockings(void)
{
	return lockings;
}

long
shim_count(enum shim_sort sort)
{
	return __atomic_load_n(&counts[sort], __ATOMIC_RELAXED);
}

struct shim_counts
shim_counts(void)
{
	struct shim_counts c;

	for (int i = 0; i < SHIM_SORTS; i++)
		c.of[i] = shim_count((enum shim_sort)i);
	return c;
}

bool
shim_counts_equal(const struct shim_counts *before)
{
	bool equal = true;

	/* A thread that was waited for still has a few instructions to go. */
	for (int i = 0; i < 2000 && shim_count(SHIM_THREAD) != before->of[SHIM_THREAD];
	     i++)
		usleep(1000);
	for (int i = 0; i < SHIM_SORTS; i++) {
		long more = shim_count((enum shim_sort)i) - before->of[i];

		if (more == 0)
			continue;
		fprintf(stderr, "leaked: %ld %s\n", more, names[i]);
		equal = false;
	}
	return equal;
}

/* Disturbed order. */
#ifndef SHIM_FAST
/* Stops if this is the one of all the driver's threads' points that was asked for. */
static void
driver_point(void)
{
	unsigned left;

	if (__atomic_load_n(&driver_left, __ATOMIC_RELAXED) == 0 ||
	    !shim_thread_is_driver())
		return;
	__atomic_add_fetch(&driver_inside, 1, __ATOMIC_SEQ_CST);
	left = __atomic_load_n(&driver_left, __ATOMIC_SEQ_CST);
	while (left > 0 && !__atomic_compare_exchange_n(&driver_left, &left, left - 1,
			       false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	if (left == 1) {
		KeSetEvent(driver_at, IO_NO_INCREMENT, FALSE);
		shim_wait_ms(driver_go, shim_patience());
	}
	__atomic_sub_fetch(&driver_inside, 1, __ATOMIC_SEQ_CST);
}

void
shim_chaos(void)
{
	unsigned seed = __atomic_load_n(&chaos, __ATOMIC_RELAXED);
	unsigned drawn;

	if (pause_left > 0 && --pause_left == 0) {
		KeSetEvent(pause_at, IO_NO_INCREMENT, FALSE);
		shim_wait_ms(pause_go, shim_patience());
	}
	driver_point();
	if (seed == 0)
		return;
	if (dice == 0)
		dice = (seed ^ (unsigned)(self() >> 6)) | 1;
	dice = dice * 1664525 + 1013904223;
	drawn = dice >> 24;
	if (drawn < __atomic_load_n(&sleeps, __ATOMIC_RELAXED))
		usleep(50 + (dice >> 8) % 1000);
	else if (drawn < 24)
		sched_yield();
}
#endif

void
shim_chaos_on(unsigned seed)
{
	dice = 0;
	__atomic_store_n(&chaos, seed | 1, __ATOMIC_RELAXED);
}

unsigned
shim_pause_at(unsigned nth, PKEVENT at, PKEVENT go)
{
	unsigned left = pause_left;

	pause_left = nth;
	pause_at = at;
	pause_go = go;
	return left;
}

void
shim_pause_driver_at(unsigned nth, PKEVENT at, PKEVENT go)
{
	driver_at = at;
	driver_go = go;
	__atomic_store_n(&driver_left, nth, __ATOMIC_SEQ_CST);
}

unsigned
shim_pause_driver_off(void)
{
	return __atomic_exchange_n(&driver_left, 0, __ATOMIC_SEQ_CST);
}

void
shim_pause_driver_gone(void)
{
	for (unsigned ms = 0; __atomic_load_n(&driver_inside, __ATOMIC_SEQ_CST) > 0;
	     ms++) {
		if (ms > shim_patience())
			shim_bugcheck("a thread stays at the point where it was stopped");
		usleep(1000);
	}
}

void
shim_chaos_sleeps(unsigned of_256)
{
	__atomic_store_n(&sleeps, of_256, __ATOMIC_RELAXED);
}

void
shim_chaos_off(void)
{
	__atomic_store_n(&chaos, 0, __ATOMIC_RELAXED);
}

void
shim_patience_ms(unsigned ms)
{
	__atomic_store_n(&patience, ms, __ATOMIC_RELAXED);
}

unsigned
shim_patience(void)
{
	unsigned ms = __atomic_load_n(&patience, __ATOMIC_RELAXED);
	const char *told = getenv("SHIM_PATIENCE_MS");

	if (ms != 0)
		return ms;
	ms = told != NULL ? (unsigned)strtoul(told, NULL, 10) : 0;
	shim_patience_ms(ms != 0 ? ms : 60000);
	return shim_patience();
}
