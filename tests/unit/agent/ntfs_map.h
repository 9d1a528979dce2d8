/*
 * ntfs_map.h - for tests of the NTFS parser: a small volume, its map, and what lies
 * where in it.  After cmocka.h.
 */
#ifndef TESTS_UNIT_AGENT_NTFS_MAP_H
#define TESTS_UNIT_AGENT_NTFS_MAP_H

#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/agent/volmap_cover.h"

#define RUNS(...) ((const struct image_run[]){ __VA_ARGS__, { 0, 0 } })

/* 400 clusters of 4 KiB, records of 1 KiB from 16 on for the test. */
static inline struct image *
ordinary(void)
{
	return image_new(400, 4096, 512, 1024, 64);
}

static inline struct cover *
map_with(struct image *v, int flushed, unsigned flags)
{
	struct cover_disk disk = { .p = v->p, .size = v->size };
	struct err err = ERR_INIT;
	struct cover *c = cover_new(&disk, flushed, flags, &err);

	assert_non_null(c);
	return c;
}

static inline struct cover *
map(struct image *v)
{
	image_finish(v);
	return map_with(v, 0, 0);
}

/* Non-zero: clusters [lcn, lcn + len) all have this letter. */
static inline int
are(const struct image *v, const struct cover *c, uint64_t lcn, uint64_t len, char letter)
{
	return cover_all(c, lcn * v->cluster, len * v->cluster, letter);
}

static inline void
done(struct image *v, struct cover *c)
{
	cover_free(c);
	image_free(v);
}

/* An entry of an attribute list. */
static inline void
entry(uint8_t *p, uint32_t type, uint64_t lowest, uint32_t record)
{
	memset(p, 0, 32);
	store_le32(p, type);
	store_le16(p + 4, 32);
	p[7] = 26;
	store_le64(p + 8, lowest);
	store_le64(p + 16, record | 1ull << 48);
}

#endif /* TESTS_UNIT_AGENT_NTFS_MAP_H */
