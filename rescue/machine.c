#include "rescue/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/disk/disk_identity.h"
#include "agent/host/progress.h"
#include "proto/base/err.h"

#define SECTOR 512u	   /* The unit of sysfs' `size`, whatever the disk's sector is. */
#define CD_MAGIC_AT 32769u /* "CD001" of ISO 9660. */

/* -------------------------------------------------------------- sysfs files -- */

/* Up to `room` bytes of `<dir>/<name>`; 0 if there is none. */
static size_t
read_file(const char *dir, const char *name, void *out, size_t room)
{
	char path[MACHINE_PATH_MAX];
	ssize_t n = 0;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    (fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
		return 0;
	n = read(fd, out, room);
	close(fd);
	return n > 0 ? (size_t)n : 0;
}

static uint64_t
read_number(const char *dir, const char *name)
{
	char raw[32];
	size_t n = read_file(dir, name, raw, sizeof(raw) - 1);

	raw[n] = '\0';
	return strtoull(raw, NULL, 10);
}

/* ------------------------------------------------------------------- a disk -- */

static int
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static const char *
bus_of(const char *dir, const char *name)
{
	char link[MACHINE_PATH_MAX];
	ssize_t n = readlink(dir, link, sizeof(link) - 1);

	link[n > 0 ? n : 0] = '\0';
	if (strstr(link, "/usb") != NULL)
		return "usb";
	if (begins(name, "nvme"))
		return "nvme";
	if (begins(name, "vd"))
		return "virtio";
	if (begins(name, "xvd"))
		return "xen";
	if (begins(name, "mmcblk"))
		return "mmc";
	return strstr(link, "/ata") != NULL ? "sata" : "scsi";
}

/* Kinds of block devices that nobody boots from, and the parts of others. */
static int
is_no_disk(const char *dir, const char *name)
{
	static const char *const kinds[] = { "loop", "ram", "zram", "sr", "fd", "dm-",
		"md", "nbd", "mtdblock", "pmem" };
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (begins(name, kinds[i]))
			return 1;
	if (begins(name, "mmcblk") && (strstr(name, "boot") || strstr(name, "rpmb")))
		return 1;
	/* One path of several to an NVMe namespace. */
	return read_number(dir, "hidden") != 0 || read_number(dir, "size") == 0;
}

static int
holds_cd(const char *dev, const char *name)
{
	char path[MACHINE_PATH_MAX], magic[5];
	int fd, found;

	if (snprintf(path, sizeof(path), "%s/%s", dev, name) >= (int)sizeof(path) ||
	    (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	found = pread(fd, magic, sizeof(magic), CD_MAGIC_AT) == (ssize_t)sizeof(magic) &&
		memcmp(magic, "CD001", sizeof(magic)) == 0;
	close(fd);
	return found;
}

static void
read_disk(const char *dir, const char *dev, const char *name, struct machine_disk *d)
{
	memset(d, 0, sizeof(*d));
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->size = read_number(dir, "size") * SECTOR;
	d->sector_size = (uint32_t)read_number(dir, "queue/logical_block_size");
	d->physical_size = (uint32_t)read_number(dir, "queue/physical_block_size");
	if (d->sector_size == 0)
		d->sector_size = SECTOR;
	d->rotational = read_number(dir, "queue/rotational") != 0;
	d->removable = read_number(dir, "removable") != 0;
	d->readonly = read_number(dir, "ro") != 0;
	d->sequence = read_number(dir, "diskseq");
	d->bus = bus_of(dir, name);
	disk_identity_read(dir, d->model, d->serial);
	/* A disk that had an ISO written over it once is no medium: those are pulled. */
	d->medium = (d->removable || strcmp(d->bus, "usb") == 0) && holds_cd(dev, name);
}

/* sda before sdb before sdaa; nvme2n1 before nvme10n1. */
static int
by_name(const void *a, const void *b)
{
	const struct machine_disk *x = a, *y = b;
	size_t m = strlen(x->name), n = strlen(y->name);

	if (m != n)
		return m < n ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* ------------------------------------------------------------------ the whole -- */

static int
read_disks(const char *sys, const char *dev, struct machine *m, struct err *err)
{
	char block[MACHINE_PATH_MAX], dir[MACHINE_PATH_MAX];
	struct dirent *e;
	int rc = 0;
	DIR *d;

	if (snprintf(block, sizeof(block), "%s/block", sys) >= (int)sizeof(block) ||
	    (d = opendir(block)) == NULL)
		return err_os(err, errno, "%s/block", sys);
	while (rc == 0 && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || strlen(e->d_name) >= MACHINE_NAME_MAX ||
		    snprintf(dir, sizeof(dir), "%s/%s", block, e->d_name) >=
			(int)sizeof(dir) ||
		    is_no_disk(dir, e->d_name))
			continue;
		if (m->disks_count == MACHINE_DISKS_MAX)
			rc = err_set(err, ERR_LIMIT,
			    "this machine has more than %u disks", MACHINE_DISKS_MAX);
		else
			read_disk(dir, dev, e->d_name, &m->disks[m->disks_count++]);
	}
	closedir(d);
	qsort(m->disks, m->disks_count, sizeof(m->disks[0]), by_name);
	return rc;
}

static int
parse_mac(const char *text, uint8_t out[6])
{
	unsigned b[6], i;
	char end;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x %c", &b[0], &b[1], &b[2], &b[3], &b[4],
		&b[5], &end) != 6)
		return 0;
	for (i = 0; i < 6; i++)
		out[i] = (uint8_t)b[i];
	return (b[0] | b[1] | b[2] | b[3] | b[4] | b[5]) != 0;
}

/* The bit that says "locally administered" decides before the number does. */
static int
by_maker(const void *a, const void *b)
{
	const uint8_t *x = a, *y = b;

	if ((x[0] & 2) != (y[0] & 2))
		return (x[0] & 2) != 0 ? 1 : -1;
	return memcmp(x, y, 6);
}

/* Makers who do not number their boards leave these. */
static void
read_uuid(const char *sys, char out[MACHINE_UUID_MAX])
{
	static const char *const worthless[] = { "00000000-0000-0000-0000-000000000000",
		"ffffffff-ffff-ffff-ffff-ffffffffffff",
		"03000200-0400-0500-0006-000700080009",
		"12345678-1234-5678-90ab-cddeefaabbcc" };
	size_t n, i;

	n = read_file(sys, MACHINE_UUID_PATH, out, MACHINE_UUID_MAX - 1);
	out[n] = '\0';
	out[strcspn(out, " \r\n")] = '\0';
	for (i = 0; i < sizeof(worthless) / sizeof(worthless[0]); i++)
		if (strcasecmp(out, worthless[i]) == 0)
			out[0] = '\0';
}

/* Cards only: bridges and the like have no device under them. */
static void
read_macs(const char *sys, struct machine *m)
{
	char net[MACHINE_PATH_MAX], dir[MACHINE_PATH_MAX], text[32];
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (snprintf(net, sizeof(net), "%s/class/net", sys) >= (int)sizeof(net) ||
	    (d = opendir(net)) == NULL)
		return;
	while (m->macs_count < MACHINE_MACS_MAX && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' ||
		    snprintf(dir, sizeof(dir), "%s/%s/device", net, e->d_name) >=
			(int)sizeof(dir) ||
		    stat(dir, &st) != 0)
			continue;
		dir[strlen(dir) - strlen("/device")] = '\0';
		text[read_file(dir, "address", text, sizeof(text) - 1)] = '\0';
		if (parse_mac(text, m->macs[m->macs_count]))
			m->macs_count++;
	}
	closedir(d);
	qsort(m->macs, m->macs_count, sizeof(m->macs[0]), by_maker);
}

