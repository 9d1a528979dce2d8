#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/config.h"

static struct config config;

static int
parse(const char *text, struct err *err)
{
	err_clear(err);
	return config_parse("f.conf", text, strlen(text), &config, err);
}

static void
every_key_can_be_set(void **state)
{
	int from, to;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
	    parse("; a comment\n"
		  "# another\n"
		  "store = /srv/store\n"
		  "listen=[::1]:0\n"
		  "advertise = backup.example.org:7437 ; what tokens say\n"
		  "ready-file = /run/ready\n"
		  "threads = 3\nworkers = 4\ndisk-workers = 5\n"
		  "max-sessions = 17\nwindow = 16M\ningest-memory = 64M\n"
		  "silence-timeout = 90s\nhandshake-timeout = 5\ndrain-timeout = 2m\n"
		  "socket-buffer = 64K\n"
		  "agents-may-restore = no\ncertificate-lifetime = 30d\n"
		  "prune-at = 4:05\ngc-every = 2h\nverify-cycle = 10d\n"
		  "maintenance-window = 22:00-06:30\nmaintenance-rate = 5M\n"
		  "unfinished-keep = 3d\n"
		  "rescue-dir = /srv/rescue\nrescue-listen = 0.0.0.0:8080\n"
		  "read-only = yes\nreserve = 1G\nlow-water = 5%\nclock-jump = 3d\n"
		  "log-level = debug\nlog-format = json",
		&err),
	    0);
	assert_string_equal(config.store, "/srv/store");
	assert_string_equal(config.listen, "[::1]:0");
	assert_string_equal(config.advertise, "backup.example.org:7437");
	assert_string_equal(config.ready_file, "/run/ready");
	assert_string_equal(config.rescue_dir, "/srv/rescue");
	assert_string_equal(config.rescue_listen, "0.0.0.0:8080");
	assert_int_equal(config.threads, 3);
	assert_int_equal(config.workers, 4);
	assert_int_equal(config.disk_workers, 5);
	assert_int_equal(config.sessions, 17);
	assert_int_equal(config.window, 16 << 20);
	assert_int_equal(config.ingest_memory, 64 << 20);
	assert_int_equal(config.silence_s, 90);
	assert_int_equal(config.handshake_s, 5);
	assert_int_equal(config.drain_s, 120);
	assert_int_equal(config.socket_buffer, 64 << 10);
	assert_int_equal(config.agents_may_restore, 0);
	assert_int_equal(config.certificate_s, 30 * 86400);
	assert_int_equal(config_time_of_day(config.prune_at), 245);
	assert_int_equal(config.gc_every_s, 7200);
	assert_int_equal(config.verify_cycle_s, 864000);
	assert_int_equal(config.maintenance_rate, 5 << 20);
	assert_int_equal(config.unfinished_keep_s, 3 * 86400);
	assert_int_equal(config_window(config.maintenance_window, &from, &to), 0);
	assert_int_equal(from, 22 * 60);
	assert_int_equal(to, 6 * 60 + 30);
	assert_int_equal(config.read_only, 1);
	assert_int_equal(config.reserve, 1 << 30);
	assert_int_equal(config.low_water.percent, 5);
	assert_int_equal(config.low_water.bytes, 0);
	assert_int_equal(config.clock_jump_s, 3 * 86400);
	assert_int_equal(config.log_level, LOG_DEBUG);
	assert_int_equal(config.log_format, LOG_JSON);
}

static void
the_empty_file_is_the_defaults(void **state)
{
	struct config defaults;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse("", &err), 0);
	config_defaults(&defaults);
	assert_memory_equal(&config, &defaults, sizeof(config));
	assert_int_equal(config.agents_may_restore, 1);
	assert_int_equal(config.window, 8 << 20);
	assert_int_equal(parse("low-water = 3T\n", &err), 0);
	assert_int_equal(config.low_water.percent, 0);
	assert_true(config.low_water.bytes == UINT64_C(3) << 40);
}

