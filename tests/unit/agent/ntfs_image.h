/*
 * ntfs_image.h - small NTFS volumes made byte by byte in memory, for the cases
 * that no tool makes: unclean logs, lying run lists, crossed owners.
 *
 *	image_new -> image_file / image_attr ... -> image_finish
 *
 * Records 0..11 are there from the start; $LogFile is all ones.  Fixups are put
 * in by image_finish() alone, so records can be changed freely before it.
 */
#ifndef TESTS_UNIT_AGENT_NTFS_IMAGE_H
#define TESTS_UNIT_AGENT_NTFS_IMAGE_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"

/* One run; lcn -1 is sparse; len 0 ends a list of them. */
struct image_run {
	int64_t lcn;
	uint64_t len;
};

struct image {
	uint8_t *p;
	uint64_t size;
	uint32_t sector, cluster, record; /* Bytes. */
	uint32_t clusters;
	uint32_t records;
	struct image_run mft[8];
	struct image_run bitmap, log;
};

/* Where record `n` lies. */
static inline uint8_t *
image_record(struct image *v, uint32_t n)
{
	uint64_t at = (uint64_t)n * v->record;

	for (struct image_run *r = v->mft; r->len > 0; r++) {
		if (at < r->len * v->cluster)
			return v->p + (uint64_t)r->lcn * v->cluster + at;
		at -= r->len * v->cluster;
	}
	abort();
}

static inline uint8_t *
image_cluster(struct image *v, uint64_t lcn)
{
	return v->p + lcn * v->cluster;
}

static inline void
image_bits(struct image *v, uint64_t lcn, uint64_t len, int set)
{
	uint8_t *bits = image_cluster(v, (uint64_t)v->bitmap.lcn);

	for (; len > 0; lcn++, len--) {
		bits[lcn / 8] &= (uint8_t) ~(1u << lcn % 8);
		bits[lcn / 8] |= (uint8_t)((set ? 1u : 0u) << lcn % 8);
	}
}

/* Begin record `n`: flags 1 in use, 2 directory; `base` of an extension, or 0. */
static inline void
image_begin(struct image *v, uint32_t n, unsigned flags, uint32_t base)
{
	uint8_t *p = image_record(v, n);

	memset(p, 0, v->record);
	memcpy(p, "FILE", 4);
	store_le16(p + 4, 48);
	store_le16(p + 6, (uint16_t)(v->record / 512 + 1));
	store_le16(p + 16, 1);
	store_le16(p + 20, 72);
	store_le16(p + 22, (uint16_t)flags);
	store_le32(p + 24, 80);
	store_le32(p + 28, v->record);
	store_le64(p + 32, base == 0 ? 0 : base | 1ull << 48);
	store_le32(p + 44, n);
	store_le32(p + 72, 0xffffffff);
}

/* Room for an attribute of `len` bytes at the end of record `n`. */
static inline uint8_t *
image_room(struct image *v, uint32_t n, uint32_t type, const char *name, uint32_t head,
    uint32_t body)
{
	uint8_t *p = image_record(v, n), *a;
	uint32_t used = load_le32(p + 24), units = (uint32_t)strlen(name);
	uint32_t named = (head + 2 * units + 7) / 8 * 8, len = (named + body + 7) / 8 * 8;

	assert(used + len <= v->record);
	a = p + used - 8;
	memset(a, 0, len + 8);
	store_le32(a, type);
	store_le32(a + 4, len);
	a[9] = (uint8_t)units;
	store_le16(a + 10, (uint16_t)head);
	for (uint32_t i = 0; i < units; i++)
		a[head + 2 * i] = (uint8_t)name[i];
	store_le32(a + len, 0xffffffff);
	store_le32(p + 24, used + len);
	return a;
}

static inline uint8_t *
image_resident(
    struct image *v, uint32_t n, uint32_t type, const void *value, uint32_t len)
{
	uint8_t *a = image_room(v, n, type, "", 24, len);

	store_le32(a + 16, len);
	store_le16(a + 20, 24);
	if (len > 0)
		memcpy(a + 24, value, len);
	return a;
}

