/*
 * BLAKE3 gives the published bytes on every path, however the input is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/chunk/blake3.h"
#include "proto/chunk/blake3_ops.h"
#include "tests/unit/chunk/emulated/emulated.h"

#define VECTORS "tests/golden/blake3_vectors.txt"
#define VECTORS_COUNT 35
#define OUT 131
#define INPUT_MAX (300u * 1024)

static const uint8_t key[] = "whats the Elvish word for friend";
static const char context[] = "BLAKE3 2019-12-27 16:29:52 test vectors context";
static uint8_t input[INPUT_MAX];

static void
unhex(const char *hex, uint8_t *out, size_t n)
{
	size_t i;

	assert_int_equal(strlen(hex), 2 * n);
	for (i = 0; i < n; i++) {
		unsigned v;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
		out[i] = (uint8_t)v;
	}
}

/* The hash of `len` bytes given in pieces of `step` bytes. */
static void
in_pieces(size_t len, size_t step, const uint8_t *k, uint8_t *out, size_t out_len)
{
	struct blake3 h;
	size_t at, n;

	blake3_init(&h, k);
	for (at = 0; at < len; at += n) {
		n = len - at < step ? len - at : step;
		blake3_update(&h, input + at, n);
	}
	blake3_final(&h, out, out_len);
}

static void
check_vector(size_t len, const uint8_t want[3][OUT])
{
	static const size_t steps[] = { 1, 63, 64, 65, 1000, 1024, 2048, 3000, 65536 };
	uint8_t got[OUT];
	size_t i;

	blake3(input, len, NULL, got, OUT);
	assert_memory_equal(got, want[0], OUT);
	blake3(input, len, key, got, OUT);
	assert_memory_equal(got, want[1], OUT);
	blake3_derive_key(context, input, len, got, OUT);
	assert_memory_equal(got, want[2], OUT);
	/* A shorter output is a prefix of the longer one. */
	memset(got, 0xee, OUT);
	blake3(input, len, NULL, got, BLAKE3_OUT_LEN);
	assert_memory_equal(got, want[0], BLAKE3_OUT_LEN);
	assert_int_equal(got[BLAKE3_OUT_LEN], 0xee);
	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		in_pieces(len, steps[i], NULL, got, OUT);
		assert_memory_equal(got, want[0], OUT);
		in_pieces(len, steps[i], key, got, OUT);
		assert_memory_equal(got, want[1], OUT);
	}
}

static void
check_vectors(void)
{
	static char line[4 * 2 * OUT], hex[3][2 * OUT + 1];
	uint8_t want[3][OUT];
	size_t i, count = 0;
	unsigned long len;
	FILE *f;

	for (i = 0; i < INPUT_MAX; i++)
		input[i] = (uint8_t)(i % 251);
	f = fopen(VECTORS, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#')
			continue;
		assert_int_equal(
		    sscanf(line, "%lu %262s %262s %262s", &len, hex[0], hex[1], hex[2]),
		    4);
		assert_true(len <= INPUT_MAX);
		for (i = 0; i < 3; i++)
			unhex(hex[i], want[i], OUT);
		check_vector(len, (const uint8_t(*)[OUT])want);
		count++;
	}
	assert_int_equal(fclose(f), 0);
	assert_int_equal(count, VECTORS_COUNT);
}

static uint32_t seed = 1;

static uint32_t
draw(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * below) >> 32);
}

/* Against the portable path, at any length, place and cut. */
static void
check_against_portable(const struct blake3_ops *ops, int rounds)
{
	size_t i;

	for (i = 0; i < INPUT_MAX; i++)
		input[i] = (uint8_t)draw(256);
	while (rounds-- > 0) {
		size_t from = draw(70), len = draw(rounds % 4 == 0 ? 290000 : 20000);
		const uint8_t *k = draw(2) == 0 ? NULL : input + draw(1000);
		uint8_t want[64], got[64];
		struct blake3 h;
		size_t n;

		blake3_ops_use(&blake3_portable);
		blake3(input + from, len, k, want, sizeof(want));
		blake3_ops_use(ops);
		blake3(input + from, len, k, got, sizeof(got));
		assert_memory_equal(got, want, sizeof(got));
		blake3_init(&h, k);
		for (i = 0; i < len; i += n) {
			n = draw(2) == 0 ? draw(200) : draw(70000);
			if (n > len - i)
				n = len - i;
			blake3_update(&h, input + from + i, n);
		}
		blake3_final(&h, got, sizeof(got));
		assert_memory_equal(got, want, sizeof(got));
	}
}

