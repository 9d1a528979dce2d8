/*
 * crypto.h - libsodium and mbedTLS made ready, once for the whole program, and
 * what both certificates and connections need of them.  Only for proto/tls.
 */
#ifndef PROTO_TLS_CRYPTO_H
#define PROTO_TLS_CRYPTO_H

#include <stddef.h>

#include "proto/base/err.h"

/* Call before anything else of mbedTLS or libsodium; any thread, any number of times. */
int crypto_ready(struct err *err);

/* libsodium's generator in the form mbedTLS asks for; never fails. */
int crypto_random(void *unused, unsigned char *p, size_t n);

/*
 * err_set() with mbedTLS's own words for `ret` after the message; its many ways to
 * be out of memory all become ERR_NOMEM.
 */
int crypto_error(struct err *err, enum err_code code, int ret, const char *fmt, ...)
    ERR_PRINTF(4, 5);

#endif /* PROTO_TLS_CRYPTO_H */
