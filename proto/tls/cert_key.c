#include "proto/tls/cert_key.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/ecp.h>
#include <sodium.h>

#include "proto/base/err.h"
#include "proto/tls/crypto.h"

#define PK_DER_MAX 256 /* A P-256 key pair is about 120 bytes. */

int
cert_pk_ours(const mbedtls_pk_context *pk)
{
	return mbedtls_pk_get_type(pk) == MBEDTLS_PK_ECKEY &&
	       mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(*pk)) ==
		   MBEDTLS_ECP_DP_SECP256R1;
}

int
cert_pk_hash(
    const mbedtls_pk_context *pk, uint8_t out[CERT_FINGERPRINT_LEN], struct err *err)
{
	uint8_t der[PK_DER_MAX];
	int n;

	/* mbedTLS writes DER from the end of the buffer. */
	if ((n = mbedtls_pk_write_pubkey_der(pk, der, sizeof(der))) < 0)
		return crypto_error(err, ERR_CORRUPT, n, "public key");
	(void)crypto_hash_sha256(out, der + sizeof(der) - n, (size_t)n);
	return 0;
}

int
cert_key_new(struct cert_key **out, struct err *err)
{
	struct cert_key *key;
	int ret;

	if (crypto_ready(err) != 0)
		return -1;
	if ((key = calloc(1, sizeof(*key))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a key");
	mbedtls_pk_init(&key->pk);
	ret = mbedtls_pk_setup(&key->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
	if (ret == 0)
		ret = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1,
		    mbedtls_pk_ec(key->pk), crypto_random, NULL);
	if (ret != 0) {
		cert_key_free(key);
		return crypto_error(err, ERR_IO, ret, "cannot make a key");
	}
	*out = key;
	return 0;
}

void
cert_key_free(struct cert_key *key)
{
	if (key == NULL)
		return;
	mbedtls_pk_free(&key->pk);
	free(key);
}

int
cert_key_save(
    const struct cert_key *key, uint8_t *der, size_t cap, size_t *len, struct err *err)
{
	uint8_t all[PK_DER_MAX];
	int n, rc = 0;

	if ((n = mbedtls_pk_write_key_der(&key->pk, all, sizeof(all))) < 0)
		rc = crypto_error(err, ERR_IO, n, "cannot write the key");
	else if ((size_t)n > cap)
		rc = err_set(err, ERR_LIMIT, "a key takes %d bytes, not %zu", n, cap);
	if (rc == 0) {
		memcpy(der, all + sizeof(all) - n, (size_t)n);
		*len = (size_t)n;
	}
	sodium_memzero(all, sizeof(all));
	return rc;
}

int
cert_key_load(const uint8_t *der, size_t len, struct cert_key **out, struct err *err)
{
	struct cert_key *key;
	int ret;

	if (crypto_ready(err) != 0)
		return -1;
	if ((key = calloc(1, sizeof(*key))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a key");
	mbedtls_pk_init(&key->pk);
	ret = mbedtls_pk_parse_key(&key->pk, der, len, NULL, 0, crypto_random, NULL);
	if (ret != 0) {
		cert_key_free(key);
		return crypto_error(err, ERR_CORRUPT, ret, "not a private key");
	}
	if (!cert_pk_ours(&key->pk)) {
		cert_key_free(key);
		return err_set(err, ERR_CORRUPT, "not a P-256 private key");
	}
	*out = key;
	return 0;
}

int
cert_key_hash(
    const struct cert_key *key, uint8_t out[CERT_FINGERPRINT_LEN], struct err *err)
{
	return cert_pk_hash(&key->pk, out, err);
}
