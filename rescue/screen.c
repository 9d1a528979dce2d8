#include "rescue/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define GLYPH_WIDTH 5u
#define GLYPH_HEIGHT 5u

struct cell {
	char c; /* 0: not known, which equals nothing. */
	uint8_t look;
};

struct screen {
	unsigned width, height;
	int has_cursor;
	unsigned cursor_y, cursor_x;
	int fresh; /* Nothing was shown yet. */
	struct cell want[SCREEN_HEIGHT_MAX][SCREEN_WIDTH_MAX];
	struct cell shown[SCREEN_HEIGHT_MAX][SCREEN_WIDTH_MAX];
};

struct screen *
screen_new(unsigned width, unsigned height)
{
	struct screen *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->width = width == 0 ? SCREEN_WIDTH : width;
	s->height = height == 0 ? SCREEN_HEIGHT : height;
	if (s->width > SCREEN_WIDTH_MAX)
		s->width = SCREEN_WIDTH_MAX;
	if (s->height > SCREEN_HEIGHT_MAX)
		s->height = SCREEN_HEIGHT_MAX;
	s->fresh = 1;
	screen_clear(s);
	return s;
}

void
screen_free(struct screen *s)
{
	free(s);
}

unsigned
screen_width(const struct screen *s)
{
	return s->width;
}

unsigned
screen_height(const struct screen *s)
{
	return s->height;
}

/* ------------------------------------------------------------------- drawing -- */

static void
set(struct screen *s, unsigned y, unsigned x, unsigned look, char c)
{
	if (y >= s->height || x >= s->width)
		return;
	s->want[y][x].c = (unsigned char)c < ' ' || (unsigned char)c >= 127 ? '?' : c;
	s->want[y][x].look = (uint8_t)look;
}

void
screen_clear(struct screen *s)
{
	unsigned y;

	for (y = 0; y < s->height; y++)
		screen_fill(s, y, 0, s->width, SCREEN_PLAIN, ' ');
	s->has_cursor = 0;
}

void
screen_put(struct screen *s, unsigned y, unsigned x, unsigned look, const char *text)
{
	for (; *text != '\0' && x < s->width; text++)
		if (((unsigned char)*text & 0xc0) != 0x80) /* One '?' a character. */
			set(s, y, x++, look, *text);
}

void
screen_fill(struct screen *s, unsigned y, unsigned x, unsigned n, unsigned look, char c)
{
	for (; n > 0 && x < s->width; n--)
		set(s, y, x++, look, c);
}

void
screen_bar(struct screen *s, unsigned y, unsigned x, unsigned n, double share)
{
	unsigned full;

	if (n < 3)
		return;
	share = share < 0 ? 0 : share > 1 ? 1 : share;
	full = (unsigned)(share * (n - 2));
	set(s, y, x, SCREEN_PLAIN, '[');
	screen_fill(s, y, x + 1, full, SCREEN_REVERSE, ' ');
	screen_fill(s, y, x + 1 + full, n - 2 - full, SCREEN_PLAIN, '.');
	set(s, y, x + n - 1, SCREEN_PLAIN, ']');
}

/* Five rows of five bits, the top one first. */
static const struct {
	char c;
	uint8_t rows[GLYPH_HEIGHT];
} glyphs[] = {
	/* clang-format off */
	{ '0', { 0x0e, 0x13, 0x15, 0x19, 0x0e } }, { '1', { 0x04, 0x0c, 0x04, 0x04, 0x0e } },
	{ '2', { 0x1e, 0x01, 0x0e, 0x10, 0x1f } }, { '3', { 0x1e, 0x01, 0x0e, 0x01, 0x1e } },
	{ '4', { 0x12, 0x12, 0x1f, 0x02, 0x02 } }, { '5', { 0x1f, 0x10, 0x1e, 0x01, 0x1e } },
	{ '6', { 0x0e, 0x10, 0x1e, 0x11, 0x0e } }, { '7', { 0x1f, 0x01, 0x02, 0x04, 0x04 } },
	{ '8', { 0x0e, 0x11, 0x0e, 0x11, 0x0e } }, { '9', { 0x0e, 0x11, 0x0f, 0x01, 0x0e } },
	{ 'A', { 0x0e, 0x11, 0x1f, 0x11, 0x11 } }, { 'B', { 0x1e, 0x11, 0x1e, 0x11, 0x1e } },
	{ 'C', { 0x0f, 0x10, 0x10, 0x10, 0x0f } }, { 'D', { 0x1e, 0x11, 0x11, 0x11, 0x1e } },
	{ 'E', { 0x1f, 0x10, 0x1e, 0x10, 0x1f } }, { 'F', { 0x1f, 0x10, 0x1e, 0x10, 0x10 } },
	{ 'G', { 0x0f, 0x10, 0x13, 0x11, 0x0f } }, { 'H', { 0x11, 0x11, 0x1f, 0x11, 0x11 } },
	{ 'J', { 0x07, 0x02, 0x02, 0x12, 0x0c } }, { 'K', { 0x11, 0x12, 0x1c, 0x12, 0x11 } },
	{ 'M', { 0x11, 0x1b, 0x15, 0x11, 0x11 } }, { 'N', { 0x11, 0x19, 0x15, 0x13, 0x11 } },
	{ 'P', { 0x1e, 0x11, 0x1e, 0x10, 0x10 } }, { 'Q', { 0x0e, 0x11, 0x15, 0x12, 0x0d } },
	{ 'R', { 0x1e, 0x11, 0x1e, 0x12, 0x11 } }, { 'S', { 0x0f, 0x10, 0x0e, 0x01, 0x1e } },
	{ 'T', { 0x1f, 0x04, 0x04, 0x04, 0x04 } }, { 'V', { 0x11, 0x11, 0x0a, 0x0a, 0x04 } },
	{ 'W', { 0x11, 0x11, 0x15, 0x1b, 0x11 } }, { 'X', { 0x11, 0x0a, 0x04, 0x0a, 0x11 } },
	{ 'Y', { 0x11, 0x0a, 0x04, 0x04, 0x04 } }, { 'Z', { 0x1f, 0x02, 0x04, 0x08, 0x1f } },
	{ '-', { 0x00, 0x00, 0x0e, 0x00, 0x00 } },
	/* clang-format on */
};

