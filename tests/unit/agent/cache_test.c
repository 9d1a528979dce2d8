/*
 * Small memories: the tree cache gives what was put in or nothing; the heap of
 * pieces gives them in order; seen ids are seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/backup/ahead.h"
#include "agent/backup/cache.h"
#include "agent/backup/seen.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/tree.h"
#include "tests/unit/scratch.h"

/* Leaves for spans 0, 1 and 5 (2..4 are like 1), an inner node, the root. */
#define NODES 5

struct world {
	char dir[SCRATCH_MAX], path[SCRATCH_MAX];
	struct chunk_keys keys;
	struct chunk_id ids[NODES];
	struct cache *c;
	struct buf out;
	struct err err;
};

static const uint64_t spans[NODES] = { 0, 1, 5, CACHE_NO_SPAN, CACHE_NO_SPAN };

static void
write_file(struct world *w)
{
	struct cache_writer *out;
	char text[32];
	int i;

	assert_int_equal(cache_create(w->path, &out, &w->err), 0);
	for (i = 0; i < NODES; i++) {
		snprintf(text, sizeof(text), "node %d", i);
		chunk_id_of(&w->keys, CHUNK_META, text, strlen(text), &w->ids[i]);
		assert_int_equal(cache_add(out, spans[i], &w->ids[i],
				     (const uint8_t *)text, strlen(text), &w->err),
		    0);
	}
	assert_int_equal(cache_finish(out, &w->ids[NODES - 1], &w->err), 0);
}

static int
set_up(void **state)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 1 };
	struct world *w = calloc(1, sizeof(*w));

	scratch_make(w->dir);
	scratch_path(w->dir, "tree", w->path);
	chunk_keys_init(&w->keys, domain);
	w->out.max = CHUNK_META_MAX;
	write_file(w);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	cache_close(w->c);
	buf_free(&w->out);
	scratch_drop(w->dir);
	free(w);
	return 0;
}

static int
open_it(struct world *w)
{
	return cache_open(w->path, &w->ids[NODES - 1], &w->keys, &w->c, &w->err);
}

/* Overwrite one byte of the file. */
static void
damage(struct world *w, long at)
{
	FILE *f = fopen(w->path, "r+b");
	int c;

	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	c = fgetc(f);
	fseek(f, at, SEEK_SET);
	fputc(c ^ 0x40, f);
	fclose(f);
}

static void
leaves_are_found_by_span(void **state)
{
	struct world *w = *state;

	assert_int_equal(open_it(w), 1);
	assert_true(cache_leaf_is(w->c, 0, &w->ids[0]));
	assert_false(cache_leaf_is(w->c, 1, &w->ids[0]));
	assert_true(cache_leaf_is(w->c, 4, &w->ids[1]));
	assert_true(cache_leaf_is(w->c, 5, &w->ids[2]));
	assert_int_equal(cache_leaf(w->c, 0, &w->out), 1);
	assert_memory_equal(w->out.p, "node 0", 6);
	assert_int_equal(cache_leaf(w->c, 2, &w->out), 1);
	assert_memory_equal(w->out.p, "node 1", 6);
	assert_int_equal(cache_leaf(w->c, 4, &w->out), 2);
	assert_int_equal(cache_leaf(w->c, 5, &w->out), 1);
	assert_memory_equal(w->out.p, "node 2", 6);
}

static void
another_root_or_an_unsealed_file_is_none(void **state)
{
	struct world *w = *state;
	struct cache_writer *out;

	assert_int_equal(cache_open(w->path, &w->ids[0], &w->keys, &w->c, &w->err), 0);
	assert_int_equal(cache_create(w->path, &out, &w->err), 0);
	assert_int_equal(cache_finish(out, NULL, &w->err), 0);
	assert_int_equal(open_it(w), 0);
	(void)file_remove(w->path, &w->err);
	assert_int_equal(open_it(w), 0);
}

