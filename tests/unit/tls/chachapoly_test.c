/* mbedTLS' ChaCha20-Poly1305 is libsodium's, and it is RFC 8439's. */
#define HOLDFAST_SELF_TEST /* Declares mbedtls_chachapoly_self_test(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <mbedtls/chachapoly.h>
#include <mbedtls/cipher.h>
#include <psa/crypto.h>
#include <sodium.h>

struct vector {
	const char *key, *nonce, *aad, *plain, *cipher,
	    *tag; /* `plain` as text, others hex. */
};

/* RFC 8439, sections 2.8.2 and A.5. */
static const struct vector vectors[] = {
	{ "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	    "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip "
	    "for "
	    "the future, sunscreen would be it.",
	    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	    "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	    "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	    "3ff4def08e4b7a9de576d26586cec64b6116",
	    "1ae10b594f09e26a7e902ecbd0600691" },
	{ "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
	    "000000000102030405060708", "f33388860000000000004e91",
	    "Internet-Drafts are draft documents valid for a maximum of six months and "
	    "may be "
	    "updated, replaced, or obsoleted by other documents at any time. It is "
	    "inappropriate to use Internet-Drafts as reference material or to cite them "
	    "other "
	    "than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d",
	    "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2"
	    "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf"
	    "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
	    "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4"
	    "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
	    "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
	    "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
	    "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29"
	    "a6ad5cb4022b02709b",
	    "eead9d67890cbb22392336fea1851f38" },
};

#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

struct bytes {
	uint8_t key[32], nonce[12], aad[64], plain[512], cipher[512], tag[16];
	size_t aad_len, len;
};

static size_t
unhex(uint8_t *out, size_t cap, const char *hex)
{
	size_t n;

	assert_int_equal(sodium_hex2bin(out, cap, hex, strlen(hex), NULL, &n, NULL), 0);
	return n;
}

static void
read_vector(const struct vector *v, struct bytes *b)
{
	assert_int_equal(unhex(b->key, sizeof(b->key), v->key), 32);
	assert_int_equal(unhex(b->nonce, sizeof(b->nonce), v->nonce), 12);
	assert_int_equal(unhex(b->tag, sizeof(b->tag), v->tag), 16);
	b->aad_len = unhex(b->aad, sizeof(b->aad), v->aad);
	b->len = unhex(b->cipher, sizeof(b->cipher), v->cipher);
	assert_int_equal(strlen(v->plain), b->len);
	memcpy(b->plain, v->plain, b->len);
}

static int
setup(void **state)
{
	(void)state;
	return psa_crypto_init() != PSA_SUCCESS;
}

static void
test_the_hook_is_in(void **state)
{
	mbedtls_chachapoly_context c;

	(void)state;
	assert_string_equal(mbedtls_chachapoly_by_libsodium(), sodium_version_string());
	assert_true(sizeof(c.poly) >= sizeof(crypto_onetimeauth_poly1305_state));
	assert_int_equal(mbedtls_chachapoly_self_test(0), 0);
}

static void
test_one_shot_vectors(void **state)
{
	mbedtls_chachapoly_context c;
	uint8_t out[512], tag[16];
	struct bytes b;
	size_t i;

	(void)state;
	for (i = 0; i < VECTORS; i++) {
		read_vector(&vectors[i], &b);
		mbedtls_chachapoly_init(&c);
		assert_int_equal(mbedtls_chachapoly_setkey(&c, b.key), 0);
		assert_int_equal(mbedtls_chachapoly_encrypt_and_tag(&c, b.len, b.nonce,
				     b.aad, b.aad_len, b.plain, out, tag),
		    0);
		assert_memory_equal(out, b.cipher, b.len);
		assert_memory_equal(tag, b.tag, 16);
		assert_int_equal(mbedtls_chachapoly_auth_decrypt(&c, b.len, b.nonce,
				     b.aad, b.aad_len, b.tag, b.cipher, out),
		    0);
		assert_memory_equal(out, b.plain, b.len);
		/* In place. */
		assert_int_equal(mbedtls_chachapoly_encrypt_and_tag(
				     &c, b.len, b.nonce, b.aad, b.aad_len, out, out, tag),
		    0);
		assert_memory_equal(out, b.cipher, b.len);
		assert_int_equal(mbedtls_chachapoly_auth_decrypt(
				     &c, b.len, b.nonce, b.aad, b.aad_len, tag, out, out),
		    0);
		assert_memory_equal(out, b.plain, b.len);
		mbedtls_chachapoly_free(&c);
		assert_true(sodium_is_zero((uint8_t *)&c, sizeof(c)));
	}
}

