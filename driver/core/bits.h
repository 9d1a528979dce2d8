/*
 * bits.h - bitmaps that many processors read and change at once.
 *
 * Single bits and ranges are atomic word by word; a range as a whole is not.  No function
 * waits or allocates but bits_make; all may run at DISPATCH_LEVEL.  Indexes beyond the
 * end are the caller's fault: ranges are clipped, single bits must lie inside.
 */
#ifndef DRIVER_CORE_BITS_H
#define DRIVER_CORE_BITS_H

#include <stdbool.h>
#include <stdint.h>

struct bits {
	uint32_t *word; /* NULL: none */
	uint64_t count; /* bits */
};

/* 0, all clear; -1: no memory.  env_alloc gives it, bits_free (also of none) takes it. */
int bits_make(struct bits *b, uint64_t count);
void bits_free(struct bits *b);

bool bits_get(const struct bits *b, uint64_t i);
/* Each says whether it changed the bit. */
bool bits_set(struct bits *b, uint64_t i);
bool bits_clear(struct bits *b, uint64_t i);

/* Of first ... last, both included. */
bool bits_any(const struct bits *b, uint64_t first, uint64_t last);
bool bits_all(const struct bits *b, uint64_t first, uint64_t last);
/* How many were changed. */
uint64_t bits_set_range(struct bits *b, uint64_t first, uint64_t last);
uint64_t bits_clear_range(struct bits *b, uint64_t first, uint64_t last);

uint64_t bits_number(const struct bits *b);
/* The first set (clear) bit at or after i; count: none. */
uint64_t bits_next_set(const struct bits *b, uint64_t i);
uint64_t bits_next_clear(const struct bits *b, uint64_t i);

/* into |= from; both of the same count. */
void bits_merge(struct bits *into, const struct bits *from);
/* The little-endian bytes of bits first ... first + count - 1, first a multiple of 8;
   what lies beyond the end is 0. */
void bits_export(const struct bits *b, uint64_t first, uint32_t count, uint8_t *bytes);
/* Sets (never clears) the bits that are 1 in "bytes". */
void bits_import(struct bits *b, uint64_t first, uint32_t count, const uint8_t *bytes);

#endif /* DRIVER_CORE_BITS_H */
