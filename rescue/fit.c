#include "rescue/fit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/disk_plan.h"
#include "agent/restore/disk_restore.h"
#include "agent/restore/target.h"
#include "agent/restore/target_skip.h"
#include "agent/tree/tree_reader.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/layout/layout.h"
#include "rescue/adapt.h"
#include "rescue/ntfs_fit.h"
#include "rescue/ntfs_mount.h"
#include "rescue/view.h"

#define SECTOR_MIN 512u

/* A partition whose volume is shrunk: where it is read from, and what was written. */
struct shrunk {
	struct tree_reader *reader;
	struct view *view;
	enum { UNKNOWN, BOUND, EXACT, STAYS } known;
	uint64_t smallest; /* Bytes; by its bitmap, or by ntfsresize. */
};

struct fit {
	struct fit_config config;
	struct tree_point *point; /* Opened when it is needed. */
	const struct disk_plan *plan;
	struct shrunk part[LAYOUT_PARTITIONS_MAX];
};

static void say(const struct fit *f, const char *fmt, ...) ERR_PRINTF(2, 3);

static void
say(const struct fit *f, const char *fmt, ...)
{
	char line[ERR_TEXT_MAX + 160];
	va_list ap;

	if (f->config.say == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	f->config.say(f->config.say_arg, line);
}

int
fit_new(const struct fit_config *config, struct fit **out, struct err *err)
{
	struct fit *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	f->config = *config;
	*out = f;
	return 0;
}

static void
part_free(struct shrunk *s)
{
	view_close(s->view);
	s->view = NULL;
	if (s->reader != NULL)
		tree_reader_close(s->reader);
	s->reader = NULL;
}

void
fit_free(struct fit *f)
{
	if (f == NULL)
		return;
	for (unsigned i = 0; i < LAYOUT_PARTITIONS_MAX; i++)
		part_free(&f->part[i]);
	tree_point_close(f->point);
	free(f);
}

/* ---------------------------------------------------------------- the volume -- */

static int
read_tree(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return tree_reader_read(arg, offset, buf, len, err);
}

static void
cancel_point(void *arg)
{
	tree_point_cancel(arg);
}

static int
open_point(struct fit *f, struct err *err)
{
	struct tree_point_config config = { .dial = f->config.dial,
		.arg = f->config.dial_arg,
		.host = f->config.host,
		.sequence = f->config.sequence,
		/* As patient as the restore itself. */
		.retry_for_ms = DISK_RESTORE_RETRY_S * 1000u };

	return f->point != NULL ? 0 : tree_point_open(&config, &f->point, err);
}

/* The volume of partition `n` as the point has it. */
static int
open_volume(struct fit *f, unsigned n, struct ntfs_fit *out, struct err *err)
{
	unsigned volume = f->config.layout->partitions[n].volume;

	if (open_point(f, err) != 0)
		return -1;
	if (volume >= tree_point_volumes(f->point))
		return err_set(err, ERR_CORRUPT, "the point has no volume %u", volume);
	if (f->part[n].reader == NULL &&
	    tree_reader_open(f->point, tree_point_volume(f->point, volume)->name,
		&f->part[n].reader, err) != 0)
		return -1;
	memset(out, 0, sizeof(*out));
	out->source.read = read_tree;
	out->source.arg = f->part[n].reader;
	out->source.size = tree_reader_size(f->part[n].reader);
	out->stop = f->config.stop;
	out->cancel = cancel_point;
	out->cancel_arg = f->point;
	return 0;
}

/* ------------------------------------------------------------------ the wish -- */

/* What cannot be shrunk is said, and keeps its size; all else is a failure. */
static int
stays(struct fit *f, unsigned n, struct err *err)
{
	if (err->code != ERR_UNSUPPORTED && err->code != ERR_CORRUPT)
		return -1;
	say(f, "partition %u keeps its size: %s", f->config.layout->partitions[n].number,
	    err->text);
	err_clear(err);
	f->part[n].known = STAYS;
	return 0;
}

/* From its own bitmap: what no tool could go below. */
static int
find_bound(struct fit *f, unsigned n, struct err *err)
{
	struct ntfs_usage usage;
	struct ntfs_fit volume;

	if (open_volume(f, n, &volume, err) != 0)
		return -1;
	f->part[n].known = STAYS;
	if (strcmp(tree_reader_root(f->part[n].reader)->fs, "ntfs") != 0)
		return 0;
	if (ntfs_fit_look(&volume, &usage, &f->part[n].smallest, err) != 0) {
		f->part[n].known = UNKNOWN;
		return stays(f, n, err);
	}
	f->part[n].known = BOUND;
	return 0;
}

static int
find_exact(struct fit *f, unsigned n, struct err *err)
{
	struct ntfs_fit volume;

	say(f, "partition %u: asking ntfsresize how small it may become",
	    f->config.layout->partitions[n].number);
	if (open_volume(f, n, &volume, err) != 0)
		return -1;
	if (ntfs_fit_smallest(&volume, &f->part[n].smallest, err) != 0)
		return stays(f, n, err);
	f->part[n].known = EXACT;
	return 0;
}

/* The flags, and what is known; non-zero if there is more that could be known. */
static int
fill_in(const struct fit *f, struct disk_plan_wish *wish)
{
	const struct layout *l = f->config.layout;
	int more = 0;

	wish->flags = ((f->config.flags & FIT_EXTEND) != 0 ? DISK_PLAN_EXTEND : 0) |
		      ((f->config.flags & FIT_SHRINK) != 0 ? DISK_PLAN_SHRINK : 0);
	for (unsigned i = 0; i < l->partitions_count; i++) {
		if (l->partitions[i].disk != f->config.disk ||
		    l->partitions[i].volume == LAYOUT_NO_VOLUME)
			continue;
		wish->smallest[i] = f->part[i].known == BOUND || f->part[i].known == EXACT
					? f->part[i].smallest
					: 0;
		more |= f->part[i].known == UNKNOWN;
	}
	return more && (f->config.flags & FIT_SHRINK) != 0;
}

/* What is cheap to know, and kept: whoever asks again asks for less. */
static int
guess(struct fit *f, struct disk_plan_wish *wish, struct err *err)
{
	const struct layout *l = f->config.layout;
	struct err why = ERR_INIT;
	struct disk_plan *plan;
	int rc = 0;

	if (!fill_in(f, wish))
		return 0;
	if ((plan = malloc(sizeof(*plan))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	/* Room at the end of the old disk may be all that lacks. */
	if (disk_plan_make(l, f->config.disk, wish, plan, NULL, &why) != 0) {
		for (unsigned i = 0; i < l->partitions_count && rc == 0; i++)
			if (l->partitions[i].disk == f->config.disk &&
			    l->partitions[i].volume != LAYOUT_NO_VOLUME &&
			    f->part[i].known == UNKNOWN)
				rc = find_bound(f, i, err);
		(void)fill_in(f, wish);
	}
	free(plan);
	return rc;
}

/* Plan with bounds, and ask ntfsresize only about what the plan makes shorter. */
static int
refine(
    struct fit *f, struct disk_plan_wish *wish, struct disk_plan *plan, struct err *err)
{
	const struct disk_plan_part *p;
	unsigned i;

	for (;;) {
		if (disk_plan_make(
			f->config.layout, f->config.disk, wish, plan, NULL, err) != 0)
			return -1;
		for (i = 0, p = plan->parts; i < plan->count; i++, p++)
			if (p->length < p->from_length &&
			    f->part[p->partition].known == BOUND)
				break;
		if (i == plan->count)
			return 0;
		if (find_exact(f, p->partition, err) != 0)
			return -1;
		(void)fill_in(f, wish);
	}
}

int
fit_wish(struct fit *f, struct disk_plan_wish *wish, struct err *err)
{
	struct disk_plan *plan;
	int rc;

	if (guess(f, wish, err) != 0)
		return -1;
	if ((f->config.flags & FIT_SHRINK) == 0)
		return 0;
	if ((plan = malloc(sizeof(*plan))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	rc = refine(f, wish, plan, err);
	free(plan);
	return rc;
}

/* --------------------------------------------------------- while it restores -- */

static int
is_ntfs(struct target *window, uint64_t length, struct err *err)
{
	uint8_t sector[SECTOR_MIN];

	if (length < SECTOR_MIN)
		return 0;
	if (target_read(window, 0, sector, sizeof(sector), err) != 0)
		return -1;
	return memcmp(sector + 3, "NTFS    ", 8) == 0;
}

/* A shorter partition: what its volume has behind the new end goes to its place. */
static int
part_begin(void *arg, unsigned n, struct target *window, struct target_skip *skip,
    struct err *err)
{
	struct fit *f = arg;
	const struct disk_plan_part *p = disk_plan_part(f->plan, n);
	struct ntfs_fit volume;

	if (p == NULL || p->length >= p->from_length)
		return 0;
	say(f, "partition %u: shrinking NTFS from %llu to %llu bytes",
	    f->config.layout->partitions[n].number, (unsigned long long)p->from_length,
	    (unsigned long long)p->length);
	if (open_volume(f, n, &volume, err) != 0 ||
	    ntfs_fit_shrink(&volume, window, p->length, &f->part[n].view, err) != 0)
		return err_context(
		    err, "partition %u", f->config.layout->partitions[n].number);
	view_skip(f->part[n].view, skip);
	return 0;
}

static void
say_lines(const struct fit *f, struct buf *text)
{
	char *line, *rest;
	struct err err = ERR_INIT;

	if (buf_add_u8(text, 0, &err) != 0)
		return;
	for (line = strtok_r((char *)text->p, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest))
		say(f, "%s", line);
}

/* Drivers of a Windows that lies on this volume, if one does. */
static int
look_at_drivers(struct fit *f, const char *dir, int *torn, struct err *err)
{
	struct adapt_job job = { dir, f->config.devices, f->config.devices_count };
	struct adapt_report *r = malloc(sizeof(*r));
	struct buf text = BUF_INIT(256u * 1024);
	int rc;

	if (r == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	rc = (f->config.flags & FIT_ADAPT) != 0 ? adapt_change(&job, r, err)
						: adapt_look(&job, r, err);
	if (rc == 0 && adapt_print(r, &text, err) == 0)
		say_lines(f, &text);
	*torn = r->torn;
	buf_free(&text);
	free(r);
	return rc;
}

/* What is not enabled is said; what was begun and not ended is a failure. */
static int
drivers(
    struct fit *f, unsigned n, struct target *window, uint64_t length, struct err *err)
{
	int writable = (f->config.flags & FIT_ADAPT) != 0, torn = 0, rc;
	unsigned number = f->config.layout->partitions[n].number;
	struct err why = ERR_INIT, closing = ERR_INIT;
	struct ntfs_mount *m;

	rc = ntfs_mount_open(window, length, writable, &m, &why);
	if (rc == 0) {
		rc = look_at_drivers(f, ntfs_mount_path(m), &torn, &why);
		if (ntfs_mount_close(m, &closing) != 0) {
			torn |= writable;
			why = rc == 0 || writable ? closing : why;
			rc = -1;
		}
	}
	if (torn) {
		*err = why;
		return err_context(
		    err, "partition %u: drivers were enabled by half", number);
	}
	if (rc != 0)
		say(f, "partition %u: %s: %s", number,
		    writable ? "drivers were not enabled" : "drivers were not looked at",
		    why.text);
	return 0;
}

/* 1; or 0: it cannot grow, and is as it was. */
static int
extend(
    struct fit *f, const struct disk_plan_part *p, struct target *window, struct err *err)
{
	struct ntfs_fit volume = { .stop = f->config.stop };
	unsigned number = f->config.layout->partitions[p->partition].number;
	struct err why = ERR_INIT;

	if (ntfs_fit_extend(&volume, window, p->length, &why) == 0)
		return 1;
	if (why.code == ERR_IO || why.code == ERR_CANCELED) {
		*err = why;
		return err_context(err, "partition %u: extending NTFS", number);
	}
	say(f,
	    "partition %u is longer now, its file system is not: %s; Windows' disk "
	    "management can extend it",
	    number, why.text);
	return 0;
}

static int
part_done(void *arg, unsigned n, struct target *window, struct err *err)
{
	struct fit *f = arg;
	const struct disk_plan_part *p = disk_plan_part(f->plan, n);
	int ntfs, changed = 0;

	if (p == NULL)
		return 0;
	if ((ntfs = is_ntfs(window, p->length, err)) <= 0)
		return ntfs;
	if (f->part[n].view != NULL) {
		part_free(&f->part[n]);
		changed = 1;
	} else if (p->length > p->from_length && (f->config.flags & FIT_EXTEND) != 0) {
		if ((changed = extend(f, p, window, err)) < 0)
			return -1;
	}
	if (changed) {
		if (ntfs_fit_place(window, p->length, p->to, err) != 0)
			return -1;
		say(f, "partition %u: Windows will run chkdsk on it once, when it starts",
		    f->config.layout->partitions[n].number);
	}
	if ((f->config.flags & (FIT_ADAPT | FIT_REPORT)) != 0 &&
	    f->config.layout->partitions[n].role != LAYOUT_RECOVERY)
		return drivers(f, n, window, p->length, err);
	return 0;
}

void
fit_attach(struct fit *f, const struct disk_plan *plan, struct disk_restore_job *job)
{
	f->plan = plan;
	job->part_begin = part_begin;
	job->part_done = part_done;
	job->part_arg = f;
}
