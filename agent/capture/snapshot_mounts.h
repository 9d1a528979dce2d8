/*
 * snapshot_mounts.h - is a device or a plain file mounted?  POSIX (Linux) only.
 */
#ifndef AGENT_CAPTURE_SNAPSHOT_MOUNTS_H
#define AGENT_CAPTURE_SNAPSHOT_MOUNTS_H

#include <sys/types.h>

struct err;

enum snapshot_mounts {
	SNAPSHOT_MOUNTS_NONE,
	SNAPSHOT_MOUNTS_READ_ONLY,
	SNAPSHOT_MOUNTS_WRITING
};

/* How this block device is mounted: one of the above, or -1 if that cannot be told. */
int snapshot_mounts_device(dev_t dev, struct err *err);

/*
 * The same for a plain file by its device and inode: mounted by a FUSE file
 * system that names it as its source (ntfs-3g), or through a loop device.
 */
int snapshot_mounts_file(dev_t dev, ino_t ino, struct err *err);

#endif /* AGENT_CAPTURE_SNAPSHOT_MOUNTS_H */