/* Every byte of tag, nonce, AAD and text matters; nothing is given out. */
static void
test_what_was_changed_is_refused(void **state)
{
	mbedtls_chachapoly_context c;
	struct bytes b, bad;
	uint8_t out[512];
	size_t i;

	(void)state;
	read_vector(&vectors[1], &b);
	mbedtls_chachapoly_init(&c);
	assert_int_equal(mbedtls_chachapoly_setkey(&c, b.key), 0);
	for (i = 0; i < 16 + 12 + b.aad_len + b.len; i++) {
		bad = b;
		if (i < 16)
			bad.tag[i] ^= 1;
		else if (i < 28)
			bad.nonce[i - 16] ^= 0x80;
		else if (i < 28 + b.aad_len)
			bad.aad[i - 28] ^= 2;
		else
			bad.cipher[i - 28 - b.aad_len] ^= 4;
		memset(out, 0x55, sizeof(out));
		assert_int_equal(mbedtls_chachapoly_auth_decrypt(&c, b.len, bad.nonce,
				     bad.aad, b.aad_len, bad.tag, bad.cipher, out),
		    MBEDTLS_ERR_CHACHAPOLY_AUTH_FAILED);
		assert_true(sodium_is_zero(out, b.len));
	}
	mbedtls_chachapoly_free(&c);
}

/* By parts of at most `step` bytes, in place in `text`. */
static void
in_parts(mbedtls_chachapoly_context *c, mbedtls_chachapoly_mode_t mode,
    const struct bytes *b, uint8_t *text, uint8_t tag[16], size_t step)
{
	size_t at, n, s = step;

	assert_int_equal(mbedtls_chachapoly_starts(c, b->nonce, mode), 0);
	for (at = 0; at < b->aad_len; at += n) {
		n = b->aad_len - at < step ? b->aad_len - at : step;
		assert_int_equal(mbedtls_chachapoly_update_aad(c, b->aad + at, n), 0);
	}
	for (at = 0; at < b->len; at += n) {
		n = b->len - at < s ? b->len - at : s;
		assert_int_equal(
		    mbedtls_chachapoly_update(c, n, text + at, text + at), 0);
		s = s * 5 % 131 + 1;
	}
	assert_int_equal(mbedtls_chachapoly_finish(c, tag), 0);
}

static void
test_multi_part_vectors(void **state)
{
	mbedtls_chachapoly_context c;
	uint8_t text[512], tag[16];
	struct bytes b;
	size_t i, step;

	(void)state;
	for (i = 0; i < VECTORS; i++) {
		read_vector(&vectors[i], &b);
		mbedtls_chachapoly_init(&c);
		assert_int_equal(mbedtls_chachapoly_setkey(&c, b.key), 0);
		for (step = 1; step <= b.len; step++) {
			memcpy(text, b.plain, b.len);
			in_parts(&c, MBEDTLS_CHACHAPOLY_ENCRYPT, &b, text, tag, step);
			assert_memory_equal(text, b.cipher, b.len);
			assert_memory_equal(tag, b.tag, 16);
			in_parts(&c, MBEDTLS_CHACHAPOLY_DECRYPT, &b, text, tag, step);
			assert_memory_equal(text, b.plain, b.len);
			assert_memory_equal(tag, b.tag, 16);
		}
		mbedtls_chachapoly_free(&c);
	}
}

/* All lengths of text and AAD around the block sizes: parts and the whole agree. */
static void
test_parts_and_whole_agree(void **state)
{
	mbedtls_chachapoly_context c;
	uint8_t text[512], whole[512], tag[16], want[16];
	struct bytes b;

	(void)state;
	read_vector(&vectors[1], &b);
	randombytes_buf(b.plain, sizeof(b.plain));
	randombytes_buf(b.aad, sizeof(b.aad));
	mbedtls_chachapoly_init(&c);
	assert_int_equal(mbedtls_chachapoly_setkey(&c, b.key), 0);
	for (b.len = 0; b.len <= 300; b.len++) {
		for (b.aad_len = 0; b.aad_len <= 40; b.aad_len += 1 + b.len % 5) {
			assert_int_equal(mbedtls_chachapoly_encrypt_and_tag(&c, b.len,
					     b.nonce, b.aad_len ? b.aad : NULL, b.aad_len,
					     b.plain, whole, want),
			    0);
			memcpy(text, b.plain, b.len);
			in_parts(&c, MBEDTLS_CHACHAPOLY_ENCRYPT, &b, text, tag,
			    1 + b.len % 70);
			assert_memory_equal(text, whole, b.len);
			assert_memory_equal(tag, want, 16);
		}
	}
	mbedtls_chachapoly_free(&c);
}

