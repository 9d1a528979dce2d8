#include "server/cli/cli.h"

#include <string.h>

#include "agent/session/dial.h"

/* A session of its own, as reading.h's and tree_reader.h's callers want them. */
int
cli_dial(void *arg, struct dial *out, struct err *err)
{
	const struct cli *who = arg;
	struct cli c = { .operator_dir = who->operator_dir, .server = who->server };

	memset(out, 0, sizeof(*out));
	if (cli_connect(&c, err) != 0) {
		cli_close(&c);
		return -1;
	}
	chunk_keys_init(&out->keys, c.domain_key);
	(void)snprintf(out->welcome.name, sizeof(out->welcome.name), "%.63s", c.name);
	out->ch = c.ch;
	out->tls = c.tls;
	c.ch = NULL;
	c.tls = NULL;
	cli_close(&c);
	return 0;
}
