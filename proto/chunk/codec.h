/*
 * codec.h - zstd (RFC 8878) with its contexts kept and its limits set.
 */
#ifndef PROTO_CHUNK_CODEC_H
#define PROTO_CHUNK_CODEC_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* Compression and decompression contexts and their memory; one per thread. */
struct codec;

/* NULL without memory.  codec_free(NULL) is allowed. */
struct codec *codec_new(void);
void codec_free(struct codec *c);

/*
 * Append `len` bytes as one zstd frame with its content size to `out`, at
 * `level` (1..19).  ERR_LIMIT if `out` cannot hold the bound, ERR_NOMEM.
 */
int codec_pack(struct codec *c, int level, const void *p, size_t len, struct buf *out,
    struct err *err);

/*
 * Decode one whole frame of `len` bytes to exactly `plain_len` bytes at `plain`;
 * ERR_CORRUPT for anything else.  The frame's window is limited, so a hostile
 * one cannot make us allocate more than a few MiB.
 */
int codec_unpack(struct codec *c, const void *p, size_t len, uint8_t *plain,
    size_t plain_len, struct err *err);

#endif /* PROTO_CHUNK_CODEC_H */
