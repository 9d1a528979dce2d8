#include "agent/clone/clone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/clone/clone_disk.h"
#include "agent/clone/clone_part.h"
#include "agent/clone/clone_ranges.h"
#include "agent/disk/target_check.h"
#include "agent/disk/volumes.h"
#include "agent/host/stop.h"
#include "agent/restore/disk_restore_table.h"
#include "agent/restore/restore.h"
#include "agent/restore/target.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/wait.h"

#define SOURCE "source" /* What the only volume or disk is called. */
#define FREEZE_MS (60u * 1000)
#define VIEWS_LOST_MAX 2u /* Then another one would be lost as well. */

struct clone {
	const struct clone_job *job;
	struct clone_result *out;
	struct settings settings;
	struct capture *capture;
	struct target *target;
	struct clone_disk *disk; /* NULL: a volume. */
	struct clone_work work;
	unsigned count;
	struct clone_part part[SETTINGS_VOLUMES_MAX]; /* As the capture's volumes. */
};

/* ---------------------------------------------------------------------- freezing -- */

static int
name_source(struct clone *c, struct err *err)
{
	char spec[SETTINGS_PATH_MAX + sizeof(SOURCE) + 1];
	const struct clone_job *job = c->job;
	int n = snprintf(spec, sizeof(spec), SOURCE "=%s", job->from);

	if (n < 0 || (size_t)n >= sizeof(spec))
		return err_set(
		    err, ERR_LIMIT, "%.60s...: the name is too long", job->from);
	settings_init(&c->settings);
	if (job->provider != NULL &&
	    settings_provider(&c->settings, job->provider, err) != 0)
		return -1;
	if ((job->whole ? settings_add_disk : settings_add)(&c->settings, spec, err) != 0)
		return -1;
	return volumes_choose(&c->settings, err);
}

/* What is written to is not what is read. */
static int
check_places(const struct clone *c, struct err *err)
{
	const struct settings_volume *v = settings_source(&c->settings, 0);
	const char *to = c->job->to;

	if (target_check_same(c->job->from, to) ||
	    (v != NULL && target_check_same(v->path, to)))
		return err_set(err, ERR_EXISTS, "target %s: it is the source itself", to);
	if (target_check_holds(v != NULL ? v->path : c->job->from, to))
		return err_set(
		    err, ERR_BUSY, "target %s: it would lie on the source itself", to);
	return 0;
}

static int
freeze(struct clone *c, struct err *err)
{
	const struct snapshot_options wishes = { SNAPSHOT_COPY,
		.hotcopy = &c->settings.hotcopy, .stop = c->job->stop, .say = c->job->say,
		.say_arg = c->job->say_arg };
	const struct capture_disks *disks =
	    c->job->disks != NULL ? c->job->disks : &capture_disks_system;
	struct clone_result *out = c->out;
	struct capture *k;

	if (name_source(c, err) != 0 || check_places(c, err) != 0 ||
	    capture_begin(&c->settings, &wishes, disks, FREEZE_MS, &c->capture, err) != 0)
		return -1;
	k = c->capture;
	c->count = k->count;
	out->size = k->volumes[0].size;
	out->frozen_at = k->frozen_at;
	(void)snprintf(out->provider, sizeof(out->provider), "%s", k->choice.provider);
	(void)snprintf(out->captured, sizeof(out->captured), "%s", k->method);
	(void)snprintf(out->note, sizeof(out->note), "%s", k->note);
	return 0;
}

/* The source has stood still, and is let go. */
static int
release(struct clone *c, struct err *err)
{
	struct err ignored = ERR_INIT;

	if (capture_confirm(c->capture, err) != 0)
		return -1;
	/* Nothing of theirs changes by a copy: who is not told of its end loses nothing. */
	(void)capture_finish(c->capture, 1, &ignored);
	capture_free(c->capture);
	c->capture = NULL;
	for (unsigned i = 0; i < c->count; i++)
		c->part[i].volume = NULL;
	return 0;
}

/* ------------------------------------------------------------------- the target -- */

static unsigned
disk_flags(unsigned flags)
{
	return ((flags & RESTORE_DELTA) != 0 ? DISK_RESTORE_DELTA : 0) |
	       ((flags & RESTORE_FORCE) != 0 ? DISK_RESTORE_FORCE : 0) |
	       ((flags & RESTORE_ZERO_HOLES) != 0 ? DISK_RESTORE_ZERO_HOLES : 0) |
	       ((flags & RESTORE_DISCARD) != 0 ? DISK_RESTORE_DISCARD : 0) |
	       ((flags & RESTORE_VHDX) != 0 ? DISK_RESTORE_VHDX : 0);
}

/* Is the source a disk that this system sees, not an image? */
static int
is_attached(const char *from)
{
	struct err ignored = ERR_INIT;
	enum file_kind kind;

	return file_kind(from, &kind, &ignored) == 0 && kind == FILE_IS_DEVICE;
}

