#include "driver/nt/write.h"
#include "driver/nt/attach.h"
#include "driver/nt/ioctl.h"
#include "driver/nt/pass.h"

/*
 * While we hold a request its DriverContext is ours ("IRP structure": drivers that have
 * it queued may use it); drivers below use it again when we have sent it.
 */
NT_ASSERT_SIZE(
    held_fits, sizeof(struct held) <= sizeof(((IRP *)0)->Tail.Overlay.DriverContext));

static struct held *
held_of(IRP *irp)
{
	return (struct held *)irp->Tail.Overlay.DriverContext;
}

static IRP *
irp_of(struct held *h)
{
	return CONTAINING_RECORD((void *)h, IRP, Tail.Overlay.DriverContext);
}

static NTSTATUS NTAPI
done(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	struct filter *f = context;

	(void)device;
	/* What was held is marked already; once more is legal.  Else it is pending only
	   if the driver below said so. */
	if (irp->PendingReturned)
		IoMarkIrpPending(irp);
	volume_write_done(f->volume);
	nt_leave(f);
	return STATUS_CONTINUE_COMPLETION;
}

NTSTATUS
write_send(struct filter *f, IRP *irp)
{
	/* The copy has Flags (SL_WRITE_THROUGH ...) with it, and a clean Control. */
	IoCopyCurrentIrpStackLocationToNext(irp);
	IoSetCompletionRoutine(irp, done, f, TRUE, TRUE, TRUE);
	return IoCallDriver(f->lower, irp);
}

NTSTATUS
write_hold(struct filter *f, IRP *irp, uint64_t offset, uint64_t length)
{
	/* The mark first: once it is held, another thread may have completed it. */
	IoMarkIrpPending(irp);
	volume_hold(f->volume, held_of(irp), offset, length);
	return STATUS_PENDING;
}

void
write_forward(void *device, struct held *h)
{
	struct filter *f = device;
	IRP *irp = irp_of(h);

	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);

	if (s->MajorFunction != IRP_MJ_WRITE) {
		ioctl_forward(f, irp);
		return;
	}
	if (nt_beyond(f, (uint64_t)s->Parameters.Write.ByteOffset.QuadPart,
		s->Parameters.Write.Length) &&
	    attach_learn(f) != 0)
		volume_unknown_write(f->volume, HOTCOPY_WHY_RESIZED);
	write_send(f, irp);
}

NTSTATUS
write_request(struct filter *f, IRP *irp)
{
	struct volume *v = nt_changed(f);
	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
	uint64_t offset = (uint64_t)s->Parameters.Write.ByteOffset.QuadPart;
	uint32_t length = s->Parameters.Write.Length;

	if (v == NULL || length == 0)
		return pass_request(f, irp);
	/* Beyond the end: it will fail below, or the volume has grown and nobody told us.
	   The volume's thread, if it has one, may ask and wait; no write of a healthy
	   host comes here. */
	if (nt_beyond(f, offset, length) && volume_state(v) != HOTCOPY_PASSING)
		return write_hold(f, irp, offset, length);
	if (volume_write_begin(v, offset, length) == VOLUME_FORWARD)
		return write_send(f, irp);
	return write_hold(f, irp, offset, length);
}
