/* The table of runs and the walk: order, clashes, and pieces that lie ahead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/volmap.h"
#include "agent/volmap_plan.h"
#include "agent/volmap_runs.h"
#include "agent/volmap_walk.h"
#include "proto/base/err.h"

#define CLUSTER 4096u

static struct err err = ERR_INIT;

static void
add(struct volmap_runs *r, uint32_t owner, uint32_t vcn, uint32_t lcn, uint32_t len)
{
	struct volmap_run run = { .lcn = lcn, .len = len, .vcn = vcn, .owner = owner };

	assert_int_equal(volmap_runs_add(r, &run, &err), 0);
}

static void
runs_are_sorted_both_ways(void **state)
{
	struct volmap_runs r;
	uint32_t clashes;
	uint64_t x = 88172645463325252u;

	(void)state;
	volmap_runs_init(&r, 1u << 30, CLUSTER);
	for (uint32_t i = 0; i < 5000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		add(&r, (uint32_t)(x % 700), (uint32_t)(x >> 20) % 1000000 * 2,
		    (uint32_t)(x >> 40) % 500000 * 2, 1);
	}
	assert_int_equal(volmap_runs_sort(&r, &clashes, &err), 0);
	for (uint32_t i = 1; i < r.count; i++) {
		assert_true(r.run[i - 1].owner <= r.run[i].owner);
		assert_true(r.run[i - 1].owner < r.run[i].owner ||
			    r.run[i - 1].vcn <= r.run[i].vcn);
		assert_true(r.run[r.by_lcn[i - 1]].lcn <= r.run[r.by_lcn[i]].lcn);
	}
	for (uint32_t owner = 0; owner < 800; owner++) {
		uint32_t i = volmap_runs_find(&r, owner);

		assert_true(i == r.count || (r.run[i].owner == owner &&
						(i == 0 || r.run[i - 1].owner < owner)));
	}
	volmap_runs_free(&r);
}

static void
neighbours_are_joined(void **state)
{
	struct volmap_runs r;

	(void)state;
	volmap_runs_init(&r, 1000, CLUSTER);
	add(&r, 1, 0, 10, 5);
	add(&r, 1, 5, 15, 5);
	assert_int_equal(r.count, 1);
	add(&r, 1, 11, 20, 5); /* Not in the file. */
	add(&r, 1, 16, 26, 5); /* Not on the volume. */
	add(&r, 2, 21, 31, 5); /* Another file. */
	assert_int_equal(r.count, 4);
	volmap_runs_free(&r);
}

/* Against the obvious way: compare each with each. */
static void
every_clash_is_marked_and_nothing_else(void **state)
{
	uint64_t x = 1234567;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct volmap_runs r;
		uint32_t clashes, marked = 0;

		volmap_runs_init(&r, 400, CLUSTER);
		for (uint32_t i = 0; i < 14; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			add(&r, (uint32_t)(x >> 60) % 5, (uint32_t)(x >> 20) % 300,
			    (uint32_t)(x >> 33) % 300, 1 + (uint32_t)(x >> 50) % 20);
		}
		assert_int_equal(volmap_runs_sort(&r, &clashes, &err), 0);
		for (uint32_t i = 0; i < r.count; i++) {
			const struct volmap_run *a = &r.run[i];
			int clash = 0;

			for (uint32_t k = 0; k < r.count; k++) {
				const struct volmap_run *b = &r.run[k];

				clash |= i != k && a->lcn < b->lcn + b->len &&
					 b->lcn < a->lcn + a->len;
				clash |= i != k && a->owner == b->owner &&
					 a->vcn < b->vcn + b->len &&
					 b->vcn < a->vcn + a->len;
			}
			assert_int_equal((a->flags & VOLMAP_RUN_CLASH) != 0, clash);
			marked += (uint32_t)clash;
		}
		assert_int_equal(clashes, marked);
		volmap_runs_free(&r);
	}
}

