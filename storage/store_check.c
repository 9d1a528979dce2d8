#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/index.h"
#include "storage/store_state.h"

#define AT_ONCE 512u

/* One tree being checked.  The tree's depth is bounded, so recursion is too. */
struct walk {
	const struct store_check *check;
	struct err *err;
	uint64_t size;
	uint64_t missing;	    /* Found missing so far, repeats counted. */
	int stop;		    /* A list is full, or a caller wants no more. */
	int ended;		    /* What the caller's function returned. */
	struct store_nodes *listed; /* Which ids are in the lists. */
	/* Nodes that lack something, which is listed: a shared one is walked once. */
	struct store_nodes *lacking;
	uint32_t n; /* Data chunks to be looked up. */
	struct chunk_id ids[AT_ONCE];
	uint32_t lens[AT_ONCE];
	struct index_hit hits[AT_ONCE];
};

/* Put an id in a list, once. */
static int
list_missing(struct walk *w, enum chunk_kind kind, const struct chunk_id *id)
{
	struct buf *list = kind == CHUNK_DATA ? w->check->data_ids : w->check->meta_ids;
	struct tree_sums sums = { 0, 0, 0, 0 };

	w->missing++;
	if (store_nodes_get(w->listed, id, (uint32_t)kind, 0, &sums))
		return 0;
	if (list->len + CHUNK_ID_LEN > list->max) {
		w->stop = 1;
		return 0;
	}
	store_nodes_add(w->listed, id, (uint32_t)kind, 0, &sums);
	return buf_add(list, id->b, CHUNK_ID_LEN, w->err);
}

/* ---------------------------------------------------------------- data chunks -- */

static int
look_up_data(struct walk *w)
{
	char hex[2 * CHUNK_ID_LEN + 1];
	struct store *s = w->check->lease->store;

	if (w->n > 0 && index_lookup(s->index, w->ids, w->n, w->hits, w->err) != 0)
		return -1;
	for (uint32_t i = 0; i < w->n && !w->stop; i++) {
		const struct index_hit *h = &w->hits[i];

		if (h->loc.pack == 0 || h->kind != CHUNK_DATA) {
			if (list_missing(w, CHUNK_DATA, &w->ids[i]) != 0)
				return -1;
		} else if (h->len != w->lens[i]) {
			chunk_id_hex(&w->ids[i], hex);
			return err_set(w->err, ERR_CORRUPT,
			    "the tree says chunk %.16s has %u bytes, it has %u", hex,
			    w->lens[i], h->len);
		} else if (w->check->found != NULL) {
			w->check->found(w->check->arg, &w->ids[i], h);
		}
	}
	w->n = 0;
	return 0;
}

static int
take_extent(void *arg, const struct extent *e)
{
	struct walk *w = arg;

	if (e->kind != EXTENT_DATA)
		return 0;
	if (w->check->chunk != NULL &&
	    (w->ended = w->check->chunk(w->check->arg, &e->id)) != 0)
		return w->ended;
	/* A chunk cut in pieces by runs comes several times in a row. */
	if (w->n > 0 && w->lens[w->n - 1] == e->chunk_len &&
	    chunk_id_cmp(&w->ids[w->n - 1], &e->id) == 0)
		return 0;
	w->ids[w->n] = e->id;
	w->lens[w->n++] = e->chunk_len;
	return w->n == AT_ONCE ? look_up_data(w) : 0;
}

/* -------------------------------------------------------------------- nodes -- */

static int
same_sums(const struct tree_sums *a, const struct tree_sums *b)
{
	return a->hole == b->hole && a->zero == b->zero && a->excluded == b->excluded &&
	       a->data == b->data;
}

static int
wrong_sums(struct walk *w, uint32_t level, uint64_t index)
{
	return err_set(w->err, ERR_CORRUPT,
	    "node %llu of level %u does not have the sums that its parent states",
	    (unsigned long long)index, level);
}

