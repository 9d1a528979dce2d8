#include "agent/map/ntfs_free.h"

#include <stdlib.h>

#include "agent/map/changes.h"
#include "agent/map/ntfs.h"
#include "agent/map/volmap.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* Bytes of $Bitmap that are judged together. */
#define PART 4096u

struct looking {
	const struct ntfs *v;
	const struct ntfs_stream *bitmap;
	const struct changes *written;
	void (*each)(void *arg, uint64_t offset, uint64_t len);
	void *arg;
};

/* Was any of these bytes of the bitmap itself written? */
static int
is_fresh(const struct looking *l, uint64_t at, uint32_t len)
{
	const uint64_t size = l->v->boot.cluster_size;

	for (uint32_t i = 0; i < l->bitmap->count; i++) {
		const struct ntfs_run *r = &l->bitmap->run[i];
		uint64_t begin = r->vcn * size, end = begin + r->len * size;
		uint64_t from = at > begin ? at : begin;
		uint64_t to = at + len < end ? at + len : end;

		if (from < to && changes_touch(l->written,
				     (uint64_t)r->lcn * size + (from - begin), to - from))
			return 1;
	}
	return 0;
}

/*
 * Clusters that are free by their bits: those of them that were not written.  A part that
 * was written is the whole cluster, as for a map, or it would want what was told free.
 */
static void
tell(const struct looking *l, uint64_t cluster, uint64_t count)
{
	const uint64_t size = l->v->boot.cluster_size;
	uint64_t at = cluster * size, end = at + count * size, n;

	for (; at < end; at += n) {
		n = end - at;
		if (l->written != NULL) {
			n = changes_alike(l->written, at, n);
			if (changes_touch(l->written, at, 1) || n < size) {
				n = (n + size - 1) / size * size;
				continue;
			}
			n = n / size * size;
		}
		l->each(l->arg, at, n);
	}
}

static void
look_at_bits(const struct looking *l, const uint8_t *p, uint64_t first, uint32_t bits)
{
	uint32_t from, i = 0;

	while (i < bits) {
		while (i < bits && (p[i / 8] >> i % 8 & 1) != 0)
			i++;
		for (from = i; i < bits && (p[i / 8] >> i % 8 & 1) == 0;)
			i += i % 8 == 0 && p[i / 8] == 0 && bits - i >= 8 ? 8 : 1;
		if (from < i)
			tell(l, first + from, i - from);
	}
}

static int
look_at_all(const struct looking *l, struct err *err)
{
	const uint64_t all = ((uint64_t)l->v->boot.clusters + 7) / 8;
	uint8_t part[PART];
	int got = 1;

	if (l->bitmap->bytes != NULL || l->bitmap->valid < all)
		return 0;
	for (uint64_t at = 0; at < all && got == 1; at += PART) {
		uint32_t len = all - at < PART ? (uint32_t)(all - at) : PART;
		uint64_t left = l->v->boot.clusters - at * 8;

		if (l->written != NULL && is_fresh(l, at, len))
			continue;
		got = ntfs_stream_read(l->v, l->bitmap, at, part, len, err);
		if (got == 1)
			look_at_bits(
			    l, part, at * 8, left < len * 8u ? (uint32_t)left : len * 8u);
	}
	return got;
}

/* As ntfs.c judges it; offset 10: 1 dirty, 0x4000 chkdsk is at work. */
static int
is_sound(const struct ntfs *v, struct err *err)
{
	struct ntfs_stream info;
	int got = ntfs_stream_open(v, NTFS_VOLUME, NTFS_VOLUME_INFORMATION, &info, err);

	if (got != 1)
		return got;
	got = info.bytes != NULL && info.size >= 12 &&
	      (load_le16(info.bytes + 10) & 0x4001) == 0;
	ntfs_stream_free(&info);
	return got;
}

int
ntfs_free(const struct volmap_source *src, const struct changes *written,
    void (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err)
{
	struct ntfs v = { .src = src };
	struct ntfs_stream bitmap = { .bytes = NULL };
	const struct looking l = { &v, &bitmap, written, each, arg };
	const char *why;
	int got;

	if ((got = ntfs_boot_read(src, &v.boot, &why, err)) != 1)
		return got;
	if ((got = ntfs_mft_open(&v, err)) == 1 && (got = is_sound(&v, err)) == 1 &&
	    (got = ntfs_stream_open(&v, NTFS_BITMAP, NTFS_DATA, &bitmap, err)) == 1)
		got = look_at_all(&l, err);
	ntfs_stream_free(&bitmap);
	ntfs_stream_free(&v.mft);
	return got;
}

/* ------------------------------------------------------------------ the bits alone -- */

static int
show_all(const struct ntfs *v, const struct ntfs_stream *bitmap,
    int (*each)(void *arg, const struct ntfs_free_bits *bits, struct err *err), void *arg,
    struct err *err)
{
	const uint64_t all = ((uint64_t)v->boot.clusters + 7) / 8;
	struct ntfs_free_bits b = { .cluster_size = v->boot.cluster_size };
	uint8_t *part;
	int got = 1;

	if (bitmap->bytes != NULL || bitmap->valid < all)
		return 0;
	if ((part = malloc(NTFS_FREE_PART)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a bitmap");
	b.bits = part;
	for (uint64_t at = 0; at < all && got == 1; at += NTFS_FREE_PART) {
		uint32_t len =
		    all - at < NTFS_FREE_PART ? (uint32_t)(all - at) : NTFS_FREE_PART;
		uint64_t left = v->boot.clusters - at * 8;

		b.first = at * 8;
		b.count = left < len * 8u ? (uint32_t)left : len * 8u;
		got = ntfs_stream_read(v, bitmap, at, part, len, err);
		if (got == 1 && each(arg, &b, err) != 0)
			got = -1;
	}
	free(part);
	return got;
}

int
ntfs_free_bitmap(const struct volmap_source *src,
    int (*each)(void *arg, const struct ntfs_free_bits *bits, struct err *err), void *arg,
    struct err *err)
{
	struct ntfs v = { .src = src };
	struct ntfs_stream bitmap = { .bytes = NULL };
	const char *why;
	int got;

	got = ntfs_boot_read(src, &v.boot, &why, err);
	if (got == -1 || (got == 0 && why == NULL))
		return got;
	if (got == 1 && (got = ntfs_mft_open(&v, err)) == 1 &&
	    (got = ntfs_stream_open(&v, NTFS_BITMAP, NTFS_DATA, &bitmap, err)) == 1)
		got = show_all(&v, &bitmap, each, arg, err);
	ntfs_stream_free(&bitmap);
	ntfs_stream_free(&v.mft);
	return got != 0
		   ? got
		   : err_set(err, ERR_CORRUPT, "an NTFS whose bitmap makes no sense");
}
