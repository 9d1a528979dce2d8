#define _GNU_SOURCE /* syncfs, renameat2, O_PATH */
#include "server/files/files_put.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "server/files/files_fs.h"
#include "server/files/files_text.h"

#define BUFFER (1024u * 1024)
#define BLOCK 65536u /* So many zeros in a row are not written. */

struct files_put {
	int root;
	uint8_t *buffer;
};

struct files_put *
files_put_new(void)
{
	struct files_put *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->root = -1;
	if ((p->buffer = malloc(BUFFER)) == NULL) {
		free(p);
		return NULL;
	}
	return p;
}

void
files_put_free(struct files_put *p)
{
	if (p == NULL)
		return;
	if (p->root >= 0)
		(void)close(p->root);
	free(p->buffer);
	free(p);
}

/* -------------------------------------------------------------- the destination -- */

/* What concerns one name or one file ends no copy of many: it has a code of its own. */
static int
failed(struct err *err, const char *what)
{
	switch (errno) {
	case EINVAL:
	case EILSEQ:
	case ENAMETOOLONG:
		return err_set(
		    err, ERR_UNSUPPORTED, "its name cannot be used at the destination");
	case EFBIG:
		return err_set(err, ERR_LIMIT, "the destination has no files that large");
	case EISDIR:
	case ENOTDIR:
	case ENOTEMPTY:
		return err_set(err, ERR_EXISTS, "something else is here with that name");
	case EDQUOT:
		return err_set(err, ERR_NOSPACE, "%s: the quota is used up", what);
	default:
		return err_os(err, errno, "%s", what);
	}
}

