/* Sorting in memory and past it, and spills that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/map/sorter.h"
#include "agent/map/sorter_order.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "tests/unit/agent/spill_array.h"
#include "tests/unit/scratch.h"

static struct err err = ERR_INIT;
static uint64_t random_state = 88172645463325252u;
static uint32_t width; /* Of the records that cmp() compares. */

static uint64_t
draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static int
cmp(const void *a, const void *b)
{
	return memcmp(a, b, width);
}

/* `n` records whose bytes are one of `letters`, so that many are alike. */
static uint8_t *
records(uint32_t n, uint32_t record, unsigned letters)
{
	uint8_t *p = malloc((size_t)n * record + 1);

	assert_non_null(p);
	for (size_t i = 0; i < (size_t)n * record; i++)
		p[i] = (uint8_t)(draw() % letters * 37);
	return p;
}

static void
any_bytes_are_put_in_order_in_place(void **state)
{
	static const unsigned letters[] = { 1, 2, 3, 256 };
	static const uint32_t counts[] = { 0, 1, 2, 23, 24, 25, 1000, 20000 };

	(void)state;
	for (unsigned l = 0; l < 4; l++)
		for (unsigned c = 0; c < 8; c++)
			for (uint32_t record = 1; record <= SORTER_RECORD_MAX;
			     record += 5) {
				uint8_t *p = records(counts[c], record, letters[l]);
				uint8_t *q = malloc((size_t)counts[c] * record + 1);

				memcpy(q, p, (size_t)counts[c] * record);
				width = record;
				qsort(q, counts[c], record, cmp);
				assert_int_equal(
				    sorter_order(p, counts[c], record, &err), 0);
				assert_memory_equal(p, q, (size_t)counts[c] * record);
				free(p);
				free(q);
			}
}

/* Read all of a finished sorter, which must be the `n` records of `q`. */
static void
gives(struct sorter *s, const uint8_t *q, uint32_t n, uint32_t record)
{
	const uint8_t *p;

	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(sorter_next(s, &p, &err), 1);
		assert_memory_equal(p, q + (size_t)i * record, record);
	}
	assert_int_equal(sorter_next(s, &p, &err), 0);
	assert_int_equal(sorter_next(s, &p, &err), 0);
}

static void
what_is_spilled_comes_back_in_order(void **state)
{
	static const size_t memories[] = { 1, 100, 1000, 4096, 1 << 16, 1 << 20 };
	static const uint32_t counts[] = { 0, 1, 50, 51, 3000, 40000 };
	struct spill_array spill;

	(void)state;
	for (unsigned m = 0; m < 6; m++)
		for (unsigned c = 0; c < 6; c++) {
			uint32_t n = counts[c], record = 20;
			uint8_t *p = records(n, record, 5);
			struct sorter *s;

			spill_array_init(&spill);
			assert_non_null(
			    s = sorter_new(record, memories[m], &spill.spill));
			for (uint32_t i = 0; i < n; i++)
				assert_int_equal(
				    sorter_add(s, p + (size_t)i * record, &err), 0);
			assert_int_equal(sorter_finish(s, &err), 0);
			assert_int_equal(sorter_count(s), n);
			assert_int_equal(
			    sorter_spilled(s) > 0, n > 1 && n * record > memories[m]);
			width = record;
			qsort(p, n, record, cmp);
			gives(s, p, n, record);
			assert_int_equal(sorter_rewind(s, &err), 0);
			gives(s, p, n, record);
			/* From the middle, too. */
			assert_int_equal(sorter_rewind(s, &err), 0);
			if (n > 1) {
				const uint8_t *q;

				assert_int_equal(sorter_next(s, &q, &err), 1);
				assert_int_equal(sorter_rewind(s, &err), 0);
				gives(s, p, n, record);
			}
			sorter_free(s);
			assert_int_equal(spill.files, 0);
			free(p);
		}
}

static void
memory_stays_within_its_limit(void **state)
{
	const size_t memory = 1 << 16;
	struct spill_array spill;
	struct sorter *s;
	uint8_t record[20];
	const uint8_t *p;

	(void)state;
	spill_array_init(&spill);
	assert_non_null(s = sorter_new(20, memory, &spill.spill));
	for (uint32_t i = 0; i < 400000; i++) {
		for (unsigned k = 0; k < 20; k++)
			record[k] = (uint8_t)(draw() >> 20);
		assert_int_equal(sorter_add(s, record, &err), 0);
		if (i % 1000 == 0)
			assert_true(sorter_memory(s) < memory + memory / 8);
	}
	assert_int_equal(sorter_finish(s, &err), 0);
	assert_true(sorter_memory(s) < memory + memory / 8);
	for (uint32_t i = 0; i < 400000; i++)
		assert_int_equal(sorter_next(s, &p, &err), 1);
	assert_true(sorter_memory(s) < memory + memory / 8);
	sorter_free(s);
}

