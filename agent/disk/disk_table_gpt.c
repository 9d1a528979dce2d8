#include "agent/disk/disk_table_parts.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* C12A7328-F81F-11D2-BA4B-00A0C93EC93B and so on, as on disk. */
const uint8_t disk_table_esp[16] = { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba,
	0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b };
const uint8_t disk_table_msr[16] = { 0x16, 0xe3, 0xc9, 0xe3, 0x5c, 0x0b, 0xb8, 0x4d, 0x81,
	0x7d, 0xf9, 0x2d, 0xf0, 0x02, 0x15, 0xae };
const uint8_t disk_table_recovery[16] = { 0xa4, 0xbb, 0x94, 0xde, 0xd1, 0x06, 0x40, 0x4d,
	0xa1, 0x6a, 0xbf, 0xd5, 0x01, 0x79, 0xd6, 0xac };
const uint8_t disk_table_bios_boot[16] = { 0x48, 0x61, 0x68, 0x21, 0x49, 0x64, 0x6f, 0x6e,
	0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49 };
const uint8_t disk_table_swap[16] = { 0x6d, 0xfd, 0x57, 0x06, 0xab, 0xa4, 0xc4, 0x43,
	0x84, 0xe5, 0x09, 0x33, 0xc8, 0x4b, 0x4f, 0x4f };

/* AF9B60A0-1431-4F62-BC68-3311714A69AD, 5808C8AA-7E8F-42E0-85D2-E1E90434CFB3. */
static const uint8_t ldm_data[16] = { 0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14, 0x62, 0x4f,
	0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69, 0xad };
static const uint8_t ldm_database[16] = { 0xaa, 0xc8, 0x08, 0x58, 0x8f, 0x7e, 0xe0, 0x42,
	0x85, 0xd2, 0xe1, 0xe9, 0x04, 0x34, 0xcf, 0xb3 };

int
disk_table_dynamic(enum layout_table kind, const struct layout_partition *p)
{
	if (kind == LAYOUT_MBR)
		return p->type[0] == DISK_TABLE_LDM;
	return memcmp(p->type, ldm_data, 16) == 0 ||
	       memcmp(p->type, ldm_database, 16) == 0;
}

/* What a header says and what is not to be believed before its sum is right. */
struct header {
	uint64_t first, last, entries, array; /* Sectors; the array's length. */
	uint32_t count, entry_len, sum;
	uint8_t id[16];
};

/* The header in sector `at`: 1, or 0 if it is none that can be. */
static int
header_at(const struct disk_table_source *src, uint32_t sector_size, uint64_t at,
    struct header *h, struct err *err)
{
	uint64_t sectors = src->size / sector_size;
	uint8_t p[4096];
	uint32_t len, sum;

	if (at >= sectors)
		return 0;
	if (src->read(src->arg, at * sector_size, p, sector_size, err) != 0)
		return -1;
	len = load_le32(p + 12);
	if (memcmp(p, "EFI PART", 8) != 0 || len < DISK_TABLE_HEADER_LEN ||
	    len > sector_size)
		return 0;
	sum = load_le32(p + 16);
	store_le32(p + 16, 0);
	if (disk_table_crc(0, p, len) != sum || load_le64(p + 24) != at)
		return 0;
	h->first = load_le64(p + 40);
	h->last = load_le64(p + 48);
	memcpy(h->id, p + 56, 16);
	h->entries = load_le64(p + 72);
	h->count = load_le32(p + 80);
	h->entry_len = load_le32(p + 84);
	h->sum = load_le32(p + 88);
	if (h->entry_len < DISK_TABLE_ENTRY_LEN || h->entry_len > 4096 ||
	    (h->entry_len & (h->entry_len - 1)) != 0 || h->count == 0 ||
	    h->count > DISK_TABLE_ARRAY_MAX / h->entry_len)
		return 0;
	h->array = ((uint64_t)h->count * h->entry_len + sector_size - 1) / sector_size;
	return h->entries >= 2 && h->entries < sectors &&
	       h->array <= sectors - h->entries && h->first < sectors &&
	       h->last < sectors && h->first <= h->last;
}

