/* Names and link targets of volumes: what they become, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/base/bytes.h"
#include "server/files/files_text.h"

static void
names_turn_into_utf8_and_back(void **state)
{
	static const uint8_t lone[] = { 'a', 0, 0x00, 0xD8, 'b', 0 };
	static const uint8_t nul[] = { 'a', 0, 0, 0, 'b', 0 };
	uint8_t units[64];
	char text[64];
	int n;

	(void)state;
	n = files_text_to_utf16("Привет \xF0\x9F\x98\x80", units, 32);
	assert_int_equal(n, 9);
	assert_int_equal(load_le16(units), 0x041F);
	assert_int_equal(load_le16(units + 14), 0xD83D);
	assert_int_equal(files_text_from_utf16(units, 9, text, sizeof(text)), 0);
	assert_string_equal(text, "Привет \xF0\x9F\x98\x80");
	/* Half a character stays what it is. */
	assert_int_equal(files_text_from_utf16(lone, 3, text, sizeof(text)), 0);
	assert_int_equal(files_text_to_utf16(text, units, 32), 3);
	assert_memory_equal(units, lone, sizeof(lone));
	assert_int_equal(files_text_from_utf16(nul, 3, text, sizeof(text)), -1);
	assert_int_equal(files_text_from_utf16(lone, 3, text, 5), -1);
	assert_int_equal(files_text_to_utf16("\xC0\xAF", units, 32), -1);
	assert_int_equal(files_text_to_utf16("\xFF", units, 32), -1);
	assert_int_equal(files_text_to_utf16("abc", units, 2), -1);
}

static void
names_that_lead_out_are_none(void **state)
{
	char longest[300];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	assert_false(files_text_name_ok(""));
	assert_false(files_text_name_ok("."));
	assert_false(files_text_name_ok(".."));
	assert_false(files_text_name_ok("../x"));
	assert_false(files_text_name_ok("/etc"));
	assert_false(files_text_name_ok(longest));
	assert_true(files_text_name_ok("..."));
	assert_true(files_text_name_ok(longest + 1));
	assert_true(files_text_name_ok("a\\b"));
}

static void
what_is_shown_controls_no_terminal(void **state)
{
	char out[64];

	(void)state;
	files_text_clean("a\x1B[2Jb\n\x7F\xC2\x9B\xFFя", out);
	assert_string_equal(out, "a?[2Jb????я");
}

/* A reparse point of `tag` whose data are `n` bytes. */
static size_t
reparse(uint8_t *p, uint32_t tag, const uint8_t *data, size_t n)
{
	memset(p, 0, 8);
	store_le32(p, tag);
	store_le16(p + 4, (uint16_t)n);
	memcpy(p + 8, data, n);
	return 8 + n;
}

static void
links_say_where_they_lead(void **state)
{
	/* The name to follow at 4, that to show at 0: "xy". */
	uint8_t data[] = { 4, 0, 2, 0, 0, 0, 4, 0, 'x', 0, 'y', 0, 'z', 0 };
	uint8_t link[] = { 4, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x', 0, 'y', 0, 'z', 0 };
	uint8_t p[64];
	char out[64];
	size_t n = reparse(p, 0xA0000003u, data, sizeof(data));

	(void)state;
	assert_int_equal(files_text_reparse(p, n, out, sizeof(out)), FILES_REPARSE_LINK);
	assert_string_equal(out, "xy");
	n = reparse(p, 0xA000000Cu, link, sizeof(link));
	assert_int_equal(files_text_reparse(p, n, out, sizeof(out)), FILES_REPARSE_LINK);
	assert_string_equal(out, "z");
	/* Past its end it leads nowhere. */
	link[0] = 5;
	n = reparse(p, 0xA000000Cu, link, sizeof(link));
	assert_int_equal(files_text_reparse(p, n, out, sizeof(out)), FILES_REPARSE_OTHER);
	assert_int_equal(files_text_reparse(p, 3, out, sizeof(out)), FILES_REPARSE_OTHER);
	n = reparse(p, 0x80000017u, data, sizeof(data));
	assert_int_equal(files_text_reparse(p, n, out, sizeof(out)), FILES_REPARSE_OTHER);
	assert_non_null(strstr(out, "WOF"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_turn_into_utf8_and_back),
		cmocka_unit_test(names_that_lead_out_are_none),
		cmocka_unit_test(what_is_shown_controls_no_terminal),
		cmocka_unit_test(links_say_where_they_lead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
