#include "driver/nt/ctl.h"
#include "driver/abi/names.h"
#include "driver/core/control.h"
#include "driver/core/env.h"
#include "driver/nt/boot.h"
#include "driver/nt/errand.h"
#include "driver/nt/eventlog.h"
#include "driver/nt/shutdown.h"
#include "driver/nt/tracked.h"

#define BUILD 1u

/* An open handle: FsContext of its file object. */
struct file {
	struct control_file *core;
	bool closed; /* under the lock: none of its requests may wait any more */
};

static struct {
	DEVICE_OBJECT *device;	  /* NULL: nobody can call */
	struct control *control;  /* NULL: no volume can be had */
	struct control_file *log; /* hears of every event; NULL: none is logged */
	struct env_thread thread;
	bool threaded;
	uint32_t stop, sleep; /* atomic */
	struct env_event wake;
	struct env_lock lock; /* a leaf, but for the I/O manager's cancel lock */
	LIST_ENTRY waiting;   /* IRPs with our cancel routine */
} ctl;

static void
wake(void *who)
{
	(void)who;
	env_event_set(&ctl.wake);
}

static NTSTATUS
status_of(enum set_result result)
{
	switch (result) {
	case SET_OK:
		return STATUS_SUCCESS;
	case SET_BAD:
		return STATUS_INVALID_PARAMETER;
	case SET_SIZE:
		return STATUS_INFO_LENGTH_MISMATCH;
	case SET_ABI:
		return STATUS_REVISION_MISMATCH;
	case SET_STATE:
		return STATUS_INVALID_DEVICE_STATE;
	case SET_NOT_FOUND:
		return STATUS_NOT_FOUND;
	case SET_BUSY:
		return STATUS_DEVICE_BUSY;
	case SET_TIMEOUT:
		return STATUS_IO_TIMEOUT;
	case SET_CANCELLED:
		return STATUS_CANCELLED;
	case SET_NO_MEMORY:
		return STATUS_INSUFFICIENT_RESOURCES;
	case SET_LOST:
		return (NTSTATUS)HOTCOPY_STATUS_LOST;
	case SET_NOT_KEPT:
		return (NTSTATUS)HOTCOPY_STATUS_NOT_KEPT;
	case SET_IO:
		return STATUS_IO_DEVICE_ERROR;
	case SET_NO_CALL:
	case SET_PENDING:
		break;
	}
	return STATUS_INVALID_DEVICE_REQUEST;
}

static struct file *
file_of(IRP *irp)
{
	FILE_OBJECT *object = IoGetCurrentIrpStackLocation(irp)->FileObject;

	return object != NULL ? object->FsContext : NULL;
}

/*
 * Requests that wait.  Whoever takes one out of the list has first taken its cancel
 * routine away; if that was gone, the routine is about to run, finds the request in the
 * list and completes it.
 */
static VOID NTAPI
cancel(DEVICE_OBJECT *device, IRP *irp)
{
	unsigned old;

	(void)device;
	IoReleaseCancelSpinLock(irp->CancelIrql);
	old = env_lock_take(&ctl.lock);
	RemoveEntryList(&irp->Tail.Overlay.ListEntry);
	env_lock_give(&ctl.lock, old);
	nt_complete(irp, STATUS_CANCELLED, 0);
}

/* A request that is marked pending goes, or goes back, into the list; or ends. */
static void
wait_in_list(struct file *file, IRP *irp)
{
	bool ends = true;
	unsigned old = env_lock_take(&ctl.lock);

	if (!file->closed) {
		InsertTailList(&ctl.waiting, &irp->Tail.Overlay.ListEntry);
		IoSetCancelRoutine(irp, cancel);
		/* Cancelled before the routine was there: then it is ours to take back,
		   unless it runs already. */
		ends = __atomic_load_n(&irp->Cancel, __ATOMIC_SEQ_CST) &&
		       IoSetCancelRoutine(irp, NULL) != NULL;
		if (ends)
			RemoveEntryList(&irp->Tail.Overlay.ListEntry);
	}
	env_lock_give(&ctl.lock, old);
	if (ends)
		nt_complete(irp, STATUS_CANCELLED, 0);
}

