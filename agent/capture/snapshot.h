/*
 * snapshot.h - a frozen view of some volumes, however it is obtained.
 *
 * The agent reads volumes only through this interface.  Behind it stand
 *
 *	offline		a device or a plain file that nobody writes; no copy
 *	vss		Windows: writers flushed, blocks copied aside
 *	hotcopy		our own filter driver: blocks copied aside, crash-consistent
 *
 * and the pipeline cannot tell which.
 * All calls block and none touches an event loop.
 *
 * Order of calls, each at most once per set unless said otherwise:
 *
 *	snapshot_open -> snapshot_add ... -> snapshot_freeze
 *	    -> snapshot_read ... -> snapshot_confirm
 *	    -> (the server's commit) -> snapshot_finish -> snapshot_close
 *
 * One thread at a time may use a set, with one exception: between freeze and
 * close any number of threads may call snapshot_read() and snapshot_info().
 */
#ifndef AGENT_CAPTURE_SNAPSHOT_H
#define AGENT_CAPTURE_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct settings_hotcopy;
struct spill;
struct stop;
struct tracking;
struct tracking_options;
struct volmap_unkept;

/* Bytes of snapshot_method()'s text, its end counted. */
#define SNAPSHOT_METHOD_MAX 384

/* What applications are told this backup is. */
enum snapshot_type {
	SNAPSHOT_FULL = 0, /* They may cut their logs once it is safe. */
	SNAPSHOT_COPY = 1  /* Nothing of theirs changes by it. */
};

