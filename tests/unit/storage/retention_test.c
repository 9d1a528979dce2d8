/* What a policy keeps: against an oracle that is slow and simple, and by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "storage/retention.h"

#define MAX 400u
#define HOUR ((int64_t)3600 * 1000000)
#define DAY (24 * HOUR)

static uint64_t seed = 88172645463325252u;

static uint64_t
rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* The microsecond of a local date in the zone that TZ says. */
static int64_t
at(int year, int month, int day, int hour, int minute)
{
	struct tm tm = { .tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_isdst = -1 };

	return (int64_t)mktime(&tm) * 1000000;
}

static void
use_zone(const char *name)
{
	assert_int_equal(setenv("TZ", name, 1), 0);
	tzset();
}

/* ------------------------------------------------------------------- oracle -- */

/*
 * The rules once more, from the words of retention.h alone: names of slots by
 * strftime(), sets by comparing all with all.
 */
static void
slot_name(int rule, const struct retention_point *p, char out[64])
{
	time_t t = (time_t)(p->time_us / 1000000);
	struct tm tm;
	size_t n = 0;

	assert_non_null(localtime_r(&t, &tm));
	switch (rule) {
	case RETENTION_HOURLY:
		n = strftime(out, 64, "%Y-%m-%d %H %z", &tm);
		break;
	case RETENTION_DAILY:
		n = strftime(out, 64, "%Y-%m-%d", &tm);
		break;
	case RETENTION_WEEKLY:
		n = strftime(out, 64, "%G-%V", &tm);
		break;
	case RETENTION_MONTHLY:
		n = strftime(out, 64, "%Y-%m", &tm);
		break;
	case RETENTION_YEARLY:
		n = strftime(out, 64, "%Y", &tm);
		break;
	default:
		n = (size_t)snprintf(out, 64, "%llu", (unsigned long long)p->sequence);
		break;
	}
	assert_true(n > 0);
}

/* Names of all points by rule, as long as these points are looked at. */
static char slot_names[6][MAX][64];

static void
name_slots(const struct retention_point *p, size_t n)
{
	for (int rule = 0; rule < 6; rule++)
		for (size_t i = 0; i < n; i++)
			slot_name(rule, &p[i], slot_names[rule][i]);
}

static int
is_newer(const struct retention_point *a, const struct retention_point *b)
{
	return a->time_us > b->time_us ||
	       (a->time_us == b->time_us && a->sequence > b->sequence);
}

/* Is `p` the newest in its slot, of all or of those that are whole? */
static int
newest_of_slot(
    int rule, const struct retention_point *p, size_t n, size_t i, int64_t now, int whole)
{
	for (size_t k = 0; k < n; k++)
		if (!(whole && p[k].damaged) && p[k].time_us <= now &&
		    is_newer(&p[k], &p[i]) &&
		    strcmp(slot_names[rule][i], slot_names[rule][k]) == 0)
			return 0;
	return 1;
}

/* How many slots have their newest whole point before `i`, its own left out. */
static uint32_t
slots_before(int rule, const struct retention_point *p, size_t n, size_t i, int64_t now)
{
	uint32_t count = 0;

	for (size_t k = 0; k < n; k++)
		count += !p[k].damaged && p[k].time_us <= now && is_newer(&p[k], &p[i]) &&
			 strcmp(slot_names[rule][i], slot_names[rule][k]) != 0 &&
			 newest_of_slot(rule, p, n, k, now, 1);
	return count;
}

static int
oracle_keeps(const struct store_rules *r, const struct retention_point *p, size_t n,
    size_t i, int64_t now)
{
	const uint32_t counts[] = { r->last, r->hourly, r->daily, r->weekly, r->monthly,
		r->yearly };
	uint32_t verified = 0;
	int any = r->within_s > 0;

	for (int rule = 0; rule < 6; rule++)
		any |= counts[rule] > 0;
	if (!any || p[i].held || p[i].locked || p[i].time_us > now)
		return 1;
	if (r->within_s > 0 && now - p[i].time_us <= (int64_t)r->within_s * 1000000)
		return 1;
	for (int rule = 0; rule < 6; rule++)
		if (counts[rule] > 0 &&
		    newest_of_slot(rule, p, n, i, now, !p[i].damaged) &&
		    slots_before(rule, p, n, i, now) < counts[rule])
			return 1;
	if (!p[i].verified)
		return 0;
	for (size_t k = 0; k < n; k++)
		verified += p[k].verified && !p[k].damaged && p[k].time_us <= now &&
			    is_newer(&p[k], &p[i]);
	return verified < r->min_verified;
}

