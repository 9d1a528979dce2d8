/* Commit: what is missing is named, what breaks the rules is refused, nothing is
 * recorded. */
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

static int
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
	for (uint32_t i = 64; i < BLOCKS; i++)
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

static int
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

static int
commit(struct here *h, enum store_commit_result *result)
{
	return store_commit(h->lease, h->p, result, &h->data, &h->meta, &h->err);
}

static void
nothing_recorded(struct here *h)
{
	struct store_point *q = malloc(sizeof(*q));
	struct err err = ERR_INIT;

	assert_non_null(q);
	assert_int_equal(store_point_get(h->s, "alpha", 0, q, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	free(q);
}

static void
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
static struct chunk_id
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

static int
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

static void
free_nodes(struct nodes *n)
{
	for (unsigned i = 0; i < n->n; i++)
		free(n->p[i]);
}

/* Send the data, but keep the nodes; `lie` is added to what chunks are long. */
static void
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

static void
test_missing_nodes_are_named_and_then_it_commits(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct nodes n;

	send_data(h, &n, 0);
	h->p->volumes[0].root_id = n.id[3];
	for (int i = 3; i >= 0; i--) {
		rig_ok(commit(h, &result), &h->err);
		assert_int_equal(result, STORE_MISSING);
		assert_int_equal(h->data.len, 0);
		/* Both leaves are missing at once when their parent is there. */
		assert_int_equal(h->meta.len, i == 1 ? 64 : 32);
		assert_memory_equal(
		    h->meta.p + (i == 1 ? 32 : 0), n.id[i].b, CHUNK_ID_LEN);
		nothing_recorded(h);
		(void)put_node(h, n.p[i], n.len[i]);
	}
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
	free_nodes(&n);
}

static void
test_missing_chunks_are_named_once_each(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct tree_builder *tree;
	struct tree_root root;
	struct chunk_id root_id;

	rig_root(&root, h->v.n);
	tree = tree_builder_new(h->a.keys, &root, rig_emit, &h->a);
	assert_non_null(tree);
	for (uint32_t i = 0; i < h->v.n; i++) {
		struct extent e = { .offset = (uint64_t)i * RIG_BLOCK, .len = RIG_BLOCK };

		/* Forty ids over and over, none of them stored. */
		e.kind = EXTENT_DATA;
		e.chunk_len = RIG_BLOCK;
		memset(e.id.b, (int)(i % 40) + 1, sizeof(e.id.b));
		rig_ok(tree_builder_add(tree, &e, &h->err), &h->err);
	}
	rig_ok(tree_builder_finish(tree, &root_id, &h->err), &h->err);
	tree_builder_free(tree);
	rig_ok(rig_flush(&h->a, h->a.meta, &h->err), &h->err);
	h->p->volumes[0].root_id = root_id;
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_MISSING);
	assert_int_equal(h->data.len, 40 * CHUNK_ID_LEN);
	assert_int_equal(h->meta.len, 0);
	/* A short list is filled as far as it goes. */
	h->data.max = 10 * CHUNK_ID_LEN;
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_MISSING);
	assert_int_equal(h->data.len, 10 * CHUNK_ID_LEN);
	nothing_recorded(h);
}

static void
test_a_chunk_of_another_length_is_refused(void **state)
{
	struct here *h = *state;
	struct nodes n;

	send_data(h, &n, 512);
	for (unsigned i = 0; i < n.n; i++)
		(void)put_node(h, n.p[i], n.len[i]);
	h->p->volumes[0].root_id = n.id[3];
	must_refuse(h, "the tree says chunk");
	free_nodes(&n);
}

