#include "agent/map/ntfs.h"

#include <string.h>

#include "proto/base/bytes.h"

/* Every 512 bytes end in two that the fixups hold, whatever the sector size. */
#define STRIDE 512u

/* Largest cluster NTFS knows: 2 MiB. */
#define CLUSTER_MAX (2u << 20)

/* No file is longer, and as many clusters of 2 MiB still count in 64 bits. */
#define VCN_MAX (UINT64_C(1) << 42)

static int
power_of_two(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/*
 * Offset	Size	Boot sector
 * 3		8	"NTFS    "
 * 11		2	bytes a sector
 * 13		1	sectors a cluster; above 0x80: 2^(256 - it)
 * 14		7	zero (reserved sectors, FATs, root entries, sectors)
 * 40		8	sectors of the volume, without the last (the boot sector's copy)
 * 48		8	LCN of $MFT
 * 64		1	clusters a record; negative: 2^-it bytes
 * 510		2	0x55 0xaa
 */
int
ntfs_boot_parse(const uint8_t *p, uint64_t size, struct ntfs_boot *out, const char **why)
{
	uint64_t sectors = load_le64(p + 40), clusters;
	uint32_t per_cluster = p[13], exponent;

	if (memcmp(p + 3, "NTFS    ", 8) != 0 || load_le16(p + 510) != 0xaa55)
		return 0;
	out->sector_size = load_le16(p + 11);
	if (out->sector_size < 512 || out->sector_size > 4096 ||
	    !power_of_two(out->sector_size)) {
		*why = "its boot sector names an impossible sector size";
		return -1;
	}
	if (per_cluster > 0x80)
		per_cluster = per_cluster >= 256 - 12 ? 1u << (256 - per_cluster) : 0;
	out->cluster_size = per_cluster * out->sector_size;
	if (!power_of_two(per_cluster) || out->cluster_size > CLUSTER_MAX) {
		*why = "its boot sector names an impossible cluster size";
		return -1;
	}
	exponent = 256u - p[64];
	if (p[64] < 0x80)
		out->record_size = p[64] * out->cluster_size;
	else
		out->record_size = exponent <= 12 ? 1u << exponent : 0;
	if (out->record_size < STRIDE || out->record_size > NTFS_RECORD_MAX ||
	    !power_of_two(out->record_size)) {
		*why = "its boot sector names an impossible record size";
		return -1;
	}
	clusters = sectors / per_cluster;
	out->mft_lcn = load_le64(p + 48);
	if (sectors > size / out->sector_size || clusters == 0 ||
	    clusters >= UINT32_MAX || out->mft_lcn >= clusters) {
		*why = sectors > size / out->sector_size
			   ? "its boot sector names more sectors than there are"
			   : "its boot sector names an impossible number of clusters";
		return -1;
	}
	out->clusters = (uint32_t)clusters;
	return 1;
}

uint64_t
ntfs_ref(uint64_t ref)
{
	return ref & 0xffffffffffffu;
}

/* Offset 4: where the update sequence lies; 6: its words, the number itself first. */
int
ntfs_fixup(uint8_t *p, uint32_t len)
{
	uint32_t at = load_le16(p + 4), words = load_le16(p + 6), ends = len / STRIDE;
	uint8_t *number = p + at;

	if (words != ends + 1 || at % 2 != 0 || at < 8 || at + 2 * words > STRIDE - 2)
		return 0;
	for (uint32_t i = 1; i <= ends; i++)
		if (memcmp(p + i * STRIDE - 2, number, 2) != 0)
			return 0;
	for (uint32_t i = 1; i <= ends; i++)
		memcpy(p + i * STRIDE - 2, number + 2 * (size_t)i, 2);
	return 1;
}

/*
 * Offset	Size	Record
 * 0		4	"FILE"
 * 18		2	links (names)
 * 20		2	where the attributes begin
 * 22		2	1: in use; 2: a directory
 * 24		4	bytes in use
 * 32		8	reference of the base record, if this is an extension
 */
int
ntfs_record_parse(const uint8_t *p, uint32_t len, struct ntfs_record *out)
{
	if (memcmp(p, "FILE", 4) != 0 || (load_le16(p + 22) & 1) == 0)
		return 0;
	out->p = p;
	out->links = load_le16(p + 18);
	out->attrs = load_le16(p + 20);
	out->len = load_le32(p + 24);
	out->is_extension = load_le64(p + 32) != 0;
	out->base = ntfs_ref(load_le64(p + 32));
	return out->len <= len && out->attrs >= 42 && out->attrs % 8 == 0 &&
	       out->attrs + 4 <= out->len;
}

/*
 * Offset	Size	Non-resident attribute, from 16 on
 * 16		8	lowest VCN
 * 24		8	highest VCN; lowest - 1 if there is none
 * 32		2	where the run list begins
 * 40		24	allocated, data and initialised size
 */
static int
non_resident(const uint8_t *p, uint32_t len, struct ntfs_attr *a)
{
	uint32_t list = load_le16(p + 32);

	a->lowest = load_le64(p + 16);
	a->highest = load_le64(p + 24);
	a->allocated = load_le64(p + 40);
	a->size = load_le64(p + 48);
	a->valid = load_le64(p + 56);
	if (len < 64 || list < 64 || list > len)
		return -1;
	a->value = p + list;
	a->value_len = len - list;
	return 1;
}

int
ntfs_attr_next(const struct ntfs_record *r, uint32_t *at, struct ntfs_attr *a)
{
	const uint8_t *p = r->p + *at;
	uint32_t left = r->len - *at, len, name, value;

	if (left < 4)
		return -1;
	memset(a, 0, sizeof(*a));
	a->type = load_le32(p);
	if (a->type == 0xffffffff)
		return 0;
	if (left < 24)
		return -1;
	len = load_le32(p + 4);
	if (len < 24 || len % 8 != 0 || len > left)
		return -1;
	a->resident = p[8] == 0;
	a->name_len = p[9];
	name = load_le16(p + 10);
	a->flags = load_le16(p + 12);
	if (a->name_len > 0 && name + 2u * a->name_len > len)
		return -1;
	a->name = p + (a->name_len > 0 ? name : 0);
	*at += len;
	if (!a->resident)
		return len < 64 ? -1 : non_resident(p, len, a);
	a->value_len = load_le32(p + 16);
	value = load_le16(p + 20);
	if (value > len || a->value_len > len - value)
		return -1;
	a->value = p + value;
	return 1;
}

int
ntfs_name_is(const uint8_t *name, size_t units, const char *ascii)
{
	unsigned unit;

	if (strlen(ascii) != units)
		return 0;
	for (size_t i = 0; i < units; i++) {
		unit = load_le16(name + 2 * i);
		if (unit >= 'A' && unit <= 'Z')
			unit += 'a' - 'A';
		if (unit != (unsigned char)ascii[i])
			return 0;
	}
	return 1;
}

void
ntfs_runs_begin(struct ntfs_runs *it, const struct ntfs_attr *a, uint32_t clusters)
{
	it->p = a->value;
	it->end = a->value + a->value_len;
	it->vcn = a->lowest;
	it->stop = a->highest + 1;
	it->clusters = clusters;
	it->lcn = 0;
}

/* `n` bytes, 1..8, little-endian, with or without sign. */
static uint64_t
number(const uint8_t *p, unsigned n, int is_signed)
{
	uint64_t v = is_signed && (p[n - 1] & 0x80) != 0 ? UINT64_MAX : 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

/*
 * One byte: low half the size of the length, high half that of the place
 * (0: sparse), which is relative to the last one; then both.  A zero byte ends.
 */
int
ntfs_runs_next(struct ntfs_runs *it, struct ntfs_run *out)
{
	unsigned of_len, of_lcn;
	uint64_t limit = it->stop - it->vcn, moved;

	if (it->p == it->end || *it->p == 0)
		return it->vcn == it->stop ? 0 : -1;
	of_len = *it->p & 15u;
	of_lcn = *it->p >> 4;
	it->p++;
	if (of_len == 0 || of_len > 8 || of_lcn > 8 ||
	    (size_t)(it->end - it->p) < of_len + of_lcn)
		return -1;
	out->vcn = it->vcn;
	out->len = number(it->p, of_len, 0);
	if (it->vcn > it->stop || it->stop > VCN_MAX || out->len == 0 || out->len > limit)
		return -1;
	out->lcn = -1;
	if (of_lcn > 0) {
		moved = (uint64_t)it->lcn + number(it->p + of_len, of_lcn, 1);
		if (moved >= it->clusters || out->len > it->clusters - moved)
			return -1;
		it->lcn = out->lcn = (int64_t)moved;
	}
	it->p += of_len + of_lcn;
	it->vcn += out->len;
	return 1;
}
