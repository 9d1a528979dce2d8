/*
 * When `run` makes its next backup after a restart: the interval goes on, whatever the
 * clock did, and a note that makes no sense is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/host/schedule.h"
#include "agent/host/settings.h"
#include "agent/host/state.h"
#include "proto/base/buf.h"
#include "tests/unit/scratch.h"

#define S INT64_C(1000000)
#define NOW (INT64_C(1790000000) * S)
#define DAY 86400u
#define AGAIN 900u

static const uint8_t what[SCHEDULE_WHAT] = { 1, 2, 3 }, other[SCHEDULE_WHAT] = { 4 };

static void
wait_is(int64_t done_us, int64_t began_us, int64_t now_us, uint32_t expected)
{
	struct schedule s = { .done_us = done_us, .began_us = began_us };

	memcpy(s.what, what, sizeof(what));
	assert_int_equal(schedule_wait_s(&s, what, now_us, DAY, AGAIN), expected);
}

static void
the_interval_goes_on(void **state)
{
	struct schedule s = { .done_us = NOW };

	(void)state;
	wait_is(0, 0, NOW, 0);
	wait_is(NOW, 0, NOW, DAY);
	wait_is(NOW - 3600 * S, 0, NOW, DAY - 3600);
	wait_is(NOW - DAY * S, 0, NOW, 0);
	wait_is(NOW - 3 * DAY * S, 0, NOW, 0);
	/* Other volumes, or another server: they have none. */
	memcpy(s.what, what, sizeof(what));
	assert_int_equal(schedule_wait_s(&s, other, NOW, DAY, AGAIN), 0);
	/* A shorter interval counts at once. */
	s.done_us = NOW - 7200 * S;
	assert_int_equal(schedule_wait_s(&s, what, NOW, 3600, AGAIN), 0);
	assert_int_equal(schedule_wait_s(&s, what, NOW, 10800, AGAIN), 3600);
}

static void
what_fell_over_is_not_begun_at_once(void **state)
{
	(void)state;
	wait_is(0, NOW - 10 * S, NOW, AGAIN - 10);
	wait_is(NOW - 2 * DAY * S, NOW - 10 * S, NOW, AGAIN - 10);
	wait_is(NOW - 2 * DAY * S, NOW - 2 * AGAIN * S, NOW, 0);
	wait_is(NOW - 3600 * S, NOW - 10 * S, NOW, DAY - 3600);
}

static void
no_clock_puts_it_off(void **state)
{
	(void)state;
	/* Put right by a little: the same clock. */
	wait_is(NOW + 60 * S, 0, NOW, DAY);
	wait_is(NOW + SCHEDULE_SKEW_S * S, 0, NOW, DAY);
	/* It was, or is, wrong: nothing is known. */
	wait_is(NOW + (SCHEDULE_SKEW_S + 1) * S, 0, NOW, 0);
	wait_is(NOW + 3650 * DAY * S, NOW + 3650 * DAY * S, NOW, 0);
	wait_is(INT64_MAX, INT64_MAX, NOW, 0);
	wait_is(INT64_MIN, INT64_MIN, NOW, 0);
	wait_is(NOW, NOW, 0, 0);
	wait_is(NOW, NOW, -NOW, 0);
	wait_is(NOW, NOW, INT64_MAX, 0);
}

static void
it_is_kept(void **state)
{
	struct schedule s = { 0 }, again;
	struct state *st;
	struct err err = ERR_INIT;
	struct buf file = BUF_INIT(STATE_FILE_MAX);

	assert_int_equal(state_open(*state, &st, &err), 0);
	schedule_load(st, &again);
	assert_memory_equal(&again, &s, sizeof(s));
	assert_int_equal(schedule_begin(st, &s, what, NOW, &err), 0);
	schedule_load(st, &again);
	assert_true(again.began_us == NOW && again.done_us == 0);
	assert_memory_equal(again.what, what, sizeof(what));
	assert_int_equal(schedule_end(st, &s, 1, NOW + S, &err), 0);
	schedule_load(st, &again);
	assert_true(again.began_us == 0 && again.done_us == NOW + S);
	/* One that made no point leaves the last good one. */
	assert_int_equal(schedule_begin(st, &s, what, NOW + 2 * S, &err), 0);
	assert_int_equal(schedule_end(st, &s, 0, NOW + 3 * S, &err), 0);
	schedule_load(st, &again);
	assert_true(again.began_us == 0 && again.done_us == NOW + S);
	/* Of other volumes there was none. */
	assert_int_equal(schedule_begin(st, &s, other, NOW + 4 * S, &err), 0);
	schedule_load(st, &again);
	assert_true(again.began_us == NOW + 4 * S && again.done_us == 0);
	/* Any bit of it, any length. */
	assert_int_equal(state_read(st, SCHEDULE_NAME, &file, &err), 1);
	for (size_t i = 0; i < file.len; i++) {
		file.p[i] ^= 0x10;
		assert_int_equal(
		    state_write(st, SCHEDULE_NAME, file.p, file.len, 0600, &err), 0);
		schedule_load(st, &again);
		assert_true(again.began_us == 0 && again.done_us == 0);
		file.p[i] ^= 0x10;
		assert_int_equal(
		    state_write(st, SCHEDULE_NAME, file.p, i, 0600, &err), 0);
		schedule_load(st, &again);
		assert_true(again.began_us == 0 && again.done_us == 0);
	}
	buf_free(&file);
	state_close(st);
}

static void
what_is_backed_up_is_known_again(void **state)
{
	struct settings *s = malloc(sizeof(*s));
	uint8_t a[SCHEDULE_WHAT], b[SCHEDULE_WHAT];
	struct err err = ERR_INIT;
	struct state *st;

	assert_int_equal(state_open(*state, &st, &err), 0);
	settings_init(s);
	assert_int_equal(settings_add(s, "c=/a", &err), 0);
	schedule_what(st, s, a);
	s->interval_s = 5;
	schedule_what(st, s, b);
	assert_memory_equal(a, b, sizeof(a));
	strcpy(s->volumes[0].path, "/b");
	schedule_what(st, s, b);
	assert_memory_not_equal(a, b, sizeof(a));
	settings_init(s);
	assert_int_equal(settings_add_disk(s, "c=/a", &err), 0);
	schedule_what(st, s, b);
	assert_memory_not_equal(a, b, sizeof(a));
	settings_init(s);
	strcpy(s->include, "D:");
	schedule_what(st, s, a);
	settings_init(s);
	strcpy(s->exclude, "D:");
	schedule_what(st, s, b);
	assert_memory_not_equal(a, b, sizeof(a));
	state_close(st);
	free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_interval_goes_on),
		cmocka_unit_test(what_fell_over_is_not_begun_at_once),
		cmocka_unit_test(no_clock_puts_it_off),
		cmocka_unit_test_setup_teardown(
		    it_is_kept, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(
		    what_is_backed_up_is_known_again, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