/* Read a node: 1, or 0 if it is missing or bad (then it is listed), or -1. */
static int
fetch(struct walk *w, const struct chunk_id *id, struct buf *out)
{
	if (store_node(w->check->lease, id, out, w->err) == 0)
		return 1;
	if (w->err->code != ERR_NOTFOUND && w->err->code != ERR_CORRUPT)
		return -1;
	err_clear(w->err);
	return list_missing(w, CHUNK_META, id) != 0 ? -1 : 0;
}

/*
 * The children of the base's node at the same place; NULL if they cannot be
 * had, which only costs time.
 */
static struct tree_child *
base_children(struct walk *w, const struct tree_child *base, uint64_t covered,
    uint64_t child_covers)
{
	struct tree_child *children = malloc(TREE_FANOUT * sizeof(*children));
	struct buf node = BUF_INIT(CHUNK_META_MAX);
	struct err ignored = ERR_INIT;
	uint32_t count;

	if (children != NULL &&
	    (store_node(w->check->lease, &base->id, &node, &ignored) != 0 ||
		tree_parse_inner(node.p, node.len, covered, child_covers, children,
		    &count, &ignored) != 0)) {
		free(children);
		children = NULL;
	}
	buf_free(&node);
	return children;
}

static int check_node(struct walk *w, uint32_t level, uint64_t index,
    const struct tree_child *claim, const struct tree_child *base);

static int
check_inner(struct walk *w, uint32_t level, uint64_t index, const struct buf *node,
    const struct tree_child *base)
{
	uint64_t covered = tree_covers(w->size, level, index);
	uint64_t below = tree_covers(TREE_SIZE_MAX, level - 1, 0);
	struct tree_child *children = malloc(TREE_FANOUT * sizeof(*children));
	struct tree_child *of_base = NULL;
	uint32_t count = 0;
	int ret = 0;

	if (children == NULL)
		return err_set(w->err, ERR_NOMEM, "no memory to check a tree");
	ret = tree_parse_inner(
	    node->p, node->len, covered, below, children, &count, w->err);
	if (ret == 0 && base != NULL)
		of_base = base_children(w, base, covered, below);
	for (uint32_t i = 0; ret == 0 && i < count && !w->stop; i++)
		ret = check_node(w, level - 1, index * TREE_FANOUT + i, &children[i],
		    of_base != NULL ? &of_base[i] : NULL);
	free(of_base);
	free(children);
	return ret;
}

/* Check the node that `claim` names and all below it; -1, the caller's word, or 0. */
static int
check_node(struct walk *w, uint32_t level, uint64_t index, const struct tree_child *claim,
    const struct tree_child *base)
{
	uint64_t covered = tree_covers(w->size, level, index);
	struct buf node = BUF_INIT(CHUNK_META_MAX);
	uint64_t missing = w->missing;
	struct tree_sums sums;
	int ret;

	if (base != NULL && chunk_id_cmp(&base->id, &claim->id) == 0)
		return same_sums(&base->sums, &claim->sums) ? 0
							    : wrong_sums(w, level, index);
	if (store_nodes_get(w->check->checked, &claim->id, level, covered, &sums))
		return same_sums(&sums, &claim->sums) ? 0 : wrong_sums(w, level, index);
	if (store_nodes_get(w->lacking, &claim->id, level, covered, &sums)) {
		w->missing++;
		return same_sums(&sums, &claim->sums) ? 0 : wrong_sums(w, level, index);
	}
	if (w->check->node != NULL &&
	    (w->ended = w->check->node(w->check->arg, &claim->id)) != 0)
		return w->ended;
	ret = fetch(w, &claim->id, &node);
	if (ret <= 0) {
		buf_free(&node);
		return ret;
	}
	ret = tree_node_sums(node.p, node.len, level,
	    index * tree_covers(TREE_SIZE_MAX, level, 0), covered, &sums, w->err);
	if (ret == 0 && !same_sums(&sums, &claim->sums))
		ret = wrong_sums(w, level, index);
	if (ret == 0 && level > 0)
		ret = check_inner(w, level, index, &node, base);
	else if (ret == 0)
		ret = tree_parse_leaf(node.p, node.len, index * (uint64_t)TREE_SPAN_LEN,
		    covered, take_extent, w, w->err);
	if (ret == 0 && level == 0)
		ret = look_up_data(w);
	buf_free(&node);
	if (ret == 0 && !w->stop)
		store_nodes_add(w->missing == missing ? w->check->checked : w->lacking,
		    &claim->id, level, covered, &sums);
	return ret;
}

