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
	if (status == HOTCOPY_STATUS_NOT_KEPT)
		return err_set(err, ERR_SNAPSHOT_LOST,
		    "%.100s: byte %llu was given up to make room and is wanted again",
		    v->path, (unsigned long long)offset);
	if (status == HOTCOPY_STATUS_LOST && snapshot_hotcopy_look(v, err) != 0)
		return -1;
	(void)hotcopy_error(status, "read", err);
	return err_context(
	    err, "%.100s at byte %llu", v->path, (unsigned long long)offset);
}

static int
read_sectors(
    struct hot_volume *v, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	uint32_t status, n;

	for (; len > 0; offset += n, out += n, len -= n) {
		n = len < PIECE ? (uint32_t)len : PIECE;
		status = hotcopy_link_read(v->link, offset, out, n);
		if (status != HOTCOPY_OK)
			return failed(v, status, offset, err);
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

int
snapshot_hotcopy_read(
    void *volume, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct hot_volume *v = volume;
	uint8_t *out = buf;
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
