/*
 * The offline provider: a block device or a plain file that nobody writes.
 * Nothing is copied; the frozen view is the source itself, kept from writers
 * where the system lets us, and watched for change where it does not.
 */
#define _GNU_SOURCE /* F_OFD_SETLK, makedev */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "agent/capture/snapshot_mounts.h"
#include "agent/capture/snapshot_provider.h"
#include "proto/base/err.h"

/* What must not move between freeze and confirm. */
struct state {
	uint64_t size;	   /* Bytes. */
	int64_t changed_s; /* Plain files: last change of the content. */
	int64_t changed_ns;
	uint64_t written; /* Devices: sectors written or discarded since boot. */
};

struct offline {
	int fd;
	int is_device;
	dev_t dev;	      /* Files: where they live; devices: which it is. */
	ino_t ino;	      /* Files. */
	uint32_t sector_size; /* Bytes. */
	struct state frozen;
	char *path;
};

/* Sectors written to and discarded on the device; 0 if the kernel does not tell. */
static uint64_t
sectors_written(dev_t dev)
{
	char path[64];
	uint64_t written = 0, discarded = 0;
	FILE *f;

	(void)snprintf(
	    path, sizeof(path), "/sys/dev/block/%u:%u/stat", major(dev), minor(dev));
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	if (fscanf(f, "%*u %*u %*u %*u %*u %*u %" SCNu64, &written) != 1)
		written = 0;
	if (fscanf(f, "%*u %*u %*u %*u %*u %*u %" SCNu64, &discarded) != 1)
		discarded = 0;
	(void)fclose(f);
	return written + discarded;
}

static int
look(const struct offline *v, struct state *out, struct err *err)
{
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (v->is_device) {
		if (ioctl(v->fd, BLKGETSIZE64, &out->size) == -1)
			return err_os(err, errno, "%s: size", v->path);
		/* What lies in the cache only is read, too, and not counted yet. */
		(void)fsync(v->fd);
		out->written = sectors_written(v->dev);
		return 0;
	}
	if (fstat(v->fd, &st) == -1)
		return err_os(err, errno, "%s", v->path);
	out->size = (uint64_t)st.st_size;
	out->changed_s = st.st_mtim.tv_sec;
	out->changed_ns = st.st_mtim.tv_nsec;
	return 0;
}

/* A device: claim it, so that nobody can mount it for writing meanwhile. */
static int
open_device(struct offline *v, struct err *err)
{
	int how, sector = 0;

	v->fd = open(v->path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (v->fd == -1 && errno == EBUSY) {
		if ((how = snapshot_mounts_device(v->dev, err)) == -1)
			return -1;
		if (how == SNAPSHOT_MOUNTS_WRITING)
			return err_set(err, ERR_BUSY,
			    "%s is mounted for writing: unmount it first", v->path);
		if (how == SNAPSHOT_MOUNTS_NONE)
			return err_set(err, ERR_BUSY,
			    "%s is in use (by a mounted partition of it, LVM, RAID, "
			    "swap or another program)",
			    v->path);
		v->fd = open(v->path, O_RDONLY | O_CLOEXEC);
	}
	if (v->fd == -1)
		return err_os(err, errno, "%s", v->path);
	if (ioctl(v->fd, BLKSSZGET, &sector) == -1)
		return err_os(err, errno, "%s: sector size", v->path);
	v->sector_size = (uint32_t)sector;
	return 0;
}

/* A plain file: a read lock, which those who lock what they write will meet. */
static int
open_file(struct offline *v, struct err *err)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int how;

	if ((how = snapshot_mounts_file(v->dev, v->ino, err)) == -1)
		return -1;
	if (how == SNAPSHOT_MOUNTS_WRITING)
		return err_set(err, ERR_BUSY,
		    "%s is mounted for writing: unmount it first", v->path);
	if ((v->fd = open(v->path, O_RDONLY | O_CLOEXEC)) == -1)
		return err_os(err, errno, "%s", v->path);
	if (fcntl(v->fd, F_OFD_SETLK, &lock) == -1 &&
	    (errno == EAGAIN || errno == EACCES))
		return err_set(err, ERR_BUSY,
		    "%s is being written: another program holds a lock on it", v->path);
	v->sector_size = 512;
	return 0;
}

