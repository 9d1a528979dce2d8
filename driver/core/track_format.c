/* track_format.c - the bytes of a tracking store; see TRACKING.md. */
#include "driver/core/track_format.h"

#include <stddef.h>
#include <string.h>

#define MAGIC 0x6b637254u /* "Trck" */
#define VERSION 1u
#define AT_VERSION 4u
#define AT_KIND 6u
#define AT_INDEX 8u
#define AT_ZERO 12u
#define AT_STORE 16u
#define AT_SEQUENCE 24u
#define AT_SUM (TRACK_CELL - 8)

/* Of a header. */
#define AT_GUID 32u
#define AT_LENGTH 48u
#define AT_SECTOR 56u
#define AT_FLAGS 60u
#define AT_CHECKPOINT 64u
#define AT_GENERATION 72u
#define AT_NONCE 80u
#define AT_BASE 96u
#define AT_BASE_NONCE 104u
#define AT_SLOT 120u
#define AT_SLOT_SEQUENCE 128u
#define AT_WHY 144u
#define AT_BOOT_PRINT 152u
#define AT_CLEAN_PRINT 160u

uint32_t
track_load32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t
track_load64(const uint8_t *p)
{
	return track_load32(p) | (uint64_t)track_load32(p + 4) << 32;
}

static void
store32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void
store64(uint8_t *p, uint64_t v)
{
	store32(p, (uint32_t)v);
	store32(p + 4, (uint32_t)(v >> 32));
}

/*
 * Each step can be undone, so two rows that differ in one place of 8 bytes never have
 * the same sum, and others have it by chance: 2^-64.  A CRC would need a table or an
 * instruction that not every processor has, to be as fast.
 */
uint64_t
track_sum(uint64_t sum, const uint8_t *p, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i += 8) {
		sum = (sum ^ track_load64(p + i)) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 29;
	}
	return sum;
}

static uint32_t
pages(uint32_t cells)
{
	return (cells + TRACK_PAGE_CELLS - 1) & ~(TRACK_PAGE_CELLS - 1);
}

void
track_layout(struct track_layout *l, uint64_t length)
{
	uint32_t at = TRACK_HEAD_AT(TRACK_HEADS);

	l->blocks =
	    (uint32_t)((length + (1u << HOTCOPY_TRACK_SHIFT) - 1) >> HOTCOPY_TRACK_SHIFT);
	l->regions =
	    (uint32_t)((length + (1u << TRACK_REGION_SHIFT) - 1) >> TRACK_REGION_SHIFT);
	l->log_cells = (l->regions + TRACK_LOG_REGIONS - 1) >> TRACK_LOG_SHIFT;
	l->map_cells = l->blocks / TRACK_MAP_BITS + (l->blocks % TRACK_MAP_BITS != 0);
	l->log_at = at;
	at += pages(l->log_cells);
	for (unsigned i = 0; i < 4; i++) {
		l->map_at[i] = at;
		at += pages(l->map_cells);
	}
	l->cells = at;
}

void
track_cell_seal(uint8_t *cell, enum track_kind kind, uint32_t index, uint64_t store,
    uint64_t sequence)
{
	store32(cell, MAGIC);
	store32(cell + AT_VERSION, VERSION | (uint32_t)kind << 16);
	store32(cell + AT_INDEX, index);
	store32(cell + AT_ZERO, 0);
	store64(cell + AT_STORE, store);
	store64(cell + AT_SEQUENCE, sequence);
	store64(cell + AT_SUM, track_sum(0, cell, AT_SUM));
}

uint64_t
track_cell_sequence(const uint8_t *cell)
{
	return track_load64(cell + AT_SEQUENCE);
}

enum track_cell
track_cell_judge(
    const uint8_t *cell, enum track_kind kind, uint32_t index, uint64_t store)
{
	if (track_load32(cell) != MAGIC ||
	    track_load32(cell + AT_VERSION) != (VERSION | (uint32_t)kind << 16) ||
	    track_load32(cell + AT_INDEX) != index ||
	    track_load64(cell + AT_STORE) != store ||
	    track_cell_sequence(cell) > TRACK_SEQUENCE_MAX)
		return TRACK_FOREIGN;
	if (track_load64(cell + AT_SUM) != track_sum(0, cell, AT_SUM))
		return TRACK_TORN;
	return TRACK_WHOLE;
}

void
track_head_put(uint8_t *cell, uint32_t index, const struct track_head *h)
{
	memset(cell, 0, TRACK_CELL);
	memcpy(cell + AT_GUID, h->guid, sizeof(h->guid));
	store64(cell + AT_LENGTH, h->length);
	store32(cell + AT_SECTOR, h->sector);
	store32(cell + AT_FLAGS, h->flags);
	store64(cell + AT_CHECKPOINT, h->checkpoint);
	store64(cell + AT_GENERATION, h->generation);
	memcpy(cell + AT_NONCE, h->nonce, sizeof(h->nonce));
	store64(cell + AT_BASE, h->base);
	memcpy(cell + AT_BASE_NONCE, h->base_nonce, sizeof(h->base_nonce));
	for (unsigned i = 0; i < 2; i++) {
		store32(cell + AT_SLOT + 4 * i, h->slot[i]);
		store64(cell + AT_SLOT_SEQUENCE + 8 * i, h->sequence[i]);
	}
	store32(cell + AT_WHY, h->why);
	store64(cell + AT_BOOT_PRINT, h->boot_print);
	store64(cell + AT_CLEAN_PRINT, h->clean_print);
	track_cell_seal(cell, TRACK_HEAD, index, h->store, h->serial);
}

bool
track_head_get(const uint8_t *cell, uint32_t index, struct track_head *h)
{
	const uint32_t everything = TRACK_CURRENT_ALL | TRACK_PREVIOUS_ALL;

	h->store = track_load64(cell + AT_STORE);
	h->serial = track_cell_sequence(cell);
	memcpy(h->guid, cell + AT_GUID, sizeof(h->guid));
	h->length = track_load64(cell + AT_LENGTH);
	h->sector = track_load32(cell + AT_SECTOR);
	h->flags = track_load32(cell + AT_FLAGS);
	h->checkpoint = track_load64(cell + AT_CHECKPOINT);
	h->generation = track_load64(cell + AT_GENERATION);
	memcpy(h->nonce, cell + AT_NONCE, sizeof(h->nonce));
	h->base = track_load64(cell + AT_BASE);
	memcpy(h->base_nonce, cell + AT_BASE_NONCE, sizeof(h->base_nonce));
	for (unsigned i = 0; i < 2; i++) {
		h->slot[i] = track_load32(cell + AT_SLOT + 4 * i);
		h->sequence[i] = track_load64(cell + AT_SLOT_SEQUENCE + 8 * i);
	}
	h->why = track_load32(cell + AT_WHY);
	h->boot_print = track_load64(cell + AT_BOOT_PRINT);
	h->clean_print = track_load64(cell + AT_CLEAN_PRINT);
	if ((h->flags & TRACK_STUCK) != 0 && (~h->flags & everything) != 0)
		return false;
	return track_cell_judge(cell, TRACK_HEAD, index, h->store) == TRACK_WHOLE &&
	       (h->flags & ~TRACK_FLAGS) == 0 && h->slot[0] <= TRACK_NONE &&
	       h->slot[1] <= TRACK_NONE && h->why <= HOTCOPY_WHY_ASKED &&
	       h->base <= h->generation && h->generation <= TRACK_SEQUENCE_MAX &&
	       h->checkpoint <= TRACK_SEQUENCE_MAX;
}
