/*
 * store_rig.h - a little agent for the tests of the store: volumes made of
 * numbered blocks, backed up through leases and read back block by block.
 *
 * A volume is an array of numbers, one per block of RIG_BLOCK bytes: 0 is a
 * hole, 1 zero, 2 excluded, any other the seed of the block's content.
 */
#ifndef TESTS_UNIT_STORAGE_STORE_RIG_H
#define TESTS_UNIT_STORAGE_STORE_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"
#include "storage/store.h"
#include "storage/store_state.h"

#define RIG_BLOCK 16384u

/*
 * Sweeps over the nth call: under sanitizers, where opening a store takes long, a part
 * of them; the release build makes all.  No multiple of 2 or 3: kinds take turns.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RIG_STRIDE 5u
#else
#define RIG_STRIDE 1u
#endif

#define rig_ok(call, err)                                                             \
	do {                                                                          \
		if ((call) != 0)                                                      \
			fail_msg(                                                     \
			    "%s: %s: %s", #call, err_name((err)->code), (err)->text); \
	} while (0)

struct rig_volume {
	const uint32_t *blocks;
	uint32_t n;
};

/* A directory of its own; removed by rig_remove(). */
static inline void
rig_dir(char dir[64])
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(dir, 64, "%.40s/hfstore.XXXXXX", base != NULL ? base : "/tmp");
	assert_non_null(mkdtemp(dir));
}

static inline void
rig_remove(const char *dir)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

static inline void
rig_content(uint32_t seed, uint8_t out[RIG_BLOCK])
{
	uint64_t x = (uint64_t)seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < RIG_BLOCK; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Compresses to about a half. */
		memcpy(out + i, &x, 4);
		memset(out + i + 4, (int)(i >> 10), 4);
	}
}

/* One backup going on. */
struct rig_agent {
	struct store_lease *lease;
	const struct chunk_keys *keys;
	struct group_builder *data, *meta;
	struct codec *codec;
	struct buf bytes;
	int lost_ok; /* Leave meta nodes out: for the tests of missing ones. */
};

static inline int
rig_flush(struct rig_agent *a, struct group_builder *b, struct err *err)
{
	struct group g;

	if (group_builder_count(b) == 0)
		return 0;
	if (group_builder_finish(b, a->codec, 1, &a->bytes, err) != 0 ||
	    group_parse(a->bytes.p, a->bytes.len, &g, err) != 0)
		return -1;
	return store_put(a->lease, &g, err);
}

/* Ask until it is decided; a pending one is another's, who may be slow. */
static inline int
rig_ask(struct rig_agent *a, enum chunk_kind kind, const struct chunk_id *id,
    uint8_t *answer, struct err *err)
{
	struct timespec pause = { 0, 1000000 };

	for (int tries = 0; tries < 20000; tries++) {
		if (store_have(a->lease, kind, id, 1, answer, err) != 0)
			return -1;
		if (*answer != STORE_PENDING)
			return 0;
		/* Ours must not wait in a builder while we wait for others'. */
		if (rig_flush(a, a->data, err) != 0 || rig_flush(a, a->meta, err) != 0)
			return -1;
		nanosleep(&pause, NULL);
	}
	return err_set(err, ERR_TIMEOUT, "a chunk stays pending");
}

static inline int
rig_send(struct rig_agent *a, enum chunk_kind kind, const struct chunk_id *id,
    const uint8_t *p, size_t len, struct err *err)
{
	struct group_builder *b = kind == CHUNK_DATA ? a->data : a->meta;
	uint8_t answer;

	if (rig_ask(a, kind, id, &answer, err) != 0)
		return -1;
	if (answer != STORE_NEED)
		return 0;
	if (group_builder_full(b, len) && rig_flush(a, b, err) != 0)
		return -1;
	return group_builder_add(b, id, p, len, err);
}

static inline int
rig_emit(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	return rig_send(arg, CHUNK_META, id, p, len, err);
}

static inline int
rig_agent_start(struct rig_agent *a, struct store *s, struct store_lease *lease)
{
	memset(a, 0, sizeof(*a));
	a->lease = lease;
	a->keys = store_keys(s);
	a->data = group_builder_new(CHUNK_DATA);
	a->meta = group_builder_new(CHUNK_META);
	a->codec = codec_new();
	a->bytes.max = GROUP_LEN_MAX;
	return a->data != NULL && a->meta != NULL && a->codec != NULL ? 0 : -1;
}

static inline void
rig_agent_end(struct rig_agent *a)
{
	group_builder_free(a->data);
	group_builder_free(a->meta);
	codec_free(a->codec);
	buf_free(&a->bytes);
}

