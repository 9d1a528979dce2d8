/*
 * disk_plan.h - where the partitions of a disk of a point go on another disk.
 *
 * Pure: a layout, the new disk's size and wishes in; places and a table's sectors
 * out.  The rule is one of shifts: a partition that grows or shrinks moves all
 * that lies behind its old end (other partitions, gaps, an MBR's chain) by the
 * same number of bytes, a multiple of DISK_PLAN_GRAIN, so alignment stays as it was.
 * What keeps its place keeps its bytes; GUIDs, types, names and attributes stay.
 *
 *	disk_plan_make -> disk_plan_table (last of all, when the rest is written)
 */
#ifndef AGENT_DISK_DISK_PLAN_H
#define AGENT_DISK_DISK_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "proto/layout/layout.h"

struct err;

#define DISK_PLAN_GRAIN (1024u * 1024)

/* Flags. */
#define DISK_PLAN_EXTEND 1u /* The last data partition takes the room that is more. */
#define DISK_PLAN_SHRINK 2u /* Partitions may become `smallest` if they must. */

struct disk_plan_wish {
	uint64_t size;	      /* Bytes of the new disk. */
	uint32_t sector_size; /* Its logical one; 0: an image file, which has any. */
	unsigned flags;
	/* By index in the layout: bytes that a partition needs at least; 0: all it has.
	 */
	uint64_t smallest[LAYOUT_PARTITIONS_MAX];
};

/* A partition; an extended one too, which has no volume. */
struct disk_plan_part {
	unsigned partition;	    /* Index in the layout. */
	uint8_t role;		    /* enum layout_role */
	uint8_t volume;		    /* Index in the point, or LAYOUT_NO_VOLUME. */
	uint64_t from, from_length; /* Bytes, on the old disk. */
	uint64_t to, length;	    /* Bytes, on the new one. */
};

struct disk_plan {
	unsigned disk; /* Index in the layout. */
	uint64_t old_size, size;
	uint32_t sector_size;
	/* The image's own table is right as it is: same size, all in its place. */
	int same;
	unsigned count;
	struct disk_plan_part parts[LAYOUT_PARTITIONS_MAX]; /* As in the layout. */
	/* Bytes at both ends of the old disk that are table: written last. */
	uint64_t head, tail;
	uint64_t end; /* On the new disk: where the last partition must end. */
};

/*
 * Make the plan.  ERR_UNSUPPORTED: another sector size, or no room for its table.
 * ERR_LIMIT: too small, and
 * `*missing` (may be NULL) is how many bytes more the disk must have.  ERR_CORRUPT:
 * a layout that cannot be.
 */
int
disk_plan_make(const struct layout *l, unsigned disk, const struct disk_plan_wish *wish,
    struct disk_plan *out, uint64_t *missing, struct err *err);

/*
 * The partition that DISK_PLAN_EXTEND makes longer and DISK_PLAN_SHRINK shorter
 * first: index in the layout, -1 if there is none.
 */
int disk_plan_elastic(const struct layout *l, unsigned disk);

/* Part of the plan for partition `partition` of the layout; NULL. */
const struct disk_plan_part *
disk_plan_part(const struct disk_plan *p, unsigned partition);

/* Where a byte of the old disk that is in no volume lies on the new one. */
uint64_t disk_plan_place(const struct disk_plan *p, uint64_t offset);

/*
 * Non-zero: a new GPT has room at both ends of the disk, and entries for all numbers.
 * What disk_plan_make() gives has it where it needs one.
 */
int disk_plan_has_room(const struct layout *l, const struct disk_plan *p);

/* A piece of the disk's image: bytes that go from there to here. */
struct disk_plan_piece {
	uint64_t from, to, length;
};

/* Pieces that disk_plan_pieces() may give. */
#define DISK_PLAN_PIECES_MAX (2u * LAYOUT_PARTITIONS_MAX + 2)

/*
 * What of the image is written beside the table, in order: all but volumes, head,
 * tail, and gaps for which the new disk has no room.  The number of pieces.
 */
unsigned disk_plan_pieces(const struct disk_plan *p, const struct layout *l,
    struct disk_plan_piece out[DISK_PLAN_PIECES_MAX]);

/* Sectors of the new disk. */
struct disk_plan_sectors {
	uint64_t offset;
	uint32_t len;
	uint8_t *p;
};

#define DISK_PLAN_SECTORS_MAX (LAYOUT_PARTITIONS_MAX + 8u)

struct disk_plan_table {
	unsigned count;
	struct disk_plan_sectors at[DISK_PLAN_SECTORS_MAX]; /* In the order to write. */
};

/*
 * The new disk's table: GPT: both headers and arrays, protective MBR; MBR: its
 * sector and the chain's.  `read` gives bytes of the *old* disk's image (boot code
 * and the chain are taken over from there).  With plan.same these are the image's
 * own head and tail.  disk_plan_table_free().
 */
int disk_plan_table(const struct layout *l, const struct disk_plan *p,
    int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err),
    void *arg, struct disk_plan_table *out, struct err *err);
void disk_plan_table_free(struct disk_plan_table *t);

/*
 * The boot sector of NTFS or FAT knows where its partition begins ("hidden
 * sectors"): if `sector` (512 bytes at least) says `from`, it says `to` (bytes)
 * afterwards.  Non-zero if it was changed.
 */
int disk_plan_hidden(uint8_t *sector, uint32_t sector_size, uint64_t from, uint64_t to);

#endif /* AGENT_DISK_DISK_PLAN_H */
