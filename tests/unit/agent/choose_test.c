/*
 * The table of agent/DESIGN.md, "Who freezes", row by row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/capture/choose.h"
#include "agent/host/settings.h"
#include "proto/base/err.h"

#define WINDOWS .volumes = 2, .has_vss = 1, .databases = ""

static void
each_row_chooses_as_told_or_refuses(void **state)
{
	static const struct {
		const char *wish;
		struct choose_facts facts;
		const char *provider; /* NULL: refused, with: */
		const char *says;
	} rows[] = {
		{ "auto", { .files = 3, .databases = "" }, "offline", "" },
		{ "auto", { .files = 1, .has_vss = 1, .databases = "" }, "offline", "" },
		{ "auto", { WINDOWS }, "vss", "" },
		{ "auto", { WINDOWS, .has_hotcopy = 1 }, "vss", "" },
		{ "auto",
		    { WINDOWS, .has_hotcopy = 1, .failed = "no room",
			.writers_known = 1 },
		    "hotcopy", "vss failed: no room" },
		{ "auto", { WINDOWS, .failed = "no room", .writers_known = 1 }, NULL,
		    "not in this build" },
		{ "auto", { WINDOWS, .has_hotcopy = 1, .failed = "no room" }, NULL,
		    "not known whether databases" },
		{ "auto",
		    { .volumes = 2,
			.has_vss = 1,
			.has_hotcopy = 1,
			.failed = "no room",
			.writers_known = 1,
			.databases = "SqlServerWriter" },
		    NULL, "SqlServerWriter" },
		{ "auto",
		    { .volumes = 2,
			.has_vss = 1,
			.has_hotcopy = 1,
			.failed = "no room",
			.forced = 1,
			.databases = "NTDS" },
		    "hotcopy", "vss failed: no room; forced" },
		/* Databases flush for a cut that VSS holds still for. */
		{ "hotcopy",
		    { .volumes = 2,
			.has_vss = 1,
			.has_hotcopy = 1,
			.flushed = 1,
			.databases = "SqlServerWriter" },
		    "hotcopy", "asked for" },
		{ "auto", { WINDOWS, .files = 1 }, NULL, "back them up apart" },
		{ "auto", { .volumes = 1, .databases = "" }, NULL, "--provider offline" },
		/* The simulator's, on Linux. */
		{ "auto",
		    { .volumes = 2,
			.has_hotcopy = 1,
			.writers_known = 1,
			.databases = "" },
		    "hotcopy", "" },
		{ "auto",
		    { .volumes = 1,
			.files = 1,
			.has_hotcopy = 1,
			.writers_known = 1,
			.databases = "" },
		    NULL, "back them up apart" },
		{ "auto",
		    { WINDOWS, .failed = "no room", .writers_known = 1,
			.no_hotcopy = "it only passes everything on" },
		    NULL, "only passes everything on" },
		{ "offline", { WINDOWS }, "offline", "asked for" },
		{ "vss", { WINDOWS }, "vss", "asked for" },
		{ "vss", { .files = 1, .databases = "" }, NULL, "not in this build" },
		{ "vss", { .files = 1, .has_vss = 1, .databases = "" }, NULL,
		    "not files" },
		{ "hotcopy", { WINDOWS }, NULL, "not in this build" },
		{ "hotcopy", { WINDOWS, .has_hotcopy = 1, .writers_known = 1 }, "hotcopy",
		    "asked for" },
		{ "hotcopy",
		    { .volumes = 1,
			.has_hotcopy = 1,
			.writers_known = 1,
			.databases = "Oracle VSS Writer - X" },
		    NULL, "Oracle" },
		{ "hotcopy", { WINDOWS, .has_hotcopy = 1 }, NULL, "not known" },
		{ "magic", { WINDOWS }, NULL, "auto, offline, vss or hotcopy" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		struct choice c = { "", "" };
		int rc = choose(rows[i].wish, &rows[i].facts, &c, &err);

		assert_int_equal(rc, rows[i].provider != NULL ? 0 : -1);
		if (rc == 0) {
			assert_string_equal(c.provider, rows[i].provider);
			assert_string_equal(c.why, rows[i].says);
		} else {
			assert_int_equal(err.code, ERR_UNSUPPORTED);
			assert_non_null(strstr(err.text, rows[i].says));
		}
	}
}

static void
a_word_that_is_no_provider_is_no_setting(void **state)
{
	struct settings *s = test_malloc(sizeof(*s));
	struct err err = ERR_INIT;

	(void)state;
	settings_init(s);
	assert_string_equal(s->provider, "auto");
	assert_int_equal(settings_provider(s, "vss", &err), 0);
	assert_string_equal(s->provider, "vss");
	assert_int_equal(settings_provider(s, "VSS", &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_string_equal(s->provider, "vss");
	test_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_chooses_as_told_or_refuses),
		cmocka_unit_test(a_word_that_is_no_provider_is_no_setting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
