/*
 * target_check.h - who else holds a file that is about to be written.
 */
#ifndef AGENT_TARGET_CHECK_H
#define AGENT_TARGET_CHECK_H

#include <sys/stat.h>

struct err;

/* The loop device that the file or device backs, if any: ERR_BUSY. */
int target_check_loop(const char *path, const struct stat *file, struct err *err);

/* A mount whose source is this device, by whatever file system: ERR_BUSY. */
int target_check_mounts(const char *path, dev_t device, struct err *err);

#endif /* AGENT_TARGET_CHECK_H */
