#define _GNU_SOURCE /* F_OFD_SETLK, sync_file_range */
#include "agent/disk/target_check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "proto/base/err.h"
#include "proto/base/file.h"

#define LOOP_MAJOR 7u
#define LOOPS_MAX 8u /* Loop devices one over the other. */

/* The same file, or the same device by whatever name? */
static int
same(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Of loop device `name` ("loop3"): what it is over.  0, or -1 if nothing is known. */
static int
backing_of(const char *name, struct stat *out)
{
	char path[300], line[4096];
	int rc = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	if ((f = fopen(path, "re")) == NULL)
		return -1;
	if (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		rc = stat(line, out);
	}
	fclose(f);
	return rc;
}

int
target_check_use(const char *path, struct err *err)
{
	struct dirent *entry;
	struct stat file, backing;
	int rc = 0;
	DIR *dir;

	if (stat(path, &file) != 0 || (dir = opendir("/sys/block")) == NULL)
		return 0;
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, "loop", 4) == 0 &&
		    backing_of(entry->d_name, &backing) == 0 && same(&backing, &file))
			rc = err_set(
			    err, ERR_BUSY, "%s: in use as /dev/%s", path, entry->d_name);
	closedir(dir);
	return rc;
}

/* Is `loop` a loop device over `file`, or over one over it, and so on? */
static int
lies_over(const struct stat *loop, const struct stat *file)
{
	struct stat at = *loop, under;
	char name[32];

	for (unsigned depth = 0; depth < LOOPS_MAX; depth++, at = under) {
		if (!S_ISBLK(at.st_mode) || major(at.st_rdev) != LOOP_MAJOR)
			return 0;
		snprintf(name, sizeof(name), "loop%u", minor(at.st_rdev));
		if (backing_of(name, &under) != 0)
			return 0;
		if (same(&under, file))
			return 1;
	}
	return 0;
}

int
target_check_same(const char *a, const char *b)
{
	struct stat x, y;

	if (stat(a, &x) != 0 || stat(b, &y) != 0)
		return strcmp(a, b) == 0;
	return same(&x, &y) || lies_over(&x, &y) || lies_over(&y, &x);
}

/* Of a file that is not there yet its directory tells. */
int
target_check_holds(const char *device, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat on, at;
	char *dir;
	int rc;

	if (stat(device, &on) != 0 || !S_ISBLK(on.st_mode))
		return 0;
	if (stat(path, &at) == 0)
		return !S_ISBLK(at.st_mode) && at.st_dev == on.st_rdev;
	dir = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (dir == NULL)
		return 0;
	rc = stat(dir, &at) == 0 && at.st_dev == on.st_rdev;
	free(dir);
	return rc;
}

char *
target_check_name(const char *path)
{
	return realpath(path, NULL);
}

/* A device that holds the directory is mounted, which is another check. */
int
target_check_state(const char *path, const char *dir, struct err *err)
{
	(void)path;
	(void)dir;
	(void)err;
	return 0;
}

/* A record lock: backups of the file have one, and so have virtual machines. */
int
target_check_lock(struct file *f, const char *path, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl((int)file_handle(f), F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(err, ERR_BUSY,
		    "%s: in use: it is being backed up, restored or written", path);
	return err_os(err, errno, "%s", path);
}

void
target_check_onward(intptr_t handle)
{
	(void)sync_file_range((int)handle, 0, 0, SYNC_FILE_RANGE_WRITE);
}

void
target_check_forget(intptr_t handle)
{
	(void)posix_fadvise((int)handle, 0, 0, POSIX_FADV_DONTNEED);
}
