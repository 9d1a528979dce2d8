/* shim_irp.c - requests: made, sent down, completed upwards, cancelled. */
#include "tests/driver/shim/shim.h"

#include <stdlib.h>

#define IRP_MAGIC 0x50524941u
#define IRP_GONE 0x454e4f47u
/* Whose is it?  A driver's that has not completed it; on its way up; done. */
enum { OWNED = 1, COMPLETING, DONE };

/*
 * One IoCallDriver until both of its ends are known: what the dispatch routine returned,
 * and that the request has been completed at its stack location.  The one who brings the
 * second end judges.
 */
struct shim_call {
	struct shim_call *next; /* on the same location: after IoSkip... */
	LONG ends;		/* still to come */
	PDEVICE_OBJECT device;
	UCHAR major;
	bool marked, next_power;
	NTSTATUS completed, returned;
};

static KSPIN_LOCK cancel_lock;
static _Thread_local bool by_power; /* within PoCallDriver */

static PIO_STACK_LOCATION
location(PIRP irp, int n)
{
	return (PIO_STACK_LOCATION)(irp + 1) + n - 1;
}

static void
live(PIRP irp, const char *what)
{
	if (irp->shim.magic == IRP_GONE)
		shim_bugcheck("%s of an IRP that was freed", what);
	if (irp->shim.magic != IRP_MAGIC)
		shim_bugcheck("%s of what is no IRP", what);
}

/* ---- Making ---- */
static void
irp_init(PIRP irp, USHORT bytes, CCHAR stack)
{
	memset(irp, 0, bytes);
	irp->Size = bytes;
	irp->StackCount = stack;
	irp->CurrentLocation = (CHAR)(stack + 1);
	irp->Tail.Overlay.CurrentStackLocation = location(irp, stack + 1);
	irp->shim.magic = IRP_MAGIC;
	irp->shim.state = OWNED;
}

VOID
IoInitializeIrp(PIRP irp, USHORT bytes, CCHAR stack)
{
	if (bytes < IoSizeOfIrp(stack))
		shim_bugcheck(
		    "IoInitializeIrp of %u bytes for %d locations", bytes, stack);
	irp_init(irp, bytes, stack);
	irp->shim.pool = TRUE;
}

PIRP
IoAllocateIrp(CCHAR stack, BOOLEAN quota)
{
	USHORT bytes = IoSizeOfIrp(stack);
	PIRP irp;

	(void)quota;
	shim_irql_at_most(DISPATCH_LEVEL, "IoAllocateIrp");
	if (stack <= 0)
		shim_bugcheck("IoAllocateIrp for %d locations", stack);
	if (shim_fail_now())
		return NULL;
	irp = malloc(bytes);
	if (irp == NULL)
		abort();
	irp_init(irp, bytes, stack);
	shim_took(SHIM_IRP, 1);
	return irp;
}

static void
at_rest(PIRP irp, const char *what)
{
	live(irp, what);
	if (irp->CurrentLocation != irp->StackCount + 1)
		shim_bugcheck("%s of an IRP that is still with a driver", what);
	if (__atomic_load_n(&irp->shim.state, __ATOMIC_ACQUIRE) == COMPLETING)
		shim_bugcheck("%s of an IRP that is being completed", what);
	if (irp->CancelRoutine != NULL)
		shim_bugcheck("%s of an IRP that has a cancel routine", what);
}

VOID
IoReuseIrp(PIRP irp, NTSTATUS status)
{
	BOOLEAN pool = irp->shim.pool;

	at_rest(irp, "IoReuseIrp");
	if (irp->shim.threaded)
		shim_bugcheck("IoReuseIrp of an IRP that the I/O manager frees");
	irp_init(irp, irp->Size, irp->StackCount);
	irp->shim.pool = pool;
	irp->IoStatus.Status = status;
}

VOID
IoFreeIrp(PIRP irp)
{
	shim_irql_at_most(DISPATCH_LEVEL, "IoFreeIrp");
	at_rest(irp, "IoFreeIrp");
	if (irp->shim.threaded || irp->shim.pool)
		shim_bugcheck("IoFreeIrp of an IRP that is not the caller's to free");
	irp->shim.magic = IRP_GONE;
	shim_took(SHIM_IRP, -1);
	free(irp);
}

