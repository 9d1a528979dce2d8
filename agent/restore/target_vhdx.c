#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/target.h"
#include "agent/restore/target_medium.h"
#include "agent/restore/vhdx.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define SIGNATURE_LEN 8u

struct target_vhdx {
	struct target_medium m;
	struct target_medium *file;
	struct vhdx v;
	pthread_mutex_t lock; /* Guards the two below, and the file's length. */
	uint32_t *place;      /* Of each block of the disk: its number in the file + 1. */
	uint32_t used;	      /* Blocks in the file. */
};

/*
 * The file's byte of `offset` and how much of `len` lies together there; 0: that block
 * is in no file yet, and is not to be `made`.
 */
static int
find_place(struct target_vhdx *t, uint64_t offset, size_t *len, int make, uint64_t *at,
    struct err *err)
{
	uint64_t block = offset / t->v.block_size, within = offset % t->v.block_size;
	uint64_t begin = vhdx_data_at(&t->v);
	int rc = 0;

	if (*len > t->v.block_size - within)
		*len = (size_t)(t->v.block_size - within);
	pthread_mutex_lock(&t->lock);
	if (t->place[block] == 0 && make) {
		/* The file has all of the block from now on, as zeros. */
		rc = t->file->ops->grow(
		    t->file, begin + (uint64_t)(t->used + 1) * t->v.block_size, err);
		if (rc == 0)
			t->place[block] = ++t->used;
	}
	*at = 0;
	if (t->place[block] > 0)
		*at = begin + (uint64_t)(t->place[block] - 1) * t->v.block_size + within;
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static int
vhdx_medium_read(
    struct target_medium *m, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	struct target_vhdx *t = (struct target_vhdx *)m;
	uint64_t at;

	for (size_t n = len; len > 0; offset += n, out += n, len -= n, n = len) {
		if (find_place(t, offset, &n, 0, &at, err) != 0)
			return -1;
		if (at == 0)
			memset(out, 0, n);
		else if (t->file->ops->read(t->file, at, out, n, err) != 0)
			return -1;
	}
	return 0;
}

static int
vhdx_medium_write(struct target_medium *m, uint64_t offset, const uint8_t *p, size_t len,
    struct err *err)
{
	struct target_vhdx *t = (struct target_vhdx *)m;
	uint64_t at;

