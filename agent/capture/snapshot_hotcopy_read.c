/*
 * The image of one volume.  The driver gives whole sectors, 1 MiB at a time; what a caller
 * wants may begin and end anywhere.
 */
#include "agent/capture/snapshot_hotcopy.h"

#include <string.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_link.h"
#include "proto/base/err.h"

#define PIECE (1u << 20) /* Bytes of one read of a link. */
#define SECTOR_MAX 4096u

int
snapshot_hotcopy_bind(struct hot_set *s, struct err *err)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct hot_volume *v = s->volume[i];

		if (hotcopy_link_open(v->path, &v->link, err) != 0 ||
		    hotcopy_bind(v->link, s->number, i, err) != 0)
			return err_context(err, "%.100s", v->path);
	}
	return 0;
}

void
snapshot_hotcopy_unbind(struct hot_set *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		hotcopy_link_close(s->volume[i]->link);
		s->volume[i]->link = NULL;
	}
}

static const char *
reason_name(uint32_t why)
{
	static const char *const words[] = {
		[HOTCOPY_WHY_NONE] = "no reason is known",
		[HOTCOPY_WHY_NO_SPACE] =
		    "no room was left for copies of what was written",
		[HOTCOPY_WHY_READ_ERROR] = "the volume could not be read for a copy",
		[HOTCOPY_WHY_DIFF_ERROR] = "the room for copies could not be used",
		[HOTCOPY_WHY_REMOVED] = "the volume was removed",
		[HOTCOPY_WHY_RESIZED] = "the volume has another size",
		[HOTCOPY_WHY_UNKNOWN_WRITE] = "something was written nobody knows where",
		[HOTCOPY_WHY_WRITTEN_INTO] = "somebody wrote into the driver's own file",
		[HOTCOPY_WHY_POWER] = "the system slept or is stopping",
		[HOTCOPY_WHY_NO_MEMORY] = "the system has no memory",
		[HOTCOPY_WHY_ASKED] = "somebody asked for it",
	};

	return why < sizeof(words) / sizeof(words[0]) && words[why] != NULL
		   ? words[why]
		   : words[HOTCOPY_WHY_NONE];
}

int
snapshot_hotcopy_look(struct hot_volume *v, struct err *err)
{
	struct hotcopy_volume facts;

	if (hotcopy_find(v->set->owner, v->number, &facts, err) != 0)
		return err_context(err, "%.100s", v->path);
	if (facts.state == HOTCOPY_ACTIVE && facts.length == v->length)
		return 0;
	return err_set(err, ERR_SNAPSHOT_LOST, "%.100s: its frozen view is lost: %s",
	    v->path, reason_name(facts.why));
}

/* Why was it not read?  -1. */
static int
failed(struct hot_volume *v, uint32_t status, uint64_t offset, struct err *err)
{
	if (status == HOTCOPY_STATUS_NOT_KEPT) {
		snapshot_hotcopy_free_was_wanted(v);
		return err_set(err, ERR_SNAPSHOT_LOST,
		    "%.100s: byte %llu was given up (read before, or free) and is wanted "
		    "again",
		    v->path, (unsigned long long)offset);
	}
	if (status == HOTCOPY_STATUS_LOST && snapshot_hotcopy_look(v, err) != 0)
		return -1;
	(void)hotcopy_error(status, "read", err);
	return err_context(
	    err, "%.100s at byte %llu", v->path, (unsigned long long)offset);
}

/*
 * Chunk by chunk: some of them the driver keeps no more, but we do.  What it does not keep
 * though we never gave it up is a store that it tracks with, whoever made that (hotcopyctl,
 * an earlier start).  It is in no image, and zeros in its place are what a restore must
 * leave there: an old store would be believed.
 */
static int
read_chunks(
    struct hot_volume *v, uint64_t offset, uint8_t *out, uint32_t len, struct err *err)
{
	const uint32_t chunk = 1u << v->set->chunk_shift;
	uint32_t status, n, from;
	int got;

