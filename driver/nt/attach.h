/*
 * attach.h - a filter comes to a volume's stack and goes.
 */
#ifndef DRIVER_NT_ATTACH_H
#define DRIVER_NT_ATTACH_H

#include "driver/nt/nt.h"

/* AddDevice.  Always STATUS_SUCCESS: a volume starts without us rather than not. */
DRIVER_ADD_DEVICE attach_device;

/* Passive, at START_DEVICE: the drivers below have started; learn what the volume is and
   begin to count its writes.  What fails leaves a filter that only passes on. */
void attach_volume(struct filter *f);

/* Passive: the volume may have another length than before; ask below, and tell the core
   if it has.  -1: no answer. */
int attach_learn(struct filter *f);

/* The device will not come back: an image is dropped, what waits is sent down.  Waits for
   nobody; any number of times. */
void attach_gone(struct filter *f);

/* Passive, entered by the caller alone and for the last time: waits until all others have
   left, and frees all but the device. */
void attach_end(struct filter *f);

#endif /* DRIVER_NT_ATTACH_H */
