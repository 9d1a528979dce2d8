/* A record of any bytes: what is taken from it is whole and within the limits of a call,
   and would be written again as it stands. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/abi/hotcopy.h"
#include "driver/core/env.h"
#include "driver/nt/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

/* The first byte: how long the identification is that is asked for; then that, then the
   record. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct hotcopy_track *t;
	uint32_t id, size, again;
	char name[RECORD_NAME];
	uint8_t *record;

	if (len < 1 || len > 1 << 20)
		return 0;
	id = p[0];
	if (len < 1 + id)
		return 0;
	record_name(p + 1, id, name);
	if (strlen(name) != RECORD_NAME - 1)
		abort();
	size = (uint32_t)(len - 1 - id);
	t = record_read(p + 1 + id, size, p + 1, id);
	if (t == NULL)
		return 0;
	if (t->flags != 0 || t->extents == 0 || t->extents > HOTCOPY_EXTENTS_MAX)
		abort();
	record = record_make(p + 1, id, t, &again);
	/* Only the padding may differ. */
	if (record == NULL || again != size || memcmp(record, p + 1 + id, 16 + id) != 0)
		abort();
	env_free(record);
	env_free(t);
	return 0;
}
