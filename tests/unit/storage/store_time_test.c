/*
 * The server's clock jumps a year ahead or back, while the store is open or
 * closed: what judges locks and retention does not follow, records stay in order,
 * it is said, and it ends by itself or by an operator's word.
 */
#include "storage/catalog.h"
#include "storage/fs_fault.h"
#include "storage/journal.h"
#include "storage/store_escrow.h"
#include "storage/store_options.h"
#include "storage/store_space.h"
#include "storage/store_time.h"
#include "tests/unit/storage/store_rig.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)
#define BEGAN (INT64_C(1700000000) * SECOND)

static int64_t wall, mono;

static int64_t
read_wall(void)
{
	return wall;
}

static int64_t
read_mono(void)
{
	return mono;
}

/* Time goes by as it does. */
static void
pass_time(int64_t us)
{
	wall += us;
	mono += us;
}

struct world {
	struct fs_fault *ff;
	struct store *s;
	struct err err;
	unsigned raised, ended;
};

static void
open_it(struct world *w)
{
	struct store_options o = STORE_OPTIONS_INIT;

	o.clock = read_wall;
	o.monotonic = read_mono;
	mono += 1000; /* It may begin anywhere. */
	rig_ok(store_open_with_fs(fs_fault_fs(w->ff), NULL, &o, &w->s, &w->err), &w->err);
}

static void
close_it(struct world *w)
{
	store_close(w->s);
	w->s = NULL;
	mono = 77 * HOUR; /* The machine may have been started anew. */
}

static void
setup_world(struct world *w)
{
	memset(w, 0, sizeof(*w));
	wall = BEGAN;
	mono = 5 * HOUR;
	w->ff = fs_fault_new(1);
	assert_non_null(w->ff);
	rig_ok(store_init_fs(fs_fault_fs(w->ff), &w->err), &w->err);
	/*
	 * The store was made with the machine's clock: that is the time, and no part of a
	 * second less, which a slow machine's records would be ahead of it by.
	 */
	wall = ((int64_t)time(NULL) + 1) * SECOND;
	open_it(w);
}

static void
end_world(struct world *w)
{
	store_close(w->s);
	fs_fault_free(w->ff);
}

static void
count(void *arg, int over, const char *line)
{
	struct world *w = arg;

	assert_true(line[0] != '\0');
	if (over)
		w->ended++;
	else
		w->raised++;
}

static void
tick(struct world *w, unsigned raised, unsigned ended)
{
	store_tick(w->s, count, w);
	assert_int_equal(w->raised, raised);
	assert_int_equal(w->ended, ended);
}

static void
note(struct world *w)
{
	rig_ok(store_audit(w->s, "test", "time goes on", &w->err), &w->err);
}

static void
near(int64_t have, int64_t want)
{
	if (have < want - SECOND || have > want + SECOND)
		fail_msg(
		    "%lld s from what it should be", (long long)((have - want) / SECOND));
}

/* What stands is also among the store's alarms. */
static void
expect_paused(struct world *w, int paused)
{
	struct store_alarm alarms[STORE_NOTICES_MAX];
	char why[STORE_TEXT_MAX] = "";

	assert_int_equal(store_time_paused(w->s, why), paused);
	assert_int_equal(why[0] != '\0', paused);
	assert_int_equal(store_alarms(w->s, alarms), paused);
	if (paused)
		assert_string_equal(alarms[0].text, why);
}

static void
test_jump_while_open_is_not_followed_and_passes(void **state)
{
	for (int back = 0; back < 2; back++) {
		int64_t jump = back ? -YEAR : YEAR, right;
		struct world w;

		(void)state;
		setup_world(&w);
		pass_time(40 * DAY);
		expect_paused(&w, 0);
		near(store_time_trusted(w.s), wall);
		note(&w);
		tick(&w, 0, 0);

		wall += jump;
		expect_paused(&w, 1);
		pass_time(3 * HOUR);
		right = wall - jump;
		near(store_time_trusted(w.s), right);
		tick(&w, 1, 0);
		tick(&w, 1, 0);
		/* What is recorded meanwhile is of the right time as well. */
		note(&w);
		near(store_now(w.s), right);

		wall -= jump;
		expect_paused(&w, 0);
		near(store_time_trusted(w.s), wall);
		near(store_now(w.s), wall);
		tick(&w, 1, 1);
		end_world(&w);
	}
}

static void
test_small_steps_are_followed_but_do_not_add_up(void **state)
{
	struct world w;

	(void)state;
	setup_world(&w);
	wall += 23 * HOUR;
	expect_paused(&w, 0);
	near(store_time_trusted(w.s), wall);
	wall += 2 * HOUR;
	expect_paused(&w, 1);
	end_world(&w);
}