/* In the root: a child is an id of 32 bytes and four sums of 8. */
static void
test_wrong_sums_are_refused(void **state)
{
	struct here *h = *state;
	struct nodes n;
	uint8_t *inner;
	size_t at;

	send_data(h, &n, 0);
	for (unsigned i = 0; i < 2; i++)
		(void)put_node(h, n.p[i], n.len[i]);
	/* The parent tells of one block more data and one less hole in the first leaf. */
	inner = n.p[2];
	at = n.len[2] - 2 * 64 + 32;
	store_le64(inner + at, load_le64(inner + at) - RIG_BLOCK);
	store_le64(inner + at + 24, load_le64(inner + at + 24) + RIG_BLOCK);
	{
		struct chunk_id id = put_node(h, inner, n.len[2]);
		uint8_t *root = n.p[3];
		size_t top = 0;

		for (size_t i = 0; i + 32 <= n.len[3]; i++)
			if (memcmp(root + i, n.id[2].b, 32) == 0)
				top = i;
		assert_true(top > 0);
		memcpy(root + top, id.b, 32);
		/* First with the root's sums as they were, then as the parent lies. */
		h->p->volumes[0].root_id = put_node(h, root, n.len[3]);
		must_refuse(h, "sums");
		store_le64(root + top + 32, load_le64(root + top + 32) - RIG_BLOCK);
		store_le64(root + top + 56, load_le64(root + top + 56) + RIG_BLOCK);
		h->p->volumes[0].root_id = put_node(h, root, n.len[3]);
		must_refuse(h, "sums");
	}
	free_nodes(&n);
}

static void
test_nodes_of_another_kind_or_level_are_refused(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct chunk_id id;
	struct nodes n;

	send_data(h, &n, 0);
	for (unsigned i = 0; i < n.n; i++)
		(void)put_node(h, n.p[i], n.len[i]);
	/* A leaf, or an inner node, as the root. */
	h->p->volumes[0].root_id = n.id[0];
	must_refuse(h, "root");
	h->p->volumes[0].root_id = n.id[2];
	must_refuse(h, "root");
	/* A leaf where an inner node belongs. */
	for (size_t i = 0; i + 32 <= n.len[3]; i++)
		if (memcmp(n.p[3] + i, n.id[2].b, 32) == 0)
			memcpy(n.p[3] + i, n.id[0].b, 32);
	h->p->volumes[0].root_id = put_node(h, n.p[3], n.len[3]);
	must_refuse(h, "inner node");
	/* Data can never be taken for a node: its id is of another key. */
	chunk_id_of(h->a.keys, CHUNK_DATA, n.p[3], n.len[3], &id);
	rig_ok(rig_send(&h->a, CHUNK_DATA, &id, n.p[3], n.len[3], &h->err), &h->err);
	rig_ok(rig_flush(&h->a, h->a.data, &h->err), &h->err);
	h->p->volumes[0].root_id = id;
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_MISSING);
	assert_int_equal(h->meta.len, CHUNK_ID_LEN);
	nothing_recorded(h);
	free_nodes(&n);
}

static void
test_a_tree_that_is_too_deep_is_refused(void **state)
{
	struct here *h = *state;
	struct nodes n;

	send_data(h, &n, 0);
	for (unsigned i = 0; i < n.n; i++)
		(void)put_node(h, n.p[i], n.len[i]);
	/* Every byte of the root changed, one at a time: refused or missing, never a
	 * point. */
	for (size_t i = 0; i < n.len[3]; i++) {
		enum store_commit_result result = STORE_MISSING;
		uint8_t was = n.p[3][i];
		int ret;

		n.p[3][i] ^= 2;
		h->p->volumes[0].root_id = put_node(h, n.p[3], n.len[3]);
		n.p[3][i] = was;
		ret = commit(h, &result);
		if (ret == -1) {
			assert_int_equal(h->err.code, ERR_CORRUPT);
			err_clear(&h->err);
		} else if (result == STORE_COMMITTED) {
			/* Only what says nothing about the tree may differ. */
			assert_true(strcmp(h->p->volumes[0].fs, "raw") != 0 ||
				    strcmp(h->p->volumes[0].provider, "offline") != 0 ||
				    h->p->volumes[0].grade != 0 ||
				    h->p->volumes[0].sector_size != 512 || i > 40);
		}
	}
	free_nodes(&n);
}

