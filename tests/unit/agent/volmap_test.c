/* The table of runs and the walk: order, clashes, and pieces that lie ahead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/map/volmap.h"
#include "agent/map/volmap_plan.h"
#include "agent/map/volmap_runs.h"
#include "agent/map/volmap_walk.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"
#include "tests/unit/agent/spill_array.h"

#define CLUSTER 4096u

static struct err err = ERR_INIT;
static struct spill_array array;

/* Enough for all tests; and so little that every other record is spilled. */
static const struct volmap_limits ample = { 200u << 20, NULL };
static const struct volmap_limits scant = { 150, &array.spill };
static const struct volmap_limits little = { 800, &array.spill };

static void
add(struct volmap_runs *r, uint32_t owner, uint32_t vcn, uint32_t lcn, uint32_t len)
{
	struct volmap_run run = { .lcn = lcn, .len = len, .vcn = vcn, .owner = owner };

	assert_int_equal(volmap_runs_add(r, &run, &err), 0);
}

/* Ready for the walk; the number of clashes. */
static uint64_t
joined(struct volmap_runs *r)
{
	uint64_t clashes;

	assert_int_equal(volmap_runs_sort(r, NULL, NULL, &clashes, &err), 0);
	assert_int_equal(volmap_runs_join(r, &err), 0);
	return clashes;
}

static void
runs_come_along_the_volume(void **state)
{
	struct volmap_runs r;
	struct volmap_run run;
	uint64_t x = 88172645463325252u, n = 0, all;
	uint32_t last = 0;

	(void)state;
	spill_array_init(&array);
	for (int tight = 0; tight < 2; tight++, n = 0, last = 0) {
		volmap_runs_init(&r, 1u << 30, CLUSTER, tight ? &scant : &ample);
		for (uint32_t i = 0; i < 5000; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			add(&r, (uint32_t)(x % 700), (uint32_t)(x >> 20) % 1000000 * 2,
			    (uint32_t)(x >> 40) % 500000 * 2, 1);
		}
		joined(&r);
		for (all = r.count; volmap_runs_next(&r, &run, &err) == 1; n++) {
			assert_true(run.lcn >= last);
			last = run.lcn;
		}
		assert_int_equal(n, all);
		assert_int_equal(volmap_runs_spilled(&r) > 0, tight);
		volmap_runs_free(&r);
		assert_int_equal(array.files, 0);
	}
}

static void
neighbours_are_joined(void **state)
{
	struct volmap_runs r;

	(void)state;
	volmap_runs_init(&r, 1000, CLUSTER, &ample);
	add(&r, 1, 0, 10, 5);
	add(&r, 1, 5, 15, 5);
	add(&r, 1, 11, 20, 5); /* Not in the file. */
	add(&r, 1, 16, 26, 5); /* Not on the volume. */
	add(&r, 2, 21, 31, 5); /* Another file. */
	joined(&r);
	assert_int_equal(r.count, 4);
	volmap_runs_free(&r);
}

static int
count_look(void *arg, const struct volmap_run *run, struct err *e)
{
	(void)e;
	((uint64_t *)arg)[0]++;
	((uint64_t *)arg)[1] += (run->flags & VOLMAP_RUN_CLASH) != 0;
	return 0;
}

