/*
 * tls.h - one TLS 1.3 connection as bytes in and bytes out.
 *
 * Knows no socket and no loop: the owner feeds what came from the network and
 * sends what tls_output() shows.  Built on mbedTLS 3.6 with its ChaCha20-
 * Poly1305 replaced by libsodium's (chachapoly_alt.c).  Only TLS 1.3, only
 * TLS_CHACHA20_POLY1305_SHA256 and TLS_AES_128_GCM_SHA256 (in this order), only
 * P-256 and X25519.
 *
 * Both sides show certificates of our own CA (cert.h).  The server lets a peer
 * without a valid one finish the handshake and says so in struct tls_peer, so
 * that an agent may enrol and a refused one gets a sentence, not an alert; what
 * such a peer may do is decided in server/roles.h, and it is next to nothing.
 *
 * Resumption: tickets are sealed by the server (ticket key in the config,
 * rotated) and carry the certificate's facts, so that tls_peer() is as good
 * after a resumed handshake as after a full one.  No 0-RTT.
 *
 * A struct tls_config may be shared by all threads once made; a struct tls is
 * used by one thread at a time.
 */
#ifndef PROTO_TLS_TLS_H
#define PROTO_TLS_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/tls/cert.h"

struct err;

/* Application protocols (ALPN), offered by the client, checked by the server. */
#define TLS_ALPN "holdfast/1"

struct tls_config;
struct tls;

/* Who is on the other side, as far as the handshake could tell. */
enum tls_trust {
	TLS_TRUSTED,	/* A certificate of our CA, valid now. */
	TLS_NOBODY,	/* No certificate. */
	TLS_REFUSED	/* One that does not hold; `why` says what is wrong. */
};

struct tls_peer {
	enum tls_trust trust;
	int resumed;			/* By a ticket. */
	struct cert_facts cert;		/* If TLS_TRUSTED. */
	char why[128];			/* If TLS_REFUSED: one line. */
};

/* A secret the connection derived, one line in NSS key log format, without newline. */
typedef void (*tls_keylog)(void *arg, const char *line);

/* Seconds since 1970 UTC, or CERT_ANY_TIME.  Called from any thread. */
typedef int64_t (*tls_clock)(void *arg);

/* Most bytes that may wait in a connection, on either side; past it: ERR_LIMIT. */
#define TLS_BACKLOG_MAX ((size_t)64 * 1024 * 1024)

/*
 * A server's side.  `identity` (certificate chain and key) and `ca` are copied.
 * ERR_CORRUPT, ERR_NOMEM.
 */
int tls_config_server(const struct cert_identity *identity, const struct cert *ca,
    struct tls_config **out, struct err *err);

/*
 * A client's side; `identity` NULL to show none (enrolment).  The server must
 * show a certificate of role server signed by `ca`; or, while the CA is not
 * known yet, any chain whose CA has the SHA-256 `ca_fingerprint` (then `ca` is
 * NULL).  Exactly one of the two is given.
 */
int tls_config_client(const struct cert_identity *identity, const struct cert *ca,
    const uint8_t ca_fingerprint[CERT_FINGERPRINT_LEN], struct tls_config **out,
    struct err *err);

void tls_config_free(struct tls_config *config);

/*
 * Before the first tls_new().  Judge certificates and tickets by `now` instead of
 * the system's time (the server's own never goes back).
 */
void tls_config_clock(struct tls_config *config, tls_clock now, void *arg);

/* Before the first tls_new(); for tests: whoever has these lines reads everything. */
void tls_config_keylog(struct tls_config *config, tls_keylog keylog, void *arg);

/* A connection with `config`, which must outlive it.  NULL without memory. */
struct tls *tls_new(struct tls_config *config);
void tls_free(struct tls *t);

/*
 * Client, before the first tls_read(): try to resume with `ticket`, bytes from
 * tls_ticket() of an earlier connection.  Ignored if it is of no use: another
 * authority or identity than then, a server's certificate that expired since.
 */
void tls_resume(struct tls *t, const uint8_t *ticket, size_t len);

/*
 * Client: the newest ticket the server gave, owned by `t`; NULL if none came.
 * It comes after the handshake, in some tls_read().  It is secret.
 */
const uint8_t *tls_ticket(const struct tls *t, size_t *len);

/*
 * Give `len` bytes that came from the network.  They are copied; all are taken.
 * Call tls_read() next, until it has no more.  After a failure: that failure.
 */
int tls_input(struct tls *t, const uint8_t *p, size_t len, struct err *err);

enum tls_result {
	TLS_DATA,	/* *got bytes were decrypted. */
	TLS_WANT,	/* Nothing until there is more input (send output too). */
	TLS_END,	/* The peer closed in order. */
	TLS_FAILED	/* `err` is set; output may hold an alert worth sending. */
};

/*
 * Advance the handshake as far as it goes and decrypt up to `cap` bytes (> 0).
 * A client calls it once before any input, to say hello.
 * ERR_DENIED: the peer's certificate or ours does not hold; ERR_PROTOCOL: not
 * TLS 1.3, or broken.  Every failure is final.
 */
enum tls_result tls_read(struct tls *t, uint8_t *p, size_t cap, size_t *got,
    struct err *err);

/* Non-zero once the handshake is done and tls_write() is allowed. */
int tls_open(const struct tls *t);

/* Who it is.  After tls_open(); owned by `t`. */
const struct tls_peer *tls_peer(const struct tls *t);

/*
 * Encrypt all of `len` bytes into the output.  ERR_LIMIT, before anything is
 * encrypted, if too much output waits already.
 */
int tls_write(struct tls *t, const uint8_t *p, size_t len, struct err *err);

/* Say goodbye (close_notify) into the output. */
void tls_shutdown(struct tls *t);

/* The bytes to be sent next, borrowed until the next call with `t`; 0 if none. */
size_t tls_output(struct tls *t, const uint8_t **p);

/* The first `n` bytes of the output have been taken over. */
void tls_sent(struct tls *t, size_t n);

/* The suite's name, for logs and tests; static. */
const char *tls_suite(const struct tls *t);

#endif /* PROTO_TLS_TLS_H */
