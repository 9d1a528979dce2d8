#include "rescue/keys.h"

enum { IDLE, ESCAPED, SEQUENCE, SINGLE };

/* "ESC [ x" and "ESC O x" */
static int
final(uint8_t byte)
{
	switch (byte) {
	case 'A':
		return KEYS_UP;
	case 'B':
		return KEYS_DOWN;
	case 'C':
		return KEYS_RIGHT;
	case 'D':
		return KEYS_LEFT;
	case 'M': /* Enter of a number pad. */
		return KEYS_ENTER;
	case 'Z': /* Shift and Tab. */
		return KEYS_UP;
	}
	return KEYS_NONE;
}

static int
sequence(struct keys *k, uint8_t byte)
{
	if (byte >= '0' && byte <= '9') {
		k->parameter = (k->parameter * 10 + byte - '0') % 1000;
		return KEYS_NONE;
	}
	if (byte >= 0x20 && byte < 0x40)
		return KEYS_NONE; /* Other parameters. */
	k->state = IDLE;
	if (byte == '~')
		return k->parameter == 5   ? KEYS_PAGE_UP
		       : k->parameter == 6 ? KEYS_PAGE_DOWN
					   : KEYS_NONE;
	return final(byte);
}

static int
plain(struct keys *k, uint8_t byte)
{
	int after = k->after_return;

	k->after_return = byte == '\r';
	switch (byte) {
	case '\r':
		return KEYS_ENTER;
	case '\n':
		return after ? KEYS_NONE : KEYS_ENTER;
	case '\t':
		return KEYS_TAB;
	case 8:
	case 127:
		return KEYS_BACKSPACE;
	case 3:
		return KEYS_INTERRUPT;
	case 12:
		return KEYS_REDRAW;
	case 27:
		k->state = ESCAPED;
		return KEYS_NONE;
	}
	return byte >= ' ' && byte < 127 ? byte : KEYS_NONE;
}

int
keys_feed(struct keys *k, uint8_t byte)
{
	switch (k->state) {
	case ESCAPED:
		k->parameter = 0;
		k->state = byte == '[' ? SEQUENCE : byte == 'O' ? SINGLE : IDLE;
		if (byte == 27)
			k->state = ESCAPED;
		return byte == 27 ? KEYS_ESCAPE : KEYS_NONE;
	case SEQUENCE:
		return sequence(k, byte);
	case SINGLE:
		k->state = IDLE;
		return final(byte);
	}
	return plain(k, byte);
}

int
keys_quiet(struct keys *k)
{
	int was = k->state;

	k->state = IDLE;
	return was == ESCAPED ? KEYS_ESCAPE : KEYS_NONE;
}
