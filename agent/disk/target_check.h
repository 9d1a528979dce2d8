/*
 * target_check.h - what a target asks of the system and file.h does not have.
 */
#ifndef AGENT_DISK_TARGET_CHECK_H
#define AGENT_DISK_TARGET_CHECK_H

#include <stdint.h>

struct err;
struct file;

/*
 * ERR_BUSY where the file or device of that path is in use as another device (a loop
 * device on Linux; on Windows an attached virtual disk holds its file itself).
 */
int target_check_use(const char *path, struct err *err);

/*
 * Do both lead to one file, volume or disk, whatever they are called?  On Windows also:
 * is one a disk and the other a volume on it?  On Linux: is one a loop device over the
 * other?
 */
int target_check_same(const char *a, const char *b);

/*
 * Does the volume or disk `device` hold the file `path`, which need not exist yet?  0 also
 * where nobody can tell.
 */
int target_check_holds(const char *device, const char *path);

/*
 * What a file, volume or disk is called for good, malloc'ed: a path without links, on
 * Windows a volume's GUID.  NULL if there is none.
 */
char *target_check_name(const char *path);

/*
 * ERR_BUSY where `path` is a device that holds the directory `dir`, as far as no other
 * check would tell: nothing is restored over the agent's own memory.
 */
int target_check_state(const char *path, const char *dir, struct err *err);

/*
 * Two restores into one file, or a backup of it at the same time, must not be: ERR_BUSY.
 * Held until the file is closed.
 */
int target_check_lock(struct file *f, const char *path, struct err *err);

/* Begin to put on the medium what was written to an open file or device. */
void target_check_onward(intptr_t handle);

/* What is on the medium is read from there again, not from memory. */
void target_check_forget(intptr_t handle);

#endif /* AGENT_DISK_TARGET_CHECK_H */