static void
too_many_runs_empty_the_table(void **state)
{
	struct volmap_runs r;
	uint32_t clashes;

	(void)state;
	volmap_runs_init(&r, 2 * VOLMAP_RUNS_MAX + 2, CLUSTER);
	for (uint32_t i = 0; i <= VOLMAP_RUNS_MAX; i++)
		add(&r, i, 0, 2 * i, 1);
	assert_true(r.overflow);
	assert_int_equal(r.count, 0);
	add(&r, 7, 0, 5, 1);
	assert_int_equal(r.count, 0);
	assert_int_equal(volmap_runs_sort(&r, &clashes, &err), 0);
	assert_int_equal(clashes, 0);
	volmap_runs_free(&r);
}

/* ---------------------------------------------------------------- the walk -- */

struct tally {
	uint64_t data, stream, hole, whole_blocks, cuts, ahead, most;
};

/*
 * Walk a volume of `clusters` clusters; pieces ahead are held in `seen`, a byte
 * for each cluster, so every piece must be a whole number of them.
 */
static void
walk(struct volmap_plan *p, struct tally *t)
{
	struct volmap_walk *w = volmap_walk_new(p, (uint64_t)p->clusters * CLUSTER);
	uint8_t *seen = calloc(1, p->clusters);
	struct volmap_cut cut;
	uint64_t at = 0, from;
	int got;

	assert_non_null(w);
	assert_non_null(seen);
	memset(t, 0, sizeof(*t));
	while ((got = volmap_walk_next(w, &cut, &err)) == 1) {
		for (; at < p->clusters && seen[at]; at++)
			t->ahead -= seen[at] == 2;
		assert_int_equal(cut.offset, at * CLUSTER);
		t->cuts++;
		*(cut.kind == VOLMAP_DATA     ? &t->data
		    : cut.kind == VOLMAP_HOLE ? &t->hole
					      : &t->stream) += cut.len;
		if (cut.kind != VOLMAP_DATA) {
			cut.count = 1;
			cut.piece[0].offset = cut.offset;
			cut.piece[0].len = (uint32_t)cut.len;
		}
		t->whole_blocks += cut.kind == VOLMAP_DATA && cut.len == VOLMAP_BLOCK;
		for (uint32_t i = 0; i < cut.count; i++) {
			from = cut.piece[i].offset / CLUSTER;
			/* 2 at the first cluster of a piece that lies ahead. */
			t->ahead += cut.piece[i].offset != cut.offset;
			for (uint64_t k = 0; k < cut.piece[i].len / CLUSTER; k++) {
				assert_int_equal(seen[from + k], 0);
				seen[from + k] =
				    k == 0 && cut.piece[i].offset != cut.offset ? 2 : 1;
			}
		}
		t->most = t->ahead > t->most ? t->ahead : t->most;
	}
	assert_int_equal(got, 0);
	for (; at < p->clusters; at++)
		assert_int_not_equal(seen[at], 0);
	free(seen);
	volmap_walk_free(w);
}

static int
all_free(void *arg, uint32_t first, uint32_t *count, struct err *e)
{
	(void)arg;
	(void)first;
	(void)e;
	*count = *count > 1000 ? 1000 : *count;
	return 0;
}

static void
plan_of(struct volmap_plan *p, uint32_t clusters)
{
	memset(p, 0, sizeof(*p));
	p->fs = "test";
	p->clusters = clusters;
	p->cluster_size = CLUSTER;
	p->state = all_free;
	volmap_runs_init(&p->runs, clusters, CLUSTER);
}

