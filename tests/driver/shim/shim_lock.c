/* shim_lock.c - remove locks and work items. */
#include "tests/driver/shim/shim.h"

#include <stdlib.h>

#define LOCK_MAGIC 0x4b434f4cu

struct _IO_WORKITEM {
	PDEVICE_OBJECT device;
	PIO_WORKITEM_ROUTINE routine;
	PVOID context;
	LONG queued;
};

VOID
IoInitializeRemoveLock(PIO_REMOVE_LOCK lock, ULONG tag, ULONG minutes, ULONG high)
{
	(void)tag;
	(void)minutes;
	(void)high;
	memset(lock, 0, sizeof(*lock));
	lock->magic = LOCK_MAGIC;
	lock->count = 1;
	KeInitializeEvent(&lock->empty, NotificationEvent, FALSE);
}

static void
known(PIO_REMOVE_LOCK lock)
{
	if (lock->magic != LOCK_MAGIC)
		shim_bugcheck("a remove lock that was never initialized");
}

VOID
IoReleaseRemoveLock(PIO_REMOVE_LOCK lock, PVOID tag)
{
	LONG left;

	(void)tag;
	known(lock);
	shim_irql_at_most(DISPATCH_LEVEL, "IoReleaseRemoveLock");
	left = __atomic_sub_fetch(&lock->count, 1, __ATOMIC_SEQ_CST);
	if (left < 0)
		shim_bugcheck("a remove lock is given back more often than it was taken");
	if (left > 0)
		return;
	if (__atomic_load_n(&lock->removed, __ATOMIC_SEQ_CST) == 0)
		shim_bugcheck("a remove lock is given back by one who has not taken it");
	KeSetEvent(&lock->empty, IO_NO_INCREMENT, FALSE);
}

NTSTATUS
IoAcquireRemoveLock(PIO_REMOVE_LOCK lock, PVOID tag)
{
	known(lock);
	shim_irql_at_most(DISPATCH_LEVEL, "IoAcquireRemoveLock");
	__atomic_add_fetch(&lock->count, 1, __ATOMIC_SEQ_CST);
	shim_chaos();
	if (__atomic_load_n(&lock->removed, __ATOMIC_SEQ_CST) == 0)
		return STATUS_SUCCESS;
	IoReleaseRemoveLock(lock, tag);
	return STATUS_DELETE_PENDING;
}

/* For the one that the caller holds, and the lock's own. */
VOID
IoReleaseRemoveLockAndWait(PIO_REMOVE_LOCK lock, PVOID tag)
{
	known(lock);
	shim_irql_at_most(PASSIVE_LEVEL, "IoReleaseRemoveLockAndWait");
	if (__atomic_exchange_n(&lock->removed, 1, __ATOMIC_SEQ_CST) != 0)
		shim_bugcheck("a remove lock is waited for twice");
	IoReleaseRemoveLock(lock, tag);
	IoReleaseRemoveLock(lock, tag);
	if (!shim_wait_ms(&lock->empty, shim_patience()))
		shim_bugcheck("a removal hangs: %d hold the remove lock",
		    __atomic_load_n(&lock->count, __ATOMIC_SEQ_CST));
}

/* ---- Work items ---- */
PIO_WORKITEM
IoAllocateWorkItem(PDEVICE_OBJECT device)
{
	PIO_WORKITEM item;

	shim_irql_at_most(DISPATCH_LEVEL, "IoAllocateWorkItem");
	if (shim_fail_now())
		return NULL;
	item = calloc(1, sizeof(*item));
	if (item == NULL)
		abort();
	item->device = device;
	shim_took(SHIM_WORK_ITEM, 1);
	return item;
}

VOID
IoFreeWorkItem(PIO_WORKITEM item)
{
	shim_irql_at_most(DISPATCH_LEVEL, "IoFreeWorkItem");
	if (__atomic_load_n(&item->queued, __ATOMIC_ACQUIRE) != 0)
		shim_bugcheck("a work item is freed that is in a queue");
	shim_took(SHIM_WORK_ITEM, -1);
	free(item);
}

/* The item may be freed, or queued again, by its own routine. */
static void *
work(void *arg)
{
	PIO_WORKITEM item = arg;
	PDEVICE_OBJECT device = item->device;
	PIO_WORKITEM_ROUTINE routine = item->routine;
	PVOID context = item->context;

	__atomic_store_n(&item->queued, 0, __ATOMIC_RELEASE);
	routine(device, context);
	if (KeGetCurrentIrql() != PASSIVE_LEVEL || shim_locks_held() > 0)
		shim_bugcheck("a work item came back at IRQL %d", KeGetCurrentIrql());
	shim_took(SHIM_THREAD, -1);
	shim_device_release(device);
	return NULL;
}

VOID
IoQueueWorkItem(
    PIO_WORKITEM item, PIO_WORKITEM_ROUTINE routine, WORK_QUEUE_TYPE queue, PVOID context)
{
	pthread_attr_t detached;
	pthread_t thread;

	(void)queue;
	shim_irql_at_most(DISPATCH_LEVEL, "IoQueueWorkItem");
	if (__atomic_exchange_n(&item->queued, 1, __ATOMIC_ACQ_REL) != 0)
		shim_bugcheck("a work item is queued twice");
	item->routine = routine;
	item->context = context;
	/* The I/O manager keeps the device until the routine is back. */
	shim_device_hold(item->device);
	shim_took(SHIM_THREAD, 1);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &detached, work, item) != 0)
		shim_bugcheck("no thread for a work item");
	pthread_attr_destroy(&detached);
}
