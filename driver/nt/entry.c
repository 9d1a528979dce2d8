#include "driver/nt/nt.h"
#include "driver/nt/attach.h"
#include "driver/nt/boot.h"
#include "driver/nt/ctl.h"
#include "driver/nt/errand.h"
#include "driver/nt/eventlog.h"
#include "driver/nt/ioctl.h"
#include "driver/nt/pass.h"
#include "driver/nt/pnp.h"
#include "driver/nt/power.h"
#include "driver/nt/registry.h"
#include "driver/nt/tracked.h"
#include "driver/nt/write.h"

DRIVER_INITIALIZE DriverEntry;

/* Every request of every device of ours. */
static NTSTATUS NTAPI
dispatch(DEVICE_OBJECT *device, IRP *irp)
{
	UCHAR major = IoGetCurrentIrpStackLocation(irp)->MajorFunction;
	struct filter *f = device->DeviceExtension;

	if (ctl_owns(device))
		return ctl_request(irp);
	if (!nt_enter(f)) {
		if (major == IRP_MJ_POWER)
			return power_refuse(irp);
		return nt_complete(irp, STATUS_DELETE_PENDING, 0);
	}
	switch (major) {
	case IRP_MJ_WRITE:
		return write_request(f, irp);
	case IRP_MJ_DEVICE_CONTROL:
		return ioctl_request(f, irp);
	case IRP_MJ_PNP:
		return pnp_request(f, irp);
	case IRP_MJ_POWER:
		return power_request(f, irp);
	default:
		return pass_request(f, irp);
	}
}

/* No filter is left: the I/O manager unloads no driver that has devices in use. */
static VOID NTAPI
unload(DRIVER_OBJECT *driver)
{
	(void)driver;
	errand_end();
	ctl_free();
	tracked_end();
	boot_end();
}

/*
 * Never fails: volumes do not start when a filter of their class cannot be loaded, and
 * that may be the one the machine starts from.
 */
NTSTATUS NTAPI
DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *path)
{
	int i;

	for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++)
		driver->MajorFunction[i] = dispatch;
	driver->DriverExtension->AddDevice = attach_device;
	driver->DriverUnload = unload;
	power_learn();
	eventlog_begin(driver);
	registry_begin(path);
	boot_begin();
	tracked_begin();
	errand_begin();
	ctl_make(driver);
	return STATUS_SUCCESS;
}
