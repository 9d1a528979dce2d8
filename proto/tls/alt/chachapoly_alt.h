/*
 * chachapoly_alt.h - the context of ChaCha20-Poly1305 by libsodium, as mbedTLS'
 * chachapoly.h wants it under MBEDTLS_CHACHAPOLY_ALT.
 */
#ifndef MBEDTLS_CHACHAPOLY_ALT_H
#define MBEDTLS_CHACHAPOLY_ALT_H

#include <stdint.h>

typedef struct mbedtls_chachapoly_context {
	/* libsodium's crypto_onetimeauth_poly1305_state; multi-part calls only, as all
	 * below. */
	_Alignas(16) unsigned char poly[256];
	unsigned char stream[64]; /* Key stream of the block begun. */
	uint64_t aad_len, text_len;
	unsigned char key[32];
	unsigned char nonce[12];
	int decrypt;
	int state;
} mbedtls_chachapoly_context;

/* libsodium's version.  Whoever calls it links with the hooked mbedTLS or not at all. */
const char *mbedtls_chachapoly_by_libsodium(void);

#endif /* MBEDTLS_CHACHAPOLY_ALT_H */