static void
test_calls_out_of_order(void **state)
{
	mbedtls_chachapoly_context c;
	uint8_t x[16] = { 0 };

	(void)state;
	mbedtls_chachapoly_init(&c);
	assert_int_equal(mbedtls_chachapoly_setkey(&c, (const uint8_t[32]){ 1 }), 0);
	assert_int_equal(
	    mbedtls_chachapoly_update_aad(&c, x, 1), MBEDTLS_ERR_CHACHAPOLY_BAD_STATE);
	assert_int_equal(
	    mbedtls_chachapoly_update(&c, 1, x, x), MBEDTLS_ERR_CHACHAPOLY_BAD_STATE);
	assert_int_equal(
	    mbedtls_chachapoly_finish(&c, x), MBEDTLS_ERR_CHACHAPOLY_BAD_STATE);
	assert_int_equal(mbedtls_chachapoly_starts(&c, x, MBEDTLS_CHACHAPOLY_ENCRYPT), 0);
	assert_int_equal(mbedtls_chachapoly_update(&c, 1, x, x), 0);
	assert_int_equal(
	    mbedtls_chachapoly_update_aad(&c, x, 1), MBEDTLS_ERR_CHACHAPOLY_BAD_STATE);
	assert_int_equal(mbedtls_chachapoly_finish(&c, x), 0);
	assert_int_equal(
	    mbedtls_chachapoly_update(&c, 1, x, x), MBEDTLS_ERR_CHACHAPOLY_BAD_STATE);
	assert_int_equal(
	    mbedtls_chachapoly_finish(&c, x), MBEDTLS_ERR_CHACHAPOLY_BAD_STATE);
	mbedtls_chachapoly_free(&c);
	mbedtls_chachapoly_free(NULL);
}

/* The two layers above, as TLS and others call it. */
static void
test_the_layers_above_use_it(void **state)
{
	psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
	psa_aead_operation_t op = PSA_AEAD_OPERATION_INIT;
	uint8_t out[600], tag[16];
	mbedtls_cipher_context_t cipher;
	psa_key_id_t key;
	struct bytes b;
	size_t n, tag_len;

	(void)state;
	read_vector(&vectors[1], &b);
	mbedtls_cipher_init(&cipher);
	assert_int_equal(
	    mbedtls_cipher_setup(
		&cipher, mbedtls_cipher_info_from_type(MBEDTLS_CIPHER_CHACHA20_POLY1305)),
	    0);
	assert_int_equal(mbedtls_cipher_setkey(&cipher, b.key, 256, MBEDTLS_DECRYPT), 0);
	memcpy(out, b.cipher, b.len);
	memcpy(out + b.len, b.tag, 16);
	assert_int_equal(mbedtls_cipher_auth_decrypt_ext(&cipher, b.nonce, 12, b.aad,
			     b.aad_len, out, b.len + 16, out, sizeof(out), &n, 16),
	    0);
	assert_int_equal(n, b.len);
	assert_memory_equal(out, b.plain, b.len);
	mbedtls_cipher_free(&cipher);

	psa_set_key_type(&attributes, PSA_KEY_TYPE_CHACHA20);
	psa_set_key_algorithm(&attributes, PSA_ALG_CHACHA20_POLY1305);
	psa_set_key_usage_flags(
	    &attributes, PSA_KEY_USAGE_ENCRYPT | PSA_KEY_USAGE_DECRYPT);
	assert_int_equal(psa_import_key(&attributes, b.key, 32, &key), PSA_SUCCESS);
	assert_int_equal(
	    psa_aead_encrypt_setup(&op, key, PSA_ALG_CHACHA20_POLY1305), PSA_SUCCESS);
	assert_int_equal(psa_aead_set_nonce(&op, b.nonce, 12), PSA_SUCCESS);
	assert_int_equal(psa_aead_update_ad(&op, b.aad, b.aad_len), PSA_SUCCESS);
	assert_int_equal(
	    psa_aead_update(&op, b.plain, 100, out, sizeof(out), &n), PSA_SUCCESS);
	assert_int_equal(n, 100);
	assert_int_equal(psa_aead_update(&op, b.plain + 100, b.len - 100, out + 100,
			     sizeof(out) - 100, &n),
	    PSA_SUCCESS);
	assert_int_equal(
	    psa_aead_finish(&op, NULL, 0, &n, tag, sizeof(tag), &tag_len), PSA_SUCCESS);
	assert_memory_equal(out, b.cipher, b.len);
	assert_memory_equal(tag, b.tag, 16);
	assert_int_equal(psa_destroy_key(key), PSA_SUCCESS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_hook_is_in),
		cmocka_unit_test(test_one_shot_vectors),
		cmocka_unit_test(test_what_was_changed_is_refused),
		cmocka_unit_test(test_multi_part_vectors),
		cmocka_unit_test(test_parts_and_whole_agree),
		cmocka_unit_test(test_calls_out_of_order),
		cmocka_unit_test(test_the_layers_above_use_it),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