/* Of a disk's target its views have the flags for what is free. */
static unsigned
target_flags(const struct clone *c)
{
	const unsigned flags = c->job->flags;
	unsigned t = ((flags & RESTORE_DELTA) != 0 ? TARGET_KEEP : 0) |
		     ((flags & RESTORE_FORCE) != 0 ? TARGET_REPLACE : 0) |
		     ((flags & RESTORE_VHDX) != 0 ? TARGET_VHDX : 0);

	if (c->disk != NULL)
		return t | (is_attached(c->job->from) ? TARGET_TWIN : 0);
	return t | TARGET_ENDS_LAST |
	       ((flags & RESTORE_ZERO_HOLES) != 0 ? TARGET_CLEAR : 0) |
	       ((flags & RESTORE_DISCARD) != 0 ? TARGET_DISCARD : 0);
}

static int
open_target(struct clone *c, struct err *err)
{
	const struct clone_job *job = c->job;
	uint64_t size = c->out->size;

	if (job->whole) {
		if (clone_disk_new(
			c->capture, job->to, disk_flags(job->flags), &c->disk, err) != 0)
			return -1;
		size = c->disk->plan.size;
		c->out->partitions = c->disk->plan.count;
	}
	if (target_open(job->to, size, c->capture->volumes[0].sector_size,
		target_flags(c), &c->target, err) != 0)
		return err_context(err, "target");
	if (job->say != NULL && target_note(c->target)[0] != '\0')
		job->say(job->say_arg, target_note(c->target));
	c->part[0].to = c->target;
	if (c->disk == NULL)
		return 0;
	if (clone_disk_open(c->disk, c->target, err) != 0)
		return err_context(err, "target");
	for (unsigned i = 0; i < c->disk->items.count; i++) {
		const struct disk_restore_item *item = &c->disk->items.item[i];

		c->part[item->volume].to = item->view;
		/* Gaps at the end may have no room on a shorter disk. */
		c->part[item->volume].partly =
		    item->part == NULL && c->disk->plan.size < c->disk->plan.old_size;
	}
	return 0;
}

/* ---------------------------------------------------------------------- the parts -- */

static void
add_note(struct clone_result *out, const char *volume, const char *text)
{
	size_t len = strlen(out->note);

	if (text[0] != '\0')
		(void)snprintf(out->note + len, sizeof(out->note) - len, "%s%s: %s",
		    len > 0 ? "; " : "", volume, text);
}

/* Of a volume its path is in the message, of a disk it says which part of it. */
static int
of_part(const struct clone *c, unsigned i, struct err *err)
{
	if (c->disk == NULL || i == 0 || err->code == ERR_CANCELED)
		return -1;
	return err_context(err, "partition %s",
	    c->disk->point.volume[i].name + sizeof(SOURCE)); /* "source.3" */
}

static int
look(struct clone *c, struct err *err)
{
	enum snapshot_grade grade = SNAPSHOT_EXCLUSIVE;
	struct clone_result *out = c->out;

	out->data_bytes = out->hole_bytes = out->excluded_bytes = 0;
	for (unsigned i = 0; i < c->count; i++) {
		struct clone_part *p = &c->part[i];
		const struct capture_volume *v = &c->capture->volumes[i];

		p->volume = &c->capture->volumes[i];
		if (clone_part_look(p, &c->work, err) != 0)
			return of_part(c, i, err);
		out->data_bytes += clone_ranges_bytes(p->ranges, CLONE_DATA);
		out->hole_bytes += clone_ranges_bytes(p->ranges, CLONE_HOLE);
		out->excluded_bytes += clone_ranges_bytes(p->ranges, CLONE_ZERO);
		/* Of a disk's image these are its volumes. */
		for (unsigned k = 0; k < v->holes_count; k++)
			out->hole_bytes -= v->holes[k].len;
		add_note(out, v->name, clone_ranges_note(p->ranges));
		if (clone_ranges_hibernated(p->ranges))
			grade = SNAPSHOT_CRASH;
		else if (v->info.grade > grade)
			grade = v->info.grade;
	}
	(void)snprintf(out->grade, sizeof(out->grade), "%s", snapshot_grade_name(grade));
	return 0;
}

/*
 * Zeros take no room in a new file, and how many there are is not known before all is
 * read: where no map tells what is free, most may be zeros.
 */
static int
check_room(const struct clone *c, struct err *err)
{
	char line[ERR_TEXT_MAX + 64];

	if (target_need(c->target, c->out->data_bytes, err) == 0)
		return 0;
	err_context(err, "target");
	if (c->out->hole_bytes > 0)
		return -1;
	(void)snprintf(line, sizeof(line), "%s; going on: zeros take none", err->text);
	if (c->job->say != NULL)
		c->job->say(c->job->say_arg, line);
	err_clear(err);
	return 0;
}

