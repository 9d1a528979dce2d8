/*
 * cursor.h - reading bytes that are not to be trusted.
 *
 * A cursor never leaves its range.  After the first read past the end it stays
 * `bad` and yields zeros, so that a parser checks once, at the end of a
 * structure, before it believes any of it.
 */
#ifndef PROTO_BASE_CURSOR_H
#define PROTO_BASE_CURSOR_H

#include <stddef.h>
#include <stdint.h>

/* A place in a run of bytes that someone else owns. */
struct cursor {
	const uint8_t *p;
	size_t left;	/* Bytes not yet read. */
	int bad;	/* A read went past the end. */
};

void cursor_init(struct cursor *c, const void *p, size_t len);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_le16(struct cursor *c);
uint32_t cursor_le32(struct cursor *c);
uint64_t cursor_le64(struct cursor *c);

/* The next `n` bytes, borrowed, or NULL (and `bad`) if there are fewer. */
const uint8_t *cursor_bytes(struct cursor *c, size_t n);

/* Copy the next `n` bytes to `out`; zeros if there are fewer. */
void cursor_copy(struct cursor *c, void *out, size_t n);

#endif /* PROTO_BASE_CURSOR_H */
