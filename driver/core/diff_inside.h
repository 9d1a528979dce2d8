/*
 * diff_inside.h - what diff.c and diff_io.c share; nobody else includes it.
 *
 * A place is a memory slot (its number) or a disk slot (memory slots + its number).  The
 * states of a slot, under d->lock; "readers" pin what it holds:
 *
 *	memory  FREE -take-> TAKEN -put-> KEPT -writer-> WRITING -written-> FREE
 *	                       |            |               |
 *	                     give         forget          forget: FORGOTTEN, until the
 *	                       v            v             write has ended
 *	                     FREE         FREE
 *	disk    FREE -writer-> TAKEN -written-> KEPT -forget-> FREE
 *
 * What would become FREE while it is read is LEAVING until its last reader has gone.  The
 * map knows of KEPT and WRITING places only, so what was forgotten is found by nobody.
 */
#ifndef DRIVER_CORE_DIFF_INSIDE_H
#define DRIVER_CORE_DIFF_INSIDE_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/core/diff.h"
#include "driver/core/diff_map.h"
#include "driver/core/diff_slots.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"

#define DIFF_NO_SLOT UINT32_MAX
#define DIFF_AREAS_MAX 256u
#define DIFF_READERS 4u /* chunks that are read from the disk at once */
#define DIFF_ARENA_SHIFT                                                              \
	20		   /* copies lie in blocks of this, or in one that is smaller \
			    */
#define DIFF_GATHER_MAX 4u /* of VOLUME_IO_MAX, of the smallest chunks */

enum diff_state {
	DIFF_FREE,
	DIFF_TAKEN,
	DIFF_KEPT,
	DIFF_WRITING,
	DIFF_FORGOTTEN,
	DIFF_LEAVING
};

struct diff_slot {
	uint16_t readers;
	uint8_t state; /* enum diff_state */
};

/* A memory slot is in the list of free ones, or in the queue of those to be written. */
struct diff_memory {
	struct diff_slot slot;
	uint32_t next, before;
	uint8_t *buffer;
};

struct diff_run {
	uint64_t offset, length;
	uint32_t first, slots; /* its whole chunks, as disk slots */
};

/* The extents of one diff_add; all but "io" and "gone" never change. */
struct diff_area {
	struct volume *at;
	uint32_t first, slots;
	uint32_t runs;
	uint32_t io; /* under way */
	bool gone;
	struct diff_run run[];
};

/* Who is to be woken when the lock has been given. */
enum diff_wake { DIFF_WAKE_WRITER = 1, DIFF_WAKE_TAKER = 2, DIFF_WAKE_LEAVER = 4 };

struct diff {
	unsigned shift;
	struct env_lock lock;
	struct diff_map map;

	struct diff_memory *memory;
	uint32_t memory_slots, memory_used;
	uint32_t free;	     /* the first of a list */
	uint32_t head, tail; /* the oldest and newest to be written */
	uint32_t queued, takers;
	uint8_t **arena; /* rising addresses */
	uint32_t arenas;

	struct diff_slot *disk;
	struct diff_slots room;
	struct diff_area *area[DIFF_AREAS_MAX];
	uint32_t areas; /* atomic: what is below it never changes */

	uint32_t failed; /* atomic */
	bool draining, stop, started;
	uint8_t *gather;
	uint8_t *bounce[DIFF_READERS];
	uint32_t bounces; /* bits: free ones */
	struct env_thread writer;
	struct env_event work, freed, bounced, quiet;
	uint64_t overhead;
};

/* Where a disk slot lies, and how many from it on lie side by side. */
struct diff_area *
diff_place(const struct diff *d, uint32_t slot, uint64_t *offset, uint32_t *behind);
/* The area's thread. */
void diff_io_run(void *arg);

#endif /* DRIVER_CORE_DIFF_INSIDE_H */
