#include "driver/nt/pass.h"

NTSTATUS
pass_request(struct filter *f, IRP *irp)
{
	DEVICE_OBJECT *lower = f->lower;
	NTSTATUS status;

	/* No stack location of ours, so nothing of us runs when it completes, and who
	   removes the device need not wait for that. */
	IoSkipCurrentIrpStackLocation(irp);
	status = IoCallDriver(lower, irp);
	nt_leave(f);
	return status;
}

static NTSTATUS NTAPI
done(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	(void)device;
	(void)irp;
	KeSetEvent(context, IO_NO_INCREMENT, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

NTSTATUS
pass_and_wait(struct filter *f, IRP *irp)
{
	KEVENT event;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	IoCopyCurrentIrpStackLocationToNext(irp);
	IoSetCompletionRoutine(irp, done, &event, TRUE, TRUE, TRUE);
	if (IoCallDriver(f->lower, irp) == STATUS_PENDING)
		KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	return irp->IoStatus.Status;
}
