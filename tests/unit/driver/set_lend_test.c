/* Volumes that lend room for copies: what the host writes there stays as it wrote it, and
   no image serves a copy that was written over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "driver/core/set.h"
#include "driver/sim/env_posix.h"
#include "tests/unit/driver/ram_volume.h"
#include "tests/unit/driver/set_rig.h"

static void
host_in_the_diff_area_of_another_volume_drops_all(void **state)
{
	struct hotcopy_extent e = { 4 * CHUNK, 8 * CHUNK };
	struct hotcopy_frozen out;
	struct rig r;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	assert_int_equal(set_diff_add(r.set, r.ram[2].volume, &e, 1), SET_OK);
	assert_int_equal(set_diff_add(r.set, r.ram[2].volume, &e, 1), SET_BAD);
	e.offset = SIZE;
	assert_int_equal(set_diff_add(r.set, r.ram[2].volume, &e, 1), SET_BAD);
	e.offset = 0;
	assert_int_equal(set_exclude(r.set, r.ram[0].volume, &e, 1), SET_OK);
	e.length = 1;
	assert_int_equal(set_exclude(r.set, r.ram[0].volume, &e, 1), SET_BAD);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_int_equal(set_diff_add(r.set, r.ram[2].volume, &e, 1), SET_STATE);
	assert_int_equal(set_exclude(r.set, r.ram[0].volume, &e, 1), SET_STATE);
	assert_int_equal(set_read(r.set, 0, 0, &(uint8_t[512]){ 0 }, 512), SET_NOT_KEPT);
	assert_false(ram_write_now(&r.ram[2], 0, 4 * CHUNK, 9));
	assert_true(image_is(&r, 1, 0, SIZE, 2));
	assert_true(ram_write_now(&r.ram[2], 4 * CHUNK, 512, 9));
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(
		    set_read(r.set, i, SIZE / 2, &(uint8_t[512]){ 0 }, 512), SET_LOST);
	rig_end(&r);
}

/* Two volumes, whose copies go to the third. */
static void
lend(struct rig *r, const struct hotcopy_extent *e)
{
	struct hotcopy_prepare p = { .volumes = 2, .memory = 1 << 20 };
	struct volume *v[2] = { r->ram[0].volume, r->ram[1].volume };
	struct hotcopy_frozen out;

	assert_int_equal(
	    set_prepare(&r->set, 1, &p, v, (struct set_notice){ events, r }), SET_OK);
	assert_int_equal(set_diff_add(r->set, r->ram[2].volume, e, 1), SET_OK);
	assert_int_equal(freeze(r, 0, 0, &out), SET_OK);
}

static void
host_waits_for_what_we_write_where_it_writes(void **state)
{
	struct hotcopy_extent e = { 4 * CHUNK, 64 * CHUNK };
	struct ram_write first, second;
	struct rig r;

	(void)state;
	rig_make(&r);
	lend(&r, &e);
	ram_set(&r.ram[2], r.ram[2].io_sticks = true);
	for (unsigned i = 40; i > 0; i--)
		ram_write_now(&r.ram[0], i * CHUNK, 512, 9);
	ram_until(&r.ram[2], r.ram[2].io_stuck == 1);
	assert_true(ram_write(&r.ram[2], &first, e.offset, e.length, 9));
	while (set_read(r.set, 0, 0, &(uint8_t[512]){ 0 }, 512) != SET_LOST)
		sched_yield();
	/* Also when all is lost already. */
	assert_true(ram_write(&r.ram[2], &second, e.offset, CHUNK, 8));
	for (int i = 0; i < 1000; i++)
		sched_yield();
	assert_false(first.finished);
	ram_set(&r.ram[2], r.ram[2].io_sticks = false);
	ram_finish(&first);
	ram_finish(&second);
	assert_true(ram_all(r.ram[2].data + e.offset + CHUNK, e.length - CHUNK, 9));
	/* And nothing of ours comes later. */
	for (unsigned i = 40; i > 0; i--)
		assert_false(ram_write_now(&r.ram[1], i * CHUNK, 512, 9));
	assert_false(ram_write_now(&r.ram[2], e.offset, e.length, 7));
	set_free(r.set);
	r.set = NULL;
	assert_true(ram_all(r.ram[2].data + e.offset, e.length, 7));
	rig_end(&r);
}

static void
a_write_nobody_knows_where_on_a_lender_drops_all(void **state)
{
	struct hotcopy_extent e = { 4 * CHUNK, 64 * CHUNK };
	struct rig r;

	(void)state;
	rig_make(&r);
	lend(&r, &e);
	volume_unknown_write(r.ram[2].volume, HOTCOPY_WHY_UNKNOWN_WRITE);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
		    set_read(r.set, i, 0, &(uint8_t[512]){ 0 }, 512), SET_LOST);
		assert_int_equal(
		    set_why(r.set, r.ram[i].volume), HOTCOPY_WHY_UNKNOWN_WRITE);
	}
	rig_end(&r);
}