static void
test_only_volumes_that_were_begun_once_each(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct chunk_id root;

	rig_ok(rig_volume_put(&h->a, &h->v, &root, &h->err), &h->err);
	h->p->volumes[0].root_id = root;
	memcpy(h->p->volumes[0].name, "X", 2);
	assert_int_equal(commit(h, &result), -1);
	assert_int_equal(h->err.code, ERR_PROTOCOL);
	err_clear(&h->err);
	h->p->volumes_count = 2;
	for (int i = 0; i < 2; i++) {
		memcpy(h->p->volumes[i].name, "C", 2);
		h->p->volumes[i].root_id = root;
	}
	assert_int_equal(commit(h, &result), -1);
	assert_int_equal(h->err.code, ERR_PROTOCOL);
	err_clear(&h->err);
	h->p->volumes_count = 0;
	assert_int_equal(commit(h, &result), -1);
	assert_int_equal(h->err.code, ERR_PROTOCOL);
	err_clear(&h->err);
	nothing_recorded(h);
	h->p->volumes_count = 2;
	memcpy(h->p->volumes[1].name, "D", 2);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
	rig_ok(rig_verify(h->s, h->p, 1, &h->v, &h->err), &h->err);
}

/* ------------------------------------------------------------- hostile trees -- */

#define WIDE_BYTES ((uint64_t)1 << 44) /* 1024 * 1024 spans. */

/* A node of `level` over nothing but copies of one child. */
static void
put_copies(struct here *h, struct tree_child *c)
{
	static uint8_t p[8 + TREE_FANOUT * 64];

	memset(p, 0, sizeof(p));
	memcpy(p, "HFI0", 4);
	store_le16(p + 4, TREE_FANOUT);
	for (size_t i = 0; i < TREE_FANOUT; i++) {
		uint8_t *at = p + 8 + i * 64;

		memcpy(at, c->id.b, CHUNK_ID_LEN);
		store_le64(at + 32, c->sums.hole);
		store_le64(at + 40, c->sums.zero);
		store_le64(at + 48, c->sums.excluded);
		store_le64(at + 56, c->sums.data);
	}
	c->id = put_node(h, p, sizeof(p));
	c->sums.hole *= TREE_FANOUT;
	c->sums.zero *= TREE_FANOUT;
	c->sums.excluded *= TREE_FANOUT;
	c->sums.data *= TREE_FANOUT;
}

/* A volume of a million like spans, each with block `seed`, in four nodes. */
static struct chunk_id
put_wide(struct here *h, uint32_t seed, int with_data)
{
	struct tree_builder *tree;
	struct tree_root root;
	struct chunk_id root_id, id;
	struct tree_child child = { .sums = { .data = RIG_BLOCK } };
	struct extent e = { .len = RIG_BLOCK, .kind = EXTENT_DATA };
	uint8_t content[RIG_BLOCK], p[144];
	struct nodes n = { 0 };

	rig_content(seed, content);
	chunk_id_of(h->a.keys, CHUNK_DATA, content, RIG_BLOCK, &e.id);
	e.chunk_len = RIG_BLOCK;
	if (with_data) {
		rig_ok(rig_send(&h->a, CHUNK_DATA, &e.id, content, RIG_BLOCK, &h->err),
		    &h->err);
		rig_ok(rig_flush(&h->a, h->a.data, &h->err), &h->err);
	}
	/* The library makes the leaf and a root of one span. */
	rig_root(&root, TREE_SPAN_LEN / RIG_BLOCK);
	tree = tree_builder_new(h->a.keys, &root, keep_node, &n);
	assert_non_null(tree);
	rig_ok(tree_builder_add(tree, &e, &h->err), &h->err);
	e = (struct extent){
		.offset = RIG_BLOCK, .len = TREE_SPAN_LEN - RIG_BLOCK, .kind = EXTENT_HOLE
	};
	rig_ok(tree_builder_add(tree, &e, &h->err), &h->err);
	rig_ok(tree_builder_finish(tree, &root_id, &h->err), &h->err);
	tree_builder_free(tree);
	assert_int_equal(n.n, 2);
	assert_int_equal(n.len[1], sizeof(p));
	child.id = put_node(h, n.p[0], n.len[0]);
	child.sums.hole = TREE_SPAN_LEN - RIG_BLOCK;
	put_copies(h, &child);
	put_copies(h, &child);
	memcpy(p, n.p[1], sizeof(p));
	store_le64(p + 8, WIDE_BYTES);
	p[49] = 2;
	memcpy(p + 80, child.id.b, CHUNK_ID_LEN);
	store_le64(p + 112, child.sums.hole);
	store_le64(p + 136, child.sums.data);
	id = put_node(h, p, sizeof(p));
	free_nodes(&n);
	return id;
}