static inline void
rig_root(struct tree_root *root, uint32_t blocks)
{
	memset(root, 0, sizeof(*root));
	root->size = (uint64_t)blocks * RIG_BLOCK;
	root->sector_size = 512;
	memcpy(root->fs, "raw", 4);
	memcpy(root->provider, "offline", 8);
	root->grade = TREE_EXCLUSIVE;
}

/* Send a volume's chunks and nodes; its root's id. */
static inline int
rig_volume_put(struct rig_agent *a, const struct rig_volume *v, struct chunk_id *root_id,
    struct err *err)
{
	static const enum extent_kind kinds[] = { EXTENT_HOLE, EXTENT_ZERO,
		EXTENT_EXCLUDED };
	uint8_t content[RIG_BLOCK];
	struct tree_builder *tree;
	struct tree_root root;
	int ret = 0;

	rig_root(&root, v->n);
	tree = tree_builder_new(a->keys, &root, rig_emit, a);
	if (tree == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a tree");
	for (uint32_t i = 0; ret == 0 && i < v->n; i++) {
		struct extent e = { .offset = (uint64_t)i * RIG_BLOCK, .len = RIG_BLOCK };

		if (v->blocks[i] < 3) {
			e.kind = kinds[v->blocks[i]];
		} else {
			rig_content(v->blocks[i], content);
			chunk_id_of(a->keys, CHUNK_DATA, content, RIG_BLOCK, &e.id);
			e.kind = EXTENT_DATA;
			e.chunk_len = RIG_BLOCK;
			ret = rig_send(a, CHUNK_DATA, &e.id, content, RIG_BLOCK, err);
		}
		if (ret == 0)
			ret = tree_builder_add(tree, &e, err);
	}
	if (ret == 0)
		ret = tree_builder_finish(tree, root_id, err);
	tree_builder_free(tree);
	if (ret == 0)
		ret = rig_flush(a, a->data, err) != 0 || rig_flush(a, a->meta, err) != 0;
	return ret != 0 ? -1 : 0;
}

/*
 * Back up one volume called "C" as `host` and commit the point with these facts; -1
 * with err if anything fails.
 */
static inline int
rig_backup_facts(struct store *s, const char *host, const struct rig_volume *v,
    const struct buf *facts, struct store_point *point, struct err *err)
{
	struct buf bad = BUF_INIT(64 * 1024), data = BUF_INIT(64 * 1024),
		   meta = BUF_INIT(64 * 1024);
	static const char *const names[] = { "C" };
	enum store_commit_result result = STORE_MISSING;
	struct store_lease *lease = NULL;
	struct store_base base;
	struct rig_agent a;
	int ret;

	memset(point, 0, sizeof(*point));
	point->volumes_count = 1;
	memcpy(point->volumes[0].name, "C", 2);
	point->facts_len = (uint32_t)facts->len;
	assert_true(facts->len <= sizeof(point->facts));
	if (facts->len > 0)
		memcpy(point->facts, facts->p, facts->len);
	if (store_lease_open(s, host, STORE_BACKUP, &lease, err) != 0)
		return -1;
	ret = rig_agent_start(&a, s, lease);
	assert_int_equal(ret, 0);
	ret = store_backup_begin(lease, names, 1, &base, &bad, err);
	if (ret == 0)
		ret = rig_volume_put(&a, v, &point->volumes[0].root_id, err);
	if (ret == 0)
		ret = store_commit(lease, point, &result, &data, &meta, err);
	if (ret == 0 && result != STORE_COMMITTED)
		ret = err_set(err, ERR_NOTFOUND, "%zu chunks and %zu nodes are missing",
		    data.len / CHUNK_ID_LEN, meta.len / CHUNK_ID_LEN);
	rig_agent_end(&a);
	store_lease_close(lease);
	buf_free(&bad);
	buf_free(&data);
	buf_free(&meta);
	return ret;
}

/* The same without facts. */
static inline int
rig_backup(struct store *s, const char *host, const struct rig_volume *v,
    struct store_point *point, struct err *err)
{
	const struct buf none = BUF_INIT(0);

