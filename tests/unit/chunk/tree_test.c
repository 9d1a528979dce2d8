/*
 * Trees: what is built is walked back, equal spans are equal nodes, and a
 * parser takes nothing that the builder would have written otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"
#include "proto/chunk/tree_format.h"

#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)
#define SLOTS (1u << 14)

static const uint8_t domain[CHUNK_KEY_LEN] = { 7 };

/* ------------------------------------------------------ a store of nodes -- */

struct node {
	struct chunk_id id;
	uint8_t *p;
	size_t len;
};

struct store {
	struct chunk_keys keys;
	struct node slot[SLOTS];
	struct chunk_id order[SLOTS]; /* As emitted. */
	unsigned emitted, fetched;
	int fail_at; /* Emit number that fails; 0 for none. */
};

static struct store *
store_new(void)
{
	struct store *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	chunk_keys_init(&s->keys, domain);
	return s;
}

static void
store_free(struct store *s)
{
	unsigned i;

	for (i = 0; i < SLOTS; i++)
		free(s->slot[i].p);
	free(s);
}

static struct node *
find(struct store *s, const struct chunk_id *id)
{
	unsigned i = load_le32(id->b) % SLOTS;

	while (s->slot[i].p != NULL && chunk_id_cmp(&s->slot[i].id, id) != 0)
		i = (i + 1) % SLOTS;
	return &s->slot[i];
}

static int
keep(void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct store *s = arg;
	struct node *n = find(s, id);
	struct chunk_id real;

	chunk_id_of(&s->keys, CHUNK_META, p, len, &real);
	assert_int_equal(chunk_id_cmp(&real, id), 0);
	assert_true(len <= CHUNK_META_MAX);
	assert_true(s->emitted < SLOTS / 2);
	s->order[s->emitted++] = *id;
	if (s->fail_at != 0 && s->emitted == (unsigned)s->fail_at)
		return err_set(err, ERR_NOSPACE, "no room for a node");
	if (n->p != NULL)
		return 0;
	n->id = *id;
	n->len = len;
	assert_non_null(n->p = malloc(len));
	memcpy(n->p, p, len);
	return 0;
}

static int
get(void *arg, const struct chunk_id *id, struct buf *out, struct err *err)
{
	struct store *s = arg;
	const struct node *n = find(s, id);

	s->fetched++;
	if (n->p == NULL)
		return err_set(err, ERR_NOTFOUND, "no such node");
	return buf_add(out, n->p, n->len, err);
}

/* --------------------------------------------------------------- extents -- */

static uint32_t seed = 11;

static uint32_t
draw(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * below) >> 32);
}

struct list {
	struct extent *e;
	size_t n, cap;
};

static void
put(struct list *l, const struct extent *e)
{
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 64 : 2 * l->cap;
		assert_non_null(l->e = realloc(l->e, l->cap * sizeof(*l->e)));
	}
	l->e[l->n++] = *e;
}

static int
put_each(void *arg, const struct extent *e)
{
	put(arg, e);
	return 0;
}

static int
goes_on(const struct extent *a, const struct extent *b)
{
	return a->kind == b->kind &&
	       a->offset / TREE_SPAN_LEN == b->offset / TREE_SPAN_LEN &&
	       (a->kind != EXTENT_DATA ||
		   (memcmp(&a->id, &b->id, sizeof(a->id)) == 0 &&
		       a->chunk_len == b->chunk_len &&
		       a->chunk_offset + a->len == b->chunk_offset));
}

/* What the tree should say of `in`: cut at spans, neighbours merged. */
static void
normal(const struct list *in, struct list *out)
{
	size_t i;

	for (i = 0; i < in->n; i++) {
		struct extent e = in->e[i];
		uint32_t left = e.len;

		while (left > 0) {
			uint64_t room = TREE_SPAN_LEN - e.offset % TREE_SPAN_LEN;

			e.len = left < room ? left : (uint32_t)room;
			if (out->n > 0 && goes_on(&out->e[out->n - 1], &e))
				out->e[out->n - 1].len += e.len;
			else
				put(out, &e);
			left -= e.len;
			e.offset += e.len;
			if (e.kind == EXTENT_DATA)
				e.chunk_offset += e.len;
		}
	}
}

