#define _GNU_SOURCE /* O_TMPFILE, mkostemp */
#include "agent/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "proto/base/err.h"

struct file {
	int fd;
	const char *dir; /* For messages. */
};

/* For file systems that know only files with names. */
static int
open_and_unlink(const char *dir)
{
	char path[4096];
	int fd, n = snprintf(path, sizeof(path), "%s/spill.XXXXXX", dir);

	if (n < 0 || (size_t)n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = mkostemp(path, O_CLOEXEC)) != -1)
		(void)unlink(path);
	return fd;
}

static int
dir_open(void *arg, void **out, struct err *err)
{
	struct file *f = malloc(sizeof(*f));

	if (f == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	f->dir = arg;
	f->fd = open(f->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (f->fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		f->fd = open_and_unlink(f->dir);
	if (f->fd == -1) {
		err_os(err, errno, "a temporary file in %s", f->dir);
		free(f);
		return -1;
	}
	*out = f;
	return 0;
}

/* The host needs its disk more than we do. */
static int
room_for(const struct file *f, size_t len, struct err *err)
{
	struct statvfs fs;

	if (fstatvfs(f->fd, &fs) == 0 &&
	    (uint64_t)fs.f_bavail * fs.f_frsize < SPILL_RESERVE + len)
		return err_os(err, ENOSPC, "a temporary file in %s", f->dir);
	return 0;
}

static int
dir_write(void *file, uint64_t offset, const void *p, size_t len, struct err *err)
{
	const struct file *f = file;
	const uint8_t *at = p;
	ssize_t n;

	if (room_for(f, len, err) == -1)
		return -1;
	for (; len > 0; at += n, offset += (uint64_t)n, len -= (size_t)n) {
		n = pwrite(f->fd, at, len, (off_t)offset);
		if (n == -1 && errno == EINTR)
			n = 0;
		if (n == -1)
			return err_os(err, errno, "a temporary file in %s", f->dir);
	}
	return 0;
}

static int
dir_read(void *file, uint64_t offset, void *p, size_t len, struct err *err)
{
	const struct file *f = file;
	uint8_t *at = p;
	ssize_t n;

	for (; len > 0; at += n, offset += (uint64_t)n, len -= (size_t)n) {
		n = pread(f->fd, at, len, (off_t)offset);
		if (n == -1 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n == -1)
			return err_os(err, errno, "a temporary file in %s", f->dir);
		if (n == 0)
			return err_set(err, ERR_IO,
			    "a temporary file in %s ends at byte %" PRIu64, f->dir,
			    offset);
	}
	return 0;
}

static void
dir_close(void *file)
{
	struct file *f = file;

	(void)close(f->fd);
	free(f);
}

void
spill_dir(struct spill *out, const char *dir)
{
	static const struct spill_ops ops = { dir_open, dir_write, dir_read, dir_close };

	out->ops = &ops;
	out->arg = (void *)dir;
}
