/*
 * service.h - the agent as a Windows service (`holdfast-agent service ...`).
 *
 * Order: agent_main.c reads the command line; for COMMAND_SERVICE it calls
 * service_command(), which installs, removes, starts, stops, or, as the process that
 * the service control manager started, runs `work` under its control.  Linux has
 * systemd for all this: every word there is ERR_UNSUPPORTED (service_linux.c).
 */
#ifndef AGENT_CLI_SERVICE_H
#define AGENT_CLI_SERVICE_H

#include <stdint.h>

struct command;
struct err;
struct stop;

#define SERVICE_NAME "Holdfast"
#define SERVICE_DISPLAY "Holdfast backup agent"

/* How long a stop may take: told to the manager as the preshutdown time-out, too. */
#define SERVICE_STOP_MS (3u * 60 * 1000)

/*
 * What the service does, until `stop` asks.  It calls service_ready() once it is
 * really able to work; until then the service is "starting".
 */
typedef int service_work(void *arg, struct stop *stop, struct err *err);

/* Do what `cmd->action` says: install, uninstall, start, stop, run. */
int service_command(
    const struct command *cmd, service_work *work, void *arg, struct err *err);

/* From `work`, any number of times; nothing where no service runs. */
void service_ready(void);

/*
 * Switch on the privileges that a backup or a restore needs and this process has; how
 * many of them it lacks.  They are off in an administrator's shell, too.
 */
unsigned service_take_privileges(void);

#endif /* AGENT_CLI_SERVICE_H */
