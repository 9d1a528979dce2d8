/*
 * made_groups.h - small groups and stores for the tests of packs and index.
 *
 * Chunk `n` is 1..96 bytes made from its number, so that any test can say what
 * it must be and groups of several chunks have some hundred bytes.
 */
#ifndef TESTS_UNIT_STORAGE_MADE_GROUPS_H
#define TESTS_UNIT_STORAGE_MADE_GROUPS_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "storage/fs.h"
#include "storage/pack.h"

static const uint8_t made_store[PACK_STORE_ID_LEN] = "made for a test";

static inline uint64_t
made_mix(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline size_t
made_chunk(uint64_t n, uint8_t out[96], struct chunk_id *id)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 7 };
	size_t len = 9 + made_mix(n) % 88;
	static _Thread_local struct chunk_keys keys;
	static _Thread_local int ready;

	memset(out, (int)n, 96);
	memcpy(out, &n, sizeof(n));
	if (!ready)
		chunk_keys_init(&keys, domain);
	ready = 1;
	chunk_id_of(&keys, CHUNK_DATA, out, len, id);
	return len;
}

static inline struct chunk_id
made_id(uint64_t n)
{
	uint8_t bytes[96];
	struct chunk_id id;

	(void)made_chunk(n, bytes, &id);
	return id;
}

/* A group of chunks first .. first + count - 1 into `out` (limit GROUP_LEN_MAX). */
static inline void
made_group(uint64_t first, uint32_t count, struct buf *out, struct group *g)
{
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct codec *c = codec_new();
	struct err err = ERR_INIT;
	uint8_t bytes[96];
	struct chunk_id id;
	size_t len;

	assert(b != NULL && c != NULL);
	for (uint32_t i = 0; i < count; i++) {
		len = made_chunk(first + i, bytes, &id);
		if (group_builder_add(b, &id, bytes, len, &err) != 0)
			assert(0);
	}
	out->max = GROUP_LEN_MAX;
	if (group_builder_finish(b, c, 1, out, &err) != 0 ||
	    group_parse(out->p, out->len, g, &err) != 0)
		assert(0);
	group_builder_free(b);
	codec_free(c);
}

static inline void
made_dirs(struct fs *fs)
{
	struct err err = ERR_INIT;

	if (fs_mkdir(fs, PACK_DIR, &err) != 0 || fs_sync_dir(fs, ".", &err) != 0)
		assert(0);
}

#endif /* TESTS_UNIT_STORAGE_MADE_GROUPS_H */
