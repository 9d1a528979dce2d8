/* shim_wait.c - events, mutexes, semaphores, waiting, time. */
#include "tests/driver/shim/shim.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define OBJECT_MAGIC 0x4a424f4bu
#define FOREVER UINT64_MAX
/* A wait for several objects looks at each in turn. */
#define LOOK_US 200

void
shim_object_make(PKEVENT o, enum shim_object_sort sort, LONG signalled)
{
	pthread_condattr_t monotonic;

	memset(o, 0, sizeof(*o));
	o->magic = OBJECT_MAGIC;
	o->sort = sort;
	o->signalled = signalled;
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&o->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void
shim_object_done(PKEVENT o)
{
	o->magic = 0;
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
}

static void
take(PKEVENT o, const char *what)
{
	if (o->magic != OBJECT_MAGIC)
		shim_bugcheck("%s of what was never initialized", what);
	shim_locked();
	shim_chaos();
	pthread_mutex_lock(&o->lock);
}

/* All is told under the lock: who waits may be gone, with its stack, once it is given
   back. */
static LONG
set(PKEVENT o, LONG to, const char *what)
{
	LONG was;

	shim_irql_at_most(DISPATCH_LEVEL, what);
	take(o, what);
	was = o->signalled;
	o->signalled = to;
	if (to > 0)
		pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
	return was;
}

VOID
KeInitializeEvent(PKEVENT event, EVENT_TYPE type, BOOLEAN signalled)
{
	shim_object_make(event,
	    type == SynchronizationEvent ? SHIM_EVENT_AUTO : SHIM_EVENT, signalled);
}

LONG
KeSetEvent(PKEVENT event, KPRIORITY boost, BOOLEAN wait)
{
	(void)boost;
	if (wait)
		shim_bugcheck("KeSetEvent with Wait: no wait follows here");
	return set(event, 1, "KeSetEvent");
}

VOID
KeClearEvent(PKEVENT event)
{
	set(event, 0, "KeClearEvent");
}

LONG
KeResetEvent(PKEVENT event)
{
	return set(event, 0, "KeResetEvent");
}

LONG
KeReadStateEvent(PKEVENT event)
{
	LONG is;

	take(event, "KeReadStateEvent");
	is = event->signalled;
	pthread_mutex_unlock(&event->lock);
	return is;
}

VOID
KeInitializeMutex(PKMUTEX mutex, ULONG level)
{
	(void)level;
	shim_object_make(mutex, SHIM_MUTEX, 1);
}

LONG
KeReleaseMutex(PKMUTEX mutex, BOOLEAN wait)
{
	(void)wait;
	shim_irql_at_most(DISPATCH_LEVEL, "KeReleaseMutex");
	take(mutex, "KeReleaseMutex");
	if (mutex->depth == 0 || !pthread_equal(mutex->owner, pthread_self()))
		shim_bugcheck("a mutex is given back by one who does not hold it");
	if (--mutex->depth == 0) {
		mutex->signalled = 1;
		pthread_cond_broadcast(&mutex->changed);
	}
	pthread_mutex_unlock(&mutex->lock);
	return 0;
}

VOID
KeInitializeSemaphore(PKSEMAPHORE semaphore, LONG count, LONG limit)
{
	(void)limit;
	shim_object_make(semaphore, SHIM_SEMAPHORE, count);
}

LONG
KeReleaseSemaphore(PKSEMAPHORE s, KPRIORITY boost, LONG by, BOOLEAN wait)
{
	LONG was;

	(void)boost;
	(void)wait;
	take(s, "KeReleaseSemaphore");
	was = s->signalled;
	s->signalled += by;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return was;
}

VOID
ExInitializeFastMutex(PFAST_MUTEX mutex)
{
	KeInitializeMutex(&mutex->mutex, 0);
	mutex->old = PASSIVE_LEVEL;
}

VOID
ExAcquireFastMutex(PFAST_MUTEX mutex)
{
	KIRQL old = KeGetCurrentIrql();

	shim_irql_at_most(APC_LEVEL, "ExAcquireFastMutex");
	KeWaitForSingleObject(&mutex->mutex, Executive, KernelMode, FALSE, NULL);
	if (mutex->mutex.depth > 1)
		shim_bugcheck("a fast mutex is taken by the thread that holds it");
	shim_irql_set(APC_LEVEL);
	mutex->old = old;
}

VOID
ExReleaseFastMutex(PFAST_MUTEX mutex)
{
	KIRQL old = mutex->old;

	if (KeGetCurrentIrql() != APC_LEVEL)
		shim_bugcheck("ExReleaseFastMutex at IRQL %d", KeGetCurrentIrql());
	KeReleaseMutex(&mutex->mutex, FALSE);
	shim_irql_set(old);
}

/* ---- Waiting ---- */
static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 10000000 + (uint64_t)t.tv_nsec / 100;
}

