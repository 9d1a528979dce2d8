/* A log that is bounded: older lines move on, the oldest go, a new start goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/host/logfile.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "tests/unit/scratch.h"

static size_t
read_log(const char *dir, const char *name, char *out, size_t cap)
{
	struct buf b = BUF_INIT(1u << 20);
	struct err err = ERR_INIT;
	char path[512];
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (file_load(path, &b, &err) == 1) {
		assert_true(b.len < cap);
		memcpy(out, b.p, b.len);
		len = b.len;
	}
	out[len] = '\0';
	buf_free(&b);
	return len;
}

static void
it_goes_on_after_a_restart(void **state)
{
	char *dir = *state, log[512], text[1024];
	struct err err = ERR_INIT;
	struct logfile *l;

	(void)snprintf(log, sizeof(log), "%s/log", dir);
	assert_int_equal(logfile_open(log, 0, &l, &err), 0);
	logfile_write(l, "one\n", 4);
	logfile_close(l);
	assert_int_equal(logfile_open(log, 0, &l, &err), 0);
	logfile_write(l, "two\n", 4);
	logfile_close(l);
	read_log(log, "holdfast.log", text, sizeof(text));
	assert_string_equal(text, "one\ntwo\n");
}

static void
it_never_grows_past_its_bounds(void **state)
{
	char *dir = *state, name[32], text[1024], line[32];
	struct err err = ERR_INIT;
	struct logfile *l;
	int last = -1, n;

	assert_int_equal(logfile_open(dir, 100, &l, &err), 0);
	for (int i = 0; i < 300; i++) {
		n = snprintf(line, sizeof(line), "line %04d\n", i);
		logfile_write(l, line, (size_t)n);
	}
	logfile_close(l);
	/* Ten lines each, the newest fifty of all, in order. */
	for (int i = LOGFILE_OLD; i >= 0; i--) {
		(void)snprintf(
		    name, sizeof(name), i > 0 ? "holdfast.%d.log" : "holdfast.log", i);
		assert_int_equal(read_log(dir, name, text, sizeof(text)), 100);
		assert_int_equal(sscanf(text, "line %d", &n), 1);
		assert_int_equal(n, 250 + (LOGFILE_OLD - i) * 10);
		assert_true(n > last);
		last = n;
	}
	assert_int_equal(read_log(dir, "holdfast.5.log", text, sizeof(text)), 0);
}

static void
a_line_longer_than_the_log_is_written_alone(void **state)
{
	char *dir = *state, text[1024];
	struct err err = ERR_INIT;
	struct logfile *l;

	assert_int_equal(logfile_open(dir, 10, &l, &err), 0);
	logfile_write(l, "a line of more than ten\n", 24);
	logfile_write(l, "b\n", 2);
	logfile_close(l);
	assert_int_equal(read_log(dir, "holdfast.1.log", text, sizeof(text)), 24);
	assert_int_equal(read_log(dir, "holdfast.log", text, sizeof(text)), 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_goes_on_after_a_restart),
		T(it_never_grows_past_its_bounds),
		T(a_line_longer_than_the_log_is_written_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
