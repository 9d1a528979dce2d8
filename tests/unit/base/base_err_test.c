/* Errors keep their code on the way up and always fit their line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "proto/base/err.h"

static void
context_keeps_code_and_goes_in_front(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(err_set(&err, ERR_CORRUPT, "pack %d", 7), -1);
	assert_int_equal(err_context(&err, "open %s", "store"), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_string_equal(err.text, "open store: pack 7");
	err_clear(&err);
	assert_int_equal(err.code, ERR_NONE);
}

static void
system_errors_choose_their_code(void **state)
{
	static const struct {
		int os;
		enum err_code code;
	} rows[] = {
		{ ENOSPC, ERR_NOSPACE }, { ENOENT, ERR_NOTFOUND }, { EEXIST, ERR_EXISTS },
		{ EACCES, ERR_DENIED }, { EBUSY, ERR_BUSY }, { EIO, ERR_IO },
		{ ENOMEM, ERR_NOMEM },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(err_os(&err, rows[i].os, "read %s", "x"), -1);
		assert_int_equal(err.code, rows[i].code);
		assert_int_equal(err.os, rows[i].os);
		assert_non_null(strstr(err.text, strerror(rows[i].os)));
	}
}

static void
long_texts_are_cut_and_ended(void **state)
{
	char longer[2 * ERR_TEXT_MAX];
	struct err err = ERR_INIT;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	err_os(&err, ENOSPC, "%s", longer);
	assert_true(strlen(err.text) < ERR_TEXT_MAX);
	assert_non_null(strstr(err.text, strerror(ENOSPC)));
	err_context(&err, "%s", longer);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_int_equal(err.code, ERR_NOSPACE);
}

static void
every_code_has_a_name(void **state)
{
	static const enum err_code codes[] = { ERR_NOMEM, ERR_IO, ERR_NOSPACE, ERR_CANCELED,
		ERR_TIMEOUT, ERR_NOTFOUND, ERR_EXISTS, ERR_BUSY, ERR_DENIED, ERR_UNSUPPORTED,
		ERR_CORRUPT, ERR_PROTOCOL, ERR_LIMIT, ERR_SNAPSHOT_LOST };

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_string_not_equal(err_name(codes[i]), "unknown");
	assert_string_equal(err_name((enum err_code)999), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(context_keeps_code_and_goes_in_front),
		cmocka_unit_test(system_errors_choose_their_code),
		cmocka_unit_test(long_texts_are_cut_and_ended),
		cmocka_unit_test(every_code_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
