/* holdfastd's configuration: any text is read or refused with one line. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
look(void *arg, const char *key, const char *value, const char *meaning)
{
	size_t *n = arg;

	*n += strlen(key) + strlen(value) + strlen(meaning);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct config out, other;
	struct err err = ERR_INIT;
	size_t n = 0;

	if (config_parse("f", (const char *)p, len, &out, &err) != 0) {
		if (err.code == ERR_NONE || strchr(err.text, '\n') != NULL)
			abort();
		return 0;
	}
	config_each(&out, look, &n);
	config_defaults(&other);
	(void)config_needs_restart(&out, &other);
	return n == 0;
}
