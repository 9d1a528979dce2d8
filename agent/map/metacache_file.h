/*
 * metacache_file.h - pages of a volume in the file of metacache_format.h, and which of
 * them are there.  For metacache.c alone.
 *
 *	metacache_file_new
 *	for each run:  metacache_file_open -> find, get, put, use -> metacache_file_close
 *	metacache_file_seal
 *
 * A file that cannot be opened, read or written has less, and nothing fails for it but
 * for memory.
 */
#ifndef AGENT_MAP_METACACHE_FILE_H
#define AGENT_MAP_METACACHE_FILE_H

#include <stdint.h>

#include "agent/map/metacache_format.h"

struct err;
struct metacache_file;

/* At most `max` bytes.  ERR_NOMEM. */
int metacache_file_new(
    const char *path, uint64_t max, struct metacache_file **out, struct err *err);
void metacache_file_free(struct metacache_file *m);

/*
 * Open or make it.  What it has is known only if its header is `wanted` (NULL: nothing
 * is); else it serves to write less.  -1 only without memory.
 */
int metacache_file_open(struct metacache_file *m, const uint8_t key[METACACHE_KEY],
    const struct metacache_header *wanted, struct err *err);

/* The slot of a page; -1: it has none. */
int64_t metacache_file_find(const struct metacache_file *m, uint32_t page);

/* Of a slot the grains that are known, and those of them that were asked for. */
uint16_t metacache_file_known(const struct metacache_file *m, uint32_t slot);
uint16_t metacache_file_used(const struct metacache_file *m, uint32_t slot);

/* They were asked for, and are as they are on the volume. */
void metacache_file_use(struct metacache_file *m, uint32_t slot, uint16_t grains);

/*
 * Read `count` grains of a slot from `first` on; returns those that are what they were,
 * bit by bit.  The others are not known any more.
 */
uint16_t metacache_file_get(
    struct metacache_file *m, uint32_t slot, unsigned first, unsigned count, uint8_t *p);

/* Is a known grain all ones?  Its hash tells: nothing is read. */
int metacache_file_ones(struct metacache_file *m, uint32_t slot, unsigned grain);

/* Keep these grains of a page: known and asked for, if there is room. */
void metacache_file_put(struct metacache_file *m, uint32_t page, unsigned first,
    unsigned count, const uint8_t *p);

/* Bytes written since it was opened, and held; and was there no room for something? */
uint64_t metacache_file_written(const struct metacache_file *m);
uint64_t metacache_file_memory(const struct metacache_file *m);
int metacache_file_full(const struct metacache_file *m);

/* The run is over.  `whole`: it may be sealed, with all that was asked for. */
void metacache_file_close(struct metacache_file *m, int whole);
void metacache_file_seal(struct metacache_file *m, const struct metacache_header *h);

/* Close it, and let go of all it has. */
void metacache_file_drop(struct metacache_file *m);

#endif /* AGENT_MAP_METACACHE_FILE_H */
