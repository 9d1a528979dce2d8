/*
 * upkeep_jobs.h - the jobs of upkeep.h, each a function that runs to its end.
 *
 * `stop` is asked often; once it is set a job ends within a moment, with
 * ERR_CANCELED.  `said` gets what was done, in a line.
 */
#ifndef SERVER_UPKEEP_JOBS_H
#define SERVER_UPKEEP_JOBS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

struct upkeep_run {
	struct store *store;
	atomic_int *stop;
	uint64_t rate; /* Bytes a second; 0: no limit. */
	int64_t lease_keep_us;
	uint64_t verify_cycle_s, verify_every_s;
	int trees; /* Points are looked at, too, and are verified then. */
	char *said;
	size_t cap;
};

int upkeep_prune(const struct upkeep_run *r, struct err *err);
int upkeep_gc(const struct upkeep_run *r, struct err *err);
int upkeep_verify(const struct upkeep_run *r, struct err *err);

#endif /* SERVER_UPKEEP_JOBS_H */
