/*
 * Tokens: whatever parses is written the same again, and no text does harm.  The
 * mutator works on the bytes inside the base64 and puts the checksum right, or no
 * input would get past it.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proto/base/err.h"
#include "proto/tls/token.h"

#define URLSAFE sodium_base64_VARIANT_URLSAFE_NO_PADDING

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* libFuzzer's; not there when the inputs are only replayed. */
size_t
LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[TOKEN_TEXT_MAX], *text = malloc(size + 1);
	struct token t, u;
	struct err err = ERR_INIT;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (token_parse(text, &t, &err) == 0) {
		assert(strlen(t.address) < TOKEN_ADDRESS_MAX);
		if (token_format(&t, again, &err) != 0 ||
		    token_parse(again, &u, &err) != 0)
			abort();
		if (memcmp(&t, &u, sizeof(t)) != 0)
			abort();
	} else {
		uint8_t hash[32];

		assert(err.code == ERR_CORRUPT && err.text[0] != '\0');
		assert(strchr(err.text, '\n') == NULL);
		token_hash(t.secret, hash);
		/* The same bytes as fields: written if they may be, and then read back.
		 */
		memset(&t, 0, sizeof(t));
		memcpy(&t, data, size < sizeof(t) ? size : sizeof(t));
		err_clear(&err);
		if (token_format(&t, again, &err) == 0) {
			if (token_parse(again, &u, &err) != 0 ||
			    strcmp(t.address, u.address) != 0)
				abort();
		} else {
			assert(err.code == ERR_LIMIT);
		}
	}
	free(text);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	uint8_t raw[512], hash[32];
	char text[800];
	size_t n = 0;

	if (seed % 4 == 0 || size < 4 ||
	    sodium_base642bin(raw, sizeof(raw) - 64, (char *)data + 4, size - 4, NULL, &n,
		NULL, URLSAFE) != 0 ||
	    n < 4)
		return LLVMFuzzerMutate(data, size, max_size);
	n = LLVMFuzzerMutate(raw, n - 4, sizeof(raw) - 64);
	/* A length that fits lets the address through. */
	if (seed % 4 == 1 && n > 50)
		raw[49] = (uint8_t)(n - 50);
	(void)crypto_hash_sha256(hash, raw, n);
	memcpy(raw + n, hash, 4);
	(void)snprintf(text, sizeof(text), "hf1.");
	(void)sodium_bin2base64(text + 4, sizeof(text) - 4, raw, n + 4, URLSAFE);
	n = strlen(text);
	if (n > max_size)
		n = max_size;
	memcpy(data, text, n);
	return n;
}
