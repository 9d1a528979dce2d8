#include "storage/index_run.h"

#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/blake3.h"

#define VERSION 1
#define BLOCK_HASH_LEN 16u
#define BITS_PER_KEY 12u
#define PROBES 6
#define FOOTER_HASHED 64u

static const uint8_t magic[4] = { 'H', 'F', 'X', '1' };

/* --------------------------------------------------------------- entries -- */

void
index_run_encode(const struct pack_entry *e, uint8_t out[INDEX_ENTRY_LEN])
{
	uint32_t at = e->loc.offset / 8;

	memcpy(out, e->id.b, CHUNK_ID_LEN);
	store_le32(out + 32, e->loc.pack);
	store_le16(out + 36, (uint16_t)at);
	out[38] = (uint8_t)(at >> 16);
	store_le16(out + 39, (uint16_t)(e->loc.place | (unsigned)e->kind << 12));
	store_le16(out + 41, (uint16_t)e->len);
	out[43] = (uint8_t)(e->len >> 16);
}

void
index_run_decode(const uint8_t p[INDEX_ENTRY_LEN], struct pack_entry *out)
{
	uint16_t place = load_le16(p + 39);

	memcpy(out->id.b, p, CHUNK_ID_LEN);
	out->loc.pack = load_le32(p + 32);
	out->loc.offset = 8 * (load_le16(p + 36) | (uint32_t)p[38] << 16);
	out->loc.place = place & 0xfff;
	out->kind = (enum chunk_kind)(place >> 12);
	out->len = load_le16(p + 41) | (uint32_t)p[43] << 16;
}

int
index_run_order(const uint8_t *a, const uint8_t *b)
{
	struct pack_entry x, y;
	int c = memcmp(a, b, CHUNK_ID_LEN);

	if (c != 0)
		return c;
	index_run_decode(a, &x);
	index_run_decode(b, &y);
	if (x.loc.pack != y.loc.pack)
		return x.loc.pack < y.loc.pack ? -1 : 1;
	if (x.loc.offset != y.loc.offset)
		return x.loc.offset < y.loc.offset ? -1 : 1;
	return (x.loc.place > y.loc.place) - (x.loc.place < y.loc.place);
}

/* ---------------------------------------------------------------- blocks -- */

void
index_run_seal_block(uint8_t block[INDEX_BLOCK_LEN], uint32_t no, uint32_t count)
{
	size_t used = INDEX_BLOCK_HEAD + (size_t)count * INDEX_ENTRY_LEN;

	memset(block + used, 0, INDEX_BLOCK_LEN - used);
	store_le32(block + 16, no);
	store_le16(block + 20, (uint16_t)count);
	store_le16(block + 22, 0);
	blake3(block + BLOCK_HASH_LEN, INDEX_BLOCK_LEN - BLOCK_HASH_LEN, NULL, block,
	    BLOCK_HASH_LEN);
}

int
index_run_check_block(const uint8_t block[INDEX_BLOCK_LEN], uint32_t no, int known,
    uint32_t *count, struct err *err)
{
	uint8_t hash[BLOCK_HASH_LEN];

	if (!known) {
		blake3(block + BLOCK_HASH_LEN, INDEX_BLOCK_LEN - BLOCK_HASH_LEN, NULL,
		    hash, sizeof(hash));
		if (memcmp(hash, block, sizeof(hash)) != 0)
			return err_set(
			    err, ERR_CORRUPT, "hash of block %u does not hold", no);
	}
	*count = load_le16(block + 20);
	if (load_le32(block + 16) != no || load_le16(block + 22) != 0 || *count == 0 ||
	    *count > INDEX_BLOCK_ENTRIES)
		return err_set(err, ERR_CORRUPT, "block %u is not what it should be", no);
	return 0;
}

/* ---------------------------------------------------------------- footer -- */

static void
hash_tail(const uint8_t *fences, size_t fences_len, const uint8_t *filter,
    size_t filter_len, const uint8_t *footer, uint8_t out[BLAKE3_OUT_LEN])
{
	struct blake3 h;

	blake3_init(&h, NULL);
	blake3_update(&h, fences, fences_len);
	blake3_update(&h, filter, filter_len);
	blake3_update(&h, footer, FOOTER_HASHED);
	blake3_final(&h, out, BLAKE3_OUT_LEN);
}

void
index_run_format_footer(const struct index_run_footer *f, const uint8_t *fences,
    const uint8_t *filter, uint8_t out[INDEX_FOOTER_LEN])
{
	memset(out, 0, INDEX_FOOTER_LEN);
	memcpy(out, magic, 4);
	store_le16(out + 4, VERSION);
	store_le32(out + 8, f->no);
	store_le32(out + 12, f->blocks);
	store_le64(out + 16, f->entries);
	store_le32(out + 24, f->lines);
	memcpy(out + 32, f->store, PACK_STORE_ID_LEN);
	store_le32(out + 48, f->optional);
	hash_tail(fences, (size_t)f->blocks * INDEX_FENCE_LEN, filter,
	    (size_t)f->lines * INDEX_LINE_LEN, out, out + FOOTER_HASHED);
}

