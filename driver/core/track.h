/*
 * track.h - what changed on a volume since the generation that the server holds, across
 * crashes.
 *
 * Changes are known by 64 KiB in memory.  A store of raw extents on the volume keeps
 * them: two slots for the bitmaps, written in turn, and a header of one sector that names
 * the live one and holds the region log: a region of 64 MiB is logged durably before the
 * first write into it since the last checkpoint.  After a crash every block of a logged
 * region counts as changed: more than changed, never less.  Bytes and reasons:
 * driver/core/TRACKING.md; the crash model is tests/driver/track_model.
 *
 * A generation ends at a cut: what changed until then is "previous" and is reported until
 * a commit forgets it; what changes afterwards is "current".  Each has a number and a
 * random nonce beside it, for a reverted or cloned disk repeats numbers.
 */
#ifndef DRIVER_CORE_TRACK_H
#define DRIVER_CORE_TRACK_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"

struct bits;
struct track;
struct volume;

/* Bytes of a store for a volume of this length. */
uint64_t track_store_bytes(uint64_t length);

/* Told when tracking becomes invalid; any thread, up to DISPATCH_LEVEL. */
struct track_notice {
	void (*lost)(void *who, enum hotcopy_reason why);
	void *who;
};

/*
 * Passive.  CREATE makes a new store (state NEW); else what lies there is read and
 * judged, never trusted: VALID, RECOVERED or INVALID.  No extents: in memory (NEW).  NULL
 * only if there is no memory or the extents are wrong; a store that cannot be read gives
 * INVALID.
 */
struct track *track_open(struct volume *v, const struct hotcopy_track *t,
    const struct hotcopy_extent *extent, struct track_notice notice);
/* Writes nothing: what was durable stays so.  After volume_engine_remove-like draining.
 */
void track_free(struct track *t);

/*
 * A write is about to pass; the caller has counted it in flight.  Sets its bits.  false:
 * a region must be logged first: call track_log, passive, from a thread; then it may
 * pass. No lock, no wait, no allocation, up to DISPATCH_LEVEL.
 *
 * The order inside is the proof: the bit is set before the region's mark is looked at,
 * and a checkpoint forgets the marks before it copies the bits.
 */
bool track_write(struct track *t, uint64_t offset, uint32_t length);
/* The store's own errors make tracking INVALID (durably, if the disk takes it); the write
   passes all the same. */
void track_log(struct track *t, uint64_t offset, uint32_t length);
/* Our own extents: a host's write into them makes tracking INVALID. */
bool track_owns(const struct track *t, uint64_t offset, uint64_t length);

/* At the cut, all writes drained, up to DISPATCH_LEVEL: a new generation begins in
 * memory. */
void track_cut(struct track *t, const uint8_t nonce[HOTCOPY_NONCE]);
/* Passive, after the gate is open: makes the cut durable.  -1: INVALID now. */
int track_cut_store(struct track *t);

/* The server holds the generation that began with this number and nonce (COMMIT), or will
   not (ABORT: stays in the report).  -1: it is not the one of the last cut. */
int
track_commit(struct track *t, uint64_t generation, const uint8_t nonce[HOTCOPY_NONCE]);
int track_abort(struct track *t, uint64_t generation, const uint8_t nonce[HOTCOPY_NONCE]);

/* What a tracked incremental must read: changed before the last cut ("now": or since).
   Everything, if the state is not VALID or RECOVERED. */
void track_report(
    const struct track *t, bool now, uint64_t first, uint32_t count, uint8_t *bits);
/* The same as of the cut, for copy_only; owned by "t" and valid until the next call. */
const struct bits *track_previous(const struct track *t);

/* Passive.  Saves the bits and empties the region log. */
int track_checkpoint(struct track *t);
/* Passive.  The same, marked clean: no other writer may have been here when it is read.
 */
int track_clean(struct track *t);
/* Everything counts as changed until the next committed generation; passive. */
void track_invalidate(struct track *t, enum hotcopy_reason why);
/* As volume_resized: passive. */
void track_resized(struct track *t, uint64_t length);

struct track_facts {
	enum hotcopy_tracking state;
	enum hotcopy_reason why;
	uint64_t generation;
	uint8_t nonce[HOTCOPY_NONCE];
	uint64_t changed;    /* blocks */
	uint32_t log_writes; /* since it was opened: header writes for regions */
};
void track_facts(const struct track *t, struct track_facts *facts);

#endif /* DRIVER_CORE_TRACK_H */
