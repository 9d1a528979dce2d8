/*
 * plugin.c - disks under the hot-copy driver's core, for clients of NBD, by nbdkit.
 *
 * Parameters:
 *	disk=NAME:PATH	a file or device, exported as NAME; as often as there are disks.
 *			NAME@frozen is its image while a set is frozen, read-only
 *	control=SOCKET	where calls of driver/abi/hotcopy.h are taken (driver/sim/calls.h)
 *	track=NAME:OFFSET
 *			opens the tracking store at this byte of the disk, before the
 *			first write: what CREATE made earlier, then goes on; up to a multiple
 *			of 256 KiB
 *	sector=BYTES	512 or 4096 (512)
 *	record=FILE	what is written, for an oracle (driver/sim/record.h)
 * The export "" is the only disk.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/abi/hotcopy.h"
#include "driver/core/control.h"
#include "driver/sim/calls.h"
#include "driver/sim/disk.h"
#include "driver/sim/record.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define FROZEN "@frozen"
#define WHY 300

static const char *disk_word[HOTCOPY_ENUM_MAX]; /* NAME:PATH */
static struct disk *disks[HOTCOPY_ENUM_MAX];
static uint32_t count;
static const char *track_word[HOTCOPY_ENUM_MAX]; /* NAME:OFFSET */
static uint32_t track_count;
static const char *socket_path, *record_path;
static uint32_t sector = 512;
static struct record *record;
static struct calls *calls;

/* One client's view. */
struct view {
	struct disk *disk;
	struct control_file *frozen; /* or NULL: the live disk */
};

/* -------------------------------------------------------------------- parameters -- */

static int
add_disk(const char *value)
{
	const char *colon = strchr(value, ':');
	size_t n = colon == NULL ? 0 : (size_t)(colon - value);

	if (n == 0 || colon[1] == '\0' || memchr(value, '@', n) != NULL) {
		nbdkit_error("disk=%s: NAME:PATH is due, and no @ in NAME", value);
		return -1;
	}
	for (uint32_t i = 0; i < count; i++)
		if (strncmp(disk_word[i], value, n + 1) == 0) {
			nbdkit_error("disk=%s: there is one of that name", value);
			return -1;
		}
	if (count == HOTCOPY_ENUM_MAX) {
		nbdkit_error("more than %u disks", HOTCOPY_ENUM_MAX);
		return -1;
	}
	disk_word[count] = strdup(value);
	return disk_word[count++] == NULL ? -1 : 0;
}

static int
add_track(const char *value)
{
	const char *colon = strchr(value, ':');

	if (colon == NULL || colon[1] < '0' || colon[1] > '9' ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strlen(colon + 1) > 18 || track_count == HOTCOPY_ENUM_MAX) {
		nbdkit_error("track=%s: NAME:OFFSET is due, in bytes", value);
		return -1;
	}
	track_word[track_count] = strdup(value);
	return track_word[track_count++] == NULL ? -1 : 0;
}

static int
plugin_config(const char *key, const char *value)
{
	if (strcmp(key, "disk") == 0)
		return add_disk(value);
	if (strcmp(key, "track") == 0)
		return add_track(value);
	if (strcmp(key, "control") == 0 || strcmp(key, "record") == 0) {
		/* nbdkit changes its directory when it goes to the background. */
		char *path = nbdkit_absolute_path(value);

		*(key[0] == 'c' ? &socket_path : &record_path) = path;
		return path == NULL ? -1 : 0;
	}
	if (strcmp(key, "sector") == 0 &&
	    (strcmp(value, "512") == 0 || strcmp(value, "4096") == 0)) {
		sector = value[0] == '5' ? 512 : 4096;
		return 0;
	}
	nbdkit_error("no parameter '%s', or not with '%s'", key, value);
	return -1;
}

static int
plugin_config_complete(void)
{
	if (count > 0 && socket_path != NULL)
		return 0;
	nbdkit_error("disk=NAME:PATH or control=SOCKET is missing");
	return -1;
}

