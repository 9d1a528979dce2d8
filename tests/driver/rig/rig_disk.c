/*
 * rig_disk.c - disks in memory that complete in any order, slowly, late, or with an
 * error.
 *
 * A disk keeps its promise of whole sectors only: requests are carried out by pieces of
 * one page with others' in between.
 */
#include "tests/driver/rig/rig.h"

#include <stdlib.h>
#include <unistd.h>

#define PIECE 4096u
#define LATE (12u * 10000) /* 100 ns */

static NTSTATUS
complete(PIRP irp, NTSTATUS status, ULONG_PTR information)
{
	irp->IoStatus.Status = status;
	irp->IoStatus.Information = information;
	IoCompleteRequest(irp, IO_DISK_INCREMENT);
	return status;
}

static struct rig_disk *
disk_of(PDEVICE_OBJECT device)
{
	return *(struct rig_disk **)device->DeviceExtension;
}

/* The filter's own requests have no location for the filter. */
static enum rig_kind
kind(PIRP irp)
{
	bool own = irp->StackCount == 1;
	bool read = IoGetCurrentIrpStackLocation(irp)->MajorFunction == IRP_MJ_READ;

	if (own)
		return read ? RIG_OWN_READS : RIG_OWN_WRITES;
	return read ? RIG_HOST_READS : RIG_HOST_WRITES;
}

static void
count(struct rig_disk *d, enum rig_kind k)
{
	d->reads += k == RIG_HOST_READS;
	d->writes += k == RIG_HOST_WRITES;
	d->own_reads += k == RIG_OWN_READS;
	d->own_writes += k == RIG_OWN_WRITES;
}

static NTSTATUS
judge(struct rig_disk *d, PIRP irp, enum rig_kind k)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	uint64_t offset = (uint64_t)at->Parameters.Write.ByteOffset.QuadPart;
	uint64_t length = at->Parameters.Write.Length;

	if (d->gone)
		return STATUS_NO_SUCH_DEVICE;
	if (offset > d->length || length > d->length - offset ||
	    offset % RIG_SECTOR != 0 || length % RIG_SECTOR != 0)
		return STATUS_INVALID_PARAMETER;
	if ((d->failing & k) &&
	    (d->fail_to == 0 || (offset < d->fail_to && offset + length > d->fail_from)))
		return d->status;
	return STATUS_SUCCESS;
}

static void
transfer(struct rig_disk *d, PIRP irp, uint64_t offset, uint32_t length, bool read)
{
	uint8_t *buffer;

	shim_immune(1);
	buffer = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
	shim_immune(-1);
	if (((uintptr_t)buffer & d->pdo->AlignmentRequirement) != 0)
		shim_bugcheck(
		    "a buffer at %p, and the disk's want to be aligned", (void *)buffer);
	for (uint32_t at = 0; at < length; at += PIECE) {
		uint32_t n = length - at < PIECE ? length - at : PIECE;

		pthread_mutex_lock(&d->lock);
		if (read)
			memcpy(buffer + at, d->bytes + offset + at, n);
		else
			memcpy(d->bytes + offset + at, buffer + at, n);
		pthread_mutex_unlock(&d->lock);
		shim_chaos();
	}
}

static void
carry_out(struct rig_disk *d, PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	enum rig_kind k = kind(irp);
	uint32_t length = at->Parameters.Write.Length;
	NTSTATUS status;

	pthread_mutex_lock(&d->lock);
	status = judge(d, irp, k);
	count(d, k);
	pthread_mutex_unlock(&d->lock);
	if (status == STATUS_SUCCESS && length > 0)
		transfer(d, irp, (uint64_t)at->Parameters.Write.ByteOffset.QuadPart,
		    length, at->MajorFunction == IRP_MJ_READ);
	complete(irp, status, status == STATUS_SUCCESS ? length : 0);
}

/* When it may be done; DriverContext is the driver's that has the request. */
static uint64_t *
due(PIRP irp)
{
	return (uint64_t *)&irp->Tail.Overlay.DriverContext[3];
}

