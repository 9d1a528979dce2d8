/*
 * A cycle that dies, or meets an error, at any of its calls to the files: no point
 * loses anything, no pack is missed, and the next cycle does what was left.
 */
#include "tests/unit/storage/gc_rig.h"

#define BLOCKS 120u

static uint32_t all[BLOCKS], rest[BLOCKS], other[24];

/* A pack that dies, one that is mostly dead, one that stays. */
static void
set_up(struct gc_rig *r, uint64_t seed)
{
	rig_fill(all, BLOCKS, 1);
	rig_fill(other, 24, 2);
	for (uint32_t i = 0; i < BLOCKS; i++)
		rest[i] = i % 9 == 0 ? all[i] : 0;
	gc_rig_start(r, seed);
	gc_rig_backup(r, "alpha", all, BLOCKS, 1);
	gc_rig_backup(r, "beta", other, 24, 1);
	gc_rig_backup(r, "alpha", rest, BLOCKS, 1);
	gc_rig_backup(r, "gamma", all + 40, 60, 1);
	gc_rig_prune(r, "alpha", 1);
	gc_rig_prune(r, "gamma", 1);
}

static void
check_all(struct gc_rig *r)
{
	assert_int_equal(r->s->lost_packs, 0);
	gc_rig_check(r, "beta", 1, other, 24);
	gc_rig_check(r, "alpha", 2, rest, BLOCKS);
}

/* What is left when all is done: the same whatever came between. */
static void
finish(struct gc_rig *r)
{
	struct store_gc_report report;

	rig_ok(store_packs_seal(r->s->packs, &r->err), &r->err);
	assert_int_equal(gc_rig_collect(r, NULL, &report), STORE_GC_DONE);
	check_all(r);
	assert_false(gc_rig_has(r, all[1]));
	assert_true(gc_rig_has(r, all[0]));
	gc_rig_restart(r, 1);
	check_all(r);
	assert_false(gc_rig_has(r, all[1]));
}

/* One cycle with a fault at its nth call; 0 if it ended before. */
static int
go(struct gc_rig *r, uint64_t nth, enum fs_fault_kind kind)
{
	struct store_gc_report report;
	int fired;

	fs_fault_arm(r->ff, nth, kind);
	(void)store_gc(r->s, NULL, NULL, NULL, &report, &r->err);
	fired = fs_fault_fired(r->ff);
	if (!fired)
		assert_int_equal(r->err.code, ERR_NONE);
	err_clear(&r->err);
	return fired;
}

static void
test_a_cycle_that_dies_anywhere_loses_nothing(void **state)
{
	uint64_t nth;
	int fired = 1;

	(void)state;
	for (nth = 1; fired; nth += RIG_STRIDE)
		for (int cut = 0; cut < 2; cut++) {
			struct gc_rig r;

			set_up(&r, nth);
			fired = go(&r, nth, FS_FAULT_DIE);
			gc_rig_restart(&r, cut);
			check_all(&r);
			finish(&r);
			gc_rig_end(&r);
		}
	print_message("a cycle: about %llu calls\n", (unsigned long long)nth);
	assert_true(nth > 20);
}

static void
test_a_cycle_that_meets_an_error_anywhere_loses_nothing(void **state)
{
	static const enum fs_fault_kind kinds[] = { FS_FAULT_EIO, FS_FAULT_ENOSPC,
		FS_FAULT_SHORT };
	uint64_t nth;
	int fired = 1;

	(void)state;
	for (nth = 1; fired; nth += RIG_STRIDE) {
		struct gc_rig r;

		set_up(&r, nth);
		fs_fault_count_reads(r.ff, 1);
		fired = go(&r, nth, kinds[nth % 3]);
		fs_fault_count_reads(r.ff, 0);
		/* In the same process, too. */
		check_all(&r);
		gc_rig_restart(&r, (int)(nth & 1));
		check_all(&r);
		finish(&r);
		gc_rig_end(&r);
	}
	print_message("a cycle: %llu calls, each failed\n", (unsigned long long)nth - 2);
	assert_true(nth > 40);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_cycle_that_dies_anywhere_loses_nothing),
		cmocka_unit_test(test_a_cycle_that_meets_an_error_anywhere_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