static int
count_nodes(void *arg, const struct chunk_id *id)
{
	(void)id;
	return ++*(unsigned *)arg > 1000;
}

/* Check the tree at `root_id` with room to remember `max` nodes; how many were read. */
static unsigned
nodes_read(struct here *h, const struct chunk_id *root_id, uint32_t max)
{
	unsigned met = 0;
	struct store_volume v;
	struct store_check check = { .lease = h->lease,
		.checked = store_nodes_new(max),
		.data_ids = &h->data,
		.meta_ids = &h->meta,
		.node = count_nodes,
		.arg = &met };
	struct tree_sums sums = { 0, 0, 0, 0 };

	assert_non_null(check.checked);
	for (uint32_t i = 0; i < max; i++) {
		struct chunk_id id = { { 0 } };

		store_le32(id.b, i);
		store_nodes_add(check.checked, &id, 0, TREE_SPAN_LEN, &sums);
	}
	buf_clear(&h->data);
	buf_clear(&h->meta);
	rig_ok(store_packs_sync(h->s->packs, &h->err), &h->err);
	(void)store_check_tree(&check, root_id, &v, &h->err);
	assert_int_equal(h->err.code, ERR_NONE);
	store_nodes_free(check.checked);
	return met;
}

static void
test_a_tree_of_copies_is_walked_once(void **state)
{
	struct here *h = *state;
	struct chunk_id whole = put_wide(h, 1001, 1), lacking = put_wide(h, 1002, 0);

	assert_int_equal(nodes_read(h, &whole, 8), 4);
	assert_int_equal(h->data.len, 0);
	/* Also if a chunk of all its copies is missing. */
	assert_int_equal(nodes_read(h, &lacking, 8), 4);
	assert_int_equal(h->data.len, CHUNK_ID_LEN);
}

static void
test_chosen_ids_do_not_make_it_slow(void **state)
{
	struct store_nodes *n = store_nodes_new(1u << 17);
	struct tree_sums sums = { 0, 0, 0, 0 };
	struct chunk_id id = { { 0 } };
	clock_t began = clock();

	(void)state;
	assert_non_null(n);
	for (uint32_t i = 0; i < 90000; i++) {
		store_le32(id.b + 8, i);
		assert_int_equal(store_nodes_get(n, &id, 2, 0, &sums), 0);
		store_nodes_add(n, &id, 2, 0, &sums);
		/* Not a matter of luck: milliseconds, or half a minute. */
		assert_true(i % 1000 != 0 || clock() - began < 4 * CLOCKS_PER_SEC);
	}
	store_nodes_free(n);
}

static void
test_a_shared_subtree_cannot_carry_lies(void **state)
{
	static const char *const names[] = { "C" };
	struct here *h = *state;
	enum store_commit_result result;
	struct store_base base;
	struct nodes n;

	send_data(h, &n, 0);
	for (unsigned i = 0; i < n.n; i++)
		(void)put_node(h, n.p[i], n.len[i]);
	h->p->volumes[0].root_id = n.id[3];
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	store_lease_close(h->lease);
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	rig_ok(store_backup_begin(h->lease, names, 1, &base, &h->bad, &h->err), &h->err);
	assert_int_equal(base.known, 1);
	assert_memory_equal(&base.root_id, &n.id[3], sizeof(base.root_id));
	h->a.lease = h->lease;
	/* The same top node as the base's, with sums that are not its. */
	for (size_t i = 0; i + 64 <= n.len[3]; i++) {
		if (memcmp(n.p[3] + i, n.id[2].b, 32) != 0)
			continue;
		store_le64(n.p[3] + i + 32, load_le64(n.p[3] + i + 32) - RIG_BLOCK);
		store_le64(n.p[3] + i + 40, load_le64(n.p[3] + i + 40) + RIG_BLOCK);
	}
	h->p->volumes[0].root_id = put_node(h, n.p[3], n.len[3]);
	assert_int_equal(commit(h, &result), -1);
	assert_int_equal(h->err.code, ERR_CORRUPT);
	err_clear(&h->err);
	free_nodes(&n);
}

