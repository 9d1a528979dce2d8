/* Feature bits are refused by number; typed fields come back or are refused whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"

static void
test_the_lowest_unknown_bit_is_named(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(feature_check(0, 0, "a thing", &err), 0);
	assert_int_equal(feature_check(5, 7, "a thing", &err), 0);
	assert_int_equal(feature_check(0x80000015u, 5, "a thing", &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_string_equal(
	    err.text, "a thing needs feature 4, which this program does not know");
}

static void
test_fields_come_back_in_order(void **state)
{
	struct buf b = BUF_INIT(100);
	struct err err = ERR_INIT;
	struct feature_field f;
	size_t at = 0;

	(void)state;
	assert_int_equal(feature_add_field(&b, 3, "abc", 3, &err), 0);
	assert_int_equal(feature_add_field(&b, 3, "", 0, &err), 0);
	assert_int_equal(feature_add_field(&b, 0x8004, "d", 1, &err), 0);
	assert_int_equal(feature_next(b.p, b.len, &at, &f), 1);
	assert_true(f.type == 3 && f.len == 3 && memcmp(f.p, "abc", 3) == 0);
	assert_int_equal(feature_next(b.p, b.len, &at, &f), 1);
	assert_true(f.type == 3 && f.len == 0);
	assert_int_equal(feature_next(b.p, b.len, &at, &f), 1);
	assert_true(f.type == 0x8004 && f.len == 1);
	assert_int_equal(feature_next(b.p, b.len, &at, &f), 0);
	buf_free(&b);
}

static void
test_required_fields_must_be_known_and_all_in_order(void **state)
{
	static const uint16_t known[] = { 0x8004 };
	struct buf b = BUF_INIT(100);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(feature_check_fields(NULL, 0, NULL, 0, "it", &err), 0);
	assert_int_equal(feature_add_field(&b, 3, "abc", 3, &err), 0);
	assert_int_equal(feature_add_field(&b, 0x8004, "d", 1, &err), 0);
	assert_int_equal(feature_check_fields(b.p, b.len, known, 1, "it", &err), 0);
	assert_int_equal(feature_check_fields(b.p, b.len, NULL, 0, "it", &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_string_equal(
	    err.text, "it needs field 4, which this program does not know");
	err_clear(&err);
	for (size_t n = 0; n < b.len; n++) {
		assert_int_equal(feature_check_fields(b.p, n, known, 1, "it", &err),
		    n == 0 || n == 9 ? 0 : -1);
		assert_int_equal(err.code, n == 0 || n == 9 ? ERR_NONE : ERR_CORRUPT);
		err_clear(&err);
	}
	assert_int_equal(feature_add_field(&b, 2, "", 0, &err), 0);
	assert_int_equal(feature_check_fields(b.p, b.len, known, 1, "it", &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_lowest_unknown_bit_is_named),
		cmocka_unit_test(test_fields_come_back_in_order),
		cmocka_unit_test(test_required_fields_must_be_known_and_all_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