static int
copy(struct clone *c, struct err *err)
{
	int rc = 0;

	if (check_room(c, err) != 0)
		return -1;
	if (progress_start(
		c->job->mode, "clone", c->out->data_bytes, &c->work.progress, err) != 0)
		return -1;
	if (c->disk != NULL)
		rc = disk_restore_table_clear(c->target, c->disk->plan.size, err);
	for (unsigned i = 0; i < c->count && rc == 0; i++)
		if ((rc = clone_part_copy(&c->part[i], &c->work, err)) != 0)
			rc = of_part(c, i, err);
	progress_stop(c->work.progress);
	c->work.progress = NULL;
	return rc;
}

/* What was written is the same when it is read back from the medium. */
static int
check(struct clone *c, struct err *err)
{
	int rc = 0;

	if (!c->job->verify)
		return 0;
	if (target_settle(c->target, err) != 0)
		return err_context(err, "target");
	c->work.done = 0;
	if (progress_start(
		c->job->mode, "verify", c->out->data_bytes, &c->work.progress, err) != 0)
		return -1;
	for (unsigned i = 0; i < c->count && rc == 0; i++)
		if ((rc = clone_part_check(&c->part[i], &c->work, err)) != 0)
			rc = of_part(c, i, err);
	progress_stop(c->work.progress);
	c->work.progress = NULL;
	if (rc == 0 || err->code == ERR_CANCELED)
		return rc;
	return err_context(err, "%s is no copy", c->job->to);
}

static int
write_target(struct clone *c, struct err *err)
{
	if (look(c, err) != 0 || copy(c, err) != 0 || release(c, err) != 0 ||
	    check(c, err) != 0)
		return -1;
	if (c->disk == NULL)
		return 0;
	return disk_restore_table_write(&c->disk->point.layout, &c->disk->plan,
	    c->disk->items.image, c->target, c->job->verify, err);
}

/* ------------------------------------------------------------------- all together -- */

static int
end_target(struct clone *c, int rc, struct err *err)
{
	const char *table = c->disk != NULL ? " and has no partition table" : "";
	int in_place;

	clone_disk_free(c->disk);
	c->out->written_bytes = target_written(c->target);
	in_place = target_in_place(c->target) && c->out->written_bytes > 0;
	if (rc == 0)
		rc = target_finish(c->target, err);
	else
		target_abandon(c->target);
	if (rc != 0 && in_place)
		err_context(err, "%s is half written%s", c->job->to, table);
	return rc;
}

/* One frozen view, and a copy of it. */
static int
run(struct clone *c, struct err *err)
{
	const struct clone_job *job = c->job;
	int rc = -1;

	c->work = (struct clone_work){ .verify = job->verify,
		.holes_zeroed = (job->flags & RESTORE_ZERO_HOLES) != 0,
		.stop = job->stop,
		.say = job->say,
		.say_arg = job->say_arg };
	if (freeze(c, err) == 0) {
		rc = open_target(c, err);
		if (rc == 0)
			rc = write_target(c, err);
		if (c->target != NULL)
			rc = end_target(c, rc, err);
		else
			clone_disk_free(c->disk);
	}
	for (unsigned i = 0; i < SETTINGS_VOLUMES_MAX; i++)
		clone_part_free(&c->part[i]);
	capture_free(c->capture);
	c->out->zero_bytes = c->work.zero;
	c->out->same_bytes = c->work.same;
	c->out->checked_bytes = c->work.checked;
	return rc;
}

/* A view that was lost is frozen anew, and nothing of it is believed. */
static int
begins_again(const struct clone *c, unsigned *lost, const struct err *err)
{
	char line[ERR_TEXT_MAX + 64];

	/* Offline sources change because somebody writes them: a person's matter. */
	if (err->code != ERR_SNAPSHOT_LOST || strcmp(c->out->provider, "offline") == 0 ||
	    (*lost)++ == VIEWS_LOST_MAX || stop_asked(c->job->stop))
		return 0;
	(void)snprintf(line, sizeof(line), "%s; beginning again", err->text);
	if (c->job->say != NULL)
		c->job->say(c->job->say_arg, line);
	return 1;
}

int
clone_run(const struct clone_job *job, struct clone_result *out, struct err *err)
{
	struct clone *c = calloc(1, sizeof(*c));
	uint64_t started = wait_now_us();
	unsigned lost = 0;
	int rc;

	memset(out, 0, sizeof(*out));
	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	do {
		memset(c, 0, sizeof(*c));
		c->job = job;
		c->out = out;
		err_clear(err);
		rc = run(c, err);
	} while (rc != 0 && begins_again(c, &lost, err));
	out->duration_us = wait_now_us() - started;
	free(c);
	return rc;
}
