/*
 * Lists of changes written by others: a line is taken or refused, and what is called
 * changed lies within the volume.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/changes.h"
#include "proto/base/err.h"

#define SIZE (UINT64_C(100) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT;
	struct changes *c;
	char line[256];
	size_t n;

	if (changes_new(SIZE, &c, &err) != 0)
		abort();
	for (; len > 0; p += n, len -= n) {
		const uint8_t *end = memchr(p, '\n', len);

		n = end != NULL ? (size_t)(end - p) + 1 : len;
		if (n >= sizeof(line))
			continue;
		memcpy(line, p, n);
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		(void)changes_take(c, line);
	}
	assert(changes_bytes(c) <= SIZE);
	assert(changes_touch(c, 0, SIZE) == (changes_bytes(c) > 0));
	assert(!changes_touch(c, SIZE, 1) && !changes_touch(c, UINT64_MAX, UINT64_MAX));
	changes_free(c);
	return 0;
}
