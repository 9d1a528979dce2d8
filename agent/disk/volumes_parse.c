/* What Windows answers about volumes and disks, from its bytes. */
#include <string.h>

#include "agent/disk/volumes.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define EXTENTS_HEAD 8u /* Count, and room up to the first. */
#define EXTENT_LEN 24u	/* Disk, room, start, length. */

int
volumes_parse_extents(
    const uint8_t *p, size_t len, struct volumes_volume *out, struct err *err)
{
	uint32_t n = len >= EXTENTS_HEAD ? load_le32(p) : 0;

	out->extents_count = 0;
	/* That it is no single piece is what matters; the first say on which disks. */
	if (n > VOLUMES_EXTENTS_MAX)
		n = VOLUMES_EXTENTS_MAX;
	if (len < EXTENTS_HEAD || n > (len - EXTENTS_HEAD) / EXTENT_LEN)
		return err_set(
		    err, ERR_CORRUPT, "%s: its pieces end too early", out->guid);
	for (p += EXTENTS_HEAD; out->extents_count < n; p += EXTENT_LEN) {
		struct volumes_extent *e = &out->extents[out->extents_count++];

		e->disk = load_le32(p);
		e->offset = load_le64(p + 8);
		e->length = load_le64(p + 16);
		if (e->offset > INT64_MAX || e->length == 0 || e->length > INT64_MAX)
			return err_set(err, ERR_CORRUPT,
			    "%s: a piece of it lies where none can be", out->guid);
	}
	return 0;
}

/* Offsets in a STORAGE_DEVICE_DESCRIPTOR (winioctl.h). */
enum {
	DESCRIPTOR_REMOVABLE = 10,
	DESCRIPTOR_VENDOR = 12,
	DESCRIPTOR_PRODUCT = 16,
	DESCRIPTOR_SERIAL = 24,
	DESCRIPTOR_BUS = 28,
	DESCRIPTOR_LEN = 36
};

/* Append the text at the offset that stands at `field`, without blanks at its ends. */
static void
add_text(const uint8_t *p, size_t len, size_t field, char *out, size_t cap)
{
	size_t at = load_le32(p + field), n = strlen(out), end;

	if (at < DESCRIPTOR_LEN || at >= len)
		return;
	for (end = at; end < len && p[end] != '\0';)
		end++;
	while (at < end && p[at] == ' ')
		at++;
	while (end > at && p[end - 1] == ' ')
		end--;
	if (n > 0 && at < end && n + 1 < cap)
		out[n++] = ' ';
	for (; at < end && n + 1 < cap; at++)
		out[n++] = (char)(p[at] >= ' ' && p[at] < 0x7f ? p[at] : '?');
	out[n] = '\0';
}

void
volumes_parse_descriptor(const uint8_t *p, size_t len, struct volumes_disk *out)
{
	out->model[0] = out->serial[0] = '\0';
	out->removable = out->bus = 0;
	if (len < DESCRIPTOR_LEN)
		return;
	out->removable = p[DESCRIPTOR_REMOVABLE] != 0;
	out->bus = p[DESCRIPTOR_BUS];
	add_text(p, len, DESCRIPTOR_VENDOR, out->model, sizeof(out->model));
	add_text(p, len, DESCRIPTOR_PRODUCT, out->model, sizeof(out->model));
	add_text(p, len, DESCRIPTOR_SERIAL, out->serial, sizeof(out->serial));
}

int
volumes_encrypted(const uint8_t sector[512])
{
	/* 4967D63B-2E29-4AD8-8399-F6A339E3D001: a stick that looks like FAT. */
	static const uint8_t to_go[16] = { 0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
		0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01 };

	return memcmp(sector + 3, "-FVE-FS-", 8) == 0 ||
	       memcmp(sector + 424, to_go, sizeof(to_go)) == 0;
}

int
volumes_is_pool(const uint8_t type[16])
{
	/* E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D */
	static const uint8_t pool[16] = { 0x8f, 0xaf, 0x5c, 0xe7, 0x80, 0xf6, 0xee, 0x4c,
		0xaf, 0xa3, 0xb0, 0x01, 0xe5, 0x6e, 0xfc, 0x2d };

	return memcmp(type, pool, sizeof(pool)) == 0;
}

uint32_t
volumes_page_files(const char *list, size_t len)
{
	uint32_t letters = 0;
	size_t n;

	for (; len > 0 && *list != '\0'; list += n, len -= n) {
		const char *s = list;
		size_t left;

		for (n = 0; n < len && list[n] != '\0';)
			n++;
		left = n;
		if (left > 4 && (memcmp(s, "\\?\?\\", 4) == 0)) {
			s += 4;
			left -= 4;
		}
		if (left >= 2 && s[1] == ':') {
			char c = (char)(s[0] & ~0x20);

			if (c >= 'A' && c <= 'Z')
				letters |= 1u << (c - 'A');
		}
		if (n < len)
			n++;
	}
	return letters;
}
