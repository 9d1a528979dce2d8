/*
 * volmap_marks.h - runs in order, and which of them are claimed twice.
 *
 * Runs are kept in sorters in one of two orders, and marked while they are read:
 * to know whether a run clashes it is enough to know how far those before it
 * reach and where the next begins.  For volmap_runs.c alone.
 */
#ifndef AGENT_MAP_VOLMAP_MARKS_H
#define AGENT_MAP_VOLMAP_MARKS_H

#include <stdint.h>

struct err;
struct sorter;

/* Flags of a run; one with any but FILE and ONLY is not cut as file data. */
enum {
	VOLMAP_RUN_FILE = 1,  /* Plain content of a file: may be excluded, or dense. */
	VOLMAP_RUN_TAIL = 2,  /* Lies behind the file's valid data. */
	VOLMAP_RUN_SHORT = 4, /* Less than VOLMAP_GRAIN bytes. */
	VOLMAP_RUN_CLASH = 8, /* Claimed by something else as well. */
	VOLMAP_RUN_EXCLUDED = 16, /* To be left out: why is in the bits from 8 on. */
	VOLMAP_RUN_ONLY = 32	  /* The file has no other. */
};

/* Where an excluded run's flags have its enum extent_reason; records have no room for it.
 */
#define VOLMAP_RUN_REASON_SHIFT 8

struct volmap_run {
	uint32_t lcn;	/* First cluster on the volume. */
	uint32_t len;	/* Clusters, > 0. */
	uint32_t vcn;	/* First cluster in the file. */
	uint32_t owner; /* File: any number that tells it from others. */
	uint8_t stream; /* Which of the file's streams. */
	uint16_t flags;
	uint16_t valid; /* Of the last cluster, in units (volmap_runs_unit()); 0: all. */
};

enum volmap_order { VOLMAP_ALONG_FILES, VOLMAP_ALONG_VOLUME };

/* A run as a sorter's record, and back. */
#define VOLMAP_RECORD_LEN 20u
void
volmap_marks_store(enum volmap_order order, const struct volmap_run *run, uint8_t *out);
void volmap_marks_load(enum volmap_order order, const uint8_t *p, struct volmap_run *out);

/* A place in a sorter of runs. */
struct volmap_marks {
	struct sorter *sorter;
	enum volmap_order order;
	struct volmap_run next;
	int has_next;
	uint64_t end; /* Clusters: how far those reach that were passed. */
};

/* Stand before the first run of a finished sorter, which is borrowed. */
int volmap_marks_begin(struct volmap_marks *m, struct sorter *sorter,
    enum volmap_order order, struct err *err);

/* The next run, CLASH set if it overlaps another in this order: 1, 0, -1. */
int volmap_marks_next(struct volmap_marks *m, struct volmap_run *out, struct err *err);

/* Non-zero: both runs are of one stream of one file. */
int volmap_marks_same(const struct volmap_run *a, const struct volmap_run *b);

#endif /* AGENT_MAP_VOLMAP_MARKS_H */
