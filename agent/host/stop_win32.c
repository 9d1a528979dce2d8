#include <windows.h>

#include <stddef.h>

#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

/* Whom the console asks.  Set once, before anything can be asked. */
static struct stop *asked_by_console;
static volatile LONG times;

/* On a thread that the system makes for it. */
static BOOL WINAPI
console(DWORD what)
{
	DWORD session;

	/*
	 * In the services' session it comes when anybody logs off, which is no concern of
	 * a scheduled task (learn.microsoft.com/windows/console/handlerroutine).
	 */
	if (what == CTRL_LOGOFF_EVENT &&
	    ProcessIdToSessionId(GetCurrentProcessId(), &session) && session == 0)
		return TRUE;
	/* A second Ctrl-C does not wait for what is under way. */
	if ((what == CTRL_C_EVENT || what == CTRL_BREAK_EVENT) &&
	    InterlockedIncrement(&times) > 1)
		ExitProcess(130);
	stop_request(asked_by_console);
	/*
	 * When this returns from the others the process is ended at once; the system
	 * gives it some seconds (5 for a closed window) while it does not.
	 */
	if (what != CTRL_C_EVENT && what != CTRL_BREAK_EVENT)
		Sleep(INFINITE);
	return TRUE;
}

int
stop_on_signals(struct stop *s, struct err *err)
{
	asked_by_console = s;
	/* Whoever started us may have made us deaf to Ctrl-C. */
	(void)SetConsoleCtrlHandler(NULL, FALSE);
	if (!SetConsoleCtrlHandler(console, TRUE))
		return winapi_err(err, GetLastError(), "console control handler");
	return 0;
}
