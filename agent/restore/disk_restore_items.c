#include "agent/restore/disk_restore_items.h"

#include <stdlib.h>
#include <string.h>

#include "agent/restore/target.h"
#include "agent/restore/target_skip.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define SECTOR_MIN 512u
#define FAT_BACKUP 50u	 /* Where FAT32 says in which sector its copy is. */
#define NTFS_SECTORS 40u /* Where NTFS says how many it has; its copy is behind them. */

static unsigned
view_flags(unsigned flags)
{
	return ((flags & DISK_RESTORE_DELTA) != 0 ? TARGET_KEEP : 0) |
	       ((flags & DISK_RESTORE_ZERO_HOLES) != 0 ? TARGET_CLEAR : 0) |
	       ((flags & DISK_RESTORE_DISCARD) != 0 ? TARGET_DISCARD : 0);
}

/* An item that goes where `pieces` say, and is proven there if asked for. */
static int
add(const struct disk_restore_job *job, struct target *target, unsigned volume,
    const struct target_piece *pieces, unsigned n, struct disk_restore_items *out,
    struct err *err)
{
	struct disk_restore_item *item = &out->item[out->count];
	const struct disk_restore_volume *v = &job->point->volume[volume];

	item->volume = volume;
	item->size = v->size;
	item->weight = v->data_bytes > 0 ? v->data_bytes : 1;
	if (target_view(target, pieces, n, v->size, view_flags(job->flags), &item->view,
		err) != 0)
		return -1;
	out->count++;
	if ((job->flags & DISK_RESTORE_VERIFY) == 0)
		return 0;
	return target_view(target, pieces, n, v->size, TARGET_KEEP, &item->check, err);
}

/* The image: its ends stay in memory, the rest where the plan has room for it. */
static int
add_image(const struct disk_restore_job *job, struct target *target,
    struct disk_restore_items *out, struct err *err)
{
	const struct disk_plan *plan = job->plan;
	const struct layout *l = &job->point->layout;
	struct disk_plan_piece *from = calloc(DISK_PLAN_PIECES_MAX, sizeof(*from));
	struct target_piece *to = calloc(DISK_PLAN_PIECES_MAX + 2, sizeof(*to));
	unsigned n, count = 0;
	int rc = -1;

	out->head = calloc(1, plan->head + 1);
	out->tail = calloc(1, plan->tail + 1);
	if (from == NULL || to == NULL || out->head == NULL || out->tail == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
		goto out;
	}
	to[count].len = plan->head;
	to[count++].held = out->head;
	n = disk_plan_pieces(plan, l, from);
	for (unsigned i = 0; i < n; i++) {
		to[count].from = from[i].from;
		to[count].to = from[i].to;
		to[count++].len = from[i].length;
	}
	to[count].from = plan->old_size - plan->tail;
	to[count].len = plan->tail;
	to[count++].held = out->tail;
	rc = add(job, target, l->disks[plan->disk].volume, to, count, out, err);
	if (rc == 0)
		out->image = out->item[0].view;
out:
	free(from);
	free(to);
	return rc;
}

static int
by_weight(const void *a, const void *b)
{
	const struct disk_restore_item *x = a, *y = b;

	return x->weight > y->weight ? -1 : x->weight < y->weight;
}

/* Is each volume as long as the layout says of what it is? */
static int
check(const struct disk_restore_job *job, struct err *err)
{
	const struct disk_restore_point *p = job->point;
	const struct disk_plan *plan = job->plan;
	const struct layout_disk *d = &p->layout.disks[plan->disk];
	uint64_t used = 0;

	if (d->volume >= p->volumes || p->volume[d->volume].size != d->size)
		return err_set(err, ERR_CORRUPT,
		    "the image of disk %.60s is not as long as the disk was", d->name);
	for (unsigned i = 0; i < plan->count; i++) {
		const struct disk_plan_part *part = &plan->parts[i];

		if (part->volume == LAYOUT_NO_VOLUME)
			continue;
		if (part->volume >= p->volumes || part->volume == d->volume ||
		    p->volume[part->volume].size != part->from_length)
			return err_set(err, ERR_CORRUPT,
			    "a volume of disk %.60s is not as long as its partition was",
			    d->name);
		if (part->to < used || part->to + part->length > plan->size)
			return err_set(err, ERR_CORRUPT,
			    "the partitions of disk %.60s do not fit side by side",
			    d->name);
		used = part->to + part->length;
	}
	return 0;
}

