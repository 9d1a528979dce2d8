/*
 * track_format.h - the bytes of a tracking store, without I/O.  driver/core/TRACKING.md
 * has them as tables.
 *
 * A store is a row of cells of 512 bytes, the largest piece of which no disk leaves half:
 * each says what it is, which one of which store, and has a sum.  So a cell is whole,
 * torn (ours, but the sum is wrong) or foreign, and a torn sector of 4096 bytes is a row
 * of whole cells, old and new.
 */
#ifndef DRIVER_CORE_TRACK_FORMAT_H
#define DRIVER_CORE_TRACK_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"

#define TRACK_CELL 512u
/* Parts begin at such, so that they share no sector, whatever its size. */
#define TRACK_PAGE 4096u
#define TRACK_PAGE_CELLS (TRACK_PAGE / TRACK_CELL)
#define TRACK_PAYLOAD_AT 32u
#define TRACK_PAYLOAD 472u
#define TRACK_MAP_BITS (TRACK_PAYLOAD * 8)
#define TRACK_REGION_SHIFT 26u
#define TRACK_REGION_BLOCKS (1u << (TRACK_REGION_SHIFT - HOTCOPY_TRACK_SHIFT))
#define TRACK_LOG_SHIFT 11u /* 2048 regions in a cell of the log: 128 GiB */
#define TRACK_LOG_REGIONS (1u << TRACK_LOG_SHIFT)

enum track_kind { TRACK_HEAD = 1, TRACK_LOG = 2, TRACK_MAP = 3 };

/* Where the parts lie, in cells.  Maps: current 0 and 1, previous 0 and 1. */
struct track_layout {
	uint32_t blocks, regions;
	uint32_t log_at, log_cells;
	uint32_t map_at[4], map_cells;
	uint32_t cells; /* of the whole store */
};
#define TRACK_HEADS 2u
/* Of copy 0 or 1 of the header. */
#define TRACK_HEAD_AT(copy) ((copy)*TRACK_PAGE_CELLS)
void track_layout(struct track_layout *l, uint64_t length);

/* Sequences, serials and generations never come near it. */
#define TRACK_SEQUENCE_MAX ((uint64_t)1 << 62)

/* "payload" is in its place already. */
void track_cell_seal(uint8_t *cell, enum track_kind kind, uint32_t index, uint64_t store,
    uint64_t sequence);
enum track_cell { TRACK_WHOLE, TRACK_TORN, TRACK_FOREIGN };
enum track_cell track_cell_judge(
    const uint8_t *cell, enum track_kind kind, uint32_t index, uint64_t store);
uint64_t track_cell_sequence(const uint8_t *cell);

/* Flags of a header. */
#define TRACK_CURRENT_ALL 1u	    /* everything may have changed since the last cut */
#define TRACK_PREVIOUS_ALL 2u	    /* and before it */
#define TRACK_CURRENT_RECOVERED 4u  /* has whole regions of before a crash */
#define TRACK_PREVIOUS_RECOVERED 8u /* so has that */
#define TRACK_PENDING 16u	    /* the last cut is neither committed nor aborted */
#define TRACK_CLEAN 32u		    /* unless a region is logged */
#define TRACK_STUCK 64u		    /* INVALID until a store is created here */
#define TRACK_NTFS 128u		    /* the prints are of NTFS */
#define TRACK_FLAGS 255u

#define TRACK_NONE 2u /* no slot: nothing changed */

struct track_head {
	uint64_t store;	 /* drawn when it was created */
	uint64_t serial; /* rises with every header */
	uint8_t guid[16];
	uint64_t length;
	uint32_t sector;
	uint32_t flags;
	uint64_t checkpoint; /* cells of the log count from this sequence on */
	uint64_t generation;
	uint8_t nonce[HOTCOPY_NONCE];
	uint64_t base;
	uint8_t base_nonce[HOTCOPY_NONCE];
	uint32_t slot[2];     /* of current, previous: 0, 1 or TRACK_NONE */
	uint64_t sequence[2]; /* of their cells */
	uint32_t why;	      /* enum hotcopy_reason */
	uint64_t boot_print, clean_print;
};
void track_head_put(uint8_t *cell, uint32_t index, const struct track_head *h);
/* false: not whole, of another version, or with a field that no header has. */
bool track_head_get(const uint8_t *cell, uint32_t index, struct track_head *h);

uint32_t track_load32(const uint8_t *p);
uint64_t track_load64(const uint8_t *p);
/* Of whole 8 bytes; begins with any "sum", e.g. 0. */
uint64_t track_sum(uint64_t sum, const uint8_t *p, uint32_t bytes);

#endif /* DRIVER_CORE_TRACK_FORMAT_H */