static bool
ready(struct rig_disk *d, PIRP irp)
{
	return (d->held & kind(irp)) == 0 &&
	       (*due(irp) == 0 || *due(irp) <= KeQueryInterruptTime());
}

/* Any that is not held, nor late; "lock" is held. */
static PIRP
choose(struct rig_disk *d)
{
	PLIST_ENTRY e;
	unsigned number = 0, drawn;

	d->waiting = 0;
	d->lagging = false;
	for (e = d->queue.Flink; e != &d->queue; e = e->Flink) {
		PIRP irp = CONTAINING_RECORD(e, IRP, Tail.Overlay.ListEntry);

		d->waiting += (d->held & kind(irp)) != 0;
		d->lagging |= *due(irp) != 0;
		number += ready(d, irp);
	}
	if (number == 0)
		return NULL;
	d->dice = d->dice * 1664525 + 1013904223;
	drawn = (d->dice >> 16) % number;
	for (e = d->queue.Flink;; e = e->Flink) {
		PIRP irp = CONTAINING_RECORD(e, IRP, Tail.Overlay.ListEntry);

		if (ready(d, irp) && drawn-- == 0) {
			RemoveEntryList(e);
			return irp;
		}
	}
}

static void *
disk_run(void *arg)
{
	struct rig_disk *d = arg;
	PIRP irp;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		irp = choose(d);
		if (irp != NULL) {
			bool sleep = d->slow && d->dice >> 28 == 0;

			pthread_mutex_unlock(&d->lock);
			if (sleep || d->latency_us > 0)
				usleep(d->latency_us > 0 ? d->latency_us : 60);
			carry_out(d, irp);
			pthread_mutex_lock(&d->lock);
		} else if (d->stop && !d->lagging) {
			break;
		} else if (d->lagging) {
			pthread_mutex_unlock(&d->lock);
			usleep(500);
			pthread_mutex_lock(&d->lock);
		} else {
			pthread_cond_wait(&d->work, &d->lock);
		}
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static NTSTATUS
disk_io(struct rig_disk *d, PIRP irp)
{
	if (d->empty)
		return complete(irp, STATUS_SUCCESS,
		    IoGetCurrentIrpStackLocation(irp)->Parameters.Write.Length);
	if (d->inline_) {
		NTSTATUS status;

		shim_chaos(); /* a request is on its way */
		pthread_mutex_lock(&d->lock);
		status = judge(d, irp, kind(irp));
		count(d, kind(irp));
		pthread_mutex_unlock(&d->lock);
		if (status == STATUS_SUCCESS) {
			PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);

			transfer(d, irp,
			    (uint64_t)at->Parameters.Write.ByteOffset.QuadPart,
			    at->Parameters.Write.Length,
			    at->MajorFunction == IRP_MJ_READ);
			return complete(irp, status, at->Parameters.Write.Length);
		}
		return complete(irp, status, 0);
	}
	IoMarkIrpPending(irp);
	pthread_mutex_lock(&d->lock);
	d->dice = d->dice * 1664525 + 1013904223;
	*due(irp) = 0;
	if (d->late && kind(irp) == RIG_HOST_WRITES && d->dice >> 29 == 0)
		*due(irp) = KeQueryInterruptTime() + (d->dice >> 8) % LATE;
	InsertTailList(&d->queue, &irp->Tail.Overlay.ListEntry);
	d->waiting += (d->held & kind(irp)) != 0;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
	return STATUS_PENDING;
}

