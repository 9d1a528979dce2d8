#include "agent/session/pending.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/host/stop.h"
#include "agent/session/dial.h"
#include "agent/session/enrol.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define FILE_NAME "enroll"
/* Somebody's `enroll` is noticed after so long. */
#define LOOK_MS (5u * 1000)
/* A server that stays away is told of again after so many attempts: about an hour. */
#define TELL_EVERY 120u
/* A refused token that cannot be removed must not be tried until the server locks us out.
 */
#define REFUSED_MS (15u * 60 * 1000)

int
pending_keep(const struct state *st, const struct pending *p, struct err *err)
{
	char text[sizeof(*p) + 4];
	struct token token;
	int n;

	if (token_parse(p->token, &token, err) != 0)
		return err_context(err, "token");
	sodium_memzero(token.secret, sizeof(token.secret));
	if (p->name[0] != '\0' && cert_name_check(p->name, err) != 0)
		return -1;
	n = snprintf(text, sizeof(text), "%.*s\n%s\n%s\n", (int)strcspn(p->token, "\r\n"),
	    p->token, p->name, p->server);
	n = state_write(st, FILE_NAME, text, (size_t)n, 0600, err);
	sodium_memzero(text, sizeof(text));
	return n;
}

/* The next line into `out`; NULL if it is too long, or there is none. */
static const char *
take_line(const char *p, const char *end, char *out, size_t size)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));
	size_t len;

	if (nl == NULL || (len = (size_t)(nl - p)) >= size)
		return NULL;
	memcpy(out, p, len);
	out[len] = '\0';
	return nl + 1;
}

int
pending_read(const struct state *st, struct pending *out, struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	const char *p, *end;
	int found = state_read(st, FILE_NAME, &file, err);

	if (found == 1) {
		p = (const char *)file.p;
		end = p + file.len;
		if ((p = take_line(p, end, out->token, sizeof(out->token))) == NULL ||
		    (p = take_line(p, end, out->name, sizeof(out->name))) == NULL ||
		    take_line(p, end, out->server, sizeof(out->server)) == NULL)
			found = err_set(err, ERR_CORRUPT,
			    "%s/" FILE_NAME ": not what `enroll` keeps; enroll again",
			    state_dir(st));
	}
	if (file.p != NULL)
		sodium_memzero(file.p, file.len);
	buf_free(&file);
	return found;
}

int
pending_drop(const struct state *st, struct err *err)
{
	return state_remove(st, FILE_NAME, err);
}

static void
tell(const struct pending_wait *w, const char *what, const char *why)
{
	char line[ERR_TEXT_MAX + 160];

	snprintf(line, sizeof(line), "%s%s", what, why);
	w->say(w->arg, line);
}

/* One attempt, holding the directory.  1: enrolled, or found to be; 0: not now; -1:
 * refused. */
static int
attempt(const struct pending_wait *w, const struct pending *p, struct err *err)
{
	struct enrol_options o = { .token = p->token,
		.name = p->name[0] != '\0' ? p->name : NULL,
		.server = p->server[0] != '\0' ? p->server : NULL,
		.stop = w->stop };
	struct err unimportant = ERR_INIT;
	struct state *mine = NULL;
	char name[CERT_NAME_MAX];
	int rc = 0;

	memcpy(o.machine, w->machine, sizeof(o.machine));
	if (state_open(state_dir(w->st), &mine, err) != 0)
		return 0;
	state_set_socket_buffer(mine, state_socket_buffer(w->st));
	if (state_lock(mine, err) == 0) {
		if (enrol_run(mine, &o, name, err) == 0) {
			tell(w, "enrolled as ", name);
			rc = 1;
		} else if (err->os == 0 &&
			   (err->code == ERR_DENIED || err->code == ERR_EXISTS ||
			       err->code == ERR_CORRUPT)) {
			/* Not by this system, which may allow it the next time. */
			rc = -1;
		}
		if (rc != 0)
			pending_drop(mine, &unimportant);
	}
	state_close(mine);
	return rc;
}

/* 1: enrolled; 0: look again after *wait. */
static int
step(const struct pending_wait *w, unsigned *n, uint32_t *wait)
{
	struct err why = ERR_INIT;
	struct pending p;
	int found = pending_read(w->st, &p, &why), rc = 0;

	*wait = LOOK_MS;
	if (found == 1) {
		if ((rc = attempt(w, &p, &why)) == 0) {
			*wait = dial_backoff_ms(*n);
			if ((*n)++ % TELL_EVERY == 0 && !stop_asked(w->stop))
				tell(w, "not enrolled yet, trying on: ", why.text);
		} else if (rc < 0) {
			tell(w, "enrolment refused, give another token to `enroll`: ",
			    why.text);
			*n = 1;
			err_clear(&why);
			if (pending_read(w->st, &p, &why) != 0)
				*wait = REFUSED_MS;
		}
	} else if ((*n)++ == 0) {
		tell(w, "not enrolled: waiting for `holdfast-agent enroll`", "");
		if (found < 0)
			tell(w, "", why.text);
	}
	sodium_memzero(&p, sizeof(p));
	return rc > 0;
}

int
pending_wait(const struct pending_wait *w, struct err *err)
{
	struct state_identity id;
	uint32_t wait;
	unsigned n = 0;
	int found;

	for (;;) {
		if ((found = state_identity(w->st, &id, err)) < 0)
			return -1;
		if (found == 1) {
			state_identity_free(&id);
			return 1;
		}
		if (stop_asked(w->stop))
			return 0;
		/* Enrolled by ourselves: state_identity() says so the next time. */
		if (!step(w, &n, &wait) && stop_wait_ms(w->stop, wait))
			return 0;
	}
}
