/* Encrypted hosts are braked, busy ones are not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/brake.h"

#define GB ((uint64_t)1000000000)
#define MAX 64u

struct series {
	struct brake_backup b[MAX];
	size_t n;
};

static uint64_t seed = 88172645463325252u;

static double
rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (double)(seed % 1000000) / 1e6;
}

/* A backup of 100 GB in which this share is new, and compresses so. */
static void
add(struct series *s, double change, double ratio)
{
	struct brake_backup *b = &s->b[s->n++];

	assert_true(s->n <= MAX);
	b->sequence = s->n;
	b->logical = 100 * GB;
	b->fresh = (uint64_t)(change * 100e9);
	b->stored = (uint64_t)((double)b->fresh * ratio);
}

/* The first full, then days of about this change. */
static void
usual(struct series *s, unsigned days, double change, double ratio)
{
	memset(s, 0, sizeof(*s));
	add(s, 1.0, 0.45);
	for (unsigned i = 0; i < days; i++)
		add(s, change * (0.5 + rnd()), ratio * (0.9 + 0.2 * rnd()));
}

static int
judge(const struct series *s, char text[BRAKE_TEXT_MAX])
{
	return brake_judge(s->b, s->n, 0, text);
}

static void
test_a_host_at_work_is_left_alone(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		/* From hardly any to a third a day, from text to films. */
		usual(&s, 3 + round % 60, 0.0005 + 0.33 * rnd() * rnd(),
		    0.2 + 0.75 * rnd());
		if (judge(&s, text))
			fail_msg("%s", text);
	}
}

static void
test_what_encrypts_a_host_brakes_it_the_same_night(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		usual(&s, 6 + round % 50, 0.001 + 0.05 * rnd(), 0.2 + 0.4 * rnd());
		/* Half of it or all in one night, or a twentieth each night. */
		add(&s, round % 2 == 0 ? 0.5 + rnd() / 2 : 0.05, 1.0);
		assert_true(judge(&s, text));
		assert_non_null(strstr(text, round % 2 == 0 ? "is new by" : "encrypted"));
	}
}

static void
test_the_line_gives_the_numbers(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s = { .n = 0 };

	(void)state;
	add(&s, 1, 0.5);
	for (int i = 0; i < 20; i++)
		add(&s, 0.02, 0.5);
	add(&s, 0.41, 0.5);
	assert_true(judge(&s, text));
	assert_string_equal(text,
	    "point 22 is new by 41.0 % of its data; the 21 before it by 2.0 %, up to "
	    "10.0 % would be usual");
	s.n--;
	add(&s, 0.09, 0.99);
	assert_true(judge(&s, text));
	assert_string_equal(text,
	    "what is new in point 22 compressed to 99 %; in the 21 before it to 50 %, up "
	    "to 85 % would be usual: is it encrypted?");
}

/* Its volumes are empty, or one of two is not backed up any more: nothing is new. */
static void
test_a_host_that_was_emptied_is_braked(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		usual(&s, 5 + round % 50, 0.001 + 0.05 * rnd(), 0.2 + 0.4 * rnd());
		add(&s, 0, 0);
		assert_false(judge(&s, text));
		s.b[s.n - 1].logical = (uint64_t)(rnd() * 0.49 * 100e9);
		assert_true(judge(&s, text));
		assert_non_null(strstr(text, "was it emptied?"));
	}
	usual(&s, 10, 0.01, 0.4);
	add(&s, 0, 0);
	s.b[s.n - 1].logical = 4 * GB;
	assert_true(judge(&s, text));
	assert_string_equal(text,
	    "point 12 has 4.0 % of the data that the smallest of the 11 before it has: "
	    "was it emptied?");
	/* Two volumes by turns, and a host that was always empty. */
	memset(&s, 0, sizeof(s));
	for (unsigned i = 0; i < 40; i++) {
		add(&s, 0.001, 0.4);
		s.b[s.n - 1].logical = i % 2 == 0 ? 100 * GB : 10 * GB;
		assert_false(judge(&s, text));
	}
	for (unsigned i = 0; i < s.n; i++)
		s.b[i] = (struct brake_backup){ .sequence = i + 1 };
	assert_false(judge(&s, text));
}

