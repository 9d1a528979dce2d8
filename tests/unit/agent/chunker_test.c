/* Cuts depend on content alone, keep their bounds and find each other again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "agent/map/chunker.h"

#define BYTES (64u << 20)

static uint8_t *
noise(size_t len, uint64_t seed)
{
	uint8_t *p = malloc(len);

	assert_non_null(p);
	for (size_t i = 0; i + 8 <= len; i += 8) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		memcpy(p + i, &seed, 8);
	}
	return p;
}

static void
stays_within_bounds_and_near_the_average(void **state)
{
	uint8_t *p = noise(BYTES, 7);
	size_t pos = 0, chunks = 0, n;

	(void)state;
	while (pos < BYTES) {
		n = chunker_cut(p + pos, BYTES - pos, BYTES - pos < CHUNKER_MAX);
		assert_in_range(n, 1, CHUNKER_MAX);
		assert_true(n >= CHUNKER_MIN || pos + n == BYTES);
		pos += n;
		chunks++;
	}
	assert_int_equal(pos, BYTES);
	print_message("average %zu bytes\n", BYTES / chunks);
	assert_in_range(
	    BYTES / chunks, CHUNKER_AVERAGE * 8 / 10, CHUNKER_AVERAGE * 12 / 10);
	free(p);
}

static void
takes_whole_what_is_shorter_than_the_minimum(void **state)
{
	uint8_t p[CHUNKER_MIN];

	(void)state;
	memset(p, 1, sizeof(p));
	assert_int_equal(chunker_cut(p, 0, 1), 0);
	assert_int_equal(chunker_cut(p, 1, 1), 1);
	assert_int_equal(chunker_cut(p, CHUNKER_MIN, 1), CHUNKER_MIN);
}

/* All-equal bytes never meet the condition: the maximum is what ends a chunk. */
static void
ends_monotonous_bytes_at_the_maximum(void **state)
{
	uint8_t *p = calloc(1, 2 * CHUNKER_MAX);

	(void)state;
	assert_non_null(p);
	assert_int_equal(chunker_cut(p, 2 * CHUNKER_MAX, 0), CHUNKER_MAX);
	free(p);
}

/* An insertion moves everything; after it the old cuts come back. */
static void
finds_the_same_cuts_after_an_insertion(void **state)
{
	const size_t len = 8u << 20, at = 1000003, grown = 5;
	uint8_t *a = noise(len, 3), *b = malloc(len + grown),
		*is_cut = calloc(1, len + 1);
	size_t same = 0, all = 0;

	(void)state;
	assert_non_null(b);
	assert_non_null(is_cut);
	memcpy(b, a, at);
	memset(b + at, 0x55, grown);
	memcpy(b + at + grown, a + at, len - at);
	for (size_t pos = 0; pos < len; is_cut[pos] = 1)
		pos += chunker_cut(a + pos, len - pos, 1);
	for (size_t pos = 0; pos < len + grown;) {
		pos += chunker_cut(b + pos, len + grown - pos, 1);
		all++;
		same += is_cut[pos < at ? pos : pos - grown];
	}
	assert_true(all - same <= 6);
	free(a);
	free(b);
	free(is_cut);
}

/* The cut of given bytes never changes between versions: agents of all ages share chunks.
 */
static void
cuts_where_it_always_did(void **state)
{
	static const size_t want[] = { 21235, 22264, 81497, 78620, 75747, 74652 };
	uint8_t *p = noise(4u << 20, 42);
	size_t pos = 0, n;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		n = chunker_cut(p + pos, (4u << 20) - pos, 0);
		assert_int_equal(n, want[i]);
		pos += n;
	}
	free(p);
}

static void
says_how_fast_it_is(void **state)
{
	uint8_t *p = noise(BYTES, 9);
	struct timespec a, b;
	size_t pos = 0;
	double s;

	(void)state;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	while (pos < BYTES)
		pos += chunker_cut(p + pos, BYTES - pos, 1);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	print_message("%.2f GB per second of CPU\n", BYTES / s / 1e9);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_within_bounds_and_near_the_average),
		cmocka_unit_test(takes_whole_what_is_shorter_than_the_minimum),
		cmocka_unit_test(ends_monotonous_bytes_at_the_maximum),
		cmocka_unit_test(finds_the_same_cuts_after_an_insertion),
		cmocka_unit_test(cuts_where_it_always_did),
		cmocka_unit_test(says_how_fast_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
