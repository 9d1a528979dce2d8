#include "server/files/files_text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/bytes.h"

#define TAG_JUNCTION 0xA0000003u
#define TAG_SYMLINK 0xA000000Cu
#define TAG_WOF 0x80000017u
#define TAG_DEDUP 0x80000013u
#define TAG_CLOUD 0x9000001Au
#define TAG_CLOUD_MASK 0xFFFF0FFFu

static size_t
put_utf8(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

int
files_text_from_utf16(const uint8_t *p, size_t units, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < units; i++) {
		uint32_t c = load_le16(p + 2 * i), low;

		if (c == 0 || n + 5 > cap)
			return -1;
		if (c >= 0xD800 && c < 0xDC00 && i + 1 < units &&
		    (low = load_le16(p + 2 * i + 2)) >= 0xDC00 && low < 0xE000) {
			c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
			i++;
		}
		n += put_utf8(c, out + n);
	}
	if (n >= cap)
		return -1;
	out[n] = '\0';
	return 0;
}

/* One character of UTF-8 (a lone surrogate counts as one); its bytes, or 0. */
static size_t
get_utf8(const unsigned char *p, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80	  ? 1
		   : p[0] >= 0xF0 ? 4
		   : p[0] >= 0xE0 ? 3
		   : p[0] >= 0xC0 ? 2
				  : 0;

	if (n == 0 || p[0] > 0xF4)
		return 0;
	*c = n == 1 ? p[0] : p[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3Fu);
	}
	return *c < least[n] || *c > 0x10FFFF ? 0 : n;
}

int
files_text_to_utf16(const char *text, uint8_t *out, size_t cap_units)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = 0, used;
	uint32_t c;

	while (*p != '\0') {
		if ((used = get_utf8(p, &c)) == 0 || n + 2 > cap_units || n > INT_MAX / 2)
			return -1;
		p += used;
		if (c >= 0x10000) {
			store_le16(
			    out + 2 * n++, (uint16_t)(0xD800 + ((c - 0x10000) >> 10)));
			c = 0xDC00 + ((c - 0x10000) & 0x3FF);
		}
		store_le16(out + 2 * n++, (uint16_t)c);
	}
	return (int)n;
}

/*
 * A mount point's or symbolic link's names: offsets and lengths of two of them, the one
 * to follow and the one to show, in a buffer behind `head` bytes.
 */
static int
link_target(const uint8_t *p, size_t len, size_t head, char *out, size_t cap)
{
	size_t offset, bytes;

	if (len < head)
		return -1;
	offset = load_le16(p + 4);
	bytes = load_le16(p + 6);
	if (bytes == 0) {
		offset = load_le16(p);
		bytes = load_le16(p + 2);
	}
	if (offset > len - head || bytes > len - head - offset || bytes % 2 != 0)
		return -1;
	return files_text_from_utf16(p + head + offset, bytes / 2, out, cap);
}

enum files_reparse
files_text_reparse(const uint8_t *p, size_t len, char *out, size_t cap)
{
	uint32_t tag = len >= 8 ? load_le32(p) : 0;
	size_t data = len >= 8 ? load_le16(p + 4) : 0;

	if (len >= 8 && data <= len - 8 &&
	    ((tag == TAG_SYMLINK && link_target(p + 8, data, 12, out, cap) == 0) ||
		(tag == TAG_JUNCTION && link_target(p + 8, data, 8, out, cap) == 0)))
		return FILES_REPARSE_LINK;
	if (tag == TAG_WOF)
		(void)snprintf(out, cap, "compressed by Windows (WOF)");
	else if (tag == TAG_DEDUP)
		(void)snprintf(out, cap, "deduplicated by Windows");
	else if ((tag & TAG_CLOUD_MASK) == TAG_CLOUD)
		(void)snprintf(out, cap, "a cloud's placeholder");
	else
		(void)snprintf(out, cap, "reparse point %08X", tag);
	return FILES_REPARSE_OTHER;
}

int
files_text_name_ok(const char *name)
{
	return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strchr(name, '/') == NULL && strlen(name) <= NAME_MAX;
}

void
files_text_clean(const char *text, char *out)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t c;
	size_t n;

	while (*p != '\0') {
		n = get_utf8(p, &c);
		/* C1 and lone surrogates are no text either. */
		if (n == 0 || c < 0x20 || (c >= 0x7F && c < 0xA0) ||
		    (c >= 0xD800 && c < 0xE000)) {
			*out++ = '?';
			p += n == 0 ? 1 : n;
			continue;
		}
		memcpy(out, p, n);
		out += n;
		p += n;
	}
	*out = '\0';
}
