/*
 * target_place.h - which volumes and disks of a running Windows may be written over.
 *
 * Windows only.
 */
#ifndef AGENT_DISK_TARGET_PLACE_H
#define AGENT_DISK_TARGET_PLACE_H

#include <stdint.h>

struct device;
struct err;

/*
 * What the volume or disk is called for good, malloc'ed, if `path` names one: "D:", a
 * mount point, a volume's GUID, \\.\PhysicalDrive1.  NULL if it names none.
 */
char *target_place_device(const char *path);

/*
 * ERR_BUSY where the device is, or is a disk with a part of, the volume of the running
 * Windows, of its boot files, of a page file, or of the directory `dir` (may be NULL).
 * What cannot be looked up is left to the lock, which such volumes refuse.
 */
int target_place_refuse(const char *device, const char *dir, struct err *err);

/* Is `device` the same as `volume`, or a disk that it has a part on? */
int target_place_shares(const char *device, const char *volume);

/* Is the file `path`, which need not exist, on `device` or on a volume with a part there? */
int target_place_holds(const char *device, const char *path);

/*
 * Call `each` with the GUID path of every volume that lies on that disk, also in part,
 * until it returns non-zero: returns that or 0.
 */
int target_place_volumes(uint32_t disk,
    int (*each)(void *arg, const char *volume, struct err *err), void *arg,
    struct err *err);

#endif /* AGENT_DISK_TARGET_PLACE_H */