static void
same_lists(const struct list *a, const struct list *b)
{
	size_t i;

	assert_int_equal(a->n, b->n);
	for (i = 0; i < a->n; i++) {
		assert_int_equal(a->e[i].kind, b->e[i].kind);
		assert_true(a->e[i].offset == b->e[i].offset);
		assert_int_equal(a->e[i].len, b->e[i].len);
		if (a->e[i].kind != EXTENT_DATA)
			continue;
		assert_int_equal(a->e[i].chunk_offset, b->e[i].chunk_offset);
		assert_int_equal(a->e[i].chunk_len, b->e[i].chunk_len);
		assert_int_equal(chunk_id_cmp(&a->e[i].id, &b->e[i].id), 0);
	}
}

/* Few ids and few lengths, so that neighbours often go on or repeat. */
static void
draw_list(struct list *l, uint64_t size)
{
	uint64_t at = 0;

	while (at < size) {
		struct extent e;

		memset(&e, 0, sizeof(e));
		e.offset = at;
		e.kind = (enum extent_kind)draw(4);
		if (e.kind == EXTENT_DATA) {
			const struct extent *last = l->n > 0 ? &l->e[l->n - 1] : NULL;

			e.id.b[0] = (uint8_t)draw(3);
			e.chunk_len = 65536u << draw(3);
			e.chunk_offset = draw(2) == 0 ? 0 : draw(e.chunk_len);
			e.len = draw(2) == 0 ? e.chunk_len - e.chunk_offset
					     : 1 + draw(e.chunk_len - e.chunk_offset);
			if (draw(3) == 0 && last != NULL && last->kind == EXTENT_DATA &&
			    last->chunk_offset + last->len < last->chunk_len) {
				e = *last;
				e.offset = at;
				e.chunk_offset += e.len;
				e.len = 1 + draw(e.chunk_len - e.chunk_offset);
			}
		} else {
			e.len = 1 + draw(draw(9) == 0 ? 3 * TREE_SPAN_LEN : 200000);
		}
		if (e.len > size - at)
			e.len = (uint32_t)(size - at);
		put(l, &e);
		at += e.len;
	}
}

static struct tree_root
root_of(uint64_t size)
{
	struct tree_root r;

	memset(&r, 0, sizeof(r));
	r.size = size;
	r.sector_size = 512;
	strcpy(r.fs, "ntfs");
	strcpy(r.provider, "offline");
	r.grade = TREE_APPLICATION;
	r.generation[3] = 9;
	r.sequence = 77;
	return r;
}

static void
build(struct store *s, uint64_t size, const struct list *l, struct chunk_id *id)
{
	struct tree_root r = root_of(size);
	struct tree_builder *b = tree_builder_new(&s->keys, &r, keep, s);
	struct err err = ERR_INIT;
	size_t i;

	assert_non_null(b);
	for (i = 0; i < l->n; i++)
		assert_int_equal(tree_builder_add(b, &l->e[i], &err), 0);
	assert_int_equal(tree_builder_finish(b, id, &err), 0);
	tree_builder_free(b);
}

static void
sum_up(struct tree_sums *all, const struct tree_sums *one)
{
	all->hole += one->hole;
	all->zero += one->zero;
	all->excluded += one->excluded;
	all->data += one->data;
}

