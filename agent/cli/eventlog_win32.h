/*
 * eventlog_win32.h - Windows' Event Log: source Holdfast in the log Application.
 *
 * The texts are a message table in the program itself (eventlog_messages.mc), found by
 * the source's registry key, which the service's installation makes.  What the log's
 * topics become, and which lines stay out: docs/windows.md, "Service".
 */
#ifndef AGENT_CLI_EVENTLOG_WIN32_H
#define AGENT_CLI_EVENTLOG_WIN32_H

#include <stddef.h>

struct err;
struct eventlog;
struct log_entry;

/* Register the source for the program at `exe`, or take it away; none is fine. */
int eventlog_install(const wchar_t *exe, struct err *err);
int eventlog_uninstall(struct err *err);

/* For writing.  NULL if the log service is not there: then there is nothing to tell it.
 */
struct eventlog *eventlog_open(void);
void eventlog_close(struct eventlog *l);

/* From any thread.  `l` may be NULL. */
void eventlog_write(struct eventlog *l, const struct log_entry *e);

#endif /* AGENT_CLI_EVENTLOG_WIN32_H */
