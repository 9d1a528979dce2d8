/*
 * token.h - the one string an operator carries to a host to enrol it.
 *
 *	hf1.<base64url of the fields below, without padding>
 *
 *	+0	1	version, 1
 *	+1	32	SHA-256 fingerprint of the CA certificate
 *	+33	16	secret; the server keeps only its SHA-256
 *	+49	1	length of the address
 *	+50	n	address "host:port", ASCII
 *	...	4	first bytes of the SHA-256 of all before: catches typos
 */
#ifndef PROTO_TLS_TOKEN_H
#define PROTO_TLS_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "proto/tls/cert.h"

struct err;

#define TOKEN_SECRET_LEN 16
#define TOKEN_ADDRESS_MAX 200		/* With its NUL. */
#define TOKEN_TEXT_MAX 400		/* With its NUL. */

struct token {
	uint8_t ca_fingerprint[CERT_FINGERPRINT_LEN];
	uint8_t secret[TOKEN_SECRET_LEN];
	char address[TOKEN_ADDRESS_MAX];	/* "host:port", "[v6]:port" */
};

/* Write `t` as text. */
int token_format(const struct token *t, char text[TOKEN_TEXT_MAX], struct err *err);

/* Read a token; surrounding white space is ignored.  ERR_CORRUPT says what is wrong. */
int token_parse(const char *text, struct token *out, struct err *err);

/* What the server stores instead of the secret. */
void token_hash(const uint8_t secret[TOKEN_SECRET_LEN], uint8_t out[32]);

#endif /* PROTO_TLS_TOKEN_H */
