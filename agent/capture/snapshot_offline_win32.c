/*
 * The offline provider on Windows: a volume that we have alone, or a plain file that
 * nobody may write meanwhile.  Nothing is copied; the frozen view is the source itself.
 * The lock is the open handle's: however the process ends, the volume is free again.
 */
#include <windows.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot_provider.h"
#include "agent/capture/tracking_store.h"
#include "agent/disk/device.h"
#include "agent/disk/target_place.h"
#include "proto/base/err.h"

#define IN_USE "offline (what is in use needs provider = vss)"

/* From 1601-01-01 to 1970-01-01. */
#define EPOCH_US 11644473600000000ll

struct offline {
	struct device *dev;
	struct device_look frozen;
	char *path;
};

static void
offline_close(void *volume)
{
	struct offline *v = volume;

	device_close(v->dev);
	free(v->path);
	free(v);
}

static int
check_size(const struct offline *v, struct err *err)
{
	uint64_t size = device_size(v->dev);
	uint32_t sector = device_sector_size(v->dev);

	if (size == 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s is empty: there is nothing to back up", v->path);
	if (size % sector != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s has %" PRIu64 " bytes, which is no whole number of %" PRIu32
		    "-byte sectors",
		    v->path, size, sector);
	return 0;
}

/* Windows does not let go of what it runs from: no need to wait until that is clear. */
static int
refuse_running(const struct offline *v, struct err *err)
{
	char *device = target_place_device(v->path);
	struct err why = ERR_INIT;
	int rc = device != NULL ? target_place_refuse(device, NULL, &why) : 0;

	free(device);
	if (rc == 0)
		return 0;
	return err_set(err, ERR_BUSY,
	    "%s: Windows runs, starts or pages from it, so nobody has it alone: back it "
	    "up "
	    "with provider = vss",
	    v->path);
}

static int
take(struct offline *v, struct err *err)
{
	if (device_path_kind(v->path) == DEVICE_VOLUME && refuse_running(v, err) != 0)
		return -1;
	if (device_open(v->path, DEVICE_ALONE, &v->dev, err) != 0)
		return -1;
	if (device_kind(v->dev) == DEVICE_DISK)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s is a whole disk, which cannot be locked: back it up as a disk, "
		    "or "
		    "its volumes",
		    v->path);
	return check_size(v, err);
}

static int
offline_add(void *set, const char *path, void **volume, struct err *err)
{
	struct offline *v = calloc(1, sizeof(*v));

	(void)set;
	if (v == NULL || (v->path = _strdup(path)) == NULL) {
		free(v);
		return err_set(err, ERR_NOMEM, "no memory to open %s", path);
	}
	if (take(v, err) != 0) {
		offline_close(v);
		return -1;
	}
	*volume = v;
	return 0;
}

static int
offline_same(const void *volume, const void *other)
{
	const struct offline *a = volume, *b = other;

	return device_same(a->dev, b->dev);
}

/* The file system has written all it held, and its log is as after a clean shutdown. */
static int
have_alone(struct offline *v, uint32_t timeout_ms, struct err *err)
{
	/* A file of ours that is open there is enough to refuse the lock. */
	if (device_kind(v->dev) == DEVICE_VOLUME)
		tracking_store_drop(v->path);
	if (device_lock(v->dev, timeout_ms, err) != 0)
		return err->code == ERR_BUSY
			   ? err_context(err, "offline (what is in use needs "
					      "provider = vss)")
			   : -1;
	return device_dismount(v->dev, err);
}

static int64_t
now_us(void)
{
	FILETIME t;

	GetSystemTimeAsFileTime(&t);
	return (int64_t)((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) / 10 -
	       EPOCH_US;
}

static int
offline_freeze(void *set, void **volumes, size_t count, uint32_t timeout_ms,
    struct snapshot_info *infos, struct err *err)
{
	int64_t now;

	(void)set;
	for (size_t i = 0; i < count; i++)
		if (have_alone(volumes[i], timeout_ms, err) != 0)
			return -1;
	now = now_us();
	for (size_t i = 0; i < count; i++) {
		struct offline *v = volumes[i];

		if (device_look(v->dev, &v->frozen, err) != 0 || check_size(v, err) != 0)
			return -1;
		infos[i].size = v->frozen.size;
		infos[i].sector_size = device_sector_size(v->dev);
		infos[i].grade = SNAPSHOT_EXCLUSIVE;
		infos[i].frozen_at = now;
	}
	return 0;
}

static int
offline_read(void *volume, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct offline *v = volume;

	return device_read(v->dev, offset, buf, len, err);
}

/* A volume is ours until it is closed; that it still has its size says that it is there.
 */
static int
offline_confirm(void *volume, struct err *err)
{
	struct offline *v = volume;
	struct device_look now;

	if (device_look(v->dev, &now, err) != 0)
		return -1;
	if (memcmp(&now, &v->frozen, sizeof(now)) != 0)
		return err_set(err, ERR_SNAPSHOT_LOST,
		    "%s: the source changed while it was read", v->path);
	return 0;
}

const struct snapshot_provider snapshot_offline = {
	.name = "offline",
	.add = offline_add,
	.same = offline_same,
	.freeze = offline_freeze,
	.read = offline_read,
	.confirm = offline_confirm,
	.close = offline_close,
};
