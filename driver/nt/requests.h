/*
 * requests.h - what a device control does to a volume, told by its number and its bytes.
 *
 * Whoever may write a volume may send these, so all bytes are foreign.  A number that is
 * not known and asks for write access counts as a write that nobody knows where: never
 * guess.  No NT type and no NT header, so that it is tested and fuzzed on any system.
 */
#ifndef DRIVER_NT_REQUESTS_H
#define DRIVER_NT_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

enum requests_effect {
	REQUESTS_PASS,		/* changes no byte of the volume */
	REQUESTS_RANGES,	/* changes, or discards, those of requests_range */
	REQUESTS_UNKNOWN_WRITE, /* changes nobody knows what */
	REQUESTS_RESIZE,	/* the length may be another when it is done */
	REQUESTS_HOLD		/* the file system above has stopped: a cut may be made */
};

/* Leans on the bytes that requests_judge was given. */
struct requests_ranges {
	const uint8_t *at;
	uint32_t count;
	bool all; /* the whole volume, then count is 1 */
	bool one; /* offset and length are it, then count is 1 */
	uint64_t offset, length;
};

/* "in": the input buffer, "bytes" long; NULL counts as empty.  With REQUESTS_RANGES "r"
   has at least one, else none.  Up to any IRQL. */
enum requests_effect
requests_judge(uint32_t code, const void *in, uint32_t bytes, struct requests_ranges *r);

/* Range i of r, cut to a volume of "size" bytes; false: nothing of it lies inside. */
bool requests_range(const struct requests_ranges *r, uint32_t i, uint64_t size,
    uint64_t *offset, uint64_t *length);

#endif /* DRIVER_NT_REQUESTS_H */