/* --------------------------------------------------------------- bad groups -- */

struct problems {
	unsigned n;
	char text[4][400];
};

static int
hear(void *arg, const struct store_verify_report *r, const char *problem)
{
	struct problems *p = arg;

	(void)r;
	if (problem != NULL && p->n < 4)
		(void)snprintf(p->text[p->n++], sizeof(p->text[0]), "%s", problem);
	return 0;
}

static int
stop(void *arg, const struct store_verify_report *r, const char *problem)
{
	(void)arg;
	(void)r;
	(void)problem;
	return 1;
}

static void
test_a_rotten_group_is_found_told_and_healed(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct store_verify_report report;
	struct store_place place;
	struct problems problems = { 0 };
	struct chunk_id root, id;
	struct fs_file *f;
	uint8_t content[RIG_BLOCK], found, byte;
	struct store_stats stats;
	char name[64];

	rig_ok(rig_volume_put(&h->a, &h->v, &root, &h->err), &h->err);
	h->p->volumes[0].root_id = root;
	rig_ok(commit(h, &result), &h->err);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(problems.n, 0);
	assert_int_equal(report.points_checked, 1);
	assert_true(report.groups > 1);
	assert_int_equal(report.bytes, report.bytes_total);
	assert_int_equal(store_verify(h->s, 0, 1, stop, NULL, &report, &h->err), -1);
	assert_int_equal(h->err.code, ERR_CANCELED);
	err_clear(&h->err);

	/* Flip a bit in the data of the group that holds block 0. */
	rig_content(h->blocks[0], content);
	chunk_id_of(h->a.keys, CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(
	    store_locate(h->lease, CHUNK_DATA, &id, 1, &place, &found, &h->err), &h->err);
	assert_int_equal(found, 1);
	(void)snprintf(name, sizeof(name), "packs/%08x.pack", place.pack);
	rig_ok(fs_open(h->s->fs, name, FS_READ | FS_WRITE, &f, &h->err), &h->err);
	rig_ok(fs_read_all(f, &byte, 1, place.offset + 5000, &h->err), &h->err);
	byte ^= 8;
	rig_ok(fs_pwrite(f, &byte, 1, place.offset + 5000, &h->err), &h->err);
	fs_close(f);

	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(report.bad_groups, 1);
	assert_int_equal(problems.n, 2);
	assert_non_null(strstr(problems.text[0], "pack "));
	assert_non_null(strstr(problems.text[1], "alpha point 1 volume C"));
	rig_ok(
	    store_locate(h->lease, CHUNK_DATA, &id, 1, &place, &found, &h->err), &h->err);
	assert_int_equal(found, 0);
	rig_ok(store_stats(h->s, &stats, &h->err), &h->err);
	assert_int_equal(stats.quarantined, 1);

	/* The next backup hears of it, and sending it again heals it. */
	for (int again = 0; again < 2; again++) {
		static const char *const names[] = { "C" };
		struct store_base base;

		rig_agent_end(&h->a);
		store_lease_close(h->lease);
		store_close(h->s);
		h->lease = NULL;
		rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
		rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err),
		    &h->err);
		buf_clear(&h->bad);
		rig_ok(store_backup_begin(h->lease, names, 1, &base, &h->bad, &h->err),
		    &h->err);
		assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
		if (again) {
			assert_int_equal(h->bad.len, 0);
			break;
		}
		assert_true(h->bad.len >= CHUNK_ID_LEN);
		/* A tree that shares what is lost does not become a point. */
		rig_ok(commit(h, &result), &h->err);
		assert_int_equal(result, STORE_MISSING);
		assert_int_equal(h->data.len, h->bad.len);
		rig_ok(rig_volume_put(&h->a, &h->v, &root, &h->err), &h->err);
		rig_ok(commit(h, &result), &h->err);
		assert_int_equal(result, STORE_COMMITTED);
		rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
	}
}

