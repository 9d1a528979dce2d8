#define _GNU_SOURCE /* F_OFD_SETLK */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "storage/fs.h"

struct posix_fs {
	struct fs fs;
	int dir;
};

struct posix_file {
	struct fs_file file;
	int fd;
};

static int
dir_of(struct fs *fs)
{
	return ((struct posix_fs *)fs)->dir;
}

static int
fd_of(struct fs_file *f)
{
	return ((struct posix_file *)f)->fd;
}

static int
posix_open(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
    struct err *err)
{
	struct posix_file *f;
	int how = (flags & FS_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW;

	if (flags & FS_CREATE)
		how |= O_CREAT;
	if (flags & FS_EXCLUSIVE)
		how |= O_EXCL;
	if ((f = calloc(1, sizeof(*f))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to open %s", name);
	do
		f->fd = openat(dir_of(fs), name, how, 0600);
	while (f->fd < 0 && errno == EINTR);
	if (f->fd < 0) {
		(void)err_os(err, errno, "open %s", name);
		free(f);
		return -1;
	}
	*out = &f->file;
	return 0;
}

static void
posix_close(struct fs_file *f)
{
	(void)close(fd_of(f));
	free(f);
}

static int
posix_pread(
    struct fs_file *f, void *p, size_t len, uint64_t offset, size_t *got, struct err *err)
{
	size_t have = 0;
	ssize_t n;

	while (have < len) {
		n = pread(
		    fd_of(f), (uint8_t *)p + have, len - have, (off_t)(offset + have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(err, errno, "read %s at %llu", f->name,
			    (unsigned long long)(offset + have));
		if (n == 0)
			break;
		have += (size_t)n;
	}
	*got = have;
	return 0;
}

static int
posix_pwrite(
    struct fs_file *f, const void *p, size_t len, uint64_t offset, struct err *err)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pwrite(fd_of(f), (const uint8_t *)p + done, len - done,
		    (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_os(err, n < 0 ? errno : EIO, "write %s at %llu",
			    f->name, (unsigned long long)(offset + done));
		done += (size_t)n;
	}
	return 0;
}

static int
posix_sync(struct fs_file *f, int data_only, struct err *err)
{
	int bad;

	do
		bad = data_only ? fdatasync(fd_of(f)) : fsync(fd_of(f));
	while (bad && errno == EINTR);
	return bad ? err_os(err, errno, "sync %s", f->name) : 0;
}

static int
posix_truncate(struct fs_file *f, uint64_t len, struct err *err)
{
	int bad;

	do
		bad = ftruncate(fd_of(f), (off_t)len);
	while (bad && errno == EINTR);
	return bad ? err_os(err, errno, "truncate %s", f->name) : 0;
}

static int
posix_size(struct fs_file *f, uint64_t *len, struct err *err)
{
	struct stat st;

	if (fstat(fd_of(f), &st) != 0)
		return err_os(err, errno, "stat %s", f->name);
	*len = (uint64_t)st.st_size;
	return 0;
}

/* posix_fallocate() writes zeros itself where the file system cannot. */
static int
posix_allocate(struct fs_file *f, uint64_t len, struct err *err)
{
	int why;

	do
		why = posix_fallocate(fd_of(f), 0, (off_t)len);
	while (why == EINTR);
	return why != 0 ? err_os(err, why, "allocate %s", f->name) : 0;
}

static int
posix_lock(struct fs_file *f, struct err *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int bad;

	do
		bad = flock(fd_of(f), LOCK_EX | LOCK_NB);
	while (bad && errno == EINTR);
	/* The second kind is what SQLite's own programs heed: they keep off the catalog.
	 */
	if (!bad)
		bad = fcntl(fd_of(f), F_OFD_SETLK, &whole) != 0 &&
		      (errno == EAGAIN || errno == EACCES);
	if (bad && (errno == EWOULDBLOCK || errno == EACCES))
		return err_set(err, ERR_BUSY, "%s is locked by another process", f->name);
	return bad ? err_os(err, errno, "lock %s", f->name) : 0;
}

static int
posix_rename(struct fs *fs, const char *from, const char *to, struct err *err)
{
	if (renameat(dir_of(fs), from, dir_of(fs), to) != 0)
		return err_os(err, errno, "rename %s to %s", from, to);
	return 0;
}

static int
posix_unlink(struct fs *fs, const char *name, struct err *err)
{
	if (unlinkat(dir_of(fs), name, 0) != 0)
		return err_os(err, errno, "remove %s", name);
	return 0;
}

static int
posix_mkdir(struct fs *fs, const char *name, struct err *err)
{
	if (mkdirat(dir_of(fs), name, 0700) != 0 && errno != EEXIST)
		return err_os(err, errno, "make directory %s", name);
	return 0;
}

static int
open_dir(int at, const char *name)
{
	int fd;

	do
		fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd;
}

static int
posix_list(struct fs *fs, const char *dir, fs_each each, void *arg, struct err *err)
{
	const struct dirent *e;
	DIR *d = NULL;
	int fd, ret = 0;

	if ((fd = open_dir(dir_of(fs), dir)) < 0)
		return err_os(err, errno, "open directory %s", dir);
	if ((d = fdopendir(fd)) == NULL) {
		ret = err_os(err, errno, "read directory %s", dir);
		(void)close(fd);
		return ret;
	}
	while (ret == 0) {
		errno = 0;
		if ((e = readdir(d)) == NULL) {
			if (errno != 0)
				ret = err_os(err, errno, "read directory %s", dir);
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			ret = each(arg, e->d_name);
	}
	(void)closedir(d);
	return ret;
}

static int
posix_sync_dir(struct fs *fs, const char *dir, struct err *err)
{
	int fd, ret = 0;

	if ((fd = open_dir(dir_of(fs), dir)) < 0)
		return err_os(err, errno, "open directory %s", dir);
	while (ret == 0 && fsync(fd) != 0)
		if (errno != EINTR)
			ret = err_os(err, errno, "sync directory %s", dir);
		else
			errno = 0;
	(void)close(fd);
	return ret;
}

static int
posix_space(struct fs *fs, uint64_t *avail, uint64_t *total, struct err *err)
{
	struct statvfs st;

	if (fstatvfs(dir_of(fs), &st) != 0)
		return err_os(err, errno, "ask for free space");
	*avail = (uint64_t)st.f_bavail * st.f_frsize;
	*total = (uint64_t)st.f_blocks * st.f_frsize;
	return 0;
}

static void
posix_free(struct fs *fs)
{
	(void)close(dir_of(fs));
	free(fs);
}

static const struct fs_ops posix_ops = {
	.open = posix_open,
	.close = posix_close,
	.pread = posix_pread,
	.pwrite = posix_pwrite,
	.sync = posix_sync,
	.truncate = posix_truncate,
	.size = posix_size,
	.allocate = posix_allocate,
	.lock = posix_lock,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.mkdir = posix_mkdir,
	.list = posix_list,
	.sync_dir = posix_sync_dir,
	.space = posix_space,
	.free = posix_free,
};

int
fs_open_dir(const char *path, struct fs **out, struct err *err)
{
	struct posix_fs *fs;

	if ((fs = calloc(1, sizeof(*fs))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to open %s", path);
	fs->fs.ops = &posix_ops;
	if ((fs->dir = open_dir(AT_FDCWD, path)) < 0) {
		(void)err_os(err, errno, "open directory %s", path);
		free(fs);
		return -1;
	}
	*out = &fs->fs;
	return 0;
}
