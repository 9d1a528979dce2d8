/*
 * volumes_parts_win32.h - the two halves of volumes_list(): volumes_win32.c and
 * volumes_disks_win32.c.
 */
#ifndef AGENT_DISK_VOLUMES_PARTS_WIN32_H
#define AGENT_DISK_VOLUMES_PARTS_WIN32_H

struct device;
struct err;
struct volumes;
struct volumes_disk;

/* Fill in v's disks. */
int volumes_take_disks(struct volumes *v, struct err *err);

/* What the system tells of the open disk: sizes, model, serial, bus, offline. */
void volumes_describe(struct device *d, struct volumes_disk *out);

#endif /* AGENT_DISK_VOLUMES_PARTS_WIN32_H */