/* Change the byte `back` bytes before a file's end. */
static void
spoil_end(const char *dir, const char *name, long back)
{
	char path[160];
	FILE *f;
	int c;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, -back, SEEK_END), 0);
	c = fgetc(f);
	assert_int_equal(fseek(f, -back, SEEK_END), 0);
	fputc(c ^ 1, f);
	fclose(f);
}

static void
test_a_lost_pack_or_footer_does_not_keep_the_store_shut(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct problems problems = { 0 };
	struct store_verify_report report;
	struct chunk_id root;
	char path[160];

	rig_ok(rig_volume_put(&h->a, &h->v, &root, &h->err), &h->err);
	h->p->volumes[0].root_id = root;
	rig_ok(commit(h, &result), &h->err);
	rig_agent_end(&h->a);
	store_lease_close(h->lease);
	h->lease = NULL;
	store_close(h->s);
	/* The index gone and a footer rotten: its groups are found by walking. */
	(void)snprintf(path, sizeof(path), "%s/index/MANIFEST", h->dir);
	assert_int_equal(unlink(path), 0);
	spoil_end(h->dir, "packs/00000001.pack", 100);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	assert_non_null(strstr(store_opened(h->s), "damaged footer"));
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(problems.n, 1);
	store_close(h->s);
	/* The file gone: it is said, verify names the point. */
	(void)snprintf(path, sizeof(path), "%s/packs/00000001.pack", h->dir);
	assert_int_equal(unlink(path), 0);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	assert_non_null(strstr(store_opened(h->s), "1 PACKS ARE MISSING"));
	memset(&problems, 0, sizeof(problems));
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(problems.n, 2);
	assert_non_null(strstr(problems.text[1], "alpha point 1 volume C"));
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
}

/* Change `n` bytes of a file of the store; a negative offset counts from its end. */
static void
spoil(struct here *h, const char *name, int64_t offset, size_t n)
{
	struct fs_file *f;
	uint64_t len;
	uint8_t p[64];

	assert_true(n <= sizeof(p));
	rig_ok(fs_open(h->s->fs, name, FS_READ | FS_WRITE, &f, &h->err), &h->err);
	rig_ok(fs_size(f, &len, &h->err), &h->err);
	if (offset < 0)
		offset += (int64_t)len;
	rig_ok(fs_read_all(f, p, n, (uint64_t)offset, &h->err), &h->err);
	for (size_t i = 0; i < n; i++)
		p[i] ^= 0x55;
	rig_ok(fs_pwrite(f, p, n, (uint64_t)offset, &h->err), &h->err);
	fs_close(f);
}

/* Commit the volume, seal its packs; where block 0 lies, and its id. */
static void
commit_and_seal(struct here *h, struct store_place *place, struct chunk_id *id)
{
	enum store_commit_result result;
	uint8_t content[RIG_BLOCK], found;

	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(store_packs_seal(h->s->packs, &h->err), &h->err);
	rig_content(h->blocks[0], content);
	chunk_id_of(h->a.keys, CHUNK_DATA, content, RIG_BLOCK, id);
	rig_ok(
	    store_locate(h->lease, CHUNK_DATA, id, 1, place, &found, &h->err), &h->err);
	assert_int_equal(found, 1);
}

/* Begin again on what was just committed; with `reopen` after opening the store again. */
static void
begin_again(struct here *h, int reopen)
{
	static const char *const names[] = { "C" };
	struct store_base base;

	rig_agent_end(&h->a);
	store_lease_close(h->lease);
	h->lease = NULL;
	if (reopen) {
		store_close(h->s);
		h->s = NULL;
		rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	}
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	rig_ok(store_backup_begin(h->lease, names, 1, &base, &h->bad, &h->err), &h->err);
	assert_int_equal(base.known, 1);
	assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
}