static void
without_a_spill_there_is_a_limit(void **state)
{
	struct sorter *s = sorter_new(4, 400, NULL);
	uint8_t record[4] = { 0 };

	(void)state;
	assert_non_null(s);
	for (int i = 0; i < 100; i++)
		assert_int_equal(sorter_add(s, record, &err), 0);
	assert_int_equal(sorter_add(s, record, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err = (struct err)ERR_INIT;
	sorter_free(s);
}

/* All of a run over `spill`: 0, or the code of the failure. */
static int
run(struct spill_array *spill)
{
	struct sorter *s = sorter_new(8, 600, &spill->spill);
	uint8_t record[8], last[8] = { 0 };
	const uint8_t *p;
	int rc = 0, code;

	random_state = 7;
	for (int i = 0; i < 2000 && rc == 0; i++) {
		for (unsigned k = 0; k < 8; k++)
			record[k] = (uint8_t)(draw() >> 20);
		rc = sorter_add(s, record, &err);
	}
	if (rc == 0)
		rc = sorter_finish(s, &err);
	for (int i = 0; i < 2000 && rc == 0; i++) {
		rc = sorter_next(s, &p, &err) == 1 ? 0 : -1;
		if (rc == 0) {
			assert_true(memcmp(last, p, 8) <= 0);
			memcpy(last, p, 8);
		}
	}
	sorter_free(s);
	assert_int_equal(spill->files, 0);
	code = rc == 0 ? 0 : err.code;
	assert_int_equal(rc == 0, err.code == ERR_NONE);
	err = (struct err)ERR_INIT;
	return code;
}

static void
every_failure_of_the_spill_is_told(void **state)
{
	struct spill_array spill;
	uint64_t opens, writes, reads;

	(void)state;
	spill_array_init(&spill);
	assert_int_equal(run(&spill), 0);
	opens = spill.opens;
	writes = spill.writes;
	reads = spill.reads;
	/* Several levels of merging. */
	assert_true(opens > 2 && writes > 100 && reads > 100);
	for (uint64_t i = 1; i <= opens; i++) {
		spill_array_init(&spill);
		spill.fail_open = i;
		assert_int_equal(run(&spill), ERR_IO);
	}
	for (uint64_t i = 1; i <= writes; i++) {
		spill_array_init(&spill);
		spill.fail_write = i;
		assert_int_equal(run(&spill), ERR_NOSPACE);
	}
	for (uint64_t i = 1; i <= reads; i++) {
		spill_array_init(&spill);
		spill.fail_read = i;
		assert_int_equal(run(&spill), ERR_IO);
		spill_array_init(&spill);
		spill.spoil_read = i;
		assert_int_equal(run(&spill), ERR_CORRUPT);
	}
}

static void
a_spilled_file_leaves_nothing(void **state)
{
	char dir[SCRATCH_MAX], text[100] = "";
	struct spill spill;
	void *file;

	(void)state;
	scratch_make(dir);
	spill_dir(&spill, dir);
	assert_int_equal(spill.ops->open(spill.arg, &file, &err), 0);
	assert_int_equal(spill.ops->write(file, 0, "0123456789", 10, &err), 0);
	assert_int_equal(spill.ops->write(file, 10, "abcdef", 6, &err), 0);
	assert_int_equal(spill.ops->read(file, 8, text, 4, &err), 0);
	assert_string_equal(text, "89ab");
	assert_int_equal(spill.ops->read(file, 14, text, 4, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	err = (struct err)ERR_INIT;
	spill.ops->close(file);
	/* Empty, then. */
	assert_int_equal(file_remove_dir(dir, &err), 0);
	assert_int_equal(spill.ops->open(spill.arg, &file, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err = (struct err)ERR_INIT;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_bytes_are_put_in_order_in_place),
		cmocka_unit_test(what_is_spilled_comes_back_in_order),
		cmocka_unit_test(memory_stays_within_its_limit),
		cmocka_unit_test(without_a_spill_there_is_a_limit),
		cmocka_unit_test(every_failure_of_the_spill_is_told),
		cmocka_unit_test(a_spilled_file_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
