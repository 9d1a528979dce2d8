/* A boot entry of any bytes: reading it ends. */
#include <stddef.h>
#include <stdint.h>

#include "agent/host/host_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct host_entry e;

	if (host_entry_parse(p, len, &e) && e.partition == 0xffffffffu)
		return 0;
	return 0;
}