	for (; len > 0; offset += n, out += n, len -= n) {
		from = (uint32_t)(offset % chunk);
		n = chunk - from < len ? chunk - from : len;
		status = hotcopy_link_read(v->link, offset, out, n);
		if (status == HOTCOPY_OK)
			continue;
		got = 0;
		if (status == HOTCOPY_STATUS_NOT_KEPT)
			got = snapshot_hotcopy_ahead_get(
			    v->set->ahead, v, offset / chunk, from, out, n, err);
		if (got == 0 && status == HOTCOPY_STATUS_NOT_KEPT && !v->told_free &&
		    !snapshot_hotcopy_is_given(v, offset / chunk)) {
			memset(out, 0, n);
			got = 1;
		}
		if (got != 1)
			return got == -1 ? -1 : failed(v, status, offset, err);
	}
	return 0;
}

static int
read_sectors(
    struct hot_volume *v, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	uint32_t status, n;

	for (; len > 0; offset += n, out += n, len -= n) {
		n = len < PIECE ? (uint32_t)len : PIECE;
		status = hotcopy_link_read(v->link, offset, out, n);
		if (status == HOTCOPY_STATUS_NOT_KEPT) {
			if (read_chunks(v, offset, out, n, err) != 0)
				return -1;
		} else if (status != HOTCOPY_OK) {
			return failed(v, status, offset, err);
		}
	}
	return 0;
}

/* What lies within one sector, and is not all of it. */
static int
read_part(
    struct hot_volume *v, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	uint8_t sector[SECTOR_MAX];
	uint32_t skip = (uint32_t)(offset % v->sector);

	if (read_sectors(v, offset - skip, sector, v->sector, err) != 0)
		return -1;
	memcpy(out, sector + skip, len);
	return 0;
}

static int
read_kept(
    struct hot_volume *v, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	size_t n = (size_t)(offset % v->sector);

	if (n > 0) {
		n = v->sector - n < len ? v->sector - n : len;
		if (read_part(v, offset, out, n, err) != 0)
			return -1;
		offset += n;
		out += n;
		len -= n;
	}
	n = len - len % v->sector;
	if (read_sectors(v, offset, out, n, err) != 0)
		return -1;
	return len == n ? 0 : read_part(v, offset + n, out + n, len - n, err);
}

/* The first of the unkept ranges that ends behind `offset`. */
static unsigned
unkept_at(const struct hot_volume *v, uint64_t offset)
{
	unsigned low = 0, high = v->unkept_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (v->unkept[middle].offset + v->unkept[middle].len <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Did the thread hear that the image is gone?  Then nobody need ask. */
static int
check_dropped(struct hot_volume *v, struct err *err)
{
	uint32_t why;

	(void)pthread_mutex_lock(&v->set->lock);
	why = v->dropped;
	(void)pthread_mutex_unlock(&v->set->lock);
	if (why == HOTCOPY_WHY_NONE)
		return 0;
	return err_set(err, ERR_SNAPSHOT_LOST, "%.100s: its frozen view is lost: %s",
	    v->path, reason_name(why));
}

int
snapshot_hotcopy_read(
    void *volume, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct hot_volume *v = volume;
	unsigned i = unkept_at(v, offset);
	uint64_t at = offset, end = offset + len, next;
	uint8_t *out = buf;

	if (check_dropped(v, err) != 0)
		return -1;
	for (; at < end; out += next - at, at = next) {
		const struct volmap_unkept *u =
		    i < v->unkept_count ? &v->unkept[i] : NULL;

		if (u != NULL && u->offset <= at) {
			next = u->offset + u->len < end ? u->offset + u->len : end;
			memset(out, 0, (size_t)(next - at));
			i++;
			continue;
		}
		next = u != NULL && u->offset < end ? u->offset : end;
		if (read_kept(v, at, out, (size_t)(next - at), err) != 0)
			return -1;
	}
	snapshot_hotcopy_was_read(v, offset, len);
	return 0;
}
