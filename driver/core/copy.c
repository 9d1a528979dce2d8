/*
 * copy.c - what of a frozen volume must be kept.  See copy.h; the copiers are in
 * copy_before.c, the image in copy_read.c.
 */
#include "driver/core/copy.h"

#include <string.h>
#include "driver/core/copy_parts.h"

struct copy *
copy_make(const struct copy_want *want)
{
	struct copy *c = env_alloc(sizeof *c);
	uint64_t chunk = (uint64_t)1 << want->chunk_shift;
	bool made;

	if (c == NULL)
		return NULL;
	c->want = *want;
	c->length = volume_length(want->volume);
	c->chunks = (c->length >> want->chunk_shift) + ((c->length & (chunk - 1)) != 0);
	env_lock_init(&c->lock);
	made = want->lends || (bits_make(&c->must, c->chunks) == 0 &&
				  bits_make(&c->kept, c->chunks) == 0);
	for (uint32_t i = 0; made && !want->lends && i < COPY_STAGES && i < want->copiers;
	     i++) {
		c->stage[i].buffer = env_alloc(COPY_WINDOW);
		made = c->stage[i].buffer != NULL;
	}
	if (!made) {
		copy_free(c);
		return NULL;
	}
	if (!want->lends && c->chunks > 0)
		bits_set_range(&c->must, 0, c->chunks - 1);
	return c;
}

void
copy_free(struct copy *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; i < COPY_STAGES; i++)
		env_free(c->stage[i].buffer);
	env_free(c->forbidden);
	bits_free(&c->must);
	bits_free(&c->kept);
	env_free(c);
}

/* ---------------------------------------------------------------- before the cut -- */

void
copy_exclude(struct copy *c, uint64_t offset, uint64_t length)
{
	uint32_t shift = c->want.chunk_shift;
	uint64_t end = offset + length, first, last;

	if (c->want.lends || length == 0 || end < offset || offset >= c->length)
		return;
	first = (offset >> shift) + ((offset & (((uint64_t)1 << shift) - 1)) != 0);
	last = end >= c->length ? c->chunks : end >> shift;
	if (first < last)
		bits_clear_range(&c->must, first, last - 1);
}

int
copy_forbid_room(struct copy *c, uint32_t extents)
{
	uint32_t room = c->forbids + extents;
	struct hotcopy_extent *e;

	if (room <= c->forbid_room)
		return 0;
	e = env_alloc((size_t)room * sizeof *e);
	if (e == NULL)
		return -1;
	if (c->forbids > 0)
		memcpy(e, c->forbidden, c->forbids * sizeof *e);
	env_free(c->forbidden);
	c->forbidden = e;
	c->forbid_room = room;
	return 0;
}

void
copy_forbid(struct copy *c, uint64_t offset, uint64_t length)
{
	struct hotcopy_extent *e = c->forbidden;
	uint32_t at = c->forbids;

	if (c->forbids == c->forbid_room)
		return;
	while (at > 0 && e[at - 1].offset > offset)
		at--;
	memmove(e + at + 1, e + at, (c->forbids - at) * sizeof *e);
	e[at].offset = offset;
	e[at].length = length;
	c->forbids++;
}

bool
copy_fits(const struct copy *c)
{
	return volume_length(c->want.volume) == c->length;
}

void
copy_begin(struct copy *c)
{
	c->began = env_now();
}

/* ----------------------------------------------------------------- the fast path -- */

bool
copy_range(const struct copy *c, uint64_t offset, uint64_t length, uint64_t *first,
    uint64_t *last)
{
	uint64_t rest;

	if (length == 0 || offset >= c->length)
		return false;
	rest = c->length - offset;
	*first = offset >> c->want.chunk_shift;
	*last = (offset + (length < rest ? length : rest) - 1) >> c->want.chunk_shift;
	return true;
}

uint32_t
copy_bytes(const struct copy *c, uint64_t chunk)
{
	uint64_t rest = c->length - (chunk << c->want.chunk_shift);
	uint32_t whole = 1u << c->want.chunk_shift;

	return rest < whole ? (uint32_t)rest : whole;
}

