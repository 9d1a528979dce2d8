/*
 * service_parts_win32.h - between the files of the Windows service.
 */
#ifndef AGENT_CLI_SERVICE_PARTS_WIN32_H
#define AGENT_CLI_SERVICE_PARTS_WIN32_H

#include <stddef.h>

#include "agent/cli/service.h"

struct command;
struct err;

/* The words of `service`: each prints what it did. */
int service_install(const struct command *cmd, struct err *err);
int service_uninstall(const struct command *cmd, struct err *err);
int service_start(const struct command *cmd, struct err *err);
int service_stop(const struct command *cmd, struct err *err);

/* The privileges that the service keeps: a multi-string. */
const wchar_t *service_privileges(void);

#endif /* AGENT_CLI_SERVICE_PARTS_WIN32_H */
