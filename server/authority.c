#include "server/authority.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "proto/base/err.h"
#include "storage/store.h"

#define SERVER_LIFE_S (10LL * 365 * 86400)

struct authority {
	pthread_mutex_t lock; /* Held while signing. */
	struct cert ca;
	struct cert_key *ca_key;
	struct cert_identity server;
	struct cert_key *server_key;
};

static int
save_key(struct store *s, const char *secret, const struct cert_key *key, struct err *err)
{
	uint8_t der[CERT_DER_MAX];
	size_t len;
	int rc = -1;

	if (cert_key_save(key, der, sizeof(der), &len, err) == 0)
		rc = store_secret_put(s, secret, der, len, err);
	explicit_bzero(der, sizeof(der));
	return rc;
}

static int
load_key(struct store *s, const char *secret, struct cert_key **out, struct err *err)
{
	uint8_t der[CERT_DER_MAX];
	size_t len;
	int rc = -1;

	if (store_secret_get(s, secret, der, sizeof(der), &len, err) == 0)
		rc = cert_key_load(der, len, out, err);
	explicit_bzero(der, sizeof(der));
	return rc;
}

static int
sign_server(struct authority *a, struct store *s, struct err *err)
{
	struct cert_facts facts;
	struct cert csr;
	char name[CERT_NAME_MAX];
	uint8_t key_hash[CERT_FINGERPRINT_LEN];

	if (cert_facts_of(&a->ca, &facts, err) != 0)
		return -1;
	(void)snprintf(name, sizeof(name), "%s", facts.name);
	if (cert_request(a->server_key, name, &csr, err) != 0 ||
	    cert_request_check(&csr, name, key_hash, err) != 0 ||
	    authority_sign(a, &csr, name, CERT_SERVER, SERVER_LIFE_S, &a->server.cert,
		&facts, err) != 0)
		return -1;
	return store_secret_put(
	    s, "server-cert", a->server.cert.der, a->server.cert.len, err);
}

int
authority_create(struct store *s, const char *name, struct err *err)
{
	struct cert_key *key = NULL;
	struct cert *ca = NULL;
	uint8_t der[CERT_DER_MAX];
	size_t len;
	int rc = -1;

	if (store_secret_get(s, "ca-cert", der, sizeof(der), &len, err) == 0)
		return err_set(err, ERR_EXISTS, "the store has an authority already");
	if (err->code != ERR_NOTFOUND)
		return -1;
	err_clear(err);

	ca = calloc(1, sizeof(*ca));
	if (ca == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a certificate");
		goto out;
	}
	if (cert_name_check(name, err) != 0 || cert_key_new(&key, err) != 0 ||
	    cert_ca_new(key, name, time(NULL) - AUTHORITY_EARLIER_S, ca, err) != 0)
		goto out;
	/* The certificate last: with it the authority exists. */
	if (save_key(s, "ca-key", key, err) != 0)
		goto out;
	rc = store_secret_put(s, "ca-cert", ca->der, ca->len, err);
out:
	cert_key_free(key);
	free(ca);
	return rc;
}

static int
open_server(struct authority *a, struct store *s, struct err *err)
{
	struct cert_facts facts;
	int64_t now = time(NULL);

	if (load_key(s, "server-key", &a->server_key, err) != 0) {
		if (err->code != ERR_NOTFOUND)
			return -1;
		err_clear(err);
		if (cert_key_new(&a->server_key, err) != 0 ||
		    save_key(s, "server-key", a->server_key, err) != 0)
			return -1;
	}
	a->server.key = a->server_key;
	if (store_secret_get(s, "server-cert", a->server.cert.der,
		sizeof(a->server.cert.der), &a->server.cert.len, err) == 0) {
		if (cert_facts_of(&a->server.cert, &facts, err) != 0)
			return -1;
		if (now >= facts.not_before &&
		    now < facts.not_before + (facts.not_after - facts.not_before) / 2)
			return 0;
	} else if (err->code != ERR_NOTFOUND) {
		return -1;
	}
	err_clear(err);
	return sign_server(a, s, err);
}

int
authority_open(struct store *s, struct authority **out, struct err *err)
{
	struct authority *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the authority");
	(void)pthread_mutex_init(&a->lock, NULL);
	if (store_secret_get(
		s, "ca-cert", a->ca.der, sizeof(a->ca.der), &a->ca.len, err) != 0 ||
	    load_key(s, "ca-key", &a->ca_key, err) != 0 || open_server(a, s, err) != 0) {
		authority_free(a);
		return err_context(err, "the server's authority");
	}
	*out = a;
	return 0;
}

void
authority_free(struct authority *a)
{
	if (a == NULL)
		return;
	cert_key_free(a->ca_key);
	cert_key_free(a->server_key);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

const struct cert *
authority_ca(const struct authority *a)
{
	return &a->ca;
}

const struct cert_identity *
authority_server(const struct authority *a)
{
	return &a->server;
}

int
authority_sign(struct authority *a, const struct cert *csr, const char *name,
    enum cert_role role, uint64_t life_s, struct cert *out, struct cert_facts *facts,
    struct err *err)
{
	struct cert_facts want = { .role = role };
	int64_t now = time(NULL);
	int rc;

	if (getrandom(want.serial, sizeof(want.serial), 0) !=
	    (ssize_t)sizeof(want.serial))
		return err_os(err, errno, "no random bytes for a serial number");
	/* A DER integer: positive, and of the same length whatever was drawn. */
	want.serial[0] = (uint8_t)((want.serial[0] & 0x7f) | 0x40);
	(void)snprintf(want.name, sizeof(want.name), "%s", name);
	want.not_before = now - AUTHORITY_EARLIER_S;
	want.not_after = now + (int64_t)life_s;

	(void)pthread_mutex_lock(&a->lock);
	rc = cert_sign(&a->ca, a->ca_key, csr, &want, out, err);
	(void)pthread_mutex_unlock(&a->lock);
	return rc == 0 ? cert_facts_of(out, facts, err) : -1;
}

int
authority_check_request(const struct cert *csr, const char *name, struct err *err)
{
	uint8_t key_hash[CERT_FINGERPRINT_LEN];
	char asked[CERT_NAME_MAX];

	if (cert_request_check(csr, asked, key_hash, err) != 0)
		return -1;
	if (strcmp(asked, name) != 0)
		return err_set(err, ERR_DENIED,
		    "the request asks for '%s', the message for '%s'", asked, name);
	return 0;
}
