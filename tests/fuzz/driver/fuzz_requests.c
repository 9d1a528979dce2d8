/* A device control of any number and bytes: judging it ends, and no range leaves the
   volume. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/nt/requests.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const uint64_t sizes[] = { 0, 512, 1 << 20, (uint64_t)1 << 48 };
	uint64_t offset, length;
	struct requests_ranges r;
	uint32_t code;

	if (len < 4)
		return 0;
	memcpy(&code, p, 4);
	if (requests_judge(code, p + 4, (uint32_t)(len - 4), &r) != REQUESTS_RANGES)
		return 0;
	if (r.count == 0)
		abort();
	for (int s = 0; s < 4; s++)
		for (uint32_t i = 0; i <= r.count; i++)
			if (requests_range(&r, i, sizes[s], &offset, &length) &&
			    (i == r.count || length == 0 || offset >= sizes[s] ||
				length > sizes[s] - offset))
				abort();
	return 0;
}
