/*
 * diff_map.h - which place holds the copy of a chunk: a hash table of key -> place that
 * takes all its memory when it is made and never grows, and whose removals leave nothing
 * behind, so that it is as fast after a million of them as before.
 *
 * Places are numbers below "places"; each holds one key at most.  Memory is by places,
 * not by the volume's length.  Not locked: diff.h does that.
 */
#ifndef DRIVER_CORE_DIFF_MAP_H
#define DRIVER_CORE_DIFF_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct diff_map {
	uint32_t *cell; /* place + 1; 0: empty */
	uint64_t *key;	/* by place */
	uint32_t mask;	/* cells - 1, a power of two */
	unsigned shift; /* 32 - the cells' logarithm */
};

#define DIFF_MAP_PLACES_MAX (1u << 30)
/* -1: no memory.  diff_map_free also of one that is all 0. */
int diff_map_make(struct diff_map *m, uint32_t places);
void diff_map_free(struct diff_map *m);
/* Bytes that a map of so many places takes. */
uint64_t diff_map_bytes(uint32_t places);

bool diff_map_find(const struct diff_map *m, uint64_t key, uint32_t *place);
/* The key must not be there. */
void diff_map_insert(struct diff_map *m, uint64_t key, uint32_t place);
/* Must be there. */
void diff_map_remove(struct diff_map *m, uint64_t key);
/* What lies at "from" lies at "to" now. */
void diff_map_move(struct diff_map *m, uint32_t from, uint32_t to);

#endif /* DRIVER_CORE_DIFF_MAP_H */
