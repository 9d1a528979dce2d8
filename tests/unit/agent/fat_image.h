/*
 * fat_image.h - small FAT volumes made byte by byte in memory.
 *
 *	fat_image_new -> fat_image_chain / fat_image_set ... -> fat_image_free
 */
#ifndef TESTS_UNIT_AGENT_FAT_IMAGE_H
#define TESTS_UNIT_AGENT_FAT_IMAGE_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"

struct fat_image {
	uint8_t *p;
	uint64_t size;
	unsigned bits;
	uint32_t clusters, cluster;		/* Number, and bytes of one. */
	uint32_t table_at, table_size, data_at; /* Bytes. */
};

/* Entry `n` of both tables. */
static inline void
fat_image_set(struct fat_image *v, uint32_t n, uint32_t value)
{
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t *t = v->p + v->table_at + i * v->table_size, *p = t + n + n / 2;

		if (v->bits == 32)
			store_le32(t + (size_t)n * 4, value);
		else if (v->bits == 16)
			store_le16(t + (size_t)n * 2, (uint16_t)value);
		else if (n % 2 != 0)
			store_le16(p, (uint16_t)((load_le16(p) & 0xf) | value << 4));
		else
			store_le16(
			    p, (uint16_t)((load_le16(p) & 0xf000) | (value & 0xfff)));
	}
}

/* `count` clusters from number `first` on, in one chain that goes on at `then` (0: ends).
 */
static inline void
fat_image_chain(struct fat_image *v, uint32_t first, uint32_t count, uint32_t then)
{
	for (uint32_t i = 0; i + 1 < count; i++)
		fat_image_set(v, first + i, first + i + 1);
	fat_image_set(v, first + count - 1, then == 0 ? 0x0fffffff : then);
}

/* A clean, empty volume of `clusters` clusters of `per` sectors; some bytes behind them.
 */
static inline struct fat_image *
fat_image_new(unsigned bits, uint32_t clusters, uint32_t per)
{
	struct fat_image *v = calloc(1, sizeof(*v));
	uint32_t table = ((clusters + 2) * bits / 8 + 1 + 511) / 512, sectors;
	uint32_t reserved = bits == 32 ? 32 : 1, root = bits == 32 ? 0 : 64;

	assert(v != NULL);
	v->bits = bits;
	v->clusters = clusters;
	v->cluster = per * 512;
	v->table_at = reserved * 512;
	v->table_size = table * 512;
	v->data_at = v->table_at + 2 * v->table_size + root * 32;
	sectors = v->data_at / 512 + clusters * per;
	v->size = (uint64_t)sectors * 512 + 1024;
	v->p = calloc(1, v->size);
	assert(v->p != NULL);
	memcpy(v->p, "\xeb\x3c\x90TESTFAT ", 11);
	store_le16(v->p + 11, 512);
	v->p[13] = (uint8_t)per;
	store_le16(v->p + 14, (uint16_t)reserved);
	v->p[16] = 2;
	store_le16(v->p + 17, (uint16_t)root);
	v->p[21] = 0xf8;
	if (bits == 32) {
		store_le32(v->p + 36, table);
		store_le32(v->p + 44, 2);
	} else {
		store_le16(v->p + 22, (uint16_t)table);
	}
	store_le32(v->p + 32, sectors);
	store_le16(v->p + 510, 0xaa55);
	fat_image_set(v, 0, 0x0ffffff8);
	fat_image_set(v, 1, 0x0fffffff);
	return v;
}

static inline void
fat_image_free(struct fat_image *v)
{
	free(v->p);
	free(v);
}

#endif /* TESTS_UNIT_AGENT_FAT_IMAGE_H */
