#include "driver/nt/hold.h"
#include "driver/nt/ctl.h"
#include "driver/nt/errand.h"
#include "driver/nt/pass.h"

static NTSTATUS NTAPI
done(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	(void)device;
	if (irp->PendingReturned)
		IoMarkIrpPending(irp);
	nt_leave(context);
	return STATUS_CONTINUE_COMPLETION;
}

static void
wait_and_send(void *who, IRP *irp)
{
	struct set_caller sender = { errand_cancelled, irp };
	struct filter *f = who;

	if (!ctl_hold(f->volume, &sender)) {
		nt_complete(irp, STATUS_CANCELLED, 0);
		nt_leave(f);
		return;
	}
	IoCopyCurrentIrpStackLocationToNext(irp);
	IoSetCompletionRoutine(irp, done, f, TRUE, TRUE, TRUE);
	IoCallDriver(f->lower, irp);
}

/* A frozen volume, or one that only passes, has no cut before it. */
static bool
may_wait(const struct filter *f)
{
	enum hotcopy_state state = volume_state(f->volume);

	return KeGetCurrentIrql() == PASSIVE_LEVEL &&
	       (state == HOTCOPY_IDLE || state == HOTCOPY_PREPARED);
}

NTSTATUS
hold_request(struct filter *f, IRP *irp)
{
	if (!may_wait(f))
		return pass_request(f, irp);
	IoMarkIrpPending(irp);
	errand_start(wait_and_send, f, irp);
	return STATUS_PENDING;
}
