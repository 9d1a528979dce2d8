#include "agent/restore/restore_window.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/target.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"

/* Where a part of a chunk goes. */
struct piece {
	struct chunk_id id;
	uint32_t chunk_len, chunk_offset, len;
	uint64_t offset;
};

/* A chunk: its pieces stand together. */
struct chunk {
	uint32_t first, count; /* Pieces. */
	atomic_uchar done;
};

struct restore_window {
	uint64_t first;
	uint32_t spans;
	struct piece *pieces; /* By id once sealed. */
	size_t pieces_n, pieces_cap;
	struct chunk *chunks;
	size_t chunks_n;
	atomic_size_t wanted;
};

struct restore_window *
restore_window_new(uint64_t first, uint32_t spans)
{
	struct restore_window *w = calloc(1, sizeof(*w));

	if (w != NULL) {
		w->first = first;
		w->spans = spans;
	}
	return w;
}

void
restore_window_free(struct restore_window *w)
{
	if (w == NULL)
		return;
	free(w->pieces);
	free(w->chunks);
	free(w);
}

uint64_t
restore_window_first(const struct restore_window *w)
{
	return w->first;
}

uint32_t
restore_window_spans(const struct restore_window *w)
{
	return w->spans;
}

uint32_t
restore_window_next(const struct restore_window *w)
{
	uint64_t n = 2 * (uint64_t)w->spans;

	if (w->pieces_n * 2 > RESTORE_PIECES)
		n = (uint64_t)w->spans * RESTORE_PIECES / w->pieces_n;
	if (n < RESTORE_SPANS_MIN)
		return RESTORE_SPANS_MIN;
	return n < RESTORE_SPANS_MAX ? (uint32_t)n : RESTORE_SPANS_MAX;
}

size_t
restore_window_wanted(const struct restore_window *w)
{
	return atomic_load(&w->wanted);
}

size_t
restore_window_chunks(const struct restore_window *w)
{
	return w->chunks_n;
}

int
restore_window_extent(
    struct restore_window *w, struct target *t, const struct extent *e, struct err *err)
{
	struct piece *p;

	if (e->kind == EXTENT_HOLE)
		return target_hole(t, e->offset, e->len, err);
	if (e->kind != EXTENT_DATA)
		return target_zero(t, e->offset, e->len, err);
	/* Behind the end of a volume that was shrunk: its chunk is not asked for. */
	if (target_nowhere(t, e->offset, e->len))
		return 0;
	if (w->pieces_n == w->pieces_cap) {
		size_t cap = w->pieces_cap == 0 ? 1024 : w->pieces_cap * 2;

		if ((p = realloc(w->pieces, cap * sizeof(*p))) == NULL)
			return err_set(err, ERR_NOMEM, "out of memory");
		w->pieces = p;
		w->pieces_cap = cap;
	}
	p = &w->pieces[w->pieces_n++];
	p->id = e->id;
	p->chunk_len = e->chunk_len;
	p->chunk_offset = e->chunk_offset;
	p->len = e->len;
	p->offset = e->offset;
	return 0;
}

static int
by_id(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int c = chunk_id_cmp(&x->id, &y->id);

	if (c != 0)
		return c;
	return x->chunk_offset < y->chunk_offset ? -1 : x->chunk_offset > y->chunk_offset;
}

