/* holdfast-agent: see command_help(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command.h"
#include "agent/command_system.h"
#include "agent/stop.h"
#include "proto/base/err.h"

/* agent.conf, and what the command line says over it. */
static int
read_settings(struct command_context *c, struct err *err)
{
	const struct command *cmd = c->cmd;
	char path[STATE_PATH_MAX];
	unsigned i;

	settings_init(&c->settings);
	if (state_path(c->st, "agent.conf", path, err) != 0 ||
	    settings_load(&c->settings, path, err) != 0)
		return -1;
	if (cmd->verb == COMMAND_BACKUP && cmd->volumes_count + cmd->disks_count > 0)
		c->settings.count = c->settings.disks_count = 0;
	for (i = 0; cmd->verb == COMMAND_BACKUP && i < cmd->disks_count; i++)
		if (settings_add_disk(&c->settings, cmd->disks[i], err) != 0)
			return -1;
	for (i = 0; i < cmd->volumes_count; i++)
		if (settings_add(&c->settings, cmd->volumes[i], err) != 0)
			return -1;
	if (cmd->level > 0)
		c->settings.level = cmd->level;
	if (cmd->has_retry)
		c->settings.retry_s = cmd->retry_s;
	if (cmd->provider != NULL)
		return settings_provider(&c->settings, cmd->provider, err);
	return 0;
}

static int
dispatch(const struct command_context *c, struct err *err)
{
	switch (c->cmd->verb) {
	case COMMAND_ENROLL:
		return command_enroll(c, err);
	case COMMAND_BACKUP:
		return command_backup(c, err);
	case COMMAND_RESTORE:
		return command_restore(c, err);
	case COMMAND_POINTS:
		return command_points(c, err);
	case COMMAND_STATUS:
		return command_status(c, err);
	default:
		return command_run(c, err);
	}
}

static int
work(const struct command *cmd, struct err *err)
{
	struct command_context *c = calloc(1, sizeof(*c));
	int rc = -1;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	c->cmd = cmd;
	if ((c->stop = stop_new()) == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
		goto out;
	}
	if (stop_on_signals(c->stop, err) != 0 ||
	    state_open(cmd->state_dir, &c->st, err) != 0 ||
	    state_machine(cmd->machine_id, c->machine, err) != 0 ||
	    read_settings(c, err) != 0)
		goto out;
	state_set_socket_buffer(c->st, c->settings.socket_buffer);
	if (cmd->server != NULL && state_override_address(c->st, cmd->server, err) != 0)
		goto out;
	rc = dispatch(c, err);
out:
	/* The signal thread may still look at c->stop: it ends with the process. */
	state_close(c->st);
	free(c);
	return rc;
}

int
main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct command cmd;

	if (command_system_begin(&argc, &argv, &err) != 0 ||
	    command_parse(argc, argv, &cmd, &err) != 0) {
		fprintf(stderr, "holdfast-agent: %s\n", err.text);
		return 2;
	}
	if (cmd.verb == COMMAND_HELP) {
		fputs(command_help(), stdout);
		fputs(command_system_help, stdout);
		return 0;
	}
	if (cmd.verb == COMMAND_VERSION) {
		puts("holdfast-agent " HOLDFAST_VERSION);
		return 0;
	}
	if (work(&cmd, &err) != 0) {
		fprintf(stderr, "holdfast-agent: %s\n", err.text);
		return 1;
	}
	return 0;
}
