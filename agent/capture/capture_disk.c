#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_device.h"
#include "agent/capture/capture_parts.h"
#include "agent/capture/twice.h"
#include "agent/disk/disk_table.h"
#include "proto/base/err.h"

/* A disk frozen as one has what is too much in its image; a joined one cannot. */
#define MANY_PARTITIONS "more partitions than a host may have"
#define MANY_VOLUMES "more partitions than a point may have volumes"

void
capture_close_disk(struct capture_source *d)
{
	if (d == NULL)
		return;
	twice_free(d->table);
	if (d->disk.close != NULL)
		d->disk.close(d->disk.arg);
	free(d);
}

int
capture_open_disk(struct capture *c, const struct settings *s,
    const struct capture_disks *disks, unsigned i, struct err *err)
{
	struct capture_source *d = calloc(1, sizeof(*d));
	const char *path = s->disks[i].path;
	int rc;

	if (d == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	c->disks[i] = d;
	if ((rc = disks->open(path, s->exclude, c->choice.provider, &d->disk, err)) < 0) {
		memset(&d->disk, 0, sizeof(d->disk));
		return -1;
	}
	if (rc == 0) {
		c->frozen++;
		return snapshot_add(c->snapshot, path, &d->view, err);
	}
	for (unsigned k = 0; k < d->disk.count; k++) {
		const struct capture_piece *p = &d->disk.pieces[k];

		if (p->left_out || p->live)
			continue;
		if (snapshot_add(c->snapshot, p->path, &d->pieces[k], err) != 0)
			return err_context(err, "%s", p->shown);
		c->frozen++;
	}
	return 0;
}

/* -------------------------------------------------------------------- the image -- */

static int
is_volume(const struct layout_partition *p)
{
	return p->role != LAYOUT_EXTENDED && p->role != LAYOUT_MSR;
}

/* Can the firmware start from it, as far as the disk itself tells? */
static int
may_boot(const struct disk_table *t)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->partitions[i].role == LAYOUT_ESP ||
		    t->partitions[i].role == LAYOUT_BOOT)
			return 1;
	return 0;
}

static void
describe(struct layout_disk *d, const struct settings_volume *s,
    const struct disk_table *t, const struct capture_volume *image)
{
	memset(d, 0, sizeof(*d));
	(void)snprintf(d->name, sizeof(d->name), "%s", s->name);
	d->table = (uint8_t)t->kind;
	d->size = image->size;
	d->sector_size = t->sector_size;
	memcpy(d->id, t->id, sizeof(d->id));
	d->boots = (uint8_t)may_boot(t);
	capture_device_describe(s->path, d);
}

static struct twice *
new_live(const struct capture_disk *d, struct err *err)
{
	const struct twice_source src = { d->read, d->arg };
	struct twice *l = twice_new(&src);

	if (l == NULL)
		err_set(err, ERR_NOMEM, "out of memory");
	return l;
}

static int
set_live(struct capture_volume *v, const struct capture_disk *d, uint64_t offset,
    struct err *err)
{
	v->live_offset = offset;
	return (v->live = new_live(d, err)) != NULL ? 0 : -1;
}

/* Reading the table, which decides what is read from where: `arg` is its notes. */
static int
read_table(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return twice_read(arg, offset, buf, len, err);
}

/* The disk's own volume, of all its bytes. */
static struct capture_volume *
add_image(struct capture *c, const struct settings_volume *s, struct capture_source *d,
    struct err *err)
{
	const struct snapshot_info *info =
	    d->view != NULL ? snapshot_info(d->view) : NULL;
	struct capture_volume *image =
	    capture_add(c, s->name, info != NULL ? info->size : d->disk.size,
		info != NULL ? info->sector_size : d->disk.sector_size, err);

	if (image == NULL)
		return NULL;
	if (info != NULL)
		capture_set_view(image, d->view, 0, info->size);
	else if (set_live(image, &d->disk, 0, err) != 0)
		return NULL;
	return image;
}

/* --------------------------------------------------------------- the partitions -- */

/* The volume that begins where the partition does: its number, or the count. */
static unsigned
piece_at(const struct capture_disk *d, uint64_t offset)
{
	unsigned k;

	for (k = 0; k < d->count && d->pieces[k].offset != offset; k++)
		;
	return k;
}

static int
is_left_out(const struct capture_source *d, const struct layout_partition *p)
{
	unsigned k = piece_at(&d->disk, p->offset);

	return k < d->disk.count && d->disk.pieces[k].left_out;
}

/* Where the bytes of a partition of a joined disk come from. */
static int
join(struct capture *c, struct capture_volume *v, struct capture_source *d,
    const struct layout_partition *p, struct err *err)
{
	unsigned k = piece_at(&d->disk, p->offset);
	struct snapshot_volume *view = k < d->disk.count ? d->pieces[k] : NULL;
	uint64_t size = view != NULL ? snapshot_info(view)->size : 0;

	if (size > p->length)
		return err_set(err, ERR_CORRUPT,
		    "%s has %llu bytes, its partition %u has %llu",
		    d->disk.pieces[k].shown, (unsigned long long)size, p->number,
		    (unsigned long long)p->length);
	if (view != NULL)
		capture_set_view(v, view, 0, size);
	if (k < d->disk.count && d->disk.pieces[k].decrypted)
		capture_note(c, d->disk.pieces[k].shown,
		    view != NULL ? "encrypted by BitLocker, its image is not"
				 : "encrypted by BitLocker, and so is its image");
	/* What BitLocker keeps there itself means nothing behind what it decrypts. */
	if (view != NULL && d->disk.pieces[k].decrypted)
		return 0;
	/* Sectors behind the last of the file system are the disk's. */
	return size == p->length ? 0 : set_live(v, &d->disk, p->offset, err);
}

