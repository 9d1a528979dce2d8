#include "agent/target_check.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "proto/base/err.h"

/* The same file, or the same device by whatever name? */
static int
same(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int
target_check_loop(const char *path, const struct stat *file, struct err *err)
{
	char name[300], line[4096];
	struct dirent *entry;
	struct stat backing;
	int rc = 0;
	DIR *dir;
	FILE *f;

	if ((dir = opendir("/sys/block")) == NULL)
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
			if (stat(line, &backing) == 0 && same(&backing, file))
				rc = err_set(err, ERR_BUSY, "%s: in use as /dev/%s", path,
				    entry->d_name);
		}
		fclose(f);
	}
	closedir(dir);
	return rc;
}

int
target_check_mounts(const char *path, dev_t device, struct err *err)
{
	char line[8192], where[256];
	unsigned major_no, minor_no;
	int rc = 0;
	FILE *f;

	if ((f = fopen("/proc/self/mountinfo", "re")) == NULL)
		return 0;
	while (rc == 0 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%*u %*u %u:%u %*s %255s", &major_no, &minor_no,
			where) == 3 &&
		    makedev(major_no, minor_no) == device)
			rc = err_set(err, ERR_BUSY, "%s: mounted on %s", path, where);
	fclose(f);
	return rc;
}