/* Forced, the path is the one that is used, and it computes what BLAKE3 is. */
static void
check_native(enum blake3_path path)
{
	blake3_path_force(path);
	assert_int_equal(blake3_path_current(), path);
	assert_ptr_equal(blake3_ops_current(), blake3_cpu_ops(path));
	check_vectors();
	check_against_portable(blake3_cpu_ops(path), 200);
	print_message("path %s: native\n", blake3_path_name(path));
}

static void
check_emulated(const struct blake3_ops *ops)
{
	blake3_ops_use(ops);
	assert_int_equal(blake3_path_current(), ops->path);
	check_vectors();
	check_against_portable(ops, 40);
	print_message("path %s: emulated\n", blake3_path_name(ops->path));
}

static void
portable_gives_the_published_bytes(void **state)
{
	(void)state;
	assert_true(blake3_path_usable(BLAKE3_PORTABLE));
	check_native(BLAKE3_PORTABLE);
}

/* Natively where the CPU has the instructions; emulated, everywhere. */
static void
vector_paths_give_the_published_bytes(void **state)
{
	static const struct blake3_ops *const emulated[BLAKE3_PATHS] = { NULL,
		&emulated_sse41, &emulated_avx2, &emulated_avx512 };
	int path;

	(void)state;
	for (path = BLAKE3_SSE41; path < BLAKE3_PATHS; path++) {
		if (blake3_path_usable((enum blake3_path)path)) {
			check_native((enum blake3_path)path);
			print_message("run by this CPU: %s\n",
			    blake3_path_name((enum blake3_path)path));
		}
		assert_non_null(emulated[path]);
		assert_int_equal(emulated[path]->path, path);
		check_emulated(emulated[path]);
	}
}

static void
best_usable_path_is_chosen(void **state)
{
	int best = BLAKE3_PATHS - 1;

	(void)state;
	while (!blake3_path_usable((enum blake3_path)best))
		best--;
	blake3_ops_use(NULL);
	assert_int_equal(blake3_path_current(), best);
	print_message("chosen here: %s\n", blake3_path_name(blake3_path_current()));
}

/* Counters above 2^32 reach the high words; no input is that long here. */
static void
high_counters_agree(void **state)
{
	static const struct blake3_ops *const emulated[] = { &emulated_sse41,
		&emulated_avx2, &emulated_avx512 };
	static uint8_t want[33 * BLAKE3_CV_LEN], got[33 * BLAKE3_CV_LEN];
	const uint64_t counter = 0xfffffffbu;
	size_t i, n;
	int path;

	(void)state;
	for (n = 1; n <= 33; n++) {
		blake3_portable.chunks(
		    input, n, blake3_iv, counter, BLAKE3_KEYED_HASH, want);
		for (path = BLAKE3_SSE41; path < BLAKE3_PATHS; path++) {
			if (!blake3_path_usable((enum blake3_path)path))
				continue;
			blake3_cpu_ops((enum blake3_path)path)
			    ->chunks(
				input, n, blake3_iv, counter, BLAKE3_KEYED_HASH, got);
			assert_memory_equal(got, want, n * BLAKE3_CV_LEN);
		}
		for (i = 0; i < 3; i++) {
			emulated[i]->chunks(
			    input, n, blake3_iv, counter, BLAKE3_KEYED_HASH, got);
			assert_memory_equal(got, want, n * BLAKE3_CV_LEN);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(portable_gives_the_published_bytes),
		cmocka_unit_test(vector_paths_give_the_published_bytes),
		cmocka_unit_test(high_counters_agree),
		cmocka_unit_test(best_usable_path_is_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