static void
test_a_loss_that_cannot_be_named_is_still_one(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct store_place place;
	struct chunk_id id;
	char name[64];

	commit_and_seal(h, &place, &id);
	rig_ok(store_quarantine(h->s, place.pack, place.offset, &h->err), &h->err);
	(void)snprintf(name, sizeof(name), "packs/%08x.pack", place.pack);
	/* Neither the footer nor the group tells any more whose bytes they were. */
	spoil(h, name, -1, 1);
	spoil(h, name, place.offset, 4);
	begin_again(h, 1);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_MISSING);
	assert_true(h->data.len > 0);
	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
}

static void
test_what_recovery_had_to_leave_out_is_missing(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	uint8_t content[RIG_BLOCK], found;
	struct store_place place;
	char name[64], command[200], copy[70];
	struct chunk_id id;

	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_content(h->blocks[0], content);
	chunk_id_of(h->a.keys, CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(
	    store_locate(h->lease, CHUNK_DATA, &id, 1, &place, &found, &h->err), &h->err);
	assert_int_equal(found, 1);
	(void)snprintf(name, sizeof(name), "packs/%08x.open", place.pack);
	spoil(h, name, place.offset + 5000, 1);
	/* As a kill leaves it: the pack is still open. */
	(void)snprintf(copy, sizeof(copy), "%s.2", h->dir);
	(void)snprintf(command, sizeof(command), "cp -r '%s' '%s'", h->dir, copy);
	assert_int_equal(system(command), 0);
	rig_remove(h->dir);
	memcpy(h->dir, copy, sizeof(h->dir) - 1);
	for (int round = 0; round < 2; round++) {
		begin_again(h, 1);
		rig_ok(commit(h, &result), &h->err);
		assert_int_equal(result, STORE_MISSING);
		assert_true(h->data.len > 0);
	}
	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
}

static void
test_a_pack_that_verify_finds_lost_does_not_count(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct store_verify_report report;
	struct problems problems = { 0 };
	struct store_place place;
	struct chunk_id id;
	uint8_t answer;
	char name[64];

	commit_and_seal(h, &place, &id);
	(void)snprintf(name, sizeof(name), "packs/%08x.pack", place.pack);
	if (h->blocks[0] % 2 == 0)
		spoil(h, name, 0, 4);
	else
		rig_ok(fs_unlink(h->s->fs, name, &h->err), &h->err);
	begin_again(h, 0);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(report.bad_groups, 1);
	/* The pack is told, and the point that has lost it. */
	assert_int_equal(problems.n, 2);
	rig_ok(store_have(h->lease, CHUNK_DATA, &id, 1, &answer, &h->err), &h->err);
	assert_int_equal(answer, STORE_NEED);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_MISSING);
	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	begin_again(h, 1);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
}

static void
test_a_pack_without_its_header_does_not_count(void **state)
{
	struct here *h = *state;

	h->blocks[0]++; /* The other half of the test above. */
	test_a_pack_that_verify_finds_lost_does_not_count(state);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_missing_nodes_are_named_and_then_it_commits),
		T(test_missing_chunks_are_named_once_each),
		T(test_a_chunk_of_another_length_is_refused),
		T(test_wrong_sums_are_refused),
		T(test_nodes_of_another_kind_or_level_are_refused),
		T(test_a_tree_that_is_too_deep_is_refused),
		T(test_only_volumes_that_were_begun_once_each),
		T(test_a_tree_of_copies_is_walked_once),
		T(test_chosen_ids_do_not_make_it_slow),
		T(test_a_shared_subtree_cannot_carry_lies),
		T(test_a_rotten_group_is_found_told_and_healed),
		T(test_a_lost_pack_or_footer_does_not_keep_the_store_shut),
		T(test_a_loss_that_cannot_be_named_is_still_one),
		T(test_what_recovery_had_to_leave_out_is_missing),
		T(test_a_pack_that_verify_finds_lost_does_not_count),
		T(test_a_pack_without_its_header_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
