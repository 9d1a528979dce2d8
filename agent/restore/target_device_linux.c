#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/disk/target_check.h"
#include "agent/restore/target_medium.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

struct target_device {
	struct target_medium m;
	int fd;
};

static int
device_medium_read(
    struct target_medium *m, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	int fd = ((struct target_device *)m)->fd;
	ssize_t n;

	while (len > 0) {
		n = pread(fd, out, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_os(err, n < 0 ? errno : EIO,
			    "%s: reading at byte %llu", m->path,
			    (unsigned long long)offset);
		out += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int
device_medium_write(struct target_medium *m, uint64_t offset, const uint8_t *p,
    size_t len, struct err *err)
{
	int fd = ((struct target_device *)m)->fd;
	ssize_t n;

	while (len > 0) {
		n = pwrite(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(err, errno, "%s: writing at byte %llu", m->path,
			    (unsigned long long)offset);
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int
device_medium_zero(struct target_medium *m, uint64_t offset, uint64_t len)
{
	uint64_t range[2] = { offset, len };

	return ioctl(((struct target_device *)m)->fd, BLKZEROOUT, range) == 0;
}

/*
 * Advice: a device that does not take it loses nothing.  Bridges and controllers that
 * promise it and cannot (EREMOTEIO, EIO) must not end a restore; a disk that fails shows
 * when it is written.
 */
static void
device_medium_discard(struct target_medium *m, uint64_t offset, uint64_t len)
{
	uint64_t range[2] = { offset, len };

	(void)ioctl(((struct target_device *)m)->fd, BLKDISCARD, range);
}

static void
device_medium_onward(struct target_medium *m)
{
	target_check_onward(((struct target_device *)m)->fd);
}

static int
device_medium_settle(struct target_medium *m, struct err *err)
{
	int fd = ((struct target_device *)m)->fd;

	if (fdatasync(fd) != 0)
		return err_os(err, errno, "%s", m->path);
	target_check_forget(fd);
	return 0;
}

static int
device_medium_finish(struct target_medium *m, struct err *err)
{
	if (fsync(((struct target_device *)m)->fd) != 0)
		return err_os(err, errno, "%s", m->path);
	return 0;
}

static void
device_medium_close(struct target_medium *m)
{
	struct target_device *t = (struct target_device *)m;

	if (t->fd >= 0)
		close(t->fd);
	free(m->path);
	free(t);
}

static const struct target_medium_ops device_ops = {
	.read = device_medium_read,
	.write = device_medium_write,
	.zero = device_medium_zero,
	.discard = device_medium_discard,
	.onward = device_medium_onward,
	.settle = device_medium_settle,
	.finish = device_medium_finish,
	.close = device_medium_close,
};

/* A mount whose source is this device, by whatever file system. */
static int
check_mounts(const char *path, dev_t device, struct err *err)
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

static int
open_checked(struct target_device *t, struct err *err)
{
	const char *path = t->m.path;
	struct stat st;
	uint64_t size;

	if (stat(path, &st) != 0)
		return err_os(err, errno, "%s", path);
	if (check_mounts(path, st.st_rdev, err) != 0 || target_check_use(path, err) != 0)
		return -1;
	t->fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	if (t->fd < 0 && errno == EBUSY)
		return err_set(
		    err, ERR_BUSY, "%s: in use, mounted or part of another device", path);
	if (t->fd < 0)
		return err_os(err, errno, "%s", path);
	if (ioctl(t->fd, BLKGETSIZE64, &size) != 0)
		return err_os(err, errno, "%s: size", path);
	if (size < t->m.size)
		return err_set(err, ERR_LIMIT,
		    "%s: too small: %llu bytes, the volume has %llu", path,
		    (unsigned long long)size, (unsigned long long)t->m.size);
	return 0;
}

int
target_medium_is_device(const char *path, struct err *err)
{
	enum file_kind kind;

	if (file_kind(path, &kind, err) != 0)
		return -1;
	return kind == FILE_IS_DEVICE;
}

int
target_medium_device(const char *path, uint64_t size, unsigned flags,
    struct target_medium **out, struct err *err)
{
	struct target_device *t = calloc(1, sizeof(*t));

	(void)flags; /* Disks with the same ids may be there. */
	if (t != NULL && (t->m.path = realpath(path, NULL)) == NULL)
		t->m.path = strdup(path);
	if (t == NULL || t->m.path == NULL) {
		free(t);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	t->fd = -1;
	t->m.ops = &device_ops;
	t->m.size = size;
	t->m.in_place = 1;
	if (open_checked(t, err) != 0) {
		device_medium_close(&t->m);
		return -1;
	}
	*out = &t->m;
	return 0;
}
