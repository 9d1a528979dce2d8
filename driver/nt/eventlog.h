/*
 * eventlog.h - entries in Windows' System log, source "hotcopy".  Texts and numbers:
 * eventlog.mc, which are for ever (docs/driver.md).  Up to DISPATCH_LEVEL; what cannot be
 * written is not.
 */
#ifndef DRIVER_NT_EVENTLOG_H
#define DRIVER_NT_EVENTLOG_H

#include "driver/nt/compat.h"
#include "driver/abi/hotcopy.h"
#include "driver/nt/boot.h"

/* Once, from DriverEntry. */
void eventlog_begin(DRIVER_OBJECT *driver);

void eventlog_passing(enum boot_mode mode);
void eventlog_dropped(uint64_t volume, enum hotcopy_reason why);
void eventlog_tracking_lost(uint64_t volume, enum hotcopy_reason why);

#endif /* DRIVER_NT_EVENTLOG_H */
