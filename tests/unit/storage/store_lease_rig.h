/*
 * store_lease_rig.h - a store with one lease that backs up volumes C and D: what
 * the tests of commits and of damage start from.
 */
#ifndef TESTS_UNIT_STORAGE_STORE_LEASE_RIG_H
#define TESTS_UNIT_STORAGE_STORE_LEASE_RIG_H

#include "proto/base/bytes.h"
#include "storage/fs.h"
#include "storage/store_packs.h"
#include "tests/unit/storage/store_rig.h"

#define BLOCKS 1100u /* Two spans. */

struct here {
	char dir[64];
	struct store *s;
	struct err err;
	struct store_lease *lease;
	struct rig_agent a;
	struct buf bad, data, meta;
	struct store_point *p;
	uint32_t blocks[BLOCKS];
	struct rig_volume v;
};

static inline int
setup(void **state)
{
	static const char *const names[] = { "C", "D" };
	struct here *h = calloc(1, sizeof(*h));
	struct store_base bases[2];

	assert_non_null(h);
	rig_dir(h->dir);
	h->bad.max = h->data.max = h->meta.max = 64 * 1024;
	h->p = calloc(1, sizeof(*h->p));
	assert_non_null(h->p);
	h->p->volumes_count = 1;
	memcpy(h->p->volumes[0].name, "C", 2);
	rig_fill(h->blocks, BLOCKS, 1);
	/* More than one group. */
	for (uint32_t i = 2 * GROUP_PLAIN_TARGET / RIG_BLOCK; i < BLOCKS; i++)
		h->blocks[i] = i % 2; /* Most is hole or zero: the tests are quick. */
	h->v = (struct rig_volume){ h->blocks, BLOCKS };
	rig_ok(store_init(h->dir, &h->err), &h->err);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	rig_ok(store_backup_begin(h->lease, names, 2, bases, &h->bad, &h->err), &h->err);
	assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
	*state = h;
	return 0;
}

static inline int
teardown(void **state)
{
	struct here *h = *state;

	rig_agent_end(&h->a);
	store_lease_close(h->lease);
	store_close(h->s);
	rig_remove(h->dir);
	buf_free(&h->bad);
	buf_free(&h->data);
	buf_free(&h->meta);
	free(h->p);
	free(h);
	return 0;
}

static inline int
commit(struct here *h, enum store_commit_result *result)
{
	return store_commit(h->lease, h->p, result, &h->data, &h->meta, &h->err);
}

static inline void
nothing_recorded(struct here *h)
{
	struct store_point *q = malloc(sizeof(*q));
	struct err err = ERR_INIT;

	assert_non_null(q);
	assert_int_equal(store_point_get(h->s, "alpha", 0, q, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	free(q);
}

static inline void
must_refuse(struct here *h, const char *why)
{
	enum store_commit_result result;

	assert_int_equal(commit(h, &result), -1);
	assert_int_equal(h->err.code, ERR_CORRUPT);
	if (strstr(h->err.text, why) == NULL)
		fail_msg("'%s' has no '%s'", h->err.text, why);
	err_clear(&h->err);
	nothing_recorded(h);
}

/* Store `p` as a node and give its id. */
static inline struct chunk_id
put_node(struct here *h, const uint8_t *p, size_t len)
{
	struct chunk_id id;

	chunk_id_of(h->a.keys, CHUNK_META, p, len, &id);
	rig_ok(rig_send(&h->a, CHUNK_META, &id, p, len, &h->err), &h->err);
	rig_ok(rig_flush(&h->a, h->a.meta, &h->err), &h->err);
	return id;
}

/* The nodes of the volume, as the builder makes them: leaves, inner, root. */
struct nodes {
	unsigned n;
	struct chunk_id id[8];
	size_t len[8];
	uint8_t *p[8];
};

static inline int
keep_node(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct nodes *n = arg;

	(void)err;
	assert_true(n->n < 8);
	n->id[n->n] = *id;
	n->len[n->n] = len;
	n->p[n->n] = malloc(len);
	assert_non_null(n->p[n->n]);
	memcpy(n->p[n->n++], p, len);
	return 0;
}

static inline void
free_nodes(struct nodes *n)
{
	for (unsigned i = 0; i < n->n; i++)
		free(n->p[i]);
}

/* Send the data, but keep the nodes; `lie` is added to what chunks are long. */
static inline void
send_data(struct here *h, struct nodes *n, uint32_t lie)
{
	struct tree_builder *tree;
	struct chunk_id root_id;
	struct tree_root root;
	uint8_t content[RIG_BLOCK];

	memset(n, 0, sizeof(*n));
	rig_root(&root, h->v.n);
	tree = tree_builder_new(h->a.keys, &root, keep_node, n);
	assert_non_null(tree);
	for (uint32_t i = 0; i < h->v.n; i++) {
		struct extent e = { .offset = (uint64_t)i * RIG_BLOCK, .len = RIG_BLOCK };

		e.kind = h->blocks[i] < 2 ? (enum extent_kind)h->blocks[i] : EXTENT_DATA;
		if (e.kind == EXTENT_DATA) {
			rig_content(h->blocks[i], content);
			chunk_id_of(h->a.keys, CHUNK_DATA, content, RIG_BLOCK, &e.id);
			e.chunk_len = RIG_BLOCK + lie;
			rig_ok(rig_send(
				   &h->a, CHUNK_DATA, &e.id, content, RIG_BLOCK, &h->err),
			    &h->err);
		}
		rig_ok(tree_builder_add(tree, &e, &h->err), &h->err);
	}
	rig_ok(tree_builder_finish(tree, &root_id, &h->err), &h->err);
	tree_builder_free(tree);
	rig_ok(rig_flush(&h->a, h->a.data, &h->err), &h->err);
	assert_int_equal(n->n, 4); /* Two leaves, their parent, the root. */
}

#endif /* TESTS_UNIT_STORAGE_STORE_LEASE_RIG_H */
