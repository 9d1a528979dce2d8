#include "agent/restore/target_skip.h"

int
target_skip_first(
    const struct target_skip *skip, uint64_t offset, uint64_t len, uint64_t *n)
{
	uint64_t from = 0, skipped = 0;

	*n = len;
	if (skip == NULL || skip->next == NULL)
		return 1;
	if (offset >= skip->end)
		return 0;
	if (len > skip->end - offset)
		*n = len = skip->end - offset;
	if (!skip->next(skip->arg, offset, &from, &skipped))
		return 1;
	if (from <= offset) {
		if (skipped < len)
			*n = skipped;
		return 0;
	}
	if (from - offset < len)
		*n = from - offset;
	return 1;
}
