/*
 * tls_config.h - what connections share, as tls.c needs it; for proto/tls alone.
 */
#ifndef PROTO_TLS_TLS_CONFIG_H
#define PROTO_TLS_TLS_CONFIG_H

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "proto/tls/tls.h"
#include "proto/tls/tls_ticket.h"

struct tls_config {
	mbedtls_ssl_config ssl;
	mbedtls_x509_crt chain; /* Ours, if any; a server's ends with the authority. */
	mbedtls_pk_context key;
	int server;
	int pinned; /* `pin` instead of `ca`. */
	struct cert ca;
	uint8_t pin[CERT_FINGERPRINT_LEN];
	uint8_t basis[TLS_TICKET_BASIS_LEN];
	struct tls_ticket_keys tickets;
	tls_clock now;
	void *now_arg;
	tls_keylog keylog;
	void *keylog_arg;
};

/* mbedTLS' callbacks for tickets, in tls.c; `arg` is not used. */
int tls_on_ticket_write(void *arg, const mbedtls_ssl_session *session,
    unsigned char *start, const unsigned char *end, size_t *len, uint32_t *lifetime);
int tls_on_ticket_parse(
    void *arg, mbedtls_ssl_session *session, unsigned char *p, size_t len);

#endif /* PROTO_TLS_TLS_CONFIG_H */