/* Against the obvious way: compare each with each. */
static void
every_clash_is_marked_and_nothing_else(void **state)
{
	uint64_t x = 1234567, clashes, seen[2];

	(void)state;
	spill_array_init(&array);
	for (int round = 0; round < 600; round++) {
		struct volmap_runs r;
		struct volmap_run all[14], run;
		uint32_t n = 0, marked = 0;

		volmap_runs_init(&r, 400, CLUSTER, round % 2 ? &scant : &ample);
		for (uint32_t i = 0; i < 14; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			add(&r, (uint32_t)(x >> 60) % 5, (uint32_t)(x >> 20) % 300,
			    (uint32_t)(x >> 33) % 300, 1 + (uint32_t)(x >> 50) % 20);
		}
		memset(seen, 0, sizeof(seen));
		assert_int_equal(
		    volmap_runs_sort(&r, count_look, seen, &clashes, &err), 0);
		assert_int_equal(volmap_runs_join(&r, &err), 0);
		while (volmap_runs_next(&r, &run, &err) == 1)
			all[n++] = run;
		assert_int_equal(n, r.count);
		for (uint32_t i = 0; i < n; i++) {
			const struct volmap_run *a = &all[i];
			int clash = 0;

			for (uint32_t k = 0; k < n; k++) {
				const struct volmap_run *b = &all[k];

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
		assert_int_equal(seen[0], n);
		assert_int_equal(seen[1], marked);
		volmap_runs_free(&r);
	}
}

static void
too_many_runs_empty_the_table(void **state)
{
	const struct volmap_limits limits = { 3 * 20 * 1000, NULL };
	struct volmap_runs r;

	(void)state;
	volmap_runs_init(&r, 10000, CLUSTER, &limits);
	for (uint32_t i = 0; i <= 1001; i++) {
		assert_int_equal(r.overflow, 0);
		add(&r, i, 0, 2 * i, 1);
	}
	assert_true(r.overflow);
	assert_int_equal(r.count, 0);
	add(&r, 7, 0, 5, 1);
	assert_int_equal(r.count, 0);
	assert_int_equal(joined(&r), 0);
	volmap_runs_free(&r);
}

/* All claims are known of, and lies end before they cost time. */
static void
what_does_not_fit_is_known_as_claimed(void **state)
{
	const struct volmap_limits limits = { 0, NULL }, bits = { 3 * 100, NULL };
	struct volmap_runs r;
	uint32_t at, count;
	int set, seen;

	(void)state;
	for (int coarse = 0; coarse < 2; coarse++) {
		volmap_runs_init(&r, coarse ? 4000000000u : 800, CLUSTER, &bits);
		volmap_runs_drop(&r, NULL);
		assert_int_equal(volmap_runs_claim(&r, &err), 0);
		add(&r, 1, 0, 7, 1);
		add(&r, 2, 0, 9, 90);
		add(&r, 2, 90, r.clusters - 3, 3);
		for (at = 0, seen = 0; at < r.clusters; at += count, seen++) {
			count = r.clusters - at;
			set = volmap_runs_claimed(&r, at, &count);
			assert_true(count > 0 && count <= r.clusters - at);
			if (!set)
				assert_false((at <= 7 && at + count > 7) ||
					     (at < 99 && at + count > 9) ||
					     at + count > r.clusters - 3);
		}
		assert_int_equal(seen, coarse ? 3 : 6);
		assert_false(r.crossed);
		for (at = 0; at < 100000; at++)
			add(&r, 3, 0, 0, r.clusters);
		assert_true(r.crossed);
		volmap_runs_free(&r);
	}
	volmap_runs_init(&r, 800, CLUSTER, &limits);
	count = 5;
	assert_int_equal(volmap_runs_claimed(&r, 0, &count), 0);
	volmap_runs_free(&r);
}

/* ---------------------------------------------------------------- the walk -- */

struct tally {
	uint64_t data, stream, hole, whole_blocks, whole_regions, cuts, ahead, most;
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
	struct volmap_piece whole;
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
		if (cut.count == 0) {
			whole = (struct volmap_piece){ cut.offset, (uint32_t)cut.len };
			cut.count = 1;
			cut.piece = &whole;
		}
		t->whole_blocks += cut.kind == VOLMAP_DATA && cut.len == VOLMAP_BLOCK;
		t->whole_regions += cut.kind == VOLMAP_REGION && cut.count > 1;
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
	volmap_runs_init(&p->runs, clusters, CLUSTER, &ample);
}

/* First halves of all blocks in front, second halves behind: all lie ahead. */
static void
pieces_ahead_are_bounded_and_the_rest_comes_alone(void **state)
{
	const uint32_t blocks = VOLMAP_AHEAD_MAX + 5000;
	struct volmap_plan p;
	struct tally t;

	(void)state;
	plan_of(&p, blocks * 16 + 77);
	for (uint32_t i = 0; i < blocks; i++) {
		add(&p.runs, i, 0, i * 8, 8);
		add(&p.runs, i, 8, (blocks + i) * 8, 8);
	}
	joined(&p.runs);
	walk(&p, &t);
	assert_int_equal(t.data, (uint64_t)blocks * VOLMAP_BLOCK);
	assert_int_equal(t.hole, 77 * CLUSTER);
	assert_int_equal(t.most, VOLMAP_AHEAD_MAX);
	assert_int_equal(t.whole_blocks, VOLMAP_AHEAD_MAX);
	assert_int_equal(t.cuts, VOLMAP_AHEAD_MAX + 2 * 5000 + 1);
	volmap_plan_free(&p);
}

/* Blocks half of which lies far off fill half the heap; others go on being whole. */
static void
pieces_far_ahead_leave_room_for_near_ones(void **state)
{
	const uint32_t far = VOLMAP_AHEAD_MAX / 2 + 1000, near = 3000;
	const uint32_t behind = (uint32_t)(VOLMAP_NEAR / CLUSTER) + far * 8;
	struct volmap_plan p;
	struct tally t;

	(void)state;
	plan_of(&p, behind + far * 8);
	for (uint32_t i = 0; i < far; i++) {
		add(&p.runs, i, 0, i * 8, 8);
		add(&p.runs, i, 8, behind + i * 8, 8);
	}
	for (uint32_t i = 0; i < near; i++) {
		add(&p.runs, far + i, 0, (far + i) * 8, 8);
		add(&p.runs, far + i, 8, (far + near + i) * 8, 8);
	}
	joined(&p.runs);
	walk(&p, &t);
	assert_int_equal(t.whole_blocks, VOLMAP_AHEAD_MAX / 2 + near);
	assert_int_equal(t.most, VOLMAP_AHEAD_MAX / 2 + near);
	volmap_plan_free(&p);
}

/* Blocks one after the other, each with a piece ahead: more in all than may be at once.
 */
static void
room_ahead_is_had_again(void **state)
{
	const uint32_t blocks = VOLMAP_AHEAD_MAX + 1000;
	struct volmap_plan p;
	struct tally t;

	(void)state;
	plan_of(&p, blocks * 16);
	for (uint32_t i = 0; i < blocks; i++) {
		add(&p.runs, i, 0, i * 16 + 8, 8);
		add(&p.runs, i, 8, i * 16, 8);
	}
	joined(&p.runs);
	walk(&p, &t);
	assert_int_equal(t.whole_blocks, blocks);
	assert_int_equal(t.most, 1);
	volmap_plan_free(&p);
}

static int
read_text(void *arg, uint64_t offset, void *buf, size_t len, struct err *e)
{
	(void)arg, (void)offset, (void)e;
	memset(buf, 'a', len);
	return 0;
}

/* What the chunker may make of a region's pieces counts, not how many they are. */
static void
regions_ahead_are_bounded_by_their_chunks(void **state)
{
	const struct volmap_source source = { .read = read_text };
	const uint32_t half = 128, each = volmap_ahead(VOLMAP_REGION, half * CLUSTER);
	const uint32_t whole = VOLMAP_AHEAD_MAX / each, files = whole + 500;
	struct volmap_plan p;
	struct tally t;

	(void)state;
	assert_int_equal(each, 34);
	plan_of(&p, files * 2 * half);
	p.runs.source = &source;
	for (uint32_t i = 0; i < 2 * files; i++) {
		struct volmap_run run = { .owner = i / 2,
			.vcn = i % 2 * half,
			.lcn = (i / 2 + i % 2 * files) * half,
			.len = half,
			.flags = VOLMAP_RUN_FILE };

		assert_int_equal(volmap_runs_add(&p.runs, &run, &err), 0);
	}
	joined(&p.runs);
	walk(&p, &t);
	assert_int_equal(t.whole_regions, whole);
	assert_int_equal(t.cuts, whole + 2 * 500);
	volmap_plan_free(&p);
}

/* One file, each cluster at a random place: only whole blocks come. */
static void
a_shattered_file_comes_in_whole_blocks(void **state)
{
	enum { N = 16384 };
	struct volmap_plan p;
	struct tally t;
	uint32_t *place = malloc(N * sizeof(*place));
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
	joined(&p.runs);
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

	(void)state;
	plan_of(&p, 2 * n);
	for (uint32_t i = 0; i < n; i++)
		add(&p.runs, 1, i % 8, 2 * i, 1);
	add(&p.runs, 1, 9, 2 * n - 1, 1);
	assert_int_equal(joined(&p.runs), n);
	walk(&p, &t);
	assert_int_equal(t.data, CLUSTER);
	assert_int_equal(t.stream, (uint64_t)n * CLUSTER);
	volmap_plan_free(&p);
}

/* ------------------------------------------------------------- random plans -- */

#define RANDOM_RUNS 300
#define RANDOM_CLUSTERS 6000u

struct random_plan {
	struct volmap_plan p;
	struct volmap_source source;
	struct volmap_run run[RANDOM_RUNS]; /* As added, without a run's neighbours. */
	uint32_t count, left_out;
};

/* A volume of which every other place for a run begins like text. */
static int
read_heads(void *arg, uint64_t offset, void *buf, size_t len, struct err *e)
{
	(void)arg, (void)e;
	memset(buf, offset / CLUSTER / 20 % 2 ? 'a' : 0, len);
	return 0;
}

static uint64_t
draw(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 33;
}

/*
 * A few files, each a row of runs that take the next free clusters or, now and
 * then, any; the same for the same seed.  `lies`: how many of 256 runs are put
 * anywhere, on the volume and in the file.
 */
static void
make_random(struct random_plan *it, uint64_t seed, unsigned lies,
    const struct volmap_limits *limits)
{
	uint64_t x = seed * 2654435761u + 12345;
	uint32_t vcn[8] = { 0 }, place[RANDOM_RUNS], at;
	struct volmap_run run;

	memset(it, 0, sizeof(*it));
	plan_of(&it->p, RANDOM_CLUSTERS);
	volmap_runs_init(&it->p.runs, RANDOM_CLUSTERS, CLUSTER, limits);
	it->source.read = read_heads;
	it->p.runs.source = &it->source;
	for (uint32_t i = 0; i < RANDOM_RUNS; i++)
		place[i] = i;
	for (uint32_t i = RANDOM_RUNS; i-- > 1;) {
		uint32_t k = (uint32_t)(draw(&x) % (i + 1)), swap = place[i];

		place[i] = place[k];
		place[k] = swap;
	}
	for (uint32_t i = 0; i < RANDOM_RUNS; i++) {
		memset(&run, 0, sizeof(run));
		at = (uint32_t)draw(&x) % 8;
		run.owner = at / 2;
		run.stream = (uint8_t)(at % 2);
		run.flags = draw(&x) % 2 ? VOLMAP_RUN_FILE : 0;
		run.lcn = place[i] * 20;
		/* Never 20 of 20: neighbours would be joined. */
		run.len = 1 + (uint32_t)draw(&x) % (draw(&x) % 4 ? 5 : 19);
		vcn[at] += vcn[at] == 0 || draw(&x) % 8 ? 0 : (uint32_t)draw(&x) % 400;
		run.vcn = vcn[at];
		vcn[at] += run.len;
		if (draw(&x) % 20 == 0)
			run.flags |= VOLMAP_RUN_TAIL;
		else if (draw(&x) % 20 == 0)
			run.valid = (uint16_t)(1 + draw(&x) % (CLUSTER - 1));
		if (draw(&x) % 256 < lies) {
			run.lcn = (uint32_t)draw(&x) % (RANDOM_CLUSTERS - 20);
			run.vcn = (uint32_t)draw(&x) % 300;
		}
		it->run[it->count++] = run;
		assert_int_equal(volmap_runs_add(&it->p.runs, &run, &err), 0);
	}
	it->left_out = 1 + (uint32_t)draw(&x) % 8;
}

/* Sort, leave one owner out, join. */
static void
finish_random(struct random_plan *it)
{
	uint64_t clashes;

	assert_int_equal(volmap_runs_sort(&it->p.runs, NULL, NULL, &clashes, &err), 0);
	if (!it->p.runs.overflow)
		assert_int_equal(volmap_runs_leave_out(
				     &it->p.runs, it->left_out, EXTENT_PAGEFILE, &err),
		    0);
	assert_int_equal(volmap_runs_join(&it->p.runs, &err), 0);
}

/* Does run `i` clash with any, and is it cut as file data?  The slow way. */
static int
is_data(const struct random_plan *it, uint32_t i)
{
	const struct volmap_run *a = &it->run[i], *b;

	for (uint32_t k = 0; k < it->count; k++) {
		b = &it->run[k];
		if (k != i && a->lcn < b->lcn + b->len && b->lcn < a->lcn + a->len)
			return 0;
		if (k != i && a->owner == b->owner && a->stream == b->stream &&
		    a->vcn < b->vcn + b->len && b->vcn < a->vcn + a->len)
			return 0;
	}
	return (a->flags & VOLMAP_RUN_TAIL) == 0 &&
	       ((a->flags & VOLMAP_RUN_FILE) == 0 || a->owner != it->left_out);
}

/* Is the file of run `mine` cut by content? */
static int
is_dense_file(
    const struct random_plan *it, const uint8_t *data, const struct volmap_run *mine)
{
	const struct volmap_run *r, *head = NULL;
	uint64_t end = 0, to;

	for (uint32_t i = 0; i < it->count; i++) {
		r = &it->run[i];
		if (r->owner != mine->owner || r->stream != mine->stream)
			continue;
		if (head == NULL || r->vcn < head->vcn)
			head = data[i] && (r->flags & VOLMAP_RUN_FILE) != 0 ? r : NULL;
		if (head == NULL && r->vcn == 0)
			return 0;
		to = (uint64_t)r->vcn * CLUSTER + volmap_runs_valid(&it->p.runs, r);
		end = (r->flags & VOLMAP_RUN_TAIL) == 0 && to > end ? to : end;
	}
	return head != NULL && head->vcn == 0 && head->lcn / 20 % 2 == 1 &&
	       end >= 256 * 1024;
}

/*
 * The block or region that holds byte `at` of the volume, from the runs as they were
 * added.
 */
static void
block_of(const struct random_plan *it, const uint8_t *data, uint64_t at,
    struct volmap_cut *out)
{
	static struct volmap_piece piece[VOLMAP_REGION_PIECES_MAX];
	const struct volmap_run *mine = NULL, *r;
	uint64_t from, start, end, size;
	uint32_t last = 0;

	for (uint32_t i = 0; i < it->count && mine == NULL; i++)
		if (data[i] && it->run[i].lcn <= at / CLUSTER &&
		    at / CLUSTER < it->run[i].lcn + it->run[i].len)
			mine = &it->run[i];
	assert_non_null(mine);
	memset(out, 0, sizeof(*out));
	out->piece = piece;
	out->kind = is_dense_file(it, data, mine) ? VOLMAP_REGION : VOLMAP_DATA;
	size = out->kind == VOLMAP_REGION ? VOLMAP_REGION_LEN : VOLMAP_BLOCK;
	from = ((uint64_t)mine->vcn * CLUSTER + at - mine->lcn * CLUSTER) / size * size;
	for (;;) {
		/* The run of the file that comes next; none overlap. */
		r = NULL;
		for (uint32_t i = 0; i < it->count; i++)
			if (data[i] && it->run[i].owner == mine->owner &&
			    it->run[i].stream == mine->stream && it->run[i].vcn >= last &&
			    (r == NULL || it->run[i].vcn < r->vcn))
				r = &it->run[i];
		if (r == NULL || (uint64_t)r->vcn * CLUSTER >= from + size)
			return;
		last = r->vcn + r->len;
		start = (uint64_t)r->vcn * CLUSTER;
		end = start + volmap_runs_valid(&it->p.runs, r);
		start = start > from ? start : from;
		end = end < from + size ? end : from + size;
		if (start >= end)
			continue;
		assert_true(out->count < VOLMAP_REGION_PIECES_MAX);
		piece[out->count].offset =
		    (uint64_t)r->lcn * CLUSTER + start - (uint64_t)r->vcn * CLUSTER;
		piece[out->count++].len = (uint32_t)(end - start);
	}
}

/* A region with a crumb within, as lies make it, comes in pieces. */
static int
is_torn(const struct volmap_cut *c)
{
	for (uint32_t i = 1; c->kind == VOLMAP_REGION && i + 1 < c->count; i++)
		if (c->piece[i].len < VOLMAP_GRAIN)
			return 1;
	return 0;
}

static uint64_t
covered(const struct volmap_cut *c)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < c->count; i++)
		sum += c->piece[i].len;
	return c->count > 0 ? sum : c->len;
}

