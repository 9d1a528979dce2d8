#include "rescue/adapt_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/err.h"

#define NAME_LEN_MAX 256u
#define BUF_LEN (256u * 1024)

/* Open `name` in `dir`, whatever the case of its ASCII letters. */
static int
open_entry(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC), again;
	struct dirent *e;
	DIR *d;

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if ((again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return -1;
	if ((d = fdopendir(again)) == NULL) {
		close(again);
		return -1;
	}
	errno = ENOENT;
	while (fd < 0 && (e = readdir(d)) != NULL)
		if (strcasecmp(e->d_name, name) == 0)
			fd = openat(dir, e->d_name, flags | O_NOFOLLOW | O_CLOEXEC);
	again = errno;
	closedir(d);
	errno = again;
	return fd;
}

int
adapt_files_open(int root, const char *path, int flags)
{
	char name[NAME_LEN_MAX];
	int dir = root, fd;
	size_t n;

	for (;; path += n + 1) {
		n = strcspn(path, "/");
		if (n == 0 || n >= sizeof(name)) {
			fd = -1;
			errno = ENOENT;
			break;
		}
		memcpy(name, path, n);
		name[n] = '\0';
		fd = open_entry(
		    dir, name, path[n] == '/' ? O_RDONLY | O_DIRECTORY : flags);
		if (fd < 0 || path[n] == '\0')
			break;
		if (dir != root)
			close(dir);
		dir = fd;
	}
	if (dir != root) {
		n = (size_t)errno;
		close(dir);
		errno = (int)n;
	}
	return fd;
}

int
adapt_files_has(int root, const char *path)
{
	int fd = adapt_files_open(root, path, O_RDONLY | O_NONBLOCK);
	struct stat st;
	int has;

	if (fd < 0)
		return 0;
	has = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
	close(fd);
	return has;
}

/* The bytes of `from` from `*len` on to their place in `to`; `*len` becomes its length.
 */
static int
copy_bytes(int to, int from, off_t *len, struct err *err)
{
	char *buf = malloc(BUF_LEN);
	ssize_t n = 1, put = 0;

	if (buf == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (; n > 0; *len += n) {
		if ((n = pread(from, buf, BUF_LEN, *len)) <= 0)
			break;
		for (ssize_t at = 0; at < n; at += put)
			if ((put = pwrite(to, buf + at, (size_t)(n - at), *len + at)) <=
			    0) {
				n = -1;
				break;
			}
		if (n < 0)
			break;
	}
	free(buf);
	return n < 0 ? err_os(err, errno, "copying a registry hive") : 0;
}

int
adapt_files_copy(int dir, const char *name, int from, struct err *err)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc;
	off_t len = 0;

	if (fd < 0 && errno == EEXIST)
		return err_set(err, ERR_EXISTS, "%s: exists", name);
	if (fd < 0)
		return err_os(err, errno, "%s", name);
	rc = copy_bytes(fd, from, &len, err);
	if (rc == 0 && fsync(fd) != 0)
		rc = err_os(err, errno, "%s", name);
	close(fd);
	if (rc != 0)
		(void)unlinkat(dir, name, 0);
	return rc;
}

int
adapt_files_replace(int to, int from, int *torn, struct err *err)
{
	struct stat st;
	off_t len;

	*torn = 0;
	if (fstat(to, &st) != 0)
		return err_os(err, errno, "writing a registry hive");
	/* A volume without room must show here, while the old bytes are there. */
	len = st.st_size;
	if (copy_bytes(to, from, &len, err) != 0) {
		(void)!ftruncate(to, st.st_size);
		return -1;
	}
	*torn = 1;
	len = 0;
	if (copy_bytes(to, from, &len, err) != 0)
		return -1;
	if (ftruncate(to, len) != 0 || fsync(to) != 0)
		return err_os(err, errno, "writing a registry hive");
	*torn = 0;
	return 0;
}
