#include "rescue/loadopt.h"

#include <string.h>
#include <strings.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/cursor.h"
#include "proto/base/err.h"

#define HEADER_LEN 6u
#define NODE_HEADER_LEN 4u

#define MEDIA 0x04u /* Types of nodes. */
#define MEDIA_DRIVE 0x01u
#define MEDIA_FILE 0x04u
#define END 0x7fu
#define END_ALL 0xffu

#define DRIVE_LEN 42u /* An HD() node. */
#define DRIVE_GPT 2u

#define ACTIVE 1u

/* One unit of UTF-16 as UTF-8; what is no character is '?'.  0 if there is no room. */
static int
put_unit(char *out, size_t *n, uint16_t unit)
{
	if (*n + 4 > LOADOPT_TEXT_MAX)
		return 0;
	if (unit < 0x20 || unit == 0x7f || (unit >= 0xd800 && unit < 0xe000))
		unit = '?';
	if (unit < 0x80) {
		out[(*n)++] = (char)unit;
	} else if (unit < 0x800) {
		out[(*n)++] = (char)(0xc0 | unit >> 6);
		out[(*n)++] = (char)(0x80 | (unit & 0x3f));
	} else {
		out[(*n)++] = (char)(0xe0 | unit >> 12);
		out[(*n)++] = (char)(0x80 | (unit >> 6 & 0x3f));
		out[(*n)++] = (char)(0x80 | (unit & 0x3f));
	}
	return 1;
}

/* Text of up to `len` bytes of UTF-16, ending with its NUL if there is one. */
static void
take_path(const uint8_t *p, size_t len, char *out)
{
	size_t i, n = strlen(out);

	for (i = 0; i + 2 <= len && load_le16(p + i) != 0; i += 2)
		if (!put_unit(out, &n, load_le16(p + i)))
			break;
	out[n] = '\0';
}

/* The description and its NUL. */
static int
take_description(struct cursor *c, char *out)
{
	size_t n = 0;
	uint16_t unit;

	while ((unit = cursor_le16(c)) != 0 && !c->bad)
		(void)put_unit(out, &n, unit);
	out[n] = '\0';
	return c->bad ? -1 : 0;
}

static void
take_drive(const uint8_t *node, size_t at, struct loadopt *o)
{
	if (o->has_drive || node[41] != DRIVE_GPT)
		return;
	o->has_drive = 1;
	o->drive_at = at;
	o->number = load_le32(node + 4);
	o->start = load_le64(node + 8);
	o->length = load_le64(node + 16);
	memcpy(o->id, node + 24, sizeof(o->id));
}

/* The first device path; several File() nodes are one path. */
static int
take_nodes(const uint8_t *p, size_t len, size_t base, struct loadopt *o)
{
	size_t at = 0, n;

	while (at < len) {
		if (len - at < NODE_HEADER_LEN)
			return -1;
		n = load_le16(p + at + 2);
		if (n < NODE_HEADER_LEN || n > len - at)
			return -1;
		if (p[at] == END)
			return 0;
		if (p[at] == MEDIA && p[at + 1] == MEDIA_DRIVE && n == DRIVE_LEN)
			take_drive(p + at, base + at, o);
		if (p[at] == MEDIA && p[at + 1] == MEDIA_FILE)
			take_path(p + at + NODE_HEADER_LEN, n - NODE_HEADER_LEN, o->path);
		at += n;
	}
	return 0;
}

int
loadopt_parse(const uint8_t *p, size_t len, struct loadopt *out, struct err *err)
{
	struct cursor c;
	const uint8_t *paths;
	uint16_t paths_len;

	memset(out, 0, sizeof(*out));
	cursor_init(&c, p, len);
	out->attributes = cursor_le32(&c);
	paths_len = cursor_le16(&c);
	if (c.bad || len > LOADOPT_LEN_MAX ||
	    take_description(&c, out->description) != 0 ||
	    (paths = cursor_bytes(&c, paths_len)) == NULL ||
	    take_nodes(paths, paths_len, (size_t)(paths - p), out) != 0)
		return err_set(err, ERR_CORRUPT, "a boot entry that is none");
	out->data = paths + paths_len;
	out->data_len = len - (size_t)(out->data - p);
	return 0;
}

static void
store_drive(uint8_t *node, const struct loadopt_drive *d)
{
	store_le32(node + 4, d->number);
	store_le64(node + 8, d->start);
	store_le64(node + 16, d->length);
	memcpy(node + 24, d->id, sizeof(d->id));
}

int
loadopt_moved(const uint8_t *p, size_t len, const struct loadopt_drive *drive,
    struct buf *out, struct err *err)
{
	struct loadopt o;
	size_t at = out->len;

	if (loadopt_parse(p, len, &o, err) != 0)
		return -1;
	if (!o.has_drive)
		return err_set(err, ERR_CORRUPT, "a boot entry without a partition");
	if (buf_add(out, p, len, err) != 0)
		return -1;
	store_drive(out->p + at + o.drive_at, drive);
	return 0;
}

static int
add_text(struct buf *out, const char *text, struct err *err)
{
	do {
		if (buf_add_le16(out, (uint8_t)*text, err) != 0)
			return -1;
	} while (*text++ != '\0');
	return 0;
}

int
loadopt_make(const char *description, const struct loadopt_drive *drive, const char *path,
    struct buf *out, struct err *err)
{
	uint8_t node[DRIVE_LEN] = { MEDIA, MEDIA_DRIVE, DRIVE_LEN, 0 };
	uint8_t file[NODE_HEADER_LEN] = { MEDIA, MEDIA_FILE, 0, 0 };
	const uint8_t end[NODE_HEADER_LEN] = { END, END_ALL, NODE_HEADER_LEN, 0 };
	size_t path_len = 2 * (strlen(path) + 1);

	store_drive(node, drive);
	node[40] = DRIVE_GPT; /* The table's format, then the kind of its id: both GPT. */
	node[41] = DRIVE_GPT;
	store_le16(file + 2, (uint16_t)(NODE_HEADER_LEN + path_len));
	if (buf_add_le32(out, ACTIVE, err) != 0 ||
	    buf_add_le16(out,
		(uint16_t)(sizeof(node) + sizeof(file) + path_len + sizeof(end)),
		err) != 0 ||
	    add_text(out, description, err) != 0 ||
	    buf_add(out, node, sizeof(node), err) != 0 ||
	    buf_add(out, file, sizeof(file), err) != 0 || add_text(out, path, err) != 0)
		return -1;
	return buf_add(out, end, sizeof(end), err);
}

int
loadopt_same(const struct loadopt *a, const struct loadopt *b)
{
	return a->has_drive && b->has_drive && memcmp(a->id, b->id, sizeof(a->id)) == 0 &&
	       strcasecmp(a->path, b->path) == 0 && a->data_len == b->data_len &&
	       (a->data_len == 0 || memcmp(a->data, b->data, a->data_len) == 0);
}
