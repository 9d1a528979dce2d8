/*
 * ctl.h - the control device \Device\HotCopy: who may open it, its calls, its reads, its
 * requests that wait for an event.  What the calls mean is driver/core/control.h's.
 *
 * It has one thread, which completes requests that wait, and tells the core that the
 * machine goes to sleep: both may become known where nothing may wait.
 */
#ifndef DRIVER_NT_CTL_H
#define DRIVER_NT_CTL_H

#include "driver/core/set.h"
#include "driver/nt/nt.h"

/* Once, from DriverEntry; passive.  What fails leaves volumes that only pass on, or a
   driver that nobody can call: it never fails itself. */
void ctl_make(DRIVER_OBJECT *driver);
/* From unload: no filter and no handle is left. */
void ctl_free(void);

bool ctl_owns(const DEVICE_OBJECT *device);
/* Any request on the control device. */
NTSTATUS ctl_request(IRP *irp);

/* A volume comes (-1: it cannot be had) and goes; passive. */
int ctl_join(struct volume *v);
void ctl_leave(struct volume *v);

/* So many special files lie on it now; passive, waits for no I/O. */
void ctl_paging(struct volume *v, uint32_t files);

/* What tracking says that no call has begun: track_notice.lost. */
void ctl_lost(uint64_t volume, enum hotcopy_reason why);
/* control_hold. */
bool ctl_hold(struct volume *v, const struct set_caller *sender);

/* The machine is about to sleep; any number of times, up to DISPATCH_LEVEL. */
void ctl_sleep(void);

#endif /* DRIVER_NT_CTL_H */