/* TRIM makes zeros here, at once: it must have waited its turn above. */
static NTSTATUS
disk_trim(struct rig_disk *d, PIRP irp, ULONG in)
{
	DEVICE_MANAGE_DATA_SET_ATTRIBUTES *a = irp->AssociatedIrp.SystemBuffer;
	DEVICE_DATA_SET_RANGE *range;

	if (in < sizeof(*a) || a->Action != DeviceDsmAction_Trim ||
	    a->DataSetRangesOffset > in ||
	    a->DataSetRangesLength > in - a->DataSetRangesOffset)
		return complete(irp, STATUS_INVALID_PARAMETER, 0);
	range = (DEVICE_DATA_SET_RANGE *)((char *)a + a->DataSetRangesOffset);
	pthread_mutex_lock(&d->lock);
	d->trims++;
	for (ULONG i = 0; i < a->DataSetRangesLength / sizeof(*range); i++)
		if ((uint64_t)range[i].StartingOffset < d->length &&
		    range[i].LengthInBytes <=
			d->length - (uint64_t)range[i].StartingOffset)
			memset(d->bytes + range[i].StartingOffset, 0,
			    range[i].LengthInBytes);
	pthread_mutex_unlock(&d->lock);
	return complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS
disk_copy(struct rig_disk *d, PIRP irp, ULONG in)
{
	DISK_COPY_DATA_PARAMETERS *p = irp->AssociatedIrp.SystemBuffer;

	if (in < sizeof(*p))
		return complete(irp, STATUS_INVALID_PARAMETER, 0);
	pthread_mutex_lock(&d->lock);
	memmove(d->bytes + p->DestinationOffset.QuadPart,
	    d->bytes + p->SourceOffset.QuadPart, (size_t)p->CopyLength.QuadPart);
	pthread_mutex_unlock(&d->lock);
	return complete(irp, STATUS_SUCCESS, 0);
}

static NTSTATUS
disk_control(struct rig_disk *d, PIRP irp)
{
	PIO_STACK_LOCATION at = IoGetCurrentIrpStackLocation(irp);
	ULONG in = at->Parameters.DeviceIoControl.InputBufferLength;
	ULONG out = at->Parameters.DeviceIoControl.OutputBufferLength;

	switch (at->Parameters.DeviceIoControl.IoControlCode) {
	case IOCTL_DISK_GET_LENGTH_INFO: {
		GET_LENGTH_INFORMATION *i = irp->AssociatedIrp.SystemBuffer;

		if (out < sizeof(*i))
			return complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
		i->Length.QuadPart = (LONGLONG)d->length;
		return complete(irp, STATUS_SUCCESS, sizeof(*i));
	}
	case IOCTL_DISK_GET_DRIVE_GEOMETRY: {
		DISK_GEOMETRY *g = irp->AssociatedIrp.SystemBuffer;

		if (out < sizeof(*g))
			return complete(irp, STATUS_BUFFER_TOO_SMALL, 0);
		memset(g, 0, sizeof(*g));
		g->BytesPerSector = RIG_SECTOR;
		return complete(irp, STATUS_SUCCESS, sizeof(*g));
	}
	case IOCTL_MOUNTDEV_QUERY_UNIQUE_ID: {
		MOUNTDEV_UNIQUE_ID *i = irp->AssociatedIrp.SystemBuffer;
		ULONG n = d->id != NULL ? (ULONG)strlen(d->id) : 0;

		if (n == 0)
			return complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
		if (out < sizeof(*i))
			return complete(irp, STATUS_INVALID_PARAMETER, 0);
		i->UniqueIdLength = (USHORT)n;
		if (out < offsetof(MOUNTDEV_UNIQUE_ID, UniqueId) + n)
			return complete(irp, STATUS_BUFFER_OVERFLOW, sizeof(*i));
		memcpy(i->UniqueId, d->id, n);
		return complete(
		    irp, STATUS_SUCCESS, offsetof(MOUNTDEV_UNIQUE_ID, UniqueId) + n);
	}
	case IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES:
		return disk_trim(d, irp, in);
	case IOCTL_DISK_COPY_DATA:
		return disk_copy(d, irp, in);
	case IOCTL_VOLSNAP_FLUSH_AND_HOLD_WRITES:
	case IOCTL_VOLSNAP_RELEASE_WRITES:
	case IOCTL_DISK_UPDATE_PROPERTIES:
	case IOCTL_DISK_GROW_PARTITION:
	case IOCTL_DISK_FORMAT_TRACKS:
	case IOCTL_DISK_REASSIGN_BLOCKS:
		return complete(irp, STATUS_SUCCESS, 0);
	default:
		return complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	}
}

static NTSTATUS
disk_pnp(struct rig_disk *d, PIRP irp)
{
	UCHAR minor = IoGetCurrentIrpStackLocation(irp)->MinorFunction;
	NTSTATUS status = irp->IoStatus.Status;

	__atomic_fetch_add(&d->minors[minor & 31], 1, __ATOMIC_RELAXED);
	if (minor <= IRP_MN_CANCEL_STOP_DEVICE || minor == IRP_MN_SURPRISE_REMOVAL ||
	    minor == IRP_MN_DEVICE_USAGE_NOTIFICATION ||
	    minor == IRP_MN_QUERY_CAPABILITIES)
		status = STATUS_SUCCESS;
	return complete(irp, status, irp->IoStatus.Information);
}

static NTSTATUS
disk_any(PDEVICE_OBJECT device, PIRP irp)
{
	struct rig_disk *d = disk_of(device);

	switch (IoGetCurrentIrpStackLocation(irp)->MajorFunction) {
	case IRP_MJ_READ:
	case IRP_MJ_WRITE:
		return disk_io(d, irp);
	case IRP_MJ_FLUSH_BUFFERS:
		__atomic_fetch_add(&d->flushes, 1, __ATOMIC_RELAXED);
		return complete(irp, d->gone ? STATUS_NO_SUCH_DEVICE : STATUS_SUCCESS, 0);
	case IRP_MJ_DEVICE_CONTROL:
		return disk_control(d, irp);
	case IRP_MJ_PNP:
		return disk_pnp(d, irp);
	case IRP_MJ_POWER:
		PoStartNextPowerIrp(irp);
		return complete(irp, STATUS_SUCCESS, 0);
	case IRP_MJ_CREATE:
	case IRP_MJ_CLEANUP:
	case IRP_MJ_CLOSE:
	case IRP_MJ_SHUTDOWN:
		return complete(irp, STATUS_SUCCESS, 0);
	default:
		return complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
	}
}

const PDRIVER_DISPATCH rig_disk_dispatch = disk_any;

void
rig_disk_open(struct rig_disk *d)
{
	*(struct rig_disk **)d->pdo->DeviceExtension = d;
	d->bytes = calloc(1, d->length);
	if (d->bytes == NULL)
		abort();
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->work, NULL);
	InitializeListHead(&d->queue);
	d->slow = true;
	d->dice = 7;
	for (int i = 0; i < 2; i++)
		if (pthread_create(&d->thread[i], NULL, disk_run, d) != 0)
			abort();
}