int
disk_restore_items_make(const struct disk_restore_job *job, struct target *target,
    struct disk_restore_items *out, struct err *err)
{
	const struct disk_plan *plan = job->plan;

	if (check(job, err) != 0 || add_image(job, target, out, err) != 0)
		return -1;
	for (unsigned i = 0; i < plan->count; i++) {
		const struct disk_plan_part *part = &plan->parts[i];
		struct target_piece piece = { .to = part->to, .len = part->from_length };

		if (part->volume == LAYOUT_NO_VOLUME)
			continue;
		if (part->length < piece.len)
			piece.len = part->length;
		if (add(job, target, part->volume, &piece, 1, out, err) != 0)
			return -1;
		out->item[out->count - 1].part = part;
	}
	qsort(out->item, out->count, sizeof(out->item[0]), by_weight);
	return 0;
}

void
disk_restore_items_free(struct disk_restore_items *items)
{
	for (unsigned i = 0; i <= LAYOUT_PARTITIONS_MAX; i++) {
		target_abandon(items->item[i].view);
		target_abandon(items->item[i].check);
	}
	free(items->head);
	free(items->tail);
	memset(items, 0, sizeof(*items));
}

/* Change the boot sector at `at` of the volume, if one is there. */
static int
change(const struct disk_restore_item *item, const struct disk_plan *plan, uint64_t at,
    uint8_t sector[SECTOR_MIN], int *changed, struct err *err)
{
	const struct disk_plan_part *p = item->part;

	*changed = 0;
	if (at > p->length - SECTOR_MIN)
		return 0;
	if (target_read(item->view, at, sector, SECTOR_MIN, err) != 0)
		return -1;
	*changed = disk_plan_hidden(sector, plan->sector_size, p->from, p->to);
	return *changed ? target_write(item->view, at, sector, SECTOR_MIN, err) : 0;
}

int
disk_restore_items_hidden(
    const struct disk_restore_item *item, const struct disk_plan *plan, struct err *err)
{
	uint8_t sector[SECTOR_MIN], copy[SECTOR_MIN];
	uint64_t bytes, at = 0;
	int changed;

	if (item->part == NULL || item->part->from == item->part->to ||
	    item->part->length < SECTOR_MIN)
		return 0;
	if (change(item, plan, 0, sector, &changed, err) != 0)
		return -1;
	if (!changed)
		return 0;
	bytes = load_le16(sector + 11);
	if (memcmp(sector + 3, "NTFS    ", 8) == 0) {
		if (load_le64(sector + NTFS_SECTORS) < INT64_MAX / 4096)
			at = load_le64(sector + NTFS_SECTORS) * bytes;
	} else if (memcmp(sector + 82, "FAT32", 5) == 0) {
		at = load_le16(sector + FAT_BACKUP) * bytes;
	}
	return at > 0 ? change(item, plan, at, copy, &changed, err) : 0;
}

static int
open_window(const struct disk_plan_part *part, struct target *target,
    struct target **window, struct err *err)
{
	struct target_piece piece = { .to = part->to, .len = part->length };

	return target_view(target, &piece, 1, part->length, 0, window, err);
}

int
disk_restore_items_begin(const struct disk_restore_job *job, struct target *target,
    const struct disk_restore_item *item, struct err *err)
{
	struct target_skip skip = { .next = NULL };
	struct target *window;
	int rc;

	if (open_window(item->part, target, &window, err) != 0)
		return -1;
	rc = job->part_begin(job->part_arg, item->part->partition, window, &skip, err);
	target_abandon(window);
	target_view_skip(item->view, &skip);
	if (item->check != NULL)
		target_view_skip(item->check, &skip);
	return rc;
}

int
disk_restore_items_done(const struct disk_restore_job *job, struct target *target,
    const struct disk_plan_part *part, struct err *err)
{
	struct target *window;
	int rc;

	if (open_window(part, target, &window, err) != 0)
		return -1;
	rc = job->part_done(job->part_arg, part->partition, window, err);
	target_abandon(window);
	return rc;
}
