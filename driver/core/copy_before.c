/*
 * copy_before.c - the copiers: the old bytes are kept before a write may pass.
 *
 * A copier claims the chunks that it is about to copy, so that each is read once; others
 * who want one of them wait for the claim's end.  No lock is held across a read.  The
 * copy counts only if the chunk is still needed when it has been put: within the lock
 * "kept" is set and then "must" cleared, or, if the set has said meanwhile that it is
 * read or of no use, the copy is forgotten, for then writes may have passed while it was
 * read.
 *
 * Two chunks that neighbours need are read with one lower read if one write touches both,
 * or if the chunk before the write is kept already, which is what a stream of writes
 * looks like; a lone write into the middle of needed bytes is not paid for four times.
 */
#include <string.h>
#include "driver/core/copy_parts.h"

/* How long the diff area's disk may take to make room in memory (100 ns). */
#define DISK_WAIT 100000000u
#define DISK_LOOK 500000u
/* A throttled write looks for room that often at least. */
#define THROTTLE_LOOK 100000u

/* ------------------------------------------------------------------------ claims -- */

static void
enter(struct copy *c, struct copier *me)
{
	unsigned old;

	env_event_init(&me->wake, ENV_ONE);
	me->claims = false;
	old = env_lock_take(&c->lock);
	me->next = c->copiers;
	c->copiers = me;
	env_lock_give(&c->lock, old);
}

static void
leave(struct copy *c, struct copier *me)
{
	unsigned old = env_lock_take(&c->lock);
	struct copier **at = &c->copiers;

	while (*at != me)
		at = &(*at)->next;
	*at = me->next;
	env_lock_give(&c->lock, old);
	env_event_done(&me->wake);
}

/* Within the lock: does another copy one of these? */
static bool
claimed(const struct copy *c, uint64_t first, uint64_t last)
{
	for (const struct copier *i = c->copiers; i != NULL; i = i->next) {
		if (i->claims && i->first <= last && first <= i->last)
			return true;
	}
	return false;
}

/* Chunks that one lower read may hold: the end of the window that "chunk" lies in. */
static uint64_t
window_end(const struct copy *c, uint64_t chunk)
{
	uint64_t many = COPY_WINDOW >> c->want.chunk_shift;
	uint64_t end = many > 1 ? chunk | (many - 1) : chunk;

	return end < c->chunks ? end : c->chunks - 1;
}

/*
 * Claims the first needed chunks of first ... last, at most a window; *last becomes the
 * last of them that the write itself wants.  false: none is needed any more.
 */
static bool
claim(struct copy *c, struct copier *me, uint64_t first, uint64_t *last)
{
	unsigned old;
	uint64_t end, all;

	/* A discarded range may be the whole volume: most of it is passed over without
	   the lock, for no bit is ever set again. */
	first = copy_next(&c->must, first, *last);
	if (first > *last)
		return false;
	old = env_lock_take(&c->lock);
	for (;;) {
		me->first = copy_next(&c->must, first, *last);
		if (me->first > *last || copy_dropped(c) != HOTCOPY_WHY_NONE) {
			env_lock_give(&c->lock, old);
			return false;
		}
		if (!claimed(c, me->first, me->first))
			break;
		env_lock_give(&c->lock, old);
		env_event_wait(&me->wake, ENV_FOREVER);
		old = env_lock_take(&c->lock);
	}
	end = window_end(c, me->first);
	if (!me->streams)
		end = *last < end ? *last : end;
	for (all = me->first;
	     all < end && bits_get(&c->must, all + 1) && !claimed(c, all + 1, all + 1);)
		all++;
	me->last = all;
	*last = *last < all ? *last : all;
	me->claims = true;
	env_lock_give(&c->lock, old);
	return true;
}

static void
unclaim(struct copy *c, struct copier *me)
{
	unsigned old = env_lock_take(&c->lock);

	me->claims = false;
	copy_wake(c);
	env_lock_give(&c->lock, old);
}

/* ------------------------------------------------------------------------ copies -- */

/* The copy is in the diff area. */
static void
keep(struct copy *c, uint64_t chunk)
{
	unsigned old = env_lock_take(&c->lock);
	/* A dropped image's copies, if they came later, would never be given back. */
	bool needed =
	    bits_get(&c->must, chunk) && atomic_get(&c->dropped) == HOTCOPY_WHY_NONE;

	if (needed) {
		bits_set(&c->kept, chunk);
		bits_clear(&c->must, chunk);
		c->copied++;
	}
	env_lock_give(&c->lock, old);
	if (!needed)
		diff_forget(c->want.diff, c->want.index, chunk);
}

static void
put(struct copy *c, uint64_t chunk, void *buffer)
{
	uint32_t bytes = copy_bytes(c, chunk), all = 1u << c->want.chunk_shift;

	/* Behind the volume's end lies what was there before, of whoever had the memory. */
	if (bytes < all)
		memset((uint8_t *)buffer + bytes, 0, all - bytes);
	diff_put(c->want.diff, c->want.index, chunk, buffer);
	keep(c, chunk);
}

