/*
 * record_test.c - what the registry keeps of a tracking store comes back as it was, for
 * its own volume only; and a record of which one byte is wrong is none, or says the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "driver/abi/hotcopy.h"
#include "driver/core/env.h"
#include "driver/nt/record.h"

static const uint8_t id[24] = "DMIO:ID:0123456789abcdef";

static struct hotcopy_track *
asked(uint32_t extents)
{
	uint32_t size = (uint32_t)(sizeof(struct hotcopy_track) +
				   extents * sizeof(struct hotcopy_extent));
	struct hotcopy_track *t = calloc(1, size);

	assert_non_null(t);
	t->h.size = size;
	t->h.abi = HOTCOPY_ABI;
	t->volume = 3;
	t->flags = HOTCOPY_TRACK_CREATE;
	t->extents = extents;
	memset(t->guid, 7, sizeof(t->guid));
	memset(t->nonce, 9, sizeof(t->nonce));
	for (uint32_t i = 0; i < extents; i++) {
		t->extent[i].offset = (uint64_t)i << 33;
		t->extent[i].length = 4096 + 512 * i;
	}
	return t;
}

static void
test_a_record_comes_back_without_create(void **state)
{
	static const uint32_t extents[] = { 1, 2, HOTCOPY_EXTENTS_MAX };

	(void)state;
	for (uint32_t bytes = 1; bytes <= sizeof(id); bytes++) {
		uint8_t other[sizeof(id)];

		memcpy(other, id, sizeof(id));
		other[bytes - 1] ^= 1;
		for (int i = 0; i < 3; i++) {
			struct hotcopy_track *t = asked(extents[i]), *back;
			uint32_t size;
			uint8_t *record = record_make(id, bytes, t, &size);

			assert_non_null(record);
			back = record_read(record, size, id, bytes);
			assert_non_null(back);
			assert_int_equal(back->flags, 0);
			assert_int_equal(back->extents, t->extents);
			assert_memory_equal(back->guid, t->guid, sizeof(t->guid));
			assert_memory_equal(
			    back->extent, t->extent, t->extents * sizeof(t->extent[0]));
			env_free(back);
			if (bytes > 1)
				assert_null(record_read(record, size, id, bytes - 1));
			assert_null(record_read(record, size, other, bytes));
			assert_null(record_read(record, size - 1, id, bytes));
			env_free(record);
			free(t);
		}
	}
}

static void
test_nothing_is_kept_that_cannot_be_read_again(void **state)
{
	static const uint8_t long_id[RECORD_ID_MAX + 1];
	struct hotcopy_track *t = asked(1);
	uint32_t size;

	(void)state;
	assert_null(record_make(id, 0, t, &size));
	assert_null(record_make(long_id, RECORD_ID_MAX + 1, t, &size));
	t->extents = 0; /* in memory alone */
	assert_null(record_make(id, sizeof(id), t, &size));
	t->extents = HOTCOPY_EXTENTS_MAX + 1;
	assert_null(record_make(id, sizeof(id), t, &size));
	free(t);
}

static void
test_a_wrong_byte_is_refused_or_changes_a_number_only(void **state)
{
	struct hotcopy_track *t = asked(2), *back;
	uint32_t size;
	uint8_t *record = record_make(id, sizeof(id), t, &size);
	uint32_t guid = 16 + sizeof(id) + offsetof(struct hotcopy_track, guid);
	uint32_t extent = 16 + sizeof(id) + sizeof(struct hotcopy_track);

	(void)state;
	assert_non_null(record);
	for (uint32_t at = 0; at < size; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			record[at] ^= (uint8_t)(1u << bit);
			back = record_read(record, size, id, sizeof(id));
			if (back != NULL) {
				/* The store's own header tells whether they are right. */
				assert_true(
				    at >= extent || (at >= guid && at < guid + 16));
				assert_int_equal(back->extents, 2);
				assert_int_equal(back->flags, 0);
			}
			env_free(back);
			record[at] ^= (uint8_t)(1u << bit);
		}
	/* An extent of nothing, and one past the end of all numbers. */
	memset(record + extent + 8, 0, 8);
	assert_null(record_read(record, size, id, sizeof(id)));
	memset(record + extent, 0xff, 16);
	assert_null(record_read(record, size, id, sizeof(id)));
	for (uint32_t cut = 0; cut < size; cut++)
		assert_null(record_read(record, cut, id, sizeof(id)));
	env_free(record);
	free(t);
}

static void
test_names_are_of_the_identification(void **state)
{
	char a[RECORD_NAME], b[RECORD_NAME];

	(void)state;
	record_name("a", 1, a); /* FNV-1a's published value */
	assert_string_equal(a, "af63dc4c8601ec8c");
	record_name(id, sizeof(id), a);
	record_name(id, sizeof(id) - 1, b);
	assert_string_not_equal(a, b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_comes_back_without_create),
		cmocka_unit_test(test_nothing_is_kept_that_cannot_be_read_again),
		cmocka_unit_test(test_a_wrong_byte_is_refused_or_changes_a_number_only),
		cmocka_unit_test(test_names_are_of_the_identification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
