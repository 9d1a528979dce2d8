/*
 * A modules.alias: the input's first line is a device's name, the rest the table.
 * Whatever it says, reading and finding end, and names fit.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/drivers.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	const uint8_t *end = memchr(p, '\n', len);
	char device[257] = "", names[DRIVERS_NAMES_MAX];
	struct err err = ERR_INIT;
	struct drivers *d = NULL;
	size_t n = end != NULL ? (size_t)(end - p) : 0;

	if (n >= sizeof(device))
		return 0;
	memcpy(device, p, n);
	if (drivers_parse((const char *)p + n, len - n, &d, &err) != 0) {
		if (err.code == ERR_NONE || strchr(err.text, '\n') != NULL)
			abort();
		return 0;
	}
	if ((drivers_find(d, device, names) == DRIVERS_NONE) != (names[0] == '\0') ||
	    memchr(names, '\0', sizeof(names)) == NULL)
		abort();
	if (drivers_count(d) > len)
		abort();
	drivers_free(d);
	return 0;
}
