#include "driver/nt/power.h"
#include "driver/nt/ctl.h"

/*
 * "Passing Power IRPs": until NT 5.2 a driver must call PoStartNextPowerIrp while the
 * stack location is still its own and send on by PoCallDriver; since 6.0 the first is
 * needless and IoCallDriver does.
 */
static bool old_rules;

void
power_learn(void)
{
	RTL_OSVERSIONINFOW version = { .dwOSVersionInfoSize = sizeof(version) };

	old_rules = NT_SUCCESS(RtlGetVersion(&version)) && version.dwMajorVersion < 6;
}

static bool
falls_asleep(const IO_STACK_LOCATION *s)
{
	/* A question may be answered with no ("IRP_MN_QUERY_POWER"), and then nothing
	   has happened. */
	return s->MinorFunction == IRP_MN_SET_POWER &&
	       s->Parameters.Power.Type == SystemPowerState &&
	       s->Parameters.Power.State.SystemState >= PowerSystemSleeping1 &&
	       s->Parameters.Power.State.SystemState <= PowerSystemHibernate;
}

NTSTATUS
power_request(struct filter *f, IRP *irp)
{
	DEVICE_OBJECT *lower = f->lower;
	NTSTATUS status;

	if (falls_asleep(IoGetCurrentIrpStackLocation(irp)))
		ctl_sleep();
	if (old_rules) {
		PoStartNextPowerIrp(irp);
		IoSkipCurrentIrpStackLocation(irp);
		status = PoCallDriver(lower, irp);
	} else {
		IoSkipCurrentIrpStackLocation(irp);
		status = IoCallDriver(lower, irp);
	}
	nt_leave(f);
	return status;
}

NTSTATUS
power_refuse(IRP *irp)
{
	if (old_rules)
		PoStartNextPowerIrp(irp);
	return nt_complete(irp, STATUS_DELETE_PENDING, 0);
}
