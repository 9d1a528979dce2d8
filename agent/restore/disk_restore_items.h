/*
 * disk_restore_items.h - what a restore of a disk consists of: its image and its
 * volumes, each with its way to the target.
 */
#ifndef AGENT_RESTORE_DISK_RESTORE_ITEMS_H
#define AGENT_RESTORE_DISK_RESTORE_ITEMS_H

#include "agent/restore/disk_restore.h"

struct disk_restore_item {
	unsigned volume;		   /* Index in the point. */
	const struct disk_plan_part *part; /* NULL: it is the disk's image. */
	struct target *view;		   /* Where it is written, */
	struct target *check;		   /* and read to prove it, or NULL. */
	uint64_t weight;		   /* Bytes of it that count as work. */
	uint64_t size, position;	   /* Bytes, of the volume; as far as it is. */
};

struct disk_restore_items {
	unsigned count;
	struct disk_restore_item item[LAYOUT_PARTITIONS_MAX + 1]; /* The largest first. */
	struct target *image; /* The image's view: read it for its table. */
	uint8_t *head, *tail; /* The image's table, as it comes. */
};

/* Make them for a target that is open.  disk_restore_items_free(), also on failure. */
int disk_restore_items_make(const struct disk_restore_job *job, struct target *target,
    struct disk_restore_items *out, struct err *err);
void disk_restore_items_free(struct disk_restore_items *items);

/* A volume that was moved is told where it begins now, in its boot sectors. */
int disk_restore_items_hidden(
    const struct disk_restore_item *item, const struct disk_plan *plan, struct err *err);

/* Call the job's part_begin with a window of the partition's new length. */
int disk_restore_items_begin(const struct disk_restore_job *job, struct target *target,
    const struct disk_restore_item *item, struct err *err);

/* And its part_done. */
int disk_restore_items_done(const struct disk_restore_job *job, struct target *target,
    const struct disk_plan_part *part, struct err *err);

#endif /* AGENT_RESTORE_DISK_RESTORE_ITEMS_H */
