#include "agent/restore/vhdx.h"

#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define KIB64 (64u * 1024)
#define HEADER_LEN 4096u
#define HEADERS_AT KIB64 /* 2.2: two of them, then two region tables, 64 KiB each. */
#define REGIONS_AT (3 * KIB64)
#define REGION_ENTRY 32u
#define LOG_AT VHDX_ALIGN
#define ITEMS_AT KIB64 /* 2.6.1: behind the metadata table. */
#define ITEM_ENTRY 32u
#define PRESENT 6u /* 2.5.1.1: PAYLOAD_BLOCK_FULLY_PRESENT */
#define ZERO 2u	   /* PAYLOAD_BLOCK_ZERO, whose offset is reserved. */
#define BITMAP_SECTORS ((uint64_t)1 << 23)

#define FLAG_VIRTUAL_DISK 2u
#define FLAG_REQUIRED 4u

#define GUID_LEN 16u

struct guid {
	uint32_t a;
	uint16_t b, c;
	uint8_t d[8];
};

/* 2.2.3.2, known regions; 2.6.2, known items. */
static const struct guid bat_region = { 0x2dc27766, 0xf623, 0x4200,
	{ 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 } };
static const struct guid metadata_region = { 0x8b7ca206, 0x4790, 0x4b9a,
	{ 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e } };
static const struct guid item_parameters = { 0xcaa16737, 0xfa36, 0x4d43,
	{ 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b } };
static const struct guid item_size = { 0x2fa54224, 0xcd1b, 0x4876,
	{ 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 } };
static const struct guid item_disk_id = { 0xbeca12ab, 0xb2e6, 0x4523,
	{ 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 } };
static const struct guid item_logical = { 0x8141bf1d, 0xa96f, 0x4709,
	{ 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f } };
static const struct guid item_physical = { 0xcda348c7, 0x445d, 0x4471,
	{ 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 } };

static void
store_guid(uint8_t *out, const struct guid *g)
{
	store_le32(out, g->a);
	store_le16(out + 4, g->b);
	store_le16(out + 6, g->c);
	memcpy(out + 8, g->d, sizeof(g->d));
}

