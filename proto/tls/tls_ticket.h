/*
 * tls_ticket.h - tickets, on both sides; for proto/tls alone.
 *
 * The server's are sealed: mbedTLS' own TLS 1.3 session does not hold the
 * peer's certificate, so ours carry its facts beside the session.  They live
 * TLS_TICKET_LIFE; keys are made new as often, and the one before still opens.
 *
 * The client's are what it needs to come back: what the server gave, who the
 * server was, and what that rested on.
 */
#ifndef PROTO_TLS_TLS_TICKET_H
#define PROTO_TLS_TLS_TICKET_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <mbedtls/ssl.h>

#include "proto/tls/cert.h"

#define TLS_TICKET_LIFE 43200	   /* Seconds. */
#define TLS_TICKET_SEALED_MAX 1024 /* Bytes of a server's ticket. */
#define TLS_TICKET_SAVED_MAX 4096  /* Bytes of a client's. */
#define TLS_TICKET_BASIS_LEN 64

struct tls_ticket_key {
	uint8_t name[8], key[32];
	int64_t made;
	int valid;
};

struct tls_ticket_keys {
	pthread_mutex_t lock; /* All below. */
	struct tls_ticket_key now, before;
};

int tls_ticket_keys_init(struct tls_ticket_keys *keys);
void tls_ticket_keys_free(struct tls_ticket_keys *keys);

/* Server: make a ticket of at most `cap` bytes.  0 or -1. */
int
tls_ticket_seal(struct tls_ticket_keys *keys, int64_t now, const struct cert_facts *facts,
    const mbedtls_ssl_session *session, uint8_t *out, size_t cap, size_t *len);

/* Server: 0 if it is ours, in time and whole; fills `session` (initialised) and `facts`.
 */
int tls_ticket_unseal(struct tls_ticket_keys *keys, int64_t now, const uint8_t *p,
    size_t len, mbedtls_ssl_session *session, struct cert_facts *facts);

/* Client: the saved form, resting on `basis` (authority and own certificate).  0 or -1.
 */
int tls_ticket_save(const mbedtls_ssl_session *session, const struct cert_facts *server,
    const uint8_t basis[TLS_TICKET_BASIS_LEN], uint8_t *out, size_t cap, size_t *len);

/* Client: 0 if it may be tried at `now` on this basis. */
int
tls_ticket_load(const uint8_t *p, size_t len, const uint8_t basis[TLS_TICKET_BASIS_LEN],
    int64_t now, mbedtls_ssl_session *session, struct cert_facts *server);

#endif /* PROTO_TLS_TLS_TICKET_H */
