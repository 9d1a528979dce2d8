#include "agent/restore/restore_tree.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/wire/msg.h"

struct restore_tree {
	struct restore_source src;
	struct tree_root root;
	uint64_t request, first; /* Of the leaves asked for. */
	uint32_t count;
	struct {
		int held;
		uint64_t index;
		uint32_t count;
		struct tree_child children[TREE_FANOUT];
	} way[TREE_LEVELS_MAX]; /* The inner nodes on the way to them. */
};

/* Nodes of `level` below one of `above`. */
static uint64_t
width(uint32_t above, uint32_t level)
{
	uint64_t n = 1;

	for (; above > level; above--)
		n *= TREE_FANOUT;
	return n;
}

static int
ask(struct restore_tree *t, uint32_t level, uint64_t first, uint32_t count,
    uint64_t *request, struct err *err)
{
	Wire__GetNodes m = WIRE__GET_NODES__INIT;

	m.host = (char *)t->src.host;
	m.sequence = t->src.sequence;
	m.volume = t->src.volume;
	m.level = level;
	m.first = first;
	m.count = count;
	return channel_send(t->src.ch, &m.base, request, err);
}

/* The next node of a request, proven to be `id`; its payload is the caller's. */
static int
take(struct restore_tree *t, uint64_t request, const struct chunk_id *id,
    struct channel_frame *f, struct err *err)
{
	struct chunk_id real;

	if (channel_wait(t->src.ch, request, 0, f, err) != 0)
		return -1;
	if (f->kind != MSG_NODE || f->len == 0) {
		err_set(err, ERR_PROTOCOL, "%s where a node was due", msg_name(f->kind));
	} else {
		chunk_id_of(t->src.keys, CHUNK_META, f->payload, f->len, &real);
		if (chunk_id_cmp(&real, id) == 0)
			return 0;
		err_set(
		    err, ERR_CORRUPT, "the server gave a node that is not the one named");
	}
	free(f->payload);
	return -1;
}

/* The children of inner node `index` of `level`, which is `id`. */
static int
hold(struct restore_tree *t, uint32_t level, uint64_t index, const struct chunk_id *id,
    struct err *err)
{
	struct channel_frame f;
	uint64_t request;
	int rc;

	if (t->way[level].held && t->way[level].index == index)
		return 0;
	t->way[level].held = 0;
	if (ask(t, level, index, 1, &request, err) != 0 ||
	    take(t, request, id, &f, err) != 0)
		return -1;
	rc = tree_parse_inner(f.payload, f.len, tree_covers(t->root.size, level, index),
	    width(level - 1, 0) * TREE_SPAN_LEN, t->way[level].children,
	    &t->way[level].count, err);
	free(f.payload);
	if (rc != 0)
		return -1;
	t->way[level].held = 1;
	t->way[level].index = index;
	return 0;
}

/* The id of leaf `n`, down from the top. */
static int
leaf_id(struct restore_tree *t, uint64_t n, struct chunk_id *out, struct err *err)
{
	uint32_t level;
	uint64_t child;

	*out = t->root.top.id;
	for (level = t->root.levels; level > 0; level--) {
		if (hold(t, level, n / width(level, 0), out, err) != 0)
			return -1;
		child = n / width(level - 1, 0) % TREE_FANOUT;
		if (child >= t->way[level].count)
			return err_set(err, ERR_CORRUPT, "an inner node lacks a child");
		*out = t->way[level].children[child].id;
	}
	return 0;
}

int
restore_tree_open(
    const struct restore_source *src, struct restore_tree **out, struct err *err)
{
	struct restore_tree *t = calloc(1, sizeof(*t));
	struct channel_frame f;
	uint64_t request;
	int rc = -1;

	if (t == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	t->src = *src;
	if (ask(t, MSG_NODE_LEVEL_ROOT, 0, 1, &request, err) == 0 &&
	    take(t, request, &src->root_id, &f, err) == 0) {
		rc = tree_parse_root(f.payload, f.len, &t->root, err);
		free(f.payload);
	}
	if (rc != 0) {
		free(t);
		return -1;
	}
	*out = t;
	return 0;
}

void
restore_tree_close(struct restore_tree *t)
{
	free(t);
}

const struct tree_root *
restore_tree_root(const struct restore_tree *t)
{
	return &t->root;
}

int
restore_tree_ask(struct restore_tree *t, uint64_t first, uint32_t count, struct err *err)
{
	t->first = first;
	t->count = count;
	return ask(t, 0, first, count, &t->request, err);
}

int
restore_tree_take(struct restore_tree *t, int (*each)(void *arg, const struct extent *e),
    void *arg, struct err *err)
{
	struct channel_frame f;
	struct chunk_id id;
	uint64_t n;
	int rc = 0;

	for (n = t->first; n < t->first + t->count && rc == 0; n++) {
		if (leaf_id(t, n, &id, err) != 0 ||
		    take(t, t->request, &id, &f, err) != 0)
			return -1;
		rc = tree_parse_leaf(f.payload, f.len, n * TREE_SPAN_LEN,
		    tree_covers(t->root.size, 0, n), each, arg, err);
		free(f.payload);
	}
	return rc;
}