void
rig_disk_close(struct rig_disk *d)
{
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	d->held = 0;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
	for (int i = 0; i < 2; i++)
		pthread_join(d->thread[i], NULL);
	free(d->bytes);
	pthread_cond_destroy(&d->work);
	pthread_mutex_destroy(&d->lock);
}

void
rig_disk_hold(struct rig_disk *d, unsigned kinds)
{
	pthread_mutex_lock(&d->lock);
	d->held = kinds;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
}

void
rig_disk_fail_range(
    struct rig_disk *d, unsigned kinds, NTSTATUS status, uint64_t from, uint64_t to)
{
	pthread_mutex_lock(&d->lock);
	d->failing = kinds;
	d->status = status;
	d->fail_from = from;
	d->fail_to = to;
	pthread_mutex_unlock(&d->lock);
}

void
rig_disk_fail(struct rig_disk *d, unsigned kinds, NTSTATUS status)
{
	rig_disk_fail_range(d, kinds, status, 0, 0);
}

bool
rig_disk_waits(struct rig_disk *d, unsigned number, unsigned ms)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i <= ms; i++) {
		pthread_mutex_lock(&d->lock);
		waiting = d->waiting;
		pthread_mutex_unlock(&d->lock);
		if (waiting >= number)
			return true;
		usleep(1000);
	}
	return false;
}

void
rig_disk_peek(struct rig_disk *d, uint64_t offset, void *out, uint32_t length)
{
	pthread_mutex_lock(&d->lock);
	memcpy(out, d->bytes + offset, length);
	pthread_mutex_unlock(&d->lock);
}
