/*
 * view.h - a volume as one file, for a program that changes it on its way.
 *
 * ntfsresize and ntfs-3g want a device or a file.  A view gives them one, by FUSE,
 * without there being a copy of the volume: what nobody wrote is read from a source
 * (the tree of a recovery point, or the target itself); what is written below `keep`
 * goes straight to its place on the target and is noted, so that the restore that
 * follows leaves it out (view_skip()); what is written behind is kept in memory, for
 * it is gone with the end of the volume.
 *
 *	view_open -> programs run on view_path() -> view_quiet -> view_skip ... ->
 *	    view_close
 *
 * The mount is detached at once (if it need not be named): it has no name in any
 * directory, and is gone when this process is, however it ends.  Needs the right to
 * mount, and /dev/fuse.
 */
#ifndef RESCUE_VIEW_H
#define RESCUE_VIEW_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct target;
struct target_skip;
struct view;

#define VIEW_MEMORY ((size_t)64 << 20)
#define VIEW_THREADS 4u

/* What is seen where nothing was written; `read` is called on several threads. */
struct view_source {
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void *arg;
	uint64_t size; /* Bytes: of the file, too. */
};

struct view_config {
	struct view_source source;
	struct target *below; /* Borrowed.  NULL: nothing may be written. */
	uint64_t keep;	      /* Bytes of `below`, a multiple of 512. */
	size_t memory;	      /* Bytes for what lies behind; 0: VIEW_MEMORY. */
	int named;	      /* It keeps its name until view_nameless(). */
};

/* ERR_UNSUPPORTED: FUSE cannot be had here; ERR_NOMEM, ERR_IO. */
int view_open(const struct view_config *config, struct view **out, struct err *err);

/* Its name for child programs of this process, as long as it serves. */
const char *view_path(const struct view *v);

/*
 * A named view's name goes; programs that have it open go on.  For those that look up
 * their device's real path, as ntfs-3g does.
 */
void view_nameless(struct view *v);

/* Why the first read or write that failed did so: -1 with that, or 0: none did. */
int view_failure(struct view *v, struct err *err);

/*
 * Wait until no program has it open any more: one that goes on after its mount has
 * ended (ntfs-3g) may still be writing.  Non-zero: they have, after `ms`.
 */
int view_settle(struct view *v, uint32_t ms);

/* No program uses it any more: stop serving.  What was written stays noted. */
void view_quiet(struct view *v);

/* What is on the target; valid until view_close(). */
void view_skip(const struct view *v, struct target_skip *out);

struct view_counts {
	uint64_t read_bytes, written_bytes; /* Asked by programs. */
	uint64_t below_bytes;		    /* Noted as written to the target. */
	uint64_t memory_bytes;		    /* Held for what lies behind. */
};
void view_counts(struct view *v, struct view_counts *out);

/* NULL is allowed. */
void view_close(struct view *v);

#endif /* RESCUE_VIEW_H */
