/*
 * capture_disks.h - disks in use, whose volumes are frozen one by one.
 *
 * A running Windows cannot freeze \\.\PhysicalDrive0.  What lies on it and is a volume is
 * read from a snapshot, all in one set; the rest is read live (twice.h).  Linux, and
 * image files everywhere, freeze a disk as one: there open() says so.
 */
#ifndef AGENT_CAPTURE_CAPTURE_DISKS_H
#define AGENT_CAPTURE_CAPTURE_DISKS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/layout/layout.h"

struct err;

/* A volume that is one piece of the disk. */
struct capture_piece {
	char path[128];	 /* For snapshot_add(). */
	char shown[80];	 /* For people. */
	uint64_t offset; /* Bytes of the disk. */
	int left_out;	 /* By wish: it is not read. */
	int decrypted;	 /* By BitLocker, when it is read; on the disk it is not. */
	int live;	 /* Nothing freezes its file system: read live, too. */
};

struct capture_disk {
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void (*close)(void *arg);
	void *arg;
	uint64_t size;
	uint32_t sector_size;
	unsigned count;
	struct capture_piece pieces[LAYOUT_PARTITIONS_MAX];
};

struct capture_disks {
	/*
	 * 1 and `out`; 0: what is at `path` is frozen as one; -1.  `exclude`: words of
	 * agent.conf; `provider`: who freezes.
	 */
	int (*open)(const char *path, const char *exclude, const char *provider,
	    struct capture_disk *out, struct err *err);
};

/* This system's. */
extern const struct capture_disks capture_disks_system;

#endif /* AGENT_CAPTURE_CAPTURE_DISKS_H */
