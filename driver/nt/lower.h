/*
 * lower.h - our own reads and writes of a volume, sent to the device below ours, so that
 * they never pass this filter.
 *
 * An IRP from the pool where there is one; else the filter's own, laid by when it was
 * made, one request at a time: a copy that a host's write waits for needs no memory.
 * Passive, all of it.
 */
#ifndef DRIVER_NT_LOWER_H
#define DRIVER_NT_LOWER_H

#include "driver/nt/nt.h"

struct lower;

/* NULL: no memory.  For requests to f->lower, which must do direct I/O. */
struct lower *lower_make(struct filter *f);
void lower_free(struct lower *io);

/* volume_ops.read and .write; "device" is the filter. */
int lower_read(void *device, uint64_t offset, void *buffer, uint32_t length);
int lower_write(
    void *device, uint64_t offset, const void *buffer, uint32_t length, bool through);

/* What the drivers below say of the volume.  -1: they do not, or it makes no sense. */
int lower_facts(struct filter *f, uint64_t *length, uint32_t *sector);

#endif /* DRIVER_NT_LOWER_H */