/* The first that waits, of this file or (NULL) of any. */
static IRP *
take_waiting(const struct file *file)
{
	unsigned old = env_lock_take(&ctl.lock);
	LIST_ENTRY *e;
	IRP *found = NULL;

	for (e = ctl.waiting.Flink; e != &ctl.waiting && found == NULL; e = e->Flink) {
		IRP *irp = CONTAINING_RECORD(e, IRP, Tail.Overlay.ListEntry);

		if ((file == NULL || file_of(irp) == file) &&
		    IoSetCancelRoutine(irp, NULL) != NULL)
			found = irp;
	}
	if (found != NULL)
		RemoveEntryList(&found->Tail.Overlay.ListEntry);
	env_lock_give(&ctl.lock, old);
	return found;
}

static uint32_t
number_waiting(void)
{
	unsigned old = env_lock_take(&ctl.lock);
	LIST_ENTRY *e;
	uint32_t n = 0;

	for (e = ctl.waiting.Flink; e != &ctl.waiting; e = e->Flink)
		n++;
	env_lock_give(&ctl.lock, old);
	return n;
}

/* Every request that waits now is asked for once. */
static void
serve_waiting(void)
{
	uint32_t n = number_waiting();
	struct hotcopy_event event;
	struct file *file;
	IRP *irp;

	while (n-- != 0 && (irp = take_waiting(NULL)) != NULL) {
		file = file_of(irp);
		if (!control_event(file->core, &event)) {
			wait_in_list(file, irp);
			continue;
		}
		memcpy(irp->AssociatedIrp.SystemBuffer, &event, sizeof(event));
		nt_complete(irp, STATUS_SUCCESS, sizeof(event));
	}
}

static void
write_log(void)
{
	struct hotcopy_event event;
	enum hotcopy_reason why;
	uint64_t volume;

	while (control_drop(ctl.control, &volume, &why))
		eventlog_dropped(volume, why);
	while (ctl.log != NULL && control_event(ctl.log, &event))
		if (event.code == HOTCOPY_EVENT_TRACKING_LOST)
			eventlog_tracking_lost(
			    event.volume, (enum hotcopy_reason)event.argument);
}

static void
run(void *arg)
{
	(void)arg;
	for (;;) {
		env_event_wait(&ctl.wake, ENV_FOREVER);
		if (atomic_get(&ctl.stop) != 0)
			return;
		if (atomic_swap(&ctl.sleep, 0) != 0)
			control_power(ctl.control, false);
		write_log();
		serve_waiting();
	}
}

static NTSTATUS
create(IRP *irp)
{
	FILE_OBJECT *object = IoGetCurrentIrpStackLocation(irp)->FileObject;
	struct file *file;

	if (object == NULL)
		return nt_complete(irp, STATUS_INVALID_PARAMETER, 0);
	file = env_alloc(sizeof(*file));
	if (file == NULL)
		return nt_complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	file->core = control_open(ctl.control);
	if (file->core == NULL) {
		env_free(file);
		return nt_complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	}
	object->FsContext = file;
	boot_up();
	return nt_complete(irp, STATUS_SUCCESS, 0);
}

/* The last handle is closed; calls of other threads may still run. */
static NTSTATUS
cleanup(struct file *file, IRP *irp)
{
	unsigned old = env_lock_take(&ctl.lock);
	IRP *waiting;

	file->closed = true;
	env_lock_give(&ctl.lock, old);
	while ((waiting = take_waiting(file)) != NULL)
		nt_complete(waiting, STATUS_CANCELLED, 0);
	control_cleanup(file->core);
	return nt_complete(irp, STATUS_SUCCESS, 0);
}

/* The last reference is gone, so no request of this file is left. */
static NTSTATUS
close(struct file *file, IRP *irp)
{
	IoGetCurrentIrpStackLocation(irp)->FileObject->FsContext = NULL;
	control_close(file->core);
	env_free(file);
	return nt_complete(irp, STATUS_SUCCESS, 0);
}

/* On a thread of its own: it may wait for file systems and disks, and a program that is
   killed meanwhile has to end, or its handle would stay, and with it the set. */
static void
freeze(void *who, IRP *irp)
{
	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
	struct set_caller caller = { errand_cancelled, irp };
	struct file *file = who;
	enum set_result result;
	uint32_t out;

	result = control_call_of(file->core, s->Parameters.DeviceIoControl.IoControlCode,
	    irp->AssociatedIrp.SystemBuffer,
	    s->Parameters.DeviceIoControl.InputBufferLength,
	    s->Parameters.DeviceIoControl.OutputBufferLength, &out, &caller);
	nt_complete(irp, status_of(result), result == SET_OK ? out : 0);
}

