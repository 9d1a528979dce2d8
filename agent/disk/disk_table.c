#include "agent/disk/disk_table_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

void
disk_table_doubt(struct disk_table *t, const char *why)
{
	if (t->note[0] == '\0')
		(void)snprintf(t->note, sizeof(t->note), "%s", why);
}

void
disk_table_add(
    struct disk_table *t, const struct layout_partition *p, uint64_t from, uint64_t to)
{
	if (p->offset < from || p->offset >= to || p->length == 0 ||
	    p->length > to - p->offset) {
		disk_table_doubt(t, "a partition lies where none can be");
		return;
	}
	if (t->count == LAYOUT_PARTITIONS_MAX) {
		disk_table_doubt(t, "more partitions than a host may have");
		return;
	}
	t->partitions[t->count++] = *p;
}

static int
by_offset(const void *a, const void *b)
{
	const struct layout_partition *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	/* The container first. */
	return (y->role == LAYOUT_EXTENDED) - (x->role == LAYOUT_EXTENDED);
}

/* Do they share bytes that they must not?  `a` stands before `b`. */
static int
collide(const struct layout_partition *a, const struct layout_partition *b)
{
	return a->offset + a->length > b->offset &&
	       !(a->role == LAYOUT_EXTENDED && disk_table_logical(b));
}

/*
 * In order, and none over another but logical ones in theirs.  Of two that collide
 * neither stays: what is free for the file system of one may be the other's data.
 */
static void
settle(struct disk_table *t)
{
	uint8_t out[LAYOUT_PARTITIONS_MAX] = { 0 };
	int lost = 0;
	unsigned n = 0;

	qsort(t->partitions, t->count, sizeof(t->partitions[0]), by_offset);
	for (unsigned i = 0; i < t->count; i++)
		for (unsigned k = 0; k < i; k++)
			if (collide(&t->partitions[k], &t->partitions[i]))
				out[i] = out[k] = 1;
	for (unsigned i = 0; i < t->count; i++)
		lost |= out[i] && t->partitions[i].role == LAYOUT_EXTENDED;
	for (unsigned i = 0; i < t->count; i++) {
		if (out[i])
			disk_table_doubt(t, "a partition lies over another");
		else if (!lost || !disk_table_logical(&t->partitions[i]))
			t->partitions[n++] = t->partitions[i];
	}
	t->count = n;
}

/* Entries of an MBR: is one of this type there, can they all be entries? */
static int
has_protective(const uint8_t *sector)
{
	for (unsigned i = 0; i < 4; i++)
		if (sector[DISK_TABLE_MBR_ENTRIES + DISK_TABLE_MBR_ENTRY_LEN * i + 4] ==
		    DISK_TABLE_PROTECTIVE)
			return 1;
	return 0;
}

/*
 * A file system's boot sector ends with the same two bytes.  It has code where the
 * entries would be, or nothing there but a file system's mark elsewhere.
 */
static int
is_mbr(const uint8_t *sector)
{
	int used = 0, marked;

	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *e =
		    sector + DISK_TABLE_MBR_ENTRIES + DISK_TABLE_MBR_ENTRY_LEN * i;

		if ((e[0] & 0x7f) != 0)
			return 0;
		used |= e[4] != 0 && load_le32(e + 12) != 0;
	}
	marked = memcmp(sector + 3, "NTFS    ", 8) == 0 ||
		 memcmp(sector + 54, "FAT", 3) == 0 ||
		 memcmp(sector + 82, "FAT32", 5) == 0 ||
		 memcmp(sector + 3, "EXFAT   ", 8) == 0;
	return used || !marked;
}

/* The GPT with the sectors that are told, or for an image file with those that fit. */
static int
try_gpt(const struct disk_table_source *src, struct disk_table *out, struct err *err)
{
	static const uint32_t sizes[] = { 512, 4096 };
	int found = 0;

	if (src->sector_size != 0)
		return disk_table_gpt(src, out, err);
	for (unsigned i = 0; i < 2 && found == 0; i++) {
		if (src->size % sizes[i] != 0)
			continue;
		out->sector_size = sizes[i];
		found = disk_table_gpt(src, out, err);
	}
	if (found == 0)
		out->sector_size = 512;
	return found;
}

int
disk_table_read(
    const struct disk_table_source *src, struct disk_table *out, struct err *err)
{
	uint8_t sector[DISK_TABLE_MBR_LEN];
	int found = 0;

	memset(out, 0, sizeof(*out));
	out->sector_size = src->sector_size != 0 ? src->sector_size : 512;
	if (src->size < sizeof(sector))
		return 0;
	if (src->read(src->arg, 0, sector, sizeof(sector), err) != 0)
		return -1;
	if (sector[510] != 0x55 || sector[511] != 0xaa)
		return 0;
	if (has_protective(sector)) {
		if ((found = try_gpt(src, out, err)) < 0)
			return -1;
		if (found == 0) {
			disk_table_doubt(
			    out, "the disk says that it has a GPT, but both are broken");
			return 0;
		}
	} else if (is_mbr(sector)) {
		if (disk_table_mbr(src, sector, out, err) != 0)
			return -1;
	}
	settle(out);
	return 0;
}

uint32_t
disk_table_crc(uint32_t crc, const uint8_t *p, size_t len)
{
	crc = ~crc;
	while (len-- > 0) {
		crc ^= *p++;
		for (unsigned i = 0; i < 8; i++)
			crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
	}
	return ~crc;
}
