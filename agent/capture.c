#include "agent/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture_device.h"
#include "agent/disk_table.h"
#include "agent/snapshot.h"
#include "proto/base/err.h"

int
capture_new(const struct settings *s, const struct snapshot_options *options,
    struct capture **out, struct err *err)
{
	struct snapshot_options o = *options;
	struct capture *c = calloc(1, sizeof(*c));
	const struct settings_volume *v;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	o.type = s->vss_copy ? SNAPSHOT_COPY : SNAPSHOT_FULL;
	if (choose_provider(s, &c->choice, err) != 0 ||
	    snapshot_open(
		snapshot_provider_find(c->choice.provider), &o, &c->snapshot, err) != 0) {
		capture_free(c);
		return -1;
	}
	/* Views stand by until capture_freeze() makes volumes of them. */
	for (unsigned i = 0; (v = settings_source(s, i)) != NULL; i++)
		if (i >= SETTINGS_VOLUMES_MAX ||
		    snapshot_add(c->snapshot, v->path, &c->volumes[i].view, err) != 0) {
			if (i >= SETTINGS_VOLUMES_MAX)
				err_set(err, ERR_LIMIT, "more than %d volumes and disks",
				    SETTINGS_VOLUMES_MAX);
			capture_free(c);
			return err_context(
			    err, "%s %s", i < s->count ? "volume" : "disk", v->name);
		}
	*out = c;
	return 0;
}

int
capture_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	const struct capture_volume *v = arg;

	if (offset > v->size || len > v->size - offset)
		return err_set(err, ERR_LIMIT,
		    "%s: read of %zu bytes at %llu is past its end", v->name, len,
		    (unsigned long long)offset);
	return snapshot_read(v->view, v->offset + offset, buf, len, err);
}

static void
add_note(struct capture *c, const char *disk, const char *text)
{
	size_t len = strlen(c->note);

	if (text[0] != '\0')
		(void)snprintf(c->note + len, sizeof(c->note) - len, "%s%s: %s",
		    len > 0 ? "; " : "", disk, text);
}

/* The next volume of the list; NULL: it is full or the name is taken. */
static struct capture_volume *
add_volume(struct capture *c, const char *name, struct snapshot_volume *view,
    uint64_t offset, uint64_t size, uint32_t sector_size, struct err *err)
{
	struct capture_volume *v;

	for (unsigned i = 0; i < c->count; i++)
		if (strcmp(c->volumes[i].name, name) == 0) {
			err_set(err, ERR_EXISTS, "two volumes are called '%.63s'", name);
			return NULL;
		}
	v = &c->volumes[c->count++];
	memset(v, 0, sizeof(*v));
	(void)snprintf(v->name, sizeof(v->name), "%s", name);
	v->view = view;
	v->offset = offset;
	v->size = size;
	v->sector_size = sector_size;
	return v;
}

/* -------------------------------------------------------------------- disks -- */

static int
read_view(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return snapshot_read(arg, offset, buf, len, err);
}

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
    const struct disk_table *t, uint64_t size)
{
	memset(d, 0, sizeof(*d));
	(void)snprintf(d->name, sizeof(d->name), "%s", s->name);
	d->table = (uint8_t)t->kind;
	d->size = size;
	d->sector_size = t->sector_size;
	memcpy(d->id, t->id, sizeof(d->id));
	d->boots = (uint8_t)may_boot(t);
	capture_device_describe(s->path, d);
}

/* The disk's partitions: those with content of their own become volumes. */
static int
add_partitions(struct capture *c, const struct settings_volume *s,
    const struct disk_table *t, struct capture_volume *image, unsigned room,
    struct err *err)
{
	struct layout *l = &c->layout;
	char name[SETTINGS_NAME_MAX];
	struct capture_volume *v;

