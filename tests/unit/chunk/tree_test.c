/*
 * Trees: what is built is walked back, and equal spans are equal nodes.
 */
#include <time.h>

#include "tests/unit/chunk/tree_fixture.h"

static void
geometry_follows_the_size(void **state)
{
	(void)state;
	assert_int_equal(tree_levels(512), 0);
	assert_int_equal(tree_levels(TREE_SPAN_LEN), 0);
	assert_int_equal(tree_levels(TREE_SPAN_LEN + 1), 1);
	assert_int_equal(tree_levels(16 * GIB), 1);
	assert_int_equal(tree_levels(16 * GIB + 1), 2);
	assert_int_equal(tree_levels(16 * TIB), 2);
	assert_int_equal(tree_levels(16 * TIB + 1), 3);
	assert_int_equal(tree_levels(TREE_SIZE_MAX), TREE_LEVELS_MAX - 1);
	assert_int_equal(tree_levels(UINT64_MAX), TREE_LEVELS_MAX - 1);
	assert_int_equal(tree_spans(512), 1);
	assert_int_equal(tree_spans(16 * GIB), 1024);
	assert_int_equal(tree_spans(16 * GIB + 1), 1025);
	assert_true(tree_spans(UINT64_MAX) == (uint64_t)1 << 40);
	assert_int_equal(tree_covers(1000, 0, 0), 1000);
	assert_int_equal(tree_covers(1000, 0, 1), 0);
	assert_int_equal(tree_covers(TREE_SPAN_LEN, 0, 1), 0);
	assert_int_equal(tree_covers(TREE_SPAN_LEN + 5, 0, 1), 5);
	assert_true(tree_covers(17 * GIB, 1, 0) == 16 * GIB);
	assert_true(tree_covers(17 * GIB, 1, 1) == GIB);
	assert_true(tree_covers(17 * GIB, 1, UINT64_MAX) == 0);
	assert_true(tree_covers(17 * GIB, 4, 0) == 0);
}

static void
round_trip(uint64_t size)
{
	struct list in = { 0 }, want = { 0 }, got = { 0 };
	struct store *s = store_new();
	struct chunk_id id;

	draw_list(&in, size);
	normal(&in, &want);
	build(s, size, &in, &id);
	walk_all(s, &id, &got);
	same_lists(&got, &want);
	free(in.e);
	free(want.e);
	free(got.e);
	store_free(s);
}

static void
what_is_built_is_walked_back(void **state)
{
	static const uint64_t sizes[] = { 512, 1024, 65536, TREE_SPAN_LEN - 512,
		TREE_SPAN_LEN, TREE_SPAN_LEN + 512, 3 * TREE_SPAN_LEN,
		7 * (uint64_t)TREE_SPAN_LEN + 512 * 99 };
	unsigned i, round;

	(void)state;
	for (round = 0; round < 6; round++)
		for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
			round_trip(sizes[i]);
}

static void
root_tells_what_the_volume_was(void **state)
{
	struct tree_root want = root_of(TREE_SPAN_LEN + 512);
	struct store *s = store_new();
	struct err err = ERR_INIT;
	struct list in = { 0 };
	const struct tree_root *r;
	struct tree_walk *w;
	struct chunk_id id;

	(void)state;
	draw_list(&in, want.size);
	build(s, want.size, &in, &id);
	assert_int_equal(tree_walk_open(&id, get, s, &w, &err), 0);
	r = tree_walk_root(w);
	assert_true(r->size == want.size);
	assert_int_equal(r->sector_size, 512);
	assert_string_equal(r->fs, "ntfs");
	assert_string_equal(r->provider, "offline");
	assert_int_equal(r->grade, TREE_APPLICATION);
	assert_memory_equal(r->nonce, want.nonce, 16);
	assert_int_equal(r->generation, 77);
	assert_int_equal(r->optional, 0);
	assert_int_equal(r->levels, 1);
	tree_walk_close(w);
	tree_walk_close(NULL);
	tree_builder_free(NULL);
	free(in.e);
	store_free(s);
}

