/*
 * screen.h - a terminal's cells, and the bytes that make it show them.
 *
 * Only what a VT100 of 1978 knows: cursor, clear, bold, reverse.  So a serial
 * console, Linux's own and every emulator are served without a terminfo to ship.  What
 * is not printable ASCII is a '?'.  Pure: bytes go to a buffer.
 */
#ifndef RESCUE_SCREEN_H
#define RESCUE_SCREEN_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct screen;

#define SCREEN_WIDTH 80u /* Of a terminal that does not say. */
#define SCREEN_HEIGHT 24u
#define SCREEN_WIDTH_MAX 240u
#define SCREEN_HEIGHT_MAX 100u
#define SCREEN_FLUSH_MAX (1024u * 1024) /* More bytes than any flush gives. */

/* How a cell looks; may be added. */
#define SCREEN_PLAIN 0u
#define SCREEN_BOLD 1u
#define SCREEN_REVERSE 2u

/* Sizes beyond the limits are cut; 0 is the default.  NULL without memory. */
struct screen *screen_new(unsigned width, unsigned height);
void screen_free(struct screen *s);

unsigned screen_width(const struct screen *s);
unsigned screen_height(const struct screen *s);

/* All blank; the cursor is hidden. */
void screen_clear(struct screen *s);

/* Text from (y, x) on; what passes the edge is cut. */
void
screen_put(struct screen *s, unsigned y, unsigned x, unsigned look, const char *text);

/* `n` times the same. */
void
screen_fill(struct screen *s, unsigned y, unsigned x, unsigned n, unsigned look, char c);

/* A bar of `n` cells, `share` (0..1) of it full. */
void screen_bar(struct screen *s, unsigned y, unsigned x, unsigned n, double share);

/* `text` of letters and digits five cells high, one blank between. */
void screen_big(struct screen *s, unsigned y, unsigned x, const char *text);

/* Where the cursor is to be seen. */
void screen_cursor(struct screen *s, unsigned y, unsigned x);

/* Append what makes the terminal show it, knowing what it shows since last time. */
int screen_flush(struct screen *s, struct buf *out, struct err *err);

/* The terminal may show anything: draw all next time. */
void screen_forget(struct screen *s);

/* What row `y` holds as text, without blanks at its end; `out` has room for a row + 1. */
void screen_row(const struct screen *s, unsigned y, char out[SCREEN_WIDTH_MAX + 1]);

#endif /* RESCUE_SCREEN_H */
