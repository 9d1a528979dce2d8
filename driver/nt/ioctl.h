/*
 * ioctl.h - device controls on a volume: the one that is ours, those that change a range
 * or the length; all others pass.
 */
#ifndef DRIVER_NT_IOCTL_H
#define DRIVER_NT_IOCTL_H

#include "driver/nt/nt.h"

/* IRP_MJ_DEVICE_CONTROL, entered. */
NTSTATUS ioctl_request(struct filter *f, IRP *irp);

/* write_forward of a device control that was held: passive, counted in flight for the
   range that it was held for. */
void ioctl_forward(struct filter *f, IRP *irp);

#endif /* DRIVER_NT_IOCTL_H */
