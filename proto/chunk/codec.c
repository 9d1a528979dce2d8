#include "proto/chunk/codec.h"

#include <stdlib.h>

#include <zstd.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* 4 MiB: twice the longest group, so every frame of ours is within it. */
#define WINDOW_LOG_MAX 22

struct codec {
	ZSTD_CCtx *c;
	ZSTD_DCtx *d;
};

struct codec *
codec_new(void)
{
	struct codec *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	c->c = ZSTD_createCCtx();
	c->d = ZSTD_createDCtx();
	if (c->c == NULL || c->d == NULL ||
	    ZSTD_isError(
		ZSTD_DCtx_setParameter(c->d, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
		codec_free(c);
		return NULL;
	}
	return c;
}

void
codec_free(struct codec *c)
{
	if (c == NULL)
		return;
	ZSTD_freeCCtx(c->c);
	ZSTD_freeDCtx(c->d);
	free(c);
}

/*
 * At level 3 the match finder's two tables are 128 KiB each, not zstd's 256 and 512: what
 * then stays in the core's own cache is a fifth of the time for 0.7 % more bytes.
 */
#define QUICK_LEVEL 3
#define QUICK_TABLE_LOG 15

/* 0, or zstd's error.  0 for a parameter means the level's own. */
static size_t
set_level(ZSTD_CCtx *c, int level)
{
	int log = level == QUICK_LEVEL ? QUICK_TABLE_LOG : 0;
	size_t n;

	if (ZSTD_isError(n = ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(n = ZSTD_CCtx_setParameter(c, ZSTD_c_hashLog, log)) ||
	    ZSTD_isError(n = ZSTD_CCtx_setParameter(c, ZSTD_c_chainLog, log)))
		return n;
	return 0;
}

int
codec_pack(struct codec *c, int level, const void *p, size_t len, struct buf *out,
    struct err *err)
{
	size_t bound = ZSTD_compressBound(len), n;
	uint8_t *room;

	if ((room = buf_room(out, bound, err)) == NULL)
		return err_context(err, "no room to compress %zu bytes", len);
	if ((n = set_level(c->c, level)) == 0)
		n = ZSTD_compress2(c->c, room, bound, p, len);
	/* The bound cannot be too small: what is left is memory. */
	if (ZSTD_isError(n))
		return err_set(
		    err, ERR_NOMEM, "cannot compress: %s", ZSTD_getErrorName(n));
	out->len += n;
	return 0;
}

/*
 * Is the frame's window within our limit?  zstd itself asks only when it
 * streams.  Header: magic (4), descriptor (1), then the window (1) unless bit
 * 5 of the descriptor says that the content is the window (RFC 8878, 3.1.1.1).
 */
static int
window_ok(const uint8_t *p, size_t len)
{
	if (len < 6 || load_le32(p) != ZSTD_MAGICNUMBER)
		return 0;
	return (p[4] & 0x20) != 0 || 10 + (p[5] >> 3) <= WINDOW_LOG_MAX;
}

int
codec_unpack(struct codec *c, const void *p, size_t len, uint8_t *plain, size_t plain_len,
    struct err *err)
{
	size_t n;

	if (!window_ok(p, len))
		return err_set(
		    err, ERR_CORRUPT, "not a zstd frame, or its window is too large");
	if (ZSTD_getFrameContentSize(p, len) != plain_len)
		return err_set(err, ERR_CORRUPT,
		    "the zstd frame does not say that it holds %zu bytes", plain_len);
	if (ZSTD_findFrameCompressedSize(p, len) != len)
		return err_set(
		    err, ERR_CORRUPT, "not one whole zstd frame in %zu bytes", len);
	n = ZSTD_decompressDCtx(c->d, plain, plain_len, p, len);
	if (ZSTD_isError(n))
		return err_set(
		    err, ERR_CORRUPT, "cannot decompress: %s", ZSTD_getErrorName(n));
	if (n != plain_len)
		return err_set(err, ERR_CORRUPT,
		    "the zstd frame holds %zu bytes, not %zu", n, plain_len);
	return 0;
}
