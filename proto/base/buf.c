#include "proto/base/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define FIRST_CAP 256

void
buf_free(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->len = b->cap = 0;
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
}

uint8_t *
buf_room(struct buf *b, size_t n, struct err *err)
{
	size_t cap;
	uint8_t *p;

	assert(b->len <= b->max);
	if (n > b->max - b->len) {
		(void)err_set(err, ERR_LIMIT, "%zu bytes and %zu more pass the limit of %zu",
		    b->len, n, b->max);
		return NULL;
	}
	if (b->p != NULL && n <= b->cap - b->len)
		return b->p + b->len;

	cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
	while (cap < b->len + n)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	if (cap > b->max && b->max >= b->len + n)
		cap = b->max > 0 ? b->max : 1;
	if ((p = realloc(b->p, cap)) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for %zu bytes", cap);
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return b->p + b->len;
}

int
buf_add(struct buf *b, const void *p, size_t n, struct err *err)
{
	uint8_t *to;

	if ((to = buf_room(b, n, err)) == NULL)
		return -1;
	if (n > 0)
		memcpy(to, p, n);
	b->len += n;
	return 0;
}

int
buf_add_u8(struct buf *b, uint8_t v, struct err *err)
{
	return buf_add(b, &v, 1, err);
}

int
buf_add_le16(struct buf *b, uint16_t v, struct err *err)
{
	uint8_t raw[2];

	store_le16(raw, v);
	return buf_add(b, raw, sizeof(raw), err);
}

int
buf_add_le32(struct buf *b, uint32_t v, struct err *err)
{
	uint8_t raw[4];

	store_le32(raw, v);
	return buf_add(b, raw, sizeof(raw), err);
}

int
buf_add_le64(struct buf *b, uint64_t v, struct err *err)
{
	uint8_t raw[8];

	store_le64(raw, v);
	return buf_add(b, raw, sizeof(raw), err);
}

void
buf_drop(struct buf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (n < b->len)
		memmove(b->p, b->p + n, b->len - n);
	b->len -= n;
}
