#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture_disks.h"
#include "agent/disk/device.h"
#include "agent/disk/volumes.h"
#include "proto/base/err.h"

static int
read_disk(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return device_read(arg, offset, buf, len, err);
}

static void
close_disk(void *arg)
{
	device_close(arg);
}

static int
add_piece(const struct volumes *v, const struct volumes_volume *one, const char *exclude,
    const char *provider, struct capture_disk *out, struct err *err)
{
	struct capture_piece *piece = &out->pieces[out->count];
	int left_out = volumes_listed(v, exclude, one, err);

	if (left_out < 0)
		return -1;
	if (out->count == LAYOUT_PARTITIONS_MAX)
		return err_set(err, ERR_LIMIT, "more volumes on a disk than %u",
		    LAYOUT_PARTITIONS_MAX);
	if (one->bitlocker == VOLUMES_LOCKED && !left_out)
		return err_set(err, ERR_DENIED,
		    "%s is locked by BitLocker: unlock it, or leave it out (exclude)",
		    volumes_shown(one));
	memset(piece, 0, sizeof(*piece));
	(void)snprintf(piece->path, sizeof(piece->path), "%s", one->guid);
	(void)snprintf(piece->shown, sizeof(piece->shown), "%.70s", volumes_shown(one));
	piece->offset = one->extents[0].offset;
	piece->left_out = left_out;
	piece->decrypted = one->bitlocker == VOLUMES_UNLOCKED;
	piece->live = strcmp(provider, "offline") != 0 && !volumes_freezable(one);
	out->count++;
	return 0;
}

static int
add_pieces(const char *path, const char *exclude, const char *provider,
    struct capture_disk *out, struct err *err)
{
	struct volumes *v;
	uint32_t number = 0;
	int rc = 0;

	if (!device_number(out->arg, &number))
		return err_set(
		    err, ERR_UNSUPPORTED, "%s does not say which disk it is", path);
	if (volumes_list(&v, err) != 0)
		return -1;
	for (unsigned i = 0; i < v->count && rc == 0; i++) {
		const struct volumes_extent *e = volumes_piece(&v->volumes[i]);

		if (e != NULL && e->disk == number)
			rc = add_piece(v, &v->volumes[i], exclude, provider, out, err);
	}
	volumes_free(v);
	return rc;
}

static int
open_disk(const char *path, const char *exclude, const char *provider,
    struct capture_disk *out, struct err *err)
{
	struct device *d;

	if (device_path_kind(path) != DEVICE_DISK)
		return 0;
	memset(out, 0, sizeof(*out));
	if (device_open(path, 0, &d, err) != 0)
		return -1;
	out->read = read_disk;
	out->close = close_disk;
	out->arg = d;
	out->size = device_size(d);
	out->sector_size = device_sector_size(d);
	if (add_pieces(path, exclude, provider, out, err) == 0)
		return 1;
	device_close(d);
	return -1;
}

const struct capture_disks capture_disks_system = { open_disk };