/* UTF-16 of an entry's name; what no text may have becomes U+FFFD. */
static void
label_of(const uint8_t *p, char out[LAYOUT_LABEL_MAX])
{
	size_t n = 0;

	for (unsigned i = 0; i < 36; i++) {
		uint32_t c = load_le16(p + 2 * i), low;

		if (c == 0)
			break;
		low = i + 1 < 36 ? load_le16(p + 2 * i + 2) : 0;
		if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			i++;
		} else if ((c >= 0xd800 && c < 0xe000) || c < 0x20 || c == 0x7f) {
			c = 0xfffd;
		}
		if (c < 0x80) {
			out[n++] = (char)c;
			continue;
		}
		if (c >= 0x10000)
			out[n++] = (char)(0xf0 | c >> 18);
		if (c >= 0x800)
			out[n++] = (char)(c >= 0x10000 ? 0x80 | (c >> 12 & 0x3f)
						       : 0xe0 | c >> 12);
		out[n++] = (char)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3f) : 0xc0 | c >> 6);
		out[n++] = (char)(0x80 | (c & 0x3f));
	}
	out[n] = '\0';
}

static uint8_t
role_of(const uint8_t type[16])
{
	return memcmp(type, disk_table_esp, 16) == 0	     ? LAYOUT_ESP
	       : memcmp(type, disk_table_msr, 16) == 0	     ? LAYOUT_MSR
	       : memcmp(type, disk_table_recovery, 16) == 0  ? LAYOUT_RECOVERY
	       : memcmp(type, disk_table_bios_boot, 16) == 0 ? LAYOUT_BOOT
							     : LAYOUT_DATA;
}

static void
take_entry(const struct disk_table_source *src, const struct header *h, const uint8_t *e,
    unsigned number, struct disk_table *t)
{
	static const uint8_t unused[16];
	uint64_t first = load_le64(e + 32), last = load_le64(e + 40);
	struct layout_partition p;

	if (memcmp(e, unused, 16) == 0)
		return;
	memset(&p, 0, sizeof(p));
	/* Nor over this table, whatever it says is usable. */
	if (first > last || last >= src->size / t->sector_size || first < 2 ||
	    (first < h->entries + h->array && last >= h->entries)) {
		disk_table_doubt(t, "a partition lies where none can be");
		return;
	}
	p.number = (uint16_t)number;
	p.volume = LAYOUT_NO_VOLUME;
	p.role = role_of(e);
	p.offset = first * t->sector_size;
	p.length = (last - first + 1) * t->sector_size;
	memcpy(p.type, e, 16);
	memcpy(p.id, e + 16, 16);
	p.attributes = load_le64(e + 48);
	label_of(e + 56, p.label);
	disk_table_add(t, &p, h->first * t->sector_size, (h->last + 1) * t->sector_size);
}

/* The entries of a sound header: 1, or 0 if their sum is wrong. */
static int
take_entries(const struct disk_table_source *src, const struct header *h,
    struct disk_table *t, struct err *err)
{
	size_t len = (size_t)h->count * h->entry_len;
	uint8_t *p = malloc(len);
	int rc = -1;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (src->read(src->arg, h->entries * t->sector_size, p, len, err) == 0)
		rc = disk_table_crc(0, p, len) == h->sum;
	if (rc == 1) {
		t->kind = LAYOUT_GPT;
		memcpy(t->id, h->id, sizeof(t->id));
		for (uint32_t i = 0; i < h->count; i++)
			take_entry(src, h, p + (size_t)i * h->entry_len, i + 1, t);
	}
	free(p);
	return rc;
}

int
disk_table_gpt(
    const struct disk_table_source *src, struct disk_table *out, struct err *err)
{
	struct header h;
	int rc = header_at(src, out->sector_size, 1, &h, err);

	if (rc == 1)
		rc = take_entries(src, &h, out, err);
	if (rc != 0)
		return rc;
	rc = header_at(src, out->sector_size, src->size / out->sector_size - 1, &h, err);
	if (rc == 1)
		rc = take_entries(src, &h, out, err);
	if (rc == 1) {
		out->backup = 1;
		disk_table_doubt(out, "the primary GPT is broken: read from the backup");
	}
	return rc;
}
