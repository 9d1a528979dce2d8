/*
 * Scripts before and after a backup: their environment, output, ends; that a
 * timeout and a stop take the whole group; and which places are trusted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/host/hooks.h"
#include "agent/host/stop.h"
#include "proto/base/err.h"

struct world {
	char dir[64], path[96], said[64 * 1024];
	unsigned lines;
	struct hooks_script script;
	struct hooks_result result;
	struct err err;
};

static void
hear(void *arg, const char *line)
{
	struct world *w = arg;

	w->lines++;
	assert_true(strlen(w->said) + strlen(line) + 2 < sizeof(w->said));
	strcat(w->said, line);
	strcat(w->said, "\n");
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/hf-hooks-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->path, sizeof(w->path), "%s/script", w->dir);
	w->script = (struct hooks_script){
		.path = w->path, .timeout_s = 300, .say = hear, .say_arg = w
	};
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char cmd[96];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", w->dir);
	assert_int_equal(system(cmd), 0);
	free(w);
	return 0;
}

static void
write_script(struct world *w, const char *body)
{
	FILE *f = fopen(w->path, "w");

	assert_non_null(f);
	(void)fprintf(f, "#!/bin/sh\n%s\n", body);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(w->path, 0700), 0);
}

static int
run(struct world *w, const char *body)
{
	write_script(w, body);
	err_clear(&w->err);
	w->said[0] = '\0';
	w->lines = 0;
	return hooks_run(&w->script, &w->result, &w->err);
}

static void
no_script_is_fine(void **state)
{
	struct world *w = *state;

	w->script.path = "";
	assert_int_equal(hooks_run(&w->script, &w->result, &w->err), 0);
	assert_int_equal(w->result.end, HOOKS_NONE);
	w->script.path = NULL;
	assert_int_equal(hooks_run(&w->script, &w->result, &w->err), 0);
}

static void
it_has_its_variables_and_its_output_is_heard(void **state)
{
	struct world *w = *state;
	const struct hooks_variable v[] = { { "HOLDFAST_EVENT", "post" },
		{ "HOLDFAST_ERROR", "a b = c" } };

	w->script.variables = v;
	w->script.variables_count = 2;
	assert_int_equal(setenv("HOLDFAST_EVENT", "of the parent", 1), 0);
	assert_int_equal(
	    run(w, "read x; echo \"$HOLDFAST_EVENT|$HOLDFAST_ERROR|$x|${PATH:+path}\"\n"
		   "echo oops >&2; printf 'a\\033b\\r\\nno end'"),
	    0);
	unsetenv("HOLDFAST_EVENT");
	assert_string_equal(w->said, "post|a b = c||path\noops\na b\nno end\n");
	assert_int_equal(w->result.end, HOOKS_EXITED);
	assert_int_equal(w->result.lines, 4);
}

static void
how_it_ended_is_told(void **state)
{
	struct world *w = *state;

	assert_int_equal(run(w, "exit 3"), -1);
	assert_int_equal(w->result.end, HOOKS_EXITED);
	assert_int_equal(w->result.exit_code, 3);
	assert_non_null(strstr(w->err.text, "/script: exit code 3 after "));
	assert_int_equal(run(w, "kill -9 $$"), -1);
	assert_int_equal(w->result.end, HOOKS_KILLED);
	assert_int_equal(w->result.exit_code, 9);
}

static void
what_cannot_be_started_is_said(void **state)
{
	struct world *w = *state;

	write_script(w, "exit 0");
	assert_int_equal(chmod(w->path, 0600), 0);
	assert_int_equal(hooks_run(&w->script, &w->result, &w->err), -1);
	assert_int_equal(w->result.end, HOOKS_UNUSABLE);
	assert_non_null(strstr(w->err.text, "/script: "));
	err_clear(&w->err);
	w->script.path = w->dir;
	assert_int_equal(hooks_run(&w->script, &w->result, &w->err), -1);
	assert_non_null(strstr(w->err.text, "not a file"));
	err_clear(&w->err);
	w->script.path = "script";
	assert_int_equal(hooks_run(&w->script, &w->result, &w->err), -1);
	assert_non_null(strstr(w->err.text, "full path"));
	err_clear(&w->err);
	w->script.path = "/no/such/script";
	assert_int_equal(hooks_run(&w->script, &w->result, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOTFOUND);
}

static void
much_output_is_cut(void **state)
{
	struct world *w = *state;

	assert_int_equal(
	    run(w, "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done"), 0);
	assert_int_equal(w->result.lines, 300);
	assert_int_equal(w->lines, HOOKS_LINES + 1);
	assert_non_null(strstr(w->said, "line 199\n(100 lines more)\n"));
	assert_int_equal(
	    run(w, "head -c 5000 /dev/zero | tr '\\0' x; echo; echo end"), 0);
	assert_int_equal(w->lines, 2);
	assert_int_equal(strlen(w->said), HOOKS_LINE_MAX + 1 + strlen("end\n"));
}

/* Is the process whose number lies in <dir>/child gone? */
static int
child_is_gone(const struct world *w)
{
	char path[96], stat[64], state = '?';
	long pid = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/child", w->dir);
	assert_non_null(f = fopen(path, "r"));
	assert_int_equal(fscanf(f, "%ld", &pid), 1);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(stat, sizeof(stat), "/proc/%ld/stat", pid);
	if ((f = fopen(stat, "r")) == NULL)
		return 1;
	assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	assert_int_equal(fclose(f), 0);
	return state == 'Z' || state == 'X';
}

