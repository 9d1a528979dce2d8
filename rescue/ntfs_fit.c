#include "rescue/ntfs_fit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/volmap.h"
#include "agent/restore/target.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "rescue/child.h"

#define SECTOR_MAX 4096u

/* What ntfsresize said. */
struct talk {
	const struct ntfs_fit *f;
	int status;
	uint64_t smallest; /* "You might resize at N bytes"; 0: not said. */
	char error[160];   /* Behind the first "ERROR: "; or "". */
};

static void
on_line(void *arg, const char *line)
{
	struct talk *t = arg;
	const char *text;
	unsigned long long n;
	double done;
	char rest;

	if (sscanf(line, "%lf percent complete%c", &done, &rest) == 2) {
		if (t->f->percent != NULL)
			t->f->percent(t->f->percent_arg, done);
	} else if (sscanf(line, "You might resize at %llu byte%c", &n, &rest) == 2) {
		t->smallest = n;
	} else if (strncmp(line, "ERROR", 5) == 0 && t->error[0] == '\0') {
		text = strstr(line, ": ");
		(void)snprintf(
		    t->error, sizeof(t->error), "%.150s", text != NULL ? text + 2 : line);
	}
}

/* Run it on a view; 0 also if it refused: t->status says. */
static int
run(const struct ntfs_fit *f, struct view *v, const char *const *options, struct talk *t,
    struct err *err)
{
	const char *argv[10] = { "ntfsresize" };
	struct child_job job = { argv, on_line, t, f->stop, f->cancel, f->cancel_arg };
	unsigned n = 1;

	memset(t, 0, sizeof(*t));
	t->f = f;
	while (*options != NULL)
		argv[n++] = *options++;
	argv[n++] = view_path(v);
	argv[n] = NULL;
	if (child_run(&job, &t->status, err) != 0)
		return -1;
	return view_failure(v, err);
}

static int
refused(const struct talk *t, struct err *err)
{
	if (t->error[0] == '\0')
		return err_set(err, ERR_UNSUPPORTED,
		    "ntfsresize refuses the volume (status %d)", t->status);
	return err_set(err, ERR_UNSUPPORTED, "ntfsresize: %s", t->error);
}

/* `-n`: all but the writing.  1: it would do it; 0: not, `t` says why. */
static int
would_do(const struct ntfs_fit *f, struct view *v, uint64_t length, struct talk *t,
    struct err *err)
{
	char size[24];
	const char *options[] = { "-n", "-s", size, NULL };

	(void)snprintf(size, sizeof(size), "%llu", (unsigned long long)length);
	if (run(f, v, options, t, err) != 0)
		return -1;
	return t->status == 0;
}

static int
do_it(const struct ntfs_fit *f, struct view *v, uint64_t length, struct err *err)
{
	char size[24];
	/* Bytes without a suffix: so it writes the boot sector's backup, too. */
	const char *options[] = { "-f", "-s", size, NULL };
	struct talk t;

	(void)snprintf(size, sizeof(size), "%llu", (unsigned long long)length);
	if (run(f, v, options, &t, err) != 0)
		return -1;
	return t.status == 0 ? 0 : refused(&t, err);
}

/* ------------------------------------------------------------------ looking -- */

int
ntfs_fit_look(
    const struct ntfs_fit *f, struct ntfs_usage *usage, uint64_t *bound, struct err *err)
{
	struct volmap_source src = { .read = f->source.read,
		.arg = f->source.arg,
		.size = f->source.size,
		.sector_size = 512 };
	int got = ntfs_usage(&src, usage, err);

	if (got == 0)
		return err_set(err, ERR_UNSUPPORTED, "the volume is no NTFS");
	if (got < 0)
		return -1;
	/* The last sector of a partition is the boot sector's backup. */
	*bound = (uint64_t)usage->used * usage->cluster_size + usage->sector_size;
	return 0;
}

/* What is half done in its log must not be moved. */
static int
look_clean(
    const struct ntfs_fit *f, struct ntfs_usage *usage, uint64_t *bound, struct err *err)
{
	if (ntfs_fit_look(f, usage, bound, err) != 0)
		return -1;
	if (usage->dirty)
		return err_set(err, ERR_UNSUPPORTED,
		    "the NTFS volume is marked for a check by chkdsk: its size stays as "
		    "it "
		    "is until Windows has done that");
	if (!usage->log_clean)
		return err_set(err, ERR_UNSUPPORTED,
		    "the NTFS volume's journal has work left (it was in use): its size "
		    "stays as it is until Windows has started from it");
	return 0;
}

/*
 * --info names a length that is a cluster too long, and not all that may be in the
 * way; what a trial takes is the truth.  Trials go up by doubled steps, then halve.
 */
static int
search(const struct ntfs_fit *f, struct view *v, const struct ntfs_usage *usage,
    uint64_t least, uint64_t *smallest, struct err *err)
{
	uint64_t unit = usage->cluster_size, most = f->source.size / unit;
	uint64_t low = least / unit, high = low, step = 1, middle;
	struct talk t;
	int got;

	while ((got = would_do(f, v, high * unit + usage->sector_size, &t, err)) == 0) {
		if (high >= most)
			return refused(&t, err);
		low = high + 1;
		high = high + step < most ? high + step : most;
		step *= 2;
	}
	while (got >= 0 && low < high) {
		middle = low + (high - low) / 2;
		got = would_do(f, v, middle * unit + usage->sector_size, &t, err);
		if (got == 1)
			high = middle;
		else
			low = middle + 1;
	}
	*smallest = high * unit + usage->sector_size;
	return got < 0 ? -1 : 0;
}

