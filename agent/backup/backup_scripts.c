#include "agent/backup/backup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backup/last.h"
#include "agent/host/awake.h"
#include "proto/base/err.h"

/* What a post-script may still take once the agent is asked to stop. */
#define POST_STOP_MS (60u * 1000)

#define NAMES_MAX (SETTINGS_VOLUMES_MAX * (SETTINGS_NAME_MAX + 1) + 1)

/* A backup between its scripts. */
struct round {
	const struct state *st;
	const struct backup_options *o;
	struct backup_result *out;
	const char *event; /* "pre" or "post" */
	char host[CERT_NAME_MAX], volumes[NAMES_MAX], point[24], pre[16];
};

static void
say(const struct round *r, const char *line)
{
	if (r->o->say_script != NULL)
		r->o->say_script(r->o->say_arg, line);
	else if (r->o->say != NULL)
		r->o->say(r->o->say_arg, line);
}

static void
on_line(void *arg, const char *line)
{
	char text[HOOKS_LINE_MAX + 32];
	const struct round *r = arg;

	(void)snprintf(text, sizeof(text), "%s-script: %s", r->event, line);
	say(r, text);
}

/* What both scripts are told. */
static void
describe(struct round *r)
{
	const struct settings_volume *v;
	struct err ignored = ERR_INIT;
	struct state_identity id;
	size_t len = 0;

	if (state_identity(r->st, &id, &ignored) == 1) {
		strcpy(r->host, id.facts.name);
		state_identity_free(&id);
	}
	for (unsigned i = 0; (v = settings_source(r->o->settings, i)) != NULL; i++) {
		if (len + strlen(v->name) + 2 > sizeof(r->volumes))
			break;
		len += (size_t)snprintf(r->volumes + len, sizeof(r->volumes) - len,
		    "%s%s", len > 0 ? " " : "", v->name);
	}
	/* What that is shows only when the system is asked. */
	if (len == 0)
		(void)snprintf(r->volumes, sizeof(r->volumes), "%s",
		    r->o->settings->include[0] != '\0' ? r->o->settings->include : "all");
}

static int
run(struct round *r, const char *path, const char *result, const char *error,
    struct hooks_result *out, struct err *err)
{
	const int post = strcmp(r->event, "post") == 0;
	const struct hooks_variable variables[] = { { "HOLDFAST_EVENT", r->event },
		{ "HOLDFAST_HOST", r->host }, { "HOLDFAST_STATE", state_dir(r->st) },
		{ "HOLDFAST_VOLUMES", r->volumes }, { "HOLDFAST_RESULT", result },
		{ "HOLDFAST_ERROR", error }, { "HOLDFAST_POINT", r->point },
		{ "HOLDFAST_PRE", r->pre } };
	const struct hooks_script s = { .path = path,
		.timeout_s = r->o->settings->script_timeout_s,
		.variables = variables,
		.variables_count = post ? 8 : 4,
		.stop = r->o->stop,
		.after_stop_ms = post ? POST_STOP_MS : 0,
		.say = on_line,
		.say_arg = r };
	char text[64];
	int rc = hooks_run(&s, out, err);

	if (out->end != HOOKS_NONE && rc == 0) {
		hooks_text(out, text);
		on_line(r, text);
	}
	return rc;
}

/* A post-script that could not undo what a pre-script did must be known before. */
static int
check(const struct settings *s, struct err *err)
{
	const struct hooks_script pre = { .path = s->pre_script },
				  post = { .path = s->post_script };

	if (hooks_check(&pre, err) != 0)
		return err_context(err, "pre-script");
	if (hooks_check(&post, err) != 0)
		return err_context(err, "post-script");
	return 0;
}

static int
run_pre(struct round *r, struct err *err)
{
	struct hooks_result *pre = &r->out->pre;

	r->event = "pre";
	if (run(r, r->o->settings->pre_script, "", "", pre, err) != 0)
		err_context(err, "pre-script");
	if (pre->end == HOOKS_EXITED)
		(void)snprintf(r->pre, sizeof(r->pre), "%d", pre->exit_code);
	return err->code == ERR_NONE ? 0 : -1;
}

/*
 * An error's words come from anywhere, a server too, and a script that says
 * "echo %HOLDFAST_ERROR%" would run what stands behind an "&".
 */
static void
without_syntax(const char *text, char out[ERR_TEXT_MAX])
{
	size_t i;

	for (i = 0; text[i] != '\0' && i < ERR_TEXT_MAX - 1; i++)
		out[i] = (unsigned char)text[i] < 0x20 ||
				 strchr("&|<>^%!\"'`$();*?~#{}[]", text[i]) != NULL
			     ? '_'
			     : text[i];
	out[i] = '\0';
}

/* Whatever happened; `why` is what went wrong with the backup. */
static void
run_post(struct round *r, int pre_failed, const struct err *why)
{
	const char *result = why->code == ERR_NONE	 ? "ok"
			     : why->code == ERR_CANCELED ? "interrupted"
			     : pre_failed		 ? "pre-failed"
							 : "failed";
	char line[ERR_TEXT_MAX + 64], words[ERR_TEXT_MAX];
	struct err err = ERR_INIT;

	without_syntax(why->text, words);
	r->event = "post";
	if (why->code == ERR_NONE)
		(void)snprintf(
		    r->point, sizeof(r->point), "%" PRIu64, r->out->point.sequence);
	if (run(r, r->o->settings->post_script, result, words, &r->out->post, &err) == 0)
		return;
	(void)snprintf(line, sizeof(line), "post-script: %s; the point is %smade",
	    err.text, why->code == ERR_NONE ? "" : "not ");
	say(r, line);
}

int
backup_with_scripts(const struct state *st, const struct backup_options *options,
    struct backup_result *out, struct err *err)
{
	struct round *r = calloc(1, sizeof(*r));
	struct hooks_result pre;
	int failed, rc = -1;

	if (r == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	memset(out, 0, sizeof(*out));
	r->st = st;
	r->o = options;
	r->out = out;
	describe(r);
	awake_begin();
	if (check(options->settings, err) == 0) {
		failed = run_pre(r, err) != 0;
		pre = out->pre;
		if (!failed)
			rc = backup_run(st, options, out, err);
		out->pre = pre; /* backup_run() began anew. */
		run_post(r, failed, err);
	}
	if (rc != 0)
		last_failed(st, err);
	awake_end();
	free(r);
	return rc;
}
