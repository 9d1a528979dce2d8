#include "proto/tls/crypto.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include <mbedtls/asn1.h>
#include <mbedtls/bignum.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/cipher.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509.h>
#include <psa/crypto.h>
#include <sodium.h>

/* mbedtls_config_holdfast.h, without which the rest would link, and crawl. */
#if !defined(MBEDTLS_CHACHAPOLY_ALT) || !defined(MBEDTLS_THREADING_C) ||             \
    !defined(MBEDTLS_SSL_PROTO_TLS1_3) || !defined(MBEDTLS_PSA_KEY_STORE_DYNAMIC) || \
    defined(MBEDTLS_SSL_PROTO_TLS1_2)
#error "not the mbedTLS that proto/tls/build-mbedtls.sh builds"
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *unready = "not tried";

static void
make_ready(void)
{
	unready = NULL;
	if (sodium_init() < 0)
		unready = "libsodium found no random numbers";
	else if (psa_crypto_init() != PSA_SUCCESS)
		unready = "mbedTLS' key store did not start";
	else if (mbedtls_chachapoly_by_libsodium() == NULL)
		unready = "the ChaCha20-Poly1305 is not libsodium's";
}

int
crypto_ready(struct err *err)
{
	(void)pthread_once(&once, make_ready);
	if (unready != NULL)
		return err_set(err, ERR_IO, "no cryptography: %s", unready);
	return 0;
}

int
crypto_random(void *unused, unsigned char *p, size_t n)
{
	(void)unused;
	randombytes_buf(p, n);
	return 0;
}

static int
is_nomem(int ret)
{
	switch (ret) {
	case MBEDTLS_ERR_SSL_ALLOC_FAILED:
	case MBEDTLS_ERR_X509_ALLOC_FAILED:
	case MBEDTLS_ERR_PK_ALLOC_FAILED:
	case MBEDTLS_ERR_ASN1_ALLOC_FAILED:
	case MBEDTLS_ERR_MPI_ALLOC_FAILED:
	case MBEDTLS_ERR_ECP_ALLOC_FAILED:
	case MBEDTLS_ERR_MD_ALLOC_FAILED:
	case MBEDTLS_ERR_CIPHER_ALLOC_FAILED:
		return 1;
	default:
		return 0;
	}
}

int
crypto_error(struct err *err, enum err_code code, int ret, const char *fmt, ...)
{
	const char *why = mbedtls_low_level_strerr(ret);
	char what[ERR_TEXT_MAX];
	va_list ap;

	if (why == NULL && (why = mbedtls_high_level_strerr(ret)) == NULL)
		why = "unknown";
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(err, is_nomem(ret) ? ERR_NOMEM : code, "%.100s: %.100s (-0x%04x)",
	    what, why, (unsigned)-ret);
}
