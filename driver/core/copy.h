/*
 * copy.h - copy-before-write of one frozen volume: what must be kept, who keeps it, and
 * how the frozen image is read.
 *
 * Two bitmaps of copy chunks.  "must": the chunk is needed and not kept yet, so a write
 * to it waits for a copy; that is the only question of the fast path.  "kept": a copy is
 * in the diff area (diff.h).  In neither: nobody needs it; it is never served.
 *
 * A copier reads the chunk from the disk below, puts it into the diff area, sets "kept",
 * then clears "must", and only then lets the write go.  A reader of the image reads the
 * disk below and afterwards looks whether "must" is still set: if so no write was let
 * through before the read had ended; if not, it takes the copy.
 */
#ifndef DRIVER_CORE_COPY_H
#define DRIVER_CORE_COPY_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"

struct bits;
struct copy;
struct diff;
struct volume;

/* Told of what a set must know: any thread, passive, no lock of ours held. */
struct copy_notice {
	void (*tell)(
	    void *set, struct volume *v, enum hotcopy_event_code code, uint64_t argument);
	void *set;
};

/* Passive.  Everything is needed.  "diff" is the set's and outlives it.  NULL: no memory.
 */
struct copy *copy_make(struct volume *v, struct diff *diff, uint32_t chunk_shift,
    enum hotcopy_full full, uint32_t throttle_ms, struct copy_notice notice);
/* After volume_engine_remove. */
void copy_free(struct copy *c);

/* Before the cut: never needed.  Whole chunks inside the range only. */
void copy_exclude(struct copy *c, uint64_t offset, uint64_t length);
/* At the cut, all writes drained: needed is only what is 1 in "changed" (blocks of
   1 << HOTCOPY_TRACK_SHIFT). */
void copy_only(struct copy *c, const struct bits *changed);
/* Before the cut: the host may not write here while frozen: our own diff or tracking file
   on this volume.  A write into it drops the image. */
int copy_forbid(struct copy *c, uint64_t offset, uint64_t length);

/* May a write pass at once?  Up to DISPATCH_LEVEL, no lock. */
bool copy_passes(struct copy *c, uint64_t offset, uint32_t length);
/* Passive: afterwards it may: copies are made, or the image is dropped.  The time is
   bounded by the disk's reads and throttle_ms. */
void copy_before(struct copy *c, uint64_t offset, uint32_t length);

/* The image is lost; any IRQL up to DISPATCH_LEVEL.  The first reason stays. */
void copy_drop(struct copy *c, enum hotcopy_reason why);
enum hotcopy_reason copy_dropped(const struct copy *c);

enum copy_result {
	COPY_OK,
	COPY_LOST,     /* dropped */
	COPY_NOT_KEPT, /* unneeded or done: never served */
	COPY_BAD       /* not inside the volume, not whole sectors */
};
/* Passive, any number of threads.  Whole sectors into "out"; all or nothing. */
enum copy_result copy_read(struct copy *c, uint64_t offset, void *out, uint32_t length);

/* Bits that are 1 are not needed any more; copies of them are forgotten. */
enum copy_result
copy_unneeded(struct copy *c, uint64_t first, uint32_t count, const uint8_t *bits);
/* So is this range; only chunks that lie in it whole (or end with the volume). */
enum copy_result copy_done(struct copy *c, uint64_t offset, uint64_t length);

/* Fills needed, copied, held..., reads*, throttled of "stats". */
void copy_stats(const struct copy *c, struct hotcopy_stats *stats);

#endif /* DRIVER_CORE_COPY_H */