static uint64_t
until(PLARGE_INTEGER timeout)
{
	if (timeout == NULL)
		return FOREVER;
	if (timeout->QuadPart > 0)
		shim_bugcheck(
		    "a wait until a time of day: a clock that is set would move it");
	return now() + (uint64_t)-timeout->QuadPart;
}

static bool
ready(PKEVENT o)
{
	return o->signalled > 0 || (o->sort == SHIM_MUTEX && o->depth > 0 &&
				       pthread_equal(o->owner, pthread_self()));
}

static void
consume(PKEVENT o)
{
	if (o->sort == SHIM_EVENT_AUTO) {
		o->signalled = 0;
	} else if (o->sort == SHIM_SEMAPHORE) {
		o->signalled--;
	} else if (o->sort == SHIM_MUTEX) {
		o->signalled = 0;
		o->owner = pthread_self();
		o->depth++;
	}
}

static NTSTATUS
wait_until(PKEVENT o, uint64_t end)
{
	NTSTATUS status = STATUS_SUCCESS;
	struct timespec t = { (time_t)(end / 10000000), (long)(end % 10000000) * 100 };

	take(o, "KeWaitForSingleObject");
	while (!ready(o) && status == STATUS_SUCCESS) {
		if (end == FOREVER)
			pthread_cond_wait(&o->changed, &o->lock);
		else if (pthread_cond_timedwait(&o->changed, &o->lock, &t) == ETIMEDOUT)
			status = STATUS_TIMEOUT;
	}
	if (ready(o)) {
		consume(o);
		status = STATUS_SUCCESS;
	}
	pthread_mutex_unlock(&o->lock);
	return status;
}

NTSTATUS
KeWaitForSingleObject(PVOID object, KWAIT_REASON reason, KPROCESSOR_MODE mode,
    BOOLEAN alertable, PLARGE_INTEGER timeout)
{
	(void)reason;
	(void)mode;
	(void)alertable;
	if (timeout == NULL || timeout->QuadPart != 0)
		shim_irql_at_most(APC_LEVEL, "a wait");
	else
		shim_irql_at_most(DISPATCH_LEVEL, "a look at an event");
	return wait_until(object, until(timeout));
}

bool
shim_wait_ms(PKEVENT object, unsigned ms)
{
	return wait_until(object, now() + (uint64_t)ms * 10000) == STATUS_SUCCESS;
}

NTSTATUS
KeWaitForMultipleObjects(ULONG count, PVOID objects[], WAIT_TYPE type,
    KWAIT_REASON reason, KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER timeout,
    PVOID blocks)
{
	uint64_t end = until(timeout);

	(void)reason;
	(void)mode;
	(void)alertable;
	(void)blocks;
	shim_irql_at_most(APC_LEVEL, "a wait");
	if (type == WaitAll) {
		for (ULONG i = 0; i < count; i++)
			if (wait_until(objects[i], end) != STATUS_SUCCESS)
				return STATUS_TIMEOUT;
		return STATUS_SUCCESS;
	}
	for (;;) {
		for (ULONG i = 0; i < count; i++)
			if (wait_until(objects[i], 0) == STATUS_SUCCESS)
				return (NTSTATUS)i;
		if (now() >= end)
			return STATUS_TIMEOUT;
		usleep(LOOK_US);
	}
}

NTSTATUS
KeDelayExecutionThread(KPROCESSOR_MODE mode, BOOLEAN alertable, PLARGE_INTEGER interval)
{
	uint64_t end = until(interval);
	struct timespec t = { (time_t)(end / 10000000), (long)(end % 10000000) * 100 };

	(void)mode;
	(void)alertable;
	shim_irql_at_most(APC_LEVEL, "KeDelayExecutionThread");
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
	return STATUS_SUCCESS;
}

ULONGLONG
KeQueryInterruptTime(VOID)
{
	return now();
}

VOID
KeQueryTickCount(PLARGE_INTEGER count)
{
	count->QuadPart = (LONGLONG)(now() / KeQueryTimeIncrement());
}

ULONG
KeQueryTimeIncrement(VOID)
{
	return 156250;
}

VOID
KeQuerySystemTime(PLARGE_INTEGER time)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	time->QuadPart = ((LONGLONG)t.tv_sec + 11644473600) * 10000000 + t.tv_nsec / 100;
}

LARGE_INTEGER
KeQueryPerformanceCounter(PLARGE_INTEGER frequency)
{
	LARGE_INTEGER t;

	if (frequency != NULL)
		frequency->QuadPart = 10000000;
	t.QuadPart = (LONGLONG)now();
	return t;
}

VOID
KeStallExecutionProcessor(ULONG microseconds)
{
	usleep(microseconds);
}
