#include "agent/cli/command_driver.h"

#include <string.h>

#include "agent/cli/command.h"

int
command_driver(const struct command *cmd, struct err *err)
{
	if (strcmp(cmd->action, "install") == 0)
		return command_driver_install(cmd->dir, err);
	if (strcmp(cmd->action, "status") == 0)
		return command_driver_status(cmd->driver, cmd->json, err);
	return command_driver_remove(err);
}
