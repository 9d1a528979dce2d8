#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/group_format.h"

/* More than zstd's bound for GROUP_PLAIN_MAX (RFC 8878 frames grow by 1/256 at most). */
#define PACKED_MAX (GROUP_PLAIN_MAX + GROUP_PLAIN_MAX / 128)

struct group_builder {
	enum chunk_kind kind;
	uint32_t count;
	struct buf entries; /* As they will be stored. */
	struct buf plain;
	struct buf packed; /* Only during finish(). */
};

struct group_builder *
group_builder_new(enum chunk_kind kind)
{
	struct group_builder *b;

	if ((b = calloc(1, sizeof(*b))) == NULL)
		return NULL;
	b->kind = kind;
	b->entries.max = (size_t)GROUP_CHUNKS_MAX * GROUP_ENTRY_LEN;
	b->plain.max = GROUP_PLAIN_MAX;
	b->packed.max = PACKED_MAX;
	return b;
}

void
group_builder_free(struct group_builder *b)
{
	if (b == NULL)
		return;
	buf_free(&b->entries);
	buf_free(&b->plain);
	buf_free(&b->packed);
	free(b);
}

int
group_builder_add(struct group_builder *b, const struct chunk_id *id, const void *p,
    size_t len, struct err *err)
{
	size_t max = b->kind == CHUNK_META ? CHUNK_META_MAX : CHUNK_DATA_MAX;
	uint8_t *e;

	if (len == 0 || len > max)
		return err_set(
		    err, ERR_LIMIT, "a chunk of %zu bytes, not 1 to %zu", len, max);
	if ((e = buf_room(&b->entries, GROUP_ENTRY_LEN, err)) == NULL ||
	    buf_add(&b->plain, p, len, err) == -1)
		return err_context(err, "group is full");
	memcpy(e, id->b, CHUNK_ID_LEN);
	store_le32(e + CHUNK_ID_LEN, (uint32_t)len);
	b->entries.len += GROUP_ENTRY_LEN;
	b->count++;
	return 0;
}

int
group_builder_full(const struct group_builder *b, size_t next_len)
{
	return b->count == GROUP_CHUNKS_MAX || b->plain.len >= GROUP_PLAIN_TARGET ||
	       next_len > GROUP_PLAIN_MAX - b->plain.len;
}

uint32_t
group_builder_count(const struct group_builder *b)
{
	return b->count;
}

size_t
group_builder_plain(const struct group_builder *b)
{
	return b->plain.len;
}

static void
write_header(const struct group_builder *b, enum group_codec codec, size_t data_len,
    struct buf *out)
{
	uint8_t *p = out->p;

	memset(p, 0, GROUP_HEADER_LEN);
	store_le32(p, GROUP_MAGIC);
	p[AT_KIND] = (uint8_t)b->kind;
	p[AT_CODEC] = (uint8_t)codec;
	store_le32(p + AT_COUNT, b->count);
	store_le32(p + AT_PLAIN_LEN, (uint32_t)b->plain.len);
	store_le32(p + AT_DATA_LEN, (uint32_t)data_len);
	group_hash(p, out->len, p + AT_HASH);
}

/* Compression that saves less than 1/32 is not worth a reader's time. */
static int
saves_enough(size_t plain, size_t packed)
{
	return packed < plain && plain - packed >= (plain + 31) / 32;
}

int
group_builder_finish(
    struct group_builder *b, struct codec *c, int level, struct buf *out, struct err *err)
{
	enum group_codec codec = GROUP_ZSTD;
	const struct buf *data = &b->packed;

	assert(b->count > 0);
	buf_clear(&b->packed);
	if (codec_pack(c, level, b->plain.p, b->plain.len, &b->packed, err) == -1)
		return err_context(err, "group of %u chunks", (unsigned)b->count);
	if (!saves_enough(b->plain.len, b->packed.len)) {
		codec = GROUP_RAW;
		data = &b->plain;
	}
	buf_clear(out);
	if (buf_room(out, GROUP_HEADER_LEN + b->entries.len + data->len, err) == NULL)
		return err_context(err, "group of %u chunks", (unsigned)b->count);
	out->len = GROUP_HEADER_LEN;
	(void)buf_add(out, b->entries.p, b->entries.len, err);
	(void)buf_add(out, data->p, data->len, err);
	write_header(b, codec, data->len, out);
	b->count = 0;
	buf_clear(&b->entries);
	buf_clear(&b->plain);
	return 0;
}
