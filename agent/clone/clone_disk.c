#include "agent/clone/clone_disk.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/capture/capture.h"
#include "proto/base/err.h"

_Static_assert(SETTINGS_VOLUMES_MAX <= DISK_RESTORE_VOLUMES_MAX, "a capture is a point");

/* What a point would say of it. */
static void
describe(const struct capture *c, struct disk_restore_point *p)
{
	p->layout = c->layout;
	p->volumes = c->count;
	for (unsigned i = 0; i < c->count; i++) {
		(void)snprintf(p->volume[i].name, sizeof(p->volume[i].name), "%s",
		    c->volumes[i].name);
		p->volume[i].size = c->volumes[i].size;
	}
}

/* How long the new disk is. */
static int
measure(const struct capture *c, const char *to, unsigned flags,
    struct disk_plan_wish *wish, struct err *err)
{
	const uint64_t size = c->layout.disks[0].size;

	if (disk_restore_measure(to, &wish->size, &wish->sector_size, err) != 0)
		return -1;
	/* Of files only one that is kept has a length that counts. */
	if (wish->sector_size == 0 &&
	    ((flags & DISK_RESTORE_DELTA) == 0 || wish->size < size))
		wish->size = size;
	return 0;
}

int
clone_disk_new(const struct capture *c, const char *to, unsigned flags,
    struct clone_disk **out, struct err *err)
{
	struct disk_plan_wish *wish = calloc(1, sizeof(*wish));
	struct clone_disk *d = calloc(1, sizeof(*d));
	int rc = -1;

	if (wish == NULL || d == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
		goto out;
	}
	describe(c, &d->point);
	d->job.point = &d->point;
	d->job.plan = &d->plan;
	d->job.target = to;
	d->job.flags = flags;
	if (measure(c, to, flags, wish, err) == 0)
		rc = disk_plan_make(&d->point.layout, 0, wish, &d->plan, NULL, err);
	if (rc != 0)
		err_context(err, "target %s", to);
out:
	free(wish);
	if (rc != 0) {
		free(d);
		return -1;
	}
	*out = d;
	return 0;
}

int
clone_disk_open(struct clone_disk *d, struct target *t, struct err *err)
{
	return disk_restore_items_make(&d->job, t, &d->items, err);
}

void
clone_disk_free(struct clone_disk *d)
{
	if (d == NULL)
		return;
	disk_restore_items_free(&d->items);
	free(d);
}
