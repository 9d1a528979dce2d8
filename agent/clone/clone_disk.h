/*
 * clone_disk.h - a frozen disk's way to another disk: what of it goes where.
 *
 * The same plan, views and order as a restore's (agent/restore/disk_restore.h), with a
 * capture in the place of a point.
 *
 *	clone_disk_new -> target_open -> clone_disk_open -> ... -> clone_disk_free
 */
#ifndef AGENT_CLONE_CLONE_DISK_H
#define AGENT_CLONE_CLONE_DISK_H

#include <stdint.h>

#include "agent/restore/disk_restore.h"
#include "agent/restore/disk_restore_items.h"

struct capture;
struct err;
struct target;

struct clone_disk { /* Large: on the heap. */
	struct disk_restore_point point;
	struct disk_plan plan;
	struct disk_restore_job job;
	struct disk_restore_items items; /* `volume`: index in the capture. */
};

/*
 * Plan the only disk of `c` onto `to`; a new file becomes as long as the disk.  `flags`:
 * DISK_RESTORE_*.  As disk_plan_make(): ERR_LIMIT where it is too small.
 */
int clone_disk_new(const struct capture *c, const char *to, unsigned flags,
    struct clone_disk **out, struct err *err);

/* Make the views of the target, which is `d->plan.size` bytes long. */
int clone_disk_open(struct clone_disk *d, struct target *t, struct err *err);

/* Before the target is finished or abandoned.  NULL is allowed. */
void clone_disk_free(struct clone_disk *d);

#endif /* AGENT_CLONE_CLONE_DISK_H */
