#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/command.h"
#include "agent/cli/eventlog_win32.h"
#include "agent/cli/service.h"
#include "agent/cli/service_parts_win32.h"
#include "agent/host/logfile.h"
#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "proto/base/log.h"
#include "proto/base/winapi.h"

/*
 * While it starts or stops the manager hears this often that something moves; what it
 * is told to expect is longer, for a machine that is busy.
 * learn.microsoft.com/windows/win32/services/service-status-transitions
 */
#define PULSE_MS 2000u
#define HINT_MS 20000u

#define ACCEPTED                                                                      \
	(SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PRESHUTDOWN | \
	    SERVICE_ACCEPT_POWEREVENT)

/*
 *	START_PENDING --service_ready()--> RUNNING --stop, shutdown--> STOP_PENDING
 *	      |                               |                             |
 *	      +------------- work ended: STOPPED, 0 or an error code -------+
 */
struct service {
	CRITICAL_SECTION lock; /* Guards the status. */
	SERVICE_STATUS status;
	SERVICE_STATUS_HANDLE handle;
	ULONGLONG stop_asked_at; /* GetTickCount64(); 0: not. */
	HANDLE done;		 /* The pulse ends. */
	const struct command *cmd;
	service_work *work;
	void *arg;
	struct stop *stop;
	CRITICAL_SECTION log_lock; /* Guards what follows. */
	struct eventlog *events;
	struct logfile *file;
};

/* One process is one service. */
static struct service the;

/* -------------------------------------------------------------- the status -- */

/* The lock is held. */
static void
tell(DWORD state)
{
	SERVICE_STATUS *s = &the.status;

	s->dwCheckPoint = state == s->dwCurrentState && state != SERVICE_RUNNING
			      ? s->dwCheckPoint + 1
			      : 0;
	s->dwCurrentState = state;
	s->dwControlsAccepted = state == SERVICE_RUNNING ? ACCEPTED : 0;
	s->dwWaitHint =
	    state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING ? HINT_MS : 0;
	(void)SetServiceStatus(the.handle, s);
}

static void
set_state(DWORD state)
{
	EnterCriticalSection(&the.lock);
	tell(state);
	LeaveCriticalSection(&the.lock);
}

void
service_ready(void)
{
	if (the.handle == NULL)
		return;
	EnterCriticalSection(&the.lock);
	if (the.status.dwCurrentState == SERVICE_START_PENDING)
		tell(SERVICE_RUNNING);
	LeaveCriticalSection(&the.lock);
}

static DWORD WINAPI
pulse(void *arg)
{
	DWORD state;

	(void)arg;
	while (WaitForSingleObject(the.done, PULSE_MS) == WAIT_TIMEOUT) {
		EnterCriticalSection(&the.lock);
		state = the.status.dwCurrentState;
		/* A stop that takes too long shall look like one. */
		if (state == SERVICE_START_PENDING ||
		    (state == SERVICE_STOP_PENDING &&
			GetTickCount64() - the.stop_asked_at < SERVICE_STOP_MS))
			tell(state);
		LeaveCriticalSection(&the.lock);
	}
	return 0;
}

/* ------------------------------------------------------------ its controls -- */

static void
on_stop(const char *why)
{
	EnterCriticalSection(&the.lock);
	if (the.stop_asked_at == 0)
		the.stop_asked_at = GetTickCount64();
	if (the.status.dwCurrentState != SERVICE_STOPPED)
		tell(SERVICE_STOP_PENDING);
	LeaveCriticalSection(&the.lock);
	log_event(LOG_INFO, "%s", why);
	stop_request(the.stop);
}

static void
on_power(DWORD event)
{
	if (event == PBT_APMSUSPEND)
		log_event(LOG_INFO, "the machine goes to sleep");
	else if (event == PBT_APMRESUMEAUTOMATIC)
		log_event(LOG_INFO,
		    "the machine woke up; a backup under way goes on by a new session");
}

static DWORD WINAPI
on_control(DWORD control, DWORD event, void *data, void *arg)
{
	(void)data;
	(void)arg;
	switch (control) {
	case SERVICE_CONTROL_STOP:
		on_stop("told to stop");
		return NO_ERROR;
	case SERVICE_CONTROL_SHUTDOWN:
	case SERVICE_CONTROL_PRESHUTDOWN:
		on_stop("the system shuts down");
		return NO_ERROR;
	case SERVICE_CONTROL_POWEREVENT:
		on_power(event);
		return NO_ERROR;
	case SERVICE_CONTROL_INTERROGATE:
		return NO_ERROR;
	default:
		return ERROR_CALL_NOT_IMPLEMENTED;
	}
}

