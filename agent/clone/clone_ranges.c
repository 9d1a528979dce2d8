#include "agent/clone/clone_ranges.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/volmap.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define LIST_MAX (256u * 1024 * 1024) /* Bytes. */

struct clone_ranges {
	struct buf list; /* Of each its length and kind, 7 bits a byte. */
	uint64_t bytes[CLONE_KINDS];
	char note[160];
	int hibernated;
};

/* What is under way while the list is made. */
struct making {
	struct clone_ranges *out;
	struct clone_range last; /* Not in the list yet; of length 0: there is none. */
	/* Pieces that the map gave ahead of their place, the lowest first: a heap. */
	struct volmap_piece *ahead;
	size_t count, room;
};

/* ---------------------------------------------------------------------- the list -- */

static int
store(struct clone_ranges *r, const struct clone_range *range, struct err *err)
{
	uint64_t word = range->len << 2 | (uint64_t)range->kind;
	uint8_t bytes[10];
	size_t n = 0;

	if (range->len == 0)
		return 0;
	for (; word > 0x7f; word >>= 7)
		bytes[n++] = (uint8_t)(word | 0x80);
	bytes[n++] = (uint8_t)word;
	if (r->list.len > LIST_MAX - n)
		return err_set(err, ERR_LIMIT,
		    "it is too scattered: its list of free ranges has more than %u MiB",
		    LIST_MAX >> 20);
	r->bytes[range->kind] += range->len;
	return buf_add(&r->list, bytes, n, err);
}

int
clone_ranges_next(
    const struct clone_ranges *r, struct clone_place *place, struct clone_range *out)
{
	uint64_t word = 0;
	unsigned shift = 0;
	uint8_t byte;

	if (place->at == r->list.len)
		return 0;
	do {
		byte = r->list.p[place->at++];
		word |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) != 0);
	out->kind = (enum clone_kind)(word & 3);
	out->offset = place->offset;
	out->len = word >> 2;
	place->offset += out->len;
	return 1;
}

uint64_t
clone_ranges_bytes(const struct clone_ranges *r, enum clone_kind kind)
{
	return r->bytes[kind];
}

int
clone_ranges_hibernated(const struct clone_ranges *r)
{
	return r->hibernated;
}

const char *
clone_ranges_note(const struct clone_ranges *r)
{
	return r->note;
}

void
clone_ranges_free(struct clone_ranges *r)
{
	if (r == NULL)
		return;
	buf_free(&r->list);
	free(r);
}

/* --------------------------------------------------------------- in order again -- */

/* The next bytes of the volume. */
static int
append(struct making *m, enum clone_kind kind, uint64_t offset, uint64_t len,
    struct err *err)
{
	struct clone_range *last = &m->last;

	/* A map that does not cover each byte once would cost bytes here. */
	if (offset != last->offset + last->len)
		return err_set(err, ERR_CORRUPT, "its map is not whole at byte %llu",
		    (unsigned long long)(last->offset + last->len));
	if (last->kind != kind || last->len == 0) {
		if (store(m->out, last, err) != 0)
			return -1;
		last->kind = kind;
		last->offset = offset;
		last->len = 0;
	}
	last->len += len;
	return 0;
}

static int
push(struct making *m, const struct volmap_piece *piece, struct err *err)
{
	size_t at = m->count, up;

	if (m->count == m->room) {
		size_t room = m->room + m->room / 2 + 1024;
		struct volmap_piece *grown = realloc(m->ahead, room * sizeof(*grown));

		if (grown == NULL)
			return err_set(err, ERR_NOMEM, "out of memory");
		m->ahead = grown;
		m->room = room;
	}
	m->count++;
	for (; at > 0 && m->ahead[up = (at - 1) / 2].offset > piece->offset; at = up)
		m->ahead[at] = m->ahead[up];
	m->ahead[at] = *piece;
	return 0;
}

static struct volmap_piece
pop(struct making *m)
{
	const struct volmap_piece first = m->ahead[0], last = m->ahead[--m->count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < m->count) {
		if (child + 1 < m->count &&
		    m->ahead[child + 1].offset < m->ahead[child].offset)
			child++;
		if (m->ahead[child].offset >= last.offset)
			break;
		m->ahead[at] = m->ahead[child];
		at = child;
	}
	if (m->count > 0)
		m->ahead[at] = last;
	return first;
}

/* What was given ahead of its place and lies below `limit` comes now. */
static int
append_ahead(struct making *m, uint64_t limit, struct err *err)
{
	struct volmap_piece piece;

	while (m->count > 0 && m->ahead[0].offset < limit) {
		piece = pop(m);
		if (append(m, CLONE_DATA, piece.offset, piece.len, err) != 0)
			return -1;
	}
	return 0;
}

static int
take(struct making *m, const struct volmap_cut *cut, struct err *err)
{
	enum clone_kind kind = cut->kind == VOLMAP_HOLE	      ? CLONE_HOLE
			       : cut->kind == VOLMAP_EXCLUDED ? CLONE_ZERO
							      : CLONE_DATA;

	if (append_ahead(m, cut->offset, err) != 0)
		return -1;
	if (cut->count == 0)
		return append(m, kind, cut->offset, cut->len, err);
	for (uint32_t i = 0; i < cut->count; i++)
		if (push(m, &cut->piece[i], err) != 0)
			return -1;
	return 0;
}

static int
go_through(struct making *m, struct volmap *map, uint64_t size, struct err *err)
{
	struct volmap_cut cut;
	int more;

	while ((more = volmap_next(map, &cut, err)) == 1)
		if (take(m, &cut, err) != 0)
			return -1;
	if (more < 0 || append_ahead(m, UINT64_MAX, err) != 0 ||
	    store(m->out, &m->last, err) != 0)
		return -1;
	if (m->last.offset + m->last.len != size)
		return err_set(err, ERR_CORRUPT, "its map ends at byte %llu",
		    (unsigned long long)(m->last.offset + m->last.len));
	return 0;
}

int
clone_ranges_make(
    const struct volmap_source *source, struct clone_ranges **out, struct err *err)
{
	/* It has nowhere to spill: a directory of its own may be what is copied. */
	static const struct volmap_limits limits = { 4 * VOLMAP_MEMORY, NULL };
	struct making m = { .out = calloc(1, sizeof(*m.out)) };
	struct volmap *map = NULL;
	int rc = -1;

	if (m.out == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	m.out->list.max = LIST_MAX;
	if (volmap_open(source, &limits, VOLMAP_PLAIN, &map, err) != 0)
		goto out;
	rc = go_through(&m, map, source->size, err);
	(void)snprintf(m.out->note, sizeof(m.out->note), "%s", volmap_note(map));
	m.out->hibernated = volmap_hibernated(map);
out:
	volmap_close(map);
	free(m.ahead);
	if (rc != 0) {
		clone_ranges_free(m.out);
		return -1;
	}
	*out = m.out;
	return 0;
}