int
index_run_parse_footer(const uint8_t p[INDEX_FOOTER_LEN], uint64_t file_len,
    struct index_run_footer *out, struct err *err)
{
	uint64_t want;

	if (memcmp(p, magic, 4) != 0)
		return err_set(err, ERR_CORRUPT, "not a run: the magic is missing");
	if (load_le16(p + 4) != VERSION)
		return err_set(err, ERR_UNSUPPORTED,
		    "run version %u is newer than this program", load_le16(p + 4));
	if (load_le16(p + 6) != 0 || load_le32(p + 52) != 0 || load_le64(p + 56) != 0)
		return err_set(err, ERR_CORRUPT, "reserved bytes of a run are not zero");
	if (feature_check(load_le32(p + 28), INDEX_FEATURES, "run", err) != 0)
		return -1;
	out->optional = load_le32(p + 48);
	out->no = load_le32(p + 8);
	out->blocks = load_le32(p + 12);
	out->entries = load_le64(p + 16);
	out->lines = load_le32(p + 24);
	memcpy(out->store, p + 32, PACK_STORE_ID_LEN);
	want = (uint64_t)out->blocks * (INDEX_BLOCK_LEN + INDEX_FENCE_LEN) +
	       (uint64_t)out->lines * INDEX_LINE_LEN + INDEX_FOOTER_LEN;
	if (out->blocks == 0 || out->lines == 0 || want != file_len)
		return err_set(err, ERR_CORRUPT,
		    "footer lengths do not add up to the file's %llu",
		    (unsigned long long)file_len);
	/* All blocks but the last are full. */
	if (out->entries <= (uint64_t)(out->blocks - 1) * INDEX_BLOCK_ENTRIES ||
	    out->entries > (uint64_t)out->blocks * INDEX_BLOCK_ENTRIES)
		return err_set(err, ERR_CORRUPT, "%llu entries cannot be in %u blocks",
		    (unsigned long long)out->entries, out->blocks);
	return 0;
}

int
index_run_check_tail(const uint8_t *tail, size_t len, uint64_t file_len,
    struct index_run_footer *out, struct err *err)
{
	const uint8_t *footer = tail + len - INDEX_FOOTER_LEN;
	uint8_t hash[BLAKE3_OUT_LEN];
	size_t fences_len;

	if (len < INDEX_FOOTER_LEN)
		return err_set(
		    err, ERR_CORRUPT, "%zu bytes are too short for a run", len);
	if (index_run_parse_footer(footer, file_len, out, err) != 0)
		return -1;
	if (len != file_len - (uint64_t)out->blocks * INDEX_BLOCK_LEN)
		return err_set(
		    err, ERR_CORRUPT, "a run's tail has not the length it says");
	fences_len = (size_t)out->blocks * INDEX_FENCE_LEN;
	hash_tail(tail, fences_len, tail + fences_len,
	    (size_t)out->lines * INDEX_LINE_LEN, footer, hash);
	if (memcmp(hash, footer + FOOTER_HASHED, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT, "hash of a run's tail does not hold");
	for (size_t i = INDEX_FENCE_LEN; i < fences_len; i += INDEX_FENCE_LEN)
		if (load_le64(tail + i) < load_le64(tail + i - INDEX_FENCE_LEN))
			return err_set(err, ERR_CORRUPT, "fences of a run do not rise");
	return 0;
}

/* ---------------------------------------------------------------- filter -- */

uint32_t
index_run_filter_lines(uint64_t entries)
{
	return (uint32_t)(entries * BITS_PER_KEY / (8 * INDEX_LINE_LEN) + 1);
}

/* Ids are hashes: six 9-bit pieces of one choose the bits within a line. */
void
index_run_filter_add(uint8_t *filter, uint32_t lines, const uint8_t *id)
{
	uint8_t *line = filter + (index_run_filter_line(filter, lines, id) - filter);
	uint64_t h = load_le64(id + 16);

	for (int i = 0; i < PROBES; i++, h >>= 9)
		line[h >> 3 & 63] |= (uint8_t)(1u << (h & 7));
}

int
index_run_filter_has(const uint8_t *line, const uint8_t *id)
{
	uint64_t h = load_le64(id + 16);

	for (int i = 0; i < PROBES; i++, h >>= 9)
		if ((line[h >> 3 & 63] >> (h & 7) & 1) == 0)
			return 0;
	return 1;
}
