/*
 * nt_shim: the shim ends a program for every rule that a driver breaks, and lets a good
 * filter pass.  Each broken rule runs in a process of its own, whose last words are read.
 */
#include "tests/driver/shim/shim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAG 0x74736574u

static DRIVER_OBJECT disk, filter;
static PDEVICE_OBJECT pdo, top;
static NTSTATUS (*middle)(PDEVICE_OBJECT device, PIRP irp);

struct extension {
	PDEVICE_OBJECT below;
};

static NTSTATUS
finish(PIRP irp, NTSTATUS status)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = 0;
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	return status;
}

static NTSTATUS
disk_any(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	if (IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_POWER)
		PoStartNextPowerIrp(irp);
	return finish(irp, STATUS_SUCCESS);
}

static NTSTATUS
filter_any(PDEVICE_OBJECT device, PIRP irp)
{
	return middle(device, irp);
}

static PDEVICE_OBJECT
below(PDEVICE_OBJECT device)
{
	return ((struct extension *)device->DeviceExtension)->below;
}

static NTSTATUS
passed(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
	(void)device;
	(void)context;
	if (irp->PendingReturned)
		IoMarkIrpPending(irp);
	return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS
good(PDEVICE_OBJECT device, PIRP irp)
{
	if (IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_POWER) {
		PoStartNextPowerIrp(irp);
		IoSkipCurrentIrpStackLocation(irp);
		return PoCallDriver(below(device), irp);
	}
	IoCopyCurrentIrpStackLocationToNext(irp);
	IoSetCompletionRoutine(irp, passed, NULL, TRUE, TRUE, TRUE);
	return IoCallDriver(below(device), irp);
}

static void
setup(void)
{
	shim_os(5, 2);
	shim_driver_init(&disk, NULL);
	shim_driver_init(&filter, NULL);
	for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) {
		disk.MajorFunction[i] = disk_any;
		filter.MajorFunction[i] = filter_any;
	}
	middle = good;
	if (IoCreateDevice(&disk, 0, NULL, FILE_DEVICE_DISK, 0, FALSE, &pdo) != 0 ||
	    IoCreateDevice(&filter, sizeof(struct extension), NULL, FILE_DEVICE_DISK, 0,
		FALSE, &top) != 0)
		abort();
	((struct extension *)top->DeviceExtension)->below =
	    IoAttachDeviceToDeviceStack(top, pdo);
}

