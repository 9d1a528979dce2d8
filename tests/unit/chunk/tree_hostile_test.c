/*
 * Trees: a parser takes nothing that the builder would have written otherwise,
 * and the walker nothing that its parent does not vouch for.
 */
#include "tests/unit/chunk/tree_fixture.h"

/* The leaf that the builder writes for extents `l`, or NULL if it refuses. */
static const struct node *
leaf_of(struct store *s, const struct list *l, uint64_t size)
{
	struct tree_root r = root_of(size);
	struct tree_builder *b = tree_builder_new(&s->keys, &r, keep, s);
	struct err err = ERR_INIT;
	struct chunk_id id;
	size_t i;

	assert_non_null(b);
	s->emitted = 0;
	for (i = 0; i < l->n; i++)
		assert_int_equal(tree_builder_add(b, &l->e[i], &err), 0);
	assert_int_equal(tree_builder_finish(b, &id, &err), 0);
	tree_builder_free(b);
	return find(s, &s->order[0]);
}

/* If the parser takes these bytes, the builder must write the very same. */
static int
taken_and_canonical(struct store *s, const uint8_t *p, size_t len, uint64_t size)
{
	struct list l = { 0 };
	struct err err = ERR_INIT;
	const struct node *n;
	struct tree_sums sums;

	if (tree_parse_leaf(p, len, 0, size, put_each, &l, &err) == -1) {
		assert_int_equal(err.code, ERR_CORRUPT);
		assert_int_equal(l.n, 0);
		err_clear(&err);
		assert_int_equal(tree_node_sums(p, len, 0, 0, size, &sums, &err), -1);
		return 0;
	}
	n = leaf_of(s, &l, size);
	assert_int_equal(n->len, len);
	assert_memory_equal(n->p, p, len);
	assert_int_equal(tree_node_sums(p, len, 0, 0, size, &sums, &err), 0);
	assert_true(tree_sums_total(&sums, size));
	free(l.e);
	return 1;
}

static void
a_changed_leaf_is_refused_or_means_something_else(void **state)
{
	struct store *s = store_new(), *t;
	const struct node *n;
	struct list l = { 0 };
	unsigned taken = 0, tried = 0, bit;
	uint8_t *p;
	size_t i;

	(void)state;
	draw_list(&l, 1 << 20);
	n = leaf_of(s, &l, 1 << 20);
	assert_non_null(p = malloc(n->len + 1));
	memcpy(p, n->p, n->len);
	p[n->len] = 0;
	for (i = 0; i < n->len; i++)
		for (bit = 0; bit < 8; bit++, tried++) {
			t = store_new();
			p[i] ^= (uint8_t)(1u << bit);
			taken += (unsigned)taken_and_canonical(t, p, n->len, 1 << 20);
			p[i] ^= (uint8_t)(1u << bit);
			store_free(t);
		}
	/* Ids and offsets in chunks may be anything; the rest may not. */
	assert_true(taken > 0 && taken < tried);
	for (i = 0; i < n->len; i++)
		assert_int_equal(taken_and_canonical(s, p, i, 1 << 20), 0);
	assert_int_equal(taken_and_canonical(s, p, n->len + 1, 1 << 20), 0);
	assert_int_equal(taken_and_canonical(s, p, n->len, (1 << 20) + 512), 0);
	assert_int_equal(taken_and_canonical(s, p, n->len, (1 << 20) - 512), 0);
	free(p);
	free(l.e);
	store_free(s);
}

