/*
 * nvram.h - the firmware's boot entries, through a directory like efivarfs.
 *
 * Each file is a variable: 4 bytes of attributes, then its value.  A file may be
 * immutable; that is taken away first.  Every entry that was there stays, but for
 * those that start the same loader of the same partition with the same data: they are
 * replaced in place.
 */
#ifndef RESCUE_NVRAM_H
#define RESCUE_NVRAM_H

#include <stddef.h>
#include <stdint.h>

#include "rescue/loadopt.h"

struct err;

#define NVRAM_ENTRIES_MAX 16u

struct nvram_entry {
	uint16_t number; /* Boot#### that it likes to be; taken if it is free. */
	size_t len;
	uint8_t option[LOADOPT_LEN_MAX];
};

/*
 * Write `n` entries, in the order in which they are to be tried, and put them first
 * in BootOrder; `n` at most NVRAM_ENTRIES_MAX.  Each entry's `number` becomes the one
 * it has got.  The order is written last; if that or an entry fails (a full
 * NVRAM), those that are new are removed again.  ERR_IO, ERR_NOTFOUND (no such directory),
 * ERR_NOSPACE, ERR_LIMIT.
 */
int nvram_add(const char *dir, struct nvram_entry *entries, unsigned n, struct err *err);

#endif /* RESCUE_NVRAM_H */
