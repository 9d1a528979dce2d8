/*
 * boot.h - what a restored machine needs besides its bytes to start.
 *
 * On UEFI: the boot entries that the point knows, saying where their partitions are
 * now; without any, entries for the loaders on the restored ESP.
 */
#ifndef RESCUE_BOOT_H
#define RESCUE_BOOT_H

#include "agent/disk/disk_plan.h"
#include "proto/layout/layout.h"
#include "rescue/nvram.h"

struct err;

/* A disk that was restored. */
struct boot_disk {
	const struct disk_plan *plan;
	const char *device; /* "/dev/sda" */
};

/*
 * Is the firmware of the machine another kind than the point's system starts from?
 * Non-zero with one line in `why`.  What the point does not say is told from its
 * disks.
 */
int boot_foreign(const struct layout *l, int uefi, char why[200]);

/*
 * The point's boot entries, moved; those whose partition was not restored are left
 * out.  Their number; at most NVRAM_ENTRIES_MAX.  Pure.
 */
unsigned boot_saved(const struct layout *l, const struct boot_disk *disks, unsigned n,
    struct nvram_entry out[NVRAM_ENTRIES_MAX]);

/* Where the first ESP of the restored disks is: its partition in the layout, or -1. */
int boot_esp(
    const struct layout *l, const struct boot_disk *disks, unsigned n, unsigned *disk);

struct boot_job {
	const struct layout *layout;
	const struct boot_disk *disks;
	unsigned disks_count;
	const char *efivars; /* The directory. */
	const char *esp;     /* Mounted already; NULL: mount it. */
	int fallback_loader;
	void (*say)(void *arg, const char *line);
	void *say_arg;
};

/* Write them.  A machine that starts without is no failure: what was not done is said. */
void boot_make(const struct boot_job *job);

#endif /* RESCUE_BOOT_H */
