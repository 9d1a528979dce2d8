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

/* The plan of disk `disk` on `target`.  As disk_plan_make(). */
int job_plan(const struct job *j, unsigned disk, const struct machine_disk *target,
    struct disk_plan *out, uint64_t *missing, struct err *err);

#endif /* RESCUE_JOB_PARTS_H */
