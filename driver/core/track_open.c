/* track_open.c - a track is made: a new store, or one that lay there and is judged. */
#include <string.h>

#include "driver/core/atomic.h"
#include "driver/core/track_state.h"
#include "driver/core/volume.h"

#define SECTOR_MIN 512u
#define SECTOR_MAX 4096u

uint64_t
track_store_bytes(uint64_t length)
{
	struct track_layout l;

	if (length == 0 || length > TRACK_LENGTH_MAX)
		return 0;
	track_layout(&l, length);
	return (uint64_t)l.cells * TRACK_CELL;
}

void
track_free(struct track *t)
{
	if (t == NULL)
		return;
	bits_free(&t->current);
	bits_free(&t->previous);
	bits_free(&t->marks);
	env_free(t->place.extent);
	env_free(t->place.sorted);
	env_free(t->log.cell);
	env_free(t->log.sector);
	env_free(t->save.piece);
	env_event_done(&t->save.freed);
	env_mutex_done(&t->save.runner);
	env_mutex_done(&t->log.mutex);
	env_mutex_done(&t->memory.mutex);
	env_free(t);
}

/* The best copy of the header that lies there: 1; 0: none; -1: cannot be read.  Both are
   read, so that a new one is newer than either. */
static int
read_heads(struct track *t, struct track_head *best, uint64_t *serial)
{
	struct track_head h;
	int found = 0;

	*serial = 0;
	for (uint32_t i = 0; i < TRACK_HEADS; i++) {
		if (track_store_read(t, TRACK_HEAD_AT(i), 1, t->log.sector) != 0)
			return -1;
		if (!track_head_get(t->log.sector, TRACK_HEAD_AT(i), &h))
			continue;
		if (found && h.serial <= best->serial)
			continue;
		*best = h;
		*serial = h.serial;
		t->log.newest = i;
		found = 1;
	}
	return found;
}

/* Cells of one kind, empty, from "at" on. */
static int
write_empty(struct track *t, enum track_kind kind, uint32_t at, uint32_t cells)
{
	uint64_t store = t->log.head.store;
	uint8_t *piece = t->save.piece;

	for (uint32_t i = 0; i < cells; i += TRACK_PIECE_CELLS) {
		uint32_t n =
		    cells - i < TRACK_PIECE_CELLS ? cells - i : TRACK_PIECE_CELLS;

		memset(piece, 0, TRACK_PIECE);
		for (uint32_t k = 0; k < n; k++)
			track_cell_seal(
			    piece + k * TRACK_CELL, kind, at + i + k, store, 0);
		if (track_store_write(t, at + i, n, piece) != 0)
			return -1;
	}
	return 0;
}

/* First a header that says INVALID, whatever is there; then all else; then the header. */
static int
create(struct track *t, const struct hotcopy_track *how)
{
	struct track_head *h = &t->log.head, old;
	struct track_memory *m = &t->memory;
	uint64_t serial;

	if (read_heads(t, &old, &serial) < 0)
		serial = 0;
	memset(h, 0, sizeof(*h));
	h->store = track_load64(how->nonce);
	memcpy(h->guid, how->guid, sizeof(h->guid));
	h->length = t->length;
	h->sector = t->sector;
	h->serial = serial;
	h->checkpoint = 1;
	h->generation = m->generation;
	memcpy(h->nonce, m->nonce, sizeof(h->nonce));
	h->slot[0] = h->slot[1] = TRACK_NONE;
	h->flags = TRACK_STUCK | TRACK_CURRENT_ALL | TRACK_PREVIOUS_ALL;
	t->log.next = h->checkpoint;
	old = *h;
	if (track_log_head(t, &old) != 0)
		return -1;
	for (uint32_t c = 0; c < t->layout.log_cells; c++)
		track_cell_seal(t->log.cell + c * TRACK_CELL, TRACK_LOG,
		    t->layout.log_at + c, h->store, 0);
	if (write_empty(t, TRACK_LOG, t->layout.log_at, t->layout.log_cells) != 0)
		return -1;
	for (unsigned i = 0; i < 4; i++)
		if (write_empty(t, TRACK_MAP, t->layout.map_at[i], t->layout.map_cells) !=
		    0)
			return -1;
	old = *h;
	old.flags = TRACK_CURRENT_ALL;
	return track_log_head(t, &old);
}

enum judged { FINE, DAMAGED, FOREIGN, ERROR };

/* A region that is logged has changed, whole. */
static bool
take_log_cell(struct track *t, uint32_t c)
{
	uint64_t first = (uint64_t)c << TRACK_LOG_SHIFT;
	struct bits *marks = &t->marks;
	bool any = false;

	bits_import(marks, first, TRACK_LOG_REGIONS,
	    t->log.cell + c * TRACK_CELL + TRACK_PAYLOAD_AT);
	for (uint64_t r = bits_next_set(marks, first);
	     r < marks->count && r < first + TRACK_LOG_REGIONS;
	     r = bits_next_set(marks, r + 1)) {
		uint64_t block = r * TRACK_REGION_BLOCKS;

		bits_set_range(&t->current, block, block + TRACK_REGION_BLOCKS - 1);
		any = true;
	}
	return any;
}

