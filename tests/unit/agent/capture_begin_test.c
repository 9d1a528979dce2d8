/*
 * Who freezes when vss fails for good: hotcopy, where auto was asked, the driver is above
 * all volumes and no database is known; and what is said of it.  The providers of this
 * program are a vss that fails and the real hotcopy over the driver's simulator.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/capture/capture.h"
#include "agent/capture/snapshot_provider.h"
#include "agent/clone/clone.h"
#include "proto/base/err.h"
#include "proto/wire/msg_check.h"
#include "tests/unit/agent/sim_driver.h"

static enum err_code fails_with;
static const char *fails_saying;
static unsigned tried;

static int
vss_add(void *s, const char *path, void **volume, struct err *err)
{
	(void)s;
	(void)err;
	*volume = strdup(path);
	return 0;
}

static int
vss_same(const void *volume, const void *other)
{
	return strcmp(volume, other) == 0;
}

static int
vss_freeze(void *s, void **volumes, size_t count, uint32_t timeout_ms,
    struct snapshot_info *infos, struct err *err)
{
	(void)s;
	(void)volumes;
	(void)timeout_ms;
	tried++;
	for (size_t i = 0; i < count; i++)
		infos[i] = (struct snapshot_info){ .size = 512, .sector_size = 512 };
	return fails_with == ERR_NONE ? 0 : err_set(err, fails_with, "%s", fails_saying);
}

static int
vss_confirm(void *volume, struct err *err)
{
	(void)volume;
	(void)err;
	return 0;
}

static void
vss_close(void *volume)
{
	free(volume);
}

static const struct snapshot_provider failing_vss = { .name = "vss",
	.add = vss_add,
	.same = vss_same,
	.freeze = vss_freeze,
	.confirm = vss_confirm,
	.close = vss_close };

const struct snapshot_provider *const snapshot_providers[] = { &failing_vss,
	&snapshot_hotcopy, NULL };

static struct sim sim;
static struct settings *settings;
static struct capture *capture;

static int
setup(void **state)
{
	struct err err = ERR_INIT;
	char spec[250];

	(void)state;
	sim_start(&sim);
	settings = malloc(sizeof(*settings));
	settings_init(settings);
	snprintf(spec, sizeof(spec), "c=%s", sim_path(&sim, "c"));
	assert_int_equal(settings_add(settings, spec, &err), 0);
	capture = NULL;
	tried = 0;
	fails_with = ERR_IO;
	fails_saying = "VSS_E_NO_LUCK";
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	capture_free(capture);
	free(settings);
	sim_stop(&sim);
	return 0;
}

static int
begin(struct err *err)
{
	const struct snapshot_options options = { .type = SNAPSHOT_FULL };

	return capture_begin(
	    settings, &options, &capture_disks_system, 1000, &capture, err);
}

static void
test_hotcopy_stands_in_and_that_is_said(void **state)
{
	struct err err = ERR_INIT;
	uint8_t byte = 0;

	(void)state;
	assert_int_equal(begin(&err), 0);
	assert_int_equal(tried, 1);
	assert_string_equal(capture->choice.provider, "hotcopy");
	assert_non_null(strstr(capture->method, "hotcopy: gate closed"));
	assert_non_null(strstr(capture->method, "; vss failed: VSS_E_NO_LUCK"));
	assert_int_equal(capture->volumes[0].info.grade, SNAPSHOT_CRASH);
	assert_int_equal(capture_read(&capture->volumes[0], 7, &byte, 1, &err), 0);
	assert_int_equal(byte, 'o');
}

/* Why vss failed may be cut inside a character: Commit takes lines of UTF-8 alone. */
static void
test_what_is_said_is_a_line_of_utf_8(void **state)
{
	struct err err = ERR_INIT;
	char method[512], words[202];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		err_clear(&err);
		capture_free(capture);
		capture = NULL;
		memset(words, 'a', 1);
		for (size_t k = i; k + 2 < sizeof(words); k += 2)
			memcpy(words + k, "\xc3\xa4", 3);
		fails_saying = words;
		assert_int_equal(begin(&err), 0);
		(void)snprintf(method, sizeof(method), "%s", capture->method);
		msg_check_clean(method);
		assert_string_equal(method, capture->method);
		assert_non_null(strstr(method, "; vss failed: "));
	}
}

/* A copy without a server is frozen as a backup is, and says how. */
static void
test_hotcopy_stands_in_for_a_clone(void **state)
{
	const struct clone_job job = { .from = sim_path(&sim, "c"),
		.to = settings->volumes[0].path,
		.verify = 1,
		.mode = PROGRESS_SILENT };
	struct err err = ERR_INIT;
	struct clone_result r;
	char text[16];
	FILE *f;

	(void)state;
	snprintf(settings->volumes[0].path, SETTINGS_PATH_MAX, "%s/copy", sim.dir);
	if (clone_run(&job, &r, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(tried, 1);
	assert_string_equal(r.provider, "hotcopy");
	assert_string_equal(r.grade, "crash");
	assert_non_null(strstr(r.captured, "hotcopy: gate closed"));
	assert_non_null(strstr(r.captured, "; vss failed: VSS_E_NO_LUCK"));
	f = fopen(job.to, "r");
	assert_non_null(f);
	assert_int_equal(fread(text, 1, sizeof(text), f), sizeof(text));
	assert_memory_equal(text, "oooooooooooooooo", sizeof(text));
	fclose(f);
	unlink(job.to);
}

static void
test_where_vss_works_nobody_stands_in(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	fails_with = ERR_NONE;
	assert_int_equal(begin(&err), 0);
	assert_string_equal(capture->choice.provider, "vss");
	assert_null(strstr(capture->method, "failed"));
}

static void
test_what_was_asked_for_is_never_replaced(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(settings_provider(settings, "vss", &err), 0);
	assert_int_equal(begin(&err), -1);
	assert_string_equal(err.text, "VSS_E_NO_LUCK");
	assert_int_equal(tried, 1);
}

static void
test_what_was_stopped_has_not_failed(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	fails_with = ERR_CANCELED;
	assert_int_equal(begin(&err), -1);
	assert_int_equal(err.code, ERR_CANCELED);
}

static void
test_a_driver_that_is_not_above_all_stands_in_for_nothing(void **state)
{
	struct err err = ERR_INIT;
	char spec[250];

	(void)state;
	snprintf(spec, sizeof(spec), "x=%s", sim_path(&sim, "nothing"));
	assert_int_equal(settings_add(settings, spec, &err), 0);
	assert_int_equal(begin(&err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_non_null(strstr(err.text, "; nothing stands in: "));
	assert_non_null(strstr(err.text, "VSS_E_NO_LUCK"));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(hotcopy_stands_in_and_that_is_said),
		TEST(what_is_said_is_a_line_of_utf_8),
		TEST(hotcopy_stands_in_for_a_clone),
		TEST(where_vss_works_nobody_stands_in),
		TEST(what_was_asked_for_is_never_replaced),
		TEST(what_was_stopped_has_not_failed),
		TEST(a_driver_that_is_not_above_all_stands_in_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
