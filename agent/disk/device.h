/*
 * device.h - bytes of a Windows volume, disk, snapshot device or plain file.
 *
 * Windows only.  Reads and writes go past the system's cache: what is read is what
 * lies on the medium, and an image of 2 TB does not push out what the host needs.  A
 * large range is cut into pieces, of which at least DEVICE_DEPTH are under way at once.
 *
 *	device_open -> device_lock, device_dismount -> device_read, device_write ...
 *	    -> device_flush -> device_close
 *
 * Any number of threads may read, write and ask; lock, dismount and close are the
 * owner's.  Whatever ends the process ends locks, too.
 */
#ifndef AGENT_DISK_DEVICE_H
#define AGENT_DISK_DEVICE_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define DEVICE_DEPTH 8u		   /* Requests under way of one large range. */
#define DEVICE_PIECE (128u * 1024) /* Bytes of one request. */

/* Flags of device_open(). */
#define DEVICE_WRITE 1u /* For reading and writing; else reading alone. */
#define DEVICE_ALONE 2u /* Of a plain file: nobody may write it meanwhile. */
#define DEVICE_LOOK                                                               \
	4u /* Of a device, only for device_ask() and the like: no bytes, no size; \
	    * also of a locked BitLocker volume. */

struct device;

enum device_kind {
	DEVICE_FILE,
	DEVICE_VOLUME,	/* \\.\C:, \\?\Volume{...}, \\.\HarddiskVolume3 */
	DEVICE_DISK,	/* \\.\PhysicalDrive0 */
	DEVICE_SNAPSHOT /* \\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy4 */
};

/* What `path` names by its form alone; nothing is opened.  (device_path.c, portable.) */
enum device_kind device_path_kind(const char *path);

/*
 * `path` as CreateFile() wants it: "C:" and "C:\" become "\\.\C:", a volume loses its
 * last
 * '\', "//./" is "\\.\"; a file's path stays.  ERR_LIMIT: longer than `cap`.
 */
int device_path(const char *path, char *out, size_t cap, struct err *err);

/*
 * Open by a UTF-8 path: a device's as above ("C:" and a trailing '\' are understood), or
 * a file's.  ERR_NOTFOUND; ERR_DENIED (no administrator, a locked BitLocker volume);
 * ERR_BUSY (someone holds it); ERR_UNSUPPORTED (its size or sectors cannot be told).
 */
int device_open(const char *path, unsigned flags, struct device **out, struct err *err);

enum device_kind device_kind(const struct device *d);

/* Bytes, as the system told last (device_look()); of a file its length. */
uint64_t device_size(const struct device *d);

/* Logical and physical sectors, bytes; of a file 512 and 0. */
uint32_t device_sector_size(const struct device *d);
uint32_t device_physical_size(const struct device *d);

/* What shows that a source has changed: compare with memcmp(). */
struct device_look {
	uint64_t size;	  /* Bytes. */
	uint64_t written; /* Files: time of the last write, in 100 ns.  Devices: 0. */
	uint64_t changed; /* Files: of the last change of any kind.  Devices: 0. */
};
int device_look(struct device *d, struct device_look *out, struct err *err);

/* Non-zero if both are one file or one volume or one disk, whatever their paths are. */
int device_same(struct device *a, struct device *b);

/* N of \\.\PhysicalDriveN: of a disk, or of the only one that a volume lies on: 1, or 0.
 */
int device_number(struct device *d, uint32_t *number);

/*
 * Exactly `len` bytes at byte `offset`, both of any alignment.  ERR_LIMIT: past the
 * end.  ERR_SNAPSHOT_LOST: the device is gone, or the file became shorter.  ERR_IO: this
 * range could not be read; others may be.
 */
int
device_read(struct device *d, uint64_t offset, void *buf, size_t len, struct err *err);

/*
 * As device_read(), the other way; ERR_NOSPACE.  Of a range that does not end with a
 * sector the rest of the sector is read first: two threads must not share one.  A file
 * grows by file.h, not here.
 */
int device_write(
    struct device *d, uint64_t offset, const void *buf, size_t len, struct err *err);

/* What was written is on the medium. */
int device_flush(struct device *d, struct err *err);

/*
 * Have a volume alone: FSCTL_LOCK_VOLUME, tried again with growing waits for
 * `timeout_ms`. ERR_BUSY: files on it are open.  device_unlock(), device_close() and the
 * end of the process release it.  Nothing to do for other kinds.
 */
int device_lock(struct device *d, uint32_t timeout_ms, struct err *err);
void device_unlock(struct device *d);

/*
 * The file system lets go of a locked volume, and mounts it anew when it is used after
 * the lock.  Not sent under Wine, whose would unmount the host's device.
 */
int device_dismount(struct device *d, struct err *err);

/*
 * DeviceIoControl(): `*got` (may be NULL) becomes the bytes in `out`.  0, or what
 * GetLastError() said.
 */
unsigned long device_control(struct device *d, unsigned long code, const void *in,
    size_t in_len, void *out, size_t cap, size_t *got);

/*
 * device_control() without input, of an answer whose length nobody knows: malloc'ed.
 * 0, or what GetLastError() said.
 */
unsigned long
device_ask(struct device *d, unsigned long code, uint8_t **out, size_t *got);

/* Does the answer mean that this system or device has no such call? */
int device_lacks(unsigned long error);

/* Closes, unlocks, frees.  NULL is allowed. */
void device_close(struct device *d);

#endif /* AGENT_DISK_DEVICE_H */