/* First halves of all blocks in front, second halves behind: all lie ahead. */
static void
pieces_ahead_are_bounded_and_the_rest_comes_alone(void **state)
{
	const uint32_t blocks = VOLMAP_AHEAD_MAX + 5000;
	struct volmap_plan p;
	struct tally t;
	uint32_t clashes;

	(void)state;
	plan_of(&p, blocks * 16 + 77);
	for (uint32_t i = 0; i < blocks; i++) {
		add(&p.runs, i, 0, i * 8, 8);
		add(&p.runs, i, 8, (blocks + i) * 8, 8);
	}
	assert_int_equal(volmap_runs_sort(&p.runs, &clashes, &err), 0);
	walk(&p, &t);
	assert_int_equal(t.data, (uint64_t)blocks * VOLMAP_BLOCK);
	assert_int_equal(t.hole, 77 * CLUSTER);
	assert_int_equal(t.most, VOLMAP_AHEAD_MAX);
	assert_int_equal(t.whole_blocks, VOLMAP_AHEAD_MAX);
	assert_int_equal(t.cuts, VOLMAP_AHEAD_MAX + 2 * 5000 + 1);
	volmap_plan_free(&p);
}

/* One file, each cluster at a random place: only whole blocks come. */
static void
a_shattered_file_comes_in_whole_blocks(void **state)
{
	enum { N = 16384 };
	struct volmap_plan p;
	struct tally t;
	uint32_t *place = malloc(N * sizeof(*place)), clashes;
	uint64_t x = 99;

	(void)state;
	assert_non_null(place);
	for (uint32_t i = 0; i < N; i++)
		place[i] = i;
	for (uint32_t i = N; i-- > 1;) {
		uint32_t k, swap = place[i];

		x = x * 6364136223846793005u + 1442695040888963407u;
		k = (uint32_t)(x >> 33) % (i + 1);
		place[i] = place[k];
		place[k] = swap;
	}
	plan_of(&p, N);
	for (uint32_t i = 0; i < N; i++)
		add(&p.runs, 1, i, place[i], 1);
	assert_int_equal(volmap_runs_sort(&p.runs, &clashes, &err), 0);
	walk(&p, &t);
	assert_int_equal(t.cuts, N / 16);
	assert_int_equal(t.whole_blocks, N / 16);
	volmap_plan_free(&p);
	free(place);
}

/* Runs of one file that all claim the same block must not cost n * n looks. */
static void
a_file_of_lies_is_walked_in_time(void **state)
{
	const uint32_t n = 400000;
	struct volmap_plan p;
	struct tally t;
	uint32_t clashes;

	(void)state;
	plan_of(&p, 2 * n);
	for (uint32_t i = 0; i < n; i++)
		add(&p.runs, 1, i % 8, 2 * i, 1);
	add(&p.runs, 1, 9, 2 * n - 1, 1);
	assert_int_equal(volmap_runs_sort(&p.runs, &clashes, &err), 0);
	assert_int_equal(clashes, n);
	walk(&p, &t);
	assert_int_equal(t.data, CLUSTER);
	assert_int_equal(t.stream, (uint64_t)n * CLUSTER);
	volmap_plan_free(&p);
}

static void
doubt_leaves_no_hole_and_keeps_the_first_reason(void **state)
{
	struct volmap_plan p;
	struct tally t;

	(void)state;
	plan_of(&p, 5000);
	volmap_plan_doubt(&p, "first");
	volmap_plan_doubt(&p, "second");
	assert_string_equal(p.note, "first");
	walk(&p, &t);
	assert_int_equal(t.hole, 0);
	assert_int_equal(t.cuts, 1);
	volmap_plan_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_are_sorted_both_ways),
		cmocka_unit_test(neighbours_are_joined),
		cmocka_unit_test(every_clash_is_marked_and_nothing_else),
		cmocka_unit_test(too_many_runs_empty_the_table),
		cmocka_unit_test(pieces_ahead_are_bounded_and_the_rest_comes_alone),
		cmocka_unit_test(a_shattered_file_comes_in_whole_blocks),
		cmocka_unit_test(a_file_of_lies_is_walked_in_time),
		cmocka_unit_test(doubt_leaves_no_hole_and_keeps_the_first_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