static void
two_ways_to_write_an_extent_are_not_taken(void **state)
{
	/* What follows the header of a leaf of `n` extents that covers 1024 bytes. */
	static const struct {
		int taken;
		uint8_t n, len, p[16];
	} cases[] = {
		{ 1, 1, 3, { 0, 0x80, 8 } },		       /* 1024 bytes of hole. */
		{ 0, 1, 4, { 0, 0x80, 0x88, 0 } },	       /* A longer varint, */
		{ 0, 1, 6, { 0, 0x80, 0x88, 0x80, 0x80, 0 } }, /* one without end; */
		{ 0, 2, 6, { 0, 0x80, 4, 0, 0x80, 4 } },       /* two that are one; */
		{ 1, 2, 6, { 0, 0x80, 4, 1, 0x80, 4 } },
		{ 0, 2, 5, { 0, 0x80, 8, 1, 0 } }, /* an empty one; */
		{ 0, 1, 3, { 4, 0x80, 8 } },	   /* flags of data, */
		{ 0, 1, 3, { 8, 0x80, 8 } },
		{ 0, 1, 3, { 0x10, 0x80, 8 } }, /* unknown ones; */
		{ 0, 1, 3, { 5, 0x80, 8 } },	/* a reason without exclusion; */
		{ 1, 1, 3, { 2, 0x80, 8 } },	/* one with, of every number; */
		{ 1, 1, 3, { 0xfe, 0x80, 8 } },
		{ 1, 2, 6, { 6, 0x80, 4, 10, 0x80, 4 } },
		{ 0, 2, 6, { 6, 0x80, 4, 6, 0x80, 4 } },
		{ 0, 1, 3, { 7, 0x80, 8 } }, /* the same as nothing. */
		{ 0, 1, 3, { 15, 0x80, 8 } },
	};
	struct store *s = store_new();
	uint8_t p[64] = "HFL1";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		store_le16(p + 4, cases[i].n);
		memcpy(p + 8, cases[i].p, cases[i].len);
		assert_int_equal(
		    taken_and_canonical(s, p, 8u + cases[i].len, 1024), cases[i].taken);
	}
	/* A whole chunk written as its part: length, chunk's length, id, offset. */
	memcpy(p + 8, "\x03\x80\x08\x80\x08", 5);
	p[13 + CHUNK_ID_LEN] = 0;
	store_le16(p + 4, 1);
	assert_int_equal(taken_and_canonical(s, p, 14 + CHUNK_ID_LEN, 1024), 0);
	/* As it should be. */
	memset(p + 8, 0, sizeof(p) - 8);
	memcpy(p + 8, "\x0b\x80\x08", 3);
	assert_int_equal(taken_and_canonical(s, p, 11 + CHUNK_ID_LEN, 1024), 1);
	p[6] = 1;
	assert_int_equal(taken_and_canonical(s, p, 11 + CHUNK_ID_LEN, 1024), 0);
	store_free(s);
}

static void
a_changed_root_is_refused_or_means_something_else(void **state)
{
	struct store *s = store_new();
	struct list l = { 0 };
	struct tree_root r, was;
	struct chunk_id id;
	struct node *n;
	size_t i;

	(void)state;
	draw_list(&l, 3 * TREE_SPAN_LEN);
	build(s, 3 * TREE_SPAN_LEN, &l, &id);
	n = find(s, &id);
	assert_int_equal(n->len, ROOT_LEN);
	for (i = 0; i <= n->len; i++) {
		struct err err = ERR_INIT;
		unsigned bit;

		if (i < n->len) {
			assert_int_equal(tree_parse_root(n->p, i, &r, &err), -1);
			assert_int_equal(err.code, ERR_CORRUPT);
			err_clear(&err);
		}
		for (bit = 0; i < n->len && bit < 8; bit++) {
			assert_int_equal(tree_parse_root(n->p, n->len, &was, &err), 0);
			n->p[i] ^= (uint8_t)(1u << bit);
			if (tree_parse_root(n->p, n->len, &r, &err) == 0) {
				/* No field that was padding, derived, or a feature that
				 * must be known. */
				assert_true(i >= 4 && (i < 50 || i >= 54) && i != 49);
				assert_int_not_equal(memcmp(&r, &was, sizeof(r)), 0);
			}
			n->p[i] ^= (uint8_t)(1u << bit);
			err_clear(&err);
		}
	}
	free(l.e);
	store_free(s);
}

