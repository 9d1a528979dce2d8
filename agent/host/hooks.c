#include "agent/host/hooks.h"

#include <stdio.h>
#include <string.h>

#include "agent/host/place.h"
#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "proto/base/wait.h"

#define LOOK_MS 100u /* How late a stop, a timeout or an end may be noticed. */

/* A script under way. */
struct run {
	const struct hooks_script *script;
	struct hooks_child *child;
	struct hooks_result *out;
	uint64_t started, deadline, asked_at, kill_at; /* us; 0: not so. */
	int closed;				       /* No output comes any more. */
	char line[HOOKS_LINE_MAX + 1];
	size_t len;
	int skip; /* What comes up to the line's end was cut off. */
};

/* ------------------------------------------------------------------ output -- */

static void
say(struct run *r, const char *line)
{
	if (r->script->say != NULL)
		r->script->say(r->script->say_arg, line);
}

static void
end_line(struct run *r)
{
	r->line[r->len] = '\0';
	if (++r->out->lines <= HOOKS_LINES)
		say(r, r->line);
	r->len = 0;
	r->skip = 0;
}

static void
take_output(struct run *r, const char *p, size_t n)
{
	for (; n > 0; n--, p++) {
		if (*p == '\n') {
			if (!r->skip)
				end_line(r);
			r->skip = 0;
		} else if (*p == '\r' || r->skip) {
			continue;
		} else {
			/* A log's line is one: what would make it two is not let in. */
			r->line[r->len++] =
			    (unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p;
			if (r->len == HOOKS_LINE_MAX) {
				end_line(r);
				r->skip = 1;
			}
		}
	}
}

/* What is there, waiting `ms` for the first of it; of one that never rests a part. */
static void
drain(struct run *r, uint32_t ms)
{
	char p[4096];
	long n;

	for (int i = 0; i < 64 && !r->closed; i++, ms = 0) {
		if ((n = hooks_read(r->child, p, sizeof(p), ms)) == 0)
			return;
		if (n < 0)
			r->closed = 1;
		else
			take_output(r, p, (size_t)n);
	}
}

/* ---------------------------------------------------------------- its end -- */

/* Its time is over, or the agent's: non-zero if it is to be stopped. */
static int
is_over(struct run *r, uint64_t now)
{
	if (r->asked_at == 0 && stop_asked(r->script->stop)) {
		r->asked_at = now;
		if (now + (uint64_t)r->script->after_stop_ms * 1000 < r->deadline)
			r->deadline = now + (uint64_t)r->script->after_stop_ms * 1000;
	}
	return now >= r->deadline;
}

/* Ask first, where that can be done; kill in the end. */
static void
end_it(struct run *r, uint64_t now)
{
	if (r->kill_at == 0) {
		r->out->end = r->asked_at != 0 ? HOOKS_STOPPED : HOOKS_TIMEOUT;
		r->kill_at = now;
		if (hooks_stop(r->child, 0))
			r->kill_at += HOOKS_GRACE_MS * 1000;
	} else if (now >= r->kill_at) {
		hooks_stop(r->child, 1);
	}
}

static void
watch(struct run *r)
{
	int code = 0, killed = 0;
	uint64_t now;

	while (!hooks_ended(r->child, &code, &killed)) {
		now = wait_now_us();
		if (is_over(r, now))
			end_it(r, now);
		if (r->closed)
			stop_wait_ms(r->kill_at == 0 ? r->script->stop : NULL, LOOK_MS);
		else
			drain(r, LOOK_MS);
	}
	drain(r, 0);
	if (r->len > 0)
		end_line(r);
	if (r->kill_at != 0) {
		/* Those that it started may be there still. */
		hooks_stop(r->child, 1);
		return;
	}
	r->out->end = killed ? HOOKS_KILLED : HOOKS_EXITED;
	r->out->exit_code = code;
}

void
hooks_text(const struct hooks_result *r, char out[64])
{
	static const char *const words[] = { "no script", "exit code", "killed by signal",
		"out of time", "stopped", "not run" };
	double s = (double)r->duration_us / 1e6;

	if (r->end == HOOKS_EXITED || r->end == HOOKS_KILLED)
		(void)snprintf(
		    out, 64, "%s %d after %.1f s", words[r->end], r->exit_code, s);
	else if (r->end == HOOKS_TIMEOUT || r->end == HOOKS_STOPPED)
		(void)snprintf(out, 64, "%s after %.1f s", words[r->end], s);
	else
		(void)snprintf(out, 64, "%s", words[r->end]);
}

/* What its end means. */
static int
judge(const struct hooks_script *s, const struct hooks_result *r, struct err *err)
{
	char text[64];

	if (r->end == HOOKS_EXITED && r->exit_code == 0)
		return 0;
	hooks_text(r, text);
	return err_set(err,
	    r->end == HOOKS_TIMEOUT   ? ERR_TIMEOUT
	    : r->end == HOOKS_STOPPED ? ERR_CANCELED
				      : ERR_IO,
	    "%s: %s", s->path, text);
}

static int
is_none(const struct hooks_script *s)
{
	return s->path == NULL || s->path[0] == '\0';
}

int
hooks_check(const struct hooks_script *script, struct err *err)
{
	char real[PLACE_PATH_MAX];

	return is_none(script) ? 0 : place_trusted(script->path, real, err);
}

int
hooks_run(const struct hooks_script *script, struct hooks_result *out, struct err *err)
{
	struct run r = { .script = script, .out = out };
	char real[PLACE_PATH_MAX], more[64];

	memset(out, 0, sizeof(*out));
	if (is_none(script))
		return 0;
	out->end = HOOKS_UNUSABLE;
	if (place_trusted(script->path, real, err) != 0)
		return -1;
	r.started = wait_now_us();
	r.deadline = r.started + (uint64_t)script->timeout_s * 1000000;
	if (hooks_start(script, real, &r.child, err) != 0)
		return -1;
	watch(&r);
	hooks_free(r.child);
	out->duration_us = wait_now_us() - r.started;
	if (out->lines > HOOKS_LINES) {
		(void)snprintf(
		    more, sizeof(more), "(%u lines more)", out->lines - HOOKS_LINES);
		say(&r, more);
	}
	return judge(script, out, err);
}
