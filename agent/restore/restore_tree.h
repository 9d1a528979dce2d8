/*
 * restore_tree.h - a point's tree, fetched from the server node by node, each
 * proven by its id from the root down.
 *
 * Asking for leaves and taking them are two calls, so that the next ones travel
 * while the chunks of these are still coming.
 */
#ifndef AGENT_RESTORE_RESTORE_TREE_H
#define AGENT_RESTORE_RESTORE_TREE_H

#include <stdint.h>

#include "proto/chunk/chunk_id.h"
#include "proto/chunk/tree.h"

struct channel;
struct err;

/* Which tree, and how to get it.  Copyable; borrows its pointers. */
struct restore_source {
	struct channel *ch;
	const struct chunk_keys *keys;
	const char *host;
	uint64_t sequence;
	uint32_t volume;
	struct chunk_id root_id;
};

struct restore_tree;

/* Fetch and prove the root. */
int restore_tree_open(
    const struct restore_source *src, struct restore_tree **out, struct err *err);
void restore_tree_close(struct restore_tree *t);
const struct tree_root *restore_tree_root(const struct restore_tree *t);

/* Ask for the leaves of `count` spans; one request at a time may be under way. */
int
restore_tree_ask(struct restore_tree *t, uint64_t first, uint32_t count, struct err *err);

/* Wait for them; `each` gets their extents in order (as tree_parse_leaf()). */
int restore_tree_take(struct restore_tree *t,
    int (*each)(void *arg, const struct extent *e), void *arg, struct err *err);

#endif /* AGENT_RESTORE_RESTORE_TREE_H */
