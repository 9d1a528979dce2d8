#include <stdio.h>
#include <string.h>

#include "agent/command.h"
#include "agent/enrol.h"
#include "proto/base/err.h"
#include "proto/tls/token.h"

#define RETRY_MS (60u * 1000)

int
command_enroll(const struct command_context *c, struct err *err)
{
	struct enrol_options o = { .token = c->cmd->token,
		.name = c->cmd->name,
		.server = c->cmd->server,
		.replace = c->cmd->replace,
		.retry_ms = RETRY_MS,
		.stop = c->stop };
	char line[TOKEN_TEXT_MAX + 2], name[CERT_NAME_MAX];
	struct state_identity id;

	memcpy(o.machine, c->machine, sizeof(o.machine));
	if (c->cmd->has_retry)
		o.retry_ms = c->cmd->retry_s * 1000;
	if (strcmp(o.token, "-") == 0) {
		if (fgets(line, sizeof(line), stdin) == NULL)
			return err_set(err, ERR_NOTFOUND, "no token on standard input");
		o.token = line;
	}
	if (state_lock(c->st, err) != 0 || enrol_run(c->st, &o, name, err) != 0)
		return err_context(err, "enroll");
	if (state_identity(c->st, &id, err) != 1)
		return -1;
	if (c->cmd->json)
		printf("{\"event\":\"enrolled\",\"name\":\"%s\",\"server\":\"%s\"}\n",
		    name, id.address);
	else
		printf("enrolled as %s with %s\n", name, id.address);
	state_identity_free(&id);
	return 0;
}
