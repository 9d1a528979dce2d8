/*
 * copy_read.c - the frozen image is read, and what is read needs no keeping.
 *
 * Why a read is right.  "must" only ever goes from set to clear.  A write to a chunk is
 * sent after somebody has seen its bit clear.  A reader reads the disk and then sees the
 * bit set: the clearing, and so every write, comes after the disk had answered.  If it is
 * clear and "kept" is set, the copy was whole before "kept" was set; it is never put
 * again, so diff.h has it or has forgotten it.  All of these are sequentially consistent.
 */
#include <string.h>
#include "driver/core/copy_parts.h"

/* Bits cleared within the lock at once. */
#define BATCH 1024u

/* Chunks from "first" that must still be kept: the disk has them. */
static uint64_t
on_disk(const struct copy *c, uint64_t first, uint64_t last)
{
	uint64_t n = 0;

	while (first + n <= last && bits_get(&c->must, first + n))
		n++;
	return n;
}

/* A part of one chunk that is not on the disk (any more). */
static enum copy_result
read_kept(struct copy *c, uint64_t offset, uint8_t *out, uint32_t length)
{
	uint64_t chunk = offset >> c->want.chunk_shift;
	uint32_t from = (uint32_t)(offset & (((uint64_t)1 << c->want.chunk_shift) - 1));

	if (!bits_get(&c->kept, chunk))
		return COPY_NOT_KEPT;
	switch (diff_get(c->want.diff, c->want.index, chunk, from, out, length)) {
	case DIFF_OK:
		atomic_count_add(&c->reads_kept);
		return COPY_OK;
	case DIFF_NONE:
		return COPY_NOT_KEPT;
	case DIFF_ERROR:
		break;
	}
	/* Forgotten while it was read: not an error. */
	if (!bits_get(&c->kept, chunk))
		return COPY_NOT_KEPT;
	copy_drop(c, HOTCOPY_WHY_DIFF_ERROR);
	return COPY_LOST;
}

/* Bytes of the range that lie in the chunk of its begin. */
static uint32_t
in_chunk(const struct copy *c, uint64_t offset, uint32_t length)
{
	uint32_t rest = (1u << c->want.chunk_shift) -
			(uint32_t)(offset & (((uint64_t)1 << c->want.chunk_shift) - 1));

	return length < rest ? length : rest;
}

/* Of one run on the disk; what was copied meanwhile is taken from its copy. */
static enum copy_result
read_disk(struct copy *c, uint64_t offset, uint8_t *out, uint32_t length)
{
	int failed = volume_read(c->want.volume, offset, out, length);
	enum copy_result result = COPY_OK;
	uint32_t n;

	for (; length > 0 && result == COPY_OK; offset += n, out += n, length -= n) {
		n = in_chunk(c, offset, length);
		if (!bits_get(&c->must, offset >> c->want.chunk_shift))
			result = read_kept(c, offset, out, n);
		else if (failed != 0)
			result = COPY_IO;
	}
	return result;
}

enum copy_result
copy_read(struct copy *c, uint64_t offset, void *buffer, uint32_t length)
{
	uint32_t sector = volume_sector(c->want.volume), shift = c->want.chunk_shift, n;
	enum copy_result result = COPY_OK;
	uint64_t first, last, run;
	uint8_t *out = buffer;

	if (c->want.lends || ((offset | length) & (sector - 1)) != 0 ||
	    offset > c->length || length > c->length - offset)
		return COPY_BAD;
	atomic_count_add(&c->reads);
	for (; length > 0 && result == COPY_OK; offset += n, out += n, length -= n) {
		if (copy_dropped(c) != HOTCOPY_WHY_NONE)
			return COPY_LOST;
		n = length < VOLUME_IO_MAX ? length : VOLUME_IO_MAX;
		first = offset >> shift;
		last = (offset + n - 1) >> shift;
		run = on_disk(c, first, last);
		if (run == 0) {
			n = in_chunk(c, offset, n);
			result = read_kept(c, offset, out, n);
		} else {
			if (run <= last - first)
				n = (uint32_t)(((first + run) << shift) - offset);
			result = read_disk(c, offset, out, n);
		}
	}
	/* A dropped image let writes pass: what was read on the disk may be new. */
	return copy_dropped(c) != HOTCOPY_WHY_NONE ? COPY_LOST : result;
}

