#include "agent/cli/command.h"

#include "proto/base/err.h"

int
command_settings(struct command_context *c, struct err *err)
{
	const struct command *cmd = c->cmd;
	char path[STATE_PATH_MAX];
	unsigned i;

	settings_init(&c->settings);
	if (state_path(c->st, "agent.conf", path, err) != 0 ||
	    settings_load(&c->settings, path, err) != 0)
		return -1;
	if (cmd->verb == COMMAND_BACKUP && cmd->volumes_count + cmd->disks_count > 0) {
		c->settings.count = c->settings.disks_count = 0;
		c->settings.include[0] = '\0';
	}
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
