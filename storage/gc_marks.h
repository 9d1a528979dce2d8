/*
 * gc_marks.h - which chunks of the sealed packs live: two bits for each.
 *
 * Made from the packs' footers, then marked by any threads at once: *live*, and
 * for nodes of trees *walked*, all below it is marked or about to be.  A chunk is
 * where it lies (pack, group, place), not its name: of two copies each has its
 * bits.  Memory: 2 bits a chunk, 8 bytes a group, some 60 a pack.
 */
#ifndef STORAGE_GC_MARKS_H
#define STORAGE_GC_MARKS_H

#include <stdint.h>

#include "storage/pack.h"

struct err;
struct gc_marks;

struct gc_pack {
	uint32_t no;
	enum chunk_kind kind;
	uint32_t chunks;
	uint32_t groups, first_group; /* Its groups, by offset. */
	uint32_t first_bit;
	uint32_t stored;   /* Bytes of its groups and between them. */
	uint32_t optional; /* Features of the pack, which copies would not have. */
	uint64_t sequence; /* Of the record that it was sealed. */
	/* The cycle's own: */
	uint8_t candidate;  /* May go. */
	uint8_t damaged;    /* Something quarantined in it is needed: stays as it is. */
	uint8_t rewritten;  /* enum gc_copied */
	uint32_t live_then; /* Chunks that lived when copying it began. */
};

enum gc_copied { GC_NOT_COPIED, GC_COPYING, GC_COPIED };

struct gc_group {
	uint32_t offset;
	uint32_t first; /* Bit of its first chunk, from the pack's first. */
};

struct gc_marks *gc_marks_new(void);
void gc_marks_free(struct gc_marks *m);

/*
 * Add pack `p` by its footer; numbers rise.  ERR_CORRUPT and the like: it is not
 * in then.
 */
int gc_marks_add(struct gc_marks *m, struct pack *p, struct err *err);

/* All packs are in: make the bits.  ERR_NOMEM. */
int gc_marks_ready(struct gc_marks *m, struct err *err);

/* The packs, by number. */
struct gc_pack *gc_marks_packs(struct gc_marks *m, uint32_t *n);
struct gc_pack *gc_marks_pack(struct gc_marks *m, uint32_t no);

/* The groups of a pack, by offset; one more than p->groups ends the last. */
const struct gc_group *gc_marks_groups(const struct gc_marks *m, const struct gc_pack *p);

/*
 * Set a chunk's bit: 1 if it was set before, 0 if not, -1 if the chunk is in no
 * pack that was added.
 */
int gc_marks_live(struct gc_marks *m, const struct pack_loc *loc);
int gc_marks_walked(struct gc_marks *m, const struct pack_loc *loc);

/* Is it set?  As above. */
int gc_marks_is_walked(struct gc_marks *m, const struct pack_loc *loc);

/* Live chunks of a pack, or of its group `i`; is the one at `place` of it? */
uint32_t gc_marks_count(const struct gc_marks *m, const struct gc_pack *p);
uint32_t
gc_marks_count_group(const struct gc_marks *m, const struct gc_pack *p, uint32_t i);
int gc_marks_is_live(
    const struct gc_marks *m, const struct gc_pack *p, uint32_t i, uint32_t place);

uint64_t gc_marks_ram(const struct gc_marks *m);

#endif /* STORAGE_GC_MARKS_H */
