/*
 * disk_identity.h - what a disk calls itself: read alike when it is backed up and when
 * a disk for it is sought, or a serial would not be found again.  Linux only.
 */
#ifndef AGENT_DISK_DISK_IDENTITY_H
#define AGENT_DISK_DISK_IDENTITY_H

#include "proto/layout/layout.h"

/*
 * Of the block device whose directory in sysfs is `dir` ("/sys/block/sda",
 * "/sys/dev/block/8:0"): its model and serial, printable, blanks at the ends gone and
 * single inside; "" if the system does not know.
 */
void disk_identity_read(
    const char *dir, char model[LAYOUT_NAME_MAX], char serial[LAYOUT_NAME_MAX]);

#endif /* AGENT_DISK_DISK_IDENTITY_H */
