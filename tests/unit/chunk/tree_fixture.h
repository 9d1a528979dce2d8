/*
 * tree_fixture.h - for tests of trees: a store of nodes in memory, and lists of
 * extents to build trees from.
 */
#ifndef TESTS_UNIT_CHUNK_TREE_FIXTURE_H
#define TESTS_UNIT_CHUNK_TREE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

static inline struct store *
store_new(void)
{
	struct store *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	chunk_keys_init(&s->keys, domain);
	return s;
}

static inline void
store_free(struct store *s)
{
	unsigned i;

	for (i = 0; i < SLOTS; i++)
		free(s->slot[i].p);
	free(s);
}

static inline struct node *
find(struct store *s, const struct chunk_id *id)
{
	unsigned i = load_le32(id->b) % SLOTS;

	while (s->slot[i].p != NULL && chunk_id_cmp(&s->slot[i].id, id) != 0)
		i = (i + 1) % SLOTS;
	return &s->slot[i];
}

static inline int
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

static inline int
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

static inline uint32_t
draw(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * below) >> 32);
}

struct list {
	struct extent *e;
	size_t n, cap;
};

static inline void
put(struct list *l, const struct extent *e)
{
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 64 : 2 * l->cap;
		assert_non_null(l->e = realloc(l->e, l->cap * sizeof(*l->e)));
	}
	l->e[l->n++] = *e;
}

static inline int
put_each(void *arg, const struct extent *e)
{
	put(arg, e);
	return 0;
}

static inline int
goes_on(const struct extent *a, const struct extent *b)
{
	return a->kind == b->kind && a->reason == b->reason &&
	       a->offset / TREE_SPAN_LEN == b->offset / TREE_SPAN_LEN &&
	       (a->kind != EXTENT_DATA ||
		   (memcmp(&a->id, &b->id, sizeof(a->id)) == 0 &&
		       a->chunk_len == b->chunk_len &&
		       a->chunk_offset + a->len == b->chunk_offset));
}

/* What the tree should say of `in`: cut at spans, neighbours merged. */
static inline void
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

static inline void
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
static inline void
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
			if (e.kind == EXTENT_EXCLUDED)
				e.reason = (uint8_t)draw(EXTENT_REASON_MAX + 1);
		}
		if (e.len > size - at)
			e.len = (uint32_t)(size - at);
		put(l, &e);
		at += e.len;
	}
}

static inline struct tree_root
root_of(uint64_t size)
{
	struct tree_root r;

	memset(&r, 0, sizeof(r));
	r.size = size;
	r.sector_size = 512;
	strcpy(r.fs, "ntfs");
	strcpy(r.provider, "offline");
	r.grade = TREE_APPLICATION;
	r.generation = 77;
	r.nonce[3] = 9;
	return r;
}

static inline void
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

static inline void
sum_up(struct tree_sums *all, const struct tree_sums *one)
{
	all->hole += one->hole;
	all->zero += one->zero;
	all->excluded += one->excluded;
	all->data += one->data;
}

/* Walk the whole tree; the leaves' sums must make the root's. */
static inline void
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

#endif /* TESTS_UNIT_CHUNK_TREE_FIXTURE_H */
