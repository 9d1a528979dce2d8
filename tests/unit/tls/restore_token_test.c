/* Restore tokens and codes: read as people write them, and slips of the pen noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "proto/tls/restore_token.h"

static void
make_secret(unsigned seed, uint8_t secret[RESTORE_SECRET_LEN])
{
	for (size_t i = 0; i < RESTORE_SECRET_LEN; i++) {
		seed = seed * 1103515245u + 12345u;
		secret[i] = (uint8_t)(seed >> 16);
	}
}

static void
test_round_trip(void **state)
{
	uint8_t secret[RESTORE_SECRET_LEN], got[RESTORE_SECRET_LEN];
	char text[RESTORE_TOKEN_TEXT_MAX];
	struct err err = ERR_INIT;

	(void)state;
	for (unsigned seed = 0; seed < 2000; seed++) {
		make_secret(seed, secret);
		restore_token_format(secret, text);
		assert_int_equal(strlen(text), 29);
		assert_int_equal(restore_token_parse(text, got, &err), 0);
		assert_memory_equal(got, secret, sizeof(got));
	}
}

/* The text is a format: a token printed by one release is typed into another. */
static void
test_known_text(void **state)
{
	static const char want[] = "000G4-0R40M-30E20-9185G-R38E4";
	uint8_t secret[RESTORE_SECRET_LEN];
	char text[RESTORE_TOKEN_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)i;
	restore_token_format(secret, text);
	assert_string_equal(text, want);
}

static void
test_forgiving_reading(void **state)
{
	uint8_t secret[RESTORE_SECRET_LEN], got[RESTORE_SECRET_LEN];
	char text[RESTORE_TOKEN_TEXT_MAX], typed[2 * RESTORE_TOKEN_TEXT_MAX];
	struct err err = ERR_INIT;

	(void)state;
	for (unsigned seed = 0; seed < 500; seed++) {
		size_t n = 0;

		make_secret(seed, secret);
		restore_token_format(secret, text);
		for (const char *p = text; *p != '\0'; p++) {
			char c = *p;

			if (c == '-' && seed % 3 == 0)
				continue;
			if (c == '-' && seed % 3 == 1)
				c = ' ';
			if (c == '0')
				c = seed % 2 != 0 ? 'O' : 'o';
			else if (c == '1')
				c = "IiLl"[seed % 4];
			else if (c >= 'A' && c <= 'Z' && seed % 5 < 3)
				c = (char)(c - 'A' + 'a');
			typed[n++] = c;
		}
		typed[n++] = '\n';
		typed[n] = '\0';
		assert_int_equal(restore_token_parse(typed, got, &err), 0);
		assert_memory_equal(got, secret, sizeof(got));
	}
}

static void
test_slips_are_noticed(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", "0 characters" },
		{ "K7Q2M", "5 characters" },
		{ "000G4-0R40M-30E20-9185G-R38E44", "longer" },
		{ "000G4-0R40M-30E20-9185G-R38E!", "character 25" },
		{ "000G4-0R40U-30E20-9185G-R38E4", "character 10" },
		{ "000G4-0R40M-30E20-9185G-R38E3", "last character" },
		{ "\x80", "character 1" },
	};
	uint8_t secret[RESTORE_SECRET_LEN], zeros[RESTORE_SECRET_LEN] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(restore_token_parse(bad[i].text, secret, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		assert_non_null(strstr(err.text, bad[i].says));
		assert_memory_equal(secret, zeros, sizeof(zeros));
	}
}

/* Five check bits: of all single slips no more than one in 32 may pass, about. */
static void
test_most_slips_fail_the_check(void **state)
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint8_t secret[RESTORE_SECRET_LEN];
	char text[RESTORE_TOKEN_TEXT_MAX];
	unsigned tried = 0, passed = 0;

	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		make_secret(seed, secret);
		restore_token_format(secret, text);
		for (size_t i = 0; text[i] != '\0'; i++) {
			char was = text[i];

			for (size_t k = 0; was != '-' && k < 32; k++) {
				struct err err = ERR_INIT;

				text[i] = alphabet[k];
				if (alphabet[k] == was)
					continue;
				tried++;
				passed += restore_token_parse(text, secret, &err) == 0;
			}
			text[i] = was;
		}
	}
	assert_true(passed < tried / 20);
}

static void
test_codes(void **state)
{
	uint8_t a[CERT_FINGERPRINT_LEN] = { 1 }, b[CERT_FINGERPRINT_LEN] = { 2 };
	char x[RESTORE_CODE_TEXT_MAX], y[RESTORE_CODE_TEXT_MAX], z[RESTORE_CODE_TEXT_MAX];
	char typed[32];
	struct err err = ERR_INIT;

	(void)state;
	restore_code_format(a, x);
	restore_code_format(b, y);
	assert_int_equal(strlen(x), 9);
	assert_int_equal(x[4], '-');
	assert_string_not_equal(x, y);
	(void)snprintf(typed, sizeof(typed), " %.4s %s ", x, x + 5);
	assert_int_equal(restore_code_parse(typed, z, &err), 0);
	assert_string_equal(x, z);
	assert_int_equal(restore_code_parse("K7Q2", z, &err), -1);
	assert_non_null(strstr(err.text, "4 characters, not 8"));
	err_clear(&err);
	assert_int_equal(restore_code_parse("K7Q2-9XW4T", z, &err), -1);
	assert_string_equal(z, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_known_text),
		cmocka_unit_test(test_forgiving_reading),
		cmocka_unit_test(test_slips_are_noticed),
		cmocka_unit_test(test_most_slips_fail_the_check),
		cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
