#define _GNU_SOURCE /* makedev */
#include "agent/capture/capture_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/disk/disk_identity.h"
#include "proto/layout/layout.h"

int
capture_device_is(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* The first line of a file of the device, without spaces at its ends; or "". */
static void
attribute(dev_t dev, const char *name, char *out, size_t cap)
{
	char path[128], line[256];
	const char *from = line;
	size_t n;
	FILE *f;

	out[0] = line[0] = '\0';
	(void)snprintf(
	    path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), name);
	if ((f = fopen(path, "re")) == NULL)
		return;
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	(void)fclose(f);
	while (*from == ' ')
		from++;
	n = strcspn(from, "\n");
	while (n > 0 && from[n - 1] == ' ')
		n--;
	if (n >= cap)
		n = cap - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
	out[n] = '\0';
}

void
capture_device_describe(const char *path, struct layout_disk *d)
{
	char number[32], dir[64];
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISBLK(st.st_mode))
		return;
	attribute(st.st_rdev, "queue/physical_block_size", number, sizeof(number));
	d->physical_size = (uint32_t)strtoul(number, NULL, 10);
	(void)snprintf(dir, sizeof(dir), "/sys/dev/block/%u:%u", major(st.st_rdev),
	    minor(st.st_rdev));
	disk_identity_read(dir, d->model, d->serial);
}
