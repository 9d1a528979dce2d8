#include "proto/tls/token.h"

#include <ctype.h>
#include <string.h>

#include <sodium.h>

#include "proto/base/cursor.h"
#include "proto/base/err.h"

#define PREFIX "hf1."
#define PREFIX_LEN 4
#define VERSION 1
#define CHECK_LEN 4
#define FIXED (1 + CERT_FINGERPRINT_LEN + TOKEN_SECRET_LEN + 1)
#define RAW_MAX (FIXED + TOKEN_ADDRESS_MAX - 1 + CHECK_LEN)

/* "host:port" or "[v6]:port"; the text that is wrong goes into `err`. */
static int
check_address(const char *a, enum err_code code, struct err *err)
{
	const char *colon = strrchr(a, ':'), *p;
	unsigned long port = 0;

	for (p = a; *p != '\0'; p++) {
		if (*p <= 0x20 || *p > 0x7e)
			return err_set(
			    err, code, "the address in the token is not ASCII");
	}
	if (colon == NULL || colon == a)
		return err_set(err, code, "the token's address '%s' is not host:port", a);
	for (p = colon + 1; *p >= '0' && *p <= '9' && port <= 65535; p++)
		port = port * 10 + (unsigned long)(*p - '0');
	if (*p != '\0' || p == colon + 1 || port < 1 || port > 65535)
		return err_set(err, code,
		    "the port in the token's address '%s' is not 1 to 65535", a);
	if (a[0] == '[' ? colon[-1] != ']' : memchr(a, ':', (size_t)(colon - a)) != NULL)
		return err_set(err, code,
		    "the token's address '%s' needs [brackets] around IPv6", a);
	return 0;
}

static void
checksum(const uint8_t *p, size_t n, uint8_t out[CHECK_LEN])
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	(void)crypto_hash_sha256(hash, p, n);
	memcpy(out, hash, CHECK_LEN);
}

int
token_format(const struct token *t, char text[TOKEN_TEXT_MAX], struct err *err)
{
	size_t n = strnlen(t->address, TOKEN_ADDRESS_MAX), at = 0;
	uint8_t raw[RAW_MAX];

	if (n == TOKEN_ADDRESS_MAX)
		return err_set(err, ERR_LIMIT, "the address has %d characters or more",
		    TOKEN_ADDRESS_MAX);
	if (check_address(t->address, ERR_LIMIT, err) != 0)
		return -1;
	raw[at++] = VERSION;
	memcpy(raw + at, t->ca_fingerprint, CERT_FINGERPRINT_LEN);
	at += CERT_FINGERPRINT_LEN;
	memcpy(raw + at, t->secret, TOKEN_SECRET_LEN);
	at += TOKEN_SECRET_LEN;
	raw[at++] = (uint8_t)n;
	memcpy(raw + at, t->address, n);
	at += n;
	checksum(raw, at, raw + at);
	at += CHECK_LEN;

	memcpy(text, PREFIX, PREFIX_LEN);
	(void)sodium_bin2base64(text + PREFIX_LEN, TOKEN_TEXT_MAX - PREFIX_LEN, raw, at,
	    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(raw, sizeof(raw));
	return 0;
}

static int
parse_raw(const uint8_t *raw, size_t len, struct token *out, struct err *err)
{
	uint8_t check[CHECK_LEN], n;
	struct cursor c;

	if (len < FIXED + CHECK_LEN)
		return err_set(err, ERR_CORRUPT, "the token is cut short");
	checksum(raw, len - CHECK_LEN, check);
	if (memcmp(check, raw + len - CHECK_LEN, CHECK_LEN) != 0)
		return err_set(err, ERR_CORRUPT,
		    "the token is mistyped or incomplete: its checksum does not match");
	cursor_init(&c, raw, len - CHECK_LEN);
	if (cursor_u8(&c) != VERSION)
		return err_set(err, ERR_CORRUPT,
		    "the token has version %u, this program knows %d", raw[0], VERSION);
	cursor_copy(&c, out->ca_fingerprint, CERT_FINGERPRINT_LEN);
	cursor_copy(&c, out->secret, TOKEN_SECRET_LEN);
	n = cursor_u8(&c);
	if (n >= TOKEN_ADDRESS_MAX || n != c.left)
		return err_set(
		    err, ERR_CORRUPT, "the token's length does not fit its address");
	cursor_copy(&c, out->address, n);
	if (memchr(out->address, '\0', n) != NULL)
		return err_set(err, ERR_CORRUPT, "the address in the token is not ASCII");
	return check_address(out->address, ERR_CORRUPT, err);
}

int
token_parse(const char *text, struct token *out, struct err *err)
{
	uint8_t raw[RAW_MAX];
	size_t len, n;
	int rc;

	memset(out, 0, sizeof(*out));
	while (isspace((unsigned char)*text))
		text++;
	n = strlen(text);
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	if (n < PREFIX_LEN || memcmp(text, PREFIX, PREFIX_LEN) != 0)
		return err_set(err, ERR_CORRUPT,
		    "not an enrolment token: it does not start with %s", PREFIX);
	if (n >= TOKEN_TEXT_MAX)
		return err_set(
		    err, ERR_CORRUPT, "not an enrolment token: %zu characters", n);
	if (sodium_base642bin(raw, sizeof(raw), text + PREFIX_LEN, n - PREFIX_LEN, NULL,
		&len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return err_set(err, ERR_CORRUPT,
		    "the token is mistyped: it holds what no token holds");
	rc = parse_raw(raw, len, out, err);
	if (rc != 0)
		sodium_memzero(out, sizeof(*out));
	sodium_memzero(raw, sizeof(raw));
	return rc;
}

void
token_hash(const uint8_t secret[TOKEN_SECRET_LEN], uint8_t out[32])
{
	(void)crypto_hash_sha256(out, secret, TOKEN_SECRET_LEN);
}