/*
 * Cuts of the plan in much memory and in little are the same, and every block is
 * what the slow way makes of the runs.
 */
static void
cuts_are_the_same_however_little_memory_there_is(void **state)
{
	static struct random_plan much, few;
	struct volmap_walk *w, *v;
	struct volmap_cut a, b, c;
	uint8_t data[RANDOM_RUNS];
	uint64_t sum, blocks = 0, regions = 0, torn = 0;
	int got;

	(void)state;
	for (uint64_t seed = 0; seed < 60; seed++) {
		spill_array_init(&array);
		make_random(&much, seed, seed % 3 * 10, &ample);
		make_random(&few, seed, seed % 3 * 10, &scant);
		finish_random(&much);
		finish_random(&few);
		assert_true(volmap_runs_spilled(&few.p.runs) > 0);
		assert_int_equal(volmap_runs_spilled(&much.p.runs), 0);
		for (uint32_t i = 0; i < much.count; i++)
			data[i] = (uint8_t)is_data(&much, i);
		w = volmap_walk_new(&much.p, (uint64_t)RANDOM_CLUSTERS * CLUSTER);
		v = volmap_walk_new(&few.p, (uint64_t)RANDOM_CLUSTERS * CLUSTER);
		for (sum = 0; (got = volmap_walk_next(w, &a, &err)) == 1;
		     sum += covered(&a)) {
			assert_int_equal(volmap_walk_next(v, &b, &err), 1);
			assert_int_equal(a.kind, b.kind);
			assert_int_equal(a.offset, b.offset);
			assert_int_equal(a.len, b.len);
			assert_int_equal(a.count, b.count);
			for (uint32_t i = 0; i < a.count; i++) {
				assert_int_equal(a.piece[i].offset, b.piece[i].offset);
				assert_int_equal(a.piece[i].len, b.piece[i].len);
			}
			if (a.count == 0)
				continue;
			block_of(&much, data, a.offset, &c);
			assert_int_equal(a.kind, c.kind);
			if (is_torn(&c)) {
				assert_int_equal(a.count, 1);
				torn++;
				continue;
			}
			assert_int_equal(a.count, c.count);
			for (uint32_t i = 0; i < a.count; i++) {
				assert_int_equal(a.piece[i].offset, c.piece[i].offset);
				assert_int_equal(a.piece[i].len, c.piece[i].len);
			}
			blocks += a.kind == VOLMAP_DATA && a.count > 1;
			regions += a.kind == VOLMAP_REGION && a.count > 1;
		}
		assert_int_equal(got, 0);
		assert_int_equal(volmap_walk_next(v, &b, &err), 0);
		assert_int_equal(sum, (uint64_t)RANDOM_CLUSTERS * CLUSTER);
		volmap_walk_free(w);
		volmap_walk_free(v);
		volmap_plan_free(&much.p);
		volmap_plan_free(&few.p);
		assert_int_equal(array.files, 0);
	}
	assert_true(blocks > 1000 && regions > 50 && torn > 50);
}

