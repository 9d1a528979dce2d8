/* rig_host.c - the driver is loaded, stacks are built, requests are sent down them. */
#include "tests/driver/rig/rig.h"

#include <stdlib.h>
#include <unistd.h>

DRIVER_INITIALIZE DriverEntry;

/* ---- Loading ---- */
NTSTATUS
rig_load(struct rig *r)
{
	NTSTATUS status;

	memset(r, 0, sizeof(*r));
	r->before = shim_counts();
	RtlInitUnicodeString(&r->service, RIG_SERVICE);
	shim_driver_init(&r->driver, &r->service);
	shim_driver_init(&r->disks_driver, NULL);
	for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
		r->disks_driver.MajorFunction[i] = rig_disk_dispatch;
	status = DriverEntry(&r->driver, &r->service);
	r->loaded = NT_SUCCESS(status);
	return status;
}

struct rig_lay rig_lay[RIG_DISKS];

NTSTATUS
rig_disk_add(struct rig *r, uint64_t length)
{
	struct rig_disk *d = &r->disk[r->disks];
	NTSTATUS status;

	if (r->disks == RIG_DISKS)
		abort();
	memset(d, 0, sizeof(*d));
	d->length = length;
	shim_immune(1);
	status = IoCreateDevice(&r->disks_driver, sizeof(d), NULL, FILE_DEVICE_DISK,
	    FILE_DEVICE_SECURE_OPEN, FALSE, &d->pdo);
	shim_immune(-1);
	if (status != STATUS_SUCCESS)
		return status;
	d->pdo->Flags = DO_DIRECT_IO | DO_POWER_PAGABLE;
	d->pdo->AlignmentRequirement = 3; /* FILE_LONG_ALIGNMENT, as of NVMe */
	rig_disk_open(d);
	if (rig_lay[r->disks].bytes != NULL)
		memcpy(d->bytes, rig_lay[r->disks].bytes, length);
	rig_disk_hold(d, rig_lay[r->disks].held);
	d->id = rig_lay[r->disks].id;
	/* Tests look at it while it starts. */
	__atomic_add_fetch(&r->disks, 1, __ATOMIC_SEQ_CST);
	if (r->loaded) {
		status = r->driver.DriverExtension->AddDevice(&r->driver, d->pdo);
		if (!NT_SUCCESS(status))
			return status;
	}
	return rig_pnp(d, IRP_MN_START_DEVICE);
}

NTSTATUS
rig_start(struct rig *r, unsigned disks, uint64_t length)
{
	NTSTATUS status = rig_load(r);

	for (unsigned i = 0; i < disks && NT_SUCCESS(status); i++)
		status = rig_disk_add(r, length);
	return status;
}

NTSTATUS
rig_disk_surprise(struct rig *r, unsigned i)
{
	struct rig_disk *d = &r->disk[i];

	pthread_mutex_lock(&d->lock);
	d->gone = true;
	pthread_mutex_unlock(&d->lock);
	return rig_pnp(d, IRP_MN_SURPRISE_REMOVAL);
}

/* Ends the program unless it is told in time that it need not. */
struct watch {
	pthread_mutex_t lock;
	pthread_cond_t told;
	pthread_t thread;
	bool over;
};

static void *
watch(void *arg)
{
	struct watch *w = arg;
	struct timespec until;
	bool late = false;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(2 * shim_patience() / 1000) + 1;
	pthread_mutex_lock(&w->lock);
	while (!w->over && !late)
		late = pthread_cond_timedwait(&w->told, &w->lock, &until) != 0;
	late = !w->over;
	pthread_mutex_unlock(&w->lock);
	if (late)
		shim_bugcheck("a removal does not come back");
	return NULL;
}

/* REMOVE waits for all that is inside, and must not do so for ever. */
static NTSTATUS
remove_watched(struct rig_disk *d)
{
	struct watch w = { .over = false };
	NTSTATUS status;

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.told, NULL);
	if (pthread_create(&w.thread, NULL, watch, &w) != 0)
		abort();
	status = rig_pnp(d, IRP_MN_REMOVE_DEVICE);
	pthread_mutex_lock(&w.lock);
	w.over = true;
	pthread_cond_signal(&w.told);
	pthread_mutex_unlock(&w.lock);
	pthread_join(w.thread, NULL);
	pthread_cond_destroy(&w.told);
	pthread_mutex_destroy(&w.lock);
	return status;
}

/* The PnP manager removes what nobody has a handle of: no new request comes, those in the
   stack may still be on their way. */
