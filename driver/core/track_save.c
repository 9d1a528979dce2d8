/*
 * track_save.c - a checkpoint: both bitmaps into the slots that are not live, then the
 * header that names them.
 *
 * It goes in steps of at most a piece, so that the volume's thread can look after held
 * writes between them.  Whoever takes a step owns "owner" meanwhile; runners (a commit, a
 * cut) wait for it, the volume's thread does not.  A cut or commit between steps makes
 * what was copied worthless: it begins again.
 */
#include <string.h>

#include "driver/core/atomic.h"
#include "driver/core/track_state.h"

static const uint32_t all_of[2] = { TRACK_CURRENT_ALL, TRACK_PREVIOUS_ALL };

/* memory.mutex held: pointers stay. */
static const struct bits *
map_of(const struct track *t, unsigned map)
{
	return map == 0 ? &t->current : &t->previous;
}

static uint32_t
slot_for(struct track *t, unsigned map)
{
	const struct bits *b = map_of(t, map);

	if ((t->memory.flags & all_of[map]) || bits_next_set(b, 0) == b->count)
		return TRACK_NONE;
	return t->log.head.slot[map] == 0 ? 1 : 0;
}

static void
next_map(struct track_save *s)
{
	s->at = 0;
	while (s->map < 2 && !s->write[s->map])
		s->map++;
	s->step = s->map < 2 ? TRACK_SAVE_MAPS : TRACK_SAVE_HEAD;
}

static void
begin(struct track *t)
{
	struct track_memory *m = &t->memory;
	struct track_save *s = &t->save;
	bool forget;

	env_mutex_take(&t->log.mutex);
	env_mutex_take(&m->mutex);
	s->epoch = m->epoch;
	forget = (m->flags & TRACK_CURRENT_ALL) == 0;
	env_mutex_give(&m->mutex);
	track_log_begin(t, forget);
	/* The marks are forgotten; now the bits. */
	env_mutex_take(&m->mutex);
	for (unsigned i = 0; i < 2; i++) {
		s->slot[i] = t->log.head.slot[i];
		s->sequence[i] = t->log.head.sequence[i];
		s->write[i] = 0;
		if (i == 0 || m->stale) {
			s->slot[i] = slot_for(t, i);
			s->sequence[i] = t->log.next;
			s->write[i] = s->slot[i] != TRACK_NONE;
		}
	}
	env_mutex_give(&m->mutex);
	env_mutex_give(&t->log.mutex);
	s->map = 0;
	next_map(s);
}