/* ---- Stack locations ---- */
PIO_STACK_LOCATION
IoGetCurrentIrpStackLocation(PIRP irp)
{
	live(irp, "IoGetCurrentIrpStackLocation");
	if (irp->CurrentLocation > irp->StackCount)
		shim_bugcheck(
		    "IoGetCurrentIrpStackLocation of an IRP that is with no driver");
	return irp->Tail.Overlay.CurrentStackLocation;
}

PIO_STACK_LOCATION
IoGetNextIrpStackLocation(PIRP irp)
{
	live(irp, "IoGetNextIrpStackLocation");
	if (irp->CurrentLocation <= 1)
		shim_bugcheck("NO_MORE_IRP_STACK_LOCATIONS");
	return irp->Tail.Overlay.CurrentStackLocation - 1;
}

VOID
IoSkipCurrentIrpStackLocation(PIRP irp)
{
	/* The driver below would return its own status for a request that is marked. */
	if (IoGetCurrentIrpStackLocation(irp)->Control & SL_PENDING_RETURNED)
		shim_bugcheck("IoSkipCurrentIrpStackLocation after IoMarkIrpPending");
	irp->CurrentLocation++;
	irp->Tail.Overlay.CurrentStackLocation++;
}

VOID
IoSetNextIrpStackLocation(PIRP irp)
{
	IoGetNextIrpStackLocation(irp);
	irp->CurrentLocation--;
	irp->Tail.Overlay.CurrentStackLocation--;
}

VOID
IoCopyCurrentIrpStackLocationToNext(PIRP irp)
{
	PIO_STACK_LOCATION to = IoGetNextIrpStackLocation(irp);

	memcpy(to, IoGetCurrentIrpStackLocation(irp),
	    offsetof(IO_STACK_LOCATION, CompletionRoutine));
	to->Control = 0;
}

VOID
IoMarkIrpPending(PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);

	if (__atomic_load_n(&irp->shim.state, __ATOMIC_ACQUIRE) != OWNED)
		shim_bugcheck(
		    "IoMarkIrpPending of an IRP that is not the caller's any more");
	at->Control |= SL_PENDING_RETURNED;
}

VOID
IoSetCompletionRoutine(PIRP irp, PIO_COMPLETION_ROUTINE routine, PVOID context,
    BOOLEAN success, BOOLEAN error, BOOLEAN cancel)
{
	PIO_STACK_LOCATION to = IoGetNextIrpStackLocation(irp);

	if (to->shim_calls != NULL)
		shim_bugcheck("IoSetCompletionRoutine after "
			      "IoSkipCurrentIrpStackLocation: over the "
			      "routine of the driver above");
	to->CompletionRoutine = routine;
	to->Context = context;
	to->Control = (UCHAR)((success ? SL_INVOKE_ON_SUCCESS : 0) |
			      (error ? SL_INVOKE_ON_ERROR : 0) |
			      (cancel ? SL_INVOKE_ON_CANCEL : 0));
}

