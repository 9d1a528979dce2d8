/*
 * plugin.c - a point's volumes and disks for any client of NBD, by nbdkit.
 *
 * `holdfast nbd` starts nbdkit with this module and these parameters:
 *	operator	the operator directory
 *	server		HOST:PORT instead of the one named there
 *	host, sequence	the point
 *	volume | disk	what every client gets; without: by the export's name, that of a
 *			volume or disk/NAME
 *	retry-for	seconds that a read waits for a server that is gone
 *	cache		MiB for decoded groups
 *	ready-fd	gets one byte when clients are served
 *	remove		a socket to remove in the end
 *	remove-with-directory	the same, and its directory
 * Everything else is in agent/tree/tree_reader.h; this is glue.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/tree/disk_reader.h"
#include "agent/tree/tree_reader.h"
#include "proto/base/err.h"
#include "server/cli/cli.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define DISK_PREFIX "disk/"
#define EXTENTS_AT_ONCE 256u /* In one answer: the client asks on. */

static struct cli who;
static struct tree_point_config config = { .dial = cli_dial, .arg = &who, .host = "" };
static struct tree_point *point;
static const char *only_volume, *only_disk, *to_remove, *to_remove_dir;
static int ready_fd = -1;

/* One client's view: one of the two. */
struct view {
	struct tree_reader *volume;
	struct disk_reader *disk;
};

static int
fail(const struct err *err)
{
	nbdkit_error("%s", err->text);
	nbdkit_set_error(err->code == ERR_LIMIT ? EINVAL : EIO);
	return -1;
}

/* ------------------------------------------------------------------- parameters -- */

static int
number(const char *key, const char *value, uint64_t most, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 ||
	    *out > most) {
		nbdkit_error("%s=%s: a number up to %llu is due", key, value,
		    (unsigned long long)most);
		return -1;
	}
	return 0;
}

static int
set_number(const char *key, const char *value)
{
	uint64_t n;

	if (strcmp(key, "sequence") == 0)
		return number(key, value, UINT64_MAX, &config.sequence);
	if (number(key, value, 1024 * 1024, &n) != 0)
		return -1;
	if (strcmp(key, "retry-for") == 0)
		config.retry_for_ms = (uint32_t)n * 1000 + 1;
	else if (strcmp(key, "cache") == 0)
		config.cache_bytes = (size_t)n << 20;
	else
		ready_fd = (int)n;
	return 0;
}

static int
plugin_config(const char *key, const char *value)
{
	static const struct {
		const char *key, **to;
	} texts[] = { { "operator", &who.operator_dir }, { "server", &who.server },
		{ "host", &config.host }, { "volume", &only_volume },
		{ "disk", &only_disk }, { "remove", &to_remove },
		{ "remove-with-directory", &to_remove_dir } };
	static const char *const numbers[] = { "sequence", "retry-for", "cache",
		"ready-fd" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(key, texts[i].key) == 0) {
			/* For as long as the process lives. */
			*texts[i].to = strdup(value);
			return *texts[i].to == NULL ? -1 : 0;
		}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i]) == 0)
			return set_number(key, value);
	nbdkit_error("no parameter '%s'", key);
	return -1;
}

static int
plugin_config_complete(void)
{
	/* Who connects reads all of the point: nobody but us.  nbdkit has set its own. */
	(void)umask(0177);
	if (config.host[0] != '\0' && (only_volume == NULL || only_disk == NULL))
		return 0;
	nbdkit_error("host=NAME is missing, or there are both volume and disk");
	return -1;
}

/* Threads are made here, so after nbdkit may have forked. */
static int
plugin_after_fork(void)
{
	struct err err = ERR_INIT;

	(void)signal(SIGPIPE, SIG_IGN);
	if (tree_point_open(&config, &point, &err) != 0)
		return fail(&err);
	if (tree_point_suspect(point)[0] != '\0')
		(void)fprintf(stderr, "holdfast: %s\n", tree_point_suspect(point));
	if (ready_fd >= 0 && write(ready_fd, "r", 1) != 1) {
		nbdkit_error("nobody waits at ready-fd");
		return -1;
	}
	return 0;
}

static void
plugin_cleanup(void)
{
	tree_point_close(point);
	point = NULL;
}

static void
plugin_unload(void)
{
	char dir[PATH_MAX];

	tree_point_close(point);
	if (to_remove != NULL)
		(void)unlink(to_remove);
	if (to_remove_dir == NULL || strlen(to_remove_dir) >= sizeof(dir))
		return;
	(void)unlink(to_remove_dir);
	strcpy(dir, to_remove_dir);
	(void)rmdir(dirname(dir));
}