/* Walk a random plan over `array` as it is set; the walk's failure, or 0. */
static int
walk_over_array(struct random_plan *it, uint64_t *data)
{
	struct volmap_walk *w;
	struct volmap_cut cut;
	uint64_t sum = 0;
	int got, code;

	*data = 0;
	make_random(it, 4, 10, &little);
	finish_random(it);
	w = volmap_walk_new(&it->p, (uint64_t)RANDOM_CLUSTERS * CLUSTER);
	while ((got = volmap_walk_next(w, &cut, &err)) == 1) {
		sum += covered(&cut);
		*data += cut.count > 0 ? cut.len : 0;
	}
	if (got == 0)
		assert_int_equal(sum, (uint64_t)RANDOM_CLUSTERS * CLUSTER);
	code = got == 0 ? 0 : err.code;
	err = (struct err)ERR_INIT;
	volmap_walk_free(w);
	return code;
}

/* While the map is made a lost spill costs cuts, no cover; later it is told. */
static void
a_spill_that_fails_loses_no_byte(void **state)
{
	static struct random_plan it;
	uint64_t writes, reads, opens, whole, data, dropped = 0, alone = 0, failed = 0;
	uint64_t blind = 0;
	int code;

	(void)state;
	spill_array_init(&array);
	assert_int_equal(walk_over_array(&it, &whole), 0);
	volmap_plan_free(&it.p);
	writes = array.writes;
	reads = array.reads;
	opens = array.opens;
	for (uint64_t i = 1; i <= opens + writes + reads; i++) {
		spill_array_init(&array);
		array.fail_open = i <= opens ? i : 0;
		array.fail_write = i > opens && i <= opens + writes ? i - opens : 0;
		array.fail_read = i > opens + writes ? i - opens - writes : 0;
		code = walk_over_array(&it, &data);
		if (code != 0) {
			assert_int_equal(code, ERR_IO);
			assert_int_not_equal(array.fail_read, 0);
			failed++;
		} else {
			assert_true(
			    it.p.runs.overflow || it.p.runs.alone || it.p.runs.blind);
			volmap_plan_note_runs(&it.p);
			assert_non_null(strstr(
			    it.p.note, array.fail_write != 0  ? "no space left"
				       : array.fail_read != 0 ? "bad sector"
							      : "no such directory"));
			assert_int_equal(data, it.p.runs.overflow ? 0 : whole);
			dropped += (uint64_t)it.p.runs.overflow;
			alone += (uint64_t)it.p.runs.alone;
			blind += (uint64_t)it.p.runs.blind;
		}
		volmap_plan_free(&it.p);
		assert_int_equal(array.files, 0);
	}
	/* All four were met. */
	assert_true(dropped > 20 && alone > 10 && failed > 5 && blind > 1);
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
		cmocka_unit_test(runs_come_along_the_volume),
		cmocka_unit_test(neighbours_are_joined),
		cmocka_unit_test(every_clash_is_marked_and_nothing_else),
		cmocka_unit_test(too_many_runs_empty_the_table),
		cmocka_unit_test(what_does_not_fit_is_known_as_claimed),
		cmocka_unit_test(pieces_ahead_are_bounded_and_the_rest_comes_alone),
		cmocka_unit_test(pieces_far_ahead_leave_room_for_near_ones),
		cmocka_unit_test(room_ahead_is_had_again),
		cmocka_unit_test(regions_ahead_are_bounded_by_their_chunks),
		cmocka_unit_test(a_shattered_file_comes_in_whole_blocks),
		cmocka_unit_test(a_file_of_lies_is_walked_in_time),
		cmocka_unit_test(cuts_are_the_same_however_little_memory_there_is),
		cmocka_unit_test(a_spill_that_fails_loses_no_byte),
		cmocka_unit_test(doubt_leaves_no_hole_and_keeps_the_first_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