static NTSTATUS
call(struct file *file, IRP *irp)
{
	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
	uint32_t code = s->Parameters.DeviceIoControl.IoControlCode;
	uint32_t room = s->Parameters.DeviceIoControl.OutputBufferLength, out = 0;
	enum set_result result;

	/* Only what is copied for us by the I/O manager: nobody changes it meanwhile. */
	if ((code & 3) != METHOD_BUFFERED)
		return nt_complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	if (code == HOTCOPY_IOCTL_FREEZE) {
		IoMarkIrpPending(irp);
		errand_start(freeze, file, irp);
		return STATUS_PENDING;
	}
	result = tracked_call(file->core, code, irp->AssociatedIrp.SystemBuffer,
	    s->Parameters.DeviceIoControl.InputBufferLength, room, &out);
	if (result != SET_PENDING)
		return nt_complete(irp, status_of(result), result == SET_OK ? out : 0);
	if (room < sizeof(struct hotcopy_event))
		return nt_complete(irp, STATUS_INFO_LENGTH_MISMATCH, 0);
	if (!ctl.threaded)
		return nt_complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	IoMarkIrpPending(irp);
	wait_in_list(file, irp);
	/* An event may have come between the question and the list. */
	env_event_set(&ctl.wake);
	return STATUS_PENDING;
}

static NTSTATUS
read(struct file *file, IRP *irp)
{
	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
	ULONG length = s->Parameters.Read.Length;
	LONGLONG offset = s->Parameters.Read.ByteOffset.QuadPart;
	enum set_result result;
	void *to;

	if (length == 0)
		return nt_complete(irp, STATUS_SUCCESS, 0);
	if (offset < 0 || irp->MdlAddress == NULL)
		return nt_complete(irp, STATUS_INVALID_PARAMETER, 0);
	to = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
	if (to == NULL)
		return nt_complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
	result = control_read(file->core, (uint64_t)offset, to, length);
	/* Where a handle without overlapped I/O reads next: the driver's to say. */
	if (result == SET_OK && (s->FileObject->Flags & FO_SYNCHRONOUS_IO) != 0)
		s->FileObject->CurrentByteOffset.QuadPart = offset + length;
	return nt_complete(irp, status_of(result), result == SET_OK ? length : 0);
}

bool
ctl_owns(const DEVICE_OBJECT *device)
{
	return device == ctl.device;
}

/* Twice, where a store is kept: what is written between the two spoils the clean mark. */
static NTSTATUS
shut_down(IRP *irp)
{
	if (shutdown_comes())
		boot_up();
	control_power(ctl.control, true);
	return nt_complete(irp, STATUS_SUCCESS, 0);
}

NTSTATUS
ctl_request(IRP *irp)
{
	UCHAR major = IoGetCurrentIrpStackLocation(irp)->MajorFunction;
	struct file *file = file_of(irp);
	NTSTATUS status;

	if (major == IRP_MJ_SHUTDOWN)
		return shut_down(irp);
	if (major != IRP_MJ_CREATE && file == NULL)
		return nt_complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	/* A thread that is suspended while a gate is closed would keep it closed. */
	KeEnterCriticalRegion();
	switch (major) {
	case IRP_MJ_CREATE:
		status = create(irp);
		break;
	case IRP_MJ_CLEANUP:
		status = cleanup(file, irp);
		break;
	case IRP_MJ_CLOSE:
		status = close(file, irp);
		break;
	case IRP_MJ_DEVICE_CONTROL:
		status = call(file, irp);
		break;
	case IRP_MJ_READ:
		status = read(file, irp);
		break;
	default:
		status = nt_complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
		break;
	}
	KeLeaveCriticalRegion();
	return status;
}

/* A SID of up to two parts, as it lies in memory. */
struct sid {
	UCHAR revision, parts, authority[6];
	ULONG part[2];
};

/*
 * SYSTEM and Administrators, nobody else.  IoCreateDeviceSecure is not in the kernel but
 * in a library of the WDK's, therefore by hand; until DriverEntry returns no open gets
 * through (DO_DEVICE_INITIALIZING).
 */