/* Before nbdkit says that it is ready: who then connects must find the socket. */
static int
plugin_get_ready(void)
{
	char why[WHY];

	calls = calls_listen(socket_path, why, sizeof why);
	if (calls == NULL) {
		nbdkit_error("control: %s", why);
		return -1;
	}
	if (record_path != NULL && (record = record_open(record_path)) == NULL) {
		nbdkit_error("record: %s: %s", record_path, strerror(errno));
		return -1;
	}
	return 0;
}

static void
on_lost(void *who, enum hotcopy_reason why)
{
	struct disk **d = who;

	calls_lost(calls, (uint64_t)(d - disks) + 1, why);
}

static struct disk **
find(const char *name, size_t length)
{
	if (length == 0 && count == 1)
		return &disks[0];
	for (uint32_t i = 0; i < count; i++)
		if (strlen(disk_name(disks[i])) == length &&
		    memcmp(disk_name(disks[i]), name, length) == 0)
			return &disks[i];
	return NULL;
}

static int
start_disks(char why[WHY])
{
	for (uint32_t i = 0; i < count; i++) {
		char *name = strdup(disk_word[i]), *path;

		if (name == NULL)
			return -1;
		path = strchr(name, ':');
		*path++ = '\0';
		disks[i] = disk_open(name, path, i + 1, sector, record, why, WHY);
		free(name);
		if (disks[i] == NULL)
			return -1;
	}
	for (uint32_t i = 0; i < track_count; i++) {
		const char *colon = strchr(track_word[i], ':');
		struct disk **d = find(track_word[i], (size_t)(colon - track_word[i]));
		struct track_notice notice = { on_lost, d };

		if (d == NULL) {
			snprintf(why, WHY, "track=%s: no such disk", track_word[i]);
			return -1;
		}
		if (disk_track(*d, strtoull(colon + 1, NULL, 10), notice, why, WHY) != 0)
			return -1;
	}
	return 0;
}

/* Threads are made here, so after nbdkit may have forked. */
static int
plugin_after_fork(void)
{
	char why[WHY] = "out of memory";

	(void)signal(SIGPIPE, SIG_IGN);
	if (start_disks(why) == 0 &&
	    calls_start(calls, disks, count, record, why, sizeof why) == 0)
		return 0;
	nbdkit_error("%s", why);
	return -1;
}

static void
plugin_cleanup(void)
{
	calls_close(calls);
	calls = NULL;
	for (uint32_t i = 0; i < count; i++)
		disk_close(disks[i]);
	record_close(record);
}

/* ----------------------------------------------------------------------- clients -- */

static void *
plugin_open(int readonly)
{
	const char *name = nbdkit_export_name(), *at;
	struct view *v = calloc(1, sizeof *v);
	struct disk **d;

	(void)readonly;
	if (v == NULL || name == NULL) {
		free(v);
		return NULL;
	}
	at = strchr(name, '@');
	d = find(name, at == NULL ? strlen(name) : (size_t)(at - name));
	if (d == NULL || (at != NULL && strcmp(at, FROZEN) != 0)) {
		nbdkit_error("no disk '%s'", name);
		free(v);
		return NULL;
	}
	v->disk = *d;
	if (at == NULL)
		return v;
	v->frozen = calls_frozen(calls, v->disk);
	if (v->frozen == NULL) {
		nbdkit_error("'%s' is not frozen", disk_name(v->disk));
		free(v);
		return NULL;
	}
	return v;
}

static void
plugin_close(void *handle)
{
	struct view *v = handle;

	if (v->frozen != NULL) {
		control_cleanup(v->frozen);
		control_close(v->frozen);
	}
	free(v);
}

static int
plugin_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
	(void)readonly, (void)is_tls;
	for (uint32_t i = 0; i < count; i++)
		if (nbdkit_add_export(exports, disk_name(disks[i]), NULL) != 0)
			return -1;
	return 0;
}

