/*
 * track_log.c - the region log and the headers: what is durable before a write passes.
 *
 * Why no write is missed (SC: all words here are sequentially consistent).  A write W
 * sets its bit, then reads the mark of its region.  A checkpoint K forgets the marks,
 * then copies the bits, then makes its header durable.
 *	- W reads the mark before K forgets it: its bit was set still earlier, so K copies
 *	  it; and if K never ends, the header before K counts the log that the mark was
 * of.
 *	- W reads it afterwards and finds it: somebody logged the region since, under K's
 *	  sequence, which both the header before K and K's count.
 *	- W reads it afterwards and finds none: W is logged first, as above.
 * A cell of the log that is written while K is under way keeps the regions that the
 * header before K counts, so that whichever header a crash leaves has all it needs.
 */
#include <string.h>

#include "driver/core/atomic.h"
#include "driver/core/track_state.h"

/* A checkpoint pays if it takes this many regions off the log, and not too often. */
#define DUE_MIN 32u
#define DUE_SHIFT 5u /* or a 32nd of all */
#define DUE_INTERVAL ((uint64_t)15 * 60 * 10000000)

/* Both copies, the older first: one is whole at any time, and afterwards one that rots
   costs nothing. */
int
track_log_head(struct track *t, struct track_head *h)
{
	struct track_log_part *l = &t->log;
	uint32_t copy = l->newest;
	bool done = false;

	h->serial = l->head.serial + 1;
	for (unsigned i = 0; i < TRACK_HEADS; i++) {
		copy ^= 1;
		memset(l->sector, 0, TRACK_PAGE);
		track_head_put(l->sector, TRACK_HEAD_AT(copy), h);
		if (track_store_write(t, TRACK_HEAD_AT(copy), 1, l->sector) != 0)
			continue;
		/* One that failed is never relied on. */
		l->newest = copy;
		done = true;
	}
	l->head.serial = h->serial;
	if (!done)
		return -1;
	l->head = *h;
	return 0;
}

void
track_log_mark_all(struct track *t)
{
	bits_set_range(&t->marks, 0, UINT64_MAX);
}

/* Until the disk knows that all counts as changed, writes are logged as before. */
bool
track_log_lose(struct track *t, enum hotcopy_reason why, bool both)
{
	uint32_t all = TRACK_CURRENT_ALL | (both ? TRACK_PREVIOUS_ALL : 0);
	struct track_memory *m = &t->memory;
	struct track_head h = t->log.head;
	bool news;

	if (why == HOTCOPY_WHY_RESIZED || why == HOTCOPY_WHY_WRITTEN_INTO)
		all |= TRACK_STUCK;
	env_mutex_take(&m->mutex);
	news = (~m->flags & all) != 0 || m->why == HOTCOPY_WHY_NONE;
	all |= m->flags & TRACK_STUCK;
	m->flags |= all;
	m->why = why;
	env_mutex_give(&m->mutex);
	h.flags &= ~TRACK_CLEAN;
	h.flags |= all | TRACK_CURRENT_ALL | TRACK_PREVIOUS_ALL;
	h.why = (uint32_t)why;
	if (atomic_get(&t->place.open) && (h.flags != t->log.head.flags || news))
		(void)track_log_head(t, &h);
	track_log_mark_all(t);
	return news;
}

void
track_log_told(struct track *t, bool tell)
{
	enum hotcopy_reason why;

	if (!tell || t->notice.lost == NULL)
		return;
	env_mutex_take(&t->memory.mutex);
	why = t->memory.why;
	env_mutex_give(&t->memory.mutex);
	t->notice.lost(t->notice.who, why);
}

void
track_log_begin(struct track *t, bool forget)
{
	t->log.next++;
	t->log.saving = true;
	if (forget)
		bits_clear_range(&t->marks, 0, UINT64_MAX);
}

/* Torn cells count as full for ever if they are not written anew. */
static int
mend(struct track *t)
{
	struct track_log_part *l = &t->log;
	uint32_t cells = t->sector / TRACK_CELL;

	for (uint32_t c = 0; c < t->layout.log_cells; c += cells)
		if (track_store_write(
			t, t->layout.log_at + c, cells, l->cell + c * TRACK_CELL) != 0)
			return -1;
	l->torn = false;
	return 0;
}

int
track_log_end(struct track *t)
{
	t->log.saving = false;
	t->log.logged = 0;
	t->log.since = env_now();
	atomic_put(&t->due, 0);
	return t->log.torn ? mend(t) : 0;
}

