#include "proto/tls/tls_config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "proto/base/err.h"
#include "proto/tls/crypto.h"

static const int suites[] = { MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
	MBEDTLS_TLS1_3_AES_128_GCM_SHA256, 0 };
static const uint16_t groups[] = { MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
	MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_NONE };
static const uint16_t signatures[] = { MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
	MBEDTLS_TLS1_3_SIG_NONE };
static const char *protocols[] = { TLS_ALPN, NULL };

static int64_t
system_time(void *unused)
{
	(void)unused;
	return (int64_t)time(NULL);
}

static int
add_cert(struct tls_config *c, const struct cert *cert, struct err *err)
{
	struct cert_facts facts;
	int ret;

	if (cert_facts_of(cert, &facts, err) != 0)
		return -1;
	if ((ret = mbedtls_x509_crt_parse_der(&c->chain, cert->der, cert->len)) != 0)
		return crypto_error(
		    err, ERR_CORRUPT, ret, "certificate of %s", facts.name);
	return 0;
}

/* Copy the key by way of its DER: mbedTLS has no other. */
static int
add_key(struct tls_config *c, const struct cert_identity *identity, struct err *err)
{
	uint8_t der[256];
	size_t len;
	int ret;

	if (cert_key_save(identity->key, der, sizeof(der), &len, err) != 0)
		return -1;
	ret = mbedtls_pk_parse_key(&c->key, der, len, NULL, 0, crypto_random, NULL);
	sodium_memzero(der, sizeof(der));
	if (ret == 0)
		ret = mbedtls_pk_check_pair(&c->chain.pk, &c->key, crypto_random, NULL);
	if (ret != 0)
		return crypto_error(
		    err, ERR_CORRUPT, ret, "the key is not the certificate's");
	if ((ret = mbedtls_ssl_conf_own_cert(&c->ssl, &c->chain, &c->key)) != 0)
		return crypto_error(
		    err, ERR_CORRUPT, ret, "the certificate is of no use");
	return 0;
}

static int
fill(struct tls_config *c, const struct cert_identity *identity, struct err *err)
{
	int ret;

	ret = mbedtls_ssl_config_defaults(&c->ssl,
	    c->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
	    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	if (ret != 0)
		return crypto_error(err, ERR_IO, ret, "cannot set up TLS");
	mbedtls_ssl_conf_rng(&c->ssl, crypto_random, NULL);
	mbedtls_ssl_conf_min_tls_version(&c->ssl, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_max_tls_version(&c->ssl, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_tls13_key_exchange_modes(
	    &c->ssl, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
	mbedtls_ssl_conf_ciphersuites(&c->ssl, suites);
	mbedtls_ssl_conf_groups(&c->ssl, groups);
	mbedtls_ssl_conf_sig_algs(&c->ssl, signatures);
	if ((ret = mbedtls_ssl_conf_alpn_protocols(&c->ssl, protocols)) != 0)
		return crypto_error(err, ERR_IO, ret, "cannot set up TLS");
	/*
	 * Optional, and without authorities: mbedTLS then passes the chain to the
	 * verify callback and judges nothing itself; tls.c does, by cert_verify().
	 */
	mbedtls_ssl_conf_authmode(&c->ssl, MBEDTLS_SSL_VERIFY_OPTIONAL);
	mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
	    &c->ssl, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
	if (c->server)
		mbedtls_ssl_conf_session_tickets_cb(
		    &c->ssl, tls_on_ticket_write, tls_on_ticket_parse, NULL);
	if (identity == NULL)
		return 0;
	cert_fingerprint(&identity->cert, c->basis + CERT_FINGERPRINT_LEN);
	if (add_cert(c, &identity->cert, err) != 0 ||
	    (c->server && add_cert(c, &c->ca, err) != 0))
		return -1;
	return add_key(c, identity, err);
}

static int
make(int server, const struct cert_identity *identity, const struct cert *ca,
    const uint8_t *pin, struct tls_config **out, struct err *err)
{
	struct cert_facts facts;
	struct tls_config *c;

	if (crypto_ready(err) != 0)
		return -1;
	if (ca != NULL && cert_facts_of(ca, &facts, err) != 0)
		return err_context(err, "the authority");
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for TLS");
	mbedtls_ssl_config_init(&c->ssl);
	mbedtls_x509_crt_init(&c->chain);
	mbedtls_pk_init(&c->key);
	c->server = server;
	c->now = system_time;
	if (ca != NULL) {
		c->ca = *ca;
		cert_fingerprint(ca, c->basis);
	} else {
		c->pinned = 1;
		memcpy(c->pin, pin, sizeof(c->pin));
		memcpy(c->basis, pin, sizeof(c->pin));
	}
	if (tls_ticket_keys_init(&c->tickets) != 0) {
		mbedtls_ssl_config_free(&c->ssl);
		free(c);
		return err_set(err, ERR_NOMEM, "no memory for TLS");
	}
	if (fill(c, identity, err) != 0) {
		tls_config_free(c);
		return -1;
	}
	*out = c;
	return 0;
}

int
tls_config_server(const struct cert_identity *identity, const struct cert *ca,
    struct tls_config **out, struct err *err)
{
	assert(identity != NULL && ca != NULL);
	return make(1, identity, ca, NULL, out, err);
}

int
tls_config_client(const struct cert_identity *identity, const struct cert *ca,
    const uint8_t ca_fingerprint[CERT_FINGERPRINT_LEN], struct tls_config **out,
    struct err *err)
{
	assert((ca == NULL) != (ca_fingerprint == NULL));
	return make(0, identity, ca, ca_fingerprint, out, err);
}

void
tls_config_free(struct tls_config *c)
{
	if (c == NULL)
		return;
	mbedtls_ssl_config_free(&c->ssl);
	mbedtls_x509_crt_free(&c->chain);
	mbedtls_pk_free(&c->key);
	tls_ticket_keys_free(&c->tickets);
	free(c);
}

void
tls_config_clock(struct tls_config *c, tls_clock now, void *arg)
{
	c->now = now;
	c->now_arg = arg;
}

void
tls_config_keylog(struct tls_config *c, tls_keylog keylog, void *arg)
{
	c->keylog = keylog;
	c->keylog_arg = arg;
}
