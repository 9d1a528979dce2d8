/*
 * errand.h - a request that may wait long is served by a thread of its own, made for it.
 *
 * Nobody's thread is kept in the driver then: a program that is killed ends, which cancels
 * its requests, and who sends several of them may do so from one thread.
 */
#ifndef DRIVER_NT_ERRAND_H
#define DRIVER_NT_ERRAND_H

#include "driver/nt/nt.h"

void errand_begin(void);
void errand_end(void); /* no device is left: waits for the threads' ends */

/* Passive.  `run`, which completes the request or sends it on; it is marked pending already.
   Without a thread it runs at once. */
void errand_start(void (*run)(void *who, IRP *irp), void *who, IRP *irp);

/* struct set_caller's `gone` for a request: has it been cancelled? */
bool errand_cancelled(void *irp);

#endif /* DRIVER_NT_ERRAND_H */