/* The regions first ... last of one cell; says whether the cell has changed. */
static bool
add(struct track *t, uint32_t c, uint32_t first, uint32_t last)
{
	struct track_log_part *l = &t->log;
	uint8_t *cell = l->cell + c * TRACK_CELL, *bit = cell + TRACK_PAYLOAD_AT;
	uint64_t now = l->saving ? l->next : l->head.checkpoint;
	uint64_t had = track_cell_sequence(cell);
	bool changed = had < now;

	/* What no header counts any more goes. */
	if (had < l->head.checkpoint)
		memset(bit, 0, TRACK_PAYLOAD);
	for (uint32_t r = first; r <= last; r++) {
		uint8_t mask = (uint8_t)(1u << (r & 7));

		if ((bit[r >> 3] & mask) == 0)
			changed = true;
		bit[r >> 3] |= mask;
	}
	if (changed) {
		l->logged += last - first + 1;
		track_cell_seal(cell, TRACK_LOG, t->layout.log_at + c, l->head.store,
		    had < now ? now : had);
	}
	return changed;
}

/* What the cell has is durable. */
static void
mark(struct track *t, uint32_t c)
{
	const uint8_t *bit = t->log.cell + c * TRACK_CELL + TRACK_PAYLOAD_AT;

	bits_import(&t->marks, (uint64_t)c << TRACK_LOG_SHIFT, TRACK_LOG_REGIONS, bit);
}

/* Logs regions first ... last.  log.mutex held. */
static int
add_all(struct track *t, uint32_t first, uint32_t last)
{
	uint32_t step = t->sector / TRACK_CELL, end = last >> TRACK_LOG_SHIFT;
	uint32_t c = first >> TRACK_LOG_SHIFT;

	/* By sectors. */
	for (uint32_t s = c & ~(step - 1); s <= end; s += step) {
		bool changed = false;
		uint32_t from = c;

		for (; c <= end && c < s + step; c++) {
			uint32_t low = c << TRACK_LOG_SHIFT;
			uint32_t a = first > low ? first - low : 0;
			uint32_t b = c == end ? last - low : TRACK_LOG_REGIONS - 1;

			changed |= add(t, c, a, b);
		}
		if (changed) {
			if (track_store_write(t, t->layout.log_at + s, step,
				t->log.cell + s * TRACK_CELL) != 0)
				return -1;
			atomic_count_relaxed(&t->log_writes);
		}
		for (uint32_t k = from; k < c; k++)
			mark(t, k);
	}
	return 0;
}

/*
 * The clusters of our file are somebody else's now.  All their writes are held until the
 * store is closed, so the headers are still ours for a last word; afterwards nothing is
 * written any more.  A step of a checkpoint ends first.
 */
static bool
give_up(struct track *t)
{
	bool tell = false;

	while (atomic_swap(&t->save.owner, 1) != 0)
		(void)env_event_wait(&t->save.freed, 100000);
	env_mutex_take(&t->log.mutex);
	if (atomic_get(&t->place.open)) {
		tell = track_log_lose(t, HOTCOPY_WHY_WRITTEN_INTO, false);
		atomic_put(&t->place.open, 0);
	}
	env_mutex_give(&t->log.mutex);
	atomic_put(&t->save.owner, 0);
	env_event_set(&t->save.freed);
	return tell;
}

void
track_log(struct track *t, uint64_t offset, uint64_t length)
{
	uint64_t last = length > UINT64_MAX - offset ? UINT64_MAX : offset + length - 1;
	struct track_log_part *l = &t->log;
	uint64_t limit = t->layout.regions - 1;
	bool tell = false;

	if (length == 0 || !atomic_get(&t->place.open))
		return;
	if (track_store_owns(t, offset, last)) {
		track_log_told(t, give_up(t));
		return;
	}
	offset >>= TRACK_REGION_SHIFT;
	last >>= TRACK_REGION_SHIFT;
	if (offset > limit)
		return;
	env_mutex_take(&l->mutex);
	if (atomic_get(&t->place.open) &&
	    add_all(t, (uint32_t)offset, (uint32_t)(last < limit ? last : limit)) != 0)
		tell = track_log_lose(t, HOTCOPY_WHY_STORE_ERROR, false);
	if (l->logged >= DUE_MIN && l->logged >= t->layout.regions >> DUE_SHIFT &&
	    env_now() - l->since >= DUE_INTERVAL)
		atomic_put(&t->due, 1);
	env_mutex_give(&l->mutex);
	track_log_told(t, tell);
}

bool
track_due(const struct track *t)
{
	return atomic_get(&t->due) != 0;
}

void
track_invalidate(struct track *t, enum hotcopy_reason why)
{
	bool tell;

	env_mutex_take(&t->log.mutex);
	tell = track_log_lose(t, why, why != HOTCOPY_WHY_UNKNOWN_WRITE);
	env_mutex_give(&t->log.mutex);
	track_log_told(t, tell);
}

void
track_resized(struct track *t, uint64_t length)
{
	bool tell;

	if (length == t->length)
		return;
	env_mutex_take(&t->log.mutex);
	tell = track_log_lose(t, HOTCOPY_WHY_RESIZED, true);
	atomic_put(&t->place.open, 0);
	env_mutex_give(&t->log.mutex);
	track_log_told(t, tell);
}