	for (unsigned i = 0; i < t->count; i++) {
		const struct layout_partition *p = &t->partitions[i];
		struct layout_partition *q = &l->partitions[l->partitions_count];

		if (l->partitions_count == LAYOUT_PARTITIONS_MAX) {
			add_note(c, s->name, "more partitions than a host may have");
			break;
		}
		*q = *p;
		q->disk = (uint16_t)(l->disks_count - 1);
		q->volume = LAYOUT_NO_VOLUME;
		l->partitions_count++;
		if (!is_volume(p))
			continue;
		if (c->count + room >= SETTINGS_VOLUMES_MAX) {
			add_note(
			    c, s->name, "more partitions than a point may have volumes");
			continue;
		}
		(void)snprintf(name, sizeof(name), "%.57s.%u", s->name, p->number);
		v = add_volume(
		    c, name, image->view, p->offset, p->length, t->sector_size, err);
		if (v == NULL)
			return -1;
		/* Read like a disk: whole, whatever a file system calls free. */
		v->is_disk = disk_table_dynamic(t->kind, p);
		q->volume = (uint8_t)(v - c->volumes);
		image->holes[image->holes_count].offset = p->offset;
		image->holes[image->holes_count++].len = p->length;
	}
	return 0;
}

/* `room`: volumes that the disks after this one need at least. */
static int
add_disk(struct capture *c, const struct settings_volume *s, struct snapshot_volume *view,
    unsigned room, struct err *err)
{
	const struct snapshot_info *info = snapshot_info(view);
	struct disk_table *t = calloc(1, sizeof(*t));
	struct disk_table_source src = { read_view, view, info->size, 0 };
	struct capture_volume *image;
	struct layout_disk *d;
	int rc = -1;

	if (t == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (capture_device_is(s->path)) {
		src.sector_size = info->sector_size;
		c->devices = 1;
	}
	if (disk_table_read(&src, t, err) != 0)
		goto out;
	add_note(c, s->name, t->note);
	image = add_volume(c, s->name, view, 0, info->size, t->sector_size, err);
	if (image == NULL)
		goto out;
	image->is_disk = t->kind != LAYOUT_NO_TABLE;
	image->holes = calloc(t->count + 1, sizeof(*image->holes));
	if (image->holes == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
		goto out;
	}
	d = &c->layout.disks[c->layout.disks_count++];
	describe(d, s, t, info->size);
	d->volume = (uint8_t)(image - c->volumes);
	rc = add_partitions(c, s, t, image, room, err);
out:
	free(t);
	return rc == 0 ? 0 : err_context(err, "disk %s", s->name);
}

int
capture_freeze(
    struct capture *c, const struct settings *s, uint32_t timeout_ms, struct err *err)
{
	struct snapshot_volume *views[SETTINGS_VOLUMES_MAX];
	const struct snapshot_info *info;
	unsigned i;

	for (i = 0; i < SETTINGS_VOLUMES_MAX; i++)
		views[i] = c->volumes[i].view;
	if (snapshot_freeze(c->snapshot, timeout_ms, err) != 0)
		return -1;
	(void)snprintf(c->method, sizeof(c->method), "%s%s%s",
	    snapshot_method(c->snapshot), c->choice.why[0] != '\0' ? "; " : "",
	    c->choice.why);
	for (i = 0; i < s->count; i++) {
		info = snapshot_info(views[i]);
		c->devices |= capture_device_is(s->volumes[i].path);
		if (add_volume(c, s->volumes[i].name, views[i], 0, info->size,
			info->sector_size, err) == NULL)
			return -1;
	}
	for (i = 0; i < s->disks_count; i++)
		if (add_disk(c, &s->disks[i], views[s->count + i], s->disks_count - 1 - i,
			err) != 0)
			return -1;
	return 0;
}

int
capture_finish(struct capture *c, int ok, struct err *err)
{
	return snapshot_finish(c->snapshot, ok, err);
}

void
capture_free(struct capture *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->count; i++)
		free(c->volumes[i].holes);
	snapshot_close(c->snapshot);
	free(c);
}
