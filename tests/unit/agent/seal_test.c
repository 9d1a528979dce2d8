/*
 * The key's file: what is sealed opens again, a header is judged, a foreign seal is
 * told of with the way out, and a key that was kept plain still is one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/host/seal.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

static const uint8_t key[] = { 0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20 };

static void
what_is_sealed_opens_again(void **state)
{
	struct buf file = BUF_INIT(65536), out = BUF_INIT(65536);
	struct err err = ERR_INIT, why = ERR_INIT;
	enum seal_kind kind, opened;

	(void)state;
	assert_int_equal(seal_protect(key, sizeof(key), &file, &kind, &why, &err), 0);
	assert_int_equal(why.code, ERR_NONE);
	assert_int_equal(kind, seal_available() ? SEAL_DPAPI : SEAL_NONE);
	assert_int_equal(file.len == sizeof(key) && memcmp(file.p, key, file.len) == 0,
	    kind == SEAL_NONE);
	assert_int_equal(seal_open(file.p, file.len, &out, &opened, &err), 0);
	assert_int_equal(opened, kind);
	assert_int_equal(out.len, sizeof(key));
	assert_memory_equal(out.p, key, sizeof(key));
	buf_free(&file);
	buf_free(&out);
}

static void
a_plain_key_is_a_key(void **state)
{
	struct buf out = BUF_INIT(65536);
	struct err err = ERR_INIT;
	enum seal_kind kind = SEAL_DPAPI;

	(void)state;
	assert_int_equal(seal_open(key, sizeof(key), &out, &kind, &err), 0);
	assert_int_equal(kind, SEAL_NONE);
	assert_memory_equal(out.p, key, sizeof(key));
	buf_free(&out);
}

static void
a_seal_of_elsewhere_is_told_of(void **state)
{
	uint8_t file[SEAL_HEADER_LEN + 40];
	struct buf out = BUF_INIT(65536);
	struct err err = ERR_INIT;
	enum seal_kind kind;

	(void)state;
	memset(file, 7, sizeof(file));
	seal_header(file, SEAL_DPAPI, 40);
	assert_int_equal(seal_open(file, sizeof(file), &out, &kind, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.text, "enroll TOKEN --replace"));
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

static void
a_header_is_judged(void **state)
{
	uint8_t file[SEAL_HEADER_LEN + 4];
	struct err err = ERR_INIT;
	enum seal_kind kind;
	const uint8_t *blob;
	size_t len;

	(void)state;
	memset(file, 7, sizeof(file));
	seal_header(file, SEAL_DPAPI, 4);
	assert_int_equal(seal_parse(file, sizeof(file), &kind, &blob, &len, &err), 0);
	assert_int_equal(kind, SEAL_DPAPI);
	assert_ptr_equal(blob, file + SEAL_HEADER_LEN);
	assert_int_equal(len, 4);
	for (size_t cut = 8; cut < sizeof(file); cut++) {
		assert_int_equal(seal_parse(file, cut, &kind, &blob, &len, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		err_clear(&err);
	}
	file[8] = 2;
	assert_int_equal(seal_parse(file, sizeof(file), &kind, &blob, &len, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	err_clear(&err);
	file[8] = 1;
	file[10] = 9;
	assert_int_equal(seal_parse(file, sizeof(file), &kind, &blob, &len, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	err_clear(&err);
	assert_int_equal(seal_parse("HFSEA", 5, &kind, &blob, &len, &err), 0);
	assert_int_equal(kind, SEAL_NONE);
	assert_int_equal(seal_parse("", 0, &kind, &blob, &len, &err), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sealed_opens_again),
		cmocka_unit_test(a_plain_key_is_a_key),
		cmocka_unit_test(a_seal_of_elsewhere_is_told_of),
		cmocka_unit_test(a_header_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
