/*
 * buf.h - a growing run of bytes with a limit.
 *
 * Every buffer is given its limit when it is made; what would pass it fails
 * with ERR_LIMIT and leaves the buffer as it was.
 */
#ifndef PROTO_BASE_BUF_H
#define PROTO_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct err;

/* Zeroed with a limit it is empty and ready; owns `p` (malloc). */
struct buf {
	uint8_t *p;
	size_t len;	/* Bytes in use. */
	size_t cap;	/* Bytes allocated. */
	size_t max;	/* Bytes it may ever hold. */
};

#define BUF_INIT(limit) { NULL, 0, 0, (limit) }

/* Free the memory; the buffer is empty and may be used again. */
void buf_free(struct buf *b);

/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);

/*
 * Make room for `n` more bytes and return where they go, or NULL with
 * ERR_LIMIT or ERR_NOMEM.  `len` is not changed: add what was written.
 */
uint8_t *buf_room(struct buf *b, size_t n, struct err *err);

/* Append `n` bytes; ERR_LIMIT, ERR_NOMEM. */
int buf_add(struct buf *b, const void *p, size_t n, struct err *err);
int buf_add_u8(struct buf *b, uint8_t v, struct err *err);
int buf_add_le16(struct buf *b, uint16_t v, struct err *err);
int buf_add_le32(struct buf *b, uint32_t v, struct err *err);
int buf_add_le64(struct buf *b, uint64_t v, struct err *err);

/* Remove the first `n` bytes (at most `len`). */
void buf_drop(struct buf *b, size_t n);

#endif /* PROTO_BASE_BUF_H */
