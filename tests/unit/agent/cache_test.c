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
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/tree.h"
#include "tests/unit/scratch.h"

/* Leaves for spans 0, 1 and 5 (2..4 are like 1), an inner node, the root. */
#define NODES 5

struct world {
	char dir[SCRATCH_MAX], path[SCRATCH_MAX], new[SCRATCH_MAX], bag[SCRATCH_MAX];
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

	assert_int_equal(cache_create(w->path, NULL, &out, &w->err), 0);
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
	scratch_path(w->dir, "c", w->path);
	scratch_path(w->dir, "c=new", w->new);
	scratch_path(w->dir, "c=nodes0", w->bag);
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

/* Overwrite one byte of a file. */
static void
damage(const char *path, long at)
{
	FILE *f = fopen(path, "r+b");
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
	assert_int_equal(cache_create(w->path, NULL, &out, &w->err), 0);
	assert_int_equal(cache_finish(out, NULL, &w->err), 0);
	assert_int_equal(open_it(w), 0);
	(void)file_remove(w->path, &w->err);
	assert_int_equal(open_it(w), 0);
}

static long
length(const char *path)
{
	FILE *f = fopen(path, "rb");
	long size;

	if (f == NULL)
		return -1;
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	fclose(f);
	return size;
}

static void
damage_anywhere_gives_nothing_wrong(void **state)
{
	struct world *w = *state;
	const char *const files[] = { w->path, w->bag };

	for (unsigned i = 0; i < 2; i++)
		for (long at = 0, size = length(files[i]); at < size; at++) {
			damage(files[i], at);
			if (open_it(w) == 1) {
				for (uint64_t n = 0; n < 6; n++)
					if (cache_leaf(w->c, n, &w->out) == 1)
						assert_memory_equal(w->out.p, "node", 4);
				cache_close(w->c);
				w->c = NULL;
			}
			damage(files[i], at);
		}
	assert_int_equal(open_it(w), 1);
}

/* The next tree: of `n` spans, each with a leaf of `len` bytes that is `seed` + its span,
 * but for `kept` in 8, which are as they were for `old`. */
static struct chunk_id
next_tree(struct world *w, unsigned n, size_t len, unsigned seed, unsigned old,
    unsigned kept, int seal)
{
	struct chunk_id id = { { 0 } };
	uint8_t *p = malloc(len);
	struct cache_writer *out;

	assert_int_equal(cache_create(w->new, w->c, &out, &w->err), 0);
	for (unsigned i = 0; i <= n; i++) {
		memset(p, (int)((i % 8 < kept ? old : seed) + i), len);
		memcpy(p, &i, sizeof(i));
		chunk_id_of(&w->keys, CHUNK_META, p, len, &id);
		assert_int_equal(
		    cache_add(out, i < n ? i : CACHE_NO_SPAN, &id, p, len, &w->err), 0);
	}
	assert_int_equal(cache_finish(out, seal ? &id : NULL, &w->err), 0);
	free(p);
	cache_close(w->c);
	w->c = NULL;
	if (seal) {
		assert_int_equal(cache_settle(w->new, w->path, &w->err), 0);
		assert_int_equal(cache_open(w->path, &id, &w->keys, &w->c, &w->err), 1);
	}
	return id;
}

/* Each leaf is there and is what was put in. */
static void
all_are_there(struct world *w, unsigned n, unsigned seed, unsigned old, unsigned kept)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(cache_leaf(w->c, i, &w->out), 1);
		assert_int_equal(
		    w->out.p[w->out.len - 1], (uint8_t)((i % 8 < kept ? old : seed) + i));
	}
}