static void
what_is_wrong_is_named_with_its_line(void **state)
{
	static const struct {
		const char *text, *where, *what;
	} cases[] = {
		{ "store = /a\nno-such-key = 1\n", "f.conf:2: ", "no-such-key" },
		{ "[server]\nstore = /a\n", "f.conf:2: ", "section" },
		{ "listen = nonsense\n", "f.conf:1: ", "HOST:PORT" },
		{ "listen = :80\n", "f.conf:1: ", "HOST:PORT" },
		{ "listen = a:99999\n", "f.conf:1: ", "HOST:PORT" },
		{ "listen = a b:1\n", "f.conf:1: ", "HOST:PORT" },
		{ "listen = [::1:1\n", "f.conf:1: ", "HOST:PORT" },
		{ "listen =\n", "f.conf:1: ", "no value" },
		{ "rescue-listen = a:1\n", "f.conf: rescue-listen", "rescue-dir" },
		{ "threads = many\n", "f.conf:1: ", "number" },
		{ "threads = 9999\n", "f.conf:1: ", "0..256" },
		{ "threads = -1\n", "f.conf:1: ", "number" },
		{ "window = 8X\n", "f.conf:1: ", "size" },
		{ "window = 99999999999999999G\n", "f.conf:1: ", "size" },
		{ "window = 9999999999999999999\n", "f.conf:1: ", "size" },
		{ "window = 1K\n", "f.conf:1: ", "within" },
		{ "\n\nsilence-timeout = 5mm\n", "f.conf:3: ", "duration" },
		{ "prune-at = 25:00\n", "f.conf:1: ", "03:30" },
		{ "prune-at = 3:60\n", "f.conf:1: ", "03:30" },
		{ "prune-at = -1:00\n", "f.conf:1: ", "03:30" },
		{ "prune-at = noon\n", "f.conf:1: ", "03:30" },
		{ "maintenance-window = 22:00\n", "f.conf:1: ", "22:00-06:00" },
		{ "maintenance-window = 22:00-off\n", "f.conf:1: ", "22:00-06:00" },
		{ "low-water = 51%\n", "f.conf:1: ", "share" },
		{ "low-water = 5%%\n", "f.conf:1: ", "share" },
		{ "low-water = much\n", "f.conf:1: ", "size" },
		{ "agents-may-restore = maybe\n", "f.conf:1: ", "yes or no" },
		{ "log-level = loud\n", "f.conf:1: ", "debug" },
		{ "log-format = xml\n", "f.conf:1: ", "json" },
		{ "store = /a\nstore\n", "f.conf:2: ", "key = value" },
		{ "store = /a\nstore\nlisten = x\n", "f.conf:2: ", "key = value" },
		{ "listen = x\nstore\n", "f.conf:1: ", "HOST:PORT" },
		{ "store = /a\nstore = /b\n", "f.conf:2: ", "twice" },
		{ "store = /a\n  /b\n", "f.conf:2: ", "indented" },
		{ "[unclosed\n", "f.conf:1: ", "key = value" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(parse(cases[i].text, &err), -1);
		if (strncmp(err.text, cases[i].where, strlen(cases[i].where)) != 0 ||
		    strstr(err.text, cases[i].what) == NULL ||
		    strchr(err.text, '\n') != NULL)
			fail_msg("case %zu: '%s'", i, err.text);
	}
}

static void
long_lines_and_files_and_binary_are_refused(void **state)
{
	size_t len = CONFIG_TEXT_MAX + 1;
	char *text = malloc(len + 1);
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(text);
	memset(text, ';', len);
	text[len] = '\0';
	assert_int_equal(config_parse("f.conf", text, len, &config, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);

	err_clear(&err);
	memcpy(text, "\nready-file = /", 15);
	memset(text + 15, 'a', 1000);
	assert_int_equal(config_parse("f.conf", text, 1015, &config, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_true(strncmp(err.text, "f.conf:2: ", 10) == 0);

	err_clear(&err);
	assert_int_equal(config_parse("f.conf", "store = a\0b", 11, &config, &err), -1);
	assert_non_null(strstr(err.text, "NUL"));
	free(text);
}

static void
only_some_keys_need_a_restart(void **state)
{
	struct config then;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(parse("store = /a\n", &err), 0);
	then = config;
	assert_null(config_needs_restart(&config, &then));
	then.log_level = LOG_DEBUG;
	then.agents_may_restore = 0;
	then.silence_s = 7;
	assert_null(config_needs_restart(&config, &then));
	then.threads = 9;
	assert_string_equal(config_needs_restart(&config, &then), "threads");
}

struct text {
	char p[8192];
	size_t n;
};

static void
append(void *arg, const char *key, const char *value, const char *meaning)
{
	struct text *t = arg;

	assert_true(meaning[0] != '\0');
	if (value[0] != '\0')
		t->n += (size_t)snprintf(
		    t->p + t->n, sizeof(t->p) - t->n, "%s = %s\n", key, value);
}

static void
what_is_shown_reads_back_the_same(void **state)
{
	struct text text = { "", 0 };
	struct config first;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
	    parse("window = 3M\nlog-format = json\ncertificate-lifetime = 3h\n", &err),
	    0);
	first = config;
	config_each(&config, append, &text);
	assert_int_equal(parse(text.p, &err), 0);
	assert_memory_equal(&first, &config, sizeof(config));
}

static void
look_up(void *arg, const char *key, const char *value, const char *meaning)
{
	const char *guide = arg;
	char row[100];
	const char *at;

	(void)value;
	(void)snprintf(row, sizeof(row), "\n| `%s` | ", key);
	at = strstr(guide, row);
	if (at == NULL || strstr(at, meaning) == NULL)
		fail_msg("docs/operators-guide.md says nothing, or something else, of %s",
		    key);
}

static void
the_guide_has_every_key(void **state)
{
	static char guide[65536];
	FILE *f = fopen("docs/operators-guide.md", "r");
	struct config defaults;

	(void)state;
	assert_non_null(f);
	guide[fread(guide, 1, sizeof(guide) - 1, f)] = '\0';
	(void)fclose(f);
	config_defaults(&defaults);
	config_each(&defaults, look_up, guide);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_can_be_set),
		cmocka_unit_test(the_empty_file_is_the_defaults),
		cmocka_unit_test(what_is_wrong_is_named_with_its_line),
		cmocka_unit_test(long_lines_and_files_and_binary_are_refused),
		cmocka_unit_test(only_some_keys_need_a_restart),
		cmocka_unit_test(what_is_shown_reads_back_the_same),
		cmocka_unit_test(the_guide_has_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
