#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "agent/cli/command.h"
#include "agent/session/dial.h"
#include "agent/session/enrol.h"
#include "agent/session/pending.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

#define RETRY_MS (60u * 1000)

/*
 * The token out of a file, in which Windows' own tools may have put it as UTF-16 or
 * behind a byte order mark.  A token is ASCII, so that is all there is to know.
 */
static int
load_token(const char *path, char out[TOKEN_TEXT_MAX], struct err *err)
{
	struct buf file = BUF_INIT(STATE_FILE_MAX);
	size_t i = 0, step = 1, len = 0;
	int found = file_load(path, &file, err);

	if (found == 1 && file.len >= 2 && file.p[0] == 0xff && file.p[1] == 0xfe)
		i = step = 2;
	else if (found == 1 && file.len >= 3 && memcmp(file.p, "\xef\xbb\xbf", 3) == 0)
		i = 3;
	for (; found == 1 && i < file.len && len < TOKEN_TEXT_MAX; i += step)
		out[len++] = (char)file.p[i];
	if (len == TOKEN_TEXT_MAX)
		found = err_set(err, ERR_CORRUPT, "%s: too long for a token", path);
	else
		out[len] = '\0';
	if (file.p != NULL)
		sodium_memzero(file.p, file.len);
	buf_free(&file);
	if (found == 0 || (found == 1 && len == 0))
		return err_set(err, ERR_NOTFOUND, "no token in %s", path);
	return found < 0 ? -1 : 0;
}

/* The token's text, from wherever it comes. */
static int
read_token(const struct command *cmd, char out[TOKEN_TEXT_MAX], struct err *err)
{
	if (cmd->token_file != NULL)
		return load_token(cmd->token_file, out, err);
	if (strcmp(cmd->token, "-") == 0)
		return fgets(out, TOKEN_TEXT_MAX, stdin) != NULL
			   ? 0
			   : err_set(err, ERR_NOTFOUND, "no token on standard input");
	if (strlen(cmd->token) >= TOKEN_TEXT_MAX)
		return err_set(err, ERR_CORRUPT, "token: too long");
	strcpy(out, cmd->token);
	return 0;
}

static void
print(const struct command *cmd, const char *event, const char *text, const char *name,
    const char *server)
{
	if (cmd->json)
		printf("{\"event\":\"%s\",\"name\":\"%s\",\"server\":\"%s\"}\n", event,
		    name, server);
	else
		printf("%s %s with %s\n", text, name, server);
}

/* Leave it to `run`. */
static int
keep(const struct command_context *c, const char *text, const struct err *why,
    struct err *err)
{
	const struct command *cmd = c->cmd;
	struct pending p = { .token = "" };

	strcpy(p.token, text);
	if ((cmd->name != NULL && cert_name_check(cmd->name, err) != 0))
		return -1;
	if (cmd->server != NULL && strlen(cmd->server) >= sizeof(p.server))
		return err_set(err, ERR_LIMIT, "--server: too long");
	if (cmd->name != NULL)
		strcpy(p.name, cmd->name);
	if (cmd->server != NULL)
		strcpy(p.server, cmd->server);
	if (pending_keep(c->st, &p, err) != 0)
		return -1;
	sodium_memzero(&p, sizeof(p));
	if (cmd->json)
		puts("{\"event\":\"enrolment_waits\"}");
	else
		puts("not enrolled yet; `run`, or the service, does it");
	if (why != NULL)
		command_say(NULL, why->text);
	return 0;
}

/* 1: enrolled already, and told so. */
static int
already(const struct command_context *c, struct err *err)
{
	struct state_identity id;
	int found = state_identity(c->st, &id, err);

	if (found < 0 && c->cmd->replace && err->code == ERR_DENIED) {
		err_clear(err); /* enrol_run() knows what to do. */
		return 0;
	}
	if (found != 1)
		return found;
	if (c->cmd->unless_enrolled)
		print(c->cmd, "enrolled_already", "enrolled already as", id.facts.name,
		    id.address);
	else if (c->cmd->later)
		found = err_set(err, ERR_EXISTS, "%s: enrolled as %s with %s",
		    state_dir(c->st), id.facts.name, id.address);
	else
		found = 0;
	state_identity_free(&id);
	return found;
}

static int
enroll(const struct command_context *c, const char *token, struct err *err)
{
	struct enrol_options o = { .token = token,
		.name = c->cmd->name,
		.server = c->cmd->server,
		.replace = c->cmd->replace,
		.retry_ms = c->cmd->has_retry ? c->cmd->retry_s * 1000 : RETRY_MS,
		.stop = c->stop };
	char name[CERT_NAME_MAX];
	struct state_identity id;
	struct err why;

	memcpy(o.machine, c->machine, sizeof(o.machine));
	if (enrol_run(c->st, &o, name, err) != 0) {
		why = *err;
		if (!c->cmd->or_later || !dial_may_retry(&why))
			return -1;
		err_clear(err);
		return keep(c, token, &why, err);
	}
	if (pending_drop(c->st, err) != 0 || state_identity(c->st, &id, err) != 1)
		return -1;
	print(c->cmd, "enrolled", "enrolled as", name, id.address);
	state_identity_free(&id);
	return 0;
}

int
command_enroll(const struct command_context *c, struct err *err)
{
	char token[TOKEN_TEXT_MAX];
	int rc;

	if (read_token(c->cmd, token, err) != 0)
		return err_context(err, "enroll");
	if ((rc = state_lock(c->st, err)) == 0 && (rc = already(c, err)) == 0)
		rc = c->cmd->later ? keep(c, token, NULL, err) : enroll(c, token, err);
	sodium_memzero(token, sizeof(token));
	return rc >= 0 ? 0 : err_context(err, "enroll");
}

int
command_unenroll(const struct command_context *c, struct err *err)
{
	if (state_lock(c->st, err) != 0 || enrol_forget(c->st, err) != 0)
		return err_context(err, "unenroll");
	if (!c->cmd->json)
		printf("%s: this machine is no host any more; its points stay on the "
		       "server\n",
		    state_dir(c->st));
	return 0;
}
