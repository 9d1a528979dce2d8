#include <stdlib.h>

#include "agent/disk/device.h"
#include "agent/disk/target_place.h"
#include "agent/restore/disk_restore.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

static int
measure_device(const char *place, uint64_t *size, uint32_t *sector_size, struct err *err)
{
	struct device *d;

	if (device_open(place, 0, &d, err) != 0)
		return -1;
	*size = device_size(d);
	*sector_size = device_sector_size(d);
	device_close(d);
	return 0;
}

int
disk_restore_measure(
    const char *path, uint64_t *size, uint32_t *sector_size, struct err *err)
{
	char *place = target_place_device(path);
	enum file_kind kind;
	struct file *f;
	int rc;

	*size = 0;
	*sector_size = 0;
	if (place != NULL) {
		rc = measure_device(place, size, sector_size, err);
		free(place);
		return rc;
	}
	if (file_kind(path, &kind, err) != 0)
		return -1;
	if (kind == FILE_IS_NOTHING)
		return 0;
	if (file_open(path, 0, &f, err) != 0)
		return -1;
	rc = file_size(f, size, err);
	file_close(f);
	return rc;
}