/* -------------------------------------------------------------------- run -- */

static void
on_entry(void *arg, const struct log_entry *e)
{
	(void)arg;
	EnterCriticalSection(&the.log_lock);
	if (the.file != NULL)
		logfile_write(the.file, e->line, e->line_len);
	eventlog_write(the.events, e);
	LeaveCriticalSection(&the.log_lock);
}

/* The file is a convenience: without it the Event Log has what matters. */
static void
open_logs(void)
{
	struct err err = ERR_INIT;
	char dir[4096];

	the.events = eventlog_open();
	log_to(on_entry, NULL);
	(void)snprintf(dir, sizeof(dir), "%s\\log", the.cmd->state_dir);
	if (logfile_open(dir, 0, &the.file, &err) != 0) {
		the.file = NULL;
		log_event(LOG_WARN, "no log file: %s", err.text);
	}
}

/* The manager's thread may still have a control to tell of. */
static void
close_logs(void)
{
	EnterCriticalSection(&the.log_lock);
	logfile_close(the.file);
	eventlog_close(the.events);
	the.file = NULL;
	the.events = NULL;
	LeaveCriticalSection(&the.log_lock);
}

/* What the manager shall know of how it went. */
static void
finish(int rc, const struct err *err)
{
	EnterCriticalSection(&the.lock);
	if (rc != 0) {
		the.status.dwWin32ExitCode = ERROR_SERVICE_SPECIFIC_ERROR;
		the.status.dwServiceSpecificExitCode = (DWORD)err->code;
	}
	tell(SERVICE_STOPPED);
	LeaveCriticalSection(&the.lock);
}

static void WINAPI
service_main(DWORD argc, wchar_t **argv)
{
	struct err err = ERR_INIT;
	HANDLE beat;
	int rc;

	(void)argc;
	(void)argv;
	the.handle = RegisterServiceCtrlHandlerExW(L"" SERVICE_NAME, on_control, NULL);
	if (the.handle == NULL)
		return;
	set_state(SERVICE_START_PENDING);
	beat = CreateThread(NULL, 0, pulse, NULL, 0, NULL);
	open_logs();
	if (service_take_privileges() > 0)
		log_event(LOG_WARN, "not all privileges that a backup may need are here");
	rc = the.work(the.arg, the.stop, &err);
	if (rc != 0 && stop_asked(the.stop)) {
		log_event(LOG_WARN, "%s", err.text);
		rc = 0;
	} else if (rc != 0) {
		log_event(LOG_ERROR, "stopped: %s", err.text);
	}
	SetEvent(the.done);
	if (beat != NULL) {
		WaitForSingleObject(beat, INFINITE);
		CloseHandle(beat);
	}
	close_logs();
	finish(rc, &err);
}

static int
run(const struct command *cmd, service_work *work, void *arg, struct err *err)
{
	wchar_t name[] = L"" SERVICE_NAME;
	const SERVICE_TABLE_ENTRYW table[] = { { name, service_main }, { NULL, NULL } };
	DWORD os;

	InitializeCriticalSection(&the.lock);
	InitializeCriticalSection(&the.log_lock);
	the.status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
	the.cmd = cmd;
	the.work = work;
	the.arg = arg;
	the.done = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (the.done == NULL || (the.stop = stop_new()) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (StartServiceCtrlDispatcherW(table))
		return 0;
	os = GetLastError();
	if (os == ERROR_FAILED_SERVICE_CONTROLLER_CONNECT)
		return err_set(err, ERR_UNSUPPORTED,
		    "service run: for the service control manager; say `service start`, "
		    "or `run` to have it here");
	return winapi_err(err, os, "service run");
}

int
service_command(const struct command *cmd, service_work *work, void *arg, struct err *err)
{
	static const struct {
		const char *word;
		int (*fn)(const struct command *cmd, struct err *err);
	} words[] = { { "install", service_install }, { "uninstall", service_uninstall },
		{ "start", service_start }, { "stop", service_stop } };

	if (strcmp(cmd->action, "run") == 0)
		return run(cmd, work, arg, err);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(cmd->action, words[i].word) == 0)
			return words[i].fn(cmd, err) == 0
				   ? 0
				   : err_context(err, "service %s", cmd->action);
	return err_set(err, ERR_UNSUPPORTED,
	    "service %s: say install, uninstall, start, stop or run", cmd->action);
}
