#include "storage/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define PIECE (256u * 1024) /* Copied at a time. */

void
fs_free(struct fs *fs)
{
	if (fs != NULL)
		fs->ops->free(fs);
}

int
fs_open(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
    struct err *err)
{
	if (strlen(name) >= FS_NAME_MAX)
		return err_set(err, ERR_LIMIT, "file name %.80s is too long", name);
	if (fs->ops->open(fs, name, flags, out, err) != 0)
		return -1;
	(*out)->fs = fs;
	(void)snprintf((*out)->name, sizeof((*out)->name), "%s", name);
	return 0;
}

void
fs_close(struct fs_file *f)
{
	if (f != NULL)
		f->fs->ops->close(f);
}

int
fs_pread(
    struct fs_file *f, void *p, size_t len, uint64_t offset, size_t *got, struct err *err)
{
	return f->fs->ops->pread(f, p, len, offset, got, err);
}

int
fs_read_all(struct fs_file *f, void *p, size_t len, uint64_t offset, struct err *err)
{
	size_t got;

	if (fs_pread(f, p, len, offset, &got, err) != 0)
		return -1;
	if (got != len)
		return err_set(err, ERR_CORRUPT, "%s ends %zu bytes early at %llu",
		    f->name, len - got, (unsigned long long)offset);
	return 0;
}

int
fs_pwrite(struct fs_file *f, const void *p, size_t len, uint64_t offset, struct err *err)
{
	return f->fs->ops->pwrite(f, p, len, offset, err);
}

int
fs_sync(struct fs_file *f, struct err *err)
{
	return f->fs->ops->sync(f, 0, err);
}

int
fs_datasync(struct fs_file *f, struct err *err)
{
	return f->fs->ops->sync(f, 1, err);
}

int
fs_truncate(struct fs_file *f, uint64_t len, struct err *err)
{
	return f->fs->ops->truncate(f, len, err);
}

int
fs_size(struct fs_file *f, uint64_t *len, struct err *err)
{
	return f->fs->ops->size(f, len, err);
}

int
fs_allocate(struct fs_file *f, uint64_t len, struct err *err)
{
	static const uint8_t zeros[64 * 1024];
	size_t part;

	if (f->fs->ops->allocate != NULL)
		return f->fs->ops->allocate(f, len, err);
	for (uint64_t at = 0; at < len; at += part) {
		part = len - at < sizeof(zeros) ? (size_t)(len - at) : sizeof(zeros);
		if (fs_pwrite(f, zeros, part, at, err) != 0)
			return -1;
	}
	return 0;
}

int
fs_lock(struct fs_file *f, struct err *err)
{
	return f->fs->ops->lock(f, err);
}

int
fs_rename(struct fs *fs, const char *from, const char *to, struct err *err)
{
	return fs->ops->rename(fs, from, to, err);
}

int
fs_unlink(struct fs *fs, const char *name, struct err *err)
{
	return fs->ops->unlink(fs, name, err);
}

int
fs_mkdir(struct fs *fs, const char *name, struct err *err)
{
	return fs->ops->mkdir(fs, name, err);
}

int
fs_list(struct fs *fs, const char *dir, fs_each each, void *arg, struct err *err)
{
	return fs->ops->list(fs, dir, each, arg, err);
}

int
fs_sync_dir(struct fs *fs, const char *dir, struct err *err)
{
	return fs->ops->sync_dir(fs, dir, err);
}

int
fs_space(struct fs *fs, uint64_t *avail, uint64_t *total, struct err *err)
{
	return fs->ops->space(fs, avail, total, err);
}

int
fs_replace(struct fs *fs, const char *dir, const char *name, const void *p, size_t len,
    struct err *err)
{
	char to[FS_NAME_MAX], from[FS_NAME_MAX + 4];
	struct err ignored = ERR_INIT;
	struct fs_file *f = NULL;
	int bad;

	if (strcmp(dir, ".") == 0)
		(void)snprintf(to, sizeof(to), "%s", name);
	else
		(void)snprintf(to, sizeof(to), "%s/%s", dir, name);
	(void)snprintf(from, sizeof(from), "%s.new", to);

	if (fs_open(fs, from, FS_WRITE | FS_CREATE, &f, err) != 0)
		return -1;
	/* One left behind by a crash may be longer. */
	bad = fs_truncate(f, 0, err) != 0 || fs_pwrite(f, p, len, 0, err) != 0 ||
	      fs_sync(f, err) != 0;
	fs_close(f);
	if (bad) {
		/* After a failed sync not even new bytes in this file are safe. */
		(void)fs_unlink(fs, from, &ignored);
		return -1;
	}
	if (fs_rename(fs, from, to, err) != 0)
		return -1;
	return fs_sync_dir(fs, dir, err);
}

int
fs_rewrite(struct fs_file *f, uint64_t from, uint64_t to, struct err *err)
{
	uint8_t *piece = NULL;
	int ret = 0;

	if (from < to && (piece = malloc(PIECE)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to write %s again", f->name);
	while (ret == 0 && from < to) {
		size_t n = to - from < PIECE ? (size_t)(to - from) : PIECE;

		ret = fs_read_all(f, piece, n, from, err) != 0 ||
		      fs_pwrite(f, piece, n, from, err) != 0;
		from += n;
	}
	free(piece);
	return ret == 0 ? 0 : -1;
}

int
fs_slurp(struct fs *fs, const char *name, struct buf *out, struct err *err)
{
	struct fs_file *f = NULL;
	uint64_t len;
	uint8_t *to;
	int ret = -1;

	if (fs_open(fs, name, FS_READ, &f, err) != 0)
		return -1;
	if (fs_size(f, &len, err) != 0)
		goto done;
	if (len > out->max - out->len) {
		(void)err_set(err, ERR_LIMIT, "%s has %llu bytes, more than is accepted",
		    name, (unsigned long long)len);
		goto done;
	}
	if ((to = buf_room(out, (size_t)len, err)) == NULL ||
	    fs_read_all(f, to, (size_t)len, 0, err) != 0)
		goto done;
	out->len += (size_t)len;
	ret = 0;
done:
	fs_close(f);
	return ret;
}
