/*
 * job.h - one machine brought back: the steps, in order, whoever asks for them.
 *
 *	job_new -> job_enter -> job_choose -> job_look -> job_match or job_map ... ->
 *	    job_restore -> job_free
 *
 * A server that cannot be reached is waited for in every step, and said to be; only
 * `stop` ends that.  Each step may be repeated after a failure.  Nothing is written
 * before job_restore().
 */
#ifndef RESCUE_JOB_H
#define RESCUE_JOB_H

#include <stdint.h>

#include "agent/restore/disk_restore.h"
#include "agent/session/redeem.h"
#include "proto/wire/msg.h"
#include "rescue/cmdline.h"
#include "rescue/machine.h"
#include "rescue/match.h"
#include "rescue/options.h"

struct err;
struct job;
struct stop;

struct job_progress {
	unsigned disk, disks; /* The how-manieth of how many; from 1. */
	const char *name;     /* In the point. */
	const char *device;   /* "/dev/sda" */
	enum disk_restore_stage stage;
	uint64_t done, total, received; /* Bytes. */
	uint64_t speed;			/* Bytes a second lately; 0: not known. */
	uint64_t left_s;		/* UINT64_MAX: not known. */
};

/* Who stands before the machine.  Any thread may call, one at a time. */
struct job_front {
	void (*say)(void *arg, const char *line);
	void (*waits)(void *arg, const char *code); /* For a person at the server. */
	void (*progress)(void *arg, const struct job_progress *p);
	void *arg;
};

struct job_config {
	const struct options *options;
	const struct cmdline *cmdline; /* Its flags, point and maps. */
	const char *server;	       /* "host:port" */
	const char *token;	       /* NULL: by MAC. */
	struct job_front front;
	struct stop *stop; /* May be NULL. */
};

/* All is borrowed but the config itself.  No network yet. */
int job_new(const struct job_config *config, struct job **out, struct err *err);
void job_free(struct job *j);

/* Be let in.  ERR_DENIED: the server's final word; ERR_CORRUPT: no such token. */
int job_enter(struct job *j, struct err *err);
const struct redeem_facts *job_facts(const struct job *j);

/* Points that may be chosen, newest first: as reading_points(). */
int job_points(struct job *j, int (*each)(void *arg, const Wire__Point *p), void *arg,
    struct err *err);

/* Point `sequence`; 0: that of the command line, else the one that was allowed. */
int job_choose(struct job *j, uint64_t sequence, struct err *err);
const struct disk_restore_point *job_point(const struct job *j);

/* Look at the machine's disks, again if it was done before. */
int job_look(struct job *j, struct err *err);
const struct machine *job_machine(const struct job *j);

/* Is its firmware of the wrong kind?  Non-zero with one line. */
int job_foreign(const struct job *j, char why[200]);

/*
 * Find a disk for each of the point's, or take what the command line says.  Disks
 * that come late are waited for.  As match_find(), match_name().
 */
int job_match(struct job *j, struct err *err);

/* The same at once and in silence, as a proposal; the maps are kept then too. */
int job_propose(struct job *j, struct err *err);

/* A person maps one; `device` NULL takes the map back. */
int job_map(struct job *j, const char *name, const char *device, struct err *err);
const struct match *job_matched(const struct job *j);

/* Is there room on that disk of the machine?  As match_fits. */
int job_fits(void *job, unsigned disk, const struct machine_disk *target,
    char why[MATCH_TEXT_MAX]);

/*
 * Restore every matched disk, see that the machine will start, tell the server.
 * ERR_UNSUPPORTED: the wrong firmware, without force.
 */
int job_restore(struct job *j, struct err *err);

#endif /* RESCUE_JOB_H */