void
screen_big(struct screen *s, unsigned y, unsigned x, const char *text)
{
	unsigned row, bit;
	size_t i;

	for (; *text != '\0'; text++, x += GLYPH_WIDTH + 1)
		for (i = 0; i < sizeof(glyphs) / sizeof(glyphs[0]); i++) {
			if (glyphs[i].c != *text)
				continue;
			for (row = 0; row < GLYPH_HEIGHT; row++)
				for (bit = 0; bit < GLYPH_WIDTH; bit++)
					if (glyphs[i].rows[row] >> (4 - bit) & 1)
						set(s, y + row, x + bit, SCREEN_REVERSE,
						    ' ');
		}
}

void
screen_cursor(struct screen *s, unsigned y, unsigned x)
{
	s->has_cursor = 1;
	s->cursor_y = y;
	s->cursor_x = x < s->width ? x : s->width - 1;
}

/* -------------------------------------------------------------------- output -- */

static int
same(const struct cell *a, const struct cell *b)
{
	return a->c == b->c && a->look == b->look;
}

static int
text(struct buf *out, const char *p, struct err *err)
{
	return buf_add(out, p, strlen(p), err);
}

static int
look_as(struct buf *out, unsigned look, struct err *err)
{
	static const char *const codes[] = { "\033[0m", "\033[0;1m", "\033[0;7m",
		"\033[0;1;7m" };

	return text(out, codes[look & 3], err);
}

static int
go(struct buf *out, unsigned y, unsigned x, struct err *err)
{
	char code[32];

	snprintf(code, sizeof(code), "\033[%u;%uH", y + 1, x + 1);
	return text(out, code, err);
}

/* One row's changes; short runs of what is right are written again, not jumped over. */
static int
flush_row(struct screen *s, unsigned y, unsigned *look, struct buf *out, struct err *err)
{
	struct cell *want = s->want[y], *shown = s->shown[y];
	unsigned x,
	    at = s->width; /* Where the terminal's cursor is; the width: elsewhere. */
	unsigned end = s->width;

	/* The last cell of the last row scrolls some terminals. */
	if (y + 1 == s->height)
		end--;
	for (x = 0; x < end; x++) {
		if (same(&want[x], &shown[x]))
			continue;
		if (at < x && x - at <= 4)
			x = at;
		if (at != x && go(out, y, x, err) != 0)
			return -1;
		if (want[x].look != *look && look_as(out, want[x].look, err) != 0)
			return -1;
		*look = want[x].look;
		if (buf_add_u8(out, (uint8_t)want[x].c, err) != 0)
			return -1;
		shown[x] = want[x];
		at = x + 1;
	}
	return 0;
}

int
screen_flush(struct screen *s, struct buf *out, struct err *err)
{
	unsigned y, look = 0;

	if (s->fresh) {
		if (text(out, "\033[0m\033[2J", err) != 0)
			return -1;
		memset(s->shown, 0, sizeof(s->shown));
		s->fresh = 0;
	}
	if (text(out, "\033[?25l", err) != 0)
		return -1;
	for (y = 0; y < s->height; y++)
		if (flush_row(s, y, &look, out, err) != 0)
			return -1;
	if (look != 0 && look_as(out, 0, err) != 0)
		return -1;
	if (!s->has_cursor)
		return 0;
	if (go(out, s->cursor_y, s->cursor_x, err) != 0)
		return -1;
	return text(out, "\033[?25h", err);
}

void
screen_forget(struct screen *s)
{
	s->fresh = 1;
}

void
screen_row(const struct screen *s, unsigned y, char out[SCREEN_WIDTH_MAX + 1])
{
	unsigned x, n = 0;

	for (x = 0; x < s->width; x++) {
		out[x] = s->want[y][x].c;
		if (out[x] != ' ')
			n = x + 1;
	}
	out[n] = '\0';
}
