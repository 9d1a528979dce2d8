/* Tokens: what is written is read back, and every slip of the pen is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "proto/tls/token.h"

static struct token
sample(const char *address)
{
	struct token t;
	size_t i;

	memset(&t, 0, sizeof(t));
	for (i = 0; i < sizeof(t.ca_fingerprint); i++)
		t.ca_fingerprint[i] = (uint8_t)(i * 7);
	for (i = 0; i < sizeof(t.secret); i++)
		t.secret[i] = (uint8_t)(0xf0 + i);
	(void)snprintf(t.address, sizeof(t.address), "%s", address);
	return t;
}

static void
test_round_trip(void **state)
{
	static const char *const good[] = { "backup.example.org:8440", "10.0.0.1:1",
		"[2001:db8::7]:65535" };
	char text[TOKEN_TEXT_MAX], padded[TOKEN_TEXT_MAX + 8];
	struct err err = ERR_INIT;
	struct token t, got;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		t = sample(good[i]);
		assert_int_equal(token_format(&t, text, &err), 0);
		assert_memory_equal(text, "hf1.", 4);
		(void)snprintf(padded, sizeof(padded), " \t%s\r\n", text);
		assert_int_equal(token_parse(padded, &got, &err), 0);
		assert_memory_equal(&got, &t, sizeof(t));
	}
}

static void
test_the_longest_address(void **state)
{
	char text[TOKEN_TEXT_MAX];
	struct err err = ERR_INIT;
	struct token t = sample(""), got;

	(void)state;
	memset(t.address, 'a', TOKEN_ADDRESS_MAX - 3);
	memcpy(t.address + TOKEN_ADDRESS_MAX - 3, ":1", 3);
	assert_int_equal(token_format(&t, text, &err), 0);
	assert_int_equal(token_parse(text, &got, &err), 0);
	assert_string_equal(got.address, t.address);
	t.address[TOKEN_ADDRESS_MAX - 1] = '1';
	assert_int_equal(token_format(&t, text, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
}

static void
test_addresses_that_are_none(void **state)
{
	static const char *const bad[] = { "", ":1", "host", "host:", "host:0",
		"host:65536", "host:1x", "ho st:1", "fe80::1:1", "[::1:1",
		"h\303\266st:1", "host:99999999999999" };
	char text[TOKEN_TEXT_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct token t = sample(bad[i]);
		struct err err = ERR_INIT;

		assert_int_equal(token_format(&t, text, &err), -1);
		assert_int_equal(err.code, ERR_LIMIT);
	}
}

/* Every character changed to any other, each cut, each two neighbours swapped. */
static void
test_typos_are_caught(void **state)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789-_+/= .";
	char text[TOKEN_TEXT_MAX], bad[TOKEN_TEXT_MAX];
	struct err err = ERR_INIT;
	struct token t = sample("backup:8440"), got;
	size_t i, j, n;

	(void)state;
	assert_int_equal(token_format(&t, text, &err), 0);
	n = strlen(text);
	for (i = 0; i < n; i++) {
		memcpy(bad, text, n + 1);
		for (j = 0; set[j] != '\0'; j++) {
			struct err why = ERR_INIT;

			/* White space around a token is not one of its characters. */
			if (set[j] == text[i] || (set[j] == ' ' && i + 1 == n))
				continue;
			bad[i] = set[j];
			assert_int_equal(token_parse(bad, &got, &why), -1);
			assert_int_equal(why.code, ERR_CORRUPT);
		}
		memcpy(bad, text, n + 1);
		bad[i] = '\0';
		err_clear(&err);
		assert_int_equal(token_parse(bad, &got, &err), -1);
		if (i > 0 && text[i] != text[i - 1]) {
			memcpy(bad, text, n + 1);
			bad[i] = text[i - 1];
			bad[i - 1] = text[i];
			err_clear(&err);
			assert_int_equal(token_parse(bad, &got, &err), -1);
		}
	}
}

static void
test_the_hash_hides_the_secret(void **state)
{
	/* SHA-256 of sixteen zero bytes. */
	static const uint8_t want[32] = { 0x37, 0x47, 0x08, 0xff, 0xf7, 0x71, 0x9d, 0xd5,
		0x97, 0x9e, 0xc8, 0x75, 0xd5, 0x6c, 0xd2, 0x28, 0x6f, 0x6d, 0x3c, 0xf7,
		0xec, 0x31, 0x7a, 0x3b, 0x25, 0x63, 0x2a, 0xab, 0x28, 0xec, 0x37, 0xbb };
	uint8_t secret[TOKEN_SECRET_LEN] = { 0 }, out[32];

	(void)state;
	token_hash(secret, out);
	assert_memory_equal(out, want, sizeof(want));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_the_longest_address),
		cmocka_unit_test(test_addresses_that_are_none),
		cmocka_unit_test(test_typos_are_caught),
		cmocka_unit_test(test_the_hash_hides_the_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
