#include "agent/capture/snapshot_mounts.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "proto/base/err.h"

/* What is looked for in mountinfo: a device, or else a file. */
struct wanted {
	int is_device;
	dev_t dev;
	ino_t ino;
};

/* Undo "\040" for a blank and the like, in place. */
static void
unescape(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
		    s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ =
			    (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static int
is_file(const char *path, const struct wanted *w)
{
	struct stat st;

	return path[0] == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_dev == w->dev && st.st_ino == w->ino;
}

/*
 * "36 35 98:0 / /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw": what counts is the
 * file system's own option, the last, not that of one mount of it.
 */
static int
judge(char *line, const struct wanted *w)
{
	unsigned major_no, minor_no;
	char *source, *options;

	if (sscanf(line, "%*u %*u %u:%u", &major_no, &minor_no) != 2 ||
	    (source = strstr(line, " - ")) == NULL ||
	    (source = strchr(source + 3, ' ')) == NULL ||
	    (options = strchr(++source, ' ')) == NULL)
		return SNAPSHOT_MOUNTS_NONE;
	*options++ = '\0';
	unescape(source);
	if (w->is_device ? makedev(major_no, minor_no) != w->dev : !is_file(source, w))
		return SNAPSHOT_MOUNTS_NONE;
	if (strncmp(options, "ro", 2) == 0 && strchr(",\n", options[2]) != NULL)
		return SNAPSHOT_MOUNTS_READ_ONLY;
	return SNAPSHOT_MOUNTS_WRITING;
}

static int
look(const struct wanted *w, struct err *err)
{
	char line[8192];
	int found = SNAPSHOT_MOUNTS_NONE, how;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	if (f == NULL)
		return err_os(err, errno, "/proc/self/mountinfo");
	while (found != SNAPSHOT_MOUNTS_WRITING && fgets(line, sizeof(line), f) != NULL) {
		how = judge(line, w);
		found = how > found ? how : found;
	}
	(void)fclose(f);
	return found;
}

int
snapshot_mounts_device(dev_t dev, struct err *err)
{
	struct wanted w = { .is_device = 1, .dev = dev };

	return look(&w, err);
}

/* First line of DIRECTORY/NAME, without its end; "" if there is none. */
static void
attribute(const char *directory, const char *name, char *line, size_t size)
{
	char path[300];
	FILE *f;

	line[0] = '\0';
	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	if ((f = fopen(path, "re")) == NULL)
		return;
	if (fgets(line, (int)size, f) == NULL)
		line[0] = '\0';
	(void)fclose(f);
	line[strcspn(line, "\n")] = '\0';
}

int
snapshot_mounts_file(dev_t dev, ino_t ino, struct err *err)
{
	struct wanted w = { .dev = dev, .ino = ino };
	char line[4200];
	unsigned major_no, minor_no;
	glob_t loops;
	int found = look(&w, err), how;

	if (found == -1 || glob("/sys/block/loop*", 0, NULL, &loops) != 0)
		return found;
	for (size_t i = 0; found != -1 && i < loops.gl_pathc; i++) {
		attribute(loops.gl_pathv[i], "loop/backing_file", line, sizeof(line));
		if (!is_file(line, &w))
			continue;
		attribute(loops.gl_pathv[i], "dev", line, sizeof(line));
		if (sscanf(line, "%u:%u", &major_no, &minor_no) != 2)
			continue;
		how = snapshot_mounts_device(makedev(major_no, minor_no), err);
		found = how == -1 || how > found ? how : found;
	}
	globfree(&loops);
	return found;
}