/* Walk the whole tree; the leaves' sums must make the root's. */
static void
walk_all(struct store *s, const struct chunk_id *id, struct list *out)
{
	struct err err = ERR_INIT;
	struct tree_sums all;
	struct tree_walk *w;
	struct tree_child leaf;
	uint64_t n;

	memset(&all, 0, sizeof(all));
	assert_int_equal(tree_walk_open(id, get, s, &w, &err), 0);
	for (n = 0; n < tree_spans(tree_walk_root(w)->size); n++) {
		assert_int_equal(tree_walk_leaf(w, n, &leaf, &err), 0);
		sum_up(&all, &leaf.sums);
		assert_int_equal(tree_walk_span(w, n, put_each, out, &err), 0);
	}
	assert_memory_equal(&all, &tree_walk_root(w)->top.sums, sizeof(all));
	tree_walk_close(w);
}

/* ----------------------------------------------------------------- tests -- */

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
	assert_memory_equal(r->generation, want.generation, 16);
	assert_int_equal(r->sequence, 77);
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
	static const struct extent first = { EXTENT_ZERO, 1000, 0, 0, 0, { { 0 } } };
	static const struct extent bad[] = {
		{ EXTENT_HOLE, 24, 1001, 0, 0, { { 0 } } }, /* A gap, */
		{ EXTENT_HOLE, 24, 999, 0, 0, { { 0 } } },  /* an overlap, */
		{ EXTENT_HOLE, 25, 1000, 0, 0, { { 0 } } }, /* past the end, */
		{ EXTENT_HOLE, 0, 1000, 0, 0, { { 0 } } },  /* empty; */
		{ (enum extent_kind)4, 24, 1000, 0, 0, { { 0 } } },
		{ EXTENT_DATA, 24, 1000, 0, 0, { { 0 } } },  /* No chunk, */
		{ EXTENT_DATA, 24, 1000, 0, 23, { { 0 } } }, /* too short a one, */
		{ EXTENT_DATA, 24, 1000, 1, 24, { { 0 } } },
		{ EXTENT_DATA, 24, 1000, 0xffffffff, 24, { { 0 } } },
		{ EXTENT_DATA, 24, 1000, 0, CHUNK_DATA_MAX + 1, { { 0 } } },
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
	static const struct extent hole = { EXTENT_HOLE, 512, 0, 0, 0, { { 0 } } };
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

/* --------------------------------------------------------- hostile nodes -- */

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
		{ 0, 1, 3, { 7, 0x80, 8 } },	/* the same as nothing. */
		{ 0, 1, 3, { 15, 0x80, 8 } },
	};
	struct store *s = store_new();
	uint8_t p[64] = "HFL0";
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
				/* No field that was padding or derived. */
				assert_true(i >= 4 && (i < 50 || i >= 56) && i != 49);
				assert_int_not_equal(memcmp(&r, &was, sizeof(r)), 0);
			}
			n->p[i] ^= (uint8_t)(1u << bit);
			err_clear(&err);
		}
	}
	free(l.e);
	store_free(s);
}

/* The one inner node of a tree of three spans. */
static struct node *
inner_of(struct store *s, struct chunk_id *root)
{
	struct tree_root r;
	struct err err = ERR_INIT;
	struct list l = { 0 };
	struct node *n;

	draw_list(&l, 3 * TREE_SPAN_LEN - 512);
	build(s, 3 * TREE_SPAN_LEN - 512, &l, root);
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
	uint64_t hole, zero;

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
	zero = load_le64(n->p + 8 + 40);
	store_le64(n->p + 8 + 32, zero);
	store_le64(n->p + 8 + 40, hole);
	assert_true(hole != zero);
	assert_int_equal(tree_walk_span(w, 0, put_each, &got, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);
	store_le64(n->p + 8 + 32, hole);
	store_le64(n->p + 8 + 40, zero);
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
		cmocka_unit_test(a_changed_leaf_is_refused_or_means_something_else),
		cmocka_unit_test(two_ways_to_write_an_extent_are_not_taken),
		cmocka_unit_test(a_changed_root_is_refused_or_means_something_else),
		cmocka_unit_test(an_inner_node_must_add_up),
		cmocka_unit_test(walker_notices_what_is_missing_or_lies),
		cmocka_unit_test(the_callback_may_stop_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