static int64_t
plugin_get_size(void *handle)
{
	const struct view *v = handle;

	return (int64_t)disk_length(v->disk);
}

static int
plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = 4096;
	*maximum = 32 * 1024 * 1024;
	return 0;
}

static int
plugin_can_write(void *handle)
{
	const struct view *v = handle;

	return v->frozen == NULL;
}

static int
plugin_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

static int
plugin_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

static int
fail(int error)
{
	if (error == 0)
		return 0;
	nbdkit_error("%s", strerror(error));
	nbdkit_set_error(error);
	return -1;
}

/* The image is read by whole sectors. */
static int
read_frozen(const struct view *v, void *buf, uint32_t length, uint64_t offset)
{
	uint64_t first = offset - offset % sector, end = offset + length;
	unsigned char *bytes = buf;
	enum set_result result;

	end += (sector - end % sector) % sector;
	if (end - first != length && (bytes = malloc(end - first)) == NULL)
		return fail(ENOMEM);
	result = control_read(v->frozen, first, bytes, (uint32_t)(end - first));
	if (bytes != buf) {
		memcpy(buf, bytes + (offset - first), length);
		free(bytes);
	}
	if (result == SET_OK)
		return 0;
	nbdkit_error("%s%s at %llu: %s", disk_name(v->disk), FROZEN,
	    (unsigned long long)offset,
	    result == SET_LOST	     ? "the image is lost"
	    : result == SET_NOT_KEPT ? "was said to be unneeded, or done"
				     : "cannot be read");
	nbdkit_set_error(EIO);
	return -1;
}

static int
plugin_pread(void *handle, void *buf, uint32_t length, uint64_t offset, uint32_t flags)
{
	const struct view *v = handle;

	(void)flags;
	return v->frozen != NULL ? read_frozen(v, buf, length, offset)
				 : fail(disk_read(v->disk, offset, buf, length));
}

static int
plugin_flush(void *handle, uint32_t flags)
{
	const struct view *v = handle;

	(void)flags;
	return fail(disk_flush(v->disk));
}

static int
written(const struct view *v, int error, uint32_t flags)
{
	if (error == 0 && (flags & NBDKIT_FLAG_FUA) != 0)
		error = disk_flush(v->disk);
	return fail(error);
}

static int
plugin_pwrite(
    void *handle, const void *buf, uint32_t length, uint64_t offset, uint32_t flags)
{
	const struct view *v = handle;

	return written(v, disk_write(v->disk, offset, buf, length), flags);
}

static int
plugin_zero(void *handle, uint32_t length, uint64_t offset, uint32_t flags)
{
	const struct view *v = handle;
	bool punch = (flags & NBDKIT_FLAG_MAY_TRIM) != 0;

	return written(v, disk_zero(v->disk, offset, length, punch), flags);
}

static int
plugin_trim(void *handle, uint32_t length, uint64_t offset, uint32_t flags)
{
	const struct view *v = handle;

	return written(v, disk_zero(v->disk, offset, length, 1), flags);
}

static struct nbdkit_plugin plugin = {
	.name = "holdfast-hotcopy",
	.longname = "disks under Holdfast's hot-copy driver, simulated",
	.version = HOLDFAST_VERSION,
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.get_ready = plugin_get_ready,
	.after_fork = plugin_after_fork,
	.cleanup = plugin_cleanup,
	.list_exports = plugin_list_exports,
	.open = plugin_open,
	.close = plugin_close,
	.get_size = plugin_get_size,
	.block_size = plugin_block_size,
	.can_write = plugin_can_write,
	.can_multi_conn = plugin_can_multi_conn,
	.can_fua = plugin_can_fua,
	.pread = plugin_pread,
	.pwrite = plugin_pwrite,
	.flush = plugin_flush,
	.zero = plugin_zero,
	.trim = plugin_trim,
};

struct nbdkit_plugin *plugin_init(void);

NBDKIT_REGISTER_PLUGIN(plugin)
