#include "agent/map/fat.h"

#include <string.h>

#include "proto/base/bytes.h"

/* The names that full-disk encryption puts where a plain FAT would have its own. */
static const uint8_t bitlocker_to_go[16] = { 0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8,
	0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01 };

static int
power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static int
plausible(const uint8_t *p)
{
	if (load_le16(p + 510) != 0xaa55)
		return 0;
	if (p[0] != 0xe9 && !(p[0] == 0xeb && p[2] == 0x90))
		return 0;
	if (memcmp(p + 3, "-FVE-FS-", 8) == 0 || memcmp(p + 3, "NTFS    ", 8) == 0 ||
	    memcmp(p + 3, "EXFAT   ", 8) == 0)
		return 0;
	return memcmp(p + 424, bitlocker_to_go, sizeof(bitlocker_to_go)) != 0;
}

/*
 * Offset	Size	Boot sector
 * 11		2	bytes a sector
 * 13		1	sectors a cluster
 * 14		2	reserved sectors, before the first table
 * 16		1	tables
 * 17		2	entries of the root directory; FAT32: 0
 * 19		2	sectors, or 0 and 4 bytes at 32
 * 21		1	media: 0xf0, 0xf8..0xff
 * 22		2	sectors a table, or 0 and 4 bytes at 36 (FAT32)
 * 37		1	bit 0: not left clean; FAT32: at 65
 */
int
fat_boot_parse(const uint8_t *p, uint64_t size, struct fat_boot *out)
{
	uint32_t sector = load_le16(p + 11), per_cluster = p[13],
		 reserved = load_le16(p + 14);
	uint32_t sectors = load_le16(p + 19), table = load_le16(p + 22);
	uint64_t root = load_le16(p + 17) * 32ull, data, clusters;
	int is_32 = table == 0;

	memset(out, 0, sizeof(*out));
	if (!plausible(p) || sector < 512 || sector > 4096 || !power_of_two(sector) ||
	    !power_of_two(per_cluster) || per_cluster * sector > 256u * 1024 ||
	    reserved == 0 || p[16] < 1 || p[16] > 4 || (p[21] != 0xf0 && p[21] < 0xf8))
		return 0;
	if (sectors == 0)
		sectors = load_le32(p + 32);
	if (is_32)
		table = load_le32(p + 36);
	if (table == 0 || sectors > size / sector || (is_32 && root != 0) ||
	    (!is_32 && root == 0))
		return 0;
	out->tables = p[16];
	out->table_at = (uint64_t)reserved * sector;
	out->table_size = (uint64_t)table * sector;
	data = reserved + (uint64_t)out->tables * table + (root + sector - 1) / sector;
	if (data >= sectors)
		return 0;
	out->data_at = data * sector;
	out->cluster_size = per_cluster * sector;
	clusters = (sectors - data) / per_cluster;
	out->bits = is_32 ? 32 : clusters < 4085 ? 12 : 16;
	if (clusters == 0 || (!is_32 && clusters >= 65525) || clusters > 0x0ffffff5 ||
	    (clusters + 2) * out->bits > out->table_size * 8)
		return 0;
	out->clusters = (uint32_t)clusters;
	out->dirty = p[is_32 ? 65 : 37] & 1;
	return 1;
}
