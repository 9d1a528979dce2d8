/*
 * mbedTLS' ChaCha20-Poly1305 (RFC 8439) by libsodium.  Compiled into libmbedcrypto
 * by build-mbedtls.sh; the functions are described in mbedtls/chachapoly.h.
 */
#include <stdatomic.h>
#include <string.h>

#include <mbedtls/chachapoly.h>
#include <mbedtls/platform_util.h>
#include <sodium.h>

#ifndef MBEDTLS_CHACHAPOLY_ALT
#error "mbedtls_config_holdfast.h is not in effect"
#endif

enum state { KEYED, AAD, TEXT, FINISHED };

#define BLOCK 64
#define POLY(ctx) ((crypto_onetimeauth_poly1305_state *)(void *)(ctx)->poly)

_Static_assert(sizeof(crypto_onetimeauth_poly1305_state) <= 256, "poly[] holds it");

/* Before sodium_init() libsodium works, but by its portable and slow code. */
static void
pick_fast_code(void)
{
	static atomic_int done;

	if (!atomic_load_explicit(&done, memory_order_acquire) && sodium_init() >= 0)
		atomic_store_explicit(&done, 1, memory_order_release);
}

const char *
mbedtls_chachapoly_by_libsodium(void)
{
	return sodium_version_string();
}

void
mbedtls_chachapoly_init(mbedtls_chachapoly_context *ctx)
{
	memset(ctx, 0, sizeof(*ctx));
}

void
mbedtls_chachapoly_free(mbedtls_chachapoly_context *ctx)
{
	if (ctx != NULL)
		mbedtls_platform_zeroize(ctx, sizeof(*ctx));
}

int
mbedtls_chachapoly_setkey(mbedtls_chachapoly_context *ctx, const unsigned char key[32])
{
	pick_fast_code();
	memcpy(ctx->key, key, sizeof(ctx->key));
	return 0;
}

int
mbedtls_chachapoly_encrypt_and_tag(mbedtls_chachapoly_context *ctx, size_t length,
    const unsigned char nonce[12], const unsigned char *aad, size_t aad_len,
    const unsigned char *input, unsigned char *output, unsigned char tag[16])
{
	(void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
	    output, tag, NULL, input, length, aad, aad_len, NULL, nonce, ctx->key);
	ctx->state = FINISHED;
	return 0;
}

int
mbedtls_chachapoly_auth_decrypt(mbedtls_chachapoly_context *ctx, size_t length,
    const unsigned char nonce[12], const unsigned char *aad, size_t aad_len,
    const unsigned char tag[16], const unsigned char *input, unsigned char *output)
{
	ctx->state = FINISHED;
	if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(
		output, NULL, input, length, tag, aad, aad_len, nonce, ctx->key) == 0)
		return 0;
	if (length > 0)
		mbedtls_platform_zeroize(output, length);
	return MBEDTLS_ERR_CHACHAPOLY_AUTH_FAILED;
}

/* Block 0 of the key stream gives Poly1305's key; the text starts with block 1. */
int
mbedtls_chachapoly_starts(mbedtls_chachapoly_context *ctx, const unsigned char nonce[12],
    mbedtls_chachapoly_mode_t mode)
{
	unsigned char first[BLOCK];

	memcpy(ctx->nonce, nonce, sizeof(ctx->nonce));
	(void)crypto_stream_chacha20_ietf(first, sizeof(first), nonce, ctx->key);
	(void)crypto_onetimeauth_poly1305_init(POLY(ctx), first);
	mbedtls_platform_zeroize(first, sizeof(first));
	ctx->aad_len = ctx->text_len = 0;
	ctx->decrypt = mode == MBEDTLS_CHACHAPOLY_DECRYPT;
	ctx->state = AAD;
	return 0;
}

int
mbedtls_chachapoly_update_aad(
    mbedtls_chachapoly_context *ctx, const unsigned char *aad, size_t aad_len)
{
	if (ctx->state != AAD)
		return MBEDTLS_ERR_CHACHAPOLY_BAD_STATE;
	if (aad_len > 0)
		(void)crypto_onetimeauth_poly1305_update(POLY(ctx), aad, aad_len);
	ctx->aad_len += aad_len;
	return 0;
}

/* Poly1305 sees AAD and text each filled up to 16 bytes. */
static void
fill_up(mbedtls_chachapoly_context *ctx, uint64_t len)
{
	static const unsigned char zeros[16];

	if (len % 16 != 0)
		(void)crypto_onetimeauth_poly1305_update(POLY(ctx), zeros, 16 - len % 16);
}

/* XOR with the key stream from where the last call ended in it. */
static void
xor_stream(mbedtls_chachapoly_context *ctx, const unsigned char *in, unsigned char *out,
    size_t n)
{
	size_t at = (size_t)(ctx->text_len % BLOCK), whole;

	while (at > 0 && n > 0) {
		*out++ = *in++ ^ ctx->stream[at];
		at = (at + 1) % BLOCK;
		ctx->text_len++;
		n--;
	}
	whole = n - n % BLOCK;
	if (whole > 0) {
		(void)crypto_stream_chacha20_ietf_xor_ic(out, in, whole, ctx->nonce,
		    (uint32_t)(1 + ctx->text_len / BLOCK), ctx->key);
		ctx->text_len += whole;
		in += whole;
		out += whole;
		n -= whole;
	}
	if (n == 0)
		return;
	memset(ctx->stream, 0, sizeof(ctx->stream));
	(void)crypto_stream_chacha20_ietf_xor_ic(ctx->stream, ctx->stream, BLOCK,
	    ctx->nonce, (uint32_t)(1 + ctx->text_len / BLOCK), ctx->key);
	ctx->text_len += n;
	for (at = 0; at < n; at++)
		out[at] = in[at] ^ ctx->stream[at];
}

int
mbedtls_chachapoly_update(mbedtls_chachapoly_context *ctx, size_t len,
    const unsigned char *input, unsigned char *output)
{
	if (ctx->state != AAD && ctx->state != TEXT)
		return MBEDTLS_ERR_CHACHAPOLY_BAD_STATE;
	if (ctx->state == AAD)
		fill_up(ctx, ctx->aad_len);
	ctx->state = TEXT;
	if (len == 0)
		return 0;
	if (ctx->decrypt)
		(void)crypto_onetimeauth_poly1305_update(POLY(ctx), input, len);
	xor_stream(ctx, input, output, len);
	if (!ctx->decrypt)
		(void)crypto_onetimeauth_poly1305_update(POLY(ctx), output, len);
	return 0;
}

static void
put_le64(unsigned char p[8], uint64_t v)
{
	int i;

	for (i = 0; i < 8; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

int
mbedtls_chachapoly_finish(mbedtls_chachapoly_context *ctx, unsigned char mac[16])
{
	unsigned char lengths[16];

	if (ctx->state != AAD && ctx->state != TEXT)
		return MBEDTLS_ERR_CHACHAPOLY_BAD_STATE;
	fill_up(ctx, ctx->state == AAD ? ctx->aad_len : ctx->text_len);
	put_le64(lengths, ctx->aad_len);
	put_le64(lengths + 8, ctx->text_len);
	(void)crypto_onetimeauth_poly1305_update(POLY(ctx), lengths, sizeof(lengths));
	(void)crypto_onetimeauth_poly1305_final(POLY(ctx), mac);
	mbedtls_platform_zeroize(ctx->stream, sizeof(ctx->stream));
	ctx->state = FINISHED;
	return 0;
}
