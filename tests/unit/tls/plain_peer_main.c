/*
 * plain_peer server|client DIR - one TLS 1.3 connection over the socket that is
 * standard input, by an unmodified mbedTLS that knows nothing of proto/tls.
 *
 * DIR holds ca.der, cert.der and key.der.  The peer's certificate must verify, by
 * mbedTLS' own rules.  The server echoes until the client closes; the client sends
 * ROUNDS pieces and wants each back.  Exit status 0 if all was well.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>

#ifdef MBEDTLS_CHACHAPOLY_ALT
#error "this peer must be a plain mbedTLS"
#endif

#define PIECE 50000
#define ROUNDS 20

static const int suites[] = { MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, 0 };
static const char *protocols[] = { "holdfast/1", NULL };

static void
must(int ret, const char *what)
{
	char why[120];

	if (ret >= 0)
		return;
	mbedtls_strerror(ret, why, sizeof(why));
	fprintf(stderr, "plain_peer: %s: %s\n", what, why);
	exit(1);
}

static int
on_send(void *arg, const unsigned char *p, size_t n)
{
	ssize_t r = write(0, p, n);

	(void)arg;
	return r < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)r;
}

static int
on_recv(void *arg, unsigned char *p, size_t n)
{
	ssize_t r = read(0, p, n);

	(void)arg;
	return r < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)r;
}

static size_t
load(const char *dir, const char *name, uint8_t *out, size_t cap)
{
	char path[4200];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((f = fopen(path, "rb")) == NULL)
		must(-1, path);
	n = fread(out, 1, cap, f);
	(void)fclose(f);
	return n;
}

static void
send_all(mbedtls_ssl_context *ssl, const uint8_t *p, size_t n)
{
	int r;

	for (; n > 0; p += r, n -= (size_t)r)
		must(r = mbedtls_ssl_write(ssl, p, n), "write");
}

/* Up to `n` bytes; 0 when the peer closed. */
static size_t
receive(mbedtls_ssl_context *ssl, uint8_t *p, size_t n)
{
	int r;

	do {
		r = mbedtls_ssl_read(ssl, p, n);
	} while (r == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET ||
		 r == MBEDTLS_ERR_SSL_WANT_READ);
	if (r == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		return 0;
	must(r, "read");
	return (size_t)r;
}

static void
talk(mbedtls_ssl_context *ssl, int server)
{
	static uint8_t out[PIECE], in[PIECE];
	size_t i, n, have;
	int round;

	if (server) {
		while ((n = receive(ssl, in, sizeof(in))) > 0)
			send_all(ssl, in, n);
		return;
	}
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < PIECE; i++)
			out[i] = (uint8_t)(i * 7 + (size_t)round);
		send_all(ssl, out, PIECE);
		for (have = 0; have < PIECE; have += n) {
			if ((n = receive(ssl, in + have, PIECE - have)) == 0)
				must(-1, "closed early");
		}
		if (memcmp(in, out, PIECE) != 0)
			must(-1, "not what was sent");
	}
}

int
main(int argc, char **argv)
{
	mbedtls_ctr_drbg_context random;
	mbedtls_entropy_context entropy;
	mbedtls_ssl_config config;
	mbedtls_ssl_context ssl;
	mbedtls_x509_crt ca, cert;
	mbedtls_pk_context key;
	uint8_t der[8192];
	int server;

	if (argc != 3)
		return 2;
	server = strcmp(argv[1], "server") == 0;
	mbedtls_ctr_drbg_init(&random);
	mbedtls_entropy_init(&entropy);
	mbedtls_ssl_config_init(&config);
	mbedtls_ssl_init(&ssl);
	mbedtls_x509_crt_init(&ca);
	mbedtls_x509_crt_init(&cert);
	mbedtls_pk_init(&key);
	must(psa_crypto_init() == PSA_SUCCESS ? 0 : -1, "key store");
	must(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0),
	    "random");
	must(mbedtls_x509_crt_parse_der(
		 &ca, der, load(argv[2], "ca.der", der, sizeof(der))),
	    "ca.der");
	must(mbedtls_x509_crt_parse_der(
		 &cert, der, load(argv[2], "cert.der", der, sizeof(der))),
	    "cert.der");
	/* A client that only knows the CA's fingerprint needs the CA too. */
	must(mbedtls_x509_crt_parse_der(
		 &cert, der, load(argv[2], "ca.der", der, sizeof(der))),
	    "ca.der");
	must(mbedtls_pk_parse_key(&key, der, load(argv[2], "key.der", der, sizeof(der)),
		 NULL, 0, mbedtls_ctr_drbg_random, &random),
	    "key.der");
	must(mbedtls_ssl_config_defaults(&config,
		 server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
		 MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
	    "config");
	mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
	mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_ca_chain(&config, &ca, NULL);
	must(mbedtls_ssl_conf_own_cert(&config, &cert, &key), "own certificate");
	mbedtls_ssl_conf_min_tls_version(&config, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_ciphersuites(&config, suites);
	must(mbedtls_ssl_conf_alpn_protocols(&config, protocols), "ALPN");
	must(mbedtls_ssl_setup(&ssl, &config), "setup");
	must(mbedtls_ssl_set_hostname(&ssl, NULL), "no host name");
	mbedtls_ssl_set_bio(&ssl, NULL, on_send, on_recv, NULL);
	must(mbedtls_ssl_handshake(&ssl), "handshake");
	talk(&ssl, server);
	must(mbedtls_ssl_close_notify(&ssl), "close");
	mbedtls_ssl_free(&ssl);
	mbedtls_ssl_config_free(&config);
	mbedtls_x509_crt_free(&ca);
	mbedtls_x509_crt_free(&cert);
	mbedtls_pk_free(&key);
	mbedtls_ctr_drbg_free(&random);
	mbedtls_entropy_free(&entropy);
	mbedtls_psa_crypto_free();
	return 0;
}
