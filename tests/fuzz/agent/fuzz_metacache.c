/*
 * The file of what maps read: a header is somebody's or nobody's, and what a table says
 * of its slots makes sense, or they are free.  Input: flags (1: give them their hashes),
 * a header, a table.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent/map/metacache_format.h"
#include "proto/chunk/blake3.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static const uint8_t key[METACACHE_KEY] = { 1, 2, 3 };

static void
header(uint8_t *p, int with_hash)
{
	struct metacache_header h;
	uint8_t again[METACACHE_HEADER];

	if (with_hash)
		blake3(p, 56, key, p + 56, BLAKE3_OUT_LEN);
	if (!metacache_header_parse(p, key, &h))
		return;
	metacache_header_store(&h, key, again);
	assert(memcmp(p, again, 56 + BLAKE3_OUT_LEN) == 0);
}

static void
table(uint8_t *p, int with_hash)
{
	struct metacache_slot s, again;

	if (with_hash)
		metacache_table_seal(p, 3, key);
	if (!metacache_table_check(p, 3, key))
		return;
	for (unsigned i = 0; i < METACACHE_SLOTS; i++) {
		metacache_slot_load(p, i, &s);
		assert((s.newer & ~s.known) == 0);
		assert(s.page <= METACACHE_PAGE_MAX ||
		       (s.page == METACACHE_FREE && s.known == 0));
		metacache_slot_store(p, i, &s);
		metacache_slot_load(p, i, &again);
		assert(s.page == again.page && s.known == again.known &&
		       s.newer == again.newer);
		assert(
		    metacache_grain_hash(p, i, METACACHE_GRAINS - 1) + METACACHE_HASH <=
		    p + METACACHE_TABLE);
	}
	metacache_table_seal(p, 3, key);
	assert(metacache_table_check(p, 3, key) && !metacache_table_check(p, 4, key));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	uint8_t room[METACACHE_HEADER + METACACHE_TABLE] = { 0 };
	int with_hash = len > 0 && (p[0] & 1) != 0;

	if (len > 1)
		memcpy(room, p + 1, len - 1 < sizeof(room) ? len - 1 : sizeof(room));
	header(room, with_hash);
	table(room + METACACHE_HEADER, with_hash);
	return 0;
}