/* The newest that is whole stays. */
static void
keep_newest(const struct retention_point *p, size_t n, int64_t now, int *keeps)
{
	size_t best = n;

	for (size_t i = 0; i < n; i++)
		if (!p[i].damaged && p[i].time_us <= now &&
		    (best == n || is_newer(&p[i], &p[best])))
			best = i;
	if (best < n)
		keeps[best] = 1;
}

static void
oracle_good(const struct retention_point *p, size_t n, int64_t now, int *keeps)
{
	int whole = 0, damaged = 0;

	for (size_t i = 0; i < n; i++) {
		whole |= keeps[i] && !p[i].damaged && p[i].time_us <= now;
		damaged |= keeps[i] && p[i].damaged;
	}
	if (damaged && !whole)
		keep_newest(p, n, now, keeps);
	for (size_t i = 0; i < n; i++)
		keeps[i] |= p[i].proven && !p[i].damaged && p[i].time_us <= now;
}

/* The set that stays, by the oracle. */
static void
oracle(const struct store_rules *r, const struct retention_point *p, size_t n,
    int64_t now, int *keeps)
{
	uint32_t kept = 0;

	name_slots(p, n);
	for (size_t i = 0; i < n; i++)
		keeps[i] = oracle_keeps(r, p, n, i, now);
	for (int good = 1; good >= 0; good--) {
		for (size_t i = 0; i < n; i++)
			kept +=
			    keeps[i] && (!p[i].damaged && p[i].time_us <= now) == good;
		while (kept < r->min_points) {
			size_t best = n;

			for (size_t i = 0; i < n; i++)
				if (!keeps[i] &&
				    (!p[i].damaged && p[i].time_us <= now) == good &&
				    (best == n || is_newer(&p[i], &p[best])))
					best = i;
			if (best == n)
				break;
			keeps[best] = 1;
			kept++;
		}
	}
	oracle_good(p, n, now, keeps);
}

/* ----------------------------------------------------------------- property -- */

static void
check(const struct store_rules *r, const struct retention_point *p, size_t n, int64_t now)
{
	static struct retention_verdict v[MAX];
	static int want[MAX];
	struct err err = ERR_INIT;
	uint32_t verified = 0, verified_kept = 0, whole = 0, whole_kept = 0;
	char text[300];

	assert_int_equal(retention_judge(r, p, n, &retention_local, now, v, &err), 0);
	oracle(r, p, n, now, want);
	for (size_t i = 0; i < n; i++) {
		retention_say(r, &p[i], &v[i], &retention_local, text, sizeof(text));
		if ((v[i].rules != 0) != want[i])
			fail_msg("%s: point %llu of %zu at %lld: %s, the oracle says %d",
			    getenv("TZ"), (unsigned long long)p[i].sequence, n,
			    (long long)p[i].time_us, text, want[i]);
		assert_true(text[0] != '\0');
		if (p[i].held || p[i].locked)
			assert_true(v[i].rules != 0);
		verified += p[i].verified && !p[i].damaged;
		verified_kept += p[i].verified && !p[i].damaged && v[i].rules != 0;
		whole += !p[i].damaged;
		whole_kept += !p[i].damaged && v[i].rules != 0;
	}
	/* The two floors hold whatever else is said. */
	assert_true(verified_kept >= r->min_verified || verified_kept == verified);
	assert_true(whole_kept >= r->min_points || whole_kept == whole);
}

/* Judged again after what goes is gone, nothing more goes. */
static void
check_again(const struct store_rules *r, struct retention_point *p, size_t n, int64_t now)
{
	static struct retention_verdict v[MAX];
	struct err err = ERR_INIT;
	size_t left = 0;

	assert_int_equal(retention_judge(r, p, n, &retention_local, now, v, &err), 0);
	for (size_t i = 0; i < n; i++)
		if (v[i].rules != 0)
			p[left++] = p[i];
	if (left == 0)
		return;
	assert_int_equal(retention_judge(r, p, left, &retention_local, now, v, &err), 0);
	for (size_t i = 0; i < left; i++)
		assert_true(v[i].rules != 0);
}

