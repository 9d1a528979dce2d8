/*
 * What a screen was told to show is what a terminal shows that gets its bytes, also
 * after changes; keys are read however they are cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "rescue/keys.h"
#include "rescue/rate.h"
#include "rescue/screen.h"

#define W 40u
#define H 8u

/* A VT100 as far as it is used. */
static char shown[H][W + 1];
static unsigned look[H][W];

static const uint8_t *
escape(const uint8_t *p, unsigned *y, unsigned *x, unsigned *now)
{
	unsigned n[3] = { 0, 0, 0 }, i = 0;

	assert_int_equal(*p++, '[');
	for (; (*p >= '0' && *p <= '9') || *p == ';' || *p == '?'; p++)
		if (*p == ';')
			assert_true(++i < 3);
		else if (*p != '?')
			n[i] = n[i] * 10 + *p - '0';
	switch (*p) {
	case 'H':
		*y = n[0] - 1;
		*x = n[1] - 1;
		assert_true(*y < H && *x < W);
		break;
	case 'J':
		assert_int_equal(n[0], 2);
		memset(shown, ' ', sizeof(shown));
		memset(look, 0, sizeof(look));
		break;
	case 'm':
		*now = 0;
		for (; i > 0; i--)
			*now |= n[i] == 1 ? SCREEN_BOLD : SCREEN_REVERSE;
		break;
	default:
		assert_true(*p == 'l' || *p == 'h');
	}
	return p + 1;
}

/* Returns the bytes that it took. */
static size_t
flush(struct screen *s)
{
	struct buf b = BUF_INIT(SCREEN_FLUSH_MAX);
	struct err err = ERR_INIT;
	unsigned y = 0, x = 0, now = 0;
	const uint8_t *p;
	size_t len;

	assert_int_equal(screen_flush(s, &b, &err), 0);
	for (p = b.p; p < b.p + b.len;) {
		if (*p == 27) {
			p = escape(p + 1, &y, &x, &now);
			continue;
		}
		assert_true(y < H && x < W && *p >= ' ' && *p < 127);
		look[y][x] = now;
		shown[y][x++] = (char)*p++;
	}
	len = b.len;
	buf_free(&b);
	return len;
}

static void
row_is(unsigned y, const char *text)
{
	char row[W + 1];
	unsigned n = W;

	memcpy(row, shown[y], W);
	while (n > 0 && row[n - 1] == ' ')
		n--;
	row[n] = '\0';
	assert_string_equal(row, text);
}

static void
test_shows_and_changes(void **state)
{
	struct screen *s = screen_new(W, H);
	size_t all, few;

	(void)state;
	screen_put(s, 1, 2, SCREEN_BOLD, "hello");
	screen_put(s, 2, 36, SCREEN_PLAIN, "cut at the edge");
	screen_put(s, 3, 0, SCREEN_PLAIN, "a\033[2Jb\xc3\xa4z\x7f");
	screen_put(s, 99, 0, SCREEN_PLAIN, "nowhere");
	screen_bar(s, 4, 0, 12, 0.5);
	all = flush(s);
	row_is(0, "");
	row_is(1, "  hello");
	assert_int_equal(look[1][2], SCREEN_BOLD);
	assert_int_equal(look[1][1], SCREEN_PLAIN);
	row_is(2, "                                    cut");
	assert_int_equal(shown[2][39], ' ');
	row_is(3, "a?[2Jb?z?");
	row_is(4, "[     .....]");
	assert_int_equal(look[4][1], SCREEN_REVERSE);
	assert_int_equal(look[4][6], SCREEN_PLAIN);

	screen_clear(s);
	screen_put(s, 1, 2, SCREEN_BOLD, "hullo");
	screen_put(s, 5, 3, SCREEN_PLAIN, "x");
	few = flush(s);
	row_is(1, "  hullo");
	row_is(2, "");
	row_is(4, "");
	row_is(5, "   x");
	assert_int_equal(look[4][1], SCREEN_PLAIN);
	assert_true(few < all);
	assert_true(flush(s) < 16); /* Nothing changed. */

	memset(shown, '#', sizeof(shown));
	screen_forget(s);
	(void)flush(s);
	row_is(0, "");
	row_is(1, "  hullo");
	screen_free(s);
}

static unsigned seed = 1;

