#include "proto/base/cursor.h"

#include <string.h>

#include "proto/base/bytes.h"

void
cursor_init(struct cursor *c, const void *p, size_t len)
{
	c->p = p;
	c->left = len;
	c->bad = 0;
}

const uint8_t *
cursor_bytes(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > c->left) {
		c->bad = 1;
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

uint8_t
cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_bytes(c, 1);

	return p == NULL ? 0 : *p;
}

uint16_t
cursor_le16(struct cursor *c)
{
	const uint8_t *p = cursor_bytes(c, 2);

	return p == NULL ? 0 : load_le16(p);
}

uint32_t
cursor_le32(struct cursor *c)
{
	const uint8_t *p = cursor_bytes(c, 4);

	return p == NULL ? 0 : load_le32(p);
}

uint64_t
cursor_le64(struct cursor *c)
{
	const uint8_t *p = cursor_bytes(c, 8);

	return p == NULL ? 0 : load_le64(p);
}

void
cursor_copy(struct cursor *c, void *out, size_t n)
{
	const uint8_t *p = cursor_bytes(c, n);

	if (p == NULL)
		memset(out, 0, n);
	else if (n > 0)
		memcpy(out, p, n);
}
