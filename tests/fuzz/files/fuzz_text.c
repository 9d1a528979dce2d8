/*
 * Names, link targets and paths as a volume or a person gives them.  The first byte
 * chooses.  What is made of UTF-16 turns back into it; what is shown has no control
 * characters; nothing is written past its room.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/files/files_text.h"

#define ROOM 600u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
shown(const char *text)
{
	char *clean = malloc(strlen(text) + 1);

	files_text_clean(text, clean);
	assert(strlen(clean) <= strlen(text));
	for (const char *c = clean; *c != '\0'; c++)
		assert((unsigned char)*c >= 0x20 && *c != 0x7F);
	free(clean);
}

static void
name_from_volume(const uint8_t *p, size_t len)
{
	char text[ROOM];
	uint8_t back[2 * ROOM];

	if (files_text_from_utf16(p, len / 2, text, sizeof(text)) != 0)
		return;
	assert(strlen(text) < sizeof(text));
	assert(files_text_to_utf16(text, back, ROOM) == (int)(len / 2));
	assert(memcmp(back, p, len / 2 * 2) == 0);
	if (files_text_name_ok(text))
		assert(strchr(text, '/') == NULL && text[0] != '\0');
	shown(text);
}

static void
text_of_a_person(const uint8_t *p, size_t len)
{
	char *text = malloc(len + 1), again[4 * ROOM];
	uint8_t units[2 * ROOM];
	int n;

	memcpy(text, p, len);
	text[len] = '\0';
	shown(text);
	n = files_text_to_utf16(text, units, ROOM);
	assert(n <= (int)ROOM);
	if (n >= 0)
		assert(
		    files_text_from_utf16(units, (size_t)n, again, sizeof(again)) == 0);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	char out[ROOM];

	if (len == 0)
		return 0;
	switch (p[0] % 3) {
	case 0:
		name_from_volume(p + 1, len - 1);
		break;
	case 1:
		text_of_a_person(p + 1, len - 1);
		break;
	default:
		(void)files_text_reparse(p + 1, len - 1, out, sizeof(out));
		assert(strlen(out) < sizeof(out));
		shown(out);
	}
	return 0;
}