/* *logged: a write was logged after the checkpoint. */
static enum judged
read_log(struct track *t, bool *logged)
{
	struct track_log_part *l = &t->log;

	for (uint32_t c = 0; c < t->layout.log_cells; c += TRACK_PIECE_CELLS) {
		uint32_t n = t->layout.log_cells - c;

		if (n > TRACK_PIECE_CELLS)
			n = TRACK_PIECE_CELLS;
		if (track_store_read(
			t, t->layout.log_at + c, n, l->cell + c * TRACK_CELL) != 0)
			return ERROR;
	}
	*logged = false;
	for (uint32_t c = 0; c < t->layout.log_cells; c++) {
		uint8_t *cell = l->cell + c * TRACK_CELL;
		uint32_t index = t->layout.log_at + c;
		enum track_cell is =
		    track_cell_judge(cell, TRACK_LOG, index, l->head.store);

		if (is == TRACK_FOREIGN)
			return FOREIGN;
		if (is == TRACK_TORN) {
			/* Which regions it was written for nobody knows. */
			memset(cell + TRACK_PAYLOAD_AT, 0xff, TRACK_PAYLOAD);
			track_cell_seal(
			    cell, TRACK_LOG, index, l->head.store, l->head.checkpoint);
			l->torn = true;
		}
		if (track_cell_sequence(cell) > l->next)
			l->next = track_cell_sequence(cell);
		if (track_cell_sequence(cell) >= l->head.checkpoint)
			*logged |= take_log_cell(t, c);
	}
	return FINE;
}

/* All of a map's cells are looked at, live or not: what is not ours any more must never
   be written to. */
static enum judged
read_map(struct track *t, unsigned i, struct bits *into, uint64_t sequence)
{
	uint32_t at = t->layout.map_at[i], cells = t->layout.map_cells;
	enum judged rc = FINE;

	for (uint32_t c = 0; c < cells; c++) {
		uint32_t k = c & (TRACK_PIECE_CELLS - 1);
		uint32_t n =
		    cells - c < TRACK_PIECE_CELLS ? cells - c : TRACK_PIECE_CELLS;
		const uint8_t *cell = t->save.piece + k * TRACK_CELL;
		enum track_cell is;

		if (k == 0 && track_store_read(t, at + c, n, t->save.piece) != 0)
			return ERROR;
		is = track_cell_judge(cell, TRACK_MAP, at + c, t->log.head.store);
		if (is == TRACK_FOREIGN)
			return FOREIGN;
		if (into == NULL)
			continue;
		if (is == TRACK_TORN || track_cell_sequence(cell) != sequence)
			rc = DAMAGED;
		else
			bits_import(into, (uint64_t)c * TRACK_MAP_BITS, TRACK_MAP_BITS,
			    cell + TRACK_PAYLOAD_AT);
	}
	return rc;
}

static enum judged
read_maps(struct track *t)
{
	const struct track_head *h = &t->log.head;
	enum judged rc = FINE;

	for (unsigned i = 0; i < 4; i++) {
		unsigned which = i / 2;
		bool live = h->slot[which] == i % 2;
		struct bits *into = which == 0 ? &t->current : &t->previous;
		enum judged one = read_map(t, i, live ? into : NULL, h->sequence[which]);

		if (one > rc)
			rc = one;
	}
	return rc;
}

/* Has somebody else been here since?  After a crash only the boot print can say. */
static bool
was_foreign(struct track *t, bool clean)
{
	const struct track_head *h = &t->log.head;
	struct track_print now;

	track_print(t, clean, t->save.piece, &now);
	if (now.ntfs != ((h->flags & TRACK_NTFS) != 0))
		return true;
	if (now.ntfs && now.boot != h->boot_print)
		return true;
	return clean && now.clean != h->clean_print;
}

static void
take_head(struct track *t)
{
	const struct track_head *h = &t->log.head;
	struct track_memory *m = &t->memory;

	m->flags = h->flags & ~(TRACK_CLEAN | TRACK_NTFS);
	m->why = (enum hotcopy_reason)h->why;
	m->generation = h->generation;
	memcpy(m->nonce, h->nonce, sizeof(m->nonce));
	m->base = h->base;
	memcpy(m->base_nonce, h->base_nonce, sizeof(m->base_nonce));
	m->kept = h->slot[1] != TRACK_NONE || (h->flags & TRACK_PREVIOUS_ALL) != 0 ||
		  (h->flags & TRACK_PENDING) != 0;
}

