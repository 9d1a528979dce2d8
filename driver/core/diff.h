/*
 * diff.h - the diff area of a set: where copies of old chunks lie, in memory first and
 * then in extents on a disk.
 *
 * A copy is put into memory and is safe there; a thread of the area writes it out when
 * there are extents with room, and gives the memory back.  Nothing needs to be durable: a
 * frozen image ends with the machine.  All memory is taken by diff_make and diff_add,
 * none later, so that putting never fails for want of a pool. Chunks that are forgotten
 * give their place back.
 */
#ifndef DRIVER_CORE_DIFF_H
#define DRIVER_CORE_DIFF_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"

struct diff;
struct volume;

/* Passive.  "memory" bytes for copies (from 1 MiB on in whole MiB), chunks of
   1 << chunk_shift.  NULL: no memory, or not even room for one chunk. */
struct diff *diff_make(uint64_t memory, uint32_t chunk_shift);
void diff_free(struct diff *d);
/* Passive, before the first put.  Whole chunks of the extents of "at" are used; they must
   be whole sectors, lie inside it, rise and not overlap, also with those of earlier calls
   (-1 with *why: DIFF_ERROR, or NO_MEMORY; nothing has changed). */
int diff_add(struct diff *d, struct volume *at, const struct hotcopy_extent *extent,
    uint32_t extents, enum hotcopy_reason *why);
/* Is any of "at"'s bytes in this range ours?  Up to DISPATCH_LEVEL. */
bool diff_owns(
    const struct diff *d, const struct volume *at, uint64_t offset, uint64_t length);

/*
 * A key is (index of the volume in the set, chunk).  A copier first takes a buffer of one
 * chunk (passive; false: full now, even after waiting up to "wait" 100 ns for the disk to
 * take some), reads into it, and puts it under its key or gives it back.
 */
bool diff_take(struct diff *d, void **buffer, uint64_t wait);
/* A key that has a copy keeps the one it has. */
void diff_put(struct diff *d, uint32_t index, uint64_t chunk, void *buffer);
void diff_give(struct diff *d, void *buffer);

enum diff_result { DIFF_OK, DIFF_NONE, DIFF_ERROR };
/* Passive.  Copies "length" bytes from "from" within the chunk out. */
enum diff_result diff_get(struct diff *d, uint32_t index, uint64_t chunk, uint32_t from,
    void *out, uint32_t length);
/* Forgets the copy, if there is one; waits for no disk. */
void diff_forget(struct diff *d, uint32_t index, uint64_t chunk);

/* Passive.  "at" goes: no I/O is done on it any more when this returns, also not by the
   area's thread; copies that lie there give DIFF_ERROR. */
void diff_leave(struct diff *d, struct volume *at);

/* Did a write of a copy fail?  (It then stays in memory; the area grows no more.) */
bool diff_failed(const struct diff *d);
/* Bytes. */
struct diff_space {
	uint64_t used, size;		   /* on disk */
	uint64_t memory_used, memory_size; /* for copies */
	uint64_t overhead;		   /* maps: memory beside the copies */
};
void diff_space(const struct diff *d, struct diff_space *space);

#endif /* DRIVER_CORE_DIFF_H */
