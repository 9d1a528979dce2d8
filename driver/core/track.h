/*
 * track.h - what changed on a volume since the generation that the server holds, across
 * crashes.
 *
 * Changes are known by 64 KiB in memory.  A store of raw extents on the volume keeps
 * them: two slots for each bitmap, written in turn, a header that names the live ones,
 * and a region log: a region of 64 MiB is logged durably before the first write into it
 * since the last checkpoint.  After a crash every block of a logged region counts as
 * changed: more than changed, never less.  Bytes and reasons: driver/core/TRACKING.md;
 * the crash model is tests/driver/track_model.
 *
 * A generation ends at a cut: what changed until then is "previous" and is reported until
 * a commit forgets it; what changes afterwards is "current".  Each has a number and a
 * random nonce beside it, for a reverted or cloned disk repeats numbers.  The "base" is
 * the generation that was committed last: what is reported is reported against it.
 *
 * Order: track_open before any write has passed, then writes, cuts and the rest in any
 * order and from any thread, track_free when nothing is in flight.
 */
#ifndef DRIVER_CORE_TRACK_H
#define DRIVER_CORE_TRACK_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"

struct bits;
struct track;
struct volume;

#define TRACK_LENGTH_MAX ((uint64_t)1 << 48) /* 256 TiB: blocks fit 32 bits */

/* Bytes of a store for a volume of this length. */
uint64_t track_store_bytes(uint64_t length);

/* Told when tracking becomes invalid; any thread, passive, no lock of ours held. */
struct track_notice {
	void (*lost)(void *who, enum hotcopy_reason why);
	void *who;
};

/*
 * Passive.  CREATE makes a new store (state NEW); else what lies there is read whole and
 * judged, never trusted: VALID, RECOVERED or INVALID.  No extents: in memory (NEW).
 *
 * Without CREATE the caller vouches that no write has passed since the volume's device
 * started; one who cannot (a call of the agent on a volume that is in use) opens with
 * CREATE.  One who replaces a track calls track_invalidate on the old one first.
 *
 * NULL only if there is no memory, or the extents are wrong (too small, overlapping, not
 * whole sectors, outside), the volume is past TRACK_LENGTH_MAX or its sectors are not 512
 * to 4096.  A store that cannot be read or is somebody else's gives INVALID and is not
 * written to: only CREATE makes a store of it again.
 */
struct track *track_open(struct volume *v, const struct hotcopy_track *t,
    const struct hotcopy_extent *extent, struct track_notice notice);
/* Writes nothing: what was durable stays so.  After volume_engine_remove-like draining.
 */
void track_free(struct track *t);

/*
 * A write is about to pass; the caller has counted it in flight.  Sets its bits.  false:
 * a region must be logged first: call track_log, passive, from a thread, and ask again.
 * No lock, no wait, no allocation, up to DISPATCH_LEVEL.
 *
 * The order inside is the proof: the bit is set before the region's mark is looked at,
 * and a checkpoint forgets the marks before it copies the bits.
 */
bool track_write(struct track *t, uint64_t offset, uint32_t length);
/* Waits for at most a few sectors' writes (64 KiB if the host writes into our extents).
   The store's own errors make tracking INVALID (durably, if the disk takes it); the write
   passes all the same. */
void track_log(struct track *t, uint64_t offset, uint64_t length);
/* Our own extents, which belong into no image.  A host's write into them makes tracking
   INVALID and is the end of the store; track_write sees to that. */
bool track_owns(const struct track *t, uint64_t offset, uint64_t length);
/* These extents, by offset; how many.  They are "t"'s and never change. */
uint32_t track_extents(const struct track *t, const struct hotcopy_extent **extent);

/*
 * The log has grown and a checkpoint would pay: the volume's thread calls track_work
 * when nothing waits for it.  Each call writes at most 64 KiB or a few sectors, so that
 * held writes never wait for a checkpoint; true: call again (after what is held by now).
 * track_due may be asked at any IRQL.
 */
bool track_due(const struct track *t);
bool track_work(struct track *t);

/* Passive, waits for no I/O; at the cut, all writes drained: a new generation begins in
   memory.  Its number is given. */
uint64_t track_cut(struct track *t, const uint8_t nonce[HOTCOPY_NONCE]);
/* Passive, after the gate is open: makes the cut durable.  -1: INVALID now. */
int track_cut_store(struct track *t);

/* The server holds the generation that began with this number and nonce (COMMIT), or will
   not (ABORT: stays in the report).  Passive.  0 also if that is so already; -1: it is
   not the one of the last cut. */
int
track_commit(struct track *t, uint64_t generation, const uint8_t nonce[HOTCOPY_NONCE]);
int track_abort(struct track *t, uint64_t generation, const uint8_t nonce[HOTCOPY_NONCE]);

/* What a tracked incremental must read: changed before the last cut ("now": or since).
   All of it if that is not known.  Passive; "first" a multiple of 8. */
void track_report(
    const struct track *t, bool now, uint64_t first, uint32_t count, uint8_t *bits);
/* The same as of the cut, for copy_only; owned by "t" and valid until the next call. */
const struct bits *track_previous(const struct track *t);

/* Passive.  Saves the bits and empties the region log.  Writes go on meanwhile.  -1: the
   store failed, INVALID now. */
int track_checkpoint(struct track *t);
/* Passive.  The same, marked clean until the next write passes: VALID when it is read
   again, if no other system wrote meanwhile. */
int track_clean(struct track *t);
/* Everything counts as changed until a generation that begins later is committed;
   durable when it returns, if the disk takes it.  UNKNOWN_WRITE: what was cut before
   keeps its report.  Passive. */
void track_invalidate(struct track *t, enum hotcopy_reason why);
/* As volume_resized: passive.  INVALID until another track is made. */
void track_resized(struct track *t, uint64_t length);

struct track_facts {
	enum hotcopy_tracking state;
	enum hotcopy_reason why;
	uint64_t base; /* committed last: what the report is against; 0: none */
	uint8_t base_nonce[HOTCOPY_NONCE];
	uint64_t generation; /* that began at the last cut */
	uint8_t nonce[HOTCOPY_NONCE];
	uint64_t changed;    /* blocks that "now" would be reported */
	uint32_t log_writes; /* since it was opened: sectors written for regions */
};
/* Passive; reads the whole bitmap. */
void track_facts(const struct track *t, struct track_facts *facts);

#endif /* DRIVER_CORE_TRACK_H */
