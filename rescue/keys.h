/*
 * keys.h - what was pressed, from the bytes that a terminal sends.  Pure.
 */
#ifndef RESCUE_KEYS_H
#define RESCUE_KEYS_H

#include <stdint.h>

/* Printable characters are themselves. */
enum keys_code {
	KEYS_NONE = 0,
	KEYS_ENTER = 256,
	KEYS_ESCAPE,
	KEYS_BACKSPACE,
	KEYS_TAB,
	KEYS_UP,
	KEYS_DOWN,
	KEYS_LEFT,
	KEYS_RIGHT,
	KEYS_PAGE_UP,
	KEYS_PAGE_DOWN,
	KEYS_REDRAW,   /* Control-L */
	KEYS_INTERRUPT /* Control-C */
};

/* Zeroed it is ready. */
struct keys {
	int state;
	unsigned parameter;
	int after_return; /* The line feed of a CR LF is no second Enter. */
};

/* The next byte.  A key, or KEYS_NONE: more to come, or nothing that we know. */
int keys_feed(struct keys *k, uint8_t byte);

/* No byte came for a while: an escape that nothing followed is the key. */
int keys_quiet(struct keys *k);

#endif /* RESCUE_KEYS_H */