/* Its own image, or its length, is no matter of the copies that lie on it. */
static void
a_lender_that_has_dropped_is_guarded_still(void **state)
{
	struct hotcopy_extent e = { 4 * CHUNK, 64 * CHUNK };
	struct rig r;

	(void)state;
	rig_make(&r);
	lend(&r, &e);
	volume_resized(r.ram[2].volume, SIZE / 2 + SIZE);
	assert_true(ram_write_now(&r.ram[0], 0, 512, 9));
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	assert_false(ram_write_now(&r.ram[2], 0, 512, 9));
	assert_true(ram_write_now(&r.ram[2], e.offset, 512, 9));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
		    set_read(r.set, i, 0, &(uint8_t[512]){ 0 }, 512), SET_LOST);
	rig_end(&r);
}

static void
a_lender_is_drained_before_copies_go_there(void **state)
{
	struct hotcopy_extent e = { 4 * CHUNK, 64 * CHUNK };
	struct hotcopy_frozen out;
	struct ram_write stuck;
	struct rig r;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	assert_int_equal(set_diff_add(r.set, r.ram[2].volume, &e, 1), SET_OK);
	ram_set(&r.ram[2], r.ram[2].writes_stick = true);
	assert_false(ram_write(&r.ram[2], &stuck, e.offset, 512, 9));
	assert_int_equal(freeze(&r, 0, 30, &out), SET_TIMEOUT);
	assert_int_equal(volume_state(r.ram[2].volume), HOTCOPY_IDLE);
	ram_let_writes(&r.ram[2]);
	ram_finish(&stuck);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	rig_end(&r);
}

/* As often as it likes, and on whatever volume. */
static void
a_loan_that_is_refused_takes_no_place(void **state)
{
	struct hotcopy_extent bad[2] = { { 4 * CHUNK, CHUNK }, { 4 * CHUNK, CHUNK } };
	struct hotcopy_extent good = { 4 * CHUNK, 64 * CHUNK };
	struct env_posix_facts before, after;
	struct hotcopy_frozen out;
	struct rig r;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	env_posix_facts(&before);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(set_diff_add(r.set, r.ram[2].volume, bad, 2), SET_BAD);
	env_posix_facts(&after);
	assert_int_equal(before.blocks, after.blocks);
	assert_int_equal(before.threads, after.threads);
	/* One of its own volumes stays in it, of course. */
	assert_int_equal(set_diff_add(r.set, r.ram[1].volume, bad, 2), SET_BAD);
	/* So its gate is not closed for the cut, and nobody waits for its writes. */
	ram_set(&r.ram[2], r.ram[2].writes_stick = true);
	{
		struct ram_write stuck;

		assert_false(ram_write(&r.ram[2], &stuck, good.offset, 512, 9));
		assert_int_equal(freeze(&r, 0, 1000, &out), SET_OK);
		ram_let_writes(&r.ram[2]);
		ram_finish(&stuck);
	}
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	assert_true(image_is(&r, 1, 0, SIZE, 2));
	set_free(r.set);
	/* Memory that lacks, at each place: the same. */
	r.set = NULL;
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	env_posix_facts(&before);
	for (unsigned n = 1, done = 0; done == 0; n++) {
		enum set_result result;

		env_posix_fail(n);
		result = set_diff_add(r.set, r.ram[2].volume, &good, 1);
		env_posix_fail(0);
		done = result == SET_OK;
		assert_true(done || result == SET_NO_MEMORY);
		assert_true(n < 100);
	}
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	rig_end(&r);
}

static void
copies_go_out_to_extents_and_come_back(void **state)
{
	struct hotcopy_extent e = { SIZE / 2, SIZE / 2 };
	struct hotcopy_prepare p = { .volumes = 1, .memory = 1 << 20 };
	struct hotcopy_frozen out;
	struct hotcopy_stats stats;
	struct rig r;

	(void)state;
	rig_make(&r);
	assert_int_equal(set_prepare(&r.set, 1, &p, &r.ram[0].volume,
			     (struct set_notice){ events, &r }),
	    SET_OK);
	/* On the same volume: the upper half holds what the lower half was. */
	assert_int_equal(set_diff_add(r.set, r.ram[0].volume, &e, 1), SET_OK);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	for (unsigned i = 0; i < SIZE / 2; i += CHUNK)
		ram_write_now(&r.ram[0], i, 512, 9);
	assert_true(image_is(&r, 0, 0, SIZE / 2, 1));
	assert_int_equal(
	    set_read(r.set, 0, SIZE / 2, &(uint8_t[512]){ 0 }, 512), SET_NOT_KEPT);
	assert_int_equal(set_stats(r.set, 0, &stats), SET_OK);
	assert_int_equal(stats.copied, SIZE / 2 / CHUNK);
	rig_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_in_the_diff_area_of_another_volume_drops_all),
		cmocka_unit_test(host_waits_for_what_we_write_where_it_writes),
		cmocka_unit_test(a_write_nobody_knows_where_on_a_lender_drops_all),
		cmocka_unit_test(a_lender_that_has_dropped_is_guarded_still),
		cmocka_unit_test(a_lender_is_drained_before_copies_go_there),
		cmocka_unit_test(a_loan_that_is_refused_takes_no_place),
		cmocka_unit_test(copies_go_out_to_extents_and_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
