/*
 * machine.h - what the machine under us has: disks, firmware, network cards.
 *
 * Read from a directory like /sys, so that a test can be a machine.
 */
#ifndef RESCUE_MACHINE_H
#define RESCUE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/layout/layout.h"

struct err;

#define MACHINE_DISKS_MAX 64u
#define MACHINE_MACS_MAX 16u
#define MACHINE_NAME_MAX 64u
#define MACHINE_PATH_MAX 4096u
#define MACHINE_TEXT_MAX 320u
#define MACHINE_UUID_MAX 48u
#define MACHINE_UUID_PATH "class/dmi/id/product_uuid" /* Below `sys`. */

struct machine_disk {
	char name[MACHINE_NAME_MAX]; /* "sda" */
	uint64_t size;		     /* Bytes. */
	uint32_t sector_size, physical_size;
	char model[LAYOUT_NAME_MAX], serial[LAYOUT_NAME_MAX]; /* "": not known. */
	const char *bus;				      /* "sata"; static. */
	int rotational, removable, readonly;
	int medium;	   /* An image of a CD lies on it: what we came from, surely. */
	uint64_t sequence; /* The kernel never gives it to two disks or media; 0: none. */
};

struct machine {
	int uefi;
	unsigned disks_count;
	struct machine_disk disks[MACHINE_DISKS_MAX]; /* By name, as people sort. */
	/* Of the mainboard; "": it has none, or one that is not its alone. */
	char uuid[MACHINE_UUID_MAX];
	unsigned macs_count;
	uint8_t macs[MACHINE_MACS_MAX][6]; /* Those that a maker gave first. */
};

/*
 * Look around.  `sys` is "/sys" or a directory like it, `dev` "/dev", likewise.  What
 * cannot hold a system (loops, RAM disks, CDs, floppies, device mapper, disks without
 * a medium) is left out.  ERR_IO, ERR_LIMIT (more disks than fit).
 */
int machine_read(const char *sys, const char *dev, struct machine *out, struct err *err);

/* Disk called `name`: its index, or -1. */
int machine_find(const struct machine *m, const char *name);

/*
 * Is what is called d->name now still the disk that `d` was read from?  A name goes to
 * another disk as soon as it is free.  ERR_NOTFOUND.
 */
int machine_still(
    const char *sys, const char *dev, const struct machine_disk *d, struct err *err);

/* "sda  931.5 GiB  sata  Samsung SSD 870  serial S5Y..."; for people. */
void machine_describe(const struct machine_disk *d, char out[MACHINE_TEXT_MAX]);

#endif /* RESCUE_MACHINE_H */
