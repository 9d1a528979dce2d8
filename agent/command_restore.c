#include "agent/command.h"
#include "proto/base/err.h"

int
command_restore(const struct command_context *c, struct err *err)
{
	(void)c;
	return err_set(err, ERR_UNSUPPORTED, "restore: not yet");
}
