/*
 * job_parts.h - the inside of a job; for job*.c only.
 */
#ifndef RESCUE_JOB_PARTS_H
#define RESCUE_JOB_PARTS_H

#include "proto/base/err.h"
#include "rescue/job.h"

struct job {
	struct job_config c;
	struct redeem *redeem;
	struct redeem_facts facts;
	struct disk_restore_point *point; /* NULL: not chosen. */
	struct machine machine;
	struct match match;
};

/* A line for people. */
void job_say(struct job *j, const char *fmt, ...) ERR_PRINTF(2, 3);

/*
 * Work over one session, again and again until the server could be reached.  `work`
 * leaves nothing behind when it fails.
 */
int job_over_session(struct job *j,
    int (*work)(struct job *j, struct dial *d, void *arg, struct err *err), void *arg,
    struct err *err);

/* Wait before attempt `n` (0..); the first time `why` is said.  -1: asked to stop. */
int job_wait(struct job *j, unsigned n, const struct err *why, struct err *err);

/* A disk that is restored. */
struct job_target {
	unsigned disk; /* In the layout. */
	struct disk_plan *plan;
	struct fit *fit;
	char device[MACHINE_PATH_MAX + MACHINE_NAME_MAX];
};

/* Zeroed before the first use. */
struct job_targets {
	unsigned count;
	struct job_target at[LAYOUT_DISKS_MAX];
	struct layout *here; /* What this machine has beside its disks. */
};

/*
 * A plan for each disk that has its place, with the exact sizes to which file systems
 * can shrink.  Asks the server; writes nothing.  job_plan_free(), also after a failure.
 */
int job_plan(struct job *j, struct job_targets *t, struct err *err);
void job_plan_free(struct job_targets *t);

#endif /* RESCUE_JOB_PARTS_H */
