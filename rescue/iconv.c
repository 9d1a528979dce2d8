/*
 * What libhivex wants of iconv, for a program without shared libraries: there glibc
 * loads a module for Latin-1, which a rescue system does not have.  Where the C
 * library is shared its own iconv is found first or does the same.
 */
#include <errno.h>
#include <iconv.h>
#include <stddef.h>
#include <stdint.h>
#include <strings.h>

/* A descriptor is `from` * 4 + `to` + 1. */
enum coding { UTF8, LATIN1, UTF16LE, CODINGS };

static enum coding
coding_of(const char *name)
{
	if (strcasecmp(name, "UTF-8") == 0)
		return UTF8;
	if (strcasecmp(name, "LATIN1") == 0 || strcasecmp(name, "ISO-8859-1") == 0)
		return LATIN1;
	return strcasecmp(name, "UTF-16LE") == 0 ? UTF16LE : CODINGS;
}

iconv_t
iconv_open(const char *to, const char *from)
{
	enum coding a = coding_of(from), b = coding_of(to);

	if (a == CODINGS || b == CODINGS) {
		errno = EINVAL;
		return (iconv_t)-1;
	}
	return (iconv_t)(uintptr_t)(a * 4 + b + 1);
}

int
iconv_close(iconv_t cd)
{
	(void)cd;
	return 0;
}

/* Bytes that the next character takes; 0: not all there; -1: there is none. */
static int
take_utf8(const uint8_t *p, size_t n, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int len = p[0] < 0x80	? 1
		  : p[0] < 0xc2 ? -1
		  : p[0] < 0xe0 ? 2
		  : p[0] < 0xf0 ? 3
		  : p[0] < 0xf5 ? 4
				: -1;
	int i;

	if (len <= 1) {
		*c = p[0];
		return len;
	}
	*c = p[0] & (0x7f >> len);
	for (i = 1; i < len; i++) {
		if ((size_t)i >= n)
			return 0;
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		*c = *c << 6 | (p[i] & 0x3f);
	}
	return *c < least[len] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? -1
										 : len;
}

static int
take_utf16(const uint8_t *p, size_t n, uint32_t *c)
{
	uint32_t low;

	if (n < 2)
		return 0;
	*c = (uint32_t)(p[0] | p[1] << 8);
	if (*c < 0xd800 || *c >= 0xe000)
		return 2;
	if (*c >= 0xdc00)
		return -1;
	if (n < 4)
		return 0;
	low = (uint32_t)(p[2] | p[3] << 8);
	if (low < 0xdc00 || low >= 0xe000)
		return -1;
	*c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
	return 4;
}

/* The bytes of `c`; 0: it has none in this coding. */
static int
give(enum coding to, uint32_t c, uint8_t out[4])
{
	int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;

	if (to == LATIN1) {
		out[0] = (uint8_t)c;
		return c < 0x100;
	}
	if (to == UTF16LE) {
		uint32_t unit = c < 0x10000 ? c : 0xd800 + ((c - 0x10000) >> 10);
		uint32_t low = 0xdc00 + ((c - 0x10000) & 0x3ff);

		out[0] = (uint8_t)unit;
		out[1] = (uint8_t)(unit >> 8);
		out[2] = (uint8_t)low;
		out[3] = (uint8_t)(low >> 8);
		return c < 0x10000 ? 2 : 4;
	}
	if (n == 1) {
		out[0] = (uint8_t)c;
		return 1;
	}
	for (i = n - 1; i > 0; i--, c >>= 6)
		out[i] = (uint8_t)(0x80 | (c & 0x3f));
	out[0] = (uint8_t)(0xf00 >> n | c);
	return n;
}

size_t
iconv(iconv_t cd, char **in, size_t *in_left, char **out, size_t *out_left)
{
	enum coding from = (enum coding)(((uintptr_t)cd - 1) / 4);
	enum coding to = (enum coding)(((uintptr_t)cd - 1) % 4);
	uint8_t bytes[4];
	uint32_t c;
	int took, n;

	if (in == NULL || *in == NULL)
		return 0;
	for (; *in_left > 0; *in += took, *in_left -= (size_t)took) {
		const uint8_t *p = (const uint8_t *)*in;

		took = 1;
		c = p[0];
		if (from != LATIN1)
			took = from == UTF8 ? take_utf8(p, *in_left, &c)
					    : take_utf16(p, *in_left, &c);
		n = took > 0 ? give(to, c, bytes) : 0;
		if (took <= 0 || n == 0) {
			errno = took == 0 ? EINVAL : EILSEQ;
			return (size_t)-1;
		}
		if (*out_left < (size_t)n) {
			errno = E2BIG;
			return (size_t)-1;
		}
		for (int i = 0; i < n; i++)
			(*out)[i] = (char)bytes[i];
		*out += n;
		*out_left -= (size_t)n;
	}
	return 0;
}