static bool
secure(DEVICE_OBJECT *device)
{
	static struct sid owners[2] = {
		{ 1, 1, { 0, 0, 0, 0, 0, 5 }, { 18, 0 } },   /* S-1-5-18 */
		{ 1, 2, { 0, 0, 0, 0, 0, 5 }, { 32, 544 } }, /* S-1-5-32-544 */
	};
	SECURITY_DESCRIPTOR descriptor;
	ULONG list[32];
	HANDLE handle;
	bool done;

	if (!NT_SUCCESS(
		RtlCreateSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION)) ||
	    !NT_SUCCESS(RtlCreateAcl((ACL *)list, sizeof(list), ACL_REVISION)) ||
	    !NT_SUCCESS(RtlAddAccessAllowedAce(
		(ACL *)list, ACL_REVISION, FILE_ALL_ACCESS, &owners[0])) ||
	    !NT_SUCCESS(RtlAddAccessAllowedAce(
		(ACL *)list, ACL_REVISION, FILE_ALL_ACCESS, &owners[1])) ||
	    !NT_SUCCESS(
		RtlSetDaclSecurityDescriptor(&descriptor, TRUE, (ACL *)list, FALSE)))
		return false;
	if (!NT_SUCCESS(ObOpenObjectByPointer(
		device, OBJ_KERNEL_HANDLE, NULL, WRITE_DAC, NULL, KernelMode, &handle)))
		return false;
	done = NT_SUCCESS(
	    ZwSetSecurityObject(handle, DACL_SECURITY_INFORMATION, &descriptor));
	ZwClose(handle);
	return done;
}

static void
make_device(DRIVER_OBJECT *driver)
{
	UNICODE_STRING name, link;
	DEVICE_OBJECT *device;

	RtlInitUnicodeString(&name, HOTCOPY_DEVICE);
	RtlInitUnicodeString(&link, HOTCOPY_LINK);
	if (!NT_SUCCESS(IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN,
		FILE_DEVICE_SECURE_OPEN, FALSE, &device)))
		return;
	device->Flags |= DO_DIRECT_IO;
	ctl.device = device; /* before anybody can open it */
	if (!secure(device) || !NT_SUCCESS(IoCreateSymbolicLink(&link, &name))) {
		ctl.device = NULL;
		IoDeleteDevice(device);
		return;
	}
	shutdown_begin(device);
	device->Flags &= ~DO_DEVICE_INITIALIZING;
}

void
ctl_make(DRIVER_OBJECT *driver)
{
	struct control_notice notice = { wake, NULL };

	env_lock_init(&ctl.lock);
	env_event_init(&ctl.wake, ENV_ONE);
	InitializeListHead(&ctl.waiting);
	atomic_put(&ctl.stop, 0);
	ctl.control = control_make(notice);
	if (ctl.control == NULL)
		return;
	control_version(
	    ctl.control, BUILD, boot_mode() == BOOT_WORKS ? 0 : HOTCOPY_VERSION_DISABLED);
	ctl.log = control_open(ctl.control);
	ctl.threaded = env_thread_start(&ctl.thread, run, NULL) == 0;
	make_device(driver);
}

void
ctl_free(void)
{
	UNICODE_STRING link;

	shutdown_end();
	if (ctl.device != NULL) {
		RtlInitUnicodeString(&link, HOTCOPY_LINK);
		IoDeleteSymbolicLink(&link);
		IoDeleteDevice(ctl.device);
		ctl.device = NULL;
	}
	if (ctl.threaded) {
		atomic_put(&ctl.stop, 1);
		env_event_set(&ctl.wake);
		env_thread_join(&ctl.thread);
		ctl.threaded = false;
	}
	if (ctl.log != NULL) {
		control_cleanup(ctl.log);
		control_close(ctl.log);
	}
	ctl.log = NULL;
	if (ctl.control != NULL)
		control_free(ctl.control);
	ctl.control = NULL;
	env_event_done(&ctl.wake);
}

int
ctl_join(struct volume *v)
{
	return ctl.control != NULL ? control_join(ctl.control, v) : -1;
}

void
ctl_leave(struct volume *v)
{
	control_leave(ctl.control, v);
}

void
ctl_paging(struct volume *v, uint32_t files)
{
	control_paging(ctl.control, v, files);
}

void
ctl_lost(uint64_t volume, enum hotcopy_reason why)
{
	if (ctl.control != NULL)
		control_lost(ctl.control, volume, why);
}

bool
ctl_hold(struct volume *v, const struct set_caller *sender)
{
	return control_hold(ctl.control, v, sender);
}

void
ctl_sleep(void)
{
	atomic_put(&ctl.sleep, 1);
	env_event_set(&ctl.wake);
}
