#include "proto/chunk/group.h"

#include <assert.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group_format.h"

static uint32_t
chunk_max(enum chunk_kind kind)
{
	return kind == CHUNK_META ? CHUNK_META_MAX : CHUNK_DATA_MAX;
}

/* How the stored length may relate to the plain one. */
static int
data_len_ok(const struct group *g)
{
	if (g->data_len == 0 || g->data_len > g->plain_len + GROUP_CIPHER_MORE)
		return 0;
	if (g->cipher != GROUP_CLEAR || g->required != 0)
		return 1;
	if (g->codec == GROUP_RAW)
		return g->data_len == g->plain_len;
	return g->codec != GROUP_ZSTD || g->data_len < g->plain_len;
}

/* All that the header alone can tell; fills all of `g` but bytes and len. */
static int
parse_header(const uint8_t *p, struct group *g, struct err *err)
{
	unsigned kind = p[AT_KIND];

	if (load_le32(p) != GROUP_MAGIC)
		return err_set(err, ERR_CORRUPT, "not a group: wrong magic");
	if (kind != CHUNK_DATA && kind != CHUNK_META)
		return err_set(err, ERR_CORRUPT, "group of unknown kind %u", kind);
	if (p[AT_RESERVED] != 0)
		return err_set(err, ERR_CORRUPT, "group with bytes in a reserved field");
	g->kind = (enum chunk_kind)kind;
	g->codec = p[AT_CODEC];
	g->cipher = p[AT_CIPHER];
	g->required = load_le16(p + AT_REQUIRED);
	g->optional = load_le16(p + AT_OPTIONAL);
	g->key_id = load_le32(p + AT_KEY_ID);
	g->count = load_le32(p + AT_COUNT);
	g->plain_len = load_le32(p + AT_PLAIN_LEN);
	g->data_len = load_le32(p + AT_DATA_LEN);
	g->fields_len = load_le32(p + AT_FIELDS_LEN);
	if (g->count == 0 || g->count > GROUP_CHUNKS_MAX)
		return err_set(
		    err, ERR_CORRUPT, "group of %u chunks", (unsigned)g->count);
	if (g->plain_len == 0 || g->plain_len > GROUP_PLAIN_MAX)
		return err_set(
		    err, ERR_CORRUPT, "group of %u plain bytes", (unsigned)g->plain_len);
	if (g->fields_len > GROUP_FIELDS_MAX)
		return err_set(err, ERR_CORRUPT, "group with %u bytes of fields",
		    (unsigned)g->fields_len);
	if (!data_len_ok(g))
		return err_set(err, ERR_CORRUPT, "group stores %u plain bytes as %u",
		    (unsigned)g->plain_len, (unsigned)g->data_len);
	if (g->cipher == GROUP_CLEAR && g->key_id != 0)
		return err_set(err, ERR_CORRUPT, "group with a key and no cipher");
	return 0;
}

static size_t
group_len(const struct group *g)
{
	return GROUP_HEADER_LEN + (size_t)g->count * GROUP_ENTRY_LEN + g->fields_len +
	       g->data_len;
}

static const uint8_t *
entry_at(const struct group *g, uint32_t i)
{
	return g->bytes + GROUP_HEADER_LEN + (size_t)i * GROUP_ENTRY_LEN;
}

static uint32_t
entry_len(const struct group *g, uint32_t i)
{
	return load_le32(entry_at(g, i) + CHUNK_ID_LEN);
}

static const uint8_t *
stored_data(const struct group *g)
{
	return entry_at(g, g->count) + g->fields_len;
}

int
group_peek(const uint8_t p[GROUP_HEADER_LEN], size_t *len, struct err *err)
{
	struct group g;

	if (parse_header(p, &g, err) == -1)
		return -1;
	*len = group_len(&g);
	return 0;
}

int
group_frame(const uint8_t *p, size_t len, struct group *out, struct err *err)
{
	struct group g;
	uint64_t sum = 0;
	uint32_t i;

	if (len < GROUP_HEADER_LEN)
		return err_set(
		    err, ERR_CORRUPT, "group cut off after %zu bytes of its header", len);
	if (parse_header(p, &g, err) == -1)
		return -1;
	if (len < group_len(&g))
		return err_set(err, ERR_CORRUPT, "group of %zu bytes cut off after %zu",
		    group_len(&g), len);
	g.bytes = p;
	g.len = group_len(&g);
	for (i = 0; i < g.count; i++) {
		uint32_t n = entry_len(&g, i);

		if (n == 0 || n > chunk_max(g.kind))
			return err_set(err, ERR_CORRUPT, "group with a chunk of %u bytes",
			    (unsigned)n);
		sum += n;
	}
	if (sum != g.plain_len)
		return err_set(err, ERR_CORRUPT,
		    "group of %u plain bytes with chunks of %llu", (unsigned)g.plain_len,
		    (unsigned long long)sum);
	*out = g;
	return 0;
}