int
restore_window_seal(struct restore_window *w, struct err *err)
{
	struct chunk *c = NULL;
	size_t i;

	if (w->pieces_n == 0)
		return 0;
	qsort(w->pieces, w->pieces_n, sizeof(*w->pieces), by_id);
	if ((w->chunks = calloc(w->pieces_n, sizeof(*w->chunks))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (i = 0; i < w->pieces_n; i++) {
		if (c == NULL ||
		    chunk_id_cmp(&w->pieces[i].id, &w->pieces[c->first].id) != 0) {
			c = &w->chunks[w->chunks_n++];
			c->first = (uint32_t)i;
		}
		if (w->pieces[i].chunk_len != w->pieces[c->first].chunk_len)
			return err_set(
			    err, ERR_CORRUPT, "one chunk with two lengths in the tree");
		c->count++;
	}
	atomic_store(&w->wanted, w->chunks_n);
	return 0;
}

/* ------------------------------------------------------------------- delta -- */

/* Chunks by where they begin on the target: it is read forward. */
struct visit {
	uint64_t offset;
	uint32_t chunk;
};

static int
by_offset(const void *a, const void *b)
{
	const struct visit *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/*
 * Read the chunk from its pieces on the target: 1, 0 if they are not all of it
 * (others lie in other windows), -1.
 */
static int
gather(const struct restore_window *w, const struct chunk *c, struct target *t,
    uint8_t *out, struct err *err)
{
	uint32_t i, have = 0, skip;

	for (i = c->first; i < c->first + c->count; i++) {
		const struct piece *p = &w->pieces[i];

		if (p->chunk_offset > have)
			return 0;
		if (p->chunk_offset + p->len <= have)
			continue;
		skip = have - p->chunk_offset;
		if (target_read(t, p->offset + skip, out + have, p->len - skip, err) != 0)
			return -1;
		have = p->chunk_offset + p->len;
	}
	return have == w->pieces[c->first].chunk_len;
}

/* Does every piece of a chunk that is there more than once hold the same bytes? */
static int
pieces_hold(const struct restore_window *w, const struct chunk *c, struct target *t,
    const uint8_t *chunk, uint8_t *scratch, struct err *err)
{
	uint32_t i;

	for (i = c->first; i < c->first + c->count; i++) {
		const struct piece *p = &w->pieces[i];

		if (target_read(t, p->offset, scratch, p->len, err) != 0)
			return -1;
		if (memcmp(scratch, chunk + p->chunk_offset, p->len) != 0)
			return 0;
	}
	return 1;
}

static int
compare_chunk(struct restore_window *w, struct chunk *c, struct target *t,
    const struct chunk_keys *keys, uint8_t *bytes, uint8_t *scratch, uint64_t *same,
    struct err *err)
{
	const struct piece *p = &w->pieces[c->first];
	struct chunk_id id;
	uint32_t i;
	int whole = gather(w, c, t, bytes, err);

	if (whole != 1)
		return whole;
	chunk_id_of(keys, CHUNK_DATA, bytes, p->chunk_len, &id);
	if (chunk_id_cmp(&id, &p->id) != 0)
		return 0;
	if (c->count > 1 && (whole = pieces_hold(w, c, t, bytes, scratch, err)) != 1)
		return whole;
	for (i = c->first; i < c->first + c->count; i++)
		*same += w->pieces[i].len;
	atomic_store(&c->done, 1);
	atomic_fetch_sub(&w->wanted, 1);
	return 0;
}

int
restore_window_compare(struct restore_window *w, struct target *t,
    const struct chunk_keys *keys, uint64_t *same, struct err *err)
{
	struct visit *order = calloc(w->chunks_n + 1, sizeof(*order));
	uint8_t *bytes = malloc(2 * CHUNK_DATA_MAX);
	uint32_t i, k;
	int rc = 0;

	if (order == NULL || bytes == NULL)
		rc = err_set(err, ERR_NOMEM, "out of memory");
	for (i = 0; rc == 0 && i < w->chunks_n; i++) {
		order[i].chunk = i;
		order[i].offset = UINT64_MAX;
		for (k = w->chunks[i].first; k < w->chunks[i].first + w->chunks[i].count;
		     k++)
			if (w->pieces[k].offset < order[i].offset)
				order[i].offset = w->pieces[k].offset;
	}
	if (rc == 0)
		qsort(order, w->chunks_n, sizeof(*order), by_offset);
	for (i = 0; rc == 0 && i < w->chunks_n; i++)
		rc = compare_chunk(w, &w->chunks[order[i].chunk], t, keys, bytes,
		    bytes + CHUNK_DATA_MAX, same, err);
	free(order);
	free(bytes);
	return rc;
}

int
restore_window_ids(const struct restore_window *w, size_t *at, size_t max,
    struct buf *out, struct err *err)
{
	size_t n = 0;

	for (; *at < w->chunks_n && n < max; ++*at) {
		const struct chunk *c = &w->chunks[*at];

		if (atomic_load(&c->done))
			continue;
		if (buf_add(out, w->pieces[c->first].id.b, CHUNK_ID_LEN, err) != 0)
			return -1;
		n++;
	}
	return 0;
}

/* ------------------------------------------------------------------ groups -- */

struct taking {
	struct restore_window *w;
	struct target *t;
	const struct chunk_keys *keys;
	const uint8_t *plain;
	uint64_t *same;
	struct err *err;
};

static struct chunk *
find(const struct restore_window *w, const struct chunk_id *id)
{
	size_t low = 0, high = w->chunks_n, mid;
	int c;

	while (low < high) {
		mid = low + (high - low) / 2;
		c = chunk_id_cmp(id, &w->pieces[w->chunks[mid].first].id);
		if (c == 0)
			return &w->chunks[mid];
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

static int
take_entry(void *arg, const struct group_entry *e)
{
	struct taking *k = arg;
	struct chunk *c = find(k->w, &e->id);
	const uint8_t *bytes = k->plain + e->offset;
	const struct piece *p;
	struct chunk_id id;
	uint32_t i;

	/* Others' chunks in the same group are no concern of ours. */
	if (c == NULL || atomic_exchange(&c->done, 1) != 0)
		return 0;
	p = &k->w->pieces[c->first];
	chunk_id_of(k->keys, CHUNK_DATA, bytes, e->len, &id);
	if (e->len != p->chunk_len || chunk_id_cmp(&id, &e->id) != 0)
		return err_set(
		    k->err, ERR_CORRUPT, "a chunk came that is not what its id says");
	for (i = 0; i < c->count; i++)
		if (target_update(k->t, p[i].offset, bytes + p[i].chunk_offset, p[i].len,
			k->same, k->err) != 0)
			return -1;
	atomic_fetch_sub(&k->w->wanted, 1);
	return 0;
}

int
restore_window_group(struct restore_window *w, struct target *t,
    const struct chunk_keys *keys, struct codec *codec, uint8_t *plain, const uint8_t *p,
    size_t len, uint64_t *same, struct err *err)
{
	struct taking k = { w, t, keys, plain, same, err };
	struct group g;

	if (group_parse(p, len, &g, err) != 0 || group_check(&g, err) != 0 ||
	    group_decode(codec, &g, plain, err) != 0)
		return -1;
	if (g.kind != CHUNK_DATA)
		return err_set(err, ERR_PROTOCOL, "a group of nodes among the data");
	return group_each(&g, take_entry, &k);
}