/* A thousand times the same chunk costs a host nothing, and makes its volume large. */
static void
test_nobody_hides_a_change_in_a_volume_that_was_made_large(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s;

	(void)state;
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		usual(&s, 20, 0.01, 0.4);
		add(&s, encrypted ? 0.05 : 0.8, encrypted ? 1.0 : 0.4);
		s.b[s.n - 1].logical *= 1000;
		assert_true(judge(&s, text));
		assert_non_null(strstr(text, encrypted ? "encrypted" : "is new by"));
	}
}

static void
test_a_first_full_is_not_judged_and_spoils_nothing(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s = { .n = 0 };

	(void)state;
	for (unsigned i = 0; i < BRAKE_NEEDS; i++) {
		add(&s, 1, 1);
		assert_false(judge(&s, text));
	}
	usual(&s, 4, 0.01, 0.4);
	add(&s, 0.9, 0.4);
	assert_true(judge(&s, text));
}

static void
test_a_large_change_that_was_cleared_is_not_held_against_it_again(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s;

	(void)state;
	usual(&s, 10, 0.01, 0.4);
	add(&s, 0.3, 0.4); /* A new version of its system. */
	assert_true(judge(&s, text));
	assert_false(brake_judge(s.b, s.n, s.n, text));
	assert_string_equal(text, "");
	add(&s, 0.012, 0.4);
	assert_false(brake_judge(s.b, s.n, s.n - 1, text));
	/* The next one is a case of its own. */
	add(&s, 0.3, 0.4);
	assert_true(brake_judge(s.b, s.n, s.n - 2, text));
}

static void
test_one_odd_night_does_not_make_the_next_one_usual(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s;

	(void)state;
	usual(&s, 12, 0.01, 0.4);
	add(&s, 0.8, 1);
	add(&s, 0.8, 1);
	assert_true(brake_judge(s.b, s.n, s.n - 1, text));
}

static void
test_little_data_has_no_ratio(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s;

	(void)state;
	usual(&s, 10, 0.02, 0.4);
	add(&s, 0.002, 1.3); /* Mostly nodes of trees. */
	assert_false(judge(&s, text));
}

static void
test_what_the_host_leaves_out_of_its_count_is_found(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s;

	(void)state;
	for (int lie = 0; lie < 3; lie++) {
		usual(&s, 12, 0.01, 0.4);
		add(&s, 0.6, 1);
		/* Nothing is new; as little as ever; as much as would compress so. */
		s.b[s.n - 1].fresh = lie == 0	? 0
				     : lie == 1 ? GB
						: (uint64_t)(0.6 / 0.4 * 100e9);
		assert_true(judge(&s, text));
	}
}

static void
test_nothing_and_extremes_do_no_harm(void **state)
{
	char text[BRAKE_TEXT_MAX];
	struct series s = { .n = 0 };

	(void)state;
	assert_false(judge(&s, text));
	for (int i = 0; i < 20; i++)
		add(&s, 0, 0);
	memset(s.b, 0, sizeof(s.b));
	for (unsigned i = 0; i < s.n; i++)
		s.b[i].sequence = i + 1;
	assert_false(judge(&s, text));
	s.b[19].logical = UINT64_MAX;
	s.b[19].fresh = UINT64_MAX;
	s.b[19].stored = UINT64_MAX;
	assert_true(judge(&s, text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_host_at_work_is_left_alone),
		cmocka_unit_test(test_what_encrypts_a_host_brakes_it_the_same_night),
		cmocka_unit_test(test_the_line_gives_the_numbers),
		cmocka_unit_test(test_a_host_that_was_emptied_is_braked),
		cmocka_unit_test(
		    test_nobody_hides_a_change_in_a_volume_that_was_made_large),
		cmocka_unit_test(test_a_first_full_is_not_judged_and_spoils_nothing),
		cmocka_unit_test(
		    test_a_large_change_that_was_cleared_is_not_held_against_it_again),
		cmocka_unit_test(test_one_odd_night_does_not_make_the_next_one_usual),
		cmocka_unit_test(test_little_data_has_no_ratio),
		cmocka_unit_test(test_what_the_host_leaves_out_of_its_count_is_found),
		cmocka_unit_test(test_nothing_and_extremes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
