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
 *
 * A volume that only lends room for copies has an engine, too, with nothing needed: the
 * host must not write there.
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

/* Told of what a set must know: up to DISPATCH_LEVEL, no lock of ours held. */
struct copy_notice {
	/* DROPPED, once, and THROTTLED. */
	void (*tell)(
	    void *set, struct volume *v, enum hotcopy_event_code code, uint64_t argument);
	/* The room has changed; it may be asked of the diff area. */
	void (*room)(void *set, struct volume *v);
	void *set;
	/* With copy_want.lost, which was put: the others are to be dropped as well. */
	void (*lost)(void *set, enum hotcopy_reason why);
};

struct copy_want {
	struct volume *volume;
	struct diff *diff; /* the set's; outlives the engine */
	uint32_t index;	   /* of the volume in the set: its key in the diff area */
	uint32_t chunk_shift;
	enum hotcopy_full full;
	uint32_t throttle_ms;
	uint32_t copiers; /* that will work at once: buffers are laid by for them */
	bool lends;	  /* nothing is needed, only forbidden */
	struct copy_notice notice;
	/* The set's: enum hotcopy_reason why all of its images are lost; NULL: alone. */
	uint32_t *lost;
};

/* Passive.  Everything is needed.  NULL: no memory; none is taken later. */
struct copy *copy_make(const struct copy_want *want);
/* After volume_engine_remove. */
void copy_free(struct copy *c);

/* Before the cut: never needed.  Whole chunks inside the range only. */
void copy_exclude(struct copy *c, uint64_t offset, uint64_t length);
/* Before the cut: the host may not write here while frozen: our own diff or tracking file
   on this volume.  A write into it drops all images of the set, and waits for what we are
   writing there.  Room for so many more extents must
   have been made (-1: no memory, nothing changed). */
int copy_forbid_room(struct copy *c, uint32_t extents);
void copy_forbid(struct copy *c, uint64_t offset, uint64_t length);
/* Has the volume still the length that it was made for? */
bool copy_fits(const struct copy *c);
/* At the cut: counts and times begin. */
void copy_begin(struct copy *c);
/* After the cut, passive: needed is only what is 1 in "changed" (blocks of
   1 << HOTCOPY_TRACK_SHIFT), as of the cut. */
void copy_only(struct copy *c, const struct bits *changed);

/* May a write pass at once?  Up to DISPATCH_LEVEL, no lock. */
bool copy_passes(struct copy *c, uint64_t offset, uint64_t length);
/* Passive: afterwards it may: copies are made, or the image is dropped.  The time is
   bounded by the disk's reads and throttle_ms from "since" (100 ns, when the write came).
 */
void copy_before(struct copy *c, uint64_t offset, uint64_t length, uint64_t since);

/* The image is lost; up to DISPATCH_LEVEL.  The first reason stays.  If our own file lies
   here and the host may have written into it, or the device is gone, so are all of the
   set: from one moment on, so that none serves a copy that was written over. */
void copy_drop(struct copy *c, enum hotcopy_reason why);
/* Passive, after a drop of that kind: returns when nothing of ours is being written, or
   will be, into our file on this volume: what the host writes there stays. */
void copy_yield(struct copy *c);
enum hotcopy_reason copy_dropped(const struct copy *c);
/* Passive.  A dropped image's copies give their room to others. */
void copy_reclaim(struct copy *c);

enum copy_result {
	COPY_OK,
	COPY_LOST,     /* dropped */
	COPY_NOT_KEPT, /* unneeded or done: never served */
	COPY_BAD,      /* not inside the volume, not whole sectors */
	COPY_IO	       /* the disk could not be read; the image stays */
};
/* Passive, any number of threads.  Whole sectors into "out", which the disk is read into
   at once: memory as volume_ops.read wants it (or a locked request's, mapped).  Anything
   but COPY_OK: its content is nobody's. */
enum copy_result copy_read(struct copy *c, uint64_t offset, void *out, uint32_t length);

/* Bits that are 1 are not needed any more; copies of them are forgotten. */
enum copy_result
copy_unneeded(struct copy *c, uint64_t first, uint32_t count, const uint8_t *bits);
/* So is this range; only chunks that lie in it whole (or end with the volume). */
enum copy_result copy_done(struct copy *c, uint64_t offset, uint64_t length);

/* Fills writes, needed, copied, reads, reads_kept, throttled of "stats". */
void copy_stats(const struct copy *c, struct hotcopy_stats *stats);

#endif /* DRIVER_CORE_COPY_H */