/* An extent of data for the whole of a span, by its number in the volume. */
static void
add_span(struct list *l, uint64_t span, uint8_t what)
{
	uint32_t at;

	for (at = 0; at < TREE_SPAN_LEN; at += CHUNK_DATA_MAX) {
		struct extent e;

		memset(&e, 0, sizeof(e));
		e.kind = EXTENT_DATA;
		e.offset = span * TREE_SPAN_LEN + at;
		e.len = e.chunk_len = CHUNK_DATA_MAX;
		e.id.b[0] = what;
		store_le32(e.id.b + 1, at);
		put(l, &e);
	}
}

static void
equal_spans_are_equal_nodes(void **state)
{
	static const uint8_t what[] = { 1, 2, 1, 1, 2 };
	struct store *s = store_new();
	struct err err = ERR_INIT;
	struct tree_child leaf[5];
	struct list l = { 0 };
	struct tree_walk *w;
	struct chunk_id id;
	unsigned i, j;

	(void)state;
	for (i = 0; i < 5; i++)
		add_span(&l, i, what[i]);
	build(s, 5 * (uint64_t)TREE_SPAN_LEN, &l, &id);
	/* Leaves 1, 2, 1 (its repetition is not told again), 2, the inner node, the root.
	 */
	assert_int_equal(s->emitted, 6);
	assert_int_equal(chunk_id_cmp(&s->order[5], &id), 0);
	assert_int_equal(tree_walk_open(&id, get, s, &w, &err), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(tree_walk_leaf(w, i, &leaf[i], &err), 0);
	for (i = 0; i < 5; i++)
		for (j = 0; j < 5; j++)
			assert_int_equal(chunk_id_cmp(&leaf[i].id, &leaf[j].id) == 0,
			    what[i] == what[j]);
	/* Finding leaves fetched the root and one inner node. */
	assert_int_equal(s->fetched, 2);
	tree_walk_close(w);
	free(l.e);
	store_free(s);
}

/* An incremental image writes the leaves that changed and the nodes above them. */
static void
one_changed_span_shares_all_others(void **state)
{
	struct store *s = store_new();
	struct list l = { 0 };
	struct chunk_id a, b;
	unsigned i, before, fresh = 0;

	(void)state;
	for (i = 0; i < 1100; i++)
		add_span(&l, i, (uint8_t)i);
	build(s, 1100 * (uint64_t)TREE_SPAN_LEN, &l, &a);
	before = s->emitted;
	for (i = 0; i < SLOTS; i++)
		fresh -= s->slot[i].p != NULL;
	l.e[64 * 1050 + 3].id.b[9] = 1;
	build(s, 1100 * (uint64_t)TREE_SPAN_LEN, &l, &b);
	for (i = 0; i < SLOTS; i++)
		fresh += s->slot[i].p != NULL;
	assert_int_not_equal(chunk_id_cmp(&a, &b), 0);
	assert_int_equal(s->emitted, 2 * before);
	assert_int_equal(fresh, 4); /* Leaf, inner of level 1, of level 2, root. */
	free(l.e);
	store_free(s);
}

static void
a_vast_empty_volume_is_a_few_nodes(void **state)
{
	const uint64_t size = 64 * TIB + 512;
	struct tree_root r = root_of(size);
	struct store *s = store_new();
	struct err err = ERR_INIT;
	struct tree_builder *b = tree_builder_new(&s->keys, &r, keep, s);
	struct list got = { 0 };
	struct extent e;
	struct tree_walk *w;
	struct chunk_id id;
	clock_t start = clock();
	uint64_t n;

	(void)state;
	assert_non_null(b);
	memset(&e, 0, sizeof(e));
	for (; e.offset < size; e.offset += e.len) {
		e.len =
		    size - e.offset < 2 * GIB ? (uint32_t)(size - e.offset) : 2u << 30;
		assert_int_equal(tree_builder_add(b, &e, &err), 0);
	}
	assert_int_equal(tree_builder_finish(b, &id, &err), 0);
	tree_builder_free(b);
	/* Per level the full node and the one at the end; one top; the root. */
	assert_int_equal(s->emitted, 8);
	print_message("64 TiB of holes: %u nodes, %.2f s\n", s->emitted,
	    (double)(clock() - start) / CLOCKS_PER_SEC);
	assert_int_equal(tree_walk_open(&id, get, s, &w, &err), 0);
	assert_int_equal(tree_walk_root(w)->levels, 3);
	assert_true(tree_walk_root(w)->top.sums.hole == size);
	for (n = 0; n < tree_spans(size); n += 500009)
		assert_int_equal(tree_walk_span(w, n, put_each, &got, &err), 0);
	assert_int_equal(
	    tree_walk_span(w, tree_spans(size) - 1, put_each, &got, &err), 0);
	assert_int_equal(got.e[got.n - 1].len, 512);
	tree_walk_close(w);
	free(got.e);
	store_free(s);
}

/* ---------------------------------------------------------------- limits -- */

static void
refuse_add(struct tree_builder *b, const struct extent *e, enum err_code code)
{
	struct chunk_id id;
	struct err err = ERR_INIT;

	assert_non_null(b);
	assert_int_equal(tree_builder_add(b, e, &err), -1);
	assert_int_equal(err.code, code);
	/* It stays failed, with the same words. */
	err_clear(&err);
	assert_int_equal(tree_builder_finish(b, &id, &err), -1);
	assert_int_equal(err.code, code);
	tree_builder_free(b);
}

static void
builder_refuses_what_cannot_be(void **state)
{
	static const struct extent first = { EXTENT_ZERO, 0, 1000, 0, 0, 0, { { 0 } } };
	static const struct extent bad[] = {
		{ EXTENT_HOLE, 0, 24, 1001, 0, 0, { { 0 } } }, /* A gap, */
		{ EXTENT_HOLE, 0, 24, 999, 0, 0, { { 0 } } },  /* an overlap, */
		{ EXTENT_HOLE, 0, 25, 1000, 0, 0, { { 0 } } }, /* past the end, */
		{ EXTENT_HOLE, 0, 0, 1000, 0, 0, { { 0 } } },  /* empty; */
		{ EXTENT_HOLE, 1, 24, 1000, 0, 0, { { 0 } } }, /* a reason for a hole, */
		{ EXTENT_EXCLUDED, 64, 24, 1000, 0, 0, { { 0 } } }, /* too high a one; */
		{ (enum extent_kind)4, 0, 24, 1000, 0, 0, { { 0 } } },
		{ EXTENT_DATA, 0, 24, 1000, 0, 0, { { 0 } } },	/* No chunk, */
		{ EXTENT_DATA, 0, 24, 1000, 0, 23, { { 0 } } }, /* too short a one, */
		{ EXTENT_DATA, 0, 24, 1000, 1, 24, { { 0 } } },
		{ EXTENT_DATA, 0, 24, 1000, 0xffffffff, 24, { { 0 } } },
		{ EXTENT_DATA, 0, 24, 1000, 0, CHUNK_DATA_MAX + 1, { { 0 } } },
	};
	struct tree_root r = root_of(1024);
	struct store *s = store_new();
	struct err err = ERR_INIT;
	struct tree_builder *b;
	struct chunk_id id;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_non_null(b = tree_builder_new(&s->keys, &r, keep, s));
		assert_int_equal(tree_builder_add(b, &first, &err), 0);
		refuse_add(b, &bad[i], ERR_PROTOCOL);
	}
	/* Not all of the volume. */
	assert_non_null(b = tree_builder_new(&s->keys, &r, keep, s));
	assert_int_equal(tree_builder_add(b, &first, &err), 0);
	assert_int_equal(tree_builder_finish(b, &id, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	tree_builder_free(b);
	assert_int_equal(s->emitted, 0);
	store_free(s);
}

static void
builder_refuses_a_bad_root(void **state)
{
	static const struct extent hole = { EXTENT_HOLE, 0, 512, 0, 0, 0, { { 0 } } };
	struct tree_root bad[9];
	struct store *s = store_new();
	size_t i;

	(void)state;
	for (i = 0; i < 9; i++)
		bad[i] = root_of(4096);
	bad[0].size = 0;
	bad[1].size = 4097;
	bad[2].size = TREE_SIZE_MAX + 512;
	bad[3].sector_size = 256;
	bad[4].sector_size = 8192;
	bad[5].sector_size = 1000;
	memset(bad[6].fs, 'x', TREE_NAME_MAX);
	bad[7].provider[0] = '\n';
	bad[8].grade = (enum tree_grade)3;
	for (i = 0; i < 9; i++)
		refuse_add(
		    tree_builder_new(&s->keys, &bad[i], keep, s), &hole, ERR_PROTOCOL);
	store_free(s);
}

static void
a_span_holds_so_many_extents_and_no_more(void **state)
{
	struct tree_root r = root_of(2 * TREE_SPAN_LEN);
	struct store *s = store_new();
	struct err err = ERR_INIT;
	struct tree_builder *b = tree_builder_new(&s->keys, &r, keep, s);
	struct chunk_id id;
	struct extent e;
	uint32_t i;

	(void)state;
	assert_non_null(b);
	memset(&e, 0, sizeof(e));
	e.kind = EXTENT_DATA;
	e.len = 700;
	e.chunk_len = CHUNK_DATA_MAX;
	for (i = 0; i < TREE_LEAF_EXTENTS_MAX; i++) {
		assert_int_equal(tree_builder_span_extents(b), i);
		/* The longest form: every extent names another chunk, from its middle. */
		store_le32(e.id.b, i);
		e.chunk_offset = 200000;
		if (i == TREE_LEAF_EXTENTS_MAX - 1) {
			e.kind = EXTENT_HOLE;
			e.len = TREE_SPAN_LEN - (uint32_t)e.offset;
		}
		assert_int_equal(tree_builder_add(b, &e, &err), 0);
		e.offset += e.len;
	}
	assert_int_equal(tree_builder_span_extents(b), 0);
	e.len = 512;
	for (i = 0; i < TREE_LEAF_EXTENTS_MAX; i++, e.offset += e.len) {
		e.kind = i % 2 == 0 ? EXTENT_ZERO : EXTENT_HOLE;
		assert_int_equal(tree_builder_add(b, &e, &err), 0);
	}
	/* One that goes on is welcome; a new one is not. */
	assert_int_equal(tree_builder_add(b, &e, &err), 0);
	assert_int_equal(tree_builder_span_extents(b), TREE_LEAF_EXTENTS_MAX);
	e.offset += e.len;
	e.kind = EXTENT_EXCLUDED;
	assert_int_equal(tree_builder_add(b, &e, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	assert_int_equal(tree_builder_finish(b, &id, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	tree_builder_free(b);
	store_free(s);
}

static void
a_failed_emit_fails_the_builder(void **state)
{
	struct tree_root r = root_of(4 * TREE_SPAN_LEN);
	int at;

	(void)state;
	for (at = 1; at <= 4; at++) {
		struct store *s = store_new();
		struct tree_builder *b = tree_builder_new(&s->keys, &r, keep, s);
		struct err err = ERR_INIT;
		struct extent e;
		struct chunk_id id;
		int failed = 0;

		assert_non_null(b);
		memset(&e, 0, sizeof(e));
		s->fail_at = at;
		for (; e.offset < r.size; e.offset += e.len) {
			e.kind = e.offset == 0 ? EXTENT_ZERO : EXTENT_HOLE;
			e.len = 1 << 20;
			if (!failed)
				failed = tree_builder_add(b, &e, &err) == -1;
		}
		err_clear(&err);
		assert_int_equal(tree_builder_finish(b, &id, &err), -1);
		assert_int_equal(err.code, ERR_NOSPACE);
		tree_builder_free(b);
		store_free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(geometry_follows_the_size),
		cmocka_unit_test(what_is_built_is_walked_back),
		cmocka_unit_test(root_tells_what_the_volume_was),
		cmocka_unit_test(equal_spans_are_equal_nodes),
		cmocka_unit_test(one_changed_span_shares_all_others),
		cmocka_unit_test(a_vast_empty_volume_is_a_few_nodes),
		cmocka_unit_test(builder_refuses_what_cannot_be),
		cmocka_unit_test(builder_refuses_a_bad_root),
		cmocka_unit_test(a_span_holds_so_many_extents_and_no_more),
		cmocka_unit_test(a_failed_emit_fails_the_builder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