/* A run list at `p`; returns its length with the zero at the end. */
static inline uint32_t
image_pairs(uint8_t *p, const struct image_run *r)
{
	int64_t last = 0;
	uint32_t at = 0;

	for (; r->len > 0; r++) {
		p[at++] = r->lcn < 0 ? 0x04 : 0x44;
		store_le32(p + at, (uint32_t)r->len);
		at += 4;
		if (r->lcn < 0)
			continue;
		store_le32(p + at, (uint32_t)(r->lcn - last));
		at += 4;
		last = r->lcn;
	}
	p[at] = 0;
	return at + 1;
}

/* A non-resident attribute with its first VCN; sizes as if `size` bytes were all written.
 */
static inline uint8_t *
image_attr(struct image *v, uint32_t n, uint32_t type, const char *name, uint64_t lowest,
    const struct image_run *runs, uint64_t size)
{
	uint8_t pairs[2048], *a;
	uint64_t count = 0;
	uint32_t len = image_pairs(pairs, runs),
		 head = (uint32_t)(64 + 2 * strlen(name) + 7) / 8 * 8;

	for (const struct image_run *r = runs; r->len > 0; r++)
		count += r->len;
	a = image_room(v, n, type, name, 64, len);
	a[8] = 1;
	store_le64(a + 16, lowest);
	store_le64(a + 24, lowest + count - 1);
	store_le16(a + 32, (uint16_t)head);
	store_le64(a + 40, count * v->cluster);
	store_le64(a + 48, size);
	store_le64(a + 56, size);
	memcpy(a + head, pairs, len);
	return a;
}

static inline void
image_name(struct image *v, uint32_t n, uint32_t parent, const char *name, unsigned space)
{
	uint8_t value[66 + 2 * 255] = { 0 }, *p = image_record(v, n);
	uint32_t units = (uint32_t)strlen(name);

	store_le64(value, parent | 5ull << 48);
	value[64] = (uint8_t)units;
	value[65] = (uint8_t)space;
	for (uint32_t i = 0; i < units; i++)
		value[66 + 2 * i] = (uint8_t)name[i];
	image_resident(v, n, 0x30, value, 66 + 2 * units);
	store_le16(p + 18, (uint16_t)(load_le16(p + 18) + 1));
}

/* A file in use with allocated clusters; every byte valid. */
static inline void
image_file(struct image *v, uint32_t n, uint32_t parent, const char *name,
    const struct image_run *runs)
{
	uint64_t size = 0;

	image_begin(v, n, 1, 0);
	image_name(v, n, parent, name, 3);
	for (const struct image_run *r = runs; r->len > 0; r++) {
		size += r->len * v->cluster;
		if (r->lcn >= 0)
			image_bits(v, (uint64_t)r->lcn, r->len, 1);
	}
	image_attr(v, n, 0x80, "", 0, runs, size);
}

static inline void
image_boot(struct image *v)
{
	uint8_t *p = v->p;
	uint32_t per = v->cluster / v->sector, log = 0;

	memcpy(p, "\xeb\x52\x90NTFS    ", 11);
	store_le16(p + 11, (uint16_t)v->sector);
	while (1u << log < per)
		log++;
	p[13] = (uint8_t)(per <= 128 ? per : 256 - log);
	p[21] = 0xf8;
	store_le64(p + 40, v->size / v->sector - 1);
	store_le64(p + 48, (uint64_t)v->mft[0].lcn);
	for (log = 0; 1u << log < v->record; log++)
		continue;
	p[64] = (uint8_t)(v->record >= v->cluster ? v->record / v->cluster : 256 - log);
	p[68] = 1;
	store_le16(p + 510, 0xaa55);
}

/*
 * A volume of `clusters` clusters and one sector: boot, bitmap (1 cluster), log
 * (2 clusters, at least 1 KiB), then an MFT of `records` records; the rest is free.
 */
