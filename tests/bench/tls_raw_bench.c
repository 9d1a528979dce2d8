/*
 * tls_raw_bench [MB] - CPU seconds per GB of mbedTLS' TLS 1.3 alone, each end, with
 * a pre-shared key.  Built twice: against our mbedTLS, and against an unmodified
 * one (tls_raw_plain_bench.c), to see what the hook is worth.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mbedtls/ssl.h>
#include <psa/crypto.h>

#define PIECE ((size_t)512 * 1024)
#define ROOM (PIECE + 65536)

#define MUST(what)        \
	((what) ? (void)0 \
		: (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what), abort()))

struct end {
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config config;
	struct end *other;
	uint8_t in[ROOM];
	size_t len, at;
};

static double
cpu(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int
on_random(void *arg, unsigned char *p, size_t n)
{
	(void)arg;
	return psa_generate_random(p, n) == PSA_SUCCESS ? 0 : -1;
}

static int
on_send(void *arg, const unsigned char *p, size_t n)
{
	struct end *to = ((struct end *)arg)->other;

	MUST(to->len + n <= ROOM);
	memcpy(to->in + to->len, p, n);
	to->len += n;
	return (int)n;
}

static int
on_recv(void *arg, unsigned char *p, size_t n)
{
	struct end *e = arg;

	if (e->at == e->len)
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (n > e->len - e->at)
		n = e->len - e->at;
	memcpy(p, e->in + e->at, n);
	if ((e->at += n) == e->len)
		e->at = e->len = 0;
	return (int)n;
}

static void
make(struct end *e, struct end *other, int endpoint, int suite)
{
	static int suites[2];
	static const uint8_t psk[32] = { 1 };

	suites[0] = suite;
	e->other = other;
	mbedtls_ssl_init(&e->ssl);
	mbedtls_ssl_config_init(&e->config);
	MUST(mbedtls_ssl_config_defaults(&e->config, endpoint,
		 MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) == 0);
	mbedtls_ssl_conf_rng(&e->config, on_random, NULL);
	mbedtls_ssl_conf_min_tls_version(&e->config, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_max_tls_version(&e->config, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_ciphersuites(&e->config, suites);
	mbedtls_ssl_conf_tls13_key_exchange_modes(
	    &e->config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
	MUST(mbedtls_ssl_conf_psk(
		 &e->config, psk, sizeof(psk), (const uint8_t *)"bench", 5) == 0);
	MUST(mbedtls_ssl_setup(&e->ssl, &e->config) == 0);
	mbedtls_ssl_set_bio(&e->ssl, e, on_send, on_recv, NULL);
}

static void
bulk(int suite, size_t total)
{
	struct end *client = calloc(1, sizeof(*client)),
		   *server = calloc(1, sizeof(*server));
	uint8_t *from = calloc(1, PIECE), *to = malloc(PIECE);
	double sending = 0, receiving = 0, t0;
	size_t done, n;
	int i, r;

	MUST(client != NULL && server != NULL && from != NULL && to != NULL);
	make(client, server, MBEDTLS_SSL_IS_CLIENT, suite);
	make(server, client, MBEDTLS_SSL_IS_SERVER, suite);
	for (i = 0; i < 10; i++) {
		r = mbedtls_ssl_handshake(&client->ssl);
		MUST(r == 0 || r == MBEDTLS_ERR_SSL_WANT_READ);
		r = mbedtls_ssl_handshake(&server->ssl);
		MUST(r == 0 || r == MBEDTLS_ERR_SSL_WANT_READ);
	}
	for (done = 0; done < total; done += PIECE) {
		t0 = cpu();
		for (n = 0; n < PIECE; n += (size_t)r)
			MUST((r = mbedtls_ssl_write(&client->ssl, from + n, PIECE - n)) >
			     0);
		sending += cpu() - t0;
		t0 = cpu();
		for (n = 0; n < PIECE; n += (size_t)r)
			MUST((r = mbedtls_ssl_read(&server->ssl, to + n, PIECE - n)) > 0);
		receiving += cpu() - t0;
	}
	printf("mbedTLS    %s: send %.3f, receive %.3f CPU s per GB (%.0f, %.0f MB/s)\n",
	    mbedtls_ssl_get_ciphersuite(&client->ssl), sending * 1e9 / (double)done,
	    receiving * 1e9 / (double)done, (double)done / sending / 1e6,
	    (double)done / receiving / 1e6);
	mbedtls_ssl_free(&client->ssl);
	mbedtls_ssl_free(&server->ssl);
	mbedtls_ssl_config_free(&client->config);
	mbedtls_ssl_config_free(&server->config);
	free(client);
	free(server);
	free(from);
	free(to);
}

int
main(int argc, char **argv)
{
	size_t total = (size_t)(argc > 1 ? atoi(argv[1]) : 1000) * 1000000;

	MUST(psa_crypto_init() == PSA_SUCCESS);
	bulk(MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, total);
	bulk(MBEDTLS_TLS1_3_AES_128_GCM_SHA256, total);
	return 0;
}
