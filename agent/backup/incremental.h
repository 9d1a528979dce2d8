/*
 * incremental.h - one volume's part in a backup that need not read everything.
 *
 * It brings together who says what changed (a list in a file; a driver that tracks; the
 * records of an NTFS: the first of these that can be used), what is remembered of the
 * newest point (shape.h, ntfs_compare.h), and what becomes of both afterwards.  Whatever
 * is missing, or does not fit, costs reading all once, with a note that says why.
 *
 *	incremental_new
 *	for each session:  (incremental_told) -> incremental_job -> pipeline_run ->
 *		incremental_ran
 *	incremental_kept once the point is made, or incremental_drop
 *
 * That a list was wrong is noted at once in a file of its own, and what was remembered
 * is dropped: an agent that ends before the server knows, or before all was read, says
 * and does so the next time.  The disk that all of this lies on may be full, or fail: that
 * costs reading, never a point.
 */
#ifndef AGENT_BACKUP_INCREMENTAL_H
#define AGENT_BACKUP_INCREMENTAL_H

#include <stdint.h>

#include "agent/capture/tracking.h"
#include "agent/map/ntfs_compare.h"

struct changes;
struct chunk_id;
struct err;
struct incremental;
struct pipeline_job;
struct pipeline_result;

struct incremental_policy {
	int fast; /* Compare the records of an NTFS (agent/map/ntfs_compare.h). */
	struct ntfs_compare_rules rules;
	/* A file of ranges (agent/map/changes.h), which is read once, or NULL. */
	const char *changed_from;
	unsigned percent;	  /* 1..100: the slice that is proven in each run, */
	unsigned tracked_percent; /* and where a driver tells what changed. */
};

/* A driver that tracks the volume: as capture_tracked() and capture_changed(). */
struct incremental_tracked {
	struct tracking_view view;
	int (*changed)(void *arg, struct changes *out, struct err *err);
	void *arg;
	/* The view was made by others than the driver: where a map has doubts, the list
	 * says nothing of what they may have changed in it. */
	int foreign;
};

/*
 * `cache` is the path of the volume's tree cache: what is remembered lies beside it.
 * `policy` is borrowed, `tracked` copied; NULL: nobody tracks.  ERR_CORRUPT, ERR_IO of
 * the list; ERR_NOMEM.
 */
int incremental_new(const struct incremental_policy *policy,
    const struct incremental_tracked *tracked, const char *cache, uint64_t size,
    struct incremental **out, struct err *err);
void incremental_free(struct incremental *inc);

/*
 * Give a job that is otherwise made, of a volume frozen at `cut_us`, what it needs; the
 * strings are `inc`'s.  What an interrupted session did is taken from the job again if
 * it rests on another base.
 */
int incremental_job(
    struct incremental *inc, int64_t cut_us, struct pipeline_job *job, struct err *err);

/*
 * A pipeline ran with that job, well or not.  Non-zero if its list of changes was wrong:
 * nothing that it kept counts, and the next job reads all.
 */
int incremental_ran(struct incremental *inc, const struct pipeline_job *job,
    const struct pipeline_result *r);

/* Something that was kept is not what the volume has, as somebody else found out: `how`.
 */
void incremental_distrust(struct incremental *inc, const char *how);

/* The server knows which points are suspect. */
void incremental_told(struct incremental *inc);

/* What the last run was, for the point and for people. */
struct incremental_facts {
	int used;    /* A list of changes was used: the rest of this counts. */
	int tracked; /* It was the driver's. */
	uint64_t kept_bytes, proven_bytes; /* Of interrupted sessions about. */
	unsigned slices;
	uint64_t proven; /* With this run, the newest point up to which all is. */
	/* The list was wrong, as `how` says: points after this one are suspect. */
	int suspect;
	int told; /* The server knows. */
	uint64_t since;
	char how[160];
	const char *why; /* Why all was read; "" if it was not, or was the first time. */
	/* Why not by the driver's list; "" if so, or nobody tracks. */
	const char *why_not_tracked;
};
void incremental_facts(const struct incremental *inc, struct incremental_facts *out);

/*
 * The point `sequence` is made of the tree of `root`: remember it.  -1: that could not be
 * written, and nothing is remembered, as by incremental_forget().
 */
int incremental_kept(struct incremental *inc, uint64_t sequence,
    const struct chunk_id *root, struct err *err);

/*
 * The point is made, and nothing is remembered of it: nor of the one before, which takes
 * room that may be what is lacking.  That points are suspect stays noted until a point
 * read all.
 */
void incremental_forget(struct incremental *inc);

/* No point was made. */
void incremental_drop(struct incremental *inc);

/*
 * Is there a note that points of the volume are suspect, from which nobody has freed it
 * yet?  Then it wants an incremental, whatever tells of changes now.  1 or 0.
 */
int incremental_noted(const char *cache);

#endif /* AGENT_BACKUP_INCREMENTAL_H */