static int
open_dir(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int
files_put_open(const char *to, char *own, size_t cap, int is_dir, struct err *err)
{
	char parent[4096];
	size_t len = strlen(to);
	const char *last;
	int fd;

	if (is_dir && own[0] == '\0' && mkdir(to, 0777) != 0 && errno != EEXIST)
		return err_os(err, errno, "%.150s", to);
	if ((fd = open_dir(to)) >= 0)
		return fd;
	while (len > 1 && to[len - 1] == '/')
		len--;
	if (len == 0 || len >= sizeof(parent) || (to[strlen(to) - 1] == '/' && !is_dir) ||
	    own[0] == '\0')
		return err_os(err, errno, "%.150s", to);
	memcpy(parent, to, len);
	parent[len] = '\0';
	last = strrchr(parent, '/');
	if (strlen(last != NULL ? last + 1 : parent) >= cap)
		return err_set(err, ERR_LIMIT, "%.150s: too long", to);
	strcpy(own, last != NULL ? last + 1 : parent);
	if (last == NULL)
		strcpy(parent, ".");
	else
		parent[last == parent ? 1 : last - parent] = '\0';
	if ((fd = open_dir(parent)) < 0)
		return err_os(err, errno, "%.150s", parent);
	return fd;
}

int
files_put_root(struct files_put *p, int dir, struct err *err)
{
	p->root = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	return p->root < 0 ? err_os(err, errno, "dup") : 0;
}

int
files_put_room(int dir, uint64_t bytes, struct err *err)
{
	struct statvfs v;
	uint64_t free_bytes;

	if (fstatvfs(dir, &v) != 0)
		return 0;
	free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	if (bytes <= free_bytes)
		return 0;
	return err_set(err, ERR_NOSPACE, "%llu bytes are needed, %llu are free there",
	    (unsigned long long)bytes, (unsigned long long)free_bytes);
}

int
files_put_fresh(int dir, const char *name)
{
	struct dirent *e;
	struct stat st;
	DIR *d;
	int fd, n = 0;

	if (name[0] != '\0')
		return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0;
	if ((fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 0;
	if ((d = fdopendir(fd)) == NULL) {
		(void)close(fd);
		return 0;
	}
	while (n == 0 && (e = readdir(d)) != NULL)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	(void)closedir(d);
	return n == 0;
}

int
files_put_settle(int dir, struct err *err)
{
	return syncfs(dir) != 0 ? failed(err, "cannot write") : 0;
}

int
files_put_dir(int dir, const char *name, struct err *err)
{
	int fd;

	if (mkdirat(dir, name, 0777) != 0 && errno != EEXIST)
		return failed(err, "cannot make it");
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ELOOP || errno == ENOTDIR)
		return err_set(err, ERR_EXISTS, "it is here already, and no directory");
	return err_os(err, errno, "cannot open it");
}

void
files_put_times(int fd, const struct files_node *n)
{
	const struct timespec times[2] = { n->accessed, n->modified };

	(void)futimens(fd, times); /* Not worth a failure. */
}

/* ---------------------------------------------------------------------- content -- */

static int
write_all(int fd, const uint8_t *p, size_t len, struct err *err)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOSPC)
			return err_set(err, ERR_NOSPACE, "the disk is full");
		if (n < 0)
			return failed(err, "cannot write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
is_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Whole blocks of zeros become holes. */
static int
write_sparse(int fd, const uint8_t *p, size_t len, struct err *err)
{
	while (len > 0) {
		size_t n = len < BLOCK ? len : BLOCK;

		if (n == BLOCK && is_zero(p, n)) {
			if (lseek(fd, (off_t)n, SEEK_CUR) < 0)
				return err_os(err, errno, "cannot seek");
		} else if (write_all(fd, p, n, err) != 0) {
			return -1;
		}
		p += n;
		len -= n;
	}
	return 0;
}

/* The content to `fd`, whose end is set if it is a file. */
static int
copy_bytes(struct files_put *p, const struct files_put_job *job, int fd, int file,
    struct err *err)
{
	const struct files_fs_ops *ops = job->fs->ops;
	struct files_open *o;
	uint64_t size, at = 0;
	int rc = 0;

	if (ops->open(job->fs, job->node->ref, job->stream, &o, &size, err) != 0)
		return -1;
	while (at < size && rc == 0) {
		size_t n = size - at < BUFFER ? (size_t)(size - at) : BUFFER;

		rc = ops->read(o, at, p->buffer, n, err);
		if (rc == 0)
			rc = file ? write_sparse(fd, p->buffer, n, err)
				  : write_all(fd, p->buffer, n, err);
		at += n;
		if (rc == 0 && job->bytes(job->arg, n))
			rc = err_set(err, ERR_CANCELED, "interrupted");
	}
	ops->end(o);
	if (rc == 0 && file && ftruncate(fd, (off_t)size) != 0)
		rc = failed(err, "cannot set its length");
	return rc;
}

int
files_put_stdout(struct files_put *p, struct files_fs *fs, const struct files_node *n,
    const char *stream, int (*bytes)(void *arg, uint64_t n), void *arg, struct err *err)
{
	const struct files_put_job job = { fs, n, stream, UINT64_MAX, NULL, 0, bytes,
		arg };

	return copy_bytes(p, &job, STDOUT_FILENO, 0, err);
}

/* ------------------------------------------------------------------------ files -- */

/* A name that nobody has. */
static void
partial_name(char out[40])
{
	uint64_t n = 0;

	(void)!getrandom(&n, sizeof(n), 0);
	(void)snprintf(out, 40, ".%016llx.partial", (unsigned long long)n);
}

/* 1: what is there is what would be written, 0: it may be written, -1. */
static int
look(int dir, const struct files_put_job *job, struct err *err)
{
	const struct files_node *n = job->node;
	struct stat st;

	if (fstatat(dir, job->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : err_os(err, errno, "cannot look at it");
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size == job->size &&
	    st.st_mtim.tv_sec == n->modified.tv_sec &&
	    st.st_mtim.tv_nsec == n->modified.tv_nsec)
		return 1;
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERR_EXISTS, "a directory is here with that name");
	if (!job->force)
		return err_set(
		    err, ERR_EXISTS, "it is here already (--force replaces it)");
	return 0;
}

static int
write_partial(struct files_put *p, int dir, const char *partial,
    const struct files_put_job *job, struct err *err)
{
	const struct files_node *n = job->node;
	int fd =
	    openat(dir, partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		(n->flags & FILES_READONLY) != 0 ? 0444 : 0666);
	int rc;

	if (fd < 0)
		return failed(err, "cannot make it");
	rc = copy_bytes(p, job, fd, 1, err);
	if (rc == 0)
		files_put_times(fd, n);
	if (close(fd) != 0 && rc == 0)
		rc = failed(err, "cannot write");
	return rc;
}

/* Give what is complete its name; what came to be there meanwhile counts, too. */
static int
give_name(int dir, const char *partial, const char *name, int force)
{
	if (!force && renameat2(dir, partial, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (!force && errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A link in its place is replaced, not followed. */
	return renameat(dir, partial, dir, name);
}

int
files_put_file(
    struct files_put *p, int dir, const struct files_put_job *job, struct err *err)
{
	char partial[40];
	int rc = look(dir, job, err);

	if (rc != 0)
		return rc;
	/* Of a sparse or compressed file nobody knows what it needs. */
	if ((job->node->flags & (FILES_SPARSE | FILES_COMPRESSED)) == 0 &&
	    job->size != UINT64_MAX && files_put_room(dir, job->size, err) != 0)
		return -1;
	partial_name(partial);
	rc = write_partial(p, dir, partial, job, err);
	if (rc == 0 && give_name(dir, partial, job->name, job->force) != 0)
		rc = failed(err, "cannot rename it");
	if (rc != 0)
		(void)unlinkat(dir, partial, 0);
	return rc;
}

/* The directory of `path` below `root`, through no link; `*last` is its last name. */
static int
open_parent(int root, const char *path, const char **last)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	const char *slash = strrchr(path, '/');
	char *parent;
	int fd;

	*last = slash != NULL ? slash + 1 : path;
	if (slash == NULL)
		return fcntl(root, F_DUPFD_CLOEXEC, 3);
	if ((parent = strndup(path, (size_t)(slash - path))) == NULL)
		return -1;
	fd = (int)syscall(SYS_openat2, root, parent, &how, sizeof(how));
	free(parent);
	return fd;
}

int
files_put_link(
    struct files_put *p, const char *first, int dir, const char *name, int force)
{
	char partial[40];
	const char *last;
	int from, rc;

	if (p->root < 0 || (from = open_parent(p->root, first, &last)) < 0)
		return -1;
	partial_name(partial);
	rc = linkat(from, last, dir, partial, 0);
	(void)close(from);
	if (rc != 0)
		return -1;
	rc = give_name(dir, partial, name, force);
	/* Also if it was: names of one file are not renamed onto each other. */
	(void)unlinkat(dir, partial, 0);
	return rc;
}
