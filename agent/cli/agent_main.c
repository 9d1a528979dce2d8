/* holdfast-agent: see command_help(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/command.h"
#include "agent/cli/command_system.h"
#include "agent/cli/service.h"
#include "agent/host/place.h"
#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "proto/base/log.h"

static int
dispatch(const struct command_context *c, struct err *err)
{
	switch (c->cmd->verb) {
	case COMMAND_ENROLL:
		return command_enroll(c, err);
	case COMMAND_UNENROLL:
		return command_unenroll(c, err);
	case COMMAND_BACKUP:
		return command_backup(c, err);
	case COMMAND_RESTORE:
		return command_restore(c, err);
	case COMMAND_POINTS:
		return command_points(c, err);
	case COMMAND_STATUS:
		return command_status(c, err);
	case COMMAND_VOLUMES:
		return command_volumes(c, err);
	default:
		return command_run(c, err);
	}
}

/*
 * Where it is usual the directory is made as it must be, or put right; where somebody
 * wants it to be he is told what is wrong with it.
 */
static int
open_state(const struct command *cmd, struct state **out, struct err *err)
{
	const char *usual = command_system_state();
	char note[PLACE_NOTE_MAX] = "";
	struct err why = ERR_INIT;

	if (usual != NULL && strcmp(cmd->state_dir, usual) == 0) {
		if (place_make_private(usual, note, err) != 0 ||
		    state_open(usual, out, err) != 0)
			return -1;
	} else {
		if (state_open(cmd->state_dir, out, err) != 0)
			return -1;
		if (place_private(cmd->state_dir, &why) != 0)
			strcpy(note, why.text);
	}
	if (note[0] != '\0' && (cmd->verb == COMMAND_RUN || cmd->verb == COMMAND_SERVICE))
		log_about(LOG_ALARM, LOG_WARN, "%s", note);
	else if (note[0] != '\0')
		command_say(NULL, note);
	return 0;
}

/* Do what `arg`, a struct command, says, until `stop` asks. */
static int
work(void *arg, struct stop *stop, struct err *err)
{
	struct command_context *c = calloc(1, sizeof(*c));
	const struct command *cmd = arg;
	int rc = -1;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	c->cmd = cmd;
	c->stop = stop;
	if (open_state(cmd, &c->st, err) != 0 ||
	    state_machine(cmd->machine_id, c->machine, err) != 0 ||
	    command_settings(c, err) != 0)
		goto out;
	state_set_socket_buffer(c->st, c->settings.socket_buffer);
	state_set_silence(c->st, c->settings.silence_s * 1000);
	if (cmd->server != NULL && state_override_address(c->st, cmd->server, err) != 0)
		goto out;
	rc = dispatch(c, err);
out:
	state_close(c->st);
	free(c);
	return rc;
}

static int
run(struct command *cmd, struct err *err)
{
	struct stop *stop;

	(void)service_take_privileges();
	if (cmd->verb == COMMAND_VSS)
		return command_vss(cmd, err);
	if (cmd->verb == COMMAND_DRIVER)
		return command_driver(cmd, err);
	if (cmd->verb == COMMAND_SERVICE)
		return service_command(cmd, work, cmd, err);
	/* The signal thread looks at it: it ends with the process. */
	if ((stop = stop_new()) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (stop_on_signals(stop, err) != 0)
		return -1;
	return cmd->verb == COMMAND_CLONE ? command_clone(cmd, stop, err)
					  : work(cmd, stop, err);
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
	if (run(&cmd, &err) != 0) {
		fprintf(stderr, "holdfast-agent: %s\n", err.text);
		return 1;
	}
	return 0;
}