static int
add_volume_of(struct capture *c, const struct settings_volume *s,
    const struct disk_table *t, struct capture_source *d, struct capture_volume *image,
    const struct layout_partition *p, struct err *err)
{
	struct capture_volume *v;
	char name[SETTINGS_NAME_MAX];

	(void)snprintf(name, sizeof(name), "%.57s.%u", s->name, p->number);
	if ((v = capture_add(c, name, p->length, t->sector_size, err)) == NULL)
		return -1;
	if (d->view != NULL)
		capture_set_view(v, d->view, p->offset, p->length);
	else if (join(c, v, d, p, err) != 0)
		return -1;
	/* Read like a disk: whole, whatever a file system calls free. */
	v->is_disk = disk_table_dynamic(t->kind, p);
	image->holes[image->holes_count].offset = p->offset;
	image->holes[image->holes_count++].len = p->length;
	return (int)(v - c->volumes);
}

/* The disk's partitions: those with content of their own become volumes. */
static int
add_partitions(struct capture *c, const struct settings_volume *s,
    const struct disk_table *t, struct capture_source *d, struct capture_volume *image,
    unsigned room, struct err *err)
{
	struct layout *l = &c->layout;
	int number;

	for (unsigned i = 0; i < t->count; i++) {
		const struct layout_partition *p = &t->partitions[i];
		struct layout_partition *q = &l->partitions[l->partitions_count];

		if (l->partitions_count == LAYOUT_PARTITIONS_MAX) {
			if (d->view == NULL)
				return err_set(err, ERR_LIMIT, MANY_PARTITIONS);
			capture_note(c, s->name, MANY_PARTITIONS);
			break;
		}
		*q = *p;
		q->disk = (uint16_t)(l->disks_count - 1);
		q->volume = LAYOUT_NO_VOLUME;
		l->partitions_count++;
		if (is_left_out(d, p)) {
			capture_note(c,
			    d->disk.pieces[piece_at(&d->disk, p->offset)].shown,
			    "left out");
			image->holes[image->holes_count].offset = p->offset;
			image->holes[image->holes_count++].len = p->length;
			continue;
		}
		if (!is_volume(p))
			continue;
		if (c->count + room >= SETTINGS_VOLUMES_MAX) {
			if (d->view == NULL)
				return err_set(err, ERR_LIMIT, MANY_VOLUMES);
			capture_note(c, s->name, MANY_VOLUMES);
			continue;
		}
		if ((number = add_volume_of(c, s, t, d, image, p, err)) < 0)
			return -1;
		q->volume = (uint8_t)number;
	}
	return 0;
}

/*
 * A joined disk's table must say what Windows says: a volume in no partition would be
 * read live, in the middle of its changes.
 */
static int
check_joined(const struct capture_disk *d, const struct disk_table *t, struct err *err)
{
	unsigned i, k;

	for (i = 0; i < t->count; i++)
		if (disk_table_dynamic(t->kind, &t->partitions[i]))
			return err_set(err, ERR_UNSUPPORTED,
			    "it is a dynamic disk, which is not laid out again: name its "
			    "volumes instead");
	for (k = 0; k < d->count; k++) {
		for (i = 0; i < t->count; i++)
			if (t->partitions[i].offset == d->pieces[k].offset &&
			    is_volume(&t->partitions[i]))
				break;
		if (i == t->count)
			return err_set(err, ERR_UNSUPPORTED,
			    "%s lies at byte %llu, where the table has no partition: "
			    "name "
			    "the volume instead of the disk",
			    d->pieces[k].shown, (unsigned long long)d->pieces[k].offset);
	}
	return 0;
}

int
capture_add_disk(struct capture *c, const struct settings *s, unsigned i, struct err *err)
{
	const struct settings_volume *of = &s->disks[i];
	struct disk_table *t = calloc(1, sizeof(*t));
	struct capture_source *d = c->disks[i];
	struct disk_table_source src = { .read = capture_read };
	struct capture_volume *image;
	int rc = -1;

	if (t == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if ((image = add_image(c, of, d, err)) == NULL)
		goto out;
	src.arg = image;
	src.size = image->size;
	if (d->view == NULL) {
		if ((src.arg = d->table = new_live(&d->disk, err)) == NULL)
			goto out;
		src.read = read_table;
	}
	if (d->view == NULL || capture_device_is(of->path)) {
		src.sector_size = image->sector_size;
		c->devices = 1;
	}
	if (disk_table_read(&src, t, err) != 0 ||
	    (d->view == NULL && check_joined(&d->disk, t, err) != 0))
		goto out;
	capture_note(c, of->name, t->note);
	image->sector_size = t->sector_size;
	image->is_disk = t->kind != LAYOUT_NO_TABLE;
	image->holes = calloc(t->count + 1, sizeof(*image->holes));
	if (image->holes == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
		goto out;
	}
	describe(&c->layout.disks[c->layout.disks_count++], of, t, image);
	c->layout.disks[c->layout.disks_count - 1].volume = (uint8_t)(image - c->volumes);
	rc = add_partitions(c, of, t, d, image, s->disks_count - 1 - i, err);
out:
	free(t);
	return rc;
}