/* ---- Both ends of a call ---- */
#ifdef SHIM_FAST
#define call_begin(irp, device) NULL
#define call_return(call, status) ((void)(call), (void)(status))
#define call_complete(at, status, marked) ((void)(status))
#else
static void
call_end(struct shim_call *c)
{
	if (__atomic_sub_fetch(&c->ends, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (c->returned == STATUS_PENDING && !c->marked)
		shim_bugcheck(
		    "major %u returned STATUS_PENDING and did not mark it", c->major);
	if (c->returned != STATUS_PENDING && c->marked)
		shim_bugcheck("major %u marked it pending and returned 0x%08x", c->major,
		    (unsigned)c->returned);
	if (c->returned != STATUS_PENDING && c->returned != c->completed)
		shim_bugcheck("major %u returned 0x%08x and completed with 0x%08x",
		    c->major, (unsigned)c->returned, (unsigned)c->completed);
	if (shim_os_old() && c->major == IRP_MJ_POWER && !c->next_power)
		shim_bugcheck("a power request went by without PoStartNextPowerIrp");
	free(c);
}

static struct shim_call *
call_begin(PIRP irp, PDEVICE_OBJECT device)
{
	PIO_STACK_LOCATION at = irp->Tail.Overlay.CurrentStackLocation;
	struct shim_call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->ends = 2;
	c->device = device;
	c->major = at->MajorFunction;
	c->next = at->shim_calls;
	at->shim_calls = c;
	return c;
}

static void
call_return(struct shim_call *c, NTSTATUS status)
{
	if (status != STATUS_PENDING && __atomic_load_n(&c->ends, __ATOMIC_ACQUIRE) == 2)
		shim_bugcheck(
		    "major %u returned 0x%08x and has not completed the request",
		    c->major, (unsigned)status);
	c->returned = status;
	call_end(c);
}

static void
call_complete(PIO_STACK_LOCATION at, NTSTATUS status, bool marked)
{
	struct shim_call *c = at->shim_calls, *next;

	at->shim_calls = NULL;
	for (; c != NULL; c = next) {
		next = c->next;
		c->completed = status;
		c->marked = marked;
		call_end(c);
	}
}
#endif

NTSTATUS
IoCallDriver(PDEVICE_OBJECT device, PIRP irp)
{
	struct shim_frame frame = shim_enter();
	PIO_STACK_LOCATION at;
	struct shim_call *call;
	NTSTATUS status;

	live(irp, "IoCallDriver");
	shim_irql_at_most(DISPATCH_LEVEL, "IoCallDriver");
	if (frame.locks > 0)
		shim_bugcheck("IoCallDriver with a spin lock held");
	if (__atomic_load_n(&device->shim.deleted, __ATOMIC_RELAXED) != 0)
		shim_bugcheck("IoCallDriver to a device that was deleted");
	if (__atomic_load_n(&irp->shim.state, __ATOMIC_ACQUIRE) != OWNED)
		shim_bugcheck("IoCallDriver with an IRP that was completed");
	if (__atomic_load_n(&irp->CancelRoutine, __ATOMIC_RELAXED) != NULL)
		shim_bugcheck("IoCallDriver with an IRP that has a cancel routine");
	if (--irp->CurrentLocation <= 0)
		shim_bugcheck("NO_MORE_IRP_STACK_LOCATIONS");
	at = --irp->Tail.Overlay.CurrentStackLocation;
	at->DeviceObject = device;
	if (at->MajorFunction == IRP_MJ_PNP)
		shim_irql_at_most(PASSIVE_LEVEL, "a PnP request");
	if (shim_os_old() && at->MajorFunction == IRP_MJ_POWER && !by_power)
		shim_bugcheck("a power request without PoCallDriver");
	by_power = false;
	call = call_begin(irp, device);
	status = device->DriverObject->MajorFunction[at->MajorFunction](device, irp);
	shim_leave(frame, "a dispatch routine");
	call_return(call, status);
	return status;
}

NTSTATUS
PoCallDriver(PDEVICE_OBJECT device, PIRP irp)
{
	by_power = true;
	return IoCallDriver(device, irp);
}

VOID
PoStartNextPowerIrp(PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);

	if (at->MajorFunction != IRP_MJ_POWER)
		shim_bugcheck("PoStartNextPowerIrp of major %u", at->MajorFunction);
	for (struct shim_call *c = at->shim_calls; c != NULL; c = c->next)
		c->next_power = true;
}

/* ---- Completion ---- */
static void
claim(PIRP irp)
{
	if (__atomic_exchange_n(&irp->shim.state, COMPLETING, __ATOMIC_ACQ_REL) != OWNED)
		shim_bugcheck("MULTIPLE_IRP_COMPLETE_REQUESTS");
	if (irp->IoStatus.Status == STATUS_PENDING)
		shim_bugcheck("a request is completed with STATUS_PENDING");
	if (__atomic_load_n(&irp->CancelRoutine, __ATOMIC_RELAXED) != NULL)
		shim_bugcheck("a request is completed that has a cancel routine");
}

static bool
wanted(PIRP irp, UCHAR control)
{
	return (NT_SUCCESS(irp->IoStatus.Status) && (control & SL_INVOKE_ON_SUCCESS)) ||
	       (!NT_SUCCESS(irp->IoStatus.Status) && (control & SL_INVOKE_ON_ERROR)) ||
	       (irp->Cancel && (control & SL_INVOKE_ON_CANCEL));
}

/* The I/O manager's own end, for what it has made. */
static void
irp_finish(PIRP irp)
{
	PKEVENT event = irp->UserEvent;

	if (!irp->shim.threaded)
		shim_bugcheck(
		    "an IRP of a driver's came back to the I/O manager: its completion "
		    "routine must keep it");
	if (irp->UserBuffer != NULL && !NT_ERROR(irp->IoStatus.Status) &&
	    irp->IoStatus.Information > 0)
		memcpy(irp->UserBuffer, irp->AssociatedIrp.SystemBuffer,
		    irp->IoStatus.Information);
	free(irp->AssociatedIrp.SystemBuffer);
	if (irp->MdlAddress != NULL) {
		MmUnlockPages(irp->MdlAddress);
		IoFreeMdl(irp->MdlAddress);
	}
	if (irp->UserIosb != NULL)
		*irp->UserIosb = irp->IoStatus;
	irp->shim.magic = IRP_GONE;
	shim_took(SHIM_IRP, -1);
	free(irp);
	if (event != NULL)
		KeSetEvent(event, IO_NO_INCREMENT, FALSE);
}

VOID
IoCompleteRequest(PIRP irp, CCHAR boost)
{
	(void)boost;
	live(irp, "IoCompleteRequest");
	shim_irql_at_most(DISPATCH_LEVEL, "IoCompleteRequest");
	if (shim_locks_held() > 0)
		shim_bugcheck("IoCompleteRequest with a spin lock held");
	if (irp->CurrentLocation > irp->StackCount)
		shim_bugcheck("MULTIPLE_IRP_COMPLETE_REQUESTS");
	claim(irp);
	while (irp->CurrentLocation <= irp->StackCount) {
		PIO_STACK_LOCATION at = irp->Tail.Overlay.CurrentStackLocation;
		PIO_COMPLETION_ROUTINE routine = at->CompletionRoutine;
		UCHAR control = at->Control;
		bool top = irp->CurrentLocation == irp->StackCount;
		struct shim_frame frame;
		NTSTATUS status;
		KIRQL old;

		irp->PendingReturned = control & SL_PENDING_RETURNED;
		call_complete(at, irp->IoStatus.Status, irp->PendingReturned);
		irp->CurrentLocation++;
		irp->Tail.Overlay.CurrentStackLocation++;
		if (!wanted(irp, control)) {
			if (irp->PendingReturned && !top)
				at[1].Control |= SL_PENDING_RETURNED;
			continue;
		}
		at->Control = 0;
		__atomic_store_n(&irp->shim.state, OWNED, __ATOMIC_RELEASE);
		/* At its worst, always. */
		old = shim_irql_raise(DISPATCH_LEVEL);
		frame = shim_enter();
		status = routine(top ? NULL : at[1].DeviceObject, irp, at->Context);
		shim_leave(frame, "a completion routine");
		shim_irql_set(old);
		if (status == STATUS_MORE_PROCESSING_REQUIRED)
			return;
		claim(irp);
	}
	__atomic_store_n(&irp->shim.state, DONE, __ATOMIC_RELEASE);
	irp_finish(irp);
}

/* ---- Cancelling ---- */
PDRIVER_CANCEL
IoSetCancelRoutine(PIRP irp, PDRIVER_CANCEL routine)
{
	live(irp, "IoSetCancelRoutine");
	shim_chaos();
	return __atomic_exchange_n(&irp->CancelRoutine, routine, __ATOMIC_SEQ_CST);
}

VOID
IoAcquireCancelSpinLock(PKIRQL old)
{
	KeAcquireSpinLock(&cancel_lock, old);
}

VOID
IoReleaseCancelSpinLock(KIRQL old)
{
	KeReleaseSpinLock(&cancel_lock, old);
}

BOOLEAN
IoCancelIrp(PIRP irp)
{
	unsigned held = shim_locks_held();
	PDRIVER_CANCEL routine;
	KIRQL old;

	live(irp, "IoCancelIrp");
	IoAcquireCancelSpinLock(&old);
	__atomic_store_n(&irp->Cancel, TRUE, __ATOMIC_SEQ_CST);
	routine = IoSetCancelRoutine(irp, NULL);
	if (routine == NULL) {
		IoReleaseCancelSpinLock(old);
		return FALSE;
	}
	irp->CancelIrql = old;
	routine(irp->Tail.Overlay.CurrentStackLocation->DeviceObject, irp);
	if (shim_locks_held() != held)
		shim_bugcheck("a cancel routine kept the cancel spin lock");
	if (KeGetCurrentIrql() != old)
		shim_bugcheck(
		    "a cancel routine came back at IRQL %d", KeGetCurrentIrql());
	return TRUE;
}

/* ---- What the I/O manager makes ---- */
static PIRP
build(
    ULONG major, PDEVICE_OBJECT device, PVOID buffer, ULONG length, PLARGE_INTEGER offset)
{
	PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
	PIO_STACK_LOCATION at;

	if (irp == NULL)
		return NULL;
	at = IoGetNextIrpStackLocation(irp);
	at->MajorFunction = (UCHAR)major;
	if (buffer != NULL) {
		if (device->Flags & DO_BUFFERED_IO)
			shim_bugcheck("buffered I/O is not built here");
		irp->MdlAddress = IoAllocateMdl(buffer, length, FALSE, FALSE, NULL);
		if (irp->MdlAddress == NULL) {
			IoFreeIrp(irp);
			return NULL;
		}
		irp->MdlAddress->MdlFlags |= MDL_PAGES_LOCKED;
		at->Parameters.Write.Length = length;
		if (offset == NULL)
			shim_bugcheck("a read or write is built without an offset");
		at->Parameters.Write.ByteOffset = *offset;
	}
	return irp;
}

PIRP
IoBuildAsynchronousFsdRequest(ULONG major, PDEVICE_OBJECT device, PVOID buffer,
    ULONG length, PLARGE_INTEGER offset, PIO_STATUS_BLOCK status)
{
	PIRP irp;

	shim_irql_at_most(APC_LEVEL, "IoBuildAsynchronousFsdRequest");
	irp = build(major, device, buffer, length, offset);
	if (irp != NULL)
		irp->UserIosb = status;
	return irp;
}

PIRP
IoBuildSynchronousFsdRequest(ULONG major, PDEVICE_OBJECT device, PVOID buffer,
    ULONG length, PLARGE_INTEGER offset, PKEVENT event, PIO_STATUS_BLOCK status)
{
	PIRP irp;

	shim_irql_at_most(PASSIVE_LEVEL, "IoBuildSynchronousFsdRequest");
	irp = build(major, device, buffer, length, offset);
	if (irp == NULL)
		return NULL;
	irp->shim.threaded = TRUE;
	irp->UserIosb = status;
	irp->UserEvent = event;
	return irp;
}

PIRP
IoBuildDeviceIoControlRequest(ULONG code, PDEVICE_OBJECT device, PVOID in, ULONG in_bytes,
    PVOID out, ULONG out_bytes, BOOLEAN internal, PKEVENT event, PIO_STATUS_BLOCK status)
{
	PIRP irp;
	PIO_STACK_LOCATION at;

	shim_irql_at_most(PASSIVE_LEVEL, "IoBuildDeviceIoControlRequest");
	if (METHOD_FROM_CTL_CODE(code) != METHOD_BUFFERED)
		shim_bugcheck("a control request of another method than buffered");
	irp = build(IRP_MJ_DEVICE_CONTROL, device, NULL, 0, NULL);
	if (irp == NULL)
		return NULL;
	at = IoGetNextIrpStackLocation(irp);
	if (internal)
		at->MajorFunction = IRP_MJ_INTERNAL_DEVICE_CONTROL;
	at->Parameters.DeviceIoControl.IoControlCode = code;
	at->Parameters.DeviceIoControl.InputBufferLength = in_bytes;
	at->Parameters.DeviceIoControl.OutputBufferLength = out_bytes;
	irp->AssociatedIrp.SystemBuffer = calloc(1, (size_t)in_bytes + out_bytes + 1);
	if (in_bytes > 0)
		memcpy(irp->AssociatedIrp.SystemBuffer, in, in_bytes);
	irp->UserBuffer = out;
	irp->shim.threaded = TRUE;
	irp->UserIosb = status;
	irp->UserEvent = event;
	return irp;
}

void
shim_send_shutdown(PDEVICE_OBJECT device)
{
	IO_STATUS_BLOCK status;
	KEVENT done;
	PIRP irp;

	KeInitializeEvent(&done, NotificationEvent, FALSE);
	shim_immune(1);
	irp = IoBuildSynchronousFsdRequest(
	    IRP_MJ_SHUTDOWN, device, NULL, 0, NULL, &done, &status);
	shim_immune(-1);
	if (IoCallDriver(device, irp) == STATUS_PENDING &&
	    !shim_wait_ms(&done, shim_patience()))
		shim_bugcheck("a shutdown request hangs");
}