static void
test_jump_while_closed_pauses_until_the_clock_is_right(void **state)
{
	for (int back = 0; back < 2; back++) {
		int64_t jump = back ? -YEAR : YEAR;
		struct world w;

		(void)state;
		setup_world(&w);
		note(&w);
		close_it(&w);
		wall += jump;
		open_it(&w);
		expect_paused(&w, 1);
		near(store_time_trusted(w.s), wall - jump);
		tick(&w, 1, 0);
		note(&w);
		/* Opened again, it is still so, and no alarm of its own. */
		close_it(&w);
		open_it(&w);
		expect_paused(&w, 1);
		tick(&w, 1, 0);
		close_it(&w);
		/* Right again, after some days of being off. */
		wall -= jump;
		wall += 3 * DAY;
		open_it(&w);
		expect_paused(&w, 0);
		near(store_time_trusted(w.s), wall);
		near(store_now(w.s), wall);
		tick(&w, 1, 1);
		end_world(&w);
	}
}

static void
test_long_rest_is_accepted_by_an_operator(void **state)
{
	struct world w;

	(void)state;
	setup_world(&w);
	note(&w);
	close_it(&w);
	wall += 30 * DAY;
	open_it(&w);
	expect_paused(&w, 1);
	tick(&w, 1, 0);
	rig_ok(store_time_accept(w.s, "alice", &w.err), &w.err);
	expect_paused(&w, 0);
	near(store_time_trusted(w.s), wall);
	tick(&w, 1, 0); /* The operator knows. */
	close_it(&w);
	open_it(&w);
	expect_paused(&w, 0);
	near(store_time_trusted(w.s), wall);
	end_world(&w);
}

/* A wrong clock was accepted: records are a year ahead, and stay in order. */
static void
test_records_a_year_ahead_do_not_move_the_trusted_time(void **state)
{
	struct world w;
	int64_t ahead;

	(void)state;
	setup_world(&w);
	wall += YEAR;
	rig_ok(store_time_accept(w.s, "bob", &w.err), &w.err);
	note(&w);
	ahead = store_now(w.s);
	near(ahead, wall);
	close_it(&w);
	wall += HOUR - YEAR;
	open_it(&w);
	expect_paused(&w, 1);
	rig_ok(store_time_accept(w.s, "alice", &w.err), &w.err);
	expect_paused(&w, 0);
	near(store_time_trusted(w.s), wall);
	note(&w);
	assert_true(store_now(w.s) > ahead);
	/* For weeks, with the server off now and then. */
	for (int i = 0; i < 8; i++) {
		pass_time(2 * DAY);
		store_tick(w.s, count, &w);
		near(store_time_trusted(w.s), wall);
		note(&w);
		close_it(&w);
		pass_time(4 * DAY);
		open_it(&w);
		expect_paused(&w, 0);
		near(store_time_trusted(w.s), wall);
	}
	assert_true(store_now(w.s) > ahead && store_now(w.s) < ahead + DAY);
	end_world(&w);
}

static void
test_store_that_was_told_to_believes_the_clock(void **state)
{
	struct world w;

	(void)state;
	setup_world(&w);
	close_it(&w);
	rig_ok(store_open_fs(fs_fault_fs(w.ff), NULL, read_wall, &w.s, &w.err), &w.err);
	wall += YEAR;
	expect_paused(&w, 0);
	near(store_time_trusted(w.s), wall);
	end_world(&w);
}

/*
 * Beside the store, which is closed, a record is made with the machine's clock: it
 * must not become what the store goes by.
 */
static void
test_keys_exported_at_a_wrong_time_open_no_lock(void **state)
{
	for (int back = 0; back < 2; back++) {
		struct world w;
		int64_t right;

		(void)state;
		setup_world(&w);
		note(&w);
		close_it(&w);
		right = wall;
		wall += back ? -YEAR : YEAR;
		rig_ok(store_escrow_note_fs(fs_fault_fs(w.ff), STORE_ESCROW_SEALED,
			   "local", read_wall, &w.err),
		    &w.err);
		open_it(&w);
		expect_paused(&w, 1);
		near(store_time_trusted(w.s), right);
		close_it(&w);
		/* A clock that can be believed is, here as well. */
		wall = right + DAY;
		rig_ok(store_escrow_note_fs(fs_fault_fs(w.ff), STORE_ESCROW_SEALED,
			   "local", read_wall, &w.err),
		    &w.err);
		open_it(&w);
		expect_paused(&w, 0);
		near(store_time_trusted(w.s), wall);
		end_world(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jump_while_open_is_not_followed_and_passes),
		cmocka_unit_test(test_small_steps_are_followed_but_do_not_add_up),
		cmocka_unit_test(test_jump_while_closed_pauses_until_the_clock_is_right),
		cmocka_unit_test(test_long_rest_is_accepted_by_an_operator),
		cmocka_unit_test(test_records_a_year_ahead_do_not_move_the_trusted_time),
		cmocka_unit_test(test_store_that_was_told_to_believes_the_clock),
		cmocka_unit_test(test_keys_exported_at_a_wrong_time_open_no_lock),
	};

	return cmocka_run_group_tests_name("store_time", tests, NULL, NULL);
}
