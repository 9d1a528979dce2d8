/*
 * write.h - the host's writes, and other requests that change a range: asked about
 * (driver/core/volume.h), held where they must wait, sent down, uncounted when done.
 */
#ifndef DRIVER_NT_WRITE_H
#define DRIVER_NT_WRITE_H

#include "driver/nt/nt.h"

struct held;

/* IRP_MJ_WRITE, entered; up to DISPATCH_LEVEL. */
NTSTATUS write_request(struct filter *f, IRP *irp);

/*
 * Sends down a request that is counted in flight: it is uncounted, and has left, when it
 * completes.
 */
NTSTATUS write_send(struct filter *f, IRP *irp);

/* Has the volume hold an entered request until [offset, offset + length) may be changed;
   write_forward gets it back.  Gives STATUS_PENDING, and the request may be gone. */
NTSTATUS write_hold(struct filter *f, IRP *irp, uint64_t offset, uint64_t length);

/* volume_ops.forward. */
void write_forward(void *device, struct held *h);

#endif /* DRIVER_NT_WRITE_H */