static int
child_goes(const struct world *w)
{
	const struct timespec t = { 0, 20000000 };

	for (int i = 0; i < 3000 && !child_is_gone(w); i++)
		nanosleep(&t, NULL);
	return child_is_gone(w);
}

static void
a_timeout_takes_all_that_it_started(void **state)
{
	struct world *w = *state;
	char body[256];

	w->script.timeout_s = 1;
	/* Deaf to being asked, as is its child. */
	(void)snprintf(body, sizeof(body),
	    "trap '' TERM\nsleep 1000 & echo $! > %s/child\n"
	    "while :; do sleep 1; done",
	    w->dir);
	assert_int_equal(run(w, body), -1);
	assert_int_equal(w->err.code, ERR_TIMEOUT);
	assert_int_equal(w->result.end, HOOKS_TIMEOUT);
	assert_true(w->result.duration_us >= (1000 + HOOKS_GRACE_MS) * 1000ull);
	assert_true(child_goes(w));
}

static void
one_that_heeds_the_request_need_not_be_killed(void **state)
{
	struct world *w = *state;

	w->script.timeout_s = 1;
	assert_int_equal(
	    run(w, "trap 'echo told; exit 0' TERM; while :; do sleep 0.1; done"), -1);
	assert_int_equal(w->err.code, ERR_TIMEOUT);
	assert_non_null(strstr(w->said, "told\n"));
	assert_true(w->result.duration_us < (1000 + HOOKS_GRACE_MS) * 1000ull);
}

static void
chatter_does_not_put_off_the_timeout(void **state)
{
	struct world *w = *state;

	w->script.timeout_s = 1;
	assert_int_equal(run(w, "exec yes"), -1);
	assert_int_equal(w->err.code, ERR_TIMEOUT);
	assert_int_equal(w->lines, HOOKS_LINES + 1);
}

static void
a_stop_ends_it_at_once_or_after_its_grace(void **state)
{
	struct world *w = *state;

	w->script.stop = stop_new();
	stop_request(w->script.stop);
	assert_int_equal(run(w, "sleep 1000"), -1);
	assert_int_equal(w->err.code, ERR_CANCELED);
	assert_int_equal(w->result.end, HOOKS_STOPPED);
	w->script.after_stop_ms = 200000;
	assert_int_equal(run(w, "sleep 1"), 0);
	stop_free(w->script.stop);
}

static void
what_goes_on_in_the_background_is_not_waited_for(void **state)
{
	struct world *w = *state;
	char body[128];

	(void)snprintf(
	    body, sizeof(body), "sleep 1000 & echo $! > %s/child; echo begun", w->dir);
	assert_int_equal(run(w, body), 0);
	assert_string_equal(w->said, "begun\n");
	assert_false(child_is_gone(w));
	(void)snprintf(body, sizeof(body), "kill -9 $(cat %s/child)", w->dir);
	assert_int_equal(system(body), 0);
}

static void
a_place_that_others_may_write_is_refused(void **state)
{
	struct world *w = *state;
	char link[96];

	write_script(w, "exit 0");
	assert_int_equal(hooks_check(&w->script, &w->err), 0);
	assert_int_equal(chmod(w->path, 0722), 0);
	assert_int_equal(hooks_check(&w->script, &w->err), -1);
	assert_int_equal(w->err.code, ERR_DENIED);
	assert_non_null(strstr(w->err.text, "chmod go-w"));
	err_clear(&w->err);
	assert_int_equal(chmod(w->path, 0700), 0);
	assert_int_equal(chmod(w->dir, 0777), 0);
	assert_int_equal(hooks_check(&w->script, &w->err), -1);
	err_clear(&w->err);
	/* A link is judged by where it leads. */
	(void)snprintf(link, sizeof(link), "/tmp/hf-hooks-link-%ld", (long)getpid());
	assert_int_equal(symlink(w->path, link), 0);
	w->script.path = link;
	assert_int_equal(hooks_check(&w->script, &w->err), -1);
	err_clear(&w->err);
	assert_int_equal(chmod(w->dir, 0700), 0);
	assert_int_equal(hooks_check(&w->script, &w->err), 0);
	assert_int_equal(unlink(link), 0);
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(w->dir, 12345, 12345), 0);
	w->script.path = w->path;
	assert_int_equal(hooks_run(&w->script, &w->result, &w->err), -1);
	assert_int_equal(w->result.end, HOOKS_UNUSABLE);
	assert_non_null(strstr(w->err.text, "12345"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(no_script_is_fine),
		T(it_has_its_variables_and_its_output_is_heard),
		T(how_it_ended_is_told),
		T(what_cannot_be_started_is_said),
		T(much_output_is_cut),
		T(a_timeout_takes_all_that_it_started),
		T(one_that_heeds_the_request_need_not_be_killed),
		T(chatter_does_not_put_off_the_timeout),
		T(a_stop_ends_it_at_once_or_after_its_grace),
		T(what_goes_on_in_the_background_is_not_waited_for),
		T(a_place_that_others_may_write_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