static uint32_t
some(uint32_t below)
{
	return rnd(3) == 0 ? 0 : (uint32_t)rnd(below);
}

static void
random_rules(struct store_rules *r)
{
	*r = (struct store_rules){ some(6), some(12), some(9), some(7), some(6), some(4),
		rnd(3) == 0 ? 1 + rnd(20 * 86400) : 0, (uint32_t)rnd(4), (uint32_t)rnd(3),
		0 };
	if (rnd(20) == 0)
		memset(r, 0, sizeof(*r));
}

/* A series of backups, as they come or as they should not. */
static size_t
random_points(struct retention_point *p, int64_t *now)
{
	static const int64_t steps[] = { 0, 1, 1000000, HOUR / 4, HOUR, 6 * HOUR, DAY,
		7 * DAY, 40 * DAY };
	/* Just before the clocks change, leap days and turns of the year. */
	static const int starts[][3] = { { 2026, 3, 27 }, { 2026, 10, 23 },
		{ 2028, 2, 27 }, { 2026, 12, 30 }, { 2100, 2, 26 }, { 2024, 12, 28 },
		{ 2026, 3, 6 }, { 2026, 10, 30 }, { 2026, 4, 3 } };
	const int *s = starts[rnd(sizeof(starts) / sizeof(starts[0]))];
	int64_t t = at(s[0], s[1], s[2], (int)rnd(24), (int)rnd(60));
	size_t n = 1 + rnd(rnd(30) == 0 ? 90 : 25);
	int64_t step = steps[rnd(9)];
	uint64_t sequence = 0;

	for (size_t i = 0; i < n; i++) {
		sequence += 1 + rnd(3);
		if (rnd(4) == 0)
			step = steps[rnd(9)];
		t += step == 0 ? 0 : step / 2 + (int64_t)rnd((uint64_t)step + 1);
		p[i] = (struct retention_point){ .time_us = t,
			.sequence = sequence,
			.held = rnd(15) == 0,
			.locked = rnd(15) == 0,
			.verified = rnd(4) == 0,
			.damaged = rnd(6) == 0,
			.proven = rnd(5) == 0 };
	}
	/* In any order. */
	for (size_t i = n; i > 1; i--) {
		size_t k = rnd(i);
		struct retention_point q = p[k];

		p[k] = p[i - 1];
		p[i - 1] = q;
	}
	*now = rnd(5) == 0 ? t - (int64_t)rnd(3 * DAY) : t + (int64_t)rnd(3 * DAY);
	return n;
}

static void
test_it_is_what_the_oracle_says(void **state)
{
	static const char *const zones[] = { "UTC", "Europe/Berlin", "America/New_York",
		"Asia/Kolkata", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia",
		/* Clocks that go back over midnight. */
		"AAA-1BBB-2,M3.5.0/2,M10.5.0/0:30" };
	static struct retention_point p[MAX];
	struct store_rules r;
	int64_t now;
	size_t n;

	(void)state;
	for (unsigned round = 0; round < 12000; round++) {
		if (round % 1500 == 0)
			use_zone(zones[round / 1500]);
		random_rules(&r);
		n = random_points(p, &now);
		check(&r, p, n, now);
		check_again(&r, p, n, now);
	}
}

/* ------------------------------------------------------------------ by hand -- */

/* What is said of each of `n` points, numbered from 1; NULL: it goes. */
static void
expect(const struct store_rules *r, struct retention_point *p, size_t n, int64_t now,
    const char *const *want)
{
	struct retention_verdict v[MAX];
	struct err err = ERR_INIT;
	char text[300];

	for (size_t i = 0; i < n; i++)
		if (p[i].sequence == 0)
			p[i].sequence = i + 1;
	assert_int_equal(retention_judge(r, p, n, &retention_local, now, v, &err), 0);
	for (size_t i = 0; i < n; i++) {
		retention_say(r, &p[i], &v[i], &retention_local, text, sizeof(text));
		assert_string_equal(text, want[i] != NULL ? want[i] : "no rule keeps it");
	}
}