/* ------------------------------------------------------------------ needed no more -- */

/* Its copies, if there are any, are forgotten. */
static void
forget(struct copy *c, uint64_t first, uint64_t last)
{
	for (uint64_t i = copy_next(&c->kept, first, last); i <= last;
	     i = copy_next(&c->kept, i + 1, last)) {
		if (bits_clear(&c->kept, i))
			diff_forget(c->want.diff, c->want.index, i);
	}
}

void
copy_reclaim(struct copy *c)
{
	if (!c->want.lends && c->chunks > 0 && copy_dropped(c) != HOTCOPY_WHY_NONE)
		forget(c, 0, c->chunks - 1);
}

static void
unneed(struct copy *c, uint64_t first, uint64_t last)
{
	uint64_t end;
	unsigned old;

	for (; first <= last; first = end + 1) {
		end = last - first < BATCH ? last : first + BATCH - 1;
		old = env_lock_take(&c->lock);
		bits_clear_range(&c->must, first, end);
		copy_wake(c);
		env_lock_give(&c->lock, old);
		forget(c, first, end);
	}
}

enum copy_result
copy_unneeded(struct copy *c, uint64_t first, uint32_t count, const uint8_t *bits)
{
	uint32_t i = 0, from;

	if (c->want.lends || first > c->chunks || count > c->chunks - first)
		return COPY_BAD;
	if (copy_dropped(c) != HOTCOPY_WHY_NONE)
		return COPY_LOST;
	while (i < count) {
		if ((i & 7) == 0 && bits[i >> 3] == 0) {
			i += 8;
			continue;
		}
		from = i;
		while (i < count && (bits[i >> 3] >> (i & 7) & 1) != 0)
			i += (i & 7) == 0 && bits[i >> 3] == 0xff && count - i >= 8 ? 8
										    : 1;
		if (from < i)
			unneed(c, first + from, first + i - 1);
		else
			i++;
	}
	c->want.notice.room(c->want.notice.set, c->want.volume);
	return COPY_OK;
}

enum copy_result
copy_done(struct copy *c, uint64_t offset, uint64_t length)
{
	uint32_t shift = c->want.chunk_shift;
	uint64_t end = offset + length, first, last;

	if (c->want.lends || offset > c->length || length > c->length - offset)
		return COPY_BAD;
	if (copy_dropped(c) != HOTCOPY_WHY_NONE)
		return COPY_LOST;
	first = (offset >> shift) + ((offset & (((uint64_t)1 << shift) - 1)) != 0);
	last = end == c->length ? c->chunks : end >> shift;
	if (first < last) {
		unneed(c, first, last - 1);
		c->want.notice.room(c->want.notice.set, c->want.volume);
	}
	return COPY_OK;
}

void
copy_only(struct copy *c, const struct bits *changed)
{
	uint64_t first = 0, block = 0, next;
	uint32_t up;

	if (c->want.lends || c->chunks == 0)
		return;
	/* What it knows nothing of may have changed. */
	if (changed->count < ((c->length - 1) >> HOTCOPY_TRACK_SHIFT) + 1)
		return;
	/* A block of changes has several chunks, or a chunk several blocks. */
	if (c->want.chunk_shift <= HOTCOPY_TRACK_SHIFT) {
		up = HOTCOPY_TRACK_SHIFT - c->want.chunk_shift;
		while (first < c->chunks) {
			next = bits_next_set(changed, block);
			if (next > block) {
				uint64_t last =
				    next >= changed->count ? c->chunks : next << up;

				if (last > c->chunks)
					last = c->chunks;
				unneed(c, first, last - 1);
			}
			if (next >= changed->count)
				return;
			block = bits_next_clear(changed, next);
			first = block << up;
		}
		return;
	}
	up = c->want.chunk_shift - HOTCOPY_TRACK_SHIFT;
	for (; first < c->chunks; first++) {
		block = ((first + 1) << up) - 1;
		if (block >= changed->count)
			block = changed->count - 1;
		if (!bits_any(changed, first << up, block))
			unneed(c, first, first);
	}
}
