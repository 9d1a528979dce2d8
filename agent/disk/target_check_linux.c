#define _GNU_SOURCE /* F_OFD_SETLK, sync_file_range */
#include "agent/disk/target_check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/err.h"
#include "proto/base/file.h"

/* The same file, or the same device by whatever name? */
static int
same(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int
target_check_use(const char *path, struct err *err)
{
	char name[300], line[4096];
	struct dirent *entry;
	struct stat file, backing;
	int rc = 0;
	DIR *dir;
	FILE *f;

	if (stat(path, &file) != 0 || (dir = opendir("/sys/block")) == NULL)
		return 0;
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, "loop", 4) != 0)
			continue;
		snprintf(
		    name, sizeof(name), "/sys/block/%s/loop/backing_file", entry->d_name);
		if ((f = fopen(name, "re")) == NULL)
			continue;
		if (fgets(line, sizeof(line), f) != NULL) {
			line[strcspn(line, "\n")] = '\0';
			if (stat(line, &backing) == 0 && same(&backing, &file))
				rc = err_set(err, ERR_BUSY, "%s: in use as /dev/%s", path,
				    entry->d_name);
		}
		fclose(f);
	}
	closedir(dir);
	return rc;
}

int
target_check_same(const char *a, const char *b)
{
	struct stat x, y;

	if (stat(a, &x) != 0 || stat(b, &y) != 0)
		return strcmp(a, b) == 0;
	return same(&x, &y);
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
