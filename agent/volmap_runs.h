/*
 * volmap_runs.h - who owns which clusters, as far as the file system tells.
 *
 * A table of runs with a hard limit: filled in any order, then sorted once.  It
 * is then known in both orders, along each file and along the volume, and what
 * is claimed twice is marked.  Used by the parsers (which fill it) and by
 * volmap_walk.c (which reads it).
 */
#ifndef AGENT_VOLMAP_RUNS_H
#define AGENT_VOLMAP_RUNS_H

#include <stdint.h>

struct err;

/* 24 bytes a run with its place in the order of the volume: 36 MiB. */
#define VOLMAP_RUNS_MAX 1500000u

/* Ranges shorter than this are not worth an extent of their own. */
#define VOLMAP_GRAIN 4096u

/* Flags of a run; one with any but FILE is not cut as file data. */
enum {
	VOLMAP_RUN_FILE = 1,	 /* Plain content of a file: may be excluded. */
	VOLMAP_RUN_TAIL = 2,	 /* Lies behind the file's valid data. */
	VOLMAP_RUN_SHORT = 4,	 /* Less than VOLMAP_GRAIN bytes. */
	VOLMAP_RUN_CLASH = 8,	 /* Claimed by something else as well. */
	VOLMAP_RUN_EXCLUDED = 16 /* To be left out. */
};

struct volmap_run {
	uint32_t lcn;	/* First cluster on the volume. */
	uint32_t len;	/* Clusters, > 0. */
	uint32_t vcn;	/* First cluster in the file. */
	uint32_t owner; /* File: any number that tells it from others. */
	uint8_t stream; /* Which of the file's streams. */
	uint8_t flags;
	uint16_t valid; /* Of the last cluster, in units (volmap_runs_unit()); 0: all. */
};

struct volmap_runs {
	struct volmap_run *run; /* Once sorted: by owner, stream, vcn. */
	uint32_t *by_lcn;	/* Once sorted: indices in order of lcn. */
	uint32_t count, room;
	uint32_t clusters; /* Of the volume: no run passes them. */
	uint32_t cluster_size;
	int overflow; /* A run did not fit: the table is empty for good. */
};

/* An empty table for a volume of `clusters` clusters of `cluster_size` bytes. */
void volmap_runs_init(struct volmap_runs *r, uint32_t clusters, uint32_t cluster_size);
void volmap_runs_free(struct volmap_runs *r);

/* What `valid` counts: bytes, or for clusters above 64 KiB a part of them. */
uint32_t volmap_runs_unit(const struct volmap_runs *r);

/* Bytes of a run that are valid data. */
uint64_t volmap_runs_valid(const struct volmap_runs *r, const struct volmap_run *run);

/*
 * Add a run (inside the volume, vcn + len within 32 bits); one that continues
 * the last is joined to it.  Past VOLMAP_RUNS_MAX everything is dropped and
 * `overflow` set, which is no failure.  ERR_NOMEM.
 */
int volmap_runs_add(struct volmap_runs *r, const struct volmap_run *run, struct err *err);

/*
 * All runs are in: sort and mark SHORT and CLASH.  `clashes` gets the number of
 * runs that are claimed twice, in their file or on the volume.  ERR_NOMEM.
 */
int volmap_runs_sort(struct volmap_runs *r, uint32_t *clashes, struct err *err);

/* After the sort: index of the first run of `owner`, or `count`. */
uint32_t volmap_runs_find(const struct volmap_runs *r, uint32_t owner);

/* Non-zero: both runs are of one stream of one file. */
int volmap_runs_same(const struct volmap_run *a, const struct volmap_run *b);

#endif /* AGENT_VOLMAP_RUNS_H */
