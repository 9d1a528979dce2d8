/*
 * A set and its provider: which calls come in which order, whatever fails, and what is
 * said of how it was frozen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot.h"
#include "agent/capture/snapshot_provider.h"
#include "proto/base/err.h"

static char calls[512];
static const char *says;
static int fails_at_freeze, fails_at_finish;
static const struct snapshot_options *given;

static void
called(const char *name)
{
	size_t len = strlen(calls);

	(void)snprintf(
	    calls + len, sizeof(calls) - len, "%s%s", len > 0 ? " " : "", name);
}

static int
f_open(const struct snapshot_options *options, void **set, struct err *err)
{
	(void)err;
	called("open");
	given = options;
	*set = calls;
	return 0;
}

static int
f_add(void *set, const char *path, void **volume, struct err *err)
{
	assert_ptr_equal(set, calls);
	if (strcmp(path, "none") == 0)
		return err_set(err, ERR_NOTFOUND, "none");
	called("add");
	*volume = strdup(path);
	return 0;
}

static int
f_same(const void *volume, const void *other)
{
	return strcmp(volume, other) == 0;
}

static int
f_freeze(void *set, void **volumes, size_t count, uint32_t timeout_ms,
    struct snapshot_info *infos, struct err *err)
{
	(void)volumes;
	(void)timeout_ms;
	assert_ptr_equal(set, calls);
	called("freeze");
	if (fails_at_freeze)
		return err_set(err, ERR_TIMEOUT, "too slow");
	for (size_t i = 0; i < count; i++)
		infos[i] = (struct snapshot_info){ .size = 512, .sector_size = 512 };
	return 0;
}

static int
f_read(void *volume, uint64_t offset, void *buf, size_t len, struct err *err)
{
	(void)volume;
	(void)offset;
	(void)err;
	memset(buf, 7, len);
	return 0;
}

static int
f_confirm(void *volume, struct err *err)
{
	(void)volume;
	(void)err;
	called("confirm");
	return 0;
}

static const char *
f_method(const void *set)
{
	assert_ptr_equal(set, calls);
	return says != NULL ? says : fails_at_freeze ? "4 attempts" : "full";
}

static int
f_finish(void *set, int ok, struct err *err)
{
	assert_ptr_equal(set, calls);
	called(ok ? "good" : "bad");
	return fails_at_finish ? err_set(err, ERR_IO, "nobody hears") : 0;
}

static void
f_close(void *volume)
{
	called("close");
	free(volume);
}

static void
f_free(void *set)
{
	assert_ptr_equal(set, calls);
	called("free");
}

static const struct snapshot_provider fake = { .name = "fake",
	.open = f_open,
	.add = f_add,
	.same = f_same,
	.freeze = f_freeze,
	.read = f_read,
	.confirm = f_confirm,
	.method = f_method,
	.finish = f_finish,
	.close = f_close,
	.free = f_free };

static struct snapshot *
begin(void)
{
	const struct snapshot_options options = { .type = SNAPSHOT_COPY,
		.no_autorecovery = 1 };
	struct snapshot_volume *v;
	struct err err = ERR_INIT;
	struct snapshot *s;

	calls[0] = '\0';
	fails_at_freeze = fails_at_finish = 0;
	assert_int_equal(snapshot_open(&fake, &options, &s, &err), 0);
	/* The set's own: what the caller gave may be gone. */
	assert_ptr_not_equal(given, &options);
	assert_int_equal(given->type, SNAPSHOT_COPY);
	assert_int_equal(given->no_autorecovery, 1);
	assert_int_equal(snapshot_add(s, "a", &v, &err), 0);
	assert_int_equal(snapshot_add(s, "b", &v, &err), 0);
	return s;
}

static void
applications_hear_before_the_volumes_go(void **state)
{
	struct err err = ERR_INIT;
	struct snapshot *s = begin();

	(void)state;
	assert_int_equal(snapshot_freeze(s, 0, &err), 0);
	assert_string_equal(snapshot_method(s), "fake: full");
	assert_int_equal(snapshot_confirm(s, &err), 0);
	assert_int_equal(snapshot_finish(s, 1, &err), 0);
	snapshot_close(s);
	assert_string_equal(
	    calls, "open add add freeze confirm confirm good close close free");
}

/* The server takes no control characters, and JSON nothing that is not UTF-8. */
static void
what_a_provider_says_becomes_one_line_of_text(void **state)
{
	static const struct {
		const char *says, *method;
	} cases[] = { { "full, \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
			  "fake: full, \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "a\nb\tc\x7f", "fake: a?b?c?" }, { "cut \xe2\x82", "fake: cut ??" },
		{ "cut \xc3", "fake: cut ?" }, { "\xc0\x80", "fake: ??" },
		{ "\xed\xa0\x80", "fake: ???" }, { "\xf5\x80\x80\x80", "fake: ????" },
		{ "\x80", "fake: ?" }, { "\xc2\x85", "fake: ??" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		struct snapshot *s = begin();

		says = cases[i].says;
		assert_int_equal(snapshot_freeze(s, 0, &err), 0);
		assert_string_equal(snapshot_method(s), cases[i].method);
		snapshot_close(s);
	}
	says = NULL;
}

static void
a_set_that_is_only_closed_has_failed(void **state)
{
	struct err err = ERR_INIT;
	struct snapshot *s = begin();

	(void)state;
	assert_int_equal(snapshot_freeze(s, 0, &err), 0);
	snapshot_close(s);
	assert_string_equal(calls, "open add add freeze bad close close free");

	/* Nobody waits for an end of what was never begun. */
	s = begin();
	snapshot_close(s);
	assert_string_equal(calls, "open add add close close free");
}

static void
a_set_that_cannot_be_frozen_says_what_was_tried(void **state)
{
	struct err err = ERR_INIT;
	struct snapshot *s = begin();

	(void)state;
	fails_at_freeze = 1;
	assert_int_equal(snapshot_freeze(s, 0, &err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_string_equal(snapshot_method(s), "fake: 4 attempts");
	snapshot_close(s);
	assert_string_equal(calls, "open add add freeze bad close close free");
}

static void
applications_that_do_not_hear_are_an_error_and_no_more(void **state)
{
	struct err err = ERR_INIT;
	struct snapshot *s = begin();

	(void)state;
	fails_at_finish = 1;
	assert_int_equal(snapshot_freeze(s, 0, &err), 0);
	assert_int_equal(snapshot_finish(s, 1, &err), -1);
	snapshot_close(s);
	assert_string_equal(calls, "open add add freeze good close close free");
}

static void
a_volume_that_is_not_added_is_let_go(void **state)
{
	struct snapshot_volume *v;
	struct err err = ERR_INIT;
	struct snapshot *s = begin();

	(void)state;
	assert_int_equal(snapshot_add(s, "none", &v, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	assert_int_equal(snapshot_add(s, "a", &v, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	snapshot_close(s);
	assert_string_equal(calls, "open add add add close close close free");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(applications_hear_before_the_volumes_go),
		cmocka_unit_test(what_a_provider_says_becomes_one_line_of_text),
		cmocka_unit_test(a_set_that_is_only_closed_has_failed),
		cmocka_unit_test(a_set_that_cannot_be_frozen_says_what_was_tried),
		cmocka_unit_test(applications_that_do_not_hear_are_an_error_and_no_more),
		cmocka_unit_test(a_volume_that_is_not_added_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
