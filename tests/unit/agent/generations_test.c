/*
 * Which generations the server holds: what was noted is told again, newest first, at most
 * so many; rubbish tells of nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/backup/generations.h"
#include "proto/base/buf.h"
#include "tests/unit/scratch.h"

static struct tracking_generation all[GENERATIONS_MAX];

static struct tracking_generation
generation(uint64_t number)
{
	struct tracking_generation g = { .number = number };

	memset(g.nonce, (int)(number * 37 + 1), sizeof(g.nonce));
	return g;
}

static void
what_was_noted_is_told_newest_first(void **state)
{
	struct tracking_generation two[2] = { generation(1), generation(2) },
				   g = generation(3);
	struct err err = ERR_INIT;
	char path[SCRATCH_MAX];

	scratch_path(*state, "held", path);
	assert_int_equal(generations_load(path, all), 0);
	assert_int_equal(generations_add(path, two, 2, &err), 0);
	assert_int_equal(generations_add(path, &g, 1, &err), 0);
	/* Once more: it is the newest again, and there once. */
	assert_int_equal(generations_add(path, &two[0], 1, &err), 0);
	assert_int_equal(generations_load(path, all), 3);
	assert_memory_equal(&all[0], &two[0], sizeof(g));
	assert_memory_equal(&all[1], &g, sizeof(g));
	assert_memory_equal(&all[2], &two[1], sizeof(g));
}

static void
the_oldest_go(void **state)
{
	struct tracking_generation g;
	struct err err = ERR_INIT;
	char path[SCRATCH_MAX];

	scratch_path(*state, "many", path);
	for (unsigned i = 0; i < GENERATIONS_MAX + 2; i++) {
		g = generation(i + 1);
		assert_int_equal(generations_add(path, &g, 1, &err), 0);
	}
	assert_int_equal(generations_load(path, all), GENERATIONS_MAX);
	assert_int_equal(all[0].number, GENERATIONS_MAX + 2);
	assert_int_equal(all[GENERATIONS_MAX - 1].number, 3);
}

static void
rubbish_tells_of_nothing(void **state)
{
	struct tracking_generation g = generation(9);
	struct buf file = BUF_INIT(65536);
	struct err err = ERR_INIT;
	char path[SCRATCH_MAX];

	scratch_path(*state, "rubbish", path);
	assert_int_equal(generations_add(path, &g, 1, &err), 0);
	assert_int_equal(file_load(path, &file, &err), 1);
	for (size_t i = 0; i < file.len; i++) {
		file.p[i] ^= 1;
		assert_int_equal(file_store(path, file.p, file.len, 0600, &err), 0);
		assert_int_equal(generations_load(path, all), 0);
		file.p[i] ^= 1;
		assert_int_equal(file_store(path, file.p, i, 0600, &err), 0);
		assert_int_equal(generations_load(path, all), 0);
	}
	/* What is not whole is begun anew. */
	assert_int_equal(generations_add(path, &g, 1, &err), 0);
	assert_int_equal(generations_load(path, all), 1);
	buf_free(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_noted_is_told_newest_first),
		cmocka_unit_test(the_oldest_go),
		cmocka_unit_test(rubbish_tells_of_nothing),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