NTSTATUS
rig_disk_remove(struct rig *r, unsigned i)
{
	struct rig_disk *d = &r->disk[i];
	NTSTATUS status;

	__atomic_store_n(&d->going, true, __ATOMIC_SEQ_CST);
	for (unsigned ms = 0; __atomic_load_n(&d->inside, __ATOMIC_SEQ_CST) > 0; ms++) {
		if (ms > shim_patience())
			shim_bugcheck("a dispatch routine does not come back");
		usleep(1000);
	}
	status = remove_watched(d);
	if (d->pdo->AttachedDevice != NULL)
		shim_bugcheck("a filter is still attached after REMOVE");
	rig_disk_close(d);
	IoDeleteDevice(d->pdo);
	d->pdo = NULL;
	return status;
}

void
rig_unload(struct rig *r)
{
	if (r->loaded && r->driver.DriverUnload != NULL)
		r->driver.DriverUnload(&r->driver);
	r->loaded = false;
	shim_boot_forget();
}

bool
rig_stop(struct rig *r)
{
	for (unsigned i = 0; i < r->disks; i++)
		if (r->disk[i].pdo != NULL)
			rig_disk_remove(r, i);
	rig_unload(r);
	return shim_counts_equal(&r->before);
}

/* ---- Requests ---- */
static NTSTATUS
kept(PDEVICE_OBJECT device, PIRP irp, PVOID context)
{
	(void)device;
	(void)irp;
	KeSetEvent(context, IO_NO_INCREMENT, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

PIO_STACK_LOCATION
rig_begin(struct rig_request *q, PDEVICE_OBJECT device, UCHAR major, UCHAR minor)
{
	PIO_STACK_LOCATION at;

	memset(q, 0, sizeof(*q));
	shim_immune(1);
	q->irp = IoAllocateIrp(device->StackSize, FALSE);
	shim_immune(-1);
	q->device = device;
	KeInitializeEvent(&q->done, NotificationEvent, FALSE);
	q->irp->IoStatus.Status =
	    major == IRP_MJ_PNP || major == IRP_MJ_POWER ? STATUS_NOT_SUPPORTED : 0;
	at = IoGetNextIrpStackLocation(q->irp);
	at->MajorFunction = major;
	at->MinorFunction = minor;
	at->DeviceObject = device;
	return at;
}

void
rig_buffer(struct rig_request *q, void *buffer, uint32_t length)
{
	if (length == 0)
		return;
	shim_mdl_set(&q->mdl, buffer, length);
	q->mdl.MdlFlags |= MDL_PAGES_LOCKED;
	q->irp->MdlAddress = &q->mdl;
}

void
rig_system_buffer(struct rig_request *q, void *buffer, uint32_t in, uint32_t out)
{
	uint32_t n = in > out ? in : out;

	/* Of exactly this size, so that a byte beyond it is noticed. */
	q->system = n > 0 ? malloc(n) : NULL;
	if (n > 0) {
		memset(q->system, 0x5a, n);
		memcpy(q->system, buffer, in);
	}
	q->buffer = buffer;
	q->bytes = out;
	q->irp->AssociatedIrp.SystemBuffer = q->system;
}

NTSTATUS
rig_send(struct rig_request *q)
{
	UCHAR major = IoGetNextIrpStackLocation(q->irp)->MajorFunction;

	IoSetCompletionRoutine(q->irp, kept, &q->done, TRUE, TRUE, TRUE);
	q->returned = major == IRP_MJ_POWER ? PoCallDriver(q->device, q->irp)
					    : IoCallDriver(q->device, q->irp);
	return q->returned;
}

bool
rig_done(struct rig_request *q, unsigned ms)
{
	return shim_wait_ms(&q->done, ms);
}

void
rig_cancel(struct rig_request *q)
{
	IoCancelIrp(q->irp);
}

NTSTATUS
rig_wait(struct rig_request *q, uint32_t *information)
{
	NTSTATUS status;
	ULONG_PTR got;

	if (!shim_wait_ms(&q->done, shim_patience()))
		shim_bugcheck("a request of the host hangs");
	status = q->irp->IoStatus.Status;
	got = q->irp->IoStatus.Information;
	if (q->system != NULL) {
		if (got > q->bytes && !NT_ERROR(status) && q->bytes > 0)
			shim_bugcheck(
			    "%lu bytes answered into %u", (unsigned long)got, q->bytes);
		if (!NT_ERROR(status) && q->bytes > 0)
			memcpy(q->buffer, q->system, got);
		free(q->system);
	}
	if (information != NULL)
		*information = (uint32_t)got;
	IoFreeIrp(q->irp);
	return status;
}

/* ---- The host's ---- */
PDEVICE_OBJECT
rig_enter(struct rig_disk *d)
{
	__atomic_fetch_add(&d->inside, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&d->going, __ATOMIC_SEQ_CST)) {
		__atomic_fetch_sub(&d->inside, 1, __ATOMIC_SEQ_CST);
		return NULL;
	}
	return shim_device_top(d->pdo);
}

void
rig_leave(struct rig_disk *d)
{
	__atomic_fetch_sub(&d->inside, 1, __ATOMIC_SEQ_CST);
}

void
rig_io_begin(struct rig_request *q, struct rig_disk *d, UCHAR major, uint64_t offset,
    void *buffer, uint32_t length)
{
	PDEVICE_OBJECT top = rig_enter(d);
	PIO_STACK_LOCATION at;

	if (top == NULL)
		abort();
	at = rig_begin(q, top, major, 0);
	rig_buffer(q, buffer, length);
	at->Parameters.Write.Length = length;
	at->Parameters.Write.ByteOffset.QuadPart = (LONGLONG)offset;
	rig_send(q);
	rig_leave(d);
}

NTSTATUS
rig_io(struct rig_disk *d, UCHAR major, uint64_t offset, void *buffer, uint32_t length)
{
	struct rig_request q;
	uint32_t got;
	NTSTATUS status;

	if (__atomic_load_n(&d->going, __ATOMIC_SEQ_CST))
		return STATUS_NO_SUCH_DEVICE;
	rig_io_begin(&q, d, major, offset, buffer, length);
	status = rig_wait(&q, &got);
	if (status == STATUS_SUCCESS && got != length)
		shim_bugcheck("%u bytes of %u, and success", got, length);
	return status;
}

NTSTATUS
rig_flush(struct rig_disk *d)
{
	return rig_io(d, IRP_MJ_FLUSH_BUFFERS, 0, NULL, 0);
}

NTSTATUS
rig_ioctl(struct rig_disk *d, ULONG code, void *buffer, uint32_t in, uint32_t out,
    uint32_t *got)
{
	PDEVICE_OBJECT top = rig_enter(d);
	PIO_STACK_LOCATION at;
	struct rig_request q;

	if (top == NULL)
		return STATUS_NO_SUCH_DEVICE;
	at = rig_begin(&q, top, IRP_MJ_DEVICE_CONTROL, 0);
	rig_system_buffer(&q, buffer, in, out);
	at->Parameters.DeviceIoControl.IoControlCode = code;
	at->Parameters.DeviceIoControl.InputBufferLength = in;
	at->Parameters.DeviceIoControl.OutputBufferLength = out;
	rig_send(&q);
	rig_leave(d);
	return rig_wait(&q, got);
}

NTSTATUS
rig_trim(struct rig_disk *d, uint64_t offset, uint64_t length)
{
	struct {
		DEVICE_MANAGE_DATA_SET_ATTRIBUTES a;
		uint32_t align;
		DEVICE_DATA_SET_RANGE range;
	} t;

	memset(&t, 0, sizeof(t));
	t.a.Size = sizeof(t.a);
	t.a.Action = DeviceDsmAction_Trim;
	t.a.DataSetRangesOffset = (ULONG)((char *)&t.range - (char *)&t);
	t.a.DataSetRangesLength = sizeof(t.range);
	t.range.StartingOffset = (LONGLONG)offset;
	t.range.LengthInBytes = length;
	return rig_ioctl(
	    d, IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES, &t, sizeof(t), 0, NULL);
}

NTSTATUS
rig_pnp(struct rig_disk *d, UCHAR minor)
{
	struct rig_request q;

	rig_begin(&q, shim_device_top(d->pdo), IRP_MJ_PNP, minor);
	rig_send(&q);
	return rig_wait(&q, NULL);
}

NTSTATUS
rig_usage(struct rig_disk *d, DEVICE_USAGE_NOTIFICATION_TYPE type, bool in)
{
	struct rig_request q;
	PIO_STACK_LOCATION at = rig_begin(
	    &q, shim_device_top(d->pdo), IRP_MJ_PNP, IRP_MN_DEVICE_USAGE_NOTIFICATION);

	at->Parameters.UsageNotification.InPath = in;
	at->Parameters.UsageNotification.Type = type;
	rig_send(&q);
	return rig_wait(&q, NULL);
}

NTSTATUS
rig_power(struct rig_disk *d, UCHAR minor, POWER_STATE_TYPE type, int state)
{
	struct rig_request q;
	PIO_STACK_LOCATION at =
	    rig_begin(&q, shim_device_top(d->pdo), IRP_MJ_POWER, minor);

	at->Parameters.Power.Type = type;
	if (type == SystemPowerState)
		at->Parameters.Power.State.SystemState = (SYSTEM_POWER_STATE)state;
	else
		at->Parameters.Power.State.DeviceState = (DEVICE_POWER_STATE)state;
	rig_send(&q);
	return rig_wait(&q, NULL);
}
