/*
 * ntfs_mount.h - the files of an NTFS volume that is being restored, for a moment.
 *
 * A view of the partition (view.h) mounted by ntfs-3g, a child program (package
 * ntfs-3g), in a directory of our own.
 */
#ifndef RESCUE_NTFS_MOUNT_H
#define RESCUE_NTFS_MOUNT_H

#include <stdint.h>

struct err;
struct ntfs_mount;
struct target;

/*
 * Mount the volume in `window` (borrowed), of `length` bytes.  For writing it must
 * have been left clean: ERR_UNSUPPORTED.
 */
int ntfs_mount_open(struct target *window, uint64_t length, int writable,
    struct ntfs_mount **out, struct err *err);

/* The directory. */
const char *ntfs_mount_path(const struct ntfs_mount *m);

/* Unmount, and be sure that all is written.  Frees it in any case. */
int ntfs_mount_close(struct ntfs_mount *m, struct err *err);

#endif /* RESCUE_NTFS_MOUNT_H */