static void
test_the_newest_of_a_slot_stays_and_says_so(void **state)
{
	const struct store_rules r = { .daily = 3, .weekly = 2 };
	struct retention_point p[] = { { at(2026, 11, 8, 12, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2026, 11, 15, 12, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2026, 11, 22, 23, 59), 0, 0, 0, 0, 0, 0 },
		{ at(2026, 11, 23, 0, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2026, 11, 23, 9, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2026, 11, 24, 9, 0), 0, 0, 0, 0, 0, 0 } };
	const char *const want[] = { NULL, NULL,
		"daily 3 of 3 (2026-11-22), weekly 2 of 2 (2026-W47)", NULL,
		"daily 2 of 3 (2026-11-23)",
		"daily 1 of 3 (2026-11-24), weekly 1 of 2 (2026-W48)" };

	(void)state;
	expect(&r, p, 6, at(2026, 11, 25, 0, 0), want);
}

static void
test_an_hour_that_comes_twice_is_two(void **state)
{
	const struct store_rules r = { .hourly = 3 };
	struct retention_point p[4];
	const char *const want[] = { NULL, "hourly 3 of 3 (2026-10-25 02:00)",
		"hourly 2 of 3 (2026-10-25 02:00)", "hourly 1 of 3 (2026-10-25 03:00)" };
	int64_t one;

	(void)state;
	use_zone("Europe/Berlin");
	one = at(2026, 10, 25, 1, 30);
	memset(p, 0, sizeof(p));
	for (int i = 0; i < 4; i++)
		p[i].time_us = one + i * HOUR;
	expect(&r, p, 4, one + DAY, want);
	use_zone("UTC");
}

static void
test_a_day_without_an_hour_is_a_day(void **state)
{
	const struct store_rules r = { .daily = 2 };
	struct retention_point p[4] = { { 0 } };
	const char *const want[] = { NULL, "daily 2 of 2 (2026-03-29)", NULL,
		"daily 1 of 2 (2026-03-30)" };

	(void)state;
	use_zone("Europe/Berlin");
	p[0].time_us = at(2026, 3, 28, 23, 59);
	p[1].time_us = p[0].time_us + 23 * HOUR;
	p[2].time_us = p[1].time_us + 2 * HOUR;
	p[3].time_us = p[2].time_us + HOUR;
	expect(&r, p, 4, p[3].time_us, want);
	use_zone("UTC");
}

static void
test_a_leap_day_is_a_day_and_a_year_ends_where_it_ends(void **state)
{
	const struct store_rules r = { .daily = 1, .monthly = 3, .yearly = 2 };
	struct retention_point p[] = { { at(2027, 12, 31, 23, 59), 0, 0, 0, 0, 0, 0 },
		{ at(2028, 1, 1, 0, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2028, 2, 28, 12, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2028, 2, 29, 12, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2028, 3, 1, 0, 0), 0, 0, 0, 0, 0, 0 } };
	const char *const want[] = { "yearly 2 of 2 (2027)", "monthly 3 of 3 (2028-01)",
		NULL, "monthly 2 of 3 (2028-02)",
		"daily 1 of 1 (2028-03-01), monthly 1 of 3 (2028-03), yearly 1 of 2 "
		"(2028)" };

	(void)state;
	expect(&r, p, 5, at(2028, 3, 2, 0, 0), want);
}

static void
test_a_clock_that_stood_still_goes_by_sequence(void **state)
{
	const struct store_rules r = { .last = 2, .daily = 5 };
	struct retention_point p[4] = { { 0 } };
	const char *const want[] = { NULL, NULL, "last 2 of 2",
		"last 1 of 2, daily 1 of 5 (2026-11-25)" };

	(void)state;
	for (int i = 0; i < 4; i++)
		p[i].time_us = at(2026, 11, 25, 12, 0);
	expect(&r, p, 4, at(2026, 11, 26, 0, 0), want);
}

static void
test_damage_takes_nobodys_place(void **state)
{
	const struct store_rules r = { .daily = 2, .min_verified = 1 };
	struct retention_point p[] = {
		{ at(2026, 11, 20, 1, 0), 0, 0, 0, 1, 0, 0 },
		{ at(2026, 11, 21, 1, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2026, 11, 22, 1, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2026, 11, 23, 1, 0), 0, 0, 0, 1, 1, 0 },
		{ at(2026, 11, 24, 1, 0), 0, 0, 0, 0, 0, 0 },
		{ at(2026, 11, 24, 2, 0), 0, 0, 0, 0, 1, 0 },
	};
	const char *const want[] = { "verified 1 of 1", NULL, "daily 2 of 2 (2026-11-22)",
		"daily 2 of 2 (2026-11-23), verified 1 of 1", "daily 1 of 2 (2026-11-24)",
		"daily 1 of 2 (2026-11-24)" };

	(void)state;
	expect(&r, p, 6, at(2026, 11, 25, 0, 0), want);
}

