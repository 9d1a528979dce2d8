/*
 * volmap_runs.h - who owns which clusters, as far as the file system tells.
 *
 * A table of runs, filled in any order, then gone through in two: along each
 * file, to find which pieces make up a block, and along the volume.  It is kept
 * in sorters (sorter.h), so it needs little memory however many runs there are, if
 * it may spill.  Used by the parsers (which fill it) and by volmap_walk.c.
 *
 *	volmap_runs_init -> volmap_runs_add ... -> volmap_runs_sort
 *	    -> (volmap_runs_leave_out ...) -> volmap_runs_join
 *	    -> volmap_runs_next, volmap_runs_block ... -> volmap_runs_free
 *
 * A table that has no room left does not fail: it is empty from then on
 * (`overflow`), and the volume's files are not told apart.  Fill it once more after
 * volmap_runs_claim() to know at least what is any file's.
 */
#ifndef AGENT_MAP_VOLMAP_RUNS_H
#define AGENT_MAP_VOLMAP_RUNS_H

#include <stdint.h>

#include "agent/map/volmap.h"
#include "agent/map/volmap_marks.h"
#include "proto/base/err.h"

struct sorter;
struct volmap_blocks;
struct volmap_claims;
struct volmap_dense;

struct volmap_left_out {
	uint32_t owner;
	uint8_t reason; /* enum extent_reason */
};

struct volmap_runs {
	uint64_t count; /* Runs; 0 after an overflow. */
	uint32_t clusters, cluster_size;
	int overflow;	/* A run did not fit: the table is empty for good. */
	int alone;	/* Blocks did not fit: each piece comes alone. */
	int blind;	/* Heads did not fit: files in several runs are cut at offsets. */
	struct err why; /* Of the last of these. */
	struct volmap_limits limits;
	struct sorter *by_file, *by_lcn;
	uint64_t spilled;	    /* By sorters that are gone. */
	struct volmap_marks walk;   /* Along the volume. */
	struct volmap_dense *dense; /* While runs are sorted and joined, or NULL. */
	struct volmap_blocks *blocks;

	/* Set after volmap_runs_init(); NULL: no file is cut by content. */
	const struct volmap_source *source;
	uint64_t base; /* Byte of it where cluster 0 begins. */
	int crossed;   /* Of the claims some are known to clash: not all are there. */
	struct volmap_claims *claims;	  /* After an overflow, or NULL. */
	struct volmap_run last;		  /* Of length 0, or not in the table yet. */
	struct volmap_left_out *left_out; /* By owner. */
	uint32_t left_out_count, left_out_room;
};

/* An empty table for a volume of `clusters` clusters of `cluster_size` bytes (2^n). */
void volmap_runs_init(struct volmap_runs *r, uint32_t clusters, uint32_t cluster_size,
    const struct volmap_limits *limits);
void volmap_runs_free(struct volmap_runs *r);

/*
 * Add a run (inside the volume, vcn + len within 32 bits); one that continues
 * the last is joined to it.  ERR_NOMEM.
 */
int volmap_runs_add(struct volmap_runs *r, const struct volmap_run *run, struct err *err);

/* Let go of all runs: files are not told apart.  `why` is kept (NULL: too many). */
void volmap_runs_drop(struct volmap_runs *r, const struct err *why);

/*
 * After an overflow: from now on volmap_runs_add() notes which clusters are claimed, or
 * that some are claimed twice (`crossed`), and no more than that.  ERR_NOMEM.
 */
int volmap_runs_claim(struct volmap_runs *r, struct err *err);

/*
 * Is cluster `first` one that was so noted (1; 0 also where nothing was), or near one?
 * `*count` is as for volmap_plan's state().
 */
int volmap_runs_claimed(const struct volmap_runs *r, uint32_t first, uint32_t *count);

/*
 * All runs are in: mark SHORT and CLASH.  Calls `look` (may be NULL) with each
 * along the volume until it fails.  `clashes` gets the number of runs that are
 * claimed twice, in their file or on the volume.  ERR_NOMEM.
 */
int volmap_runs_sort(struct volmap_runs *r,
    int (*look)(void *arg, const struct volmap_run *run, struct err *err), void *arg,
    uint64_t *clashes, struct err *err);

/* Mark the runs of `owner` that are FILE as EXCLUDED.  ERR_NOMEM. */
int volmap_runs_leave_out(
    struct volmap_runs *r, uint32_t owner, uint8_t reason, struct err *err);

/* Find the blocks that lie in several pieces; the walk may begin.  ERR_NOMEM. */
int volmap_runs_join(struct volmap_runs *r, struct err *err);

/* The next run along the volume, all marks set: 1, 0 at the end; -1 as sorter_next(). */
int volmap_runs_next(struct volmap_runs *r, struct volmap_run *out, struct err *err);

/*
 * Is the file of `run`, which volmap_runs_next() gave last, cut by content?  To be
 * asked of each run that is cut as file data, before its blocks.  1, 0; -1 as
 * sorter_next().
 */
int
volmap_runs_dense(struct volmap_runs *r, const struct volmap_run *run, struct err *err);

/*
 * The pieces of the block (of a dense file: region) whose lowest begins at cluster
 * `lcn`, in the order of the file, offsets from cluster 0 in bytes; `lcn` grows from
 * call to call.  `out` has room for VOLMAP_REGION_PIECES_MAX.  0 pieces: the block lies
 * in one, or there are too many, or its lowest piece is not here.  0; -1 as
 * sorter_next().
 */
int volmap_runs_block(struct volmap_runs *r, uint32_t lcn, struct volmap_piece *out,
    uint32_t *count, struct err *err);

/* What `valid` counts: bytes, or for clusters above 64 KiB a part of them. */
uint32_t volmap_runs_unit(const struct volmap_runs *r);

/* Bytes of a run that are valid data. */
uint64_t volmap_runs_valid(const struct volmap_runs *r, const struct volmap_run *run);

/* Bytes held, and bytes ever spilled. */
uint64_t volmap_runs_memory(const struct volmap_runs *r);
uint64_t volmap_runs_spilled(const struct volmap_runs *r);

#endif /* AGENT_MAP_VOLMAP_RUNS_H */
