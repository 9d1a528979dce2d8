#include "agent/capture/capture_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "agent/disk/volumes.h"
#include "agent/disk/volumes_parts_win32.h"
#include "proto/base/err.h"

int
capture_device_is(const char *path)
{
	return device_path_kind(path) != DEVICE_FILE;
}

void
capture_device_describe(const char *path, struct layout_disk *d)
{
	struct volumes_disk *disk;
	struct err ignored = ERR_INIT;
	struct device *dev;

	if (device_path_kind(path) == DEVICE_FILE ||
	    device_open(path, 0, &dev, &ignored) != 0)
		return;
	if ((disk = calloc(1, sizeof(*disk))) != NULL) {
		volumes_describe(dev, disk);
		d->physical_size = disk->physical_size;
		memcpy(d->model, disk->model, sizeof(d->model));
		memcpy(d->serial, disk->serial, sizeof(d->serial));
	}
	free(disk);
	device_close(dev);
}
