/*
 * cert_key.h - the inside of a private key, for proto/tls alone: cert.h is the
 * door for everyone else.
 */
#ifndef PROTO_TLS_CERT_KEY_H
#define PROTO_TLS_CERT_KEY_H

#include <stdint.h>

#include <mbedtls/pk.h>

#include "proto/tls/cert.h"

struct cert_key {
	mbedtls_pk_context pk; /* Always P-256. */
};

/* SHA-256 of a public key as SubjectPublicKeyInfo, uncompressed. */
int cert_pk_hash(
    const mbedtls_pk_context *pk, uint8_t out[CERT_FINGERPRINT_LEN], struct err *err);

/* Is it a P-256 key? */
int cert_pk_ours(const mbedtls_pk_context *pk);

#endif /* PROTO_TLS_CERT_KEY_H */
