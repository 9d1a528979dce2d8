#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/group.h"
#include "storage/pack_format.h"

#define VERSION 1
#define HEADER_HASHED 64u
#define TRAILER_HASHED 96u

static const uint8_t header_magic[4] = { 'H', 'F', 'P', '1' };
static const uint8_t trailer_magic[4] = { 'H', 'F', 'E', '1' };

/* ---------------------------------------------------------------- header -- */

void
pack_format_header(const struct pack_header *h, uint8_t out[PACK_HEADER_LEN])
{
	memset(out, 0, PACK_HEADER_LEN);
	memcpy(out, header_magic, 4);
	store_le16(out + 4, VERSION);
	out[6] = (uint8_t)h->kind;
	store_le32(out + 8, h->no);
	memcpy(out + 16, h->store, PACK_STORE_ID_LEN);
	store_le32(out + 36, h->optional);
	blake3(out, HEADER_HASHED, NULL, out + HEADER_HASHED, BLAKE3_OUT_LEN);
}

/* What header and trailer have in common: kind, number. */
static int
parse_start(const uint8_t *p, struct pack_header *out, struct err *err)
{
	if (p[6] != CHUNK_DATA && p[6] != CHUNK_META)
		return err_set(err, ERR_CORRUPT, "pack kind %u is not known", p[6]);
	if (p[7] != 0)
		return err_set(err, ERR_CORRUPT, "reserved byte of a pack is not zero");
	out->kind = (enum chunk_kind)p[6];
	if ((out->no = load_le32(p + 8)) == 0)
		return err_set(err, ERR_CORRUPT, "a pack has number 0");
	return 0;
}