/* NONE: nothing is wrong with it.  *ours: it may be written to. */
static enum hotcopy_reason
judge(struct track *t, const struct hotcopy_track *how, bool *ours)
{
	struct track_head *h = &t->log.head;
	enum judged log, maps;
	uint64_t serial;
	bool logged, clean;
	int found;

	*ours = false;
	found = read_heads(t, h, &serial);
	if (found <= 0)
		return found < 0 ? HOTCOPY_WHY_STORE_ERROR : HOTCOPY_WHY_STORE_DAMAGED;
	take_head(t);
	if (memcmp(h->guid, how->guid, sizeof(h->guid)) != 0 || h->sector != t->sector)
		return HOTCOPY_WHY_STORE_DAMAGED;
	if (h->length != t->length)
		return HOTCOPY_WHY_RESIZED;
	t->log.next = h->checkpoint;
	log = read_log(t, &logged);
	maps = log <= DAMAGED ? read_maps(t) : log;
	if (log == ERROR || maps == ERROR)
		return HOTCOPY_WHY_STORE_ERROR;
	if (log == FOREIGN || maps == FOREIGN)
		return HOTCOPY_WHY_STORE_DAMAGED;
	*ours = (h->flags & TRACK_STUCK) == 0;
	if (maps == DAMAGED)
		return HOTCOPY_WHY_STORE_DAMAGED;
	clean = (h->flags & TRACK_CLEAN) != 0 && !logged;
	if (was_foreign(t, clean))
		return HOTCOPY_WHY_FOREIGN;
	if (!clean)
		t->memory.flags |= TRACK_CURRENT_RECOVERED;
	return HOTCOPY_WHY_NONE;
}

/* What is wrong is written into the headers, which are ours, whatever became of the
   rest. */
static void
reject(struct track *t, enum hotcopy_reason why, bool ours)
{
	if (!ours)
		t->memory.flags |= TRACK_STUCK;
	if (t->log.head.serial == 0)
		atomic_put(&t->place.open, 0);
	(void)track_log_lose(t, why, true);
	if (!ours)
		atomic_put(&t->place.open, 0);
}

static void
open_store(struct track *t, const struct hotcopy_track *how)
{
	enum hotcopy_reason why;
	bool ours;

	atomic_put(&t->place.open, 1);
	if (how->flags & HOTCOPY_TRACK_CREATE) {
		if (create(t, how) != 0)
			reject(t, HOTCOPY_WHY_STORE_ERROR, false);
		return;
	}
	t->memory.flags = 0;
	why = judge(t, how, &ours);
	if (why != HOTCOPY_WHY_NONE) {
		reject(t, why, ours);
	} else if (!ours) {
		atomic_put(&t->place.open, 0); /* it says itself why */
	} else if (t->memory.flags & TRACK_CURRENT_ALL) {
		track_log_mark_all(t);
	}
}

static int
make(struct track *t, const struct hotcopy_extent *extent, uint32_t extents)
{
	uint32_t pages = (t->layout.log_cells + TRACK_PAGE_CELLS - 1) / TRACK_PAGE_CELLS;

	if (bits_make(&t->current, t->layout.blocks) != 0 ||
	    bits_make(&t->previous, t->layout.blocks) != 0 ||
	    bits_make(&t->marks, t->layout.regions) != 0)
		return -1;
	if (extents == 0)
		return 0;
	t->log.cell = env_alloc((size_t)pages * TRACK_PAGE);
	t->log.sector = env_alloc(TRACK_PAGE);
	t->save.piece = env_alloc(TRACK_PIECE);
	if (t->log.cell == NULL || t->log.sector == NULL || t->save.piece == NULL)
		return -1;
	return track_store_place(t, extent, extents);
}

struct track *
track_open(struct volume *v, const struct hotcopy_track *how,
    const struct hotcopy_extent *extent, struct track_notice notice)
{
	uint64_t length = volume_length(v);
	uint32_t sector = volume_sector(v);
	struct track *t;

	if (length == 0 || length > TRACK_LENGTH_MAX || sector < SECTOR_MIN ||
	    sector > SECTOR_MAX || (sector & (sector - 1)) != 0 ||
	    (t = env_alloc(sizeof(*t))) == NULL)
		return NULL;
	env_mutex_init(&t->save.runner);
	env_mutex_init(&t->log.mutex);
	env_mutex_init(&t->memory.mutex);
	env_event_init(&t->save.freed, ENV_ONE);
	t->volume = v;
	t->notice = notice;
	t->length = length;
	t->sector = sector;
	track_layout(&t->layout, length);
	t->memory.generation = 1;
	memcpy(t->memory.nonce, how->nonce, sizeof(t->memory.nonce));
	t->memory.flags = TRACK_CURRENT_ALL;
	t->log.since = env_now();
	if (make(t, extent, how->extents) != 0) {
		track_free(t);
		return NULL;
	}
	if (how->extents > 0)
		open_store(t, how);
	if (t->memory.flags & TRACK_CURRENT_ALL)
		track_log_mark_all(t);
	return t;
}
