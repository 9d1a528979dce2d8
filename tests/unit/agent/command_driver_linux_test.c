/* `driver status` over the simulator: lines for people and for programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "agent/cli/command.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"
#include "tests/unit/agent/sim_driver.h"

static struct sim sim;
static char said[8192];

static int
setup(void **state)
{
	(void)state;
	sim_start(&sim);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sim_stop(&sim);
	return 0;
}

/* What it says of `path`, in `said`. */
static int
status(const char *path, int json, struct err *err)
{
	struct command cmd = {
		.verb = COMMAND_DRIVER, .action = "status", .driver = path, .json = json
	};
	int rc, back = dup(1), fds[2];
	ssize_t n;

	/* A pipe takes that much without a reader. */
	assert_int_equal(pipe(fds), 0);
	fflush(stdout);
	assert_int_equal(dup2(fds[1], 1), 1);
	rc = command_driver(&cmd, err);
	fflush(stdout);
	assert_int_equal(dup2(back, 1), 1);
	close(back);
	close(fds[1]);
	said[0] = 0;
	for (size_t at = 0; (n = read(fds[0], said + at, sizeof(said) - 1 - at)) > 0;)
		said[at += (size_t)n] = 0;
	close(fds[0]);
	return rc;
}

/* c is tracked, has one generation and 128 KiB more. */
static void
track_c(void)
{
	static const uint8_t guid[16], nonce[HOTCOPY_NONCE] = { 0xab };
	struct hotcopy_wishes wishes = { .memory = 1 << 20 };
	const uint64_t c = 1;
	struct hotcopy_link *l = NULL;
	struct hotcopy_prepared p;
	struct hotcopy_frozen f;
	struct err err = ERR_INIT;
	uint8_t byte[512] = { 0 };

	assert_int_equal(hotcopy_link_open(sim_path(&sim, "c"), &l, &err), 0);
	assert_int_equal(hotcopy_track(l, c, guid, nonce, NULL, 0, &err), 0);
	assert_int_equal(hotcopy_prepare(l, &c, 1, &wishes, &p, &err), 0);
	assert_int_equal(
	    hotcopy_freeze(l, p.set, HOTCOPY_FREEZE_GENERATION | HOTCOPY_FREEZE_CUT_ONLY,
		5000, 0, nonce, &f, &err),
	    0);
	assert_int_equal(hotcopy_commit(l, c, f.generation[0], nonce, &err), 0);
	assert_int_equal(hotcopy_release(l, p.set, &err), 0);
	hotcopy_link_close(l);
	assert_int_equal(disk_write(sim.disk[0], 0, byte, sizeof(byte)), 0);
	assert_int_equal(disk_write(sim.disk[0], 1 << 20, byte, sizeof(byte)), 0);
}

static void
test_lines_say_what_each_volume_is(void **state)
{
	struct err err = ERR_INIT;
	char path[200];

	(void)state;
	track_c();
	snprintf(path, sizeof(path), "hotcopy:%s", sim.socket);
	assert_int_equal(status(path, 0, &err), 0);
	assert_non_null(strstr(said, "driver    build 1\n"));
	assert_non_null(strstr(said, "#1"));
	assert_non_null(strstr(said, "4.0 MiB  idle, tracking valid, 128 KiB changed "
				     "since generation "));
	assert_non_null(strstr(said, "#3"));
	assert_non_null(strstr(said, "2.0 MiB  idle, tracking off\n"));
	assert_int_equal(status(sim_path(&sim, "d"), 0, &err), 0);
	assert_non_null(strstr(said, ":d "));
	assert_null(strstr(said, "#"));
}

static void
test_json_is_one_object_a_line(void **state)
{
	struct err err = ERR_INIT;
	json_t *driver, *volume;
	char *line;

	(void)state;
	track_c();
	assert_int_equal(status(sim_path(&sim, "c"), 1, &err), 0);
	line = strchr(said, '\n');
	assert_non_null(line);
	*line++ = '\0';
	driver = json_loads(said, 0, NULL);
	volume = json_loads(line, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(driver, "type")), "driver");
	assert_int_equal(json_integer_value(json_object_get(driver, "build")), 1);
	assert_true(json_is_false(json_object_get(driver, "disabled")));
	assert_string_equal(
	    json_string_value(json_object_get(volume, "name")), sim_path(&sim, "c"));
	assert_int_equal(
	    json_integer_value(json_object_get(volume, "length")), SIM_LENGTH);
	assert_int_equal(json_integer_value(json_object_get(volume, "changed")), 131072);
	assert_string_equal(
	    json_string_value(json_object_get(volume, "tracking")), "valid");
	assert_string_equal(json_string_value(json_object_get(volume, "state")), "idle");
	assert_string_equal(json_string_value(json_object_get(volume, "why")), "");
	assert_string_equal(json_string_value(json_object_get(volume, "nonce")),
	    "ab000000000000000000000000000000");
	json_decref(driver);
	json_decref(volume);
}

static void
test_what_is_not_there_is_one_line(void **state)
{
	struct err err = ERR_INIT;
	char path[200];

	(void)state;
	assert_int_equal(status(sim_path(&sim, "e"), 0, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "no such disk"));
	err_clear(&err);
	assert_int_equal(status(NULL, 0, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_string_equal(said, "");
	err_clear(&err);
	snprintf(path, sizeof(path), "hotcopy:%s/none", sim.dir);
	assert_int_equal(status(path, 1, &err), -1);
	assert_non_null(strstr(err.text, "driver status: "));
	assert_non_null(strstr(err.text, "not running"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_lines_say_what_each_volume_is, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_json_is_one_object_a_line, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_what_is_not_there_is_one_line, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
