/*
 * group.h - some chunks under one compressed frame: what is sent and stored.
 *
 * An agent packs consecutive new chunks of one kind into a group; the server
 * proves it and appends the very same bytes to a pack; a restore sends them
 * back unchanged.  Layout: storage/FORMAT.md, "Groups":
 *
 *	+0	4	magic "HFG1"
 *	+4	1	kind (enum chunk_kind)
 *	+5	1	codec (enum group_codec)
 *	+6	1	cipher (enum group_cipher)
 *	+7	1	reserved, zero
 *	+8	2	required features
 *	+10	2	optional features
 *	+12	4	number of chunks, 1..GROUP_CHUNKS_MAX
 *	+16	4	plain length: sum of the chunks' lengths
 *	+20	4	stored length of the data
 *	+24	4	key id, zero without a cipher
 *	+28	4	length of the fields, 0..GROUP_FIELDS_MAX
 *	+32	32	BLAKE3-256 (no key) of all the group's bytes but these
 *	+64	36*n	per chunk: id (32), plain length (4)
 *	...	-	typed fields (proto/base/feature.h)
 *	...	-	data: the chunks' bytes one after another, encoded
 *
 * Nothing here does I/O.  A group from outside passes three gates, each needing
 * the one before: group_parse (shape), group_check (the stored bytes are
 * those that were written), group_decode and group_prove (each chunk is what
 * its id says).  Who only steps over groups or scrubs them stops at group_frame
 * and group_check, which serve groups with features yet unknown, too.
 */
#ifndef PROTO_CHUNK_GROUP_H
#define PROTO_CHUNK_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct buf;
struct codec;	/* proto/chunk/codec.h */
struct err;

#define GROUP_HEADER_LEN 64u
#define GROUP_ENTRY_LEN 36u
#define GROUP_CHUNKS_MAX 4096u

/* A builder closes a group once it holds this many plain bytes. */
#define GROUP_PLAIN_TARGET (512u * 1024)

/* Limits a reader may rely on, in bytes. */
#define GROUP_PLAIN_MAX (2u * 1024 * 1024)
#define GROUP_FIELDS_MAX 4096u
#define GROUP_CIPHER_MORE 64u /* Stored bytes beyond the plain ones: nonce, tag. */
#define GROUP_LEN_MAX                                                             \
	(GROUP_HEADER_LEN + GROUP_ENTRY_LEN * GROUP_CHUNKS_MAX + GROUP_FIELDS_MAX + \
	    GROUP_PLAIN_MAX + GROUP_CIPHER_MORE)

/* Feature bits that this program knows. */
#define GROUP_FEATURES 0u

enum group_codec {
	GROUP_RAW = 0,	/* Stored length equals plain length. */
	GROUP_ZSTD = 1	/* One zstd frame (RFC 8878) with its content size. */
};

enum group_cipher {
	GROUP_CLEAR = 0,
	GROUP_XCHACHA = 1 /* Reserved: XChaCha20-Poly1305; no program makes it yet. */
};

struct group_entry {
	struct chunk_id id;
	uint32_t len;		/* Plain bytes. */
	uint32_t offset;	/* Of the chunk in the group's plain bytes. */
};

/* A parsed group; borrows the bytes it was parsed from. */
struct group {
	enum chunk_kind kind;
	unsigned codec, cipher;	/* enum group_codec, group_cipher, or unknown ones. */
	uint16_t required, optional;
	uint32_t key_id;
	uint32_t count;		/* Chunks. */
	uint32_t plain_len;
	uint32_t fields_len;	/* Between the entries and the data. */
	uint32_t data_len;	/* Stored bytes. */
	const uint8_t *bytes;	/* The whole group, `len` bytes. */
	size_t len;
};

/*
 * Look at the group that starts at `p`; `len` may be more than the group.
 * Checks magic, limits, sums of lengths and that reserved fields are zero.
 * ERR_CORRUPT, or ERR_UNSUPPORTED for a codec, cipher or required feature that
 * this program lacks, by its number.
 */
int group_parse(const uint8_t *p, size_t len, struct group *out, struct err *err);

/*
 * The same without asking whether the data can be understood: chunks' names and
 * lengths are where they are whatever the codec, the cipher and the features.
 */
int group_frame(const uint8_t *p, size_t len, struct group *out, struct err *err);

/* What group_parse() asks beyond group_frame(): ERR_UNSUPPORTED, ERR_CORRUPT. */
int group_known(const struct group *g, struct err *err);

/*
 * Is there nothing in a parsed group that this program does not know, optional
 * features and fields among it?  ERR_UNSUPPORTED.  For who takes groups from
 * strangers: what is in a store was understood by the program that took it.
 */
int group_plain(const struct group *g, struct err *err);

/*
 * How long the group is whose first GROUP_HEADER_LEN bytes are at `p`; for
 * readers that walk a pack.  ERR_CORRUPT if that cannot be a header.
 */
int group_peek(const uint8_t p[GROUP_HEADER_LEN], size_t *len, struct err *err);

/* Does the stored-bytes hash hold?  ERR_CORRUPT if not.  No key is needed; from group_frame on. */
int group_check(const struct group *g, struct err *err);

/* Entry `i` (< count).  Cost grows with `i`: `offset` is a running sum. */
void group_entry(const struct group *g, uint32_t i, struct group_entry *out);

/* Call for each entry in order until `each` returns non-zero; return that. */
int group_each(const struct group *g, int (*each)(void *arg, const struct group_entry *e),
    void *arg);

/*
 * Decode to `plain`, which has room for g->plain_len bytes.  Never writes more
 * and fails with ERR_CORRUPT on anything but exactly that many.
 */
int group_decode(struct codec *c, const struct group *g, uint8_t *plain, struct err *err);

/* Does every chunk in `plain` hash to its id?  ERR_CORRUPT names the first that does not. */
int group_prove(const struct group *g, const struct chunk_keys *keys, const uint8_t *plain,
    struct err *err);

/* ------------------------------------------------------------- building -- */

/* Chunks collected for one group; memory is bounded by GROUP_PLAIN_MAX. */
struct group_builder;

struct group_builder *group_builder_new(enum chunk_kind kind);
void group_builder_free(struct group_builder *b);

/*
 * Copy a chunk of `len` bytes in.  The caller asks group_builder_full() first;
 * ERR_LIMIT if it does not fit.
 */
int group_builder_add(struct group_builder *b, const struct chunk_id *id, const void *p,
    size_t len, struct err *err);

/* Non-zero if it has reached GROUP_PLAIN_TARGET or `next_len` more would not fit. */
int group_builder_full(const struct group_builder *b, size_t next_len);

/* Chunks in it now, and their plain bytes. */
uint32_t group_builder_count(const struct group_builder *b);
size_t group_builder_plain(const struct group_builder *b);

/*
 * Encode all that was added at zstd `level` (1..19), raw where that does not
 * save at least 1/32; replace `out` (limit >= GROUP_LEN_MAX) with the group's
 * bytes and empty the builder.  The builder must not be empty.
 */
int group_builder_finish(struct group_builder *b, struct codec *c, int level,
    struct buf *out, struct err *err);

#endif /* PROTO_CHUNK_GROUP_H */
