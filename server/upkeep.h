/*
 * upkeep.h - what the server does without being asked.
 *
 * One thread looks every few seconds at the store's clock and disk, and logs what
 * has changed.  Another does the jobs, one at a time, each when it is due: prune by
 * the policies, collect what nothing needs, check what was checked longest ago.  It
 * reads and writes at a limited rate and yields the processor to sessions.
 *
 * upkeep_start() once the store is open, upkeep_stop() before it is closed.
 */
#ifndef SERVER_UPKEEP_H
#define SERVER_UPKEEP_H

#include <stdint.h>

#include "proto/base/err.h"

struct config;
struct store;
struct upkeep;

int upkeep_start(struct store *store, const struct config *config, struct upkeep **out,
    struct err *err);

/* Ends what is under way, soon.  NULL is allowed. */
void upkeep_stop(struct upkeep *u);

enum upkeep_job { UPKEEP_PRUNE, UPKEEP_GC, UPKEEP_VERIFY, UPKEEP_JOBS };

struct upkeep_status {
	const char *name;
	int running;
	int64_t next_us; /* Since 1970, by the machine's clock; 0: it is off. */
	int64_t began_us, ended_us; /* The last time; 0: never since the start. */
	struct err how;		    /* It ended; the text is what it did, or why not. */
};

void upkeep_status(struct upkeep *u, struct upkeep_status out[UPKEEP_JOBS]);

/* The rate for work that nobody waits for, and how long unfinished backups keep theirs.
 */
uint64_t upkeep_rate(const struct upkeep *u);
int64_t upkeep_lease_keep_us(const struct upkeep *u);

#endif /* SERVER_UPKEEP_H */