/* --------------------------------------------------------------------- root -- */

/* A base of the same size has its nodes at the same places. */
static const struct tree_child *
base_top(struct walk *w, uint64_t size, struct tree_child *top)
{
	struct buf bytes = BUF_INIT(CHUNK_META_MAX);
	struct err ignored = ERR_INIT;
	struct tree_root root;
	int ok;

	if (w->check->base == NULL)
		return NULL;
	ok = store_node(w->check->lease, w->check->base, &bytes, &ignored) == 0 &&
	     tree_parse_root(bytes.p, bytes.len, &root, &ignored) == 0 &&
	     root.size == size;
	buf_free(&bytes);
	if (!ok)
		return NULL;
	*top = root.top;
	return top;
}

static void
describe(const struct tree_root *r, struct store_volume *v)
{
	v->size = r->size;
	v->sector_size = r->sector_size;
	memcpy(v->fs, r->fs, sizeof(v->fs));
	memcpy(v->provider, r->provider, sizeof(v->provider));
	v->grade = (int)r->grade;
	v->data_bytes = r->top.sums.data;
	v->hole_bytes = r->top.sums.hole;
	v->zero_bytes = r->top.sums.zero;
	v->excluded_bytes = r->top.sums.excluded;
}

/*
 * A root that becomes part of a new point has nothing that we do not know: what
 * later programs read in it must have been checked by who took it.
 */
static int
only_known(const struct walk *w, const struct tree_root *r)
{
	if (!w->check->fresh || (r->optional == 0 && r->fields_len == 0))
		return 0;
	return err_set(w->err, ERR_UNSUPPORTED,
	    "root of a tree with optional features 0x%04x and %u bytes of fields, which "
	    "this program does not know",
	    (unsigned)r->optional, (unsigned)r->fields_len);
}

static int
check_root(struct walk *w, const struct chunk_id *root_id, struct store_volume *v)
{
	struct buf bytes = BUF_INIT(CHUNK_META_MAX);
	struct tree_child top;
	struct tree_root root;
	int ret;

	if (w->check->node != NULL &&
	    (w->ended = w->check->node(w->check->arg, root_id)) != 0)
		return w->ended;
	ret = fetch(w, root_id, &bytes);
	if (ret > 0) {
		ret = tree_parse_root(bytes.p, bytes.len, &root, w->err);
		if (ret == 0)
			ret = only_known(w, &root);
		if (ret == 0) {
			describe(&root, v);
			w->size = root.size;
			ret = check_node(
			    w, root.levels, 0, &root.top, base_top(w, root.size, &top));
		}
	}
	buf_free(&bytes);
	return ret;
}

int
store_check_tree(const struct store_check *check, const struct chunk_id *root_id,
    struct store_volume *v, struct err *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	int ret;

	if (w == NULL || (w->listed = store_nodes_new(65536)) == NULL ||
	    (w->lacking = store_nodes_new(65536)) == NULL) {
		if (w != NULL)
			store_nodes_free(w->listed);
		free(w);
		return err_set(err, ERR_NOMEM, "no memory to check a tree");
	}
	w->check = check;
	w->err = err;
	ret = check_root(w, root_id, v);
	store_nodes_free(w->lacking);
	store_nodes_free(w->listed);
	free(w);
	return ret;
}
