/*
 * boot.h - may this start of the machine be filtered, and does it come to its end?
 *
 * Three things make the driver pass on only: the kill switch, which a person sets; too
 * many starts in a row that did not come to their end; safe mode.  Names and limits:
 * driver/abi/names.h.  A start has come to its end when the first program has opened the
 * control device, the machine is shut down in order, or BOOT_ENOUGH_S have passed.
 *
 * Order: boot_begin from DriverEntry, boot_end at unload.  Passive, but boot_mode.
 */
#ifndef DRIVER_NT_BOOT_H
#define DRIVER_NT_BOOT_H

#include "driver/nt/compat.h"

enum boot_mode {
	BOOT_WORKS,
	BOOT_SWITCHED_OFF,
	BOOT_FAILED_STARTS,
	BOOT_SAFE_MODE /* not even attached: "Determining Whether the Operating System Is
			  Running in Safe Mode", learn.microsoft.com */
};

#define BOOT_ENOUGH_S 127u

/* Reads the registry below the service's key (registry_begin), raises the count of failed
   starts if the service starts with the machine; where the driver only passes on, forgets
   where the tracking stores lie.  What cannot be read counts as not set. */
void boot_begin(void);
void boot_end(void);

/* Up to any IRQL. */
enum boot_mode boot_mode(void);

/* This start has come to its end: the count goes back to 0.  Any number of times. */
void boot_up(void);

#endif /* DRIVER_NT_BOOT_H */
