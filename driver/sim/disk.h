/*
 * disk.h - a block device of the simulator: a file or device below, a volume of the
 * driver's core above it, and what a host does to it from many threads at once.
 *
 * It stands for driver/nt: it asks the core before every write, waits where the core
 * holds one, sends down what the core gives back, and tells the core when it is done.
 */
#ifndef DRIVER_SIM_DISK_H
#define DRIVER_SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/core/track.h"

struct disk;
struct record;
struct volume;

/* "number" is the volume's, for ENUM; "record" may be NULL.  NULL: said in "why".
   The file stays as long as it is: a multiple of "sector". */
struct disk *disk_open(const char *name, const char *path, uint64_t number,
    uint32_t sector, struct record *record, char *why, unsigned why_size);
/* Opens the tracking store that lies at "offset" (made by TRACK with CREATE), before the
   first write: nothing was missed.  What it is worth is said by ENUM.  -1: said in "why".
 */
int disk_track(struct disk *d, uint64_t offset, struct track_notice notice, char *why,
    unsigned why_size);
/* After all calls have returned, and after control_leave.  Drops what is frozen. */
void disk_close(struct disk *d);
/* The device is gone as far as the core goes; comes before control_leave. */
void disk_gone(struct disk *d);

const char *disk_name(const struct disk *d);
uint64_t disk_length(const struct disk *d);
struct volume *disk_volume(const struct disk *d);

/* As a host does; any thread, bytes, inside the disk.  0, or the errno of what is below,
   which is all that can fail. */
int disk_read(struct disk *d, uint64_t offset, void *buffer, uint32_t length);
int disk_write(struct disk *d, uint64_t offset, const void *buffer, uint32_t length);
/* Zeros afterwards; "punch": and no room is taken for them. */
int disk_zero(struct disk *d, uint64_t offset, uint32_t length, bool punch);
int disk_flush(struct disk *d);

/* From now on everything below takes so much longer, a disk's latency: microseconds. */
void disk_delay(struct disk *d, uint32_t read_us, uint32_t write_us);
/*
 * From now on a share of the writes, of 2^32, passes without the tracking being told:
 * what a driver with a fault would do.  Which ones is drawn by "seed".  Only while nothing is
 * frozen, so that images stay right.  Gives how many passed so since the start.
 */
uint32_t disk_forget(struct disk *d, uint32_t share, uint32_t seed);

#endif /* DRIVER_SIM_DISK_H */
