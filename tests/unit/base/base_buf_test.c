/* Buffers keep their limit, cursors their range. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/cursor.h"
#include "proto/base/err.h"

static void
a_buffer_never_passes_its_limit(void **state)
{
	(void)state;
	for (size_t max = 0; max < 700; max += 13) {
		struct buf b = BUF_INIT(max);
		struct err err = ERR_INIT;
		size_t n = 0;

		while (buf_add_u8(&b, (uint8_t)n, &err) == 0)
			n++;
		assert_int_equal(n, max);
		assert_int_equal(err.code, ERR_LIMIT);
		assert_true(b.cap <= (max > 0 ? max : 1));
		for (size_t i = 0; i < n; i++)
			assert_int_equal(b.p[i], (uint8_t)i);
		buf_free(&b);
	}
}

static void
dropping_keeps_the_rest(void **state)
{
	struct buf b = BUF_INIT(64);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(buf_add(&b, "abcdefgh", 8, &err), 0);
	buf_drop(&b, 3);
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.p, "defgh", 5);
	buf_drop(&b, 99);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

static void
integers_come_back_from_any_alignment(void **state)
{
	struct buf b = BUF_INIT(64);
	struct err err = ERR_INIT;
	struct cursor c;

	(void)state;
	buf_add_u8(&b, 0x11, &err);
	buf_add_le16(&b, 0x2233, &err);
	buf_add_le32(&b, 0x44556677, &err);
	assert_int_equal(buf_add_le64(&b, 0x8899aabbccddeeffu, &err), 0);
	assert_int_equal(b.p[1], 0x33);
	cursor_init(&c, b.p, b.len);
	assert_int_equal(cursor_u8(&c), 0x11);
	assert_int_equal(cursor_le16(&c), 0x2233);
	assert_int_equal(cursor_le32(&c), 0x44556677);
	assert_true(cursor_le64(&c) == 0x8899aabbccddeeffu);
	assert_false(c.bad);
	assert_int_equal(c.left, 0);
	buf_free(&b);
}

static void
a_cursor_past_its_end_stays_bad_and_yields_zeros(void **state)
{
	static const uint8_t raw[3] = { 1, 2, 3 };
	uint8_t out[4] = { 9, 9, 9, 9 };
	struct cursor c;

	(void)state;
	cursor_init(&c, raw, sizeof(raw));
	assert_int_equal(cursor_le32(&c), 0);
	assert_true(c.bad);
	assert_int_equal(cursor_u8(&c), 0);
	assert_null(cursor_bytes(&c, 0));
	cursor_copy(&c, out, sizeof(out));
	for (size_t i = 0; i < sizeof(out); i++)
		assert_int_equal(out[i], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_never_passes_its_limit),
		cmocka_unit_test(dropping_keeps_the_rest),
		cmocka_unit_test(integers_come_back_from_any_alignment),
		cmocka_unit_test(a_cursor_past_its_end_stays_bad_and_yields_zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
