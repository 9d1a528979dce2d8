/*
 *	AddDevice        START             SURPRISE_REMOVAL
 *	---------> added -----> started --------------------> gone
 *	             |             |                            |
 *	             |    REMOVE   |   REMOVE                   | REMOVE
 *	             +-------------+----------------------------+-----> deleted
 *
 * added: everything passes.  gone: everything passes, and fails below.  A stop and a new
 * start change nothing but perhaps the length.
 */
#include "driver/nt/pnp.h"
#include "driver/nt/attach.h"
#include "driver/nt/ctl.h"
#include "driver/nt/pass.h"

/* "IRP_MN_START_DEVICE": the drivers below first, then we. */
static NTSTATUS
start(struct filter *f, IRP *irp)
{
	NTSTATUS status = pass_and_wait(f, irp);

	if (NT_SUCCESS(status))
		attach_volume(f);
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	nt_leave(f);
	return status;
}

/*
 * "Removing a Device in a Filter Driver" and "Handling an IRP_MN_REMOVE_DEVICE Request":
 * nothing of ours may be under way when the request goes down; it needs no completion
 * routine; after IoCallDriver the device is detached and deleted.
 */
static NTSTATUS
removed(struct filter *f, IRP *irp)
{
	DEVICE_OBJECT *device = f->self, *lower = f->lower;
	NTSTATUS status;

	attach_end(f);
	irp->IoStatus.Status = STATUS_SUCCESS;
	IoSkipCurrentIrpStackLocation(irp);
	status = IoCallDriver(lower, irp);
	IoDetachDevice(lower);
	IoDeleteDevice(device);
	return status;
}

static NTSTATUS
surprised(struct filter *f, IRP *irp)
{
	attach_gone(f);
	irp->IoStatus.Status = STATUS_SUCCESS;
	return pass_request(f, irp);
}

/* The place of a kind of special file in usages, or -1. */
static int
kind(DEVICE_USAGE_NOTIFICATION_TYPE type)
{
	switch (type) {
	case DeviceUsageTypePaging:
		return 0;
	case DeviceUsageTypeHibernation:
		return 1;
	case DeviceUsageTypeDumpFile:
		return 2;
	default:
		return -1;
	}
}

static uint32_t
usages(const struct filter *f)
{
	uint32_t sum = 0;
	int i;

	for (i = 0; i < NT_USAGES; i++)
		sum += f->usages[i];
	return sum;
}

/*
 * "IRP_MN_DEVICE_USAGE_NOTIFICATION": while a special file lies here no power request may
 * need paged memory, so DO_POWER_PAGABLE is cleared with the first and set again with the
 * last: set before the request goes down and taken back if it fails, cleared after it has
 * come back.  Only where the device was pagable when we came.
 */
static NTSTATUS
usage(struct filter *f, IRP *irp)
{
	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
	bool in = s->Parameters.UsageNotification.InPath != FALSE;
	int k = kind(s->Parameters.UsageNotification.Type);
	bool pagable = false;
	NTSTATUS status;

	KeWaitForSingleObject(&f->usage, Executive, KernelMode, FALSE, NULL);
	if (k >= 0 && !in && f->pagable && f->usages[k] != 0 && usages(f) == 1 &&
	    (f->self->Flags & DO_POWER_PAGABLE) == 0) {
		f->self->Flags |= DO_POWER_PAGABLE;
		pagable = true;
	}
	status = pass_and_wait(f, irp);
	if (!NT_SUCCESS(status)) {
		if (pagable)
			f->self->Flags &= ~DO_POWER_PAGABLE;
	} else if (k >= 0 && in) {
		f->usages[k]++;
		f->self->Flags &= ~DO_POWER_PAGABLE;
	} else if (k >= 0 && f->usages[k] != 0)
		f->usages[k]--;
	/* Files from before the volume was there are told of with the next. */
	if (nt_volume(f) != NULL)
		ctl_paging(f->volume, usages(f));
	KeSetEvent(&f->usage, IO_NO_INCREMENT, FALSE);
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	nt_leave(f);
	return status;
}

NTSTATUS
pnp_request(struct filter *f, IRP *irp)
{
	switch (IoGetCurrentIrpStackLocation(irp)->MinorFunction) {
	case IRP_MN_START_DEVICE:
		return start(f, irp);
	case IRP_MN_REMOVE_DEVICE:
		return removed(f, irp);
	case IRP_MN_SURPRISE_REMOVAL:
		return surprised(f, irp);
	case IRP_MN_DEVICE_USAGE_NOTIFICATION:
		return usage(f, irp);
	default:
		return pass_request(f, irp);
	}
}