/* ---------------------------------------------------------------------- clients -- */

static int
open_view(struct view *v, const char *export, struct err *err)
{
	if (only_disk != NULL)
		return disk_reader_open(point, only_disk, &v->disk, err);
	if (only_volume != NULL)
		return tree_reader_open(point, only_volume, &v->volume, err);
	if (strncmp(export, DISK_PREFIX, strlen(DISK_PREFIX)) == 0)
		return disk_reader_open(
		    point, export + strlen(DISK_PREFIX), &v->disk, err);
	return tree_reader_open(point, export, &v->volume, err);
}

static void *
plugin_open(int readonly)
{
	struct view *v = calloc(1, sizeof(*v));
	const char *export = nbdkit_export_name();
	struct err err = ERR_INIT;

	(void)readonly;
	if (v == NULL) {
		nbdkit_error("out of memory");
		return NULL;
	}
	if (open_view(v, export != NULL ? export : "", &err) != 0) {
		(void)fail(&err);
		free(v);
		return NULL;
	}
	return v;
}

static void
plugin_close(void *handle)
{
	struct view *v = handle;

	tree_reader_close(v->volume);
	disk_reader_close(v->disk);
	free(v);
}

static int
plugin_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
	(void)readonly, (void)is_tls;
	if (only_volume != NULL || only_disk != NULL)
		return nbdkit_add_export(exports, "", NULL);
	for (unsigned i = 0; i < tree_point_volumes(point); i++)
		if (nbdkit_add_export(exports, tree_point_volume(point, i)->name,
			tree_point_volume(point, i)->fs) != 0)
			return -1;
	return 0;
}

static int64_t
plugin_get_size(void *handle)
{
	const struct view *v = handle;

	return (int64_t)(v->disk != NULL ? disk_reader_size(v->disk)
					 : tree_reader_size(v->volume));
}

static int
plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = 64 * 1024; /* A chunk, mostly. */
	*maximum = 32 * 1024 * 1024;
	return 0;
}

static int
plugin_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

static int
plugin_can_extents(void *handle)
{
	(void)handle;
	return 1;
}

static int
plugin_can_cache(void *handle)
{
	(void)handle;
	return NBDKIT_CACHE_EMULATE; /* Reading fills our cache. */
}

static int
plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	const struct view *v = handle;
	struct err err = ERR_INIT;
	int rc = v->disk != NULL ? disk_reader_read(v->disk, offset, buf, count, &err)
				 : tree_reader_read(v->volume, offset, buf, count, &err);

	(void)flags;
	return rc == 0 ? 0 : fail(&err);
}

/* An answer that is being filled. */
struct answer {
	struct nbdkit_extents *extents;
	unsigned n;
	int failed;
};

static int
on_range(void *arg, const struct tree_range *range)
{
	struct answer *a = arg;
	uint32_t type =
	    range->kind == EXTENT_DATA ? 0 : NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;

	a->failed = nbdkit_add_extent(a->extents, range->offset, range->len, type) != 0;
	return a->failed || ++a->n == EXTENTS_AT_ONCE;
}

static int
plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
    struct nbdkit_extents *extents)
{
	const struct view *v = handle;
	struct answer a = { extents, 0, 0 };
	struct err err = ERR_INIT;
	int rc;

	if ((flags & NBDKIT_FLAG_REQ_ONE) != 0)
		a.n = EXTENTS_AT_ONCE - 1;
	rc = v->disk != NULL
		 ? disk_reader_extents(v->disk, offset, count, on_range, &a, &err)
		 : tree_reader_extents(v->volume, offset, count, on_range, &a, &err);
	if (rc < 0)
		return fail(&err);
	return a.failed ? -1 : 0;
}

static struct nbdkit_plugin plugin = {
	.name = "holdfast",
	.longname = "Holdfast recovery points, read-only",
	.version = HOLDFAST_VERSION,
	.unload = plugin_unload,
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.after_fork = plugin_after_fork,
	.cleanup = plugin_cleanup,
	.list_exports = plugin_list_exports,
	.open = plugin_open,
	.close = plugin_close,
	.get_size = plugin_get_size,
	.block_size = plugin_block_size,
	.can_multi_conn = plugin_can_multi_conn,
	.can_extents = plugin_can_extents,
	.can_cache = plugin_can_cache,
	.pread = plugin_pread,
	.extents = plugin_extents,
};

struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(plugin)
