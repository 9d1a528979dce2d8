/* What verify learns is kept: times, points found whole or hurt, groups good again. */
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "storage/catalog.h"
#include "storage/index.h"
#include "storage/store_retention.h"
#include "storage/store_verify.h"
#include "tests/unit/storage/store_lease_rig.h"

struct problems {
	unsigned n;
	char text[8][600];
};

static int
hear(void *arg, const struct store_verify_report *r, const char *problem)
{
	struct problems *p = arg;

	(void)r;
	if (problem != NULL && p->n < 8)
		(void)snprintf(p->text[p->n++], sizeof(p->text[0]), "%s", problem);
	return 0;
}

/* The volume becomes a point of alpha's; the lease ends. */
static void
back_up(struct here *h)
{
	enum store_commit_result result;

	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_agent_end(&h->a);
	store_lease_close(h->lease);
	h->lease = NULL;
	rig_ok(store_packs_seal(h->s->packs, &h->err), &h->err);
}

/* What teardown() ends. */
static void
begin_last(struct here *h)
{
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
}

static void
place_of(struct here *h, uint32_t block, struct store_place *place)
{
	uint8_t content[RIG_BLOCK], found;
	struct store_lease *l;
	struct chunk_id id;

	rig_content(h->blocks[block], content);
	chunk_id_of(store_keys(h->s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(store_lease_open(h->s, "", STORE_READ, &l, &h->err), &h->err);
	rig_ok(store_locate(l, CHUNK_DATA, &id, 1, place, &found, &h->err), &h->err);
	assert_int_equal(found, 1);
	store_lease_close(l);
}

static void
flip(struct here *h, const struct store_place *place)
{
	struct fs_file *f;
	char name[64];
	uint8_t byte;

	(void)snprintf(name, sizeof(name), "packs/%08x.pack", place->pack);
	rig_ok(fs_open(h->s->fs, name, FS_READ | FS_WRITE, &f, &h->err), &h->err);
	rig_ok(fs_read_all(f, &byte, 1, place->offset + 5000, &h->err), &h->err);
	byte ^= 8;
	rig_ok(fs_pwrite(f, &byte, 1, place->offset + 5000, &h->err), &h->err);
	fs_close(f);
}

static int64_t
verified_us(struct here *h, uint64_t sequence)
{
	struct store_kept k;

	rig_ok(store_kept_one(h->s, "alpha", sequence, &k, &h->err), &h->err);
	return k.verified_us;
}

static void
reopen(struct here *h)
{
	store_close(h->s);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
}

static void
test_flip_verify_backup_verify_restore(void **state)
{
	struct here *h = *state;
	struct store_verify_report r;
	struct problems problems = { 0 };
	char where[64], why[STORE_TEXT_MAX];
	struct store_place place;
	struct store_point *again = calloc(1, sizeof(*again));

	assert_non_null(again);
	back_up(h);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(problems.n, 0);
	assert_int_equal(r.points_verified, 1);
	assert_true(verified_us(h, 1) > 0);
	place_of(h, 0, &place);
	flip(h, &place);
	/* Trees are not asked for: the points are named nevertheless. */
	rig_ok(store_verify(h->s, 0, 0, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(r.bad_groups, 1);
	assert_int_equal(problems.n, 2);
	(void)snprintf(where, sizeof(where), "pack %08x at %u", place.pack, place.offset);
	assert_non_null(strstr(problems.text[0], where));
	assert_non_null(strstr(problems.text[1], "alpha point 1 volume C"));
	assert_non_null(strstr(problems.text[1], where));
	for (int round = 0; round < 2; round++) {
		assert_int_equal(store_point_hurt(h->s, "alpha", 1, why, &h->err), 1);
		assert_non_null(strstr(why, "missing"));
		assert_int_equal(verified_us(h, 1), 0);
		reopen(h);
	}
	rig_ok(rig_backup(h->s, "alpha", &h->v, again, &h->err), &h->err);
	for (int round = 0; round < 2; round++) {
		problems.n = 0;
		rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
		if (problems.n > 0)
			fail_msg("%s", problems.text[0]);
		assert_int_equal(r.healed_groups, 1);
		assert_int_equal(r.points_verified, 2);
		assert_int_equal(store_point_hurt(h->s, "alpha", 1, why, &h->err), 0);
		assert_true(verified_us(h, 1) > 0);
		rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
		rig_ok(rig_verify(h->s, again, 0, &h->v, &h->err), &h->err);
		reopen(h);
	}
	free(again);
	begin_last(h);
}

static void
test_a_group_that_is_good_again_is_released(void **state)
{
	struct here *h = *state;
	struct store_verify_report r;
	struct problems problems = { 0 };
	struct store_place place, now;
	struct store_stats stats;

	back_up(h);
	place_of(h, 0, &place);
	flip(h, &place);
	rig_ok(store_verify(h->s, 0, 0, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(r.bad_groups, 1);
	flip(h, &place); /* A cable was changed, a disk came back. */
	problems.n = 0;
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(problems.n, 0);
	assert_int_equal(r.released_groups, 1);
	for (int round = 0; round < 2; round++) {
		rig_ok(store_stats(h->s, &stats, &h->err), &h->err);
		assert_int_equal(stats.quarantined, 0);
		place_of(h, 0, &now);
		assert_int_equal(now.offset, place.offset);
		reopen(h);
	}
	begin_last(h);
}

static void
test_a_window_takes_what_was_checked_longest_ago(void **state)
{
	struct here *h = *state;
	struct store_verify_options o = { .packs_max = 1 };
	struct store_verify_report r;
	struct store_point *p = calloc(1, sizeof(*p));
	uint64_t all;
	struct timespec from, to;
	int64_t began;

	assert_non_null(p);
	back_up(h);
	/* Four packs: two of each kind. */
	h->blocks[3] = 4711;
	rig_ok(rig_backup(h->s, "beta", &h->v, p, &h->err), &h->err);
	rig_ok(store_packs_seal(h->s->packs, &h->err), &h->err);
	began = store_now(h->s);
	all = 0;
	for (int i = 0; i < 4; i++) {
		o.since_us = began;
		rig_ok(store_verify_with(h->s, &o, NULL, NULL, &r, &h->err), &h->err);
		assert_int_equal(r.packs, 1);
		all += r.bytes;
	}
	/* Each was read once, also as the journal tells it. */
	reopen(h);
	rig_ok(store_verify_with(h->s, &o, NULL, NULL, &r, &h->err), &h->err);
	assert_int_equal(r.packs, 0);
	rig_ok(store_verify(h->s, 0, 0, NULL, NULL, &r, &h->err), &h->err);
	assert_int_equal(r.packs, 4);
	assert_int_equal(r.bytes, all);
	/* By bytes, and at a rate: so much takes so long. */
	o = (struct store_verify_options){ .bytes_max = 1, .rate = 4 * all };
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	rig_ok(store_verify_with(h->s, &o, NULL, NULL, &r, &h->err), &h->err);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(r.packs, 1);
	assert_true((double)(to.tv_sec - from.tv_sec) +
			(double)(to.tv_nsec - from.tv_nsec) / 1e9 >=
		    (double)r.bytes / (double)o.rate);
	free(p);
	begin_last(h);
}

static void
test_a_point_is_not_verified_by_half_a_look(void **state)
{
	struct here *h = *state;
	struct store_verify_options o = { .packs_max = 1, .trees = 1 };
	struct store_verify_report r;

	back_up(h);
	rig_ok(store_verify_with(h->s, &o, NULL, NULL, &r, &h->err), &h->err);
	assert_int_equal(r.packs, 1);
	assert_int_equal(r.points_checked, 1);
	assert_int_equal(r.points_verified, 0);
	assert_int_equal(verified_us(h, 1), 0);
	/* The other half: then all that it rests on was read. */
	rig_ok(store_verify_with(h->s, &o, NULL, NULL, &r, &h->err), &h->err);
	assert_int_equal(r.points_verified, 1);
	assert_true(verified_us(h, 1) > 0);
	begin_last(h);
}

static void
test_nor_beside_packs_that_are_being_filled(void **state)
{
	struct here *h = *state;
	struct store_verify_options o = { .packs_max = 1, .trees = 1 };
	struct store_verify_report r;
	enum store_commit_result result;

	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	rig_ok(store_verify_with(h->s, &o, NULL, NULL, &r, &h->err), &h->err);
	assert_int_equal(r.points_checked, 1);
	assert_int_equal(r.points_verified, 0);
	rig_ok(store_verify_with(h->s, &o, NULL, NULL, &r, &h->err), &h->err);
	assert_int_equal(r.points_verified, 1);
}

/* The pack's file is there, and the disk gives nothing of it; or again. */
static void
lose_sight_of(struct here *h, uint32_t pack, int again)
{
	char file[700], aside[720];

	(void)snprintf(file, sizeof(file), "%s/packs/%08x.pack", h->dir, pack);
	(void)snprintf(aside, sizeof(aside), "%s/away", h->dir);
	if (again) {
		assert_int_equal(rmdir(file), 0);
		assert_int_equal(rename(aside, file), 0);
	} else {
		assert_int_equal(rename(file, aside), 0);
		assert_int_equal(mkdir(file, 0700), 0);
	}
}

static void
test_what_a_disk_does_not_give_stops_nothing_and_proves_nothing(void **state)
{
	struct here *h = *state;
	struct store_verify_options window = { .packs_max = 1 };
	struct problems problems = { 0 };
	struct store_verify_report r;
	char why[STORE_TEXT_MAX];
	struct catalog_check k[2];
	struct store_place place;
	uint32_t n;
	int64_t was;

	back_up(h);
	place_of(h, 0, &place);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(r.points_verified, 1);
	was = verified_us(h, 1);
	lose_sight_of(h, place.pack, 0);
	reopen(h);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(r.packs, 2);
	assert_int_equal(r.bad_groups, 1);
	assert_int_equal(problems.n, 1);
	(void)snprintf(why, sizeof(why), "pack %08x: ", place.pack);
	assert_non_null(strstr(problems.text[0], why));
	/* Not lost, and not found whole now. */
	assert_int_equal(store_point_hurt(h->s, "alpha", 1, why, &h->err), 0);
	assert_int_equal(r.points_verified, 0);
	assert_true(verified_us(h, 1) == was);
	/* The pack stays the first to be read; the other ones have their turn. */
	window.since_us = store_now(h->s);
	for (int i = 0; i < 2; i++)
		rig_ok(
		    store_verify_with(h->s, &window, NULL, NULL, &r, &h->err), &h->err);
	rig_ok(
	    catalog_checks(h->s->catalog, INT64_MAX, NULL, k, 2, &n, &h->err), &h->err);
	assert_int_equal(n, 2);
	assert_int_equal(k[0].pack, place.pack);
	assert_true(k[0].when_us <= was && k[1].when_us > window.since_us);
	lose_sight_of(h, place.pack, 1);
	problems.n = 0;
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(problems.n, 0);
	assert_int_equal(r.points_verified, 1);
	assert_true(verified_us(h, 1) > was);
	begin_last(h);
}

static void
test_a_bad_group_in_a_pack_with_a_bad_footer_is_missed(void **state)
{
	struct here *h = *state;
	struct problems problems = { 0 };
	struct store_verify_report r;
	struct store_place place;
	char why[STORE_TEXT_MAX];
	struct fs_file *f;
	uint64_t len;
	char name[64];
	uint8_t byte;

	back_up(h);
	place_of(h, 0, &place);
	flip(h, &place);
	(void)snprintf(name, sizeof(name), "packs/%08x.pack", place.pack);
	rig_ok(fs_open(h->s->fs, name, FS_READ | FS_WRITE, &f, &h->err), &h->err);
	rig_ok(fs_size(f, &len, &h->err), &h->err);
	rig_ok(fs_read_all(f, &byte, 1, len - 140, &h->err), &h->err);
	byte ^= 8;
	rig_ok(fs_pwrite(f, &byte, 1, len - 140, &h->err), &h->err);
	fs_close(f);
	for (int round = 0; round < 2; round++) {
		problems.n = 0;
		rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
		assert_true(problems.n > 0);
		assert_int_equal(r.points_verified, 0);
		assert_int_equal(store_point_hurt(h->s, "alpha", 1, why, &h->err), 1);
		assert_int_equal(verified_us(h, 1), 0);
		reopen(h);
	}
	begin_last(h);
}

static void
test_an_index_that_rots_is_said_and_made_anew(void **state)
{
	struct here *h = *state;
	struct problems problems = { 0 };
	struct store_verify_report r;
	struct fs_file *f;
	uint8_t byte;

	back_up(h);
	rig_ok(index_flush(h->s->index, &h->err), &h->err);
	rig_ok(fs_open(h->s->fs, "index/00000001.run", FS_READ | FS_WRITE, &f, &h->err),
	    &h->err);
	rig_ok(fs_read_all(f, &byte, 1, 100, &h->err), &h->err);
	byte ^= 8;
	rig_ok(fs_pwrite(f, &byte, 1, 100, &h->err), &h->err);
	fs_close(f);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(problems.n, 1);
	assert_non_null(strstr(problems.text[0], "index/00000001.run"));
	assert_non_null(strstr(problems.text[0], "restart"));
	assert_int_equal(r.points_verified, 0);
	reopen(h);
	problems.n = 0;
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &r, &h->err), &h->err);
	assert_int_equal(problems.n, 0);
	assert_int_equal(r.points_verified, 1);
	begin_last(h);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_flip_verify_backup_verify_restore),
		T(test_a_group_that_is_good_again_is_released),
		T(test_a_window_takes_what_was_checked_longest_ago),
		T(test_a_point_is_not_verified_by_half_a_look),
		T(test_nor_beside_packs_that_are_being_filled),
		T(test_what_a_disk_does_not_give_stops_nothing_and_proves_nothing),
		T(test_a_bad_group_in_a_pack_with_a_bad_footer_is_missed),
		T(test_an_index_that_rots_is_said_and_made_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
