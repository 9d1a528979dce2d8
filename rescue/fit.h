/*
 * fit.h - a disk of a point fits another disk, and its Windows another machine: what
 * a plan and a restore of disks (agent/disk/disk_plan.h, disk_restore.h) need for it.
 *
 *	fit_new -> fit_wish -> disk_plan_make -> fit_attach -> disk_restore_run ->
 *	    fit_free
 *
 * Used by the rescue program and by `holdfast restore --disk`.  A file system that
 * cannot be made to grow, or a Windows that cannot be adapted, is said and does not
 * fail the restore: what was restored is whole.  Shrinking that fails, fails it, and so
 * does what ends in the middle of its writing.
 */
#ifndef RESCUE_FIT_H
#define RESCUE_FIT_H

#include <stdint.h>

struct dial;
struct disk_plan;
struct disk_plan_wish;
struct disk_restore_job;
struct err;
struct fit;
struct layout;
struct layout_device;
struct stop;

/* Flags. */
#define FIT_EXTEND 1u /* A file system grows with its partition. */
#define FIT_SHRINK 2u
#define FIT_ADAPT 4u  /* Enable drivers. */
#define FIT_REPORT 8u /* Say which drivers there are. */

struct fit_config {
	/* A session that may read the point, as disk_restore.h wants it. */
	int (*dial)(void *arg, struct dial *out, struct err *err);
	void *dial_arg;
	const char *host; /* And `sequence`: the point. */
	uint64_t sequence;
	const struct layout *layout;
	unsigned disk; /* Index in the layout. */
	unsigned flags;
	const struct layout_device *devices; /* Of the new machine, for its drivers. */
	unsigned devices_count;
	void (*say)(void *arg, const char *line); /* For people; may be NULL. */
	void *say_arg;
	struct stop *stop; /* May be NULL. */
};

/* `config` is copied, what it points to borrowed. */
int fit_new(const struct fit_config *config, struct fit **out, struct err *err);

/*
 * Set flags and `smallest` of the wish, whose size and sector_size are set.  With
 * FIT_SHRINK and a disk that is too small for what there is, it looks into the NTFS
 * volumes.  ERR_LIMIT with the number of bytes missing: at once if no file system
 * could be that small, else when ntfsresize has been asked.  Volumes that cannot be
 * shrunk keep their size, and the reason is said.
 */
int fit_wish(struct fit *f, struct disk_plan_wish *wish, struct err *err);

/* Have the restore call us; `plan` is borrowed until it has ended. */
void
fit_attach(struct fit *f, const struct disk_plan *plan, struct disk_restore_job *job);

/* NULL is allowed. */
void fit_free(struct fit *f);

#endif /* RESCUE_FIT_H */
