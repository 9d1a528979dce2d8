#include "agent/cli/service.h"

#include "agent/cli/command.h"
#include "proto/base/err.h"

int
service_command(const struct command *cmd, service_work *work, void *arg, struct err *err)
{
	(void)work;
	(void)arg;
	return err_set(err, ERR_UNSUPPORTED,
	    "service %s: only on Windows; here systemd does it: systemctl enable --now "
	    "holdfast-agent",
	    cmd->action);
}

void
service_ready(void)
{
}

unsigned
service_take_privileges(void)
{
	return 0;
}
