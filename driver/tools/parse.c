#include "driver/tools/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <wchar.h>

#include "driver/tools/say.h"

/* A size at the front of "s"; what follows it, or NULL. */
static const wchar_t *
size_at(const wchar_t *s, uint64_t *out)
{
	static const wchar_t units[] = L"KMGT";
	const wchar_t *unit;
	uint64_t value = 0;
	unsigned base = 10, shift = 0, digit;
	const wchar_t *begin;

	if (s[0] == L'0' && (s[1] == L'x' || s[1] == L'X')) {
		base = 16;
		s += 2;
	}
	for (begin = s;; s++) {
		if (*s >= L'0' && *s <= L'9')
			digit = (unsigned)(*s - L'0');
		else if (base == 16 && (*s | 0x20) >= L'a' && (*s | 0x20) <= L'f')
			digit = (unsigned)((*s | 0x20) - L'a') + 10;
		else
			break;
		if (value > (UINT64_MAX - digit) / base)
			return NULL;
		value = value * base + digit;
	}
	if (s == begin)
		return NULL;
	if (*s != 0 && (unit = wcschr(units, *s & ~0x20)) != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		s++;
	}
	if (value > UINT64_MAX >> shift)
		return NULL;
	*out = value << shift;
	return s;
}

int
parse_size(const wchar_t *word, uint64_t *out)
{
	const wchar_t *end = size_at(word, out);

	if (end == NULL || *end != 0)
		return say_error(L"'%ls' is no size: 4096, 64K, 512M, 2G", word);
	return 0;
}

int
parse_number(const wchar_t *word, uint32_t max, uint32_t *out)
{
	uint64_t n;
	const wchar_t *end = size_at(word, &n);

	if (end == NULL || *end != 0 || n > max)
		return say_error(L"'%ls' is no number up to %u", word, max);
	*out = (uint32_t)n;
	return 0;
}

int
parse_extent(const wchar_t *word, struct hotcopy_extent *out)
{
	const wchar_t *end = size_at(word, &out->offset);

	if (end != NULL && *end == L'+')
		end = size_at(end + 1, &out->length);
	else
		end = NULL;
	if (end == NULL || *end != 0 || out->length == 0 ||
	    out->length > UINT64_MAX - out->offset)
		return say_error(
		    L"'%ls' is no extent: OFFSET+LENGTH, as in 1M+64K", word);
	return 0;
}

static int
hex_bytes(const wchar_t *s, unsigned count, uint8_t *out)
{
	unsigned i, n;
	wchar_t c;

	for (i = 0; i < 2 * count; i++) {
		c = s[i];
		if (c >= L'0' && c <= L'9')
			n = (unsigned)(c - L'0');
		else if ((c | 0x20) >= L'a' && (c | 0x20) <= L'f')
			n = (unsigned)((c | 0x20) - L'a') + 10;
		else
			return -1;
		out[i / 2] = (uint8_t)(i % 2 == 0 ? n << 4 : out[i / 2] | n);
	}
	return 0;
}

int
parse_nonce(const wchar_t *word, uint8_t out[HOTCOPY_NONCE])
{
	if (wcslen(word) != 2 * HOTCOPY_NONCE || hex_bytes(word, HOTCOPY_NONCE, out) != 0)
		return say_error(L"'%ls' is no nonce: 32 hexadecimal digits", word);
	return 0;
}

int
parse_guid(const wchar_t *word, uint8_t out[16])
{
	/* The first three groups are little-endian numbers. */
	static const struct {
		uint8_t at, bytes, to;
		bool turned;
	} groups[] = {
		{ 1, 4, 0, true },
		{ 10, 2, 4, true },
		{ 15, 2, 6, true },
		{ 20, 2, 8, false },
		{ 25, 6, 10, false },
	};
	uint8_t bytes[6];
	unsigned i, k;

	if (wcslen(word) != 38 || word[0] != L'{' || word[37] != L'}' ||
	    word[9] != L'-' || word[14] != L'-' || word[19] != L'-' || word[24] != L'-')
		return say_error(L"'%ls' is no {GUID}", word);
	for (i = 0; i < sizeof groups / sizeof groups[0]; i++) {
		if (hex_bytes(word + groups[i].at, groups[i].bytes, bytes) != 0)
			return say_error(L"'%ls' is no {GUID}", word);
		for (k = 0; k < groups[i].bytes; k++)
			out[groups[i].to + k] =
			    bytes[groups[i].turned ? groups[i].bytes - 1 - k : k];
	}
	return 0;
}

void
parse_nonce_text(const uint8_t nonce[HOTCOPY_NONCE], wchar_t out[33])
{
	static const wchar_t digits[] = L"0123456789abcdef";
	unsigned i;

	for (i = 0; i < HOTCOPY_NONCE; i++) {
		out[2 * i] = digits[nonce[i] >> 4];
		out[2 * i + 1] = digits[nonce[i] & 15];
	}
	out[32] = 0;
}
