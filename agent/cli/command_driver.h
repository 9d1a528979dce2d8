/*
 * command_driver.h - the hot-copy driver becomes a part of this system, and no part of it
 * any more (command_driver_SYSTEM.c), and how it is.
 *
 * The first two say on standard output what is to be done now; ERR_UNSUPPORTED: not on
 * Linux.
 */
#ifndef AGENT_CLI_COMMAND_DRIVER_H
#define AGENT_CLI_COMMAND_DRIVER_H

struct err;

/* hotcopy.sys of the directory `dir`; NULL: from beside this program. */
int command_driver_install(const char *dir, struct err *err);
int command_driver_remove(struct err *err);

/*
 * The driver and its volumes, or the one that `path` names; NULL, and on Linux
 * "hotcopy:SOCKET": all.  ERR_UNSUPPORTED: there is none.
 */
int command_driver_status(const char *path, int json, struct err *err);

#endif /* AGENT_CLI_COMMAND_DRIVER_H */