uint64_t
copy_next(const struct bits *b, uint64_t first, uint64_t last)
{
	uint64_t i;

	if (first > last || !bits_any(b, first, last))
		return last + 1;
	i = bits_next_set(b, first);
	return i <= last ? i : last + 1;
}

bool
copy_forbids(const struct copy *c, uint64_t offset, uint64_t length)
{
	const struct hotcopy_extent *e = c->forbidden;
	uint32_t low = 0, high = c->forbids, mid;

	/* The first that ends beyond the begin of the range. */
	while (low < high) {
		mid = low + (high - low) / 2;
		if (e[mid].offset + e[mid].length <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->forbids && length > 0 &&
	       (e[low].offset <= offset || e[low].offset - offset < length);
}

bool
copy_passes(struct copy *c, uint64_t offset, uint64_t length)
{
	bool dropped = atomic_get(&c->dropped) != HOTCOPY_WHY_NONE;
	uint64_t first, last;

	/* Copies of others may lie here still. */
	if (dropped && copy_has_yielded(c))
		return true;
	atomic_count_add(&c->writes);
	if (!copy_range(c, offset, length, &first, &last))
		return true;
	if (!copy_has_yielded(c) && copy_forbids(c, offset, length))
		return false;
	return dropped || c->want.lends || !bits_any(&c->must, first, last);
}

/* -------------------------------------------------------------------------- lost -- */

void
copy_wake(struct copy *c)
{
	for (struct copier *i = c->copiers; i != NULL; i = i->next)
		env_event_set(&i->wake);
}

/* Copies of any may lie here, and are not to be trusted any more. */
static bool
costs_all(const struct copy *c, enum hotcopy_reason why)
{
	return c->want.lost != NULL && c->forbids > 0 &&
	       (why == HOTCOPY_WHY_WRITTEN_INTO || why == HOTCOPY_WHY_UNKNOWN_WRITE ||
		   why == HOTCOPY_WHY_REMOVED || why == HOTCOPY_WHY_ASKED);
}

void
copy_drop(struct copy *c, enum hotcopy_reason why)
{
	bool all = costs_all(c, why), first;
	unsigned old;

	if (all && atomic_get(c->want.lost) == HOTCOPY_WHY_NONE)
		atomic_put(c->want.lost, why);
	old = env_lock_take(&c->lock);
	first = atomic_get(&c->dropped) == HOTCOPY_WHY_NONE;
	if (first) {
		atomic_put(&c->dropped, why);
		copy_wake(c);
	}
	env_lock_give(&c->lock, old);
	if (first)
		c->want.notice.tell(
		    c->want.notice.set, c->want.volume, HOTCOPY_EVENT_DROPPED, why);
	if (all)
		c->want.notice.lost(c->want.notice.set, why);
}

bool
copy_has_yielded(const struct copy *c)
{
	return c->forbids == 0 || atomic_get(&c->yielded) != 0;
}

void
copy_yield(struct copy *c)
{
	if (copy_has_yielded(c))
		return;
	diff_leave(c->want.diff, c->want.volume);
	atomic_put(&c->yielded, 1);
}

enum hotcopy_reason
copy_dropped(const struct copy *c)
{
	uint32_t why = atomic_get(&c->dropped);

	if (why == HOTCOPY_WHY_NONE && c->want.lost != NULL)
		why = atomic_get(c->want.lost);
	return (enum hotcopy_reason)why;
}

void
copy_stats(const struct copy *copy, struct hotcopy_stats *stats)
{
	struct copy *c = (struct copy *)copy; /* its lock alone */
	unsigned old = env_lock_take(&c->lock);

	stats->copied = c->copied;
	stats->throttled = c->throttled;
	env_lock_give(&c->lock, old);
	stats->writes = atomic_count_get(&c->writes);
	stats->reads = atomic_count_get(&c->reads);
	stats->reads_kept = atomic_count_get(&c->reads_kept);
	stats->needed = c->want.lends ? 0 : bits_number(&c->must) + bits_number(&c->kept);
}
