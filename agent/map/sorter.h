/*
 * sorter.h - sort more records than fit in memory.
 *
 * A record is a string of bytes of one length, and the order is that of
 * memcmp() over all of it: keys are stored with their highest byte first.
 * Records are held in memory up to a limit; what is more is sorted in pieces,
 * written to a spill file (spill.h) and merged while it is read.
 *
 *	sorter_new -> sorter_add ... -> sorter_finish
 *	    -> sorter_next ... -> (sorter_rewind -> sorter_next ...) -> sorter_free
 */
#ifndef AGENT_MAP_SORTER_H
#define AGENT_MAP_SORTER_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct spill;

#define SORTER_RECORD_MAX 32u

struct sorter;

/*
 * A sorter of records of `record` bytes that holds about `memory` bytes and
 * spills to `spill` (borrowed; NULL: it cannot).  NULL without memory.
 */
struct sorter *sorter_new(uint32_t record, size_t memory, const struct spill *spill);
void sorter_free(struct sorter *s);

/*
 * Add a copy of a record.  ERR_LIMIT where memory is full and there is no spill, or past
 * SPILL_MAX; ERR_NOMEM; or what the spill said.  After a failure only
 * sorter_free() is left; the same goes for sorter_finish().
 */
int sorter_add(struct sorter *s, const uint8_t *record, struct err *err);

/* All are in: sort, and stand before the first. */
int sorter_finish(struct sorter *s, struct err *err);

/*
 * The next record into `*out`, valid until the next call: 1, or 0 at the end.
 * -1: what was spilled cannot be read back, or is not what was written (ERR_CORRUPT).
 */
int sorter_next(struct sorter *s, const uint8_t **out, struct err *err);

/* Stand before the first again. */
int sorter_rewind(struct sorter *s, struct err *err);

uint64_t sorter_count(const struct sorter *s);	 /* Records. */
uint64_t sorter_memory(const struct sorter *s);	 /* Bytes held. */
uint64_t sorter_spilled(const struct sorter *s); /* Bytes ever written to spill files. */

#endif /* AGENT_MAP_SORTER_H */
