/*
 * copy_parts.h - what copy.c (the bitmaps), copy_before.c (the copiers) and copy_read.c
 * (the image) share.
 */
#ifndef DRIVER_CORE_COPY_PARTS_H
#define DRIVER_CORE_COPY_PARTS_H

#include "driver/core/atomic.h"
#include "driver/core/bits.h"
#include "driver/core/copy.h"
#include "driver/core/diff.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"

/* Neighbours are copied together up to here: one lower read. */
#define COPY_WINDOW VOLUME_IO_MAX
#define COPY_TOGETHER (COPY_WINDOW >> HOTCOPY_CHUNK_SHIFT_MIN)
#define COPY_STAGES 4u

/* Who is inside copy_before; lies on that thread's stack. */
struct copier {
	struct copier *next;
	uint64_t first, last; /* chunks that it is copying */
	bool claims;
	bool streams;	       /* the chunk before the write's first was kept */
	struct env_event wake; /* a claim ended, a chunk is needed no more, dropped */
};

struct copy_stage {
	void *buffer; /* COPY_WINDOW; NULL: none was made */
	bool busy;
};

struct copy {
	struct copy_want want;
	uint64_t length; /* of the volume, at PREPARE */
	uint64_t chunks;
	struct bits must, kept;
	struct hotcopy_extent *forbidden; /* by offset, disjoint; before the cut */
	uint32_t forbids, forbid_room;
	uint32_t yielded; /* nothing of ours is written there any more */

	uint32_t dropped; /* enum hotcopy_reason; changed within the lock */

	/* A spin lock: copiers, stages, and each change of must and kept but the first
	   filling.  Never held with another. */
	struct env_lock lock;
	struct copier *copiers;
	struct copy_stage stage[COPY_STAGES];
	uint64_t began, copied, throttled;

	char line[64];
	struct atomic_count writes; /* that asked */
	char line_end[64];
	struct atomic_count reads, reads_kept;
};

/* The chunks of a range as far as it lies in the volume; false: of none. */
bool copy_range(const struct copy *c, uint64_t offset, uint64_t length, uint64_t *first,
    uint64_t *last);
bool copy_forbids(const struct copy *c, uint64_t offset, uint64_t length);
/* None of our extents here, or none that we write into. */
bool copy_has_yielded(const struct copy *c);
/* The first set bit of first ... last, and not a step beyond; last + 1: none. */
uint64_t copy_next(const struct bits *b, uint64_t first, uint64_t last);
/* Bytes of this chunk: the last may be short. */
uint32_t copy_bytes(const struct copy *c, uint64_t chunk);
/* Within the lock: all copiers look again. */
void copy_wake(struct copy *c);

#endif /* DRIVER_CORE_COPY_PARTS_H */
