/* The command line: what is meant is understood, the rest refused in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/cli/command.h"
#include "agent/restore/restore.h"
#include "proto/base/err.h"

#define ARGS_MAX 12

static struct command cmd;
static struct err err;

/* Parse "holdfast-agent" and these words, separated by spaces. */
static int
parse(const char *line)
{
	static char words[256];
	char *argv[ARGS_MAX], *at;
	int argc = 0;

	argv[argc++] = (char *)"holdfast-agent";
	strcpy(words, line);
	for (at = strtok(words, " "); at != NULL; at = strtok(NULL, " "))
		argv[argc++] = at;
	err_clear(&err);
	return command_parse(argc, argv, &cmd, &err);
}

static void
every_verb_is_understood(void **state)
{
	(void)state;
	assert_int_equal(parse("--state /s enroll TOKEN --name web --replace"), 0);
	assert_int_equal(cmd.verb, COMMAND_ENROLL);
	assert_string_equal(cmd.token, "TOKEN");
	assert_string_equal(cmd.name, "web");
	assert_true(cmd.replace);
	assert_string_equal(cmd.state_dir, "/s");
	assert_int_equal(
	    parse("backup a=/a /b --level=7 --retry-for 0s --no-cache --json"), 0);
	assert_int_equal(cmd.verb, COMMAND_BACKUP);
	assert_int_equal(cmd.volumes_count, 2);
	assert_int_equal(cmd.level, 7);
	assert_true(cmd.has_retry && cmd.retry_s == 0 && cmd.no_cache && cmd.json);
	assert_int_equal(parse("restore 12 --volume c --to /x --delta --state=/y"), 0);
	assert_string_equal(cmd.point, "12");
	assert_true(cmd.delta && !cmd.force);
	assert_string_equal(cmd.state_dir, "/y");
	assert_int_equal(parse("enroll -"), 0);
	assert_string_equal(cmd.token, "-");
	assert_int_equal(parse("enroll --token-file /t --or-later --unless-enrolled"), 0);
	assert_string_equal(cmd.token_file, "/t");
	assert_true(cmd.or_later && cmd.unless_enrolled && !cmd.later);
	assert_int_equal(parse("backup --volume C: D: --volume=x=label:DATA"), 0);
	assert_int_equal(cmd.volumes_count, 3);
	assert_string_equal(cmd.volumes[0], "C:");
	assert_string_equal(cmd.volumes[2], "x=label:DATA");
	assert_int_equal(parse("volumes --json"), 0);
	assert_int_equal(cmd.verb, COMMAND_VOLUMES);
	assert_int_equal(parse("driver install --dir /d"), 0);
	assert_int_equal(cmd.verb, COMMAND_DRIVER);
	assert_string_equal(cmd.dir, "/d");
	assert_int_equal(parse("driver remove"), 0);
	assert_int_equal(parse("clone /a /b.vhdx --disk --provider offline"), 0);
	assert_int_equal(cmd.verb, COMMAND_CLONE);
	assert_string_equal(cmd.from, "/a");
	assert_string_equal(cmd.onto, "/b.vhdx");
	assert_true(cmd.whole && cmd.vhdx && !cmd.no_verify && cmd.disks_count == 0);
	assert_int_equal(parse("clone --disk /a --no-verify -- --b"), 0);
	assert_string_equal(cmd.onto, "--b");
	assert_true(cmd.whole && !cmd.vhdx && cmd.no_verify);
	assert_int_equal(parse("driver status"), 0);
	assert_null(cmd.driver);
	assert_int_equal(parse("driver status C: --json"), 0);
	assert_string_equal(cmd.driver, "C:");
	assert_int_equal(parse("points"), 0);
	assert_int_equal(parse("status --json"), 0);
	assert_int_equal(parse("run"), 0);
	assert_int_equal(parse("backup --help"), 0);
	assert_int_equal(cmd.verb, COMMAND_HELP);
	assert_int_equal(parse("backup -- --odd"), 0);
	assert_string_equal(cmd.volumes[0], "--odd");
}

static void
what_cannot_be_meant_is_refused(void **state)
{
	static const struct {
		const char *line, *words;
	} bad[] = { { "", "what is to be done" }, { "bakcup", "bakcup" },
		{ "backup --levle 3", "--levle" }, { "backup --level 20", "level" },
		{ "backup --level", "value is missing" }, { "enroll", "token" },
		{ "enroll a b", "one word too many" },
		{ "enroll a --token-file /t", "not both" },
		{ "enroll a --later --replace", "--replace" },
		{ "restore", "which point" }, { "restore 1 --to /x", "--volume" },
		{ "restore 1 --volume c", "--to" },
		{ "restore 1 --volume c --to /x --delta --force", "say one" },
		{ "points x", "too many" }, { "backup --retry-for soon", "duration" },
		{ "driver", "install, remove or status" },
		{ "driver load", "install, remove or status" },
		{ "driver remove x", "too many" }, { "driver status a b", "too many" },
		{ "driver remove --dir /d", "--dir" }, { "backup --dir /d", "--dir" },
		{ "clone", "SRC is missing" }, { "clone /a", "DST is missing" },
		{ "clone /a /b /c", "one word too many" },
		{ "clone /a /b --to /c", "belong to restore" },
		{ "clone /a /b --delta --force", "say one" },
		{ "clone /a /b --format iso", "raw and vhdx" },
		{ "backup --json=1", "--json" } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i].line) == 0 || strstr(err.text, bad[i].words) == NULL)
			fail_msg("%s: '%s'", bad[i].line, err.text);
}

static void
points_are_named_by_number_or_latest(void **state)
{
	char host[RESTORE_NAME_MAX];
	uint64_t n = 9;

	(void)state;
	err_clear(&err);
	assert_int_equal(restore_point("latest", NULL, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(restore_point("12", NULL, &n, &err), 0);
	assert_int_equal(n, 12);
	assert_int_equal(restore_point("web01/7", host, &n, &err), 0);
	assert_string_equal(host, "web01");
	assert_int_equal(n, 7);
	assert_int_equal(restore_point("web01/latest", host, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(restore_point("3", host, &n, &err), 0);
	assert_string_equal(host, "");
	assert_int_equal(restore_point("web01/7", NULL, &n, &err), -1);
	err_clear(&err);
	assert_int_equal(restore_point("0", NULL, &n, &err), -1);
	err_clear(&err);
	assert_int_equal(restore_point("12x", NULL, &n, &err), -1);
	err_clear(&err);
	assert_int_equal(restore_point("99999999999999999999", NULL, &n, &err), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verb_is_understood),
		cmocka_unit_test(what_cannot_be_meant_is_refused),
		cmocka_unit_test(points_are_named_by_number_or_latest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
