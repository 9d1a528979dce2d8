#include "agent/tree/disk_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/layout/layout.h"

/* A volume's place on the disk. */
struct place {
	uint64_t begin, end;
	struct tree_reader *r;
};

struct disk_reader {
	uint64_t size;
	struct tree_reader *image;
	struct place places[LAYOUT_PARTITIONS_MAX]; /* By offset. */
	unsigned count;
};

void
disk_reader_close(struct disk_reader *d)
{
	if (d == NULL)
		return;
	for (unsigned i = 0; i < d->count; i++)
		tree_reader_close(d->places[i].r);
	tree_reader_close(d->image);
	free(d);
}

static int
add_place(struct disk_reader *d, struct tree_point *p, const struct layout_partition *l,
    struct err *err)
{
	uint64_t before = d->count > 0 ? d->places[d->count - 1].end : 0, len;
	struct place *new = &d->places[d->count];

	if (tree_reader_open(p, tree_point_volume(p, l->volume)->name, &new->r, err) != 0)
		return -1;
	d->count++;
	len = tree_reader_size(new->r) < l->length ? tree_reader_size(new->r) : l->length;
	new->begin = l->offset;
	new->end = l->offset + len;
	if (new->begin < before)
		return err_set(err, ERR_CORRUPT, "the point's partitions overlap");
	return 0;
}

static int
open_parts(struct disk_reader *d, struct tree_point *p, const struct layout *l,
    const struct layout_disk *disk, struct err *err)
{
	uint16_t self = (uint16_t)(disk - l->disks);

	d->size = disk->size;
	if (tree_reader_open(
		p, tree_point_volume(p, disk->volume)->name, &d->image, err) != 0)
		return -1;
	if (tree_reader_size(d->image) < d->size)
		return err_set(err, ERR_CORRUPT, "the image of disk '%.60s' is too short",
		    disk->name);
	for (unsigned i = 0; i < l->partitions_count; i++)
		if (l->partitions[i].disk == self &&
		    l->partitions[i].volume != LAYOUT_NO_VOLUME &&
		    add_place(d, p, &l->partitions[i], err) != 0)
			return -1;
	return 0;
}

static int
no_disk(
    const struct tree_point *p, const struct layout *l, const char *name, struct err *err)
{
	char names[120] = "";
	size_t n = 0;

	for (unsigned i = 0; i < l->disks_count && n + 1 < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
		    i > 0 ? ", " : "", l->disks[i].name);
	if (l->disks_count == 0)
		return err_set(err, ERR_NOTFOUND, "point %s/%llu holds no disk",
		    tree_point_host(p), (unsigned long long)tree_point_sequence(p));
	if (name[0] == '\0')
		return err_set(err, ERR_NOTFOUND,
		    "point %s/%llu has %u disks: name one of %s", tree_point_host(p),
		    (unsigned long long)tree_point_sequence(p), l->disks_count, names);
	return err_set(err, ERR_NOTFOUND, "point %s/%llu has no disk '%.60s', but %s",
	    tree_point_host(p), (unsigned long long)tree_point_sequence(p), name, names);
}

int
disk_reader_open(
    struct tree_point *p, const char *name, struct disk_reader **out, struct err *err)
{
	struct disk_reader *d = calloc(1, sizeof(*d));
	struct layout *l = calloc(1, sizeof(*l));
	const struct layout_disk *disk;
	const uint8_t *fields;
	size_t len;
	int rc = -1;

	if (d == NULL || l == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
		goto out;
	}
	fields = tree_point_layout(p, &len);
	if (layout_parse(fields, len, tree_point_volumes(p), l, err) != 0)
		goto out;
	if ((disk = layout_disk_find(l, name)) == NULL)
		no_disk(p, l, name, err);
	else
		rc = open_parts(d, p, l, disk, err);
out:
	free(l);
	if (rc != 0)
		disk_reader_close(d);
	else
		*out = d;
	return rc;
}

uint64_t
disk_reader_size(const struct disk_reader *d)
{
	return d->size;
}

/*
 * Whose bytes are at `offset`, where they are in it, and how many of them follow, at
 * most `len`.
 */
static struct tree_reader *
whose(const struct disk_reader *d, uint64_t offset, uint64_t *within, uint64_t *len)
{
	struct tree_reader *r = d->image;
	uint64_t until = d->size;

	*within = offset;
	for (unsigned i = 0; i < d->count; i++) {
		const struct place *p = &d->places[i];

		if (offset >= p->begin && offset < p->end) {
			*within = offset - p->begin;
			until = p->end;
			r = p->r;
			break;
		}
		if (offset < p->begin && p->begin < until) {
			until = p->begin;
			break;
		}
	}
	if (*len > until - offset)
		*len = until - offset;
	return r;
}

static int
check(const struct disk_reader *d, uint64_t offset, uint64_t len, struct err *err)
{
	if (offset > d->size || len > d->size - offset)
		return err_set(err, ERR_LIMIT, "past the end of the disk");
	return 0;
}

int
disk_reader_read(
    struct disk_reader *d, uint64_t offset, void *out, size_t len, struct err *err)
{
	uint8_t *to = out;
	int rc = check(d, offset, len, err);

	while (len > 0 && rc == 0) {
		uint64_t within, n = len;
		struct tree_reader *r = whose(d, offset, &within, &n);

		rc = tree_reader_read(r, within, to, n, err);
		to += n;
		offset += n;
		len -= n;
	}
	return rc;
}

/* Ranges of a volume become such of the disk. */
struct moving {
	uint64_t by;
	int (*each)(void *arg, const struct tree_range *range);
	void *arg;
};

static int
move(void *arg, const struct tree_range *range)
{
	const struct moving *m = arg;
	struct tree_range moved = *range;

	moved.offset += m->by;
	return m->each(m->arg, &moved);
}

int
disk_reader_extents(struct disk_reader *d, uint64_t offset, uint64_t len,
    int (*each)(void *arg, const struct tree_range *range), void *arg, struct err *err)
{
	struct moving m = { 0, each, arg };
	int rc = check(d, offset, len, err);

	while (len > 0 && rc == 0) {
		uint64_t within, n = len;
		struct tree_reader *r = whose(d, offset, &within, &n);

		m.by = offset - within;
		rc = tree_reader_extents(r, within, n, move, &m, err);
		offset += n;
		len -= n;
	}
	return rc;
}