/* Later programs say more in a root: in fields behind it, and in feature bits. */
static void
a_root_may_have_what_is_optional_and_nothing_required(void **state)
{
	static const uint8_t optional[] = { 9, 0, 3, 0, 0, 0, 'a', 'b', 'c' };
	struct store *s = store_new();
	struct list l = { 0 };
	struct tree_root r;
	struct err err = ERR_INIT;
	struct chunk_id id;
	uint8_t p[ROOT_LEN + TREE_FIELDS_MAX + 1] = { 0 };
	size_t len = ROOT_LEN + sizeof(optional);

	(void)state;
	draw_list(&l, TREE_SPAN_LEN);
	build(s, TREE_SPAN_LEN, &l, &id);
	memcpy(p, find(s, &id)->p, ROOT_LEN);
	memcpy(p + ROOT_LEN, optional, sizeof(optional));
	p[ROOT_OPTIONAL + 1] = 0x80;
	assert_int_equal(tree_parse_root(p, len, &r, &err), 0);
	assert_int_equal(r.optional, 0x8000);
	assert_int_equal(r.size, TREE_SPAN_LEN);

	assert_int_equal(tree_parse_root(p, len - 1, &r, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);
	p[ROOT_LEN + 1] = 0x80;
	assert_int_equal(tree_parse_root(p, len, &r, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "field 9"));
	err_clear(&err);
	p[ROOT_LEN + 1] = 0;
	p[ROOT_REQUIRED] = 8;
	assert_int_equal(tree_parse_root(p, len, &r, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "feature 3"));
	err_clear(&err);
	p[ROOT_REQUIRED] = 0;
	/* As long as may be, and one more. */
	store_le32(p + ROOT_LEN + 2, TREE_FIELDS_MAX - 6);
	assert_int_equal(tree_parse_root(p, ROOT_LEN + TREE_FIELDS_MAX, &r, &err), 0);
	store_le32(p + ROOT_LEN + 2, TREE_FIELDS_MAX - 5);
	assert_int_equal(
	    tree_parse_root(p, ROOT_LEN + TREE_FIELDS_MAX + 1, &r, &err), -1);
	free(l.e);
	store_free(s);
}

/* The one inner node of a tree of three spans. */
static struct node *
inner_of(struct store *s, struct chunk_id *root)
{
	const uint64_t size = 3 * TREE_SPAN_LEN - 512;
	struct tree_root r;
	struct err err = ERR_INIT;
	struct list l = { 0 };
	struct node *n;

	struct extent e;

	memset(&e, 0, sizeof(e));
	while (e.offset < size) {
		e.kind = e.offset % TREE_SPAN_LEN == 0 ? EXTENT_DATA : EXTENT_HOLE;
		e.len = e.chunk_len = 65536;
		e.len -= e.offset + e.len > size ? 512 : 0;
		put(&l, &e);
		e.offset += e.len;
	}
	build(s, size, &l, root);
	free(l.e);
	n = find(s, root);
	assert_int_equal(tree_parse_root(n->p, n->len, &r, &err), 0);
	return find(s, &r.top.id);
}

static void
an_inner_node_must_add_up(void **state)
{
	static struct tree_child child[TREE_FANOUT];
	const uint64_t size = 3 * TREE_SPAN_LEN - 512;
	struct store *s = store_new();
	struct tree_sums sums;
	struct chunk_id root;
	struct node *n = inner_of(s, &root);
	struct err err = ERR_INIT;
	uint32_t count;
	size_t i;

	(void)state;
	assert_int_equal(
	    tree_parse_inner(n->p, n->len, size, TREE_SPAN_LEN, child, &count, &err), 0);
	assert_int_equal(count, 3);
	assert_int_equal(n->len, 8 + 3 * 64);
	for (i = 0; i < n->len; i++) {
		int in_id = i >= 8 && (i - 8) % 64 < 32;

		n->p[i] ^= 1;
		assert_int_equal(tree_parse_inner(n->p, n->len, size, TREE_SPAN_LEN,
				     child, &count, &err),
		    in_id ? 0 : -1);
		assert_int_equal(err.code, in_id ? ERR_NONE : ERR_CORRUPT);
		err_clear(&err);
		n->p[i] ^= 1;
		assert_int_equal(
		    tree_parse_inner(n->p, i, size, TREE_SPAN_LEN, child, &count, &err),
		    -1);
		err_clear(&err);
	}
	/* Moving bytes from one sum to another keeps the total: that is for the walker.
	 */
	assert_int_equal(tree_node_sums(n->p, n->len, 1, 0, size, &sums, &err), 0);
	assert_true(tree_sums_total(&sums, size));
	/* A sum that only adds up by overflow. */
	store_le64(n->p + 8 + 32, load_le64(n->p + 8 + 32) + ((uint64_t)1 << 63));
	store_le64(n->p + 8 + 40, load_le64(n->p + 8 + 40) + ((uint64_t)1 << 63));
	assert_int_equal(
	    tree_parse_inner(n->p, n->len, size, TREE_SPAN_LEN, child, &count, &err), -1);
	err_clear(&err);
	/* Covering something else. */
	assert_int_equal(tree_parse_inner(n->p, n->len, size + 512, TREE_SPAN_LEN, child,
			     &count, &err),
	    -1);
	err_clear(&err);
	assert_int_equal(
	    tree_parse_inner(n->p, n->len, 0, TREE_SPAN_LEN, child, &count, &err), -1);
	store_free(s);
}

static void
walker_notices_what_is_missing_or_lies(void **state)
{
	struct store *s = store_new();
	struct err err = ERR_INIT;
	struct list got = { 0 };
	struct tree_walk *w;
	struct chunk_id root, nothing;
	struct node *n = inner_of(s, &root), saved = *n;
	uint64_t hole, data;

	(void)state;
	memset(&nothing, 0, sizeof(nothing));
	assert_int_equal(tree_walk_open(&nothing, get, s, &w, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	/* Another kind of node where the root belongs. */
	assert_int_equal(tree_walk_open(&n->id, get, s, &w, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);

	assert_int_equal(tree_walk_open(&root, get, s, &w, &err), 0);
	/* Sums that add up but are not those below. */
	hole = load_le64(n->p + 8 + 32);
	data = load_le64(n->p + 8 + 56);
	assert_true(data > 0);
	store_le64(n->p + 8 + 32, hole + 1);
	store_le64(n->p + 8 + 56, data - 1);
	assert_int_equal(tree_walk_span(w, 0, put_each, &got, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);
	store_le64(n->p + 8 + 32, hole);
	store_le64(n->p + 8 + 56, data);
	/* A leaf that nobody has. */
	n->p[8] ^= 1;
	assert_int_equal(tree_walk_span(w, 0, put_each, &got, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	tree_walk_close(w);
	n->p[8] ^= 1;
	/* After a failure the same walk may go on. */
	assert_int_equal(tree_walk_open(&root, get, s, &w, &err), 0);
	n->len = 5;
	assert_int_equal(tree_walk_span(w, 0, put_each, &got, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);
	assert_int_equal(got.n, 0);
	n->len = saved.len;
	assert_int_equal(tree_walk_span(w, 2, put_each, &got, &err), 0);
	assert_true(got.n > 0);
	tree_walk_close(w);
	free(got.e);
	store_free(s);
}

static int
stop_at_second(void *arg, const struct extent *e)
{
	(void)e;
	return ++*(int *)arg == 2 ? 5 : 0;
}

static void
the_callback_may_stop_the_walk(void **state)
{
	struct store *s = store_new();
	struct err err = ERR_INIT;
	struct list l = { 0 };
	struct tree_walk *w;
	struct chunk_id id;
	int calls = 0;

	(void)state;
	draw_list(&l, 1 << 20);
	build(s, 1 << 20, &l, &id);
	assert_int_equal(tree_walk_open(&id, get, s, &w, &err), 0);
	assert_int_equal(tree_walk_span(w, 0, stop_at_second, &calls, &err), 5);
	assert_int_equal(calls, 2);
	assert_int_equal(err.code, ERR_NONE);
	tree_walk_close(w);
	free(l.e);
	store_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_changed_leaf_is_refused_or_means_something_else),
		cmocka_unit_test(two_ways_to_write_an_extent_are_not_taken),
		cmocka_unit_test(a_changed_root_is_refused_or_means_something_else),
		cmocka_unit_test(a_root_may_have_what_is_optional_and_nothing_required),
		cmocka_unit_test(an_inner_node_must_add_up),
		cmocka_unit_test(walker_notices_what_is_missing_or_lies),
		cmocka_unit_test(the_callback_may_stop_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
