/* Bitmaps do what an array of bools does, from any start to any end, and single bits are
   never lost when threads change neighbours. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "driver/core/bits.h"
#include "driver/core/env.h"

#define MOST 300u

static uint32_t seed = 1;

static uint32_t
dice(uint32_t sides)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

static void
same(const struct bits *b, const bool *model)
{
	uint64_t set = 0;

	for (uint64_t i = 0; i < b->count; i++) {
		assert_int_equal(bits_get(b, i), model[i]);
		set += model[i];
	}
	assert_int_equal(bits_number(b), set);
}

static void
same_next(const struct bits *b, const bool *model, uint64_t i)
{
	uint64_t set = i, clear = i;

	while (set < b->count && !model[set])
		set++;
	while (clear < b->count && model[clear])
		clear++;
	assert_int_equal(bits_next_set(b, i), set < b->count ? set : b->count);
	assert_int_equal(bits_next_clear(b, i), clear < b->count ? clear : b->count);
}

static void
one_range(struct bits *b, bool *model, uint64_t first, uint64_t last)
{
	uint64_t end = last < b->count ? last + 1 : b->count, set = 0;
	bool to = dice(2);
	uint64_t was;

	for (uint64_t i = first; i < end; i++)
		set += model[i];
	assert_int_equal(bits_any(b, first, last), set > 0);
	assert_int_equal(bits_all(b, first, last), first >= end || set == end - first);
	was = to ? (first < end ? end - first : 0) - set : set;
	assert_int_equal(
	    to ? bits_set_range(b, first, last) : bits_clear_range(b, first, last), was);
	for (uint64_t i = first; i < end; i++)
		model[i] = to;
}

static void
ranges_are_as_an_array_would_have_them(void **state)
{
	(void)state;
	for (uint64_t count = 1; count < MOST; count += 1 + dice(9)) {
		bool model[MOST] = { false };
		struct bits b;

		assert_int_equal(bits_make(&b, count), 0);
		for (int round = 0; round < 60; round++) {
			uint64_t first = dice((uint32_t)count), last = first + dice(MOST);
			uint64_t i = dice((uint32_t)count);

			one_range(&b, model, first, round % 9 ? last : UINT64_MAX);
			assert_int_equal(bits_set(&b, i), !model[i]);
			model[i] = true;
			i = dice((uint32_t)count);
			assert_int_equal(bits_clear(&b, i), model[i]);
			model[i] = false;
			same(&b, model);
			same_next(&b, model, dice((uint32_t)count + 9));
		}
		assert_false(bits_any(&b, 1, 0));
		assert_true(bits_all(&b, 1, 0));
		assert_int_equal(bits_set_range(&b, count, UINT64_MAX), 0);
		bits_free(&b);
	}
}

static void
bytes_go_out_and_come_in(void **state)
{
	(void)state;
	for (int round = 0; round < 3000; round++) {
		uint64_t count = 1 + dice(MOST - 1), first = dice(MOST / 8) * 8;
		uint32_t n = dice(MOST);
		bool model[MOST] = { false };
		uint8_t bytes[MOST / 8 + 1], in[MOST / 8 + 1];
		struct bits b;

		assert_int_equal(bits_make(&b, count), 0);
		for (uint64_t i = 0; i < count; i++)
			if ((model[i] = dice(2)))
				bits_set(&b, i);
		memset(bytes, 0xa5, sizeof(bytes));
		bits_export(&b, first, n, bytes);
		for (uint32_t i = 0; i < (n + 7) / 8 * 8; i++) {
			bool want = i < n && first + i < count && model[first + i];

			assert_int_equal(bytes[i / 8] >> i % 8 & 1, want);
		}
		for (uint32_t i = (n + 7) / 8; i < sizeof(bytes); i++)
			assert_int_equal(bytes[i], 0xa5);
		for (uint32_t i = 0; i < sizeof(in); i++)
			in[i] = (uint8_t)dice(256);
		bits_import(&b, first, n, in);
		for (uint32_t i = 0; i < n && first + i < count; i++)
			model[first + i] |= in[i / 8] >> i % 8 & 1;
		same(&b, model);
		bits_free(&b);
	}
}

static void
merging_is_a_union(void **state)
{
	bool model[MOST] = { false };
	struct bits a, b;

	(void)state;
	assert_int_equal(bits_make(&a, MOST), 0);
	assert_int_equal(bits_make(&b, MOST), 0);
	for (int i = 0; i < 80; i++) {
		uint64_t at = dice(MOST);

		bits_set(dice(2) ? &a : &b, at);
		model[at] = true;
	}
	bits_merge(&a, &b);
	same(&a, model);
	bits_free(&a);
	bits_free(&b);
}

static void
no_bits_and_too_many(void **state)
{
	struct bits b;

	(void)state;
	assert_int_equal(bits_make(&b, 0), 0);
	assert_false(bits_any(&b, 0, UINT64_MAX));
	assert_true(bits_all(&b, 0, UINT64_MAX));
	assert_int_equal(bits_next_set(&b, 0), 0);
	assert_int_equal(bits_next_clear(&b, 7), 0);
	assert_int_equal(bits_set_range(&b, 0, UINT64_MAX), 0);
	assert_int_equal(bits_number(&b), 0);
	bits_free(&b);
	assert_int_equal(bits_make(&b, UINT64_MAX), -1);
	assert_null(b.word);
	bits_free(&b);
	bits_free(&b);
}

#define THREADS 4u
#define ROUNDS 2000u

struct worker {
	struct bits *bits;
	uint32_t number;
	uint64_t changed;
	struct env_thread thread;
};

/* Each has every fourth bit, so that all share every word. */
static void
work(void *arg)
{
	struct worker *w = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		w->changed += bits_set(w->bits, i * THREADS + w->number);
		if (i % 2 == 1)
			w->changed += bits_clear(w->bits, (i - 1) * THREADS + w->number);
	}
	/* And all want this one: only one may have changed it. */
	w->changed += bits_set(w->bits, ROUNDS * THREADS) ? 1000000 : 0;
}

static void
no_bit_is_lost_between_threads(void **state)
{
	struct worker worker[THREADS] = { { 0 } };
	uint64_t changed = 0;
	struct bits b;

	(void)state;
	assert_int_equal(bits_make(&b, ROUNDS * THREADS + 1), 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		worker[i].bits = &b;
		worker[i].number = i;
		assert_int_equal(
		    env_thread_start(&worker[i].thread, work, &worker[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		env_thread_join(&worker[i].thread);
		changed += worker[i].changed;
	}
	assert_int_equal(changed, THREADS * (ROUNDS + ROUNDS / 2) + 1000000);
	assert_int_equal(bits_number(&b), THREADS * ROUNDS / 2 + 1);
	for (uint64_t i = 0; i < ROUNDS * THREADS; i++)
		assert_int_equal(bits_get(&b, i), i / THREADS % 2);
	bits_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_as_an_array_would_have_them),
		cmocka_unit_test(bytes_go_out_and_come_in),
		cmocka_unit_test(merging_is_a_union),
		cmocka_unit_test(no_bits_and_too_many),
		cmocka_unit_test(no_bit_is_lost_between_threads),
	};

	return cmocka_run_group_tests_name("driver_bits", tests, NULL, NULL);
}
