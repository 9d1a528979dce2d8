/*
 * huge_volume.h - an NTFS volume of any size with millions of scattered files,
 * computed and never held: every byte of its metadata follows from its place.
 *
 *	boot, $Bitmap, $LogFile, $MFT in one run each, then slots of equal size
 *
 * A file has HUGE_RUNS runs of 1..4 clusters, each at the start of a slot; the
 * slots of HUGE_GROUP / HUGE_RUNS files are shuffled among each other, as an
 * allocator scatters what was written at about the same time.  Every sixteenth
 * file has its last run half a volume away.
 */
#ifndef TESTS_TOOLS_HUGE_VOLUME_H
#define TESTS_TOOLS_HUGE_VOLUME_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/agent/ntfs_image.h"

#define HUGE_RUNS 4u
#define HUGE_GROUP 16384u /* Slots that are shuffled. */
#define HUGE_GROUP_FILES (HUGE_GROUP / HUGE_RUNS)
#define HUGE_SHUFFLE 0x2545u /* Odd, so it has an inverse. */
#define HUGE_RECORD 1024u
#define HUGE_FIRST_FILE 24u
#define HUGE_SAMPLES 64u /* Files with content in the image that is written. */

struct huge {
	uint64_t size;	  /* Bytes, with the boot sector's copy. */
	uint32_t cluster; /* Bytes. */
	uint32_t clusters, files, groups;
	uint32_t slot; /* Clusters. */
	uint32_t unshuffle;
	struct image_run bitmap, log, mft;
	uint32_t data; /* Where slots begin. */
};

static inline uint64_t
huge_mix(uint64_t x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
	return x ^ x >> 32;
}

/* 1, or 0 if it cannot be; `files` is rounded up to whole groups. */
static inline int
huge_init(struct huge *h, uint64_t size, uint32_t cluster, uint32_t files)
{
	uint64_t clusters = (size - 512) / cluster, slots;

	memset(h, 0, sizeof(*h));
	if (cluster < HUGE_RECORD || clusters >= UINT32_MAX)
		return 0;
	h->cluster = cluster;
	h->clusters = (uint32_t)clusters;
	h->size = clusters * cluster + 512;
	h->groups = (files + HUGE_GROUP_FILES - 1) / HUGE_GROUP_FILES;
	h->files = h->groups * HUGE_GROUP_FILES;
	h->bitmap = (struct image_run){ 1 + 8191 / cluster,
		(h->clusters / 8 + cluster) / cluster };
	h->log = (struct image_run){ h->bitmap.lcn + (int64_t)h->bitmap.len, 4 };
	h->mft = (struct image_run){ h->log.lcn + 4,
		((uint64_t)(HUGE_FIRST_FILE + h->files) * HUGE_RECORD + cluster - 1) /
		    cluster };
	h->data = (uint32_t)((uint64_t)h->mft.lcn + h->mft.len);
	slots = (uint64_t)h->files * HUGE_RUNS;
	if (h->data >= h->clusters || (h->clusters - h->data) / slots < 5)
		return 0;
	h->slot = (uint32_t)((h->clusters - h->data) / slots);
	/* Each step doubles the bits that are right. */
	h->unshuffle = HUGE_SHUFFLE;
	for (int i = 0; i < 5; i++)
		h->unshuffle *= 2 - HUGE_SHUFFLE * h->unshuffle;
	return 1;
}

static inline uint32_t
huge_run_len(uint32_t file, uint32_t run)
{
	return 1 + (uint32_t)(huge_mix((uint64_t)file * HUGE_RUNS + run) % 4);
}

/* Run `run` of a file. */
static inline struct image_run
huge_run(const struct huge *h, uint32_t file, uint32_t run)
{
	uint32_t group = file / HUGE_GROUP_FILES;
	uint32_t k = file % HUGE_GROUP_FILES * HUGE_RUNS + run;

	if (file % 16 == 0 && run == HUGE_RUNS - 1)
		group = (group + h->groups / 2) % h->groups;
	k = k * HUGE_SHUFFLE % HUGE_GROUP;
	return (struct image_run){ (int64_t)h->data +
				       ((int64_t)group * HUGE_GROUP + k) * h->slot,
		huge_run_len(file, run) };
}

/* Clusters of slot `n` that are in use, from its first. */
static inline uint32_t
huge_used(const struct huge *h, uint32_t n)
{
	uint32_t group = n / HUGE_GROUP, k = n % HUGE_GROUP * h->unshuffle % HUGE_GROUP;
	uint32_t file = k / HUGE_RUNS, run = k % HUGE_RUNS;

	if (file % 16 == 0 && run == HUGE_RUNS - 1)
		group = (group + h->groups - h->groups / 2) % h->groups;
	return huge_run_len(group * HUGE_GROUP_FILES + file, run);
}

/* Byte `n` of `$Bitmap`. */
static inline uint8_t
huge_bits(const struct huge *h, uint64_t n)
{
	uint64_t c = n * 8, slots = (uint64_t)h->files * HUGE_RUNS, slot;
	uint8_t bits = 0;

	for (unsigned i = 0; i < 8; i++, c++) {
		slot = c >= h->data ? (c - h->data) / h->slot : 0;
		if (c < h->data || (slot < slots && (c - h->data) % h->slot <
							huge_used(h, (uint32_t)slot)))
			bits |= (uint8_t)(1u << i);
	}
	return bits;
}

