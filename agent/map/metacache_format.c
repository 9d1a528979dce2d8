#include "agent/map/metacache_format.h"

#include <string.h>

#include "proto/base/bytes.h"
#include "proto/chunk/blake3.h"

#define GROUP_SLOTS (METACACHE_SLOTS * METACACHE_TABLES)
#define GROUP_TABLES (METACACHE_TABLES * METACACHE_TABLE)
#define GROUP (GROUP_TABLES + (uint64_t)GROUP_SLOTS * METACACHE_PAGE)
#define FIRST_GROUP 65536u

/* Offsets in the header, in a table, in a slot's entry. */
enum { AT_ROOT = 8, AT_SEQUENCE = 40, AT_SIZE = 48, AT_HASH = 56 };
enum { AT_NUMBER = 32, AT_SLOTS = 64, SLOT_LEN = 144 };
enum { AT_KNOWN = 8, AT_NEWER = 10, AT_HASHES = 16 };

static const uint8_t magic[8] = { 'H', 'F', 'M', 'E', 'T', 'A', '_', '1' };

uint64_t
metacache_table_at(uint32_t table)
{
	return FIRST_GROUP + table / METACACHE_TABLES * GROUP +
	       table % METACACHE_TABLES * METACACHE_TABLE;
}

uint64_t
metacache_slot_at(uint32_t slot)
{
	return FIRST_GROUP + slot / GROUP_SLOTS * GROUP + GROUP_TABLES +
	       (uint64_t)(slot % GROUP_SLOTS) * METACACHE_PAGE;
}

void
metacache_header_store(const struct metacache_header *h, const uint8_t key[METACACHE_KEY],
    uint8_t out[METACACHE_HEADER])
{
	memset(out, 0, METACACHE_HEADER);
	memcpy(out, magic, sizeof(magic));
	memcpy(out + AT_ROOT, h->root.b, CHUNK_ID_LEN);
	store_le64(out + AT_SEQUENCE, h->sequence);
	store_le64(out + AT_SIZE, h->size);
	blake3(out, AT_HASH, key, out + AT_HASH, BLAKE3_OUT_LEN);
}

int
metacache_header_parse(const uint8_t p[METACACHE_HEADER],
    const uint8_t key[METACACHE_KEY], struct metacache_header *out)
{
	uint8_t hash[BLAKE3_OUT_LEN];

	blake3(p, AT_HASH, key, hash, sizeof(hash));
	if (memcmp(p, magic, sizeof(magic)) != 0 ||
	    memcmp(p + AT_HASH, hash, sizeof(hash)) != 0)
		return 0;
	memcpy(out->root.b, p + AT_ROOT, CHUNK_ID_LEN);
	out->sequence = load_le64(p + AT_SEQUENCE);
	out->size = load_le64(p + AT_SIZE);
	return 1;
}

void
metacache_table_seal(
    uint8_t p[METACACHE_TABLE], uint32_t n, const uint8_t key[METACACHE_KEY])
{
	store_le32(p + AT_NUMBER, n);
	blake3(p + AT_NUMBER, METACACHE_TABLE - AT_NUMBER, key, p, BLAKE3_OUT_LEN);
}

int
metacache_table_check(
    const uint8_t p[METACACHE_TABLE], uint32_t n, const uint8_t key[METACACHE_KEY])
{
	uint8_t hash[BLAKE3_OUT_LEN];

	if (load_le32(p + AT_NUMBER) != n)
		return 0;
	blake3(p + AT_NUMBER, METACACHE_TABLE - AT_NUMBER, key, hash, sizeof(hash));
	return memcmp(p, hash, sizeof(hash)) == 0;
}

void
metacache_slot_load(
    const uint8_t p[METACACHE_TABLE], unsigned i, struct metacache_slot *out)
{
	const uint8_t *e = p + AT_SLOTS + (size_t)i * SLOT_LEN;
	uint32_t page = load_le32(e);

	*out = (struct metacache_slot){ .page = METACACHE_FREE };
	if (page == 0 || page - 1 > METACACHE_PAGE_MAX)
		return;
	out->page = page - 1;
	out->known = load_le16(e + AT_KNOWN);
	out->newer = load_le16(e + AT_NEWER) & out->known;
}

void
metacache_slot_store(
    uint8_t p[METACACHE_TABLE], unsigned i, const struct metacache_slot *slot)
{
	uint8_t *e = p + AT_SLOTS + (size_t)i * SLOT_LEN;

	if (slot->page == METACACHE_FREE) {
		memset(e, 0, SLOT_LEN);
		return;
	}
	store_le32(e, slot->page + 1);
	store_le16(e + AT_KNOWN, slot->known);
	store_le16(e + AT_NEWER, slot->newer);
}

uint8_t *
metacache_grain_hash(uint8_t p[METACACHE_TABLE], unsigned i, unsigned grain)
{
	return p + AT_SLOTS + (size_t)i * SLOT_LEN + AT_HASHES +
	       (size_t)grain * METACACHE_HASH;
}

void
metacache_hash(const uint8_t p[METACACHE_GRAIN], const uint8_t key[METACACHE_KEY],
    uint8_t out[METACACHE_HASH])
{
	blake3(p, METACACHE_GRAIN, key, out, METACACHE_HASH);
}
