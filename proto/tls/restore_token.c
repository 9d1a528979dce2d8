#include "proto/tls/restore_token.h"

#include <sodium.h>
#include <string.h>

#include "proto/base/err.h"

#define GROUP 5
#define SYMBOLS 25
#define CODE_SYMBOLS 8
#define CODE_GROUP 4

static const char alphabet[33] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static const char token_context[] = "holdfast restore token";
static const char check_context[] = "holdfast restore check";
static const char code_context[] = "holdfast rescue code";

static void
hash(const char *context, const uint8_t *p, size_t len, uint8_t out[32])
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, (const uint8_t *)context, strlen(context));
	crypto_hash_sha256_update(&st, p, len);
	crypto_hash_sha256_final(&st, out);
}

/* Five bits at `bit` of a string of bytes, the highest first. */
static unsigned
five_bits(const uint8_t *p, unsigned bit)
{
	unsigned v = 0;

	for (unsigned i = bit; i < bit + 5; i++)
		v = v << 1 | (p[i / 8] >> (7 - i % 8) & 1u);
	return v;
}

/* The value of a typed character; -1 if it is none, -2 if it is to be skipped. */
static int
value_of(char c)
{
	const char *at;

	if (c == '-' || c == ' ' || c == '\t' || c == '\r' || c == '\n')
		return -2;
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	at = c != '\0' ? strchr(alphabet, c) : NULL;
	return at != NULL ? (int)(at - alphabet) : -1;
}

/* Exactly `n` values out of what was typed. */
static int
read_values(
    const char *text, const char *what, uint8_t *values, size_t n, struct err *err)
{
	size_t got = 0;

	for (const char *p = text; *p != '\0'; p++) {
		int v = value_of(*p);

		if (v == -2)
			continue;
		if (v < 0)
			return err_set(err, ERR_CORRUPT,
			    "the %s is mistyped: its character %zu is in none", what,
			    got + 1);
		if (got == n)
			return err_set(err, ERR_CORRUPT,
			    "the %s is longer than %zu characters", what, n);
		values[got++] = (uint8_t)v;
	}
	if (got < n)
		return err_set(
		    err, ERR_CORRUPT, "the %s has %zu characters, not %zu", what, got, n);
	return 0;
}

static unsigned
check_of(const uint8_t secret[RESTORE_SECRET_LEN])
{
	uint8_t sum[32];

	hash(check_context, secret, RESTORE_SECRET_LEN, sum);
	return sum[0] & 31u;
}

void
restore_token_format(
    const uint8_t secret[RESTORE_SECRET_LEN], char text[RESTORE_TOKEN_TEXT_MAX])
{
	size_t at = 0;

	for (unsigned i = 0; i < SYMBOLS; i++) {
		unsigned v =
		    i + 1 < SYMBOLS ? five_bits(secret, i * 5) : check_of(secret);

		if (i > 0 && i % GROUP == 0)
			text[at++] = '-';
		text[at++] = alphabet[v];
	}
	text[at] = '\0';
}

int
restore_token_parse(const char *text, uint8_t secret[RESTORE_SECRET_LEN], struct err *err)
{
	uint8_t values[SYMBOLS];
	int rc = -1;

	memset(secret, 0, RESTORE_SECRET_LEN);
	if (read_values(text, "restore token", values, SYMBOLS, err) == 0) {
		for (unsigned bit = 0; bit < 8 * RESTORE_SECRET_LEN; bit++)
			secret[bit / 8] |=
			    (uint8_t)((values[bit / 5] >> (4 - bit % 5) & 1u)
				      << (7 - bit % 8));
		rc = values[SYMBOLS - 1] == check_of(secret)
			 ? 0
			 : err_set(err, ERR_CORRUPT,
			       "the restore token is mistyped: its last character "
			       "does not fit the others");
	}
	if (rc != 0)
		sodium_memzero(secret, RESTORE_SECRET_LEN);
	sodium_memzero(values, sizeof(values));
	return rc;
}

void
restore_token_hash(const uint8_t secret[RESTORE_SECRET_LEN], uint8_t out[32])
{
	hash(token_context, secret, RESTORE_SECRET_LEN, out);
}

void
restore_code_format(
    const uint8_t key_hash[CERT_FINGERPRINT_LEN], char text[RESTORE_CODE_TEXT_MAX])
{
	uint8_t sum[32];
	size_t at = 0;

	hash(code_context, key_hash, CERT_FINGERPRINT_LEN, sum);
	for (unsigned i = 0; i < CODE_SYMBOLS; i++) {
		if (i == CODE_GROUP)
			text[at++] = '-';
		text[at++] = alphabet[five_bits(sum, i * 5)];
	}
	text[at] = '\0';
}

int
restore_code_parse(const char *text, char out[RESTORE_CODE_TEXT_MAX], struct err *err)
{
	uint8_t values[CODE_SYMBOLS];
	size_t at = 0;

	out[0] = '\0';
	if (read_values(text, "code", values, CODE_SYMBOLS, err) != 0)
		return -1;
	for (unsigned i = 0; i < CODE_SYMBOLS; i++) {
		if (i == CODE_GROUP)
			out[at++] = '-';
		out[at++] = alphabet[values[i]];
	}
	out[at] = '\0';
	return 0;
}
