/*
 * power.h - IRP_MJ_POWER: passes, at once; that the machine goes to sleep is told to the
 * control device's thread, for a power request must not wait for I/O.
 */
#ifndef DRIVER_NT_POWER_H
#define DRIVER_NT_POWER_H

#include "driver/nt/nt.h"

/* Once, from DriverEntry. */
void power_learn(void);

/* Entered or, when the device is being removed, not: then it only ends. */
NTSTATUS power_request(struct filter *f, IRP *irp);
NTSTATUS power_refuse(IRP *irp);

#endif /* DRIVER_NT_POWER_H */