/* A random one, as RFC 4122 has them. */
static void
store_random(uint8_t *out, const uint8_t *random)
{
	memcpy(out, random, GUID_LEN);
	out[7] = (uint8_t)((out[7] & 0x0f) | 0x40);
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

uint32_t
vhdx_crc(const uint8_t *p, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static uint64_t
round_up(uint64_t n, uint64_t by)
{
	return (n + by - 1) / by * by;
}

/* Blocks after which an entry of a sector bitmap stands in the BAT (2.5). */
static uint64_t
chunk_ratio(const struct vhdx *v)
{
	return BITMAP_SECTORS * v->sector_size / v->block_size;
}

int
vhdx_make(uint64_t size, uint32_t sector_size, const uint8_t random[VHDX_RANDOM_LEN],
    struct vhdx *out, struct err *err)
{
	memset(out, 0, sizeof(*out));
	if (size > VHDX_SIZE_MAX || size == 0)
		return err_set(err, ERR_LIMIT,
		    "a VHDX holds at most 64 TiB, and more than nothing: not %llu bytes",
		    (unsigned long long)size);
	out->size = size;
	out->sector_size = sector_size == 4096 ? 4096 : 512;
	if (size % out->sector_size != 0)
		return err_set(err, ERR_LIMIT,
		    "%llu bytes are no whole sectors of %u, which a VHDX has",
		    (unsigned long long)size, (unsigned)out->sector_size);
	out->block_size = size <= (uint64_t)4 << 40 ? 2u << 20 : 32u << 20;
	out->blocks = round_up(size, out->block_size) / out->block_size;
	out->bat_len = round_up(
	    8 * (out->blocks + (out->blocks - 1) / chunk_ratio(out)), VHDX_ALIGN);
	memcpy(out->random, random, VHDX_RANDOM_LEN);
	return 0;
}

uint64_t
vhdx_data_at(const struct vhdx *v)
{
	return VHDX_BAT_AT + v->bat_len;
}

/* 2.2.2; of two headers the one with the greater sequence number counts. */
static void
store_header(const struct vhdx *v, uint64_t sequence, uint8_t *out)
{
	memcpy(out, "head", 4);
	store_le64(out + 8, sequence);
	store_random(out + 16, v->random);
	store_random(out + 32, v->random + GUID_LEN);
	/* 48: the log's GUID; zeros: it is empty, nothing is to be replayed. */
	store_le16(out + 64, 0); /* LogVersion */
	store_le16(out + 66, 1); /* Version */
	store_le32(out + 68, VHDX_ALIGN);
	store_le64(out + 72, LOG_AT);
	store_le32(out + 4, vhdx_crc(out, HEADER_LEN));
}

static void
store_region(uint8_t *out, const struct guid *which, uint64_t offset, uint64_t len)
{
	store_guid(out, which);
	store_le64(out + 16, offset);
	store_le32(out + 24, (uint32_t)len);
	store_le32(out + 28, 1); /* Required. */
}

void
vhdx_head(const struct vhdx *v, uint8_t *out)
{
	static const char creator[] = "Holdfast";
	uint8_t *regions = out + REGIONS_AT;

	memset(out, 0, VHDX_HEAD_LEN);
	memcpy(out, "vhdxfile", 8);
	for (size_t i = 0; creator[i] != '\0'; i++)
		store_le16(out + 8 + 2 * i, (uint8_t)creator[i]);
	store_header(v, 1, out + HEADERS_AT);
	store_header(v, 2, out + HEADERS_AT + KIB64);
	memcpy(regions, "regi", 4);
	store_le32(regions + 8, 2);
	store_region(regions + 16, &bat_region, VHDX_BAT_AT, v->bat_len);
	store_region(regions + 16 + REGION_ENTRY, &metadata_region, VHDX_METADATA_AT,
	    VHDX_METADATA_LEN);
	store_le32(regions + 4, vhdx_crc(regions, KIB64));
	memcpy(regions + KIB64, regions, KIB64);
}

/* The next item of a metadata region: its entry, and where its `len` bytes go. */
static uint8_t *
add_item(uint8_t *out, const struct guid *which, uint32_t len, uint32_t flags)
{
	uint16_t n = load_le16(out + 10);
	uint8_t *entry = out + ITEM_ENTRY * (1 + n);
	uint32_t at = ITEMS_AT;

	if (n > 0)
		at = load_le32(entry - ITEM_ENTRY + 16) +
		     load_le32(entry - ITEM_ENTRY + 20);
	store_guid(entry, which);
	store_le32(entry + 16, at);
	store_le32(entry + 20, len);
	store_le32(entry + 24, flags);
	store_le16(out + 10, (uint16_t)(n + 1));
	return out + at;
}

void
vhdx_metadata(const struct vhdx *v, uint8_t *out)
{
	const uint32_t disk = FLAG_VIRTUAL_DISK | FLAG_REQUIRED;

	memset(out, 0, VHDX_METADATA_LEN);
	memcpy(out, "metadata", 8);
	/* Blocks may be given back; there is no parent. */
	store_le32(add_item(out, &item_parameters, 8, FLAG_REQUIRED), v->block_size);
	store_le64(add_item(out, &item_size, 8, disk), v->size);
	store_random(
	    add_item(out, &item_disk_id, GUID_LEN, disk), v->random + 2 * GUID_LEN);
	store_le32(add_item(out, &item_logical, 4, disk), v->sector_size);
	store_le32(add_item(out, &item_physical, 4, disk), 4096);
}

uint64_t
vhdx_bat_at(const struct vhdx *v, uint64_t block)
{
	return 8 * (block + block / chunk_ratio(v));
}

uint64_t
vhdx_bat_entry(uint64_t offset)
{
	return offset == 0 ? ZERO : (offset / VHDX_ALIGN) << 20 | PRESENT;
}