	for (size_t n = len; len > 0; offset += n, p += n, len -= n, n = len)
		if (find_place(t, offset, &n, 1, &at, err) != 0 ||
		    t->file->ops->write(t->file, at, p, n, err) != 0)
			return -1;
	return 0;
}

/* Only what was written may be other than zeros. */
static int
vhdx_medium_zero(struct target_medium *m, uint64_t offset, uint64_t len)
{
	struct target_vhdx *t = (struct target_vhdx *)m;
	struct err ignored = ERR_INIT;
	uint64_t at;
	size_t n;

	for (; len > 0; offset += n, len -= n) {
		n = len < t->v.block_size ? (size_t)len : t->v.block_size;
		if (find_place(t, offset, &n, 0, &at, &ignored) != 0 ||
		    (at != 0 && !t->file->ops->zero(t->file, at, n)))
			return 0;
	}
	return 1;
}

static void
vhdx_medium_onward(struct target_medium *m)
{
	struct target_vhdx *t = (struct target_vhdx *)m;

	if (t->file->ops->onward != NULL)
		t->file->ops->onward(t->file);
}

static int
vhdx_medium_settle(struct target_medium *m, struct err *err)
{
	struct target_vhdx *t = (struct target_vhdx *)m;

	return t->file->ops->settle(t->file, err);
}

static int
vhdx_medium_room(struct target_medium *m, uint64_t *out, struct err *err)
{
	struct target_vhdx *t = (struct target_vhdx *)m;

	return t->file->ops->room(t->file, out, err);
}

static int
write_bat(struct target_vhdx *t, struct err *err)
{
	uint8_t *p = calloc(1, VHDX_ALIGN);
	uint64_t block = 0, at, offset, from;
	int rc = 0;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (from = 0; from < t->v.bat_len && rc == 0; from += VHDX_ALIGN) {
		memset(p, 0, VHDX_ALIGN);
		for (; block < t->v.blocks; block++) {
			at = vhdx_bat_at(&t->v, block);
			if (at >= from + VHDX_ALIGN)
				break;
			offset =
			    t->place[block] == 0
				? 0
				: vhdx_data_at(&t->v) +
				      (uint64_t)(t->place[block] - 1) * t->v.block_size;
			store_le64(p + (at - from), vhdx_bat_entry(offset));
		}
		rc = t->file->ops->write(t->file, VHDX_BAT_AT + from, p, VHDX_ALIGN, err);
	}
	free(p);
	return rc;
}

/* All but the first bytes, without which it is no VHDX, and those when all is there. */
static int
vhdx_medium_finish(struct target_medium *m, struct err *err)
{
	struct target_vhdx *t = (struct target_vhdx *)m;
	const struct target_medium_ops *ops = t->file->ops;
	uint8_t *p = malloc(VHDX_HEAD_LEN);
	int rc = -1;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (write_bat(t, err) != 0)
		goto out;
	vhdx_metadata(&t->v, p);
	if (ops->write(t->file, VHDX_METADATA_AT, p, VHDX_METADATA_LEN, err) != 0)
		goto out;
	vhdx_head(&t->v, p);
	if (ops->write(t->file, SIGNATURE_LEN, p + SIGNATURE_LEN,
		VHDX_HEAD_LEN - SIGNATURE_LEN, err) != 0 ||
	    ops->settle(t->file, err) != 0 ||
	    ops->write(t->file, 0, p, SIGNATURE_LEN, err) != 0)
		goto out;
	rc = ops->finish(t->file, err);
out:
	free(p);
	return rc;
}

static void
vhdx_medium_close(struct target_medium *m)
{
	struct target_vhdx *t = (struct target_vhdx *)m;

	if (t->file != NULL)
		t->file->ops->close(t->file);
	pthread_mutex_destroy(&t->lock);
	free(t->place);
	free(t);
}

static const struct target_medium_ops vhdx_ops = {
	.read = vhdx_medium_read,
	.write = vhdx_medium_write,
	.zero = vhdx_medium_zero,
	.onward = vhdx_medium_onward,
	.settle = vhdx_medium_settle,
	.room = vhdx_medium_room,
	.finish = vhdx_medium_finish,
	.close = vhdx_medium_close,
};

static int
open_file(struct target_vhdx *t, const char *path, uint32_t sector_size, unsigned flags,
    struct err *err)
{
	uint8_t random[VHDX_RANDOM_LEN];

	if ((flags & TARGET_KEEP) != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: a VHDX is written anew, not compared; leave out --delta", path);
	if (sodium_init() < 0)
		return err_set(err, ERR_IO, "no random numbers");
	randombytes_buf(random, sizeof(random));
	if (vhdx_make(t->m.size, sector_size, random, &t->v, err) != 0)
		return err_context(err, "%s", path);
	if ((t->place = calloc(t->v.blocks, sizeof(*t->place))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	return target_medium_file(path, vhdx_data_at(&t->v), flags, &t->file, err);
}

int
target_medium_vhdx(const char *path, uint64_t size, uint32_t sector_size, unsigned flags,
    struct target_medium **out, struct err *err)
{
	struct target_vhdx *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	pthread_mutex_init(&t->lock, NULL);
	t->m.ops = &vhdx_ops;
	t->m.size = size;
	if (open_file(t, path, sector_size, flags, err) != 0) {
		vhdx_medium_close(&t->m);
		return -1;
	}
	t->m.path = t->file->path;
	t->m.fresh = 1;
	*out = &t->m;
	return 0;
}
