#include "agent/host/host_entry.h"

#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/cursor.h"

#define MEDIA 4u
#define HARD_DRIVE 1u
#define END 0x7fu

/* The value of a hard drive node: number, start, size, signature, table, kind of it. */
static int
take_drive(struct cursor *c, struct host_entry *out)
{
	uint8_t kind;

	out->partition = cursor_le32(c);
	(void)cursor_le64(c);
	(void)cursor_le64(c);
	cursor_copy(c, out->id, sizeof(out->id));
	(void)cursor_u8(c);
	kind = cursor_u8(c);
	out->mbr = kind == 1;
	return !c->bad && (kind == 1 || kind == 2);
}

int
host_entry_parse(const uint8_t *p, size_t len, struct host_entry *out)
{
	struct cursor c, path, node;
	uint8_t type, subtype;
	uint16_t path_len, n;

	cursor_init(&c, p, len);
	(void)cursor_le32(&c);
	path_len = cursor_le16(&c);
	while (!c.bad && cursor_le16(&c) != 0)
		;
	p = cursor_bytes(&c, path_len);
	if (c.bad || p == NULL)
		return 0;
	cursor_init(&path, p, path_len);
	while (path.left > 0) {
		type = cursor_u8(&path);
		subtype = cursor_u8(&path);
		n = cursor_le16(&path);
		if (path.bad || n < 4 || type == END)
			return 0;
		p = cursor_bytes(&path, n - 4u);
		if (p == NULL)
			return 0;
		if (type != MEDIA || subtype != HARD_DRIVE)
			continue;
		memset(out, 0, sizeof(*out));
		cursor_init(&node, p, n - 4u);
		return take_drive(&node, out);
	}
	return 0;
}
