/*
 * tls_pair.h - an authority, identities, and two ends of a connection with
 * nothing between them, for the tests of TLS.
 */
#ifndef TESTS_UNIT_TLS_TLS_PAIR_H
#define TESTS_UNIT_TLS_TLS_PAIR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/tls/tls.h"

#define PAIR_NOW 1767312000 /* 2026-01-02T00:00:00Z */
#define PAIR_DAY 86400

#define PAIR_MUST(what)   \
	((what) ? (void)0 \
		: (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what), abort()))

/* An authority and someone it vouches for. */
struct pair_ca {
	struct cert_key *key;
	struct cert cert;
};

struct pair_id {
	struct cert_key *key;
	struct cert_identity id;
	struct cert_facts facts;
};

static inline void
pair_ca_make(struct pair_ca *ca, const char *name)
{
	struct err err = ERR_INIT;

	PAIR_MUST(cert_key_new(&ca->key, &err) == 0);
	PAIR_MUST(cert_ca_new(ca->key, name, PAIR_NOW, &ca->cert, &err) == 0);
}

static inline void
pair_id_make(struct pair_id *id, const struct pair_ca *ca, enum cert_role role,
    const char *name, int64_t from, int64_t to)
{
	static uint8_t serial;
	struct err err = ERR_INIT;
	struct cert csr;

	memset(&id->facts, 0, sizeof(id->facts));
	PAIR_MUST(cert_key_new(&id->key, &err) == 0);
	id->facts.serial[CERT_SERIAL_LEN - 1] = ++serial;
	id->facts.role = role;
	(void)snprintf(id->facts.name, sizeof(id->facts.name), "%s", name);
	id->facts.not_before = from;
	id->facts.not_after = to;
	PAIR_MUST(cert_key_hash(id->key, id->facts.key_hash, &err) == 0);
	PAIR_MUST(cert_request(id->key, name, &csr, &err) == 0);
	PAIR_MUST(
	    cert_sign(&ca->cert, ca->key, &csr, &id->facts, &id->id.cert, &err) == 0);
	id->id.key = id->key;
}

/* A clock that stands where it is set. */
static inline int64_t
pair_clock(void *arg)
{
	return *(int64_t *)arg;
}

struct pair {
	struct tls *client, *server;
	struct err client_err, server_err;
	enum tls_result client_last, server_last;
	size_t to_server, to_client; /* Bytes moved. */
};

static inline void
pair_start(struct pair *p, struct tls_config *client, struct tls_config *server)
{
	memset(p, 0, sizeof(*p));
	p->client = tls_new(client);
	p->server = tls_new(server);
	PAIR_MUST(p->client != NULL && p->server != NULL);
	p->client_last = p->server_last = TLS_WANT;
}

static inline void
pair_end(struct pair *p)
{
	tls_free(p->client);
	tls_free(p->server);
}

static inline size_t
pair_move(struct tls *from, struct tls *to)
{
	struct err err = ERR_INIT;
	const uint8_t *p;
	size_t n = tls_output(from, &p);

	if (n > 0) {
		/* A failed side takes no more; its owner would have closed. */
		(void)tls_input(to, p, n, &err);
		tls_sent(from, n);
	}
	return n;
}

/* One turn of one side; what it decrypts is dropped. */
static inline void
pair_turn(struct tls *t, enum tls_result *last, struct err *err)
{
	uint8_t junk[4096];
	size_t got;
	int i;

	if (*last == TLS_FAILED || *last == TLS_END)
		return;
	for (i = 0; i < 100000; i++) {
		*last = tls_read(t, junk, sizeof(junk), &got, err);
		if (*last == TLS_FAILED && getenv("PAIR_TALK") != NULL)
			fprintf(stderr, "failed: %s\n", err->text);
		if (*last != TLS_DATA)
			return;
	}
	PAIR_MUST(!"endless data");
}

/* Until nothing moves. */
static inline void
pair_run(struct pair *p)
{
	size_t n, m;
	int i;

	for (i = 0; i < 1000; i++) {
		pair_turn(p->client, &p->client_last, &p->client_err);
		pair_turn(p->server, &p->server_last, &p->server_err);
		n = pair_move(p->client, p->server);
		m = pair_move(p->server, p->client);
		p->to_server += n;
		p->to_client += m;
		if (n == 0 && m == 0)
			return;
	}
	PAIR_MUST(!"endless handshake");
}

#endif /* TESTS_UNIT_TLS_TLS_PAIR_H */