/* All behind the proven one may be found wrong tomorrow, at once. */
static void
test_the_last_good_one_stays(void **state)
{
	const struct store_rules r = { .last = 1 }, young = { .within_s = 2 * 86400 };
	int64_t now = at(2026, 11, 25, 12, 0);
	struct retention_point p[5];
	const char *const proven[] = { NULL, "the last good one", NULL, NULL,
		"last 1 of 1" };
	/* Of two volumes; one that is damaged is none. */
	const char *const apart[] = { "the last good one", NULL, NULL, NULL,
		"last 1 of 1, the last good one" };
	const char *const wrong[] = { NULL, NULL, "the last good one", "within 2d",
		"within 2d" };

	(void)state;
	memset(p, 0, sizeof(p));
	for (int i = 0; i < 5; i++)
		p[i].time_us = now - (4 - i) * DAY - HOUR;
	p[1].proven = 1;
	expect(&r, p, 5, now, proven);
	p[0].proven = p[4].proven = p[1].damaged = 1;
	expect(&r, p, 5, now, apart);
	/* Nor do wrong ones stay without it, though no number is asked for. */
	memset(p, 0, sizeof(p));
	for (int i = 0; i < 5; i++)
		p[i].time_us = now - (4 - i) * DAY - HOUR;
	p[3].damaged = p[4].damaged = 1;
	expect(&young, p, 5, now, wrong);
}

static void
test_what_is_held_locked_young_or_ahead_stays(void **state)
{
	const struct store_rules r = { .last = 1, .within_s = 3600, .min_points = 4 };
	int64_t now = at(2026, 11, 25, 12, 0);
	struct retention_point p[] = {
		{ now - 9 * DAY, 0, 1, 0, 0, 0, 0 },
		{ now - 8 * DAY, 0, 0, 1, 0, 0, 0 },
		{ now - 7 * DAY, 0, 0, 0, 0, 0, 0 },
		{ now - HOUR - 1, 0, 0, 0, 0, 0, 0 },
		{ now - HOUR, 0, 0, 0, 0, 0, 0 },
		{ now + 1, 0, 0, 0, 0, 0, 0 },
	};
	const char *const want[] = { "held", "locked", NULL, "minimum 4 of 4",
		"last 1 of 1, within 1h", "later than the server's time" };

	(void)state;
	expect(&r, p, 6, now, want);
}

static void
test_no_rules_keep_everything(void **state)
{
	const struct store_rules r = {
		.min_points = 1, .min_verified = 1, .verified_s = 5
	};
	struct retention_point p[] = { { 5, 0, 0, 0, 0, 0, 0 }, { 6, 0, 0, 0, 0, 0, 0 } };
	const char *const want[] = { "no rules", "no rules" };
	struct err err = ERR_INIT;
	char text[200];

	(void)state;
	expect(&r, p, 2, at(2026, 11, 25, 12, 0), want);
	assert_int_equal(
	    retention_judge(&r, NULL, 0, &retention_local, 0, NULL, &err), 0);
	retention_say_rules(&r, text, sizeof(text));
	assert_string_equal(text,
	    "everything, at least 1, 1 verified, the newest verified one at most 5s old");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_newest_of_a_slot_stays_and_says_so),
		cmocka_unit_test(test_an_hour_that_comes_twice_is_two),
		cmocka_unit_test(test_a_day_without_an_hour_is_a_day),
		cmocka_unit_test(test_a_leap_day_is_a_day_and_a_year_ends_where_it_ends),
		cmocka_unit_test(test_a_clock_that_stood_still_goes_by_sequence),
		cmocka_unit_test(test_damage_takes_nobodys_place),
		cmocka_unit_test(test_the_last_good_one_stays),
		cmocka_unit_test(test_what_is_held_locked_young_or_ahead_stays),
		cmocka_unit_test(test_no_rules_keep_everything),
		cmocka_unit_test(test_it_is_what_the_oracle_says),
	};

	use_zone("UTC");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
