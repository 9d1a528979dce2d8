/*
 * Trees.  The first byte chooses what the rest is: a root, an inner node, a
 * leaf, or a root (144 bytes) and the nodes that a walk gets when it asks (2
 * bytes of length each).  What the leaf parser takes must be what the builder
 * writes.  The mutator makes sums and levels right.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"
#include "proto/chunk/tree_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

static void
must(int holds)
{
	if (!holds)
		abort();
}

static void
fuzz_root(const uint8_t *p, size_t len)
{
	struct tree_root r;
	struct err err = ERR_INIT;

	if (tree_parse_root(p, len, &r, &err) == -1) {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
		return;
	}
	must(tree_root_ok(&r, &err) == 0);
	must(tree_sums_total(&r.top.sums, r.size));
	must(r.levels < TREE_LEVELS_MAX);
	must(strlen(r.fs) < TREE_NAME_MAX && strlen(r.provider) < TREE_NAME_MAX);
}

/* What an inner node over spans would cover if its last child told the truth. */
static uint64_t
inner_covers(const uint8_t *p, size_t len)
{
	uint64_t n, last = 0;
	size_t i;

	if (len < TREE_NODE_HEADER_LEN + TREE_CHILD_LEN)
		return TREE_SPAN_LEN;
	n = load_le16(p + TREE_NODE_COUNT);
	for (i = 1; i <= 4; i++)
		last += load_le64(p + len - 8 * i);
	return (n - 1) * TREE_SPAN_LEN + (last <= TREE_SPAN_LEN ? last : TREE_SPAN_LEN);
}

static void
fuzz_inner(const uint8_t *p, size_t len)
{
	static struct tree_child child[TREE_FANOUT];
	uint64_t covered = inner_covers(p, len);
	struct tree_sums sums;
	struct err err = ERR_INIT;
	uint32_t n;

	if (tree_parse_inner(p, len, covered, TREE_SPAN_LEN, child, &n, &err) == -1) {
		must(err.code == ERR_CORRUPT);
		return;
	}
	must(n > 0 && n <= TREE_FANOUT);
	must(tree_node_sums(p, len, 1, 0, covered, &sums, &err) == 0);
	must(tree_sums_total(&sums, covered));
}

/* ---------------------------------------------------------------- leaves -- */

struct rebuilt {
	struct tree_builder *b;
	const uint8_t *p; /* What the leaf must be. */
	size_t len;
	int leaves;
};

static int
same_leaf(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct rebuilt *r = arg;

	(void)id;
	(void)err;
	if (r->leaves++ == 0)
		must(len == r->len && memcmp(p, r->p, len) == 0);
	return 0;
}

static int
add_back(void *arg, const struct extent *e)
{
	struct rebuilt *r = arg;
	struct err err = ERR_INIT;

	must(tree_builder_add(r->b, e, &err) == 0);
	return 0;
}

static void
fuzz_leaf(const uint8_t *p, size_t len)
{
	struct rebuilt r = { NULL, p, len, 0 };
	struct tree_root root = {
		.sector_size = 512, .fs = "raw", .provider = "offline"
	};
	struct err err = ERR_INIT;
	unsigned long long covered = 0;
	struct chunk_keys keys;
	struct chunk_id id;

	/* Only the parser's own words tell what a leaf that is else in order covers. */
	must(tree_parse_leaf(p, len, 0, 0, add_back, &r, &err) == -1);
	must(err.code == ERR_CORRUPT);
	if (sscanf(err.text, "leaf of %llu bytes", &covered) != 1 ||
	    covered > TREE_SPAN_LEN)
		return;
	root.size = (covered + 511) / 512 * 512;
	memset(&keys, 0, sizeof(keys));
	err_clear(&err);
	must((r.b = tree_builder_new(&keys, &root, same_leaf, &r)) != NULL);
	if (root.size != covered) {
		/* No builder makes it, but the parser is only told what to cover. */
		tree_builder_free(r.b);
		return;
	}
	must(tree_parse_leaf(p, len, 0, covered, add_back, &r, &err) == 0);
	must(tree_builder_finish(r.b, &id, &err) == 0 && r.leaves == 2);
	tree_builder_free(r.b);
}