static int
find_smallest(const struct ntfs_fit *f, struct view *v, const struct ntfs_usage *usage,
    uint64_t *smallest, struct err *err)
{
	static const char *const options[] = { "--info", NULL };
	uint64_t least;
	struct talk t;

	if (run(f, v, options, &t, err) != 0)
		return -1;
	if (t.status != 0)
		return refused(&t, err);
	/* A full volume gets no advice. */
	least = (uint64_t)usage->used * usage->cluster_size;
	if (t.smallest > least + usage->cluster_size)
		least = t.smallest - usage->cluster_size;
	return search(f, v, usage, least, smallest, err);
}

int
ntfs_fit_smallest(const struct ntfs_fit *f, uint64_t *smallest, struct err *err)
{
	struct view_config config = { .source = f->source };
	struct ntfs_usage usage;
	struct view *v;
	uint64_t bound;
	int rc;

	if (look_clean(f, &usage, &bound, err) != 0 || view_open(&config, &v, err) != 0)
		return -1;
	rc = find_smallest(f, v, &usage, smallest, err);
	view_close(v);
	return rc;
}

/* ----------------------------------------------------------------- changing -- */

static int
too_small(uint64_t length, uint64_t smallest, struct err *err)
{
	return err_set(err, ERR_LIMIT,
	    "the NTFS volume needs %llu bytes at least, and the partition has %llu: %llu "
	    "bytes are missing",
	    (unsigned long long)smallest, (unsigned long long)length,
	    (unsigned long long)(smallest - length));
}

/* All of it but the writing, then all of it: a refusal comes before the first byte. */
static int
shrink(const struct ntfs_fit *f, struct view *v, const struct ntfs_usage *usage,
    uint64_t length, struct err *err)
{
	uint64_t smallest;
	struct talk t;
	int got = would_do(f, v, length, &t, err);

	if (got == 1)
		return do_it(f, v, length, err);
	if (got == 0 && find_smallest(f, v, usage, &smallest, err) == 0)
		return smallest > length ? too_small(length, smallest, err)
					 : refused(&t, err);
	return -1;
}

int
ntfs_fit_shrink(const struct ntfs_fit *f, struct target *window, uint64_t length,
    struct view **out, struct err *err)
{
	struct view_config config = { f->source, window, length, 0, 0 };
	struct ntfs_usage usage;
	struct view *v;
	uint64_t bound;

	if (look_clean(f, &usage, &bound, err) != 0)
		return -1;
	if (length < bound)
		return too_small(length, bound, err);
	if (view_open(&config, &v, err) != 0)
		return -1;
	if (shrink(f, v, &usage, length, err) != 0) {
		view_close(v);
		return -1;
	}
	view_quiet(v);
	*out = v;
	return 0;
}

static int
read_window(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return target_read(arg, offset, buf, len, err);
}

int
ntfs_fit_extend(
    const struct ntfs_fit *f, struct target *window, uint64_t length, struct err *err)
{
	struct ntfs_fit there = *f;
	struct view_config config = { { read_window, window, length }, window, length, 0,
		0 };
	struct view_counts counts;
	struct ntfs_usage usage;
	struct view *v;
	uint64_t bound;
	int rc;

	there.source = config.source;
	if (look_clean(&there, &usage, &bound, err) != 0 ||
	    view_open(&config, &v, err) != 0)
		return -1;
	rc = do_it(&there, v, length, err);
	view_counts(v, &counts);
	/* No refusal any more: it is neither what it was nor what it should be. */
	if (rc != 0 && counts.written_bytes > 0 && err->code != ERR_CANCELED)
		err->code = ERR_IO;
	view_close(v);
	return rc;
}

/* Offset 28 of a boot sector: sectors before the partition; 32 bits, else zeros. */
int
ntfs_fit_place(struct target *window, uint64_t length, uint64_t offset, struct err *err)
{
	uint8_t sector[SECTOR_MAX], backup[SECTOR_MAX];
	uint32_t size;

	if (target_read(window, 0, sector, 512, err) != 0)
		return -1;
	size = load_le16(sector + 11);
	if (memcmp(sector + 3, "NTFS    ", 8) != 0 || size < 512 || size > SECTOR_MAX ||
	    (size & (size - 1)) != 0 || length < 2ull * size)
		return err_set(err, ERR_UNSUPPORTED, "the volume is no NTFS");
	if (target_read(window, 0, sector, size, err) != 0 ||
	    target_read(window, length - size, backup, size, err) != 0)
		return -1;
	store_le32(
	    sector + 28, offset / size <= UINT32_MAX ? (uint32_t)(offset / size) : 0);
	if (target_write(window, 0, sector, size, err) != 0)
		return -1;
	return memcmp(sector, backup, size) == 0
		   ? 0
		   : target_write(window, length - size, sector, size, err);
}