static int
write_piece(struct track *t)
{
	struct track_save *s = &t->save;
	uint32_t at = t->layout.map_at[2 * s->map + s->slot[s->map]];
	uint32_t n = t->layout.map_cells - s->at;
	bool same;

	if (n > TRACK_PIECE_CELLS)
		n = TRACK_PIECE_CELLS;
	/* With what fills up the last sector. */
	memset(s->piece, 0,
	    n < TRACK_PIECE_CELLS - TRACK_PAGE_CELLS ? (n + TRACK_PAGE_CELLS) * TRACK_CELL
						     : TRACK_PIECE);
	env_mutex_take(&t->memory.mutex);
	same = t->memory.epoch == s->epoch;
	for (uint32_t i = 0; i < n && same; i++)
		bits_export(map_of(t, s->map), (uint64_t)(s->at + i) * TRACK_MAP_BITS,
		    TRACK_MAP_BITS, s->piece + i * TRACK_CELL + TRACK_PAYLOAD_AT);
	env_mutex_give(&t->memory.mutex);
	if (!same) {
		begin(t);
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		track_cell_seal(s->piece + i * TRACK_CELL, TRACK_MAP, at + s->at + i,
		    t->log.head.store, s->sequence[s->map]);
	if (track_store_write(t, at + s->at, n, s->piece) != 0)
		return -1;
	s->at += n;
	if (s->at == t->layout.map_cells) {
		s->map++;
		next_map(s);
	}
	return 0;
}

/* memory.mutex and log.mutex held. */
static void
compose(struct track *t, const struct track_print *print, struct track_head *h)
{
	struct track_memory *m = &t->memory;
	struct track_save *s = &t->save;

	*h = t->log.head;
	h->flags = m->flags | (print->ntfs ? TRACK_NTFS : 0);
	if (s->clean && (m->flags & TRACK_CURRENT_ALL) == 0)
		h->flags |= TRACK_CLEAN;
	h->checkpoint = t->log.next;
	h->generation = m->generation;
	memcpy(h->nonce, m->nonce, sizeof(h->nonce));
	h->base = m->base;
	memcpy(h->base_nonce, m->base_nonce, sizeof(h->base_nonce));
	for (unsigned i = 0; i < 2; i++) {
		h->slot[i] = s->slot[i];
		h->sequence[i] = s->sequence[i];
	}
	h->why = (uint32_t)m->why;
	h->boot_print = print->boot;
	h->clean_print = print->clean;
}

/* 1: a cut came between, it has begun again. */
static int
write_head(struct track *t)
{
	struct track_memory *m = &t->memory;
	struct track_save *s = &t->save;
	struct track_print print;
	struct track_head h;
	bool same;
	int rc = 1;

	track_print(t, s->clean, s->piece, &print);
	env_mutex_take(&t->log.mutex);
	env_mutex_take(&m->mutex);
	same = m->epoch == s->epoch;
	if (same) {
		compose(t, &print, &h);
		m->stale = false;
	}
	env_mutex_give(&m->mutex);
	if (same && atomic_get(&t->place.open))
		rc = track_log_head(t, &h) != 0 || track_log_end(t) != 0 ? -1 : 0;
	else if (same)
		rc = -1;
	env_mutex_give(&t->log.mutex);
	if (!same)
		begin(t);
	return rc;
}

static void
finish(struct track *t, bool failed)
{
	struct track_save *s = &t->save;
	bool tell = false;

	s->step = TRACK_SAVE_NONE;
	s->clean = false;
	s->failed = failed;
	s->finished++;
	if (!failed)
		return;
	env_mutex_take(&t->log.mutex);
	t->log.saving = false;
	atomic_put(&t->due, 0);
	env_mutex_take(&t->memory.mutex);
	t->memory.stale = true;
	env_mutex_give(&t->memory.mutex);
	if (atomic_get(&t->place.open))
		tell = track_log_lose(t, HOTCOPY_WHY_STORE_ERROR, false);
	env_mutex_give(&t->log.mutex);
	track_log_told(t, tell);
}

/* The owner takes one step. */
static void
step(struct track *t)
{
	struct track_save *s = &t->save;
	int rc;

	if (!atomic_get(&t->place.open)) {
		finish(t, true);
		return;
	}
	if (s->step == TRACK_SAVE_NONE) {
		begin(t);
		return;
	}
	if (s->step == TRACK_SAVE_MAPS) {
		if (write_piece(t) != 0)
			finish(t, true);
		return;
	}
	rc = write_head(t);
	if (rc <= 0)
		finish(t, rc != 0);
}

static void
leave(struct track_save *s)
{
	atomic_put(&s->owner, 0);
	env_event_set(&s->freed);
}

int
track_save(struct track *t, bool clean)
{
	struct track_save *s = &t->save;
	uint32_t goal = 0;
	bool failed, more = true;

	if (!atomic_get(&t->place.open))
		return 0;
	env_mutex_take(&s->runner);
	for (bool first = true; more; first = false) {
		/* Held for one step by others. */
		while (atomic_swap(&s->owner, 1) != 0)
			(void)env_event_wait(&s->freed, 100000);
		if (first) {
			goal = s->finished + 1;
			s->clean |= clean;
			/* What was logged for one that is half done is no clean log. */
			if (clean)
				s->step = TRACK_SAVE_NONE;
		}
		if (s->finished != goal)
			step(t);
		more = s->finished != goal;
		failed = s->failed;
		leave(s);
	}
	env_mutex_give(&s->runner);
	return failed ? -1 : 0;
}

bool
track_work(struct track *t)
{
	struct track_save *s = &t->save;
	bool more;

	/* Somebody else is at it, for longer than the thread may wait. */
	if (atomic_swap(&s->owner, 1) != 0)
		return false;
	if (s->step != TRACK_SAVE_NONE || track_due(t))
		step(t);
	more = s->step != TRACK_SAVE_NONE;
	leave(s);
	return more;
}

int
track_checkpoint(struct track *t)
{
	return track_save(t, false);
}

int
track_clean(struct track *t)
{
	return track_save(t, true);
}

int
track_cut_store(struct track *t)
{
	return track_save(t, false);
}