	return rig_backup_facts(s, host, v, &none, point, err);
}

/* ------------------------------------------------------------- reading back -- */

struct rig_reader {
	struct store_lease *lease;
	const struct chunk_keys *keys;
	const struct rig_volume *v;
	struct codec *codec;
	struct buf bytes;
	struct store_place place; /* Of the group below. */
	struct group group;
	uint8_t *plain;
	uint64_t next; /* Where the next extent must start. */
	struct err *err;
};

/* Have the group at `place` decoded and proven; it is usually the last one. */
static inline int
rig_read_group(struct rig_reader *r, const struct store_place *place)
{
	if (r->plain != NULL && r->place.pack == place->pack &&
	    r->place.offset == place->offset)
		return 0;
	free(r->plain);
	r->plain = NULL;
	if (store_group(r->lease, place, &r->bytes, r->err) != 0 ||
	    group_parse(r->bytes.p, r->bytes.len, &r->group, r->err) != 0)
		return -1;
	r->plain = malloc(r->group.plain_len);
	assert_non_null(r->plain);
	if (group_decode(r->codec, &r->group, r->plain, r->err) != 0 ||
	    group_prove(&r->group, r->keys, r->plain, r->err) != 0) {
		free(r->plain);
		r->plain = NULL;
		return -1;
	}
	r->place = *place;
	return 0;
}

static inline int
rig_read_chunk(struct rig_reader *r, const struct extent *e, uint32_t seed)
{
	uint8_t content[RIG_BLOCK], found;
	struct store_place place;
	struct group_entry entry;

	if (store_locate(r->lease, CHUNK_DATA, &e->id, 1, &place, &found, r->err) != 0)
		return -1;
	if (!found)
		return err_set(r->err, ERR_NOTFOUND, "the chunk at %llu is not there",
		    (unsigned long long)e->offset);
	if (rig_read_group(r, &place) != 0)
		return -1;
	rig_content(seed, content);
	for (uint32_t i = 0; i < r->group.count; i++) {
		group_entry(&r->group, i, &entry);
		if (chunk_id_cmp(&entry.id, &e->id) == 0 &&
		    memcmp(r->plain + entry.offset, content, RIG_BLOCK) == 0)
			return 0;
	}
	return err_set(r->err, ERR_CORRUPT, "the chunk at %llu is another",
	    (unsigned long long)e->offset);
}

/* Every block of the extent is of its kind; data is what it was. */
static inline int
rig_read_extent(void *arg, const struct extent *e)
{
	static const enum extent_kind kinds[] = { EXTENT_HOLE, EXTENT_ZERO,
		EXTENT_EXCLUDED };
	struct rig_reader *r = arg;

	assert_int_equal(e->offset, r->next);
	r->next += e->len;
	assert_int_equal(e->len % RIG_BLOCK, 0);
	for (uint64_t i = 0; i < e->len / RIG_BLOCK; i++) {
		uint32_t seed = r->v->blocks[e->offset / RIG_BLOCK + i];

		assert_int_equal(e->kind, seed < 3 ? kinds[seed] : EXTENT_DATA);
		if (seed >= 3 && rig_read_chunk(r, e, seed) != 0)
			return -1;
	}
	return 0;
}

/* Is the point's volume `i` exactly `v`? */
static inline int
rig_verify(struct store *s, const struct store_point *p, uint32_t i,
    const struct rig_volume *v, struct err *err)
{
	struct rig_reader r = { .keys = store_keys(s), .v = v, .err = err };
	struct tree_walk *w = NULL;
	int ret;

	r.bytes.max = GROUP_LEN_MAX;
	r.codec = codec_new();
	assert_non_null(r.codec);
	ret = store_lease_open(s, p->host, STORE_READ, &r.lease, err);
	if (ret == 0)
		ret =
		    tree_walk_open(&p->volumes[i].root_id, store_node, r.lease, &w, err);
	if (ret == 0 && tree_walk_root(w)->size != (uint64_t)v->n * RIG_BLOCK)
		ret = err_set(err, ERR_CORRUPT, "the volume has another size");
	for (uint64_t n = 0; ret == 0 && n < tree_spans((uint64_t)v->n * RIG_BLOCK); n++)
		ret = tree_walk_span(w, n, rig_read_extent, &r, err);
	if (ret == 0 && r.next != (uint64_t)v->n * RIG_BLOCK)
		ret = err_set(err, ERR_CORRUPT, "the volume ends early");
	tree_walk_close(w);
	store_lease_close(r.lease);
	codec_free(r.codec);
	buf_free(&r.bytes);
	free(r.plain);
	return ret;
}

/* Blocks `from`.. of a volume: seeds that no other call with another `tag` has. */
static inline void
rig_fill(uint32_t *blocks, uint32_t n, uint32_t tag)
{
	for (uint32_t i = 0; i < n; i++)
		blocks[i] = tag * 1000003u + i + 3;
}

#endif /* TESTS_UNIT_STORAGE_STORE_RIG_H */
