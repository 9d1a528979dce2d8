/*
 * The NTFS parser and the walk over what it finds: whatever the volume holds,
 * every byte is covered exactly once, in order, and only a failing read fails.
 * Input: sparse_image.h.
 */
#include "tests/fuzz/agent/sparse_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	sparse_run(p, len);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	return sparse_mutate(p, len, max, seed);
}