static unsigned
some(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

/* However the screens follow one another. */
static void
test_any_change(void **state)
{
	struct screen *s = screen_new(W, H);
	char row[SCREEN_WIDTH_MAX + 1], text[9] = "";
	unsigned round, i, y;

	(void)state;
	for (round = 0; round < 500; round++) {
		if (some(4) == 0)
			screen_clear(s);
		for (i = some(6); i > 0; i--) {
			memset(text, 'a' + (int)some(26), sizeof(text) - 1);
			text[some(8)] = '\0';
			screen_put(s, some(H - 1), some(W), some(4), text);
		}
		(void)flush(s);
		for (y = 0; y < H; y++) {
			screen_row(s, y, row);
			row_is(y, row);
		}
	}
	screen_free(s);
}

/* The whole size of a terminal that says nothing of itself. */
static void
test_sizes(void **state)
{
	struct screen *s = screen_new(0, 0);

	(void)state;
	assert_int_equal(screen_width(s), 80);
	assert_int_equal(screen_height(s), 24);
	screen_free(s);
	s = screen_new(100000, 100000);
	assert_int_equal(screen_width(s), SCREEN_WIDTH_MAX);
	assert_int_equal(screen_height(s), SCREEN_HEIGHT_MAX);
	screen_free(s);
}

/* A code is eight characters and a hyphen: all have a shape, and room on 80 columns. */
static void
test_big_code(void **state)
{
	static const char all[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ-";
	struct screen *s = screen_new(80, 24);
	char one[2] = "", row[SCREEN_WIDTH_MAX + 1];
	struct buf b = BUF_INIT(SCREEN_FLUSH_MAX);
	struct err err = ERR_INIT;
	size_t i, before, empty;

	(void)state;
	assert_int_equal(screen_flush(s, &b, &err), 0);
	buf_clear(&b);
	assert_int_equal(screen_flush(s, &b, &err), 0);
	empty = b.len;
	for (i = 0; i < sizeof(all) - 1; i++) {
		one[0] = all[i];
		screen_clear(s);
		screen_big(s, 0, 0, one);
		buf_clear(&b);
		assert_int_equal(screen_flush(s, &b, &err), 0);
		before = b.len;
		if (before <= empty)
			fail_msg("'%c' looks like the one before", all[i]);
	}
	screen_row(s, 0, row);
	buf_free(&b);
	screen_free(s);
}

static int
key(struct keys *k, const char *bytes)
{
	int got = KEYS_NONE, now;

	for (; *bytes != '\0'; bytes++)
		if ((now = keys_feed(k, (uint8_t)*bytes)) != KEYS_NONE) {
			assert_int_equal(got, KEYS_NONE);
			got = now;
		}
	return got;
}

static void
test_keys(void **state)
{
	struct keys k = { 0, 0, 0 };

	(void)state;
	assert_int_equal(key(&k, "x"), 'x');
	assert_int_equal(key(&k, "\r"), KEYS_ENTER);
	assert_int_equal(key(&k, "\n"), KEYS_NONE); /* Of the same Enter. */
	assert_int_equal(key(&k, "\n"), KEYS_ENTER);
	assert_int_equal(key(&k, "\033[A"), KEYS_UP);
	assert_int_equal(key(&k, "\033OB"), KEYS_DOWN);
	assert_int_equal(key(&k, "\033[C"), KEYS_RIGHT);
	assert_int_equal(key(&k, "\033[D"), KEYS_LEFT);
	assert_int_equal(key(&k, "\033[5~"), KEYS_PAGE_UP);
	assert_int_equal(key(&k, "\033[6~"), KEYS_PAGE_DOWN);
	assert_int_equal(key(&k, "\033[15~"), KEYS_NONE);
	assert_int_equal(key(&k, "\033[1;5A"), KEYS_UP);
	assert_int_equal(key(&k, "\x7f"), KEYS_BACKSPACE);
	assert_int_equal(key(&k, "\b"), KEYS_BACKSPACE);
	assert_int_equal(key(&k, "\xc3\xa4"), KEYS_NONE);
	assert_int_equal(keys_quiet(&k), KEYS_NONE);
	assert_int_equal(key(&k, "\033"), KEYS_NONE);
	assert_int_equal(keys_quiet(&k), KEYS_ESCAPE);
	assert_int_equal(key(&k, "a"), 'a');
	assert_int_equal(key(&k, "\033\033"), KEYS_ESCAPE);
	assert_int_equal(keys_quiet(&k), KEYS_ESCAPE);
}

static void
test_rate(void **state)
{
	struct rate r = { 0 };
	char clock[24];
	unsigned i;

	(void)state;
	assert_int_equal(rate_speed(&r), 0);
	assert_true(rate_left(&r, 5) == UINT64_MAX);
	for (i = 0; i <= 100; i++)
		rate_note(&r, 1000 * i, 1000000 * (uint64_t)i);
	assert_int_equal(rate_speed(&r), 1000000);
	assert_int_equal(rate_left(&r, 7000000), 7);
	/* A stop is seen at last, and then nobody can tell. */
	for (; i <= 140; i++)
		rate_note(&r, 1000 * i, 100000000);
	assert_int_equal(rate_speed(&r), 0);
	/* Twice as fast for a minute: what was before is forgotten. */
	for (i = 0; i <= 60; i++)
		rate_note(&r, 1000 * (200 + i), 100000000 + 2000000 * (uint64_t)i);
	assert_int_equal(rate_speed(&r), 2000000);
	/* Another disk begins at nothing. */
	rate_note(&r, 300000, 0);
	rate_note(&r, 301000, 500000);
	assert_int_equal(rate_speed(&r), 500000);
	rate_clock(125, clock);
	assert_string_equal(clock, "2:05");
	rate_clock(3723, clock);
	assert_string_equal(clock, "1:02:03");
	rate_clock(UINT64_MAX, clock);
	assert_string_equal(clock, "-:--");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shows_and_changes),
		cmocka_unit_test(test_any_change),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_big_code),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
