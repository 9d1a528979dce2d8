/* Commit: what is missing is named, what breaks the rules is refused, nothing is
 * recorded. */
#include "tests/unit/storage/store_lease_rig.h"

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

/* What a later server reads in a root must have been checked by the one that took it. */
static void
test_a_root_with_what_we_do_not_know_makes_no_point(void **state)
{
	static const uint8_t field[] = { 1, 0, 2, 0, 0, 0, 'h', 'i' };
	enum store_commit_result result;
	struct here *h = *state;
	uint8_t root[200];
	struct nodes n;

	send_data(h, &n, 0);
	for (unsigned i = 0; i < 3; i++)
		(void)put_node(h, n.p[i], n.len[i]);
	assert_int_equal(n.len[3], 144);
	for (int i = 0; i < 2; i++) {
		memcpy(root, n.p[3], n.len[3]);
		if (i == 0)
			root[54] = 1;
		else
			memcpy(root + n.len[3], field, sizeof(field));
		h->p->volumes[0].root_id =
		    put_node(h, root, n.len[3] + (i == 0 ? 0 : sizeof(field)));
		assert_int_equal(commit(h, &result), -1);
		assert_int_equal(h->err.code, ERR_UNSUPPORTED);
		assert_non_null(strstr(h->err.text, "does not know"));
		err_clear(&h->err);
		nothing_recorded(h);
	}
	h->p->volumes[0].root_id = put_node(h, n.p[3], n.len[3]);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
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
			assert_true(
			    h->err.code == ERR_CORRUPT || h->err.code == ERR_UNSUPPORTED);
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
	memcpy(p, "HFI1", 4);
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
		T(test_a_root_with_what_we_do_not_know_makes_no_point),
		T(test_a_tree_that_is_too_deep_is_refused),
		T(test_only_volumes_that_were_begun_once_each),
		T(test_a_tree_of_copies_is_walked_once),
		T(test_chosen_ids_do_not_make_it_slow),
		T(test_a_shared_subtree_cannot_carry_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
