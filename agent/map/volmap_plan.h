/*
 * volmap_plan.h - what a parser finds out about a volume for volmap_walk.c.
 *
 * volmap.c asks the parsers in turn.  A plan always describes a sound way to
 * cover the volume; a parser that loses faith calls volmap_plan_doubt() and
 * goes on, or says that the volume is not its kind.
 */
#ifndef AGENT_MAP_VOLMAP_PLAN_H
#define AGENT_MAP_VOLMAP_PLAN_H

#include <stdint.h>

#include "agent/map/volmap.h"
#include "agent/map/volmap_runs.h"

struct volmap_plan {
	const char *fs; /* Static. */
	uint64_t base;	/* Byte where cluster 0 of the runs begins. */
	uint32_t clusters;
	uint32_t cluster_size; /* Bytes. */
	struct volmap_runs runs;
	struct volmap_limits
	    limits; /* For volmap_runs_init(); set before a parser is asked. */
	int whole;  /* In doubt: nothing is a hole. */
	/* NULL, or what is no hole though it is called free; nor is a file left out then, but
	   for volsnap's that it does not touch. */
	const struct changes *written;
	const struct volmap_unkept *unkept; /* The source's. */
	unsigned unkept_count;
	int hibernated;

	/*
	 * Is cluster `first` allocated (1) or not (0)?  `count` comes in as the
	 * most that is of interest and goes out as how many, from `first` on,
	 * are known to be the same; at least 1.  -1 if reading fails.
	 */
	int (*state)(void *arg, uint32_t first, uint32_t *count, struct err *err);
	void (*state_free)(void *arg);
	void *state_arg;
	char note[160];
};

/* Nothing may be left out any more; the first reason given is kept as the note. */
void volmap_plan_doubt(struct volmap_plan *p, const char *why);

/* Say so if the runs or their blocks did not fit. */
void volmap_plan_note_runs(struct volmap_plan *p);

/* Words for the log without a change of the plan; the first reason is kept. */
void volmap_plan_note(struct volmap_plan *p, const char *why);

/* Free what the plan holds (not the plan). */
void volmap_plan_free(struct volmap_plan *p);

/* ------------------------------------------------------------------ parsers -- */

/*
 * Is it ours?  1: yes, `p` is filled; 0: no, or unusable (the note says why),
 * and `p` holds nothing else; -1 if reading fails or ERR_NOMEM.  `src` stays
 * valid as long as `p`.
 */
int ntfs_plan(const struct volmap_source *src, unsigned flags, struct volmap_plan *p,
    struct err *err);
int fat_plan(const struct volmap_source *src, unsigned flags, struct volmap_plan *p,
    struct err *err);

#endif /* AGENT_MAP_VOLMAP_PLAN_H */