/* --------------------------------------------------------------- walking -- */

struct nodes {
	const uint8_t *p;
	size_t left;
	int first;
};

static int
next_node(void *arg, const struct chunk_id *id, struct buf *out, struct err *err)
{
	struct nodes *n = arg;
	size_t len = n->first ? ROOT_LEN : 0;

	(void)id;
	if (!n->first && n->left >= 2) {
		len = load_le16(n->p);
		n->p += 2;
		n->left -= 2;
	}
	n->first = 0;
	if (len == 0 || len > n->left)
		return err_set(err, ERR_NOTFOUND, "no more nodes");
	if (buf_add(out, n->p, len, err) == -1)
		return -1;
	n->p += len;
	n->left -= len;
	return 0;
}

static int
count_bytes(void *arg, const struct extent *e)
{
	*(uint64_t *)arg += e->len;
	return 0;
}

static void
fuzz_walk(const uint8_t *p, size_t len)
{
	struct nodes nodes = { p, len, 1 };
	const struct chunk_id id = { { 0 } };
	struct err err = ERR_INIT;
	struct tree_walk *w;
	uint64_t spans, n, bytes, size;

	if (tree_walk_open(&id, next_node, &nodes, &w, &err) == -1)
		return;
	size = tree_walk_root(w)->size;
	spans = tree_spans(size);
	for (n = 0; n < spans && n < 8; n++) {
		err_clear(&err);
		bytes = 0;
		if (tree_walk_span(w, n, count_bytes, &bytes, &err) == 0)
			must(bytes == tree_covers(size, 0, n));
		else
			must(bytes == 0 && err.code != ERR_NONE);
	}
	err_clear(&err);
	(void)tree_walk_span(w, spans - 1, count_bytes, &bytes, &err);
	tree_walk_close(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	if (len == 0)
		return 0;
	switch (p[0] % 4) {
	case 0:
		fuzz_root(p + 1, len - 1);
		break;
	case 1:
		fuzz_inner(p + 1, len - 1);
		break;
	case 2:
		fuzz_leaf(p + 1, len - 1);
		break;
	default:
		fuzz_walk(p + 1, len - 1);
	}
	return 0;
}

/* ------------------------------------------------------------- the mutator -- */

/* Make the child at `p` cover `len` bytes, by its sum of data. */
static void
fix_child(uint8_t *p, uint64_t len)
{
	uint64_t others = load_le64(p + CHUNK_ID_LEN) + load_le64(p + CHUNK_ID_LEN + 8) +
			  load_le64(p + CHUNK_ID_LEN + 16);

	if (others <= len)
		store_le64(p + CHUNK_ID_LEN + 24, len - others);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	uint8_t *node = p + 1;
	size_t i, n;

	len = LLVMFuzzerMutate(p, len, max);
	if (len == 0 || seed % 8 == 0)
		return len;
	if ((p[0] % 4 == 0 || p[0] % 4 == 3) && len > ROOT_LEN) {
		uint64_t size = load_le64(node + ROOT_SIZE);

		node[ROOT_LEVELS] = (uint8_t)tree_levels(size);
		fix_child(node + ROOT_TOP, size);
		if (p[0] % 4 == 0 && seed % 4 != 1)
			len = 1 + ROOT_LEN;
	}
	if (p[0] % 4 == 1 && len > 1 + TREE_NODE_HEADER_LEN) {
		n = (len - 1 - TREE_NODE_HEADER_LEN) / TREE_CHILD_LEN;
		store_le16(node + TREE_NODE_COUNT, (uint16_t)n);
		len = 1 + TREE_NODE_HEADER_LEN + n * TREE_CHILD_LEN;
		for (i = 0; i + 1 < n; i++)
			fix_child(node + TREE_NODE_HEADER_LEN + i * TREE_CHILD_LEN,
			    TREE_SPAN_LEN);
	}
	return len;
}