static inline struct image *
image_new(uint32_t clusters, uint32_t cluster, uint32_t sector, uint32_t record,
    uint32_t records)
{
	static const uint8_t volume[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0 };
	struct image *v = calloc(1, sizeof(*v));
	struct image_run runs[2] = { { 0, 0 }, { 0, 0 } };

	assert(v != NULL);
	v->sector = sector;
	v->cluster = cluster;
	v->record = record;
	v->clusters = clusters;
	v->records = records;
	v->size = (uint64_t)clusters * cluster + sector;
	v->p = calloc(1, v->size);
	assert(v->p != NULL);
	v->bitmap = (struct image_run){ 1 + 8191 / cluster, 1 };
	v->log = (struct image_run){ v->bitmap.lcn + 1, 2 };
	v->mft[0] = (struct image_run){ v->log.lcn + 2,
		((uint64_t)records * record + cluster - 1) / cluster };
	image_bits(v, 0, (uint64_t)v->mft[0].lcn + v->mft[0].len, 1);
	memset(image_cluster(v, (uint64_t)v->log.lcn), 0xff, 2 * cluster);

	image_begin(v, 0, 1, 0);
	image_attr(v, 0, 0x80, "", 0, v->mft, (uint64_t)records * record);
	image_begin(v, 2, 1, 0);
	runs[0] = v->log;
	image_attr(v, 2, 0x80, "", 0, runs, v->log.len * cluster);
	image_begin(v, 3, 1, 0);
	image_resident(v, 3, 0x70, volume, sizeof(volume));
	image_begin(v, 5, 3, 0);
	image_name(v, 5, 5, ".", 3);
	image_begin(v, 6, 1, 0);
	runs[0] = v->bitmap;
	image_attr(v, 6, 0x80, "", 0, runs, (clusters + 7) / 8);
	image_begin(v, 7, 1, 0);
	runs[0] = (struct image_run){ 0, (uint64_t)v->bitmap.lcn };
	image_attr(v, 7, 0x80, "", 0, runs, 8192);
	image_begin(v, 8, 1, 0);
	runs[0] = (struct image_run){ -1, clusters };
	image_attr(v, 8, 0x80, "$Bad", 0, runs, (uint64_t)clusters * cluster);
	return v;
}

/* The first cluster that nothing owns after image_new(). */
static inline uint32_t
image_free_from(const struct image *v)
{
	return (uint32_t)((uint64_t)v->mft[0].lcn + v->mft[0].len);
}

/* Put fixups into whatever record or page of `len` bytes lies at `p`. */
static inline void
image_protect(uint8_t *p, uint32_t len)
{
	uint32_t at = load_le16(p + 4), words = load_le16(p + 6);

	if (words != len / 512 + 1 || at + 2 * words > 510)
		return;
	store_le16(p + at, 7);
	for (uint32_t i = 1; i < words; i++) {
		memcpy(p + at + 2 * (size_t)i, p + i * 512 - 2, 2);
		store_le16(p + i * 512 - 2, 7);
	}
}

/* Two restart pages in the log: clean or not, of LFS version `major`. */
static inline void
image_log(struct image *v, int clean, unsigned major)
{
	uint8_t *p = image_cluster(v, (uint64_t)v->log.lcn);
	uint32_t len = v->cluster;

	for (unsigned i = 0; i < 2; i++, p += len) {
		memset(p, 0, len);
		memcpy(p, "RSTR", 4);
		store_le16(p + 4, 30);
		store_le16(p + 6, (uint16_t)(len / 512 + 1));
		store_le32(p + 16, len);
		store_le32(p + 20, len);
		store_le16(p + 24, 128);
		store_le16(p + 26, 1);
		store_le16(p + 28, (uint16_t)major);
		store_le64(p + 128, 1000 + i);
		/* The older page says the opposite: only the newer counts. */
		store_le16(p + 128 + 12, clean == (int)i ? 0xffff : 0);
		store_le16(p + 128 + 14, 0);
		image_protect(p, len);
	}
}

static inline void
image_finish(struct image *v)
{
	image_boot(v);
	memcpy(v->p + v->size - v->sector, v->p, 512);
	for (uint32_t n = 0; n < v->records; n++)
		if (memcmp(image_record(v, n), "FILE", 4) == 0)
			image_protect(image_record(v, n), v->record);
}

static inline void
image_free(struct image *v)
{
	free(v->p);
	free(v);
}

#endif /* TESTS_UNIT_AGENT_NTFS_IMAGE_H */