static void
offline_close(void *volume)
{
	struct offline *v = volume;

	if (v->fd != -1)
		(void)close(v->fd);
	free(v->path);
	free(v);
}

static int
check_size(const struct offline *v, uint64_t size, struct err *err)
{
	if (v->sector_size < 512 || v->sector_size > 4096)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s has sectors of %" PRIu32 " bytes", v->path, v->sector_size);
	if (size == 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s is empty: there is nothing to back up", v->path);
	if (size % v->sector_size != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s has %" PRIu64 " bytes, which is no whole number of %" PRIu32
		    "-byte sectors",
		    v->path, size, v->sector_size);
	return 0;
}

static int
take(struct offline *v, struct err *err)
{
	struct state now;
	struct stat st;

	if (stat(v->path, &st) == -1)
		return err_os(err, errno, "%s", v->path);
	v->is_device = S_ISBLK(st.st_mode);
	if (!v->is_device && !S_ISREG(st.st_mode))
		return err_set(err, ERR_UNSUPPORTED,
		    "%s is neither a block device nor a plain file", v->path);
	v->dev = v->is_device ? st.st_rdev : st.st_dev;
	v->ino = v->is_device ? 0 : st.st_ino;
	if ((v->is_device ? open_device(v, err) : open_file(v, err)) == -1)
		return -1;
	if (look(v, &now, err) == -1)
		return -1;
	return check_size(v, now.size, err);
}

static int
offline_add(void *set, const char *path, void **volume, struct err *err)
{
	struct offline *v = calloc(1, sizeof(*v));

	(void)set;
	if (v == NULL || (v->path = strdup(path)) == NULL) {
		free(v);
		return err_set(err, ERR_NOMEM, "no memory to open %s", path);
	}
	v->fd = -1;
	if (take(v, err) == -1) {
		offline_close(v);
		return -1;
	}
	*volume = v;
	return 0;
}

static int
offline_same(const void *volume, const void *other)
{
	const struct offline *a = volume, *b = other;

	return a->is_device == b->is_device && a->dev == b->dev && a->ino == b->ino;
}

static int
offline_freeze(void *set, void **volumes, size_t count, uint32_t timeout_ms,
    struct snapshot_info *infos, struct err *err)
{
	struct timespec now;

	(void)set;
	(void)timeout_ms;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < count; i++) {
		struct offline *v = volumes[i];

		if (look(v, &v->frozen, err) == -1 ||
		    check_size(v, v->frozen.size, err) == -1)
			return -1;
		infos[i].size = v->frozen.size;
		infos[i].sector_size = v->sector_size;
		infos[i].grade = SNAPSHOT_EXCLUSIVE;
		infos[i].frozen_at = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	}
	return 0;
}

static int
offline_read(void *volume, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct offline *v = volume;
	uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		n = pread(v->fd, p, len, (off_t)offset);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_os(
			    err, errno, "%s: reading at byte %" PRIu64, v->path, offset);
		if (n == 0)
			return err_set(err, ERR_SNAPSHOT_LOST,
			    "%s became shorter while it was read", v->path);
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int
offline_confirm(void *volume, struct err *err)
{
	struct offline *v = volume;
	struct state now;

	if (look(v, &now, err) == -1)
		return -1;
	if (now.size != v->frozen.size || now.changed_s != v->frozen.changed_s ||
	    now.changed_ns != v->frozen.changed_ns || now.written != v->frozen.written)
		return err_set(err, ERR_SNAPSHOT_LOST,
		    "%s: the source changed while it was read", v->path);
	return 0;
}

const struct snapshot_provider snapshot_offline = {
	.name = "offline",
	.add = offline_add,
	.same = offline_same,
	.freeze = offline_freeze,
	.read = offline_read,
	.confirm = offline_confirm,
	.close = offline_close,
};
