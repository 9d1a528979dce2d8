/*
 * What is read as a restore token or code is written back in its one form, and
 * reads as the same again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/tls/restore_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t secret[RESTORE_SECRET_LEN], again[RESTORE_SECRET_LEN];
	char text[RESTORE_TOKEN_TEXT_MAX];
	char code[RESTORE_CODE_TEXT_MAX], same[RESTORE_CODE_TEXT_MAX];
	struct err err = ERR_INIT;
	char *typed = malloc(size + 1);

	if (typed == NULL)
		return 0;
	memcpy(typed, data, size);
	typed[size] = '\0';
	if (restore_token_parse(typed, secret, &err) == 0) {
		restore_token_format(secret, text);
		if (restore_token_parse(text, again, &err) != 0 ||
		    memcmp(secret, again, sizeof(secret)) != 0)
			abort();
	} else if (err.code != ERR_CORRUPT) {
		abort();
	}
	err_clear(&err);
	if (restore_code_parse(typed, code, &err) == 0 &&
	    (restore_code_parse(code, same, &err) != 0 || strcmp(code, same) != 0))
		abort();
	free(typed);
	return 0;
}
