#include "agent/disk/disk_identity.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define PATH_LEN 4096
#define VPD_HEADER_LEN 4u /* Of page 0x80, unit serial number. */

static size_t
read_file(const char *dir, const char *name, char *out, size_t room)
{
	char path[PATH_LEN];
	ssize_t n;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	n = read(fd, out, room);
	close(fd);
	return n > 0 ? (size_t)n : 0;
}

/* A page's length says how much is padding; blanks and NULs are that too. */
static void
tidy(const char *p, size_t len, char out[LAYOUT_NAME_MAX])
{
	size_t i, n = 0;

	for (i = 0; i < len && p[i] != '\0' && n < LAYOUT_NAME_MAX - 1; i++) {
		if ((unsigned char)p[i] > ' ' && (unsigned char)p[i] < 127)
			out[n++] = p[i];
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

static int
read_text(const char *dir, const char *name, char out[LAYOUT_NAME_MAX])
{
	char raw[256];

	tidy(raw, read_file(dir, name, raw, sizeof(raw)), out);
	return out[0] != '\0';
}

void
disk_identity_read(
    const char *dir, char model[LAYOUT_NAME_MAX], char serial[LAYOUT_NAME_MAX])
{
	char page[256];
	size_t n;

	(void)read_text(dir, "device/model", model);
	/* Virtio has it beside the disk, NVMe and MMC at the device, SCSI and ATA in a
	 * page of vital product data. */
	if (read_text(dir, "serial", serial) || read_text(dir, "device/serial", serial))
		return;
	n = read_file(dir, "device/vpd_pg80", page, sizeof(page));
	if (n > VPD_HEADER_LEN)
		tidy(page + VPD_HEADER_LEN, n - VPD_HEADER_LEN, serial);
}
