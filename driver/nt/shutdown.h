/*
 * shutdown.h - the control device is told of the machine's shutdown, before file systems
 * are flushed and, where a tracking store is kept, after it: what is written down then is
 * the last word.  I/O passes on afterwards: Windows still pages.  Passive.
 */
#ifndef DRIVER_NT_SHUTDOWN_H
#define DRIVER_NT_SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/nt/compat.h"

void shutdown_begin(DEVICE_OBJECT *control);
void shutdown_end(void); /* before the device is deleted */

/* There is a store: from now on also the last chance.  Any number of times. */
void shutdown_last_chance(void);

/* IRP_MJ_SHUTDOWN has come to the control device.  true: for the first time. */
bool shutdown_comes(void);

#endif /* DRIVER_NT_SHUTDOWN_H */