int
machine_read(const char *sys, const char *dev, struct machine *out, struct err *err)
{
	char efi[MACHINE_PATH_MAX];
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (read_disks(sys, dev, out, err) != 0)
		return -1;
	read_macs(sys, out);
	read_uuid(sys, out->uuid);
	out->uefi =
	    snprintf(efi, sizeof(efi), "%s/firmware/efi", sys) < (int)sizeof(efi) &&
	    stat(efi, &st) == 0;
	return 0;
}

int
machine_find(const struct machine *m, const char *name)
{
	unsigned i;

	for (i = 0; i < m->disks_count; i++)
		if (strcmp(m->disks[i].name, name) == 0)
			return (int)i;
	return -1;
}

int
machine_still(
    const char *sys, const char *dev, const struct machine_disk *d, struct err *err)
{
	char dir[MACHINE_PATH_MAX];
	struct machine_disk now;

	if (snprintf(dir, sizeof(dir), "%s/block/%s", sys, d->name) >= (int)sizeof(dir) ||
	    is_no_disk(dir, d->name))
		return err_set(err, ERR_NOTFOUND,
		    "%s is gone: nothing was written to it; look at the disks again",
		    d->name);
	read_disk(dir, dev, d->name, &now);
	if (now.sequence == d->sequence && now.size == d->size &&
	    now.sector_size == d->sector_size && strcmp(now.model, d->model) == 0 &&
	    strcmp(now.serial, d->serial) == 0)
		return 0;
	return err_set(err, ERR_NOTFOUND,
	    "%s is another disk now than the one that was chosen: nothing was written to "
	    "it; look at the disks again",
	    d->name);
}

void
machine_describe(const struct machine_disk *d, char out[MACHINE_TEXT_MAX])
{
	char size[24];

	progress_bytes(d->size, size);
	snprintf(out, MACHINE_TEXT_MAX, "%s  %s  %s%s%s%s%s%s%s%s", d->name, size, d->bus,
	    d->rotational ? "" : " ssd", d->model[0] != '\0' ? "  " : "", d->model,
	    d->serial[0] != '\0' ? "  serial " : "", d->serial,
	    d->removable ? "  removable" : "", d->readonly ? "  read-only" : "");
}
