/*
 * generations.h - which generations of change tracking the server holds.
 *
 * A point is made, then it is noted here, then the driver is told: COMMIT.  An agent that
 * ends in between tells it at its next start.  The driver takes nothing but a generation
 * that it waits for, by number and random nonce, so what is noted too much is harmless,
 * and a note that is lost costs one full compare.
 *
 * One file, replaced whole; newest first:
 *
 *	+0	8	magic "HFHELD01"
 *	+8	4	entries, at most GENERATIONS_MAX
 *	+12	24	each: number (8), nonce (16)
 *	...	32	BLAKE3-256 of the bytes before
 */
#ifndef AGENT_BACKUP_GENERATIONS_H
#define AGENT_BACKUP_GENERATIONS_H

#include "agent/capture/tracking.h"

struct err;

#define GENERATIONS_MAX 256u

/* Those in the file at `path`; how many: none if there is none, or it is not whole. */
unsigned
generations_load(const char *path, struct tracking_generation out[GENERATIONS_MAX]);

/* `n` more; the oldest go.  As file_store(). */
int generations_add(const char *path, const struct tracking_generation *more, unsigned n,
    struct err *err);

#endif /* AGENT_BACKUP_GENERATIONS_H */