static NTSTATUS
kept(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
	(void)device;
	(void)irp;
	KeSetEvent(context, IO_NO_INCREMENT, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

static NTSTATUS
send(UCHAR major)
{
	PIRP irp = IoAllocateIrp(top->StackSize, FALSE);
	NTSTATUS status;
	KEVENT done;

	KeInitializeEvent(&done, NotificationEvent, FALSE);
	IoGetNextIrpStackLocation(irp)->MajorFunction = major;
	IoSetCompletionRoutine(irp, kept, &done, TRUE, TRUE, TRUE);
	status = major == IRP_MJ_POWER ? PoCallDriver(top, irp) : IoCallDriver(top, irp);
	if (status == STATUS_PENDING)
		KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
	status = irp->IoStatus.Status;
	IoFreeIrp(irp);
	return status;
}

/* ---- Rules broken by a caller ---- */
static KSPIN_LOCK lock;
static KEVENT event;

static void
wait_at_dispatch(void)
{
	KIRQL old;

	KeAcquireSpinLock(&lock, &old);
	KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
}

static void
lock_twice(void)
{
	KIRQL old;

	KeAcquireSpinLock(&lock, &old);
	KeAcquireSpinLock(&lock, &old);
}

static void
lock_not_mine(void)
{
	KeRaiseIrql(DISPATCH_LEVEL, &(KIRQL){ 0 });
	KeReleaseSpinLock(&lock, PASSIVE_LEVEL);
}

static void
paged_at_dispatch(void)
{
	KeRaiseIrql(DISPATCH_LEVEL, &(KIRQL){ 0 });
	ExAllocatePoolWithTag(PagedPool, 8, TAG);
}

static void
close_at_dispatch(void)
{
	HANDLE h = shim_handle_make(&event, false);

	KeRaiseIrql(DISPATCH_LEVEL, &(KIRQL){ 0 });
	ZwClose(h);
}

static void
free_twice(void)
{
	PVOID p = ExAllocatePoolWithTag(NonPagedPool, 8192, TAG);

	((char *)p)[0] = 0;
	ExFreePoolWithTag(p, TAG + 1);
}

static void
event_unmade(void)
{
	KEVENT e = { 0 };

	KeSetEvent(&e, 0, FALSE);
}

static void
remove_lock_twice(void)
{
	IO_REMOVE_LOCK l;

	IoInitializeRemoveLock(&l, TAG, 0, 0);
	IoAcquireRemoveLock(&l, NULL);
	IoReleaseRemoveLock(&l, NULL);
	IoReleaseRemoveLock(&l, NULL);
}

static void
remove_lock_leaked(void)
{
	IO_REMOVE_LOCK l;

	shim_patience_ms(50);
	IoInitializeRemoveLock(&l, TAG, 0, 0);
	IoAcquireRemoveLock(&l, NULL);
	IoAcquireRemoveLock(&l, NULL);
	IoReleaseRemoveLockAndWait(&l, NULL);
}

static void
irp_free_live(void)
{
	PIRP irp = IoAllocateIrp(2, FALSE);

	IoSetNextIrpStackLocation(irp);
	IoFreeIrp(irp);
}

static void
mdl_free_locked(void)
{
	PMDL mdl = IoAllocateMdl(&event, 8, FALSE, FALSE, NULL);

	mdl->MdlFlags |= MDL_PAGES_LOCKED;
	IoFreeMdl(mdl);
}

static void
mdl_free_leaned_on(void)
{
	PMDL mdl = IoAllocateMdl(&event, 8, FALSE, FALSE, NULL);
	PMDL part = IoAllocateMdl(&event, 8, FALSE, FALSE, NULL);

	IoBuildPartialMdl(mdl, part, &event, 4);
	IoFreeMdl(mdl);
}

static void
device_still_attached(void)
{
	IoDeleteDevice(top);
}

static void
device_gone(void)
{
	shim_device_hold(top);
	IoDetachDevice(pdo);
	IoDeleteDevice(top);
	send(IRP_MJ_WRITE);
}

static void
work_item_in_queue(void)
{
	PIO_WORKITEM item = IoAllocateWorkItem(top);

	*(LONG *)((char *)item + 3 * sizeof(PVOID)) = 1;
	IoFreeWorkItem(item);
}

static void
cancel_routine_empty(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	(void)irp;
}

static void
cancel_lock_kept(void)
{
	PIRP irp = IoAllocateIrp(2, FALSE);

	IoSetNextIrpStackLocation(irp);
	IoSetCancelRoutine(irp, cancel_routine_empty);
	IoCancelIrp(irp);
}

static void
log_too_much(void)
{
	PIO_ERROR_LOG_PACKET p = IoAllocateErrorLogEntry(&disk, sizeof(*p));

	p->DumpDataSize = 64;
	IoWriteErrorLogEntry(p);
}

/* ---- Rules broken by a filter ---- */
static NTSTATUS
no_locations(PDEVICE_OBJECT device, PIRP irp)
{
	IoSetNextIrpStackLocation(irp);
	return IoCallDriver(below(device), irp);
}

static NTSTATUS
twice(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	finish(irp, STATUS_SUCCESS);
	return finish(irp, STATUS_SUCCESS);
}

static NTSTATUS
with_pending(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	return finish(irp, STATUS_PENDING);
}

static NTSTATUS
unmarked(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	finish(irp, STATUS_SUCCESS);
	return STATUS_PENDING;
}

static NTSTATUS
marked(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	IoMarkIrpPending(irp);
	return finish(irp, STATUS_SUCCESS);
}

static NTSTATUS
lost(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	(void)irp;
	return STATUS_SUCCESS;
}

static NTSTATUS
other_status(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	finish(irp, STATUS_SUCCESS);
	return STATUS_UNSUCCESSFUL;
}

static NTSTATUS
irql_leaked(PDEVICE_OBJECT device, PIRP irp)
{
	KIRQL old;

	(void)device;
	finish(irp, STATUS_SUCCESS);
	KeRaiseIrql(DISPATCH_LEVEL, &old);
	return STATUS_SUCCESS;
}

static NTSTATUS
call_locked(PDEVICE_OBJECT device, PIRP irp)
{
	KIRQL old;

	KeAcquireSpinLock(&lock, &old);
	return good(device, irp);
}

static NTSTATUS
over_the_upper(PDEVICE_OBJECT device, PIRP irp)
{
	IoSkipCurrentIrpStackLocation(irp);
	IoSetCompletionRoutine(irp, passed, NULL, TRUE, TRUE, TRUE);
	return IoCallDriver(below(device), irp);
}

static NTSTATUS
routine_waits(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
	(void)context;
	KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	return passed(device, irp, NULL);
}

static NTSTATUS
wait_in_routine(PDEVICE_OBJECT device, PIRP irp)
{
	IoCopyCurrentIrpStackLocationToNext(irp);
	IoSetCompletionRoutine(irp, routine_waits, NULL, TRUE, TRUE, TRUE);
	return IoCallDriver(below(device), irp);
}

static NTSTATUS
cancel_left(PDEVICE_OBJECT device, PIRP irp)
{
	(void)device;
	IoSetCancelRoutine(irp, cancel_routine_empty);
	return finish(irp, STATUS_SUCCESS);
}

static NTSTATUS
no_next_power(PDEVICE_OBJECT device, PIRP irp)
{
	IoCopyCurrentIrpStackLocationToNext(irp);
	return PoCallDriver(below(device), irp);
}

static NTSTATUS
no_po_call(PDEVICE_OBJECT device, PIRP irp)
{
	PoStartNextPowerIrp(irp);
	IoSkipCurrentIrpStackLocation(irp);
	return IoCallDriver(below(device), irp);
}

struct rule {
	const char *words;
	void (*caller)(void);
	NTSTATUS (*filter)(PDEVICE_OBJECT device, PIRP irp);
	UCHAR major;
};

static const struct rule rules[] = {
	{ "a wait at IRQL 2", wait_at_dispatch, NULL, 0 },
	{ "by the thread that holds it", lock_twice, NULL, 0 },
	{ "by one who does not hold it", lock_not_mine, NULL, 0 },
	{ "ExAllocatePoolWithTag at IRQL 2", paged_at_dispatch, NULL, 0 },
	{ "ZwClose at IRQL 2", close_at_dispatch, NULL, 0 },
	{ "another tag", free_twice, NULL, 0 },
	{ "never initialized", event_unmade, NULL, 0 },
	{ "who has not taken it", remove_lock_twice, NULL, 0 },
	{ "a removal hangs", remove_lock_leaked, NULL, 0 },
	{ "still with a driver", irp_free_live, NULL, 0 },
	{ "whose pages are locked", mdl_free_locked, NULL, 0 },
	{ "partial ones lean on", mdl_free_leaned_on, NULL, 0 },
	{ "deleted before it was detached", device_still_attached, NULL, 0 },
	{ "a device that was deleted", device_gone, NULL, 0 },
	{ "is in a queue", work_item_in_queue, NULL, 0 },
	{ "kept the cancel spin lock", cancel_lock_kept, NULL, 0 },
	{ "says more than it has", log_too_much, NULL, 0 },
	{ "NO_MORE_IRP_STACK_LOCATIONS", NULL, no_locations, IRP_MJ_WRITE },
	{ "MULTIPLE_IRP_COMPLETE_REQUESTS", NULL, twice, IRP_MJ_WRITE },
	{ "completed with STATUS_PENDING", NULL, with_pending, IRP_MJ_WRITE },
	{ "did not mark it", NULL, unmarked, IRP_MJ_WRITE },
	{ "marked it pending and returned", NULL, marked, IRP_MJ_WRITE },
	{ "has not completed the request", NULL, lost, IRP_MJ_WRITE },
	{ "and completed with", NULL, other_status, IRP_MJ_WRITE },
	{ "came back at IRQL 2", NULL, irql_leaked, IRP_MJ_WRITE },
	{ "IoCallDriver with a spin lock held", NULL, call_locked, IRP_MJ_WRITE },
	{ "routine of the driver above", NULL, over_the_upper, IRP_MJ_WRITE },
	{ "a wait at IRQL 2", NULL, wait_in_routine, IRP_MJ_WRITE },
	{ "has a cancel routine", NULL, cancel_left, IRP_MJ_WRITE },
	{ "without PoStartNextPowerIrp", NULL, no_next_power, IRP_MJ_POWER },
	{ "without PoCallDriver", NULL, no_po_call, IRP_MJ_POWER },
};

static void
rule_break(const struct rule *r, int out)
{
	dup2(out, 2);
	setup();
	KeInitializeSpinLock(&lock);
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	if (r->caller != NULL)
		r->caller();
	if (r->filter != NULL) {
		middle = r->filter;
		send(r->major);
	}
	_exit(0);
}

static int
rule_check(const struct rule *r)
{
	char words[4096] = "";
	size_t n = 0;
	ssize_t got;
	int fds[2], status;
	pid_t child;

	fflush(stdout);
	if (pipe(fds) != 0 || (child = fork()) < 0)
		return 1;
	if (child == 0)
		rule_break(r, fds[1]);
	close(fds[1]);
	while (n < sizeof(words) - 1 &&
	       (got = read(fds[0], words + n, sizeof(words) - 1 - n)) > 0)
		n += (size_t)got;
	words[n] = 0;
	close(fds[0]);
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	    strncmp(words, "BUGCHECK: ", 10) == 0 && strstr(words, r->words) != NULL)
		return 0;
	printf("not caught: \"%s\"; it said: %.300s\n", r->words, words);
	return 1;
}

int
main(void)
{
	int bad = 0;
	struct shim_counts before = shim_counts();

	for (size_t i = 0; i < ARRAYSIZE(rules); i++)
		bad += rule_check(&rules[i]);
	setup();
	for (int i = 0; i < 100; i++)
		bad += send(i % 2 ? IRP_MJ_WRITE : IRP_MJ_POWER) != STATUS_SUCCESS;
	IoDetachDevice(pdo);
	IoDeleteDevice(top);
	IoDeleteDevice(pdo);
	bad += !shim_counts_equal(&before);
	printf("%zu rules, %d not kept\n", ARRAYSIZE(rules), bad);
	return bad != 0;
}