static void
what_stays_is_written_once(void **state)
{
	enum { N = 400, LEN = 12000 };
	struct world *w = *state;
	char other[SCRATCH_MAX];
	long size, before, most = 0;
	int turns = 0;

	scratch_path(w->dir, "c=nodes1", other);
	next_tree(w, N, LEN, 1, 0, 0, 1);
	all_are_there(w, N, 1, 0, 0);
	/* That of the tree before had no base: it began a bag, and the old one is gone. */
	assert_int_equal(length(w->bag), -1);
	before = length(other);
	assert_true(before > N * LEN);
	for (unsigned turn = 2; turn < 30; turn++) {
		next_tree(w, N, LEN, turn, 1, 7, 1);
		all_are_there(w, N, turn, 1, 7);
		size = length(w->bag) + length(other) + 1; /* One of them is not there. */
		most = size > most ? size : most;
		if (size < before)
			turns++;
		else
			assert_in_range(
			    size - before, N / 8 * LEN, N / 8 * LEN + 20 * 1024);
		before = size;
	}
	/* Neither does it grow for ever. */
	assert_true(turns >= 1);
	assert_true(most < 5L * N * LEN / 2 + (4L << 20));
}

static void
a_run_that_ended_early_changes_nothing(void **state)
{
	struct world *w = *state;
	struct chunk_id id = next_tree(w, 100, 5000, 1, 0, 0, 1);
	struct cache *done;

	next_tree(w, 60, 5000, 2, 1, 4, 0);
	/* It can be read on by who goes on with it. */
	assert_int_equal(cache_open_partial(w->new, &w->keys, &done, &w->err), 1);
	assert_true(cache_leaf(done, 0, &w->out) == 1 && w->out.p[4999] == 1);
	assert_true(cache_leaf(done, 7, &w->out) == 1 && w->out.p[4999] == 9);
	assert_int_equal(cache_open(w->path, &id, &w->keys, &w->c, &w->err), 1);
	all_are_there(w, 100, 1, 0, 0);
	/* A third while both are there. */
	next_tree(w, 100, 5000, 3, 1, 4, 1);
	assert_true(cache_leaf(done, 15, &w->out) == 1 && w->out.p[4999] == 17);
	cache_close(done);
	all_are_there(w, 100, 3, 1, 4);
}

/* Who counts more than there is would have us make room for it. */
static void
counts_beyond_the_file_are_not_believed(void **state)
{
	struct world *w = *state;
	uint8_t h[1024];
	FILE *f = fopen(w->path, "r+b");

	assert_int_equal(fread(h, 1, sizeof(h), f), sizeof(h));
	for (uint64_t n = (uint64_t)1 << 40; n > 6; n /= 2) {
		store_le64(h + 896, n);
		store_le64(h + 904, n / 512 + 64);
		blake3(h, 992, NULL, h + 992, 32);
		rewind(f);
		assert_int_equal(fwrite(h, 1, sizeof(h), f), sizeof(h));
		assert_int_equal(fflush(f), 0);
		assert_int_equal(open_it(w), 0);
	}
	(void)fclose(f);
}

static void
what_rotted_is_not_kept(void **state)
{
	struct world *w = *state;
	char other[SCRATCH_MAX];

	scratch_path(w->dir, "c=nodes1", other);
	next_tree(w, 40, 5000, 1, 0, 0, 1);
	damage(other, 16 + 4 + 32 + 300);
	next_tree(w, 40, 5000, 2, 1, 7, 1);
	all_are_there(w, 40, 2, 1, 7);
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
	damage(w->bag, 16 + 36 + 2);
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
	/* Few or many, none of them is left. */
	for (unsigned n = 1; n < 64; n++) {
		for (i = 0; i < n; i++) {
			id.b[0] = (uint8_t)(i * 37);
			assert_int_equal(seen_add(s, &id), 0);
		}
		seen_clear(s);
		for (i = 0; i < n; i++) {
			id.b[0] = (uint8_t)(i * 37);
			assert_false(seen_has(s, &id));
		}
	}
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
		cache_volume(a);
		assert_string_equal(a, names[i].volume);
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
		TEST(what_stays_is_written_once),
		TEST(a_run_that_ended_early_changes_nothing),
		TEST(counts_beyond_the_file_are_not_believed),
		TEST(what_rotted_is_not_kept),
		cmocka_unit_test(pieces_come_in_order),
		cmocka_unit_test(ids_are_seen_and_old_ones_forgotten),
		cmocka_unit_test(no_two_volumes_share_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
