/*
 * restore_token.h - what people read and type on the night of a restore.
 *
 * A *restore token* is 120 bits of secret as 25 characters of Crockford's base32
 * in five groups, the last character of which has check bits:
 * "K7Q2M-9XW4T-...".  A *rescue code* is 40 bits of the hash of a rescue's public
 * key as 8 characters, "XXXX-XXXX": it says which key an operator means.
 *
 * Both are read forgivingly: small letters count as large, O as 0, I and L as 1;
 * blanks and hyphens are skipped.
 */
#ifndef PROTO_TLS_RESTORE_TOKEN_H
#define PROTO_TLS_RESTORE_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "proto/tls/cert.h"

struct err;

#define RESTORE_SECRET_LEN 15
#define RESTORE_TOKEN_TEXT_MAX 30 /* With its NUL. */
#define RESTORE_CODE_TEXT_MAX 10  /* With its NUL. */

void restore_token_format(
    const uint8_t secret[RESTORE_SECRET_LEN], char text[RESTORE_TOKEN_TEXT_MAX]);

/* ERR_CORRUPT says what is wrong with it: a character, the length, the check bits. */
int restore_token_parse(
    const char *text, uint8_t secret[RESTORE_SECRET_LEN], struct err *err);

/* What the server stores instead of the secret. */
void restore_token_hash(const uint8_t secret[RESTORE_SECRET_LEN], uint8_t out[32]);

/* The code of a key, by its SHA-256 (cert_key_hash()). */
void restore_code_format(
    const uint8_t key_hash[CERT_FINGERPRINT_LEN], char text[RESTORE_CODE_TEXT_MAX]);

/* Bring a typed code to the form that restore_code_format() writes.  ERR_CORRUPT. */
int
restore_code_parse(const char *text, char out[RESTORE_CODE_TEXT_MAX], struct err *err);

#endif /* PROTO_TLS_RESTORE_TOKEN_H */
