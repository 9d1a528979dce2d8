#include "agent/map/ntfs_usage.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/ntfs.h"
#include "agent/map/volmap.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define WINDOW 65536u

static int
damaged(struct err *err, const char *why)
{
	return err_set(err, ERR_CORRUPT, "the NTFS volume is damaged: %s", why);
}

/* Count the bits below `clusters`, lowest of each byte first. */
static void
count_bits(const uint8_t *p, uint32_t first, uint32_t clusters, struct ntfs_usage *out)
{
	uint32_t i, n = clusters - first < WINDOW * 8 ? clusters - first : WINDOW * 8;

	for (i = 0; i < n; i++) {
		if (i % 8 == 0 && p[i / 8] == 0) {
			i += 7;
		} else if ((p[i / 8] >> i % 8 & 1) != 0) {
			out->used++;
			out->last = first + i + 1;
		}
	}
}

static int
count_used(const struct ntfs *v, struct ntfs_usage *out, struct err *err)
{
	struct ntfs_stream bitmap = { .bytes = NULL };
	uint64_t all = ((uint64_t)v->boot.clusters + 7) / 8, at;
	uint8_t *window = malloc(WINDOW);
	size_t n;
	int got;

	if (window == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read $Bitmap");
	got = ntfs_stream_open(v, NTFS_BITMAP, NTFS_DATA, &bitmap, err);
	for (at = 0; got == 1 && at < all; at += n) {
		n = all - at < WINDOW ? (size_t)(all - at) : WINDOW;
		got = ntfs_stream_read(v, &bitmap, at, window, n, err);
		if (got == 1)
			count_bits(window, (uint32_t)(at * 8), v->boot.clusters, out);
	}
	ntfs_stream_free(&bitmap);
	free(window);
	return got == 0 ? damaged(err, "its $Bitmap cannot be read") : got;
}

/*
 * Offset	Size	$VOLUME_INFORMATION
 * 8		2	version of NTFS: major, minor
 * 10		2	flags: 1 dirty, 0x4000 chkdsk is at work
 */
static int
read_flags(const struct ntfs *v, struct ntfs_usage *out, struct err *err)
{
	struct ntfs_stream info = { .bytes = NULL };
	int got = ntfs_stream_open(v, NTFS_VOLUME, NTFS_VOLUME_INFORMATION, &info, err);

	if (got == 1 && (info.bytes == NULL || info.size < 12))
		got = 0;
	if (got == 1) {
		out->major = info.bytes[8];
		out->minor = info.bytes[9];
		out->dirty = (load_le16(info.bytes + 10) & 0x4001) != 0;
	}
	ntfs_stream_free(&info);
	return got == 0 ? damaged(err, "its $Volume cannot be read") : got;
}

static int
look(const struct ntfs *v, struct ntfs_usage *out, struct err *err)
{
	if (read_flags(v, out, err) == -1 ||
	    (out->log_clean = ntfs_log_clean(v, err)) == -1 ||
	    count_used(v, out, err) == -1)
		return -1;
	return 1;
}

int
ntfs_usage(const struct volmap_source *src, struct ntfs_usage *out, struct err *err)
{
	uint8_t sector[512];
	struct ntfs v = { .src = src };
	const char *why = "";
	int got;

	memset(out, 0, sizeof(*out));
	if (src->size < sizeof(sector))
		return 0;
	if (src->read(src->arg, 0, sector, sizeof(sector), err) == -1)
		return -1;
	if ((got = ntfs_boot_parse(sector, src->size, &v.boot, &why)) != 1)
		return got == 0 ? 0 : damaged(err, why);
	out->sector_size = v.boot.sector_size;
	out->cluster_size = v.boot.cluster_size;
	out->clusters = v.boot.clusters;
	out->hidden = load_le32(sector + 28);
	out->sectors = load_le64(sector + 40);
	if ((got = ntfs_mft_open(&v, err)) == 1)
		got = look(&v, out, err);
	else if (got == 0)
		got = damaged(err, "its MFT cannot be read");
	ntfs_stream_free(&v.mft);
	return got;
}
