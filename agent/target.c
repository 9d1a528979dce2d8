#define _GNU_SOURCE /* F_OFD_SETLK, fallocate, sync_file_range */
#include "agent/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/target_check.h"
#include "agent/target_skip.h"
#include "proto/base/err.h"

/* What is compared with what is there, at a time. */
#define BLOCK 4096u
#define WINDOW (256u * 1024)
/* The system begins to put on the medium what was written, each time it is so much. */
#define ONWARD ((uint64_t)8 << 20)

struct target {
	int fd;
	int is_device, fresh;
	unsigned flags;
	uint64_t size;
	atomic_uint_fast64_t written;
	char *path, *partial; /* `partial` NULL: in place. */

	/* Of a view, which shares fd and path: where its bytes go, in order. */
	struct target *whole;
	struct target_piece *pieces;
	unsigned count;
	struct target_skip skip;
};

/* ---------------------------------------------------------------- opening -- */

static int
open_device(struct target *t, const struct stat *st, struct err *err)
{
	uint64_t size;

	if (target_check_mounts(t->path, st->st_rdev, err) != 0 ||
	    target_check_loop(t->path, st, err) != 0)
		return -1;
	t->fd = open(t->path, O_RDWR | O_EXCL | O_CLOEXEC);
	if (t->fd < 0 && errno == EBUSY)
		return err_set(err, ERR_BUSY,
		    "%s: in use, mounted or part of another device", t->path);
	if (t->fd < 0)
		return err_os(err, errno, "%s", t->path);
	if (ioctl(t->fd, BLKGETSIZE64, &size) != 0)
		return err_os(err, errno, "%s: size", t->path);
	if (size < t->size)
		return err_set(err, ERR_LIMIT,
		    "%s: too small: %llu bytes, the volume has %llu", t->path,
		    (unsigned long long)size, (unsigned long long)t->size);
	t->is_device = 1;
	return 0;
}

