/*
 * hold.h - FLUSH_AND_HOLD_WRITES: the file system above has written all it had and waits
 * until this request comes back, so a cut made meanwhile finds it whole.
 *
 * A request waits on a thread of its own, for who sends several, one a volume, may do so
 * from one thread, and a cut of 64 volumes needs all 64 of them here.  A set says how
 * long (hold_ms), and its release, or the request's being cancelled, ends that at once;
 * without a set that wants a cut it goes on as it came.
 */
#ifndef DRIVER_NT_HOLD_H
#define DRIVER_NT_HOLD_H

#include "driver/nt/nt.h"

/* Entered; the volume is ready. */
NTSTATUS hold_request(struct filter *f, IRP *irp);

#endif /* DRIVER_NT_HOLD_H */
