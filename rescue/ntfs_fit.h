/*
 * ntfs_fit.h - an NTFS volume into a partition of another length.
 *
 *	ntfs_fit_look -> ntfs_fit_smallest -> ntfs_fit_shrink, then the restore of what
 *	    it left out (view.h)
 *	restore -> ntfs_fit_extend
 *
 * The work is ntfsresize's, a child program (package ntfs-3g); its failures come back
 * as one line.  The volume it leaves is marked for a check: Windows runs chkdsk when
 * it starts, once, and starts again.  A volume that was not left clean is refused:
 * its log cannot be replayed here, and what is half done must not be moved.
 */
#ifndef RESCUE_NTFS_FIT_H
#define RESCUE_NTFS_FIT_H

#include <stdint.h>

#include "agent/map/ntfs_usage.h"
#include "rescue/view.h"

struct err;
struct stop;
struct target;

struct ntfs_fit {
	struct view_source source; /* The volume as it is in the point. */
	/* How far a program has come, in percent; may be NULL. */
	void (*percent)(void *arg, double done);
	void *percent_arg;
	struct stop *stop; /* May be NULL. */
	/* Called once that was asked: a read that waits is to fail.  May be NULL. */
	void (*cancel)(void *arg);
	void *cancel_arg;
};

/*
 * What is known without a child program.  `*bound` is the length in bytes below which
 * no partition can hold the volume, whatever is done.  ERR_UNSUPPORTED: no NTFS.
 */
int ntfs_fit_look(
    const struct ntfs_fit *f, struct ntfs_usage *usage, uint64_t *bound, struct err *err);

/*
 * The smallest partition that ntfsresize takes, exact to a sector.  Looks at every
 * file's record.  ERR_UNSUPPORTED: not clean, marked for a check, damaged, or there is
 * no ntfsresize.
 */
int ntfs_fit_smallest(const struct ntfs_fit *f, uint64_t *smallest, struct err *err);

/*
 * Shrink it to a partition of `length` bytes, on its way to `window`: writes there
 * what it must move, and gives the view that knows what that is.  ERR_LIMIT with the
 * exact number of bytes missing if it does not fit; nothing was written then.
 */
int ntfs_fit_shrink(const struct ntfs_fit *f, struct target *window, uint64_t length,
    struct view **out, struct err *err);

/*
 * The volume in `window` takes the whole of its `length` bytes.  f->source is not
 * looked at.  ERR_IO and ERR_CANCELED may leave it half changed; nothing was written
 * after any other failure.
 */
int ntfs_fit_extend(
    const struct ntfs_fit *f, struct target *window, uint64_t length, struct err *err);

/*
 * The boot sector in `window` and its backup in the last sector say that the partition
 * begins at `offset` bytes of its disk; the backup is made if it is not there.
 */
int
ntfs_fit_place(struct target *window, uint64_t length, uint64_t offset, struct err *err);

#endif /* RESCUE_NTFS_FIT_H */
