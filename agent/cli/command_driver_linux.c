#include "agent/cli/command_driver.h"
#include "proto/base/err.h"

int
command_driver_install(const char *dir, struct err *err)
{
	(void)dir;
	return err_set(
	    err, ERR_UNSUPPORTED, "driver install: hotcopy.sys is for Windows");
}

int
command_driver_remove(struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, "driver remove: hotcopy.sys is for Windows");
}
