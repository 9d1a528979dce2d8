/* track_store.c - the cells of a store on the disk: extents, sectors, I/O. */
#include <stddef.h>
#include <string.h>

#include "driver/core/track_state.h"
#include "driver/core/volume.h"

static bool
extent_fits(const struct track *t, const struct hotcopy_extent *e)
{
	uint32_t rest = t->sector - 1;

	return e->length > 0 && (e->offset & rest) == 0 && (e->length & rest) == 0 &&
	       e->offset < t->length && e->length <= t->length - e->offset;
}

/* Few of them, once; by insertion. */
static void
sort(struct hotcopy_extent *e, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		struct hotcopy_extent x = e[i];
		uint32_t j = i;

		for (; j > 0 && e[j - 1].offset > x.offset; j--)
			e[j] = e[j - 1];
		e[j] = x;
	}
}

int
track_store_place(struct track *t, const struct hotcopy_extent *extent, uint32_t extents)
{
	struct track_place *p = &t->place;
	size_t bytes = extents * sizeof(*extent);
	uint64_t sum = 0;

	if (extents > HOTCOPY_EXTENTS_MAX)
		return -1;
	p->extents = extents;
	p->extent = env_alloc(bytes);
	p->sorted = env_alloc(bytes);
	if (p->extent == NULL || p->sorted == NULL)
		return -1;
	memcpy(p->extent, extent, bytes);
	memcpy(p->sorted, extent, bytes);
	sort(p->sorted, extents);
	for (uint32_t i = 0; i < extents; i++) {
		const struct hotcopy_extent *e = &p->sorted[i];

		if (!extent_fits(t, e) ||
		    (i > 0 && e[-1].offset + e[-1].length > e->offset))
			return -1;
		sum += e->length;
	}
	return sum >= (uint64_t)t->layout.cells * TRACK_CELL ? 0 : -1;
}

/* The next run of "bytes" from "at" (of the store) that lies in one piece. */
static uint32_t
run_at(const struct track *t, uint64_t at, uint32_t bytes, uint64_t *offset)
{
	const struct hotcopy_extent *e = t->place.extent;

	while (at >= e->length) {
		at -= e->length;
		e++;
	}
	*offset = e->offset + at;
	return e->length - at < bytes ? (uint32_t)(e->length - at) : bytes;
}

/* In whole sectors. */
static uint32_t
bytes_of(const struct track *t, uint32_t cells)
{
	return (cells * TRACK_CELL + t->sector - 1) & ~(t->sector - 1);
}

int
track_store_read(struct track *t, uint32_t cell, uint32_t cells, uint8_t *to)
{
	uint64_t at = (uint64_t)cell * TRACK_CELL, offset;
	uint32_t left = bytes_of(t, cells);

	while (left > 0) {
		uint32_t n = run_at(t, at, left, &offset);

		if (volume_read(t->volume, offset, to, n) != 0)
			return -1;
		at += n;
		to += n;
		left -= n;
	}
	return 0;
}

int
track_store_write(struct track *t, uint32_t cell, uint32_t cells, const uint8_t *from)
{
	uint64_t at = (uint64_t)cell * TRACK_CELL, offset;
	uint32_t left = bytes_of(t, cells);

	while (left > 0) {
		uint32_t n = run_at(t, at, left, &offset);

		if (volume_io_write(t->volume, offset, from, n, true) != 0)
			return -1;
		at += n;
		from += n;
		left -= n;
	}
	return 0;
}

bool
track_store_owns(const struct track *t, uint64_t offset, uint64_t last)
{
	const struct hotcopy_extent *e = t->place.sorted;
	uint32_t low = 0, high = t->place.extents;

	/* The first that ends behind the offset. */
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (e[middle].offset + e[middle].length <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->place.extents && e[low].offset <= last;
}

bool
track_owns(const struct track *t, uint64_t offset, uint64_t length)
{
	uint64_t last = length > UINT64_MAX - offset ? UINT64_MAX : offset + length - 1;

	return length > 0 && track_store_owns(t, offset, last);
}

uint32_t
track_extents(const struct track *t, const struct hotcopy_extent **extent)
{
	*extent = t->place.sorted;
	return t->place.extents;
}
