/*
 * ntfs_index.h - a root directory for the volumes of ntfs_image.h: its index, as a node in
 * the record and blocks of 4 KiB below it.
 */
#ifndef TESTS_UNIT_AGENT_NTFS_INDEX_H
#define TESTS_UNIT_AGENT_NTFS_INDEX_H

#include "tests/unit/agent/ntfs_image.h"

#define INDEX_BLOCK 4096u
#define INDEX_NO_CHILD UINT64_MAX

/* A node that grows: its header, then entries. */
struct index_node {
	uint8_t p[INDEX_BLOCK];
	uint32_t used; /* The header's 16 bytes counted. */
};

static inline void
index_begin(struct index_node *n)
{
	memset(n, 0, sizeof(*n));
	n->used = 16;
}

/* `name` NULL: the last entry. */
static inline void
index_entry(struct index_node *n, uint32_t record, const char *name, uint64_t child)
{
	uint8_t *p = n->p + n->used;
	uint32_t units = name != NULL ? (uint32_t)strlen(name) : 0;
	uint32_t key = name != NULL ? 66 + 2 * units : 0;
	uint32_t len = (16 + key + 7) / 8 * 8 + (child != INDEX_NO_CHILD ? 8 : 0);

	assert(n->used + len <= sizeof(n->p));
	if (name != NULL)
		store_le64(p, record | 1ull << 48);
	store_le16(p + 8, (uint16_t)len);
	store_le16(p + 10, (uint16_t)key);
	store_le16(p + 12,
	    (uint16_t)((child != INDEX_NO_CHILD ? 1 : 0) | (name == NULL ? 2 : 0)));
	if (name != NULL) {
		store_le64(p + 16, 5 | 5ull << 48);
		p[16 + 64] = (uint8_t)units;
		p[16 + 65] = 3;
		for (uint32_t i = 0; i < units; i++)
			p[16 + 66 + 2 * i] = (uint8_t)name[i];
	}
	if (child != INDEX_NO_CHILD)
		store_le64(p + len - 8, child);
	n->used += len;
}

static inline void
index_head(struct index_node *n, uint32_t begin)
{
	store_le32(n->p, begin);
	store_le32(n->p + 4, n->used);
	store_le32(n->p + 8, n->used);
}

/* The root's record with this node. */
static inline void
index_root(struct image *v, struct index_node *n)
{
	uint8_t value[1024] = { 0 }, *a;

	assert(16 + n->used <= sizeof(value));
	index_head(n, 16);
	store_le32(value, 0x30);
	store_le32(value + 4, 1);
	store_le32(value + 8, INDEX_BLOCK);
	value[12] = 1;
	memcpy(value + 16, n->p, n->used);
	/* The name lies between the header of 24 bytes and the value at 32. */
	a = image_room(v, 5, 0x90, "$I30", 24, 16 + n->used);
	store_le32(a + 16, 16 + n->used);
	store_le16(a + 20, 32);
	memcpy(a + 32, value, 16 + n->used);
}

/* The blocks lie in these runs. */
static inline void
index_blocks(struct image *v, const struct image_run *runs, uint32_t blocks)
{
	for (const struct image_run *r = runs; r->len > 0; r++)
		image_bits(v, (uint64_t)r->lcn, r->len, 1);
	image_attr(v, 5, 0xa0, "$I30", 0, runs, (uint64_t)blocks * INDEX_BLOCK);
}

/* A block at byte `at` of the volume, number `vcn` by its own word; with fixups. */
static inline void
index_block(struct image *v, uint64_t at, uint64_t vcn, struct index_node *n)
{
	uint8_t *p = v->p + at;

	assert(64 + n->used - 16 <= INDEX_BLOCK);
	memset(p, 0, INDEX_BLOCK);
	memcpy(p, "INDX", 4);
	store_le16(p + 4, 40);
	store_le16(p + 6, INDEX_BLOCK / 512 + 1);
	store_le64(p + 16, vcn);
	/* The header at 24, the fixups at 40, the entries from 64 on. */
	store_le32(p + 24, 40);
	store_le32(p + 28, 40 + n->used - 16);
	store_le32(p + 32, INDEX_BLOCK - 24);
	memcpy(p + 64, n->p + 16, n->used - 16);
	image_protect(p, INDEX_BLOCK);
}

#endif /* TESTS_UNIT_AGENT_NTFS_INDEX_H */
