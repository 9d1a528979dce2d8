/*
 * tree_nodes.h - nodes of volumes' trees, fetched when needed, proven, parsed, and
 * kept as far as memory allows.
 *
 * Serves all readers of a point; safe on several threads.
 */
#ifndef AGENT_TREE_TREE_NODES_H
#define AGENT_TREE_TREE_NODES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/tree.h"

struct err;
struct tree_link;
struct tree_nodes;

/* Which tree. */
struct tree_of {
	const char *host;
	uint64_t sequence;
	uint32_t volume;
	struct tree_root root;
};

/* A node, held until tree_nodes_drop(). */
struct tree_node {
	uint32_t level, count;
	const struct tree_child *children; /* Of an inner node. */
	const struct extent *extents;	   /* Of a leaf. */
};

/* At most `max` bytes of parsed nodes.  NULL without memory. */
struct tree_nodes *tree_nodes_new(struct tree_link *l, size_t max);
void tree_nodes_free(struct tree_nodes *t);

/* Fetch the root of a volume and prove that it is `id`. */
int tree_nodes_root(
    struct tree_nodes *t, struct tree_of *of, const struct chunk_id *id, struct err *err);

/*
 * The leaf of span `n`; or NULL in `*out` if nothing but zeros is there, which the
 * sums of its parent tell.  `more`: the leaves after it will be wanted, too.
 */
int tree_nodes_leaf(struct tree_nodes *t, const struct tree_of *of, uint64_t n, int ahead,
    int more, const struct tree_node **out, struct err *err);
void tree_nodes_drop(struct tree_nodes *t, const struct tree_node *node);

/*
 * How many bytes from span `n` on are known to hold no data at all, without asking
 * for a leaf: 0 or the rest of the widest node that begins there or covers it.
 */
int tree_nodes_empty(struct tree_nodes *t, const struct tree_of *of, uint64_t n,
    uint64_t *bytes, struct err *err);

void tree_nodes_counts(struct tree_nodes *t, uint64_t *fetched, size_t *most);

#endif /* AGENT_TREE_TREE_NODES_H */
