#define _GNU_SOURCE /* O_TMPFILE, mkostemp, fallocate */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/file_twin.h"

struct file {
	int fd;
	char path[]; /* For messages. */
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
open_unnamed(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		fd = open_and_unlink(dir);
	return fd;
}

static int
open_named(const char *path, unsigned flags)
{
	int how = O_CLOEXEC;

	how |= (flags & FILE_TO_WRITE) != 0 ? O_RDWR : O_RDONLY;
	if ((flags & FILE_TO_MAKE) != 0)
		how |= O_CREAT;
	if ((flags & FILE_TO_BEGIN) != 0)
		how |= O_CREAT | O_EXCL;
	if ((flags & FILE_TO_EMPTY) != 0)
		how |= O_TRUNC;
	if ((flags & FILE_NO_LINK) != 0)
		how |= O_NOFOLLOW;
	return open(path, how, (flags & FILE_TWIN_SHOWN) != 0 ? 0644 : 0600);
}

int
file_open(const char *path, unsigned flags, struct file **out, struct err *err)
{
	const size_t len = strlen(path) + 1;
	struct file *f = malloc(sizeof(*f) + len);

	if (f == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	memcpy(f->path, path, len);
	f->fd =
	    (flags & FILE_UNNAMED) != 0 ? open_unnamed(path) : open_named(path, flags);
	if (f->fd < 0) {
		err_os(err, errno, "%s", path);
		free(f);
		return -1;
	}
	if ((flags & FILE_IN_ORDER) != 0)
		(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	*out = f;
	return 0;
}

int
file_finish(struct file *f, struct err *err)
{
	int os = close(f->fd) != 0 ? errno : 0;

	if (os != 0)
		err_os(err, os, "%s", f->path);
	free(f);
	return os == 0 ? 0 : -1;
}

const char *
file_twin_path(const struct file *f)
{
	return f->path;
}

intptr_t
file_handle(const struct file *f)
{
	return f->fd;
}

/* --------------------------------------------------------- an open file -- */

int
file_size(const struct file *f, uint64_t *out, struct err *err)
{
	struct stat st;

	if (fstat(f->fd, &st) != 0)
		return err_os(err, errno, "%s", f->path);
	*out = (uint64_t)st.st_size;
	return 0;
}

int
file_read(const struct file *f, uint64_t offset, void *p, size_t len, size_t *got,
    struct err *err)
{
	uint8_t *at = p;
	ssize_t n;

	for (*got = 0; *got < len; *got += (size_t)n) {
		n = pread(f->fd, at + *got, len - *got, (off_t)(offset + *got));
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return err_os(err, errno, "%s", f->path);
		else if (n == 0)
			return 0;
	}
	return 0;
}

int
file_write(struct file *f, uint64_t offset, const void *p, size_t len, struct err *err)
{
	const uint8_t *at = p;
	ssize_t n;

	for (; len > 0; at += n, offset += (uint64_t)n, len -= (size_t)n) {
		n = pwrite(f->fd, at, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return err_os(err, errno, "%s", f->path);
	}
	return 0;
}

int
file_truncate(struct file *f, uint64_t size, struct err *err)
{
	return ftruncate(f->fd, (off_t)size) == 0 ? 0 : err_os(err, errno, "%s", f->path);
}

/* Every file is, here. */
void
file_make_sparse(struct file *f)
{
	(void)f;
}

int
file_twin_punch(struct file *f, uint64_t offset, uint64_t len)
{
	return len > 0 && fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)offset, (off_t)len) == 0;
}

int
file_sync(struct file *f, struct err *err)
{
	return fsync(f->fd) == 0 ? 0 : err_os(err, errno, "%s", f->path);
}

int
file_lock(struct file *f, struct err *err)
{
	if (flock(f->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return err_set(err, ERR_BUSY, "%s: locked by another", f->path);
	return err_os(err, errno, "%s", f->path);
}

int
file_room(const struct file *f, uint64_t *out, struct err *err)
{
	struct statvfs fs;

	if (fstatvfs(f->fd, &fs) != 0)
		return err_os(err, errno, "%s", f->path);
	*out = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

/* ---------------------------------------------------- files by their names -- */

static int
sync_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL   ? strdup(".")
		    : slash == path ? strdup("/")
				    : strndup(path, (size_t)(slash - path));
	int fd, os = 0;

	if (dir == NULL)
		return ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (fd < 0)
		return errno;
	if (fsync(fd) != 0)
		os = errno;
	close(fd);
	return os;
}

int
file_replace(const char *from, const char *to, struct err *err)
{
	int os = rename(from, to) != 0 ? errno : sync_dir_of(to);

	return os == 0 ? 0 : err_os(err, os, "%s", to);
}

int
file_rename(const char *from, const char *to, struct err *err)
{
	return rename(from, to) == 0 ? 0 : err_os(err, errno, "%s", to);
}

int
file_remove(const char *path, struct err *err)
{
	if (unlink(path) == 0)
		return 1;
	return errno == ENOENT ? 0 : err_os(err, errno, "%s", path);
}

int
file_make_dir(const char *path, struct err *err)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	return err_os(err, errno, "%s", path);
}

int
file_remove_dir(const char *path, struct err *err)
{
	return rmdir(path) == 0 ? 0 : err_os(err, errno, "%s", path);
}

int
file_list(const char *dir, int (*each)(void *arg, const char *name, struct err *err),
    void *arg, struct err *err)
{
	const struct dirent *e;
	DIR *d = opendir(dir);
	int rc = 0;

	if (d == NULL)
		return err_os(err, errno, "%s", dir);
	while (rc == 0) {
		errno = 0;
		if ((e = readdir(d)) == NULL) {
			if (errno != 0)
				rc = err_os(err, errno, "%s", dir);
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = each(arg, e->d_name, err);
	}
	closedir(d);
	return rc;
}

int
file_kind(const char *path, enum file_kind *out, struct err *err)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		*out = FILE_IS_NOTHING;
		return errno == ENOENT ? 0 : err_os(err, errno, "%s", path);
	}
	*out = S_ISREG(st.st_mode)   ? FILE_IS_FILE
	       : S_ISDIR(st.st_mode) ? FILE_IS_DIR
	       : S_ISBLK(st.st_mode) ? FILE_IS_DEVICE
				     : FILE_IS_OTHER;
	return 0;
}

int
file_same(const char *a, const char *b)
{
	struct stat x, y;

	if (stat(a, &x) != 0 || stat(b, &y) != 0)
		return strcmp(a, b) == 0;
	if (S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode))
		return x.st_rdev == y.st_rdev;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

char *
file_real_path(const char *path)
{
	return realpath(path, NULL);
}