/* Bytes of a file: its last cluster is not full. */
static inline uint64_t
huge_file_size(const struct huge *h, uint32_t file)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < HUGE_RUNS; i++)
		n += huge_run_len(file, i);
	return n * h->cluster - huge_mix(file) % h->cluster;
}

static inline void
huge_system_record(const struct huge *h, struct image *v, uint32_t n)
{
	static const uint8_t volume[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0 };
	const struct image_run *one = n == 0 ? &h->mft : n == 2 ? &h->log : &h->bitmap;
	struct image_run runs[2] = { *one, { 0, 0 } };
	uint64_t size = n == 0	 ? (uint64_t)(HUGE_FIRST_FILE + h->files) * HUGE_RECORD
			: n == 2 ? one->len * h->cluster
				 : (h->clusters + 7ull) / 8;

	image_begin(v, 0, n == 5 ? 3 : 1, 0);
	if (n == 0 || n == 2 || n == 6)
		image_attr(v, 0, 0x80, "", 0, runs, size);
	if (n == 3)
		image_resident(v, 0, 0x70, volume, sizeof(volume));
	if (n == 5)
		image_name(v, 0, 5, ".", 3);
}

/* Record `n` into `p`, HUGE_RECORD bytes. */
static inline void
huge_record(const struct huge *h, uint32_t n, uint8_t *p)
{
	struct image v = {
		.p = p, .cluster = h->cluster, .record = HUGE_RECORD, .mft = { { 0, 1 } }
	};
	struct image_run runs[HUGE_RUNS + 1] = { { 0, 0 } };
	char name[32];

	memset(p, 0, HUGE_RECORD);
	if (n < HUGE_FIRST_FILE && n != 0 && n != 2 && n != 3 && n != 5 && n != 6)
		return;
	if (n < HUGE_FIRST_FILE) {
		huge_system_record(h, &v, n);
	} else {
		for (uint32_t i = 0; i < HUGE_RUNS; i++)
			runs[i] = huge_run(h, n - HUGE_FIRST_FILE, i);
		(void)snprintf(name, sizeof(name), "file %u", n - HUGE_FIRST_FILE);
		image_begin(&v, 0, 1, 0);
		image_name(&v, 0, 5, name, 3);
		image_attr(
		    &v, 0, 0x80, "", 0, runs, huge_file_size(h, n - HUGE_FIRST_FILE));
	}
	store_le32(p + 44, n);
	image_protect(p, HUGE_RECORD);
}

/* The first 512 bytes of the volume. */
static inline void
huge_boot(const struct huge *h, uint8_t *p)
{
	struct image v = { .p = p,
		.size = h->size,
		.sector = 512,
		.cluster = h->cluster,
		.record = HUGE_RECORD,
		.mft = { h->mft } };

	memset(p, 0, 512);
	image_boot(&v);
}

/* One byte at a time is slow: what lies whole in [offset, offset + len) at once. */
static inline size_t
huge_piece(const struct huge *h, uint64_t offset, uint8_t *p, size_t len)
{
	uint64_t bitmap = (uint64_t)h->bitmap.lcn * h->cluster;
	uint64_t log = (uint64_t)h->log.lcn * h->cluster;
	uint64_t mft = (uint64_t)h->mft.lcn * h->cluster;
	uint64_t data = (uint64_t)h->data * h->cluster, in;
	uint8_t record[HUGE_RECORD];
	size_t n;

	if (offset < 512) {
		huge_boot(h, record);
		n = 512 - (size_t)offset < len ? 512 - (size_t)offset : len;
		memcpy(p, record + offset, n);
		return n;
	}
	if (offset >= bitmap && offset < log) {
		*p = huge_bits(h, offset - bitmap);
		return 1;
	}
	if (offset >= log && offset < mft) {
		*p = 0xff;
		return 1;
	}
	if (offset >= mft && offset < data) {
		in = (offset - mft) % HUGE_RECORD;
		n = HUGE_RECORD - (size_t)in < len ? HUGE_RECORD - (size_t)in : len;
		if ((offset - mft) / HUGE_RECORD < HUGE_FIRST_FILE + h->files)
			huge_record(h, (uint32_t)((offset - mft) / HUGE_RECORD), record);
		else
			memset(record, 0, sizeof(record));
		memcpy(p, record + in, n);
		return n;
	}
	n = offset < bitmap && bitmap - offset < len ? (size_t)(bitmap - offset) : len;
	memset(p, 0, n);
	return n;
}

/* Any bytes of the volume; its files hold zeros. */
static inline void
huge_read(const struct huge *h, uint64_t offset, void *buf, size_t len)
{
	uint8_t *p = buf;
	size_t n;

	for (; len > 0; p += n, offset += n, len -= n)
		n = huge_piece(h, offset, p, len);
}

/* What cluster `n` holds where it holds anything: no two are alike, all are small. */
static inline void
huge_fill(uint8_t *p, uint32_t cluster, uint64_t n)
{
	memset(p, 'a' + (int)(n % 23), cluster);
	store_le64(p, huge_mix(n + 1));
	store_le64(p + 8, n);
}

#endif /* TESTS_TOOLS_HUGE_VOLUME_H */
