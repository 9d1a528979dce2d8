/* Boot entries of UEFI are read, made and moved as the specification has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "rescue/loadopt.h"

static const struct loadopt_drive esp = { 1, 2048, 131072,
	{ 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8 } };

/*
 * Written byte by byte from UEFI 2.10, 3.1.3 and 10.3: "WB", HD(1,GPT,...,0x800,
 * 0x20000), File(\E), end, and two bytes for the loader.
 */
static const uint8_t golden[] = {
	/* clang-format off */
	1, 0, 0, 0,  0x38, 0,
	'W', 0, 'B', 0, 0, 0,
	4, 1, 42, 0,  1, 0, 0, 0,  0, 8, 0, 0, 0, 0, 0, 0,  0, 0, 2, 0, 0, 0, 0, 0,
	0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8,  2, 2,
	4, 4, 10, 0,  '\\', 0, 'E', 0, 0, 0,
	0x7f, 0xff, 4, 0,
	0xab, 0xcd,
	/* clang-format on */
};

static void
test_reads(void **state)
{
	struct err err = ERR_INIT;
	struct loadopt o;

	(void)state;
	assert_int_equal(loadopt_parse(golden, sizeof(golden), &o, &err), 0);
	assert_int_equal(o.attributes, 1);
	assert_string_equal(o.description, "WB");
	assert_true(o.has_drive);
	assert_int_equal(o.number, 1);
	assert_int_equal(o.start, 2048);
	assert_int_equal(o.length, 131072);
	assert_memory_equal(o.id, esp.id, 16);
	assert_string_equal(o.path, "\\E");
}

static void
test_makes(void **state)
{
	struct buf b = BUF_INIT(LOADOPT_LEN_MAX);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(loadopt_make("WB", &esp, "\\E", &b, &err), 0);
	assert_int_equal(b.len, sizeof(golden) - 2);
	assert_memory_equal(b.p, golden, b.len);
	buf_free(&b);
}

static void
test_moves_only_the_drive(void **state)
{
	struct loadopt_drive to = { 3, UINT64_C(1) << 33, 4096, { 9 } };
	struct buf b = BUF_INIT(LOADOPT_LEN_MAX);
	struct err err = ERR_INIT;
	struct loadopt o;

	(void)state;
	assert_int_equal(loadopt_moved(golden, sizeof(golden), &to, &b, &err), 0);
	assert_int_equal(b.len, sizeof(golden));
	assert_memory_equal(b.p, golden, 16);
	assert_memory_equal(b.p + 52, golden + 52, sizeof(golden) - 52);
	assert_int_equal(loadopt_parse(b.p, b.len, &o, &err), 0);
	assert_int_equal(o.number, 3);
	assert_int_equal(o.start, UINT64_C(1) << 33);
	assert_int_equal(o.length, 4096);
	assert_int_equal(o.id[0], 9);
	buf_free(&b);
}

static void
test_same(void **state)
{
	struct buf b = BUF_INIT(2 * LOADOPT_LEN_MAX);
	struct loadopt_drive other = esp;
	struct err err = ERR_INIT;
	struct loadopt a, o;

	(void)state;
	assert_int_equal(loadopt_parse(golden, sizeof(golden), &a, &err), 0);
	assert_int_equal(loadopt_make("another name", &esp, "\\e", &b, &err), 0);
	assert_int_equal(loadopt_parse(b.p, b.len, &o, &err), 0);
	assert_true(a.data_len > 0);
	assert_false(loadopt_same(&a, &o)); /* Of the two one tells its loader more. */
	assert_int_equal(loadopt_parse(golden, sizeof(golden) - a.data_len, &a, &err), 0);
	assert_true(loadopt_same(&a, &o));
	buf_clear(&b);
	other.id[15]++;
	assert_int_equal(loadopt_make("WB", &other, "\\E", &b, &err), 0);
	assert_int_equal(loadopt_parse(b.p, b.len, &o, &err), 0);
	assert_false(loadopt_same(&a, &o));
	buf_free(&b);
}

static void
test_any_cut_is_refused_or_shorter(void **state)
{
	struct err err = ERR_INIT;
	struct loadopt o;
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(golden) - 2; n++) {
		err_clear(&err);
		assert_int_equal(loadopt_parse(golden, n, &o, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
	}
}

/* A node of no length would be read for ever. */
static void
test_lengths_that_lie(void **state)
{
	struct err err = ERR_INIT;
	uint8_t bad[sizeof(golden)];
	struct loadopt o;

	(void)state;
	memcpy(bad, golden, sizeof(golden));
	store_le16(bad + 14, 0);
	assert_int_equal(loadopt_parse(bad, sizeof(bad), &o, &err), -1);
	err_clear(&err);
	store_le16(bad + 14, 0xffff);
	assert_int_equal(loadopt_parse(bad, sizeof(bad), &o, &err), -1);
	err_clear(&err);
	memcpy(bad, golden, sizeof(golden));
	bad[53] = 1; /* An id of MBR's kind is no GUID. */
	assert_int_equal(loadopt_parse(bad, sizeof(bad), &o, &err), 0);
	assert_false(o.has_drive);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_makes),
		cmocka_unit_test(test_moves_only_the_drive),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_any_cut_is_refused_or_shorter),
		cmocka_unit_test(test_lengths_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