int
group_known(const struct group *g, struct err *err)
{
	if (feature_check(g->required, GROUP_FEATURES, "group", err) == -1)
		return -1;
	if (g->codec != GROUP_RAW && g->codec != GROUP_ZSTD)
		return err_set(
		    err, ERR_UNSUPPORTED, "group with unknown codec %u", g->codec);
	if (g->cipher != GROUP_CLEAR)
		return err_set(err, ERR_UNSUPPORTED,
		    "group with unknown cipher %u, of key %u", g->cipher,
		    (unsigned)g->key_id);
	return feature_check_fields(
	    entry_at(g, g->count), g->fields_len, NULL, 0, "group", err);
}

int
group_plain(const struct group *g, struct err *err)
{
	if (g->optional != 0 || g->fields_len != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "group with optional features 0x%04x and %u bytes of fields, which "
		    "this program does not know",
		    (unsigned)g->optional, (unsigned)g->fields_len);
	return 0;
}

int
group_parse(const uint8_t *p, size_t len, struct group *out, struct err *err)
{
	struct group g;

	if (group_frame(p, len, &g, err) == -1 || group_known(&g, err) == -1)
		return -1;
	*out = g;
	return 0;
}

void
group_hash(const uint8_t *p, size_t len, uint8_t out[GROUP_HASH_LEN])
{
	struct blake3 h;

	blake3_init(&h, NULL);
	blake3_update(&h, p, AT_HASH);
	blake3_update(&h, p + GROUP_HEADER_LEN, len - GROUP_HEADER_LEN);
	blake3_final(&h, out, GROUP_HASH_LEN);
}

int
group_check(const struct group *g, struct err *err)
{
	uint8_t hash[GROUP_HASH_LEN];

	group_hash(g->bytes, g->len, hash);
	if (memcmp(hash, g->bytes + AT_HASH, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT,
		    "group of %zu bytes does not match the hash it carries", g->len);
	return 0;
}

void
group_entry(const struct group *g, uint32_t i, struct group_entry *out)
{
	uint32_t before;

	assert(i < g->count);
	memcpy(out->id.b, entry_at(g, i), CHUNK_ID_LEN);
	out->len = entry_len(g, i);
	out->offset = 0;
	for (before = 0; before < i; before++)
		out->offset += entry_len(g, before);
}

int
group_each(
    const struct group *g, int (*each)(void *arg, const struct group_entry *e), void *arg)
{
	struct group_entry e;
	uint32_t i;
	int r;

	e.offset = 0;
	for (i = 0; i < g->count; i++) {
		memcpy(e.id.b, entry_at(g, i), CHUNK_ID_LEN);
		e.len = entry_len(g, i);
		if ((r = each(arg, &e)) != 0)
			return r;
		e.offset += e.len;
	}
	return 0;
}

int
group_decode(struct codec *c, const struct group *g, uint8_t *plain, struct err *err)
{
	if (g->codec == GROUP_RAW) {
		memcpy(plain, stored_data(g), g->plain_len);
		return 0;
	}
	if (codec_unpack(c, stored_data(g), g->data_len, plain, g->plain_len, err) == -1)
		return err_context(err, "group of %u chunks", (unsigned)g->count);
	return 0;
}

struct proof {
	const struct group *g;
	const struct chunk_keys *keys;
	const uint8_t *plain;
	struct err *err;
};

static int
prove_one(void *arg, const struct group_entry *e)
{
	const struct proof *p = arg;
	char hex[2 * CHUNK_ID_LEN + 1];
	struct chunk_id id;

	chunk_id_of(p->keys, p->g->kind, p->plain + e->offset, e->len, &id);
	if (chunk_id_cmp(&id, &e->id) == 0)
		return 0;
	chunk_id_hex(&e->id, hex);
	return err_set(p->err, ERR_CORRUPT, "the %u bytes stored as chunk %s are not it",
	    (unsigned)e->len, hex);
}

int
group_prove(const struct group *g, const struct chunk_keys *keys, const uint8_t *plain,
    struct err *err)
{
	struct proof p = { g, keys, plain, err };

	return group_each(g, prove_one, &p);
}
