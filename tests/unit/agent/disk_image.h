/*
 * disk_image.h - small disks in memory for tests, and plans carried out on them.
 */
#ifndef TESTS_UNIT_AGENT_DISK_IMAGE_H
#define TESTS_UNIT_AGENT_DISK_IMAGE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/disk_plan.h"
#include "agent/disk/disk_table.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define MIB ((uint64_t)1024 * 1024)

struct disk_image {
	uint8_t *p;
	uint64_t size;
	unsigned reads, fail_at; /* The read that fails; 0: none. */
};

static inline int
image_read_at(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct disk_image *d = arg;

	if (++d->reads == d->fail_at)
		return err_set(err, ERR_IO, "as asked for");
	if (offset > d->size || len > d->size - offset)
		abort(); /* The promise of disk_table_source.read. */
	memcpy(buf, d->p + offset, len);
	return 0;
}

static inline struct disk_image
disk_image_new(uint64_t size)
{
	struct disk_image d = { calloc(1, size), size, 0, 0 };

	return d;
}

static inline int
disk_image_parse(
    struct disk_image *d, uint32_t sector_size, struct disk_table *out, struct err *err)
{
	const struct disk_table_source src = { image_read_at, d, d->size, sector_size };

	d->reads = 0;
	return disk_table_read(&src, out, err);
}

/* The layout of one disk that has this table; volume 0 is its image. */
static inline void
disk_image_layout(const struct disk_table *t, uint64_t size, struct layout *l)
{
	memset(l, 0, sizeof(*l));
	l->disks_count = 1;
	strcpy(l->disks[0].name, "disk0");
	l->disks[0].table = (uint8_t)t->kind;
	l->disks[0].size = size;
	l->disks[0].sector_size = t->sector_size;
	memcpy(l->disks[0].id, t->id, 16);
	for (unsigned i = 0; i < t->count; i++) {
		struct layout_partition *p = &l->partitions[l->partitions_count++];

		*p = t->partitions[i];
		if (p->role != LAYOUT_EXTENDED && p->role != LAYOUT_MSR)
			p->volume = (uint8_t)(i + 1);
	}
}

/* Carry the plan out: pieces and volumes first, then the table. */
static inline int
disk_image_restore(struct disk_image *from, const struct layout *l,
    const struct disk_plan *plan, struct disk_image *to, struct err *err)
{
	struct disk_plan_piece pieces[DISK_PLAN_PIECES_MAX];
	struct disk_plan_table t;
	unsigned n = disk_plan_pieces(plan, l, pieces);

	for (unsigned i = 0; i < n; i++)
		memcpy(to->p + pieces[i].to, from->p + pieces[i].from, pieces[i].length);
	for (unsigned i = 0; i < plan->count; i++) {
		const struct disk_plan_part *p = &plan->parts[i];

		if (p->volume != LAYOUT_NO_VOLUME)
			memcpy(to->p + p->to, from->p + p->from,
			    p->length < p->from_length ? p->length : p->from_length);
	}
	if (disk_plan_table(l, plan, image_read_at, from, &t, err) != 0)
		return -1;
	for (unsigned i = 0; i < t.count; i++)
		memcpy(to->p + t.at[i].offset, t.at[i].p, t.at[i].len);
	disk_plan_table_free(&t);
	return 0;
}

/* ------------------------------------------------------------------- making -- */

/* A GPT from a layout, by way of a plan for another size that changes nothing. */
static inline int
disk_image_gpt(const struct layout *l, struct disk_image *d, struct err *err)
{
	struct disk_image blank = disk_image_new(d->size);
	struct disk_plan *plan = calloc(1, sizeof(*plan));
	struct disk_plan_wish *wish = calloc(1, sizeof(*wish));
	int rc;

	wish->size = d->size;
	rc = disk_plan_make(l, 0, wish, plan, NULL, err);
	plan->same = 0;
	if (rc == 0)
		rc = disk_image_restore(&blank, l, plan, d, err);
	free(blank.p);
	free(plan);
	free(wish);
	return rc;
}

/* An entry of an MBR or of a link. */
static inline void
mbr_put(uint8_t *sector, unsigned i, uint8_t type, uint32_t start, uint32_t len)
{
	uint8_t *e = sector + 446 + 16 * i;

	e[4] = type;
	store_le32(e + 8, start);
	store_le32(e + 12, len);
	sector[510] = 0x55;
	sector[511] = 0xaa;
}

#endif /* TESTS_UNIT_AGENT_DISK_IMAGE_H */
