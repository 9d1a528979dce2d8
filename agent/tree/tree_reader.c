#include "agent/tree/tree_reader.h"

#include <stdlib.h>
#include <string.h>

#include "agent/tree/group_cache.h"
#include "agent/tree/tree_ahead.h"
#include "agent/tree/tree_fetch.h"
#include "agent/tree/tree_nodes.h"
#include "agent/tree/tree_point.h"
#include "proto/base/err.h"

struct tree_reader {
	struct tree_point *p;
	const struct tree_of *of;
};

int
tree_reader_open(
    struct tree_point *p, const char *name, struct tree_reader **out, struct err *err)
{
	struct tree_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	r->p = p;
	if (tree_point_root(p, name, &r->of, err) != 0) {
		free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void
tree_reader_close(struct tree_reader *r)
{
	free(r);
}

const struct tree_root *
tree_reader_root(const struct tree_reader *r)
{
	return &r->of->root;
}

uint64_t
tree_reader_size(const struct tree_reader *r)
{
	return r->of->root.size;
}

/* The extent of a leaf that holds `offset`. */
static uint32_t
extent_at(const struct tree_node *leaf, uint64_t offset)
{
	uint32_t low = 0, high = leaf->count, mid;

	while (high - low > 1) {
		mid = low + (high - low) / 2;
		if (leaf->extents[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* Pieces of one span that were not in the cache. */
struct lacking {
	struct tree_reader *r;
	uint64_t span;
	struct tree_piece *pieces;
	size_t n;
};

static int
bring(struct lacking *l, struct err *err)
{
	size_t n = l->n;

	l->n = 0;
	return n == 0 ? 0
		      : tree_fetch_pieces(tree_point_fetch(l->r->p), l->r->of, l->span,
			    l->pieces, n, err);
}

/* The part of an extent from `skip` on. */
static int
read_extent(struct lacking *l, const struct extent *e, uint32_t skip, uint8_t *out,
    uint32_t len, struct err *err)
{
	struct tree_piece *p;

	if (e->kind != EXTENT_DATA) {
		memset(out, 0, len);
		return 0;
	}
	if (l->pieces == NULL &&
	    (l->pieces = calloc(TREE_PIECES_MAX, sizeof(*l->pieces))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	p = &l->pieces[l->n];
	*p = (struct tree_piece){ e->id, e->chunk_len, e->chunk_offset + skip, len, out };
	if (!tree_fetch_cached(tree_point_fetch(l->r->p), p))
		l->n++;
	return l->n == TREE_PIECES_MAX ? bring(l, err) : 0;
}

/* Read within one span. */
static int
read_span(struct lacking *l, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	struct tree_nodes *nodes = tree_point_nodes(l->r->p);
	const struct tree_node *leaf;
	int rc = 0;

	l->span = offset / TREE_SPAN_LEN;
	if (tree_nodes_leaf(nodes, l->r->of, l->span, 0, 0, &leaf, err) != 0)
		return -1;
	if (leaf == NULL) {
		memset(out, 0, len);
		return 0;
	}
	for (uint32_t i = extent_at(leaf, offset); len > 0 && rc == 0; i++) {
		const struct extent *e = &leaf->extents[i];
		uint32_t skip = (uint32_t)(offset - e->offset), n = e->len - skip;

		if (n > len)
			n = (uint32_t)len;
		rc = read_extent(l, e, skip, out, n, err);
		offset += n;
		out += n;
		len -= n;
	}
	if (rc == 0)
		rc = bring(l, err);
	tree_nodes_drop(nodes, leaf);
	return rc;
}

int
tree_reader_read(
    struct tree_reader *r, uint64_t offset, void *out, size_t len, struct err *err)
{
	struct lacking l = { .r = r };
	uint64_t size = r->of->root.size, end = offset + len;
	uint8_t *to = out;
	int rc = 0;

	if (offset > size || len > size - offset)
		return err_set(err, ERR_LIMIT, "a read past the end of the volume");
	if (tree_point_ahead(r->p) != NULL)
		tree_ahead_note(tree_point_ahead(r->p), r->of, offset, len);
	while (offset < end && rc == 0) {
		uint64_t n = TREE_SPAN_LEN - offset % TREE_SPAN_LEN;

		if (n > end - offset)
			n = end - offset;
		rc = read_span(&l, offset, to, n, err);
		to += n;
		offset += n;
	}
	free(l.pieces);
	return rc;
}

/* ------------------------------------------------------------------- extents -- */

struct merging {
	struct tree_range range; /* Not given out yet; len 0: none. */
	int (*each)(void *arg, const struct tree_range *range);
	void *arg;
};

static int
give(struct merging *m)
{
	int rc = m->range.len > 0 ? m->each(m->arg, &m->range) : 0;

	m->range.len = 0;
	return rc;
}

static int
merge(struct merging *m, uint64_t offset, uint64_t len, enum extent_kind kind)
{
	int rc;

	if (m->range.len > 0 && m->range.kind == kind) {
		m->range.len += len;
		return 0;
	}
	rc = give(m);
	m->range = (struct tree_range){ offset, len, kind };
	return rc;
}

/* The ranges of one leaf within [offset, end). */
static int
leaf_ranges(
    struct merging *m, const struct tree_node *leaf, uint64_t offset, uint64_t end)
{
	int rc = 0;

	for (uint32_t i = extent_at(leaf, offset);
	     i < leaf->count && offset < end && rc == 0; i++) {
		const struct extent *e = &leaf->extents[i];
		uint64_t n = e->offset + e->len - offset;

		if (n > end - offset)
			n = end - offset;
		rc = merge(m, offset, n, e->kind);
		offset += n;
	}
	return rc;
}

/* The ranges from `*offset` on, as far as one node tells; moves it on. */
static int
next_ranges(struct tree_reader *r, struct merging *m, uint64_t *offset, uint64_t end,
    struct err *err)
{
	struct tree_nodes *nodes = tree_point_nodes(r->p);
	uint64_t span = *offset / TREE_SPAN_LEN, begin = *offset, until, empty;
	const struct tree_node *leaf = NULL;
	int rc;

	if (tree_nodes_empty(nodes, r->of, span, &empty, err) != 0 ||
	    (empty == 0 && tree_nodes_leaf(nodes, r->of, span, 0, 1, &leaf, err) != 0))
		return -1;
	until = span * TREE_SPAN_LEN + (empty > 0 ? empty : TREE_SPAN_LEN);
	if (until > end)
		until = end;
	*offset = until;
	if (leaf == NULL)
		return merge(m, begin, until - begin, EXTENT_HOLE);
	rc = leaf_ranges(m, leaf, begin, until);
	tree_nodes_drop(nodes, leaf);
	return rc;
}

int
tree_reader_extents(struct tree_reader *r, uint64_t offset, uint64_t len,
    int (*each)(void *arg, const struct tree_range *range), void *arg, struct err *err)
{
	struct merging m = { { 0, 0, EXTENT_HOLE }, each, arg };
	uint64_t size = r->of->root.size, end = offset + len;
	int rc = 0;

	if (offset > size || len > size - offset)
		return err_set(err, ERR_LIMIT, "a question past the end of the volume");
	while (offset < end && rc == 0)
		rc = next_ranges(r, &m, &offset, end, err);
	return rc != 0 ? rc : give(&m);
}