/* Wishes for a set; a provider ignores what it has no use for.  Copyable. */
struct snapshot_options {
	enum snapshot_type type;
	int no_autorecovery; /* Applications may not repair their files in the view. */
	int no_writers;	     /* Ask no application: the view is crash-consistent. */
	const struct settings_hotcopy
	    *hotcopy; /* Of that provider; NULL: its defaults. */
	const struct tracking_options *tracking; /* NULL: no changes are tracked. */
	int keep_all; /* What was read will be read again: keep it, whatever the room. */
	const struct spill *spill; /* For copies of a provider's own, or NULL. */
	struct stop *stop;	   /* Ends waiting with ERR_CANCELED; may be NULL. */
	/* Something people should read now: one line; may be NULL. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
};

/* How the view was made, strongest first; stored with the image (enum tree_grade). */
enum snapshot_grade {
	SNAPSHOT_EXCLUSIVE = 0,	  /* No one else could write. */
	SNAPSHOT_APPLICATION = 1, /* Writers flushed and held still. */
	SNAPSHOT_CRASH = 2	  /* As after a power cut at that instant. */
};

/* "exclusive", "application", "crash"; static. */
const char *snapshot_grade_name(enum snapshot_grade grade);

/*
 * A set of volumes frozen at one instant.  A database whose log and data lie
 * on different volumes is only sound if both are in the same set.
 */
struct snapshot;

/* One volume of a set.  Owned by the set; never freed by the caller. */
struct snapshot_volume;

/* What a volume was when it was frozen. */
struct snapshot_info {
	uint64_t size;	      /* Bytes, > 0; a multiple of sector_size. */
	uint32_t sector_size; /* Bytes; a power of two, 512..4096. */
	enum snapshot_grade grade;
	int flushed;	     /* The file system was flushed at the cut: its
			      * own allocation bitmap is the truth. */
	int64_t frozen_at;   /* Microseconds since 1970-01-01 UTC. */
	uint64_t generation; /* Of change tracking: it grows; or 0. */
	uint8_t nonce[16];   /* Another for each generation: a volume that was
			      * reverted or cloned repeats numbers, not these. */
};

/* A way of freezing (agent/capture/snapshot_provider.h). */
struct snapshot_provider;

/* The provider called `name` ("offline"), static, or NULL if this build has none such. */
const struct snapshot_provider *snapshot_provider_find(const char *name);

/* Its name, static: as written in the configuration and stored with the image. */
const char *snapshot_provider_name(const struct snapshot_provider *provider);

/*
 * Begin an empty set.  `options` are copied, what they point to is not; NULL: none.
 * ERR_NOMEM; ERR_UNSUPPORTED if the host lacks what it needs.
 */
int snapshot_open(const struct snapshot_provider *provider,
    const struct snapshot_options *options, struct snapshot **out, struct err *err);

/*
 * Add a volume by its UTF-8 path (/dev/..., a plain file); `path` is copied.
 * Any number of times.  The offline provider takes hold of the source here.
 * ERR_NOTFOUND; ERR_EXISTS (added twice); ERR_BUSY (mounted for writing, or
 * locked by a writer); ERR_UNSUPPORTED (no device or file, empty, or not a
 * whole number of sectors); ERR_DENIED.  After a failure the set is as before.
 */
int snapshot_add(
    struct snapshot *s, const char *path, struct snapshot_volume **out, struct err *err);

/*
 * Freeze every volume added, all at the same instant or none.  May take
 * `timeout_ms` milliseconds while applications flush.  After a failure the set
 * is good for snapshot_close() alone.  A provider tries again by itself where that
 * helps.  ERR_TIMEOUT, ERR_BUSY, ERR_NOSPACE (no room for the blocks that will be
 * copied aside), ERR_IO, ERR_CANCELED (the options' `stop`).
 */
int snapshot_freeze(struct snapshot *s, uint32_t timeout_ms, struct err *err);

/* What was frozen.  Valid after snapshot_freeze() until snapshot_close(). */
const struct snapshot_info *snapshot_info(const struct snapshot_volume *v);

/*
 * Read exactly `len` bytes at byte `offset` of the frozen view, at any
 * alignment (multiples of the sector size are fastest).  Safe on many threads
 * at once.  ERR_SNAPSHOT_LOST: the view is gone or its source shrank; begin the
 * image again.  ERR_LIMIT: past the end of the volume.  ERR_IO: this range
 * could not be read; others may be.
 */
int snapshot_read(
    struct snapshot_volume *v, uint64_t offset, void *buf, size_t len, struct err *err);

/*
 * What of the view nobody kept: page files that the provider was told of, its own areas.
 * In order and apart, the set's; how many.  Reading there gives zeros.
 */
unsigned
snapshot_unkept(const struct snapshot_volume *v, const struct volmap_unkept **out);

/*
 * The volume was in the middle of its work, but flushed soon before it was frozen: call
 * `each` for what was written since, and perhaps for more.  1; 0: it was not, or nobody knows; -1.
 */
int snapshot_written(struct snapshot_volume *v,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err);

/* The volumes' paths, in the order in which they were added, into `out`; how many. */
#define SNAPSHOT_VOLUMES_MAX 256
unsigned snapshot_paths(const struct snapshot *s, const char *out[SNAPSHOT_VOLUMES_MAX]);

/* Where in that order it stands. */
unsigned snapshot_place(const struct snapshot_volume *v);

/* Does the provider see to the tracking of what it freezes? */
int snapshot_tracks(const struct snapshot *s);

/*
 * The tracking of this set's volumes, in the order in which they were added, if the
 * provider has it in hand (agent/capture/tracking.h); else NULL.  The set's.
 */
struct tracking *snapshot_tracking(const struct snapshot *s);

/*
 * Prove that everything read so far came from one unchanged view.  Call it
 * after the last read and before the image is committed; may be repeated.
 * ERR_SNAPSHOT_LOST: the source changed while it was read, and the image must
 * be thrown away.
 */
int snapshot_confirm(struct snapshot *s, struct err *err);

/*
 * The provider's name, and how the set came to be: "vss: full, 2 attempts (writers were
 * too slow)".  One line of UTF-8, the set's own.  Valid after snapshot_freeze(), also a failed
 * one.
 */
const char *snapshot_method(const struct snapshot *s);

/*
 * The image is `ok` (the server has acknowledged it) or is not: applications hear that
 * their data is safe, and may cut their logs, only if it is.  At most once, and a set
 * that is closed without was not.  Nothing can be read afterwards.  -1: the image is as
 * it was before the call, but applications were not told.
 */
int snapshot_finish(struct snapshot *s, int ok, struct err *err);

/* Let the volumes go and free the set and its volumes.  NULL is allowed. */
void snapshot_close(struct snapshot *s);

#endif /* AGENT_CAPTURE_SNAPSHOT_H */