int
pack_parse_header(
    const uint8_t p[PACK_HEADER_LEN], struct pack_header *out, struct err *err)
{
	uint8_t hash[BLAKE3_OUT_LEN];

	if (memcmp(p, header_magic, 4) != 0)
		return err_set(err, ERR_CORRUPT, "not a pack: the magic is missing");
	/* Magic, version and hash are where they are in every version. */
	blake3(p, HEADER_HASHED, NULL, hash, sizeof(hash));
	if (memcmp(hash, p + HEADER_HASHED, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT, "pack header hash does not hold");
	if (load_le16(p + 4) != VERSION)
		return err_set(err, ERR_UNSUPPORTED,
		    "pack version %u is newer than this program", load_le16(p + 4));
	if (parse_start(p, out, err) != 0)
		return -1;
	for (unsigned i = 40; i < HEADER_HASHED; i++)
		if (p[i] != 0)
			return err_set(
			    err, ERR_CORRUPT, "reserved bytes of a pack are not zero");
	memcpy(out->store, p + 16, PACK_STORE_ID_LEN);
	out->optional = load_le32(p + 36);
	if (load_le32(p + 12) != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "pack of dedup domain %u: this program knows only domain 0",
		    (unsigned)load_le32(p + 12));
	return feature_check(load_le32(p + 32), PACK_FEATURES, "pack", err);
}

/* ---------------------------------------------------------------- footer -- */

static int
compare_entries(const void *va, const void *vb)
{
	const struct pack_entry *a = va, *b = vb;
	int c = memcmp(a->id.b, b->id.b, CHUNK_ID_LEN);

	if (c != 0)
		return c;
	if (a->loc.offset != b->loc.offset)
		return a->loc.offset < b->loc.offset ? -1 : 1;
	return (a->loc.place > b->loc.place) - (a->loc.place < b->loc.place);
}

uint8_t *
pack_format_footer(const struct pack_header *h, uint32_t data_end, uint32_t parity_len,
    struct pack_toc *toc, size_t *len)
{
	size_t entries = (size_t)toc->count * PACK_FOOTER_ENTRY_LEN;
	uint8_t *foot, *p;

	*len = entries + PACK_TRAILER_LEN;
	if ((foot = calloc(1, *len)) == NULL)
		return NULL;
	qsort(toc->entries, toc->count, sizeof(*toc->entries), compare_entries);
	p = foot;
	for (uint32_t i = 0; i < toc->count; i++, p += PACK_FOOTER_ENTRY_LEN) {
		const struct pack_entry *e = &toc->entries[i];

		memcpy(p, e->id.b, CHUNK_ID_LEN);
		store_le32(p + 32, e->loc.offset);
		store_le16(p + 36, e->loc.place);
		store_le32(p + 40, e->len);
	}
	memcpy(p, trailer_magic, 4);
	store_le16(p + 4, VERSION);
	p[6] = (uint8_t)h->kind;
	store_le32(p + 8, h->no);
	store_le32(p + 12, toc->count);
	store_le32(p + 16, toc->groups);
	store_le32(p + 20, data_end);
	store_le64(p + 24, toc->plain);
	store_le64(p + 32, toc->stored);
	store_le64(p + 40, (uint64_t)data_end + parity_len + *len);
	memcpy(p + 48, h->store, PACK_STORE_ID_LEN);
	store_le32(p + 72, h->optional);
	store_le32(p + 76, parity_len);
	blake3(foot, entries + TRAILER_HASHED, NULL, p + TRAILER_HASHED, BLAKE3_OUT_LEN);
	return foot;
}

int
pack_parse_trailer(const uint8_t p[PACK_TRAILER_LEN], uint64_t file_len,
    struct pack_trailer *out, struct err *err)
{
	uint64_t want;

	/* The header, read before, is of our version: so must this be. */
	if (memcmp(p, trailer_magic, 4) != 0 || load_le16(p + 4) != VERSION)
		return err_set(err, ERR_CORRUPT, "the pack has no footer");
	if (parse_start(p, &out->of, err) != 0)
		return -1;
	out->stats.chunks = load_le32(p + 12);
	out->stats.groups = load_le32(p + 16);
	out->data_end = load_le32(p + 20);
	out->stats.plain = load_le64(p + 24);
	out->stats.stored = load_le64(p + 32);
	memcpy(out->of.store, p + 48, PACK_STORE_ID_LEN);
	out->of.optional = load_le32(p + 72);
	out->parity_len = load_le32(p + 76);

	for (unsigned i = 80; i < TRAILER_HASHED; i++)
		if (p[i] != 0 || load_le32(p + 64) != 0)
			return err_set(
			    err, ERR_CORRUPT, "reserved bytes of a footer are not zero");
	if (out->stats.chunks == 0 || out->stats.chunks > PACK_CHUNKS_MAX ||
	    out->stats.groups == 0 || out->stats.groups > out->stats.chunks)
		return err_set(err, ERR_CORRUPT, "footer counts %u chunks in %u groups",
		    out->stats.chunks, out->stats.groups);
	want = (uint64_t)out->data_end + out->parity_len +
	       (uint64_t)out->stats.chunks * PACK_FOOTER_ENTRY_LEN + PACK_TRAILER_LEN;
	if (file_len > PACK_LEN_MAX || load_le64(p + 40) != file_len ||
	    want != file_len || out->data_end < PACK_HEADER_LEN ||
	    out->data_end % PACK_ALIGN != 0 || out->parity_len > PACK_PARITY_MAX ||
	    out->parity_len % PACK_ALIGN != 0)
		return err_set(err, ERR_CORRUPT,
		    "footer lengths do not add up to the file's %llu",
		    (unsigned long long)file_len);
	if (out->stats.stored > out->data_end - PACK_HEADER_LEN)
		return err_set(
		    err, ERR_CORRUPT, "footer has more stored bytes than the file");
	return 0;
}

void
pack_footer_entry(
    const uint8_t *p, const struct pack_trailer *t, uint32_t i, struct pack_entry *out)
{
	p += (size_t)i * PACK_FOOTER_ENTRY_LEN;
	memcpy(out->id.b, p, CHUNK_ID_LEN);
	out->loc.pack = t->of.no;
	out->loc.offset = load_le32(p + 32);
	out->loc.place = load_le16(p + 36);
	out->len = load_le32(p + 40);
	out->kind = t->of.kind;
}

int
pack_parse_footer(const uint8_t *p, size_t len, uint64_t file_len,
    struct pack_trailer *out, struct err *err)
{
	uint8_t hash[BLAKE3_OUT_LEN];
	struct pack_entry e, last;
	const uint8_t *trailer = p + len - PACK_TRAILER_LEN;
	uint32_t max;
	uint64_t plain = 0;

	if (len < PACK_TRAILER_LEN)
		return err_set(err, ERR_CORRUPT, "footer of %zu bytes is too short", len);
	if (pack_parse_trailer(trailer, file_len, out, err) != 0)
		return -1;
	if (len != file_len - pack_entries_at(out))
		return err_set(err, ERR_CORRUPT, "footer has not the length it says");
	blake3(p, len - BLAKE3_OUT_LEN, NULL, hash, sizeof(hash));
	if (memcmp(hash, trailer + TRAILER_HASHED, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT, "footer hash does not hold");
	/* Only now: a flipped bit must not look like a newer program's. */
	if (feature_check(load_le32(trailer + 68), PACK_FEATURES, "pack", err) != 0)
		return -1;

	max = out->of.kind == CHUNK_DATA ? CHUNK_DATA_MAX : CHUNK_META_MAX;
	memset(&last, 0, sizeof(last));
	for (uint32_t i = 0; i < out->stats.chunks; i++) {
		pack_footer_entry(p, out, i, &e);
		if (e.loc.offset < PACK_HEADER_LEN || e.loc.offset % PACK_ALIGN != 0 ||
		    (uint64_t)e.loc.offset + GROUP_HEADER_LEN > out->data_end ||
		    e.loc.place >= GROUP_CHUNKS_MAX || e.len == 0 || e.len > max ||
		    load_le16(p + (size_t)i * PACK_FOOTER_ENTRY_LEN + 38) != 0)
			return err_set(
			    err, ERR_CORRUPT, "footer entry %u is out of limits", i);
		if (i > 0 && compare_entries(&last, &e) >= 0)
			return err_set(
			    err, ERR_CORRUPT, "footer entry %u is out of order", i);
		plain += e.len;
		last = e;
	}
	if (plain != out->stats.plain)
		return err_set(err, ERR_CORRUPT, "footer's sum of plain bytes is wrong");
	return 0;
}