/* All that is claimed, with one read.  false: chunk by chunk, then. */
static bool
copy_together(struct copy *c, uint64_t first, uint64_t last)
{
	void *buffer[COPY_TOGETHER];
	uint32_t shift = c->want.chunk_shift, n = (uint32_t)(last - first) + 1, taken = 0;
	uint32_t bytes = ((n - 1) << shift) + copy_bytes(c, last);
	struct copy_stage *stage = NULL;
	unsigned old = env_lock_take(&c->lock);
	bool good;

	for (uint32_t i = 0; i < COPY_STAGES && stage == NULL; i++) {
		if (c->stage[i].buffer != NULL && !c->stage[i].busy)
			stage = &c->stage[i];
	}
	if (stage != NULL)
		stage->busy = true;
	env_lock_give(&c->lock, old);
	if (stage == NULL)
		return false;
	while (taken < n && diff_take(c->want.diff, &buffer[taken], 0))
		taken++;
	good = taken == n &&
	       volume_read(c->want.volume, first << shift, stage->buffer, bytes) == 0;
	for (uint32_t i = 0; i < taken; i++) {
		if (!good) {
			diff_give(c->want.diff, buffer[i]);
			continue;
		}
		memcpy(buffer[i], (uint8_t *)stage->buffer + (i << shift),
		    copy_bytes(c, first + i));
		put(c, first + i, buffer[i]);
	}
	old = env_lock_take(&c->lock);
	stage->busy = false;
	env_lock_give(&c->lock, old);
	return good;
}

/* Nothing could be had: by the set's wish wait for the reader, but not beyond "until". */
static bool
throttled(
    struct copy *c, struct copier *me, uint64_t chunk, uint64_t until, void **buffer)
{
	uint64_t now = env_now();
	unsigned old = env_lock_take(&c->lock);

	c->throttled++;
	env_lock_give(&c->lock, old);
	c->want.notice.tell(c->want.notice.set, c->want.volume, HOTCOPY_EVENT_THROTTLED,
	    chunk << c->want.chunk_shift);
	for (; now < until; now = env_now()) {
		env_event_wait(
		    &me->wake, until - now < THROTTLE_LOOK ? until - now : THROTTLE_LOOK);
		if (copy_dropped(c) != HOTCOPY_WHY_NONE || !bits_get(&c->must, chunk))
			return false;
		if (diff_take(c->want.diff, buffer, 0))
			return true;
	}
	copy_drop(c, HOTCOPY_WHY_NO_SPACE);
	return false;
}

/* May the diff area's disk still take some out of memory? */
static bool
disk_takes(struct copy *c)
{
	struct diff_space space;

	diff_space(c->want.diff, &space);
	return space.used < space.size && !diff_failed(c->want.diff);
}

/* A buffer for this chunk.  false: it is needed no more, or all is lost. */
static bool
room(struct copy *c, struct copier *me, uint64_t chunk, uint64_t since, void **buffer)
{
	uint64_t begun = env_now();

	while (!diff_take(c->want.diff, buffer, 0)) {
		if (copy_dropped(c) != HOTCOPY_WHY_NONE || !bits_get(&c->must, chunk))
			return false;
		if (disk_takes(c) && env_now() - begun < DISK_WAIT) {
			if (diff_take(c->want.diff, buffer, DISK_LOOK))
				return true;
			continue;
		}
		/* A dropped image's room is given back there. */
		c->want.notice.room(c->want.notice.set, c->want.volume);
		if (diff_take(c->want.diff, buffer, 0))
			return true;
		if (c->want.full == HOTCOPY_FULL_THROTTLE)
			return throttled(c, me, chunk,
			    since + (uint64_t)c->want.throttle_ms * 10000, buffer);
		copy_drop(c, HOTCOPY_WHY_NO_SPACE);
		return false;
	}
	return true;
}

static void
copy_alone(struct copy *c, struct copier *me, uint64_t chunk, uint64_t since)
{
	void *buffer;

	if (!room(c, me, chunk, since, &buffer))
		return;
	if (volume_read(c->want.volume, chunk << c->want.chunk_shift, buffer,
		copy_bytes(c, chunk)) == 0) {
		put(c, chunk, buffer);
	} else {
		diff_give(c->want.diff, buffer);
		copy_drop(c, HOTCOPY_WHY_READ_ERROR);
	}
}

void
copy_before(struct copy *c, uint64_t offset, uint64_t length, uint64_t since)
{
	struct copier me;
	uint64_t first, last, wanted;

	if (!copy_range(c, offset, length, &first, &last))
		return;
	if (!copy_has_yielded(c) && copy_forbids(c, offset, length)) {
		copy_drop(c, HOTCOPY_WHY_WRITTEN_INTO);
		copy_yield(c);
	}
	if (c->want.lends)
		return;
	if (since < c->began)
		since = c->began;
	me.streams = first > 0 && bits_get(&c->kept, first - 1);
	enter(c, &me);
	for (wanted = last; first <= last && claim(c, &me, first, &wanted);
	     wanted = last) {
		if (me.first == me.last || !copy_together(c, me.first, me.last)) {
			for (uint64_t i = me.first; i <= wanted; i++) {
				if (bits_get(&c->must, i))
					copy_alone(c, &me, i, since);
			}
		}
		unclaim(c, &me);
		first = wanted + 1; /* all before is settled */
		c->want.notice.room(c->want.notice.set, c->want.volume);
	}
	leave(c, &me);
}
