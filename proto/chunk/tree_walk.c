#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"
#include "proto/chunk/tree_format.h"

/* An inner node on the way to where we are. */
struct step {
	uint64_t index; /* On its level. */
	uint32_t count; /* Of children; 0 if nothing is here. */
	struct tree_child child[TREE_FANOUT];
};

struct tree_walk {
	tree_fetch fetch;
	void *arg;
	struct tree_root root;
	struct buf node;		    /* The last that was fetched. */
	struct step *step[TREE_LEVELS_MAX]; /* By level; NULL for 0. */
};

static int
fetch(struct tree_walk *w, const struct chunk_id *id, struct err *err)
{
	buf_clear(&w->node);
	return w->fetch(w->arg, id, &w->node, err);
}

int
tree_walk_open(const struct chunk_id *root_id, tree_fetch fetch_node, void *arg,
    struct tree_walk **out, struct err *err)
{
	struct tree_walk *w;
	uint32_t i;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to walk a tree");
	w->fetch = fetch_node;
	w->arg = arg;
	w->node.max = CHUNK_META_MAX;
	if (fetch(w, root_id, err) == -1 ||
	    tree_parse_root(w->node.p, w->node.len, &w->root, err) == -1) {
		tree_walk_close(w);
		return err_context(err, "root of a tree");
	}
	for (i = 1; i <= w->root.levels; i++)
		if ((w->step[i] = calloc(1, sizeof(*w->step[i]))) == NULL) {
			tree_walk_close(w);
			return err_set(err, ERR_NOMEM, "no memory to walk a tree");
		}
	*out = w;
	return 0;
}

void
tree_walk_close(struct tree_walk *w)
{
	unsigned i;

	if (w == NULL)
		return;
	for (i = 0; i < TREE_LEVELS_MAX; i++)
		free(w->step[i]);
	buf_free(&w->node);
	free(w);
}

const struct tree_root *
tree_walk_root(const struct tree_walk *w)
{
	return &w->root;
}

/* Fetch the node that `claim` names; its sums must be those it was told to have. */
static int
fetch_checked(struct tree_walk *w, const struct tree_child *claim, uint32_t level,
    uint64_t index, struct err *err)
{
	uint64_t offset = index * tree_covers(TREE_SIZE_MAX, level, 0);
	struct tree_sums sums;

	if (fetch(w, &claim->id, err) == 0 &&
	    tree_node_sums(w->node.p, w->node.len, level, offset,
		tree_covers(w->root.size, level, index), &sums, err) == 0) {
		if (memcmp(&sums, &claim->sums, sizeof(sums)) == 0)
			return 0;
		(void)err_set(
		    err, ERR_CORRUPT, "its sums are not what the node above it says");
	}
	return err_context(
	    err, "node %llu of level %u", (unsigned long long)index, (unsigned)level);
}

int
tree_walk_leaf(struct tree_walk *w, uint64_t n, struct tree_child *out, struct err *err)
{
	struct tree_child child = w->root.top;
	uint32_t level;

	assert(n < tree_spans(w->root.size));
	for (level = w->root.levels; level > 0; level--) {
		struct step *s = w->step[level];
		uint64_t width = tree_covers(TREE_SIZE_MAX, level, 0);
		uint64_t below = tree_covers(TREE_SIZE_MAX, level - 1, 0);
		uint64_t index = n / (width / TREE_SPAN_LEN);

		if (s->count == 0 || s->index != index) {
			s->count = 0;
			if (fetch_checked(w, &child, level, index, err) == -1 ||
			    tree_parse_inner(w->node.p, w->node.len,
				tree_covers(w->root.size, level, index), below, s->child,
				&s->count, err) == -1)
				return -1;
			s->index = index;
		}
		child = s->child[n / (below / TREE_SPAN_LEN) % TREE_FANOUT];
	}
	*out = child;
	return 0;
}

int
tree_walk_span(struct tree_walk *w, uint64_t n,
    int (*each)(void *arg, const struct extent *e), void *arg, struct err *err)
{
	struct tree_child leaf;

	if (tree_walk_leaf(w, n, &leaf, err) == -1 ||
	    fetch_checked(w, &leaf, 0, n, err) == -1)
		return -1;
	return tree_parse_leaf(w->node.p, w->node.len, n * TREE_SPAN_LEN,
	    tree_covers(w->root.size, 0, n), each, arg, err);
}
