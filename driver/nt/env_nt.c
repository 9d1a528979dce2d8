#include <stdint.h>
#include "driver/core/env.h"
#include "driver/nt/nt.h"

NT_ASSERT_SIZE(lock_fits, sizeof(KSPIN_LOCK) <= sizeof(struct env_lock));
NT_ASSERT_SIZE(mutex_fits, sizeof(KEVENT) <= sizeof(struct env_mutex));
NT_ASSERT_SIZE(event_fits, sizeof(KEVENT) <= sizeof(struct env_event));

struct thread {
	void (*run)(void *arg);
	void *arg;
	PVOID object; /* referenced until the join */
};
NT_ASSERT_SIZE(thread_fits, sizeof(struct thread) <= sizeof(struct env_thread));

/*
 * Data that can run is a gift to who finds a hole, so from Windows 8 on the pool is the
 * one that cannot.  Older kernels know no such pool and take the number for another.
 */
static POOL_TYPE
pool(void)
{
	static uint32_t known; /* 0: not asked yet; else the pool and 1 more */
	RTL_OSVERSIONINFOW version = { .dwOSVersionInfoSize = sizeof(version) };
	uint32_t type = atomic_get(&known);

	if (type != 0)
		return (POOL_TYPE)(type - 1);
	type = NonPagedPool;
	if (NT_SUCCESS(RtlGetVersion(&version)) &&
	    (version.dwMajorVersion > 6 ||
		(version.dwMajorVersion == 6 && version.dwMinorVersion >= 2)))
		type = COMPAT_POOL_NX;
	atomic_put(&known, type + 1);
	return (POOL_TYPE)type;
}

void *
env_alloc_bare(size_t bytes)
{
	/* The pool gives nothing of 4 GiB, and answers 0 bytes with a block. */
	if (bytes == 0 || bytes > UINT32_MAX)
		return NULL;
	return ExAllocatePoolWithTag(pool(), bytes, NT_TAG);
}

void *
env_alloc(size_t bytes)
{
	void *p = env_alloc_bare(bytes);

	if (p != NULL)
		RtlZeroMemory(p, bytes);
	return p;
}

void
env_free(void *p)
{
	if (p != NULL)
		ExFreePoolWithTag(p, NT_TAG);
}

void
env_lock_init(struct env_lock *lock)
{
	KeInitializeSpinLock((KSPIN_LOCK *)lock);
}

unsigned
env_lock_take(struct env_lock *lock)
{
	KIRQL old;

	KeAcquireSpinLock((KSPIN_LOCK *)lock, &old);
	return old;
}

void
env_lock_give(struct env_lock *lock, unsigned old)
{
	KeReleaseSpinLock((KSPIN_LOCK *)lock, (KIRQL)old);
}

/*
 * An event that lets one through, as a FAST_MUTEX without its APC_LEVEL, where I/O of our
 * own would never complete.  In a critical region: a program's thread that is suspended
 * while it holds the set's lock, perhaps with the gates closed, would keep them closed.
 * (A KMUTEX does the same, but Wine loses wake-ups of those.)
 */
void
env_mutex_init(struct env_mutex *mutex)
{
	KeInitializeEvent((KEVENT *)mutex, SynchronizationEvent, TRUE);
}

void
env_mutex_take(struct env_mutex *mutex)
{
	KeEnterCriticalRegion();
	KeWaitForSingleObject((KEVENT *)mutex, Executive, KernelMode, FALSE, NULL);
}

void
env_mutex_give(struct env_mutex *mutex)
{
	KeSetEvent((KEVENT *)mutex, IO_NO_INCREMENT, FALSE);
	KeLeaveCriticalRegion();
}

void
env_mutex_done(struct env_mutex *mutex)
{
	(void)mutex;
}

void
env_event_init(struct env_event *event, enum env_event_kind kind)
{
	KeInitializeEvent((KEVENT *)event,
	    kind == ENV_STAYS ? NotificationEvent : SynchronizationEvent, FALSE);
}

void
env_event_set(struct env_event *event)
{
	/* A waiting write of the host hangs on most of these. */
	KeSetEvent((KEVENT *)event, IO_DISK_INCREMENT, FALSE);
}

void
env_event_clear(struct env_event *event)
{
	KeClearEvent((KEVENT *)event);
}

void
env_event_done(struct env_event *event)
{
	(void)event;
}

bool
env_event_wait(struct env_event *event, uint64_t time)
{
	LARGE_INTEGER until, *wait = NULL;

	if (time < INT64_MAX) {
		until.QuadPart = -(LONGLONG)time; /* relative */
		wait = &until;
	}
	return KeWaitForSingleObject(
		   (KEVENT *)event, Executive, KernelMode, FALSE, wait) != STATUS_TIMEOUT;
}

static VOID NTAPI
begin(PVOID context)
{
	struct thread *t = context;

	/* A write that waits for a copy must not wait for programs' threads, too. */
	KeSetPriorityThread((PKTHREAD)PsGetCurrentThread(), LOW_REALTIME_PRIORITY);
	t->run(t->arg);
	PsTerminateSystemThread(STATUS_SUCCESS);
}

int
env_thread_start(struct env_thread *thread, void (*run)(void *arg), void *arg)
{
	struct thread *t = (struct thread *)thread;
	OBJECT_ATTRIBUTES attributes;
	HANDLE handle;

	t->run = run;
	t->arg = arg;
	InitializeObjectAttributes(&attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
	if (!NT_SUCCESS(PsCreateSystemThread(
		&handle, THREAD_ALL_ACCESS, &attributes, NULL, NULL, begin, t)))
		return -1;
	/* Of a valid handle with all access this cannot fail: the thread runs already,
	   and could not be taken back. */
	while (!NT_SUCCESS(ObReferenceObjectByHandle(
	    handle, SYNCHRONIZE, NULL, KernelMode, &t->object, NULL)))
		;
	ZwClose(handle);
	return 0;
}

void
env_thread_join(struct env_thread *thread)
{
	struct thread *t = (struct thread *)thread;

	KeWaitForSingleObject(t->object, Executive, KernelMode, FALSE, NULL);
	ObDereferenceObject(t->object);
	t->object = NULL;
}

uint64_t
env_now(void)
{
	return KeQueryInterruptTime();
}
