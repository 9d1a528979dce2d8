/*
 * hive_image.h - an empty registry hive, and keys in it by libhivex.
 */
#ifndef TESTS_UNIT_RESCUE_HIVE_IMAGE_H
#define TESTS_UNIT_RESCUE_HIVE_IMAGE_H

#include <assert.h>
#include <hivex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"

#define HIVE_LEN 8192u

static inline void
hive_checksum(uint8_t *p)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 508; i += 4)
		sum ^= load_le32(p + i);
	store_le32(p + 508, sum);
}

/* A key without anything, its security, and the rest free. */
static inline void
hive_empty(uint8_t p[HIVE_LEN])
{
	uint8_t *bin = p + 4096, *key = bin + 0x20, *sk = key + 88;

	memset(p, 0, HIVE_LEN);
	memcpy(p, "regf", 4);
	store_le32(p + 4, 7);
	store_le32(p + 8, 7);
	store_le32(p + 20, 1); /* Version 1.5. */
	store_le32(p + 24, 5);
	store_le32(p + 32, 1);
	store_le32(p + 36, 0x20); /* The root key. */
	store_le32(p + 40, 4096);
	store_le32(p + 44, 1);
	hive_checksum(p);
	memcpy(bin, "hbin", 4);
	store_le32(bin + 8, 4096);
	store_le32(key, (uint32_t)-88);
	memcpy(key + 4, "nk", 2);
	store_le16(key + 6, 0x2c);
	for (unsigned at = 20; at <= 52; at += 4)
		store_le32(key + at, at == 24 || at == 28 || at == 40 ? 0 : 0xffffffff);
	store_le32(key + 48, 0x20 + 88); /* Its security. */
	store_le16(key + 76, 4);
	memcpy(key + 80, "ROOT", 4);
	store_le32(sk, (uint32_t)-48);
	memcpy(sk + 4, "sk", 2);
	store_le32(sk + 8, 0x20 + 88);
	store_le32(sk + 12, 0x20 + 88);
	store_le32(sk + 16, 1);
	store_le32(sk + 20, 20);
	memcpy(sk + 24, "\1\0\4\200", 4);
	store_le32(bin + 0x20 + 88 + 48, 4096 - 0x20 - 88 - 48);
}

static inline void
hive_make(const char *path)
{
	uint8_t p[HIVE_LEN];
	FILE *f = fopen(path, "w");

	hive_empty(p);
	assert(f != NULL && fwrite(p, 1, sizeof(p), f) == sizeof(p));
	assert(fclose(f) == 0);
}

/* The key at `path` ("A\B"), made as far as it is not there. */
static inline hive_node_h
hive_key(hive_h *h, const char *path)
{
	hive_node_h key = hivex_root(h), next;
	char name[256];
	size_t n;

	for (; *path != '\0'; path += n + (path[n] != '\0')) {
		n = strcspn(path, "\\");
		memcpy(name, path, n);
		name[n] = '\0';
		if ((next = hivex_node_get_child(h, key, name)) == 0)
			next = hivex_node_add_child(h, key, name);
		assert(next != 0);
		key = next;
	}
	return key;
}

static inline void
hive_set(hive_h *h, hive_node_h key, const char *name, hive_type type, const void *p,
    size_t len)
{
	hive_set_value v = { (char *)(uintptr_t)name, type, len, (char *)(uintptr_t)p };

	assert(hivex_node_set_value(h, key, &v, 0) == 0);
}

static inline void
hive_number(hive_h *h, const char *path, const char *name, uint32_t n)
{
	uint8_t p[4];

	store_le32(p, n);
	hive_set(h, hive_key(h, path), name, hive_t_dword, p, 4);
}

/* `type`: a string's, an expandable string's, or that of several, of which this is one.
 */
static inline void
hive_text(hive_h *h, const char *path, const char *name, hive_type type, const char *text)
{
	uint8_t p[520] = { 0 };
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		p[2 * i] = (uint8_t)text[i];
	hive_set(h, hive_key(h, path), name, type, p,
	    2 * n + (type == hive_t_multiple_strings ? 4 : 2));
}

#endif /* TESTS_UNIT_RESCUE_HIVE_IMAGE_H */
