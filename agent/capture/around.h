/*
 * around.h - a cut of our driver's in the very moment in which VSS holds writers and file
 * systems still: `hotcopy-flush = on`.
 *
 * VSS makes a set of copies as it does for the vss provider.  While DoSnapshotSet runs, a
 * thread of ours waits in FREEZE with HOTCOPY_FREEZE_AT_HOLD until each volume has seen
 * FLUSH_AND_HOLD_WRITES.  So what our image shows had been flushed by applications and
 * file systems; VSS' own copies are let go at once and never read.  Applications hear
 * that their data is safe after the server's commit, as ever.
 *
 *	around_new -> around_cut -> (the image is read) -> around_finish -> around_free
 *
 * Portable; what there is of VSS is behind struct around_system, and a fake in the tests.
 */
#ifndef AGENT_CAPTURE_AROUND_H
#define AGENT_CAPTURE_AROUND_H

#include <stddef.h>
#include <stdint.h>

#include "agent/capture/snapshot.h"

struct err;
struct vss_ops;
struct around;

struct around_system {
	int (*open)(void **state, struct err *err);
	/* Have `fn(arg)` called on the thread that VSS wants; its result. */
	int (*call)(void *state, int (*fn)(void *arg), void *arg);
	const struct vss_ops *ops;
	void *(*ops_arg)(void *state);
	/* A volume as VSS names it: of any path on it. */
	int (*name)(const char *path, char *out, size_t cap, struct err *err);
	int (*boots)(const char *name);
	void (*close)(void *state);
	uint32_t wait_ms; /* As vss_job's: the documented ten minutes. */
};

/* NULL: this system has no VSS.  Tests put their own here. */
extern const struct around_system *around_system;

/* What is done meanwhile. */
struct around_cut {
	/* FREEZE, waiting at most `hold_ms` for the holds; on a thread of its own.
	   ERR_TIMEOUT: they did not come yet, and all is as before. */
	int (*cut)(void *arg, uint32_t hold_ms, struct err *err);
	/* The cut was made, but VSS' set came to nothing: as before it.  What fails
	   is for the next cut to say. */
	void (*undo)(void *arg);
	void *arg;
};

/*
 * Of the volumes at `paths`, borrowed as `options` are.  ERR_UNSUPPORTED: `sys` is NULL,
 * or there is no VSS.
 */
int around_new(const struct around_system *sys, const struct snapshot_options *options,
    const char *const *paths, unsigned count, struct around **out, struct err *err);

/*
 * Both, or neither: tried again where that may help, as vss_freeze() has it.  ERR_TIMEOUT:
 * VSS made its set and the driver saw no hold.
 */
int around_cut(struct around *a, const struct around_cut *cut, struct err *err);

/* SNAPSHOT_APPLICATION, or SNAPSHOT_CRASH if nobody was asked or a database is torn. */
enum snapshot_grade around_grade(const struct around *a);

/* "full, 12 of 14 writers": as vss_method(), also after a failure. */
const char *around_method(const struct around *a);

/* As snapshot_finish(). */
int around_finish(struct around *a, int ok, struct err *err);

void around_free(struct around *a); /* NULL is allowed. */

#endif /* AGENT_CAPTURE_AROUND_H */
