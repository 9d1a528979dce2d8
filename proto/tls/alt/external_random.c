/*
 * mbedTLS' key store draws its random numbers from libsodium (MBEDTLS_PSA_CRYPTO_
 * EXTERNAL_RNG).  Compiled into libmbedcrypto by build-mbedtls.sh.
 */
#include <psa/crypto.h>
#include <sodium.h>

psa_status_t
mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
    uint8_t *output, size_t output_size, size_t *output_length)
{
	(void)context;
	if (sodium_init() < 0)
		return PSA_ERROR_INSUFFICIENT_ENTROPY;
	randombytes_buf(output, output_size);
	*output_length = output_size;
	return PSA_SUCCESS;
}