static void
damage_anywhere_gives_nothing_wrong(void **state)
{
	struct world *w = *state;
	char text[8];
	FILE *f = fopen(w->path, "rb");
	long size, at;
	uint64_t n;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	fclose(f);
	for (at = 0; at < size; at++) {
		damage(w, at);
		if (open_it(w) == 1) {
			for (n = 0; n < 6; n++)
				if (cache_leaf(w->c, n, &w->out) == 1) {
					snprintf(text, sizeof(text), "node");
					assert_memory_equal(w->out.p, text, 4);
				}
			cache_close(w->c);
			w->c = NULL;
		}
		damage(w, at);
	}
	assert_int_equal(open_it(w), 1);
}

static int
count_node(void *arg, uint64_t span, const struct chunk_id *id, const uint8_t *p,
    size_t len, struct err *err)
{
	(void)span, (void)id, (void)p, (void)len, (void)err;
	++*(int *)arg;
	return 0;
}

static void
all_nodes_are_given_and_damage_is_said(void **state)
{
	struct world *w = *state;
	int n = 0;

	assert_int_equal(open_it(w), 1);
	assert_int_equal(cache_each(w->c, count_node, &n, &w->err), 0);
	assert_int_equal(n, NODES);
	damage(w, 80 + 44 + 2);
	assert_int_equal(cache_each(w->c, count_node, &n, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
}

static void
pieces_come_in_order(void **state)
{
	struct ahead *a = ahead_new(1000);
	struct err err = ERR_INIT;
	struct extent e = { .kind = EXTENT_ZERO, .len = 1 }, got;
	uint64_t last = 0, x = 1;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		e.offset = x >> 40;
		assert_int_equal(ahead_push(a, &e, &err), 0);
	}
	assert_int_equal(ahead_push(a, &e, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	for (i = 0; ahead_pop(a, 1u << 23, &got); i++) {
		assert_true(got.offset >= last && got.offset < 1u << 23);
		last = got.offset;
	}
	assert_true(i > 300 && i < 700);
	assert_int_equal(ahead_count(a), 1000 - i);
	while (ahead_pop(a, UINT64_MAX, &got)) {
		assert_true(got.offset >= last);
		last = got.offset;
	}
	assert_int_equal(ahead_count(a), 0);
	ahead_free(a);
}

static void
ids_are_seen_and_old_ones_forgotten(void **state)
{
	struct seen *s = seen_new(8);
	struct chunk_id id = { { 0 } };
	unsigned i, kept = 0;

	(void)state;
	for (i = 0; i < 1024; i++) {
		id.b[0] = (uint8_t)i;
		id.b[1] = (uint8_t)(i >> 8);
		id.b[31] = 1;
		assert_int_equal(seen_add(s, &id), 0);
		assert_int_equal(seen_add(s, &id), 1);
		assert_true(seen_has(s, &id));
	}
	for (i = 0; i < 1024; i++) {
		id.b[0] = (uint8_t)i;
		id.b[1] = (uint8_t)(i >> 8);
		kept += (unsigned)seen_has(s, &id);
	}
	assert_true(kept > 0 && kept <= 256);
	seen_clear(s);
	assert_false(seen_has(s, &id));
	seen_free(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void
no_two_volumes_share_a_file(void **state)
{
	static const struct {
		const char *volume, *file;
	} names[] = { { "data", "data" }, { "disk0.1", "disk0.1" }, { "C", "^c" },
		{ "c", "c" }, { "Data", "^data" }, { "dATA", "d^a^t^a" }, { "a.", "a^." },
		{ "a", "a" }, { "..", ".^." }, { "con", "^^con" }, { "Con", "^con" },
		{ "CON", "^c^o^n" }, { "nul.x", "^^nul.x" }, { "com1", "^^com1" },
		{ "com", "com" }, { "com10", "com10" }, { "console", "console" } };
	char a[CACHE_NAME_MAX], longest[64];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		cache_name(names[i].volume, a);
		assert_string_equal(a, names[i].file);
	}
	memset(longest, 'Z', 63);
	longest[63] = '\0';
	cache_name(longest, a);
	assert_int_equal(strlen(a), 126);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(leaves_are_found_by_span),
		TEST(another_root_or_an_unsealed_file_is_none),
		TEST(damage_anywhere_gives_nothing_wrong),
		TEST(all_nodes_are_given_and_damage_is_said),
		cmocka_unit_test(pieces_come_in_order),
		cmocka_unit_test(ids_are_seen_and_old_ones_forgotten),
		cmocka_unit_test(no_two_volumes_share_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