/* Two restores into one file, or a backup of it at the same time, must not be. */
static int
lock_file(const struct target *t, const char *path, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(t->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(err, ERR_BUSY,
		    "%s: in use: it is being backed up, restored or written", path);
	return err_os(err, errno, "%s", path);
}

static int
open_in_place(struct target *t, struct err *err)
{
	if ((t->fd = open(t->path, O_RDWR | O_CLOEXEC)) < 0)
		return err_os(err, errno, "%s", t->path);
	if (lock_file(t, t->path, err) != 0)
		return -1;
	if (ftruncate(t->fd, (off_t)t->size) != 0)
		return err_os(err, errno, "%s", t->path);
	return 0;
}

static int
open_partial(struct target *t, struct err *err)
{
	size_t len = strlen(t->path) + sizeof(".partial");
	char *partial = malloc(len);

	if (partial == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	snprintf(partial, len, "%s.partial", t->path);
	t->fd = open(partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (t->fd < 0) {
		err_os(err, errno, "%s", t->path);
		free(partial);
		return -1;
	}
	if (lock_file(t, partial, err) != 0) {
		free(partial);
		return -1;
	}
	/* From here on it is ours, also to remove. */
	t->partial = partial;
	t->fresh = 1;
	if (ftruncate(t->fd, 0) != 0 || ftruncate(t->fd, (off_t)t->size) != 0)
		return err_os(err, errno, "%s", partial);
	return 0;
}

/* A file that exists: may it be written, and how? */
static int
check_existing(const struct target *t, const struct stat *st, struct err *err)
{
	struct target other = { .fd = -1 };
	int rc;

	if (!S_ISREG(st->st_mode))
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: neither a file nor a block device", t->path);
	if (st->st_size > 0 && (t->flags & (TARGET_KEEP | TARGET_REPLACE)) == 0)
		return err_set(err, ERR_EXISTS,
		    "%s: exists; --force replaces it, --delta rewrites what differs",
		    t->path);
	if (target_check_loop(t->path, st, err) != 0)
		return -1;
	/* Also what is only replaced must not be in use. */
	if ((other.fd = open(t->path, O_RDWR | O_CLOEXEC)) < 0)
		return err_os(err, errno, "%s", t->path);
	rc = lock_file(&other, t->path, err);
	close(other.fd);
	return rc;
}

static int
open_checked(struct target *t, struct err *err)
{
	struct stat st;

	if (stat(t->path, &st) != 0) {
		if (errno != ENOENT)
			return err_os(err, errno, "%s", t->path);
		if (strncmp(t->path, "/dev/", 5) == 0)
			return err_set(err, ERR_NOTFOUND, "%s: no such device", t->path);
		if ((t->flags & TARGET_KEEP) != 0)
			return err_set(err, ERR_NOTFOUND,
			    "%s: there is nothing to compare with; leave out --delta",
			    t->path);
		return open_partial(t, err);
	}
	if (S_ISBLK(st.st_mode))
		return open_device(t, &st, err);
	if (check_existing(t, &st, err) != 0)
		return -1;
	return (t->flags & TARGET_KEEP) != 0 ? open_in_place(t, err)
					     : open_partial(t, err);
}

int
target_open(
    const char *path, uint64_t size, unsigned flags, struct target **out, struct err *err)
{
	struct target *t = calloc(1, sizeof(*t));
	char *real;

	if (t == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	t->fd = -1;
	t->size = size;
	t->flags = flags;
	/* A link is followed now, so that renaming replaces what it points to. */
	real = realpath(path, NULL);
	t->path = real != NULL ? real : strdup(path);
	if (t->path == NULL) {
		free(t);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	if (open_checked(t, err) != 0) {
		target_abandon(t);
		return -1;
	}
	*out = t;
	return 0;
}

int
target_fresh(const struct target *t)
{
	return t->fresh;
}

int
target_in_place(const struct target *t)
{
	return t->partial == NULL;
}

uint64_t
target_written(const struct target *t)
{
	return atomic_load(&t->written);
}

/* ---------------------------------------------------------------- writing -- */

/*
 * What is written through a view counts for the whole, too.  Left alone, half a minute
 * of a restore would be in memory only: a power cut would cost it, and the end would
 * wait for all of it.  Errors stay for fsync() to say.
 */
static void
wrote(struct target *t, uint64_t n)
{
	struct target *whole = t->whole != NULL ? t->whole : t;
	uint64_t before = atomic_fetch_add(&whole->written, n);

	if (whole != t)
		atomic_fetch_add(&t->written, n);
	if (before / ONWARD != (before + n) / ONWARD)
		(void)sync_file_range(t->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static int
read_at(
    const struct target *t, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	ssize_t n;

	while (len > 0) {
		n = pread(t->fd, out, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_os(err, n < 0 ? errno : EIO,
			    "%s: reading at byte %llu", t->path,
			    (unsigned long long)offset);
		out += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int
write_at(struct target *t, uint64_t offset, const uint8_t *p, size_t len, struct err *err)
{
	const struct target *whole = t->whole != NULL ? t->whole : t;
	ssize_t n;

	if (offset > whole->size || len > whole->size - offset)
		return err_set(err, ERR_LIMIT, "%s: past the end of the volume", t->path);
	while (len > 0) {
		n = pwrite(t->fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(err, errno, "%s: writing at byte %llu", t->path,
			    (unsigned long long)offset);
		wrote(t, (uint64_t)n);
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Write runs of blocks of `p` that differ from `there`. */
static int
write_differing(struct target *t, uint64_t offset, const uint8_t *p, const uint8_t *there,
    size_t len, uint64_t *same, struct err *err)
{
	size_t at, end, n;

	for (at = 0; at < len; at = end) {
		for (end = at; end < len; end += n) {
			n = BLOCK - (offset + end) % BLOCK;
			if (n > len - end)
				n = len - end;
			if (memcmp(p + end, there + end, n) == 0)
				break;
		}
		if (end == at) {
			*same += n;
			end += n;
		} else if (write_at(t, offset + at, p + at, end - at, err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int
update_at(struct target *t, uint64_t offset, const uint8_t *p, size_t len, uint64_t *same,
    struct err *err)
{
	uint8_t *there;
	size_t n;
	int rc = 0;

	if ((t->flags & TARGET_KEEP) == 0)
		return write_at(t, offset, p, len, err);
	if ((there = malloc(WINDOW)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (; len > 0 && rc == 0; offset += n, p += n, len -= n) {
		n = len < WINDOW ? len : WINDOW;
		rc = read_at(t, offset, there, n, err);
		if (rc == 0)
			rc = write_differing(t, offset, p, there, n, same, err);
	}
	free(there);
	return rc;
}

/* Zeros by the kernel where it can: the range is in whole blocks. */
static int
zero_blocks(struct target *t, uint64_t offset, uint64_t len)
{
	uint64_t range[2] = { offset, len };

	if (t->is_device)
		return ioctl(t->fd, BLKZEROOUT, range) == 0;
	return fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		   (off_t)len) == 0;
}

static int
zero_by_writing(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	static const uint8_t zeros[WINDOW];
	uint64_t same = 0;
	size_t n;

	for (; len > 0; offset += n, len -= n) {
		n = len < WINDOW ? (size_t)len : WINDOW;
		if (update_at(t, offset, zeros, n, &same, err) != 0)
			return -1;
	}
	return 0;
}

static int
zero_at(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	uint64_t head, middle;

	/* To look first is cheaper than to write what is zero already. */
	if ((t->flags & TARGET_KEEP) != 0)
		return zero_by_writing(t, offset, len, err);
	if (t->fresh)
		return 0;
	head = (BLOCK - offset % BLOCK) % BLOCK;
	if (head > len)
		head = len;
	middle = (len - head) / BLOCK * BLOCK;
	if (middle > 0 && !zero_blocks(t, offset + head, middle))
		return zero_by_writing(t, offset, len, err);
	wrote(t, middle);
	if (zero_by_writing(t, offset, head, err) != 0)
		return -1;
	return zero_by_writing(t, offset + head + middle, len - head - middle, err);
}

static int
hole_at(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	uint64_t head, range[2];

	if ((t->flags & TARGET_CLEAR) != 0)
		return zero_at(t, offset, len, err);
	head = (BLOCK - offset % BLOCK) % BLOCK;
	if ((t->flags & TARGET_DISCARD) == 0 || !t->is_device || head >= len)
		return 0;
	range[0] = offset + head;
	range[1] = (len - head) / BLOCK * BLOCK;
	/*
	 * Advice: a device that does not take it loses nothing.  Bridges and controllers
	 * that promise it and cannot (EREMOTEIO, EIO) must not end a restore; a disk
	 * that fails shows when it is written.
	 */
	if (range[1] > 0)
		(void)ioctl(t->fd, BLKDISCARD, range);
	return 0;
}

/* ------------------------------------------------------------------- views -- */

/* Where a run of bytes of a target really is: in `held`, else there, or nowhere. */
struct place {
	uint64_t offset, len;
	uint8_t *held;
	int nowhere;
};

/* The first of `len` bytes from `offset` that lie together. */
static struct place
place_of(const struct target *t, uint64_t offset, uint64_t len)
{
	struct place p = { offset, len, NULL, 0 };
	unsigned i = 0;

	if (t->whole == NULL)
		return p;
	if (!target_skip_first(&t->skip, offset, len, &p.len)) {
		p.nowhere = 1;
		return p;
	}
	len = p.len;
	while (i < t->count && t->pieces[i].from + t->pieces[i].len <= offset)
		i++;
	if (i == t->count || t->pieces[i].from > offset) {
		p.nowhere = 1;
		if (i < t->count && t->pieces[i].from - offset < len)
			p.len = t->pieces[i].from - offset;
		return p;
	}
	p.offset = t->pieces[i].to + (offset - t->pieces[i].from);
	if (t->pieces[i].held != NULL)
		p.held = t->pieces[i].held + (offset - t->pieces[i].from);
	if (t->pieces[i].from + t->pieces[i].len - offset < len)
		p.len = t->pieces[i].from + t->pieces[i].len - offset;
	return p;
}

int
target_view(struct target *whole, const struct target_piece *pieces, unsigned n,
    uint64_t size, unsigned flags, struct target **out, struct err *err)
{
	struct target *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->pieces = calloc(n + 1, sizeof(*pieces))) == NULL) {
		free(t);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	for (unsigned i = 0; i < n; i++)
		t->pieces[i] = pieces[i];
	t->count = n;
	t->whole = whole;
	t->fd = whole->fd;
	t->path = whole->path;
	t->fresh = whole->fresh;
	t->is_device = whole->is_device;
	t->flags = flags;
	t->size = size;
	*out = t;
	return 0;
}

void
target_view_skip(struct target *view, const struct target_skip *skip)
{
	view->skip = *skip;
}

int
target_nowhere(const struct target *t, uint64_t offset, uint64_t len)
{
	struct place p;

	if (t == NULL)
		return 0;
	for (; len > 0; offset += p.len, len -= p.len) {
		p = place_of(t, offset, len);
		if (!p.nowhere)
			return 0;
	}
	return 1;
}

int
target_read(struct target *t, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	struct place p;

	for (; len > 0; offset += p.len, out += p.len, len -= p.len) {
		p = place_of(t, offset, len);
		if (p.nowhere)
			memset(out, 0, p.len);
		else if (p.held != NULL)
			memcpy(out, p.held, p.len);
		else if (read_at(t, p.offset, out, p.len, err) != 0)
			return -1;
	}
	return 0;
}

int
target_write(
    struct target *t, uint64_t offset, const uint8_t *p, size_t len, struct err *err)
{
	struct place at;

	for (; len > 0; offset += at.len, p += at.len, len -= at.len) {
		at = place_of(t, offset, len);
		if (at.held != NULL)
			memcpy(at.held, p, at.len);
		else if (!at.nowhere && write_at(t, at.offset, p, at.len, err) != 0)
			return -1;
	}
	return 0;
}

int
target_update(struct target *t, uint64_t offset, const uint8_t *p, size_t len,
    uint64_t *same, struct err *err)
{
	struct place at;

	for (; len > 0; offset += at.len, p += at.len, len -= at.len) {
		at = place_of(t, offset, len);
		if (at.held != NULL)
			memcpy(at.held, p, at.len);
		else if (!at.nowhere &&
			 update_at(t, at.offset, p, at.len, same, err) != 0)
			return -1;
	}
	return 0;
}

int
target_zero(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	struct place p;

	for (; len > 0; offset += p.len, len -= p.len) {
		p = place_of(t, offset, len);
		if (p.held != NULL)
			memset(p.held, 0, p.len);
		else if (!p.nowhere && zero_at(t, p.offset, p.len, err) != 0)
			return -1;
	}
	return 0;
}

int
target_hole(struct target *t, uint64_t offset, uint64_t len, struct err *err)
{
	struct place p;

	for (; len > 0; offset += p.len, len -= p.len) {
		p = place_of(t, offset, len);
		if (p.held == NULL && !p.nowhere && hole_at(t, p.offset, p.len, err) != 0)
			return -1;
	}
	return 0;
}

int
target_settle(struct target *t, struct err *err)
{
	if (fdatasync(t->fd) != 0)
		return err_os(err, errno, "%s", t->path);
	/* What is read from here on comes from the medium. */
	(void)posix_fadvise(t->fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

/* ----------------------------------------------------------------- ending -- */

/* Make the new name durable. */
static int
sync_directory(const char *path)
{
	char *dir = strdup(path), *slash;
	int fd, rc;

	if (dir == NULL)
		return -1;
	slash = strrchr(dir, '/');
	if (slash == NULL)
		strcpy(dir, ".");
	else
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

int
target_finish(struct target *t, struct err *err)
{
	if (fsync(t->fd) != 0 ||
	    (t->partial != NULL &&
		(rename(t->partial, t->path) != 0 || sync_directory(t->path) != 0))) {
		err_os(err, errno, "%s", t->path);
		target_abandon(t);
		return -1;
	}
	free(t->partial);
	t->partial = NULL;
	target_abandon(t);
	return 0;
}

void
target_abandon(struct target *t)
{
	if (t == NULL)
		return;
	free(t->pieces);
	if (t->whole != NULL) {
		free(t);
		return;
	}
	if (t->partial != NULL)
		unlink(t->partial);
	if (t->fd >= 0)
		close(t->fd);
	free(t->partial);
	free(t->path);
	free(t);
}
