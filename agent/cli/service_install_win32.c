#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "agent/cli/command.h"
#include "agent/cli/command_system.h"
#include "agent/cli/eventlog_win32.h"
#include "agent/cli/service_parts_win32.h"
#include "agent/host/place.h"
#include "agent/host/place_acl_win32.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/winapi.h"

#define NAME L"" SERVICE_NAME
#define DISPLAY L"" SERVICE_DISPLAY
#define DESCRIPTION                                                              \
	L"Backs up this computer's volumes to a Holdfast server. Configured in " \
	L"agent.conf in its state directory."

#define LOOK_MS 100u
#define GONE_MS 30000u	/* Until a service that is deleted is no more. */
#define START_MS 60000u /* Until it runs. */
#define LINE_UNITS 4096u

struct manager {
	SC_HANDLE scm, service;
};

/* Nobody but administrators gets past this. */
static int
denied(DWORD os, const char *what, struct err *err)
{
	if (os == ERROR_ACCESS_DENIED)
		return err_set(err, ERR_DENIED,
		    "%s: only an administrator may: open an elevated shell", what);
	if (os == ERROR_SERVICE_DOES_NOT_EXIST)
		return err_set(err, ERR_NOTFOUND,
		    "no service " SERVICE_NAME ": say service install");
	if (os == ERROR_SERVICE_MARKED_FOR_DELETE)
		return err_set(err, ERR_BUSY,
		    "the service is being removed: close what shows it (services.msc, "
		    "Task "
		    "Manager), try again");
	return winapi_err(err, os, "%s", what);
}

static void
close_all(struct manager *m)
{
	if (m->service != NULL)
		CloseServiceHandle(m->service);
	if (m->scm != NULL)
		CloseServiceHandle(m->scm);
	m->service = m->scm = NULL;
}

static int
open_manager(struct manager *m, DWORD access, struct err *err)
{
	m->service = NULL;
	if ((m->scm = OpenSCManagerW(NULL, NULL, access)) != NULL)
		return 0;
	return denied(GetLastError(), "the service control manager", err);
}

static int
open_service(struct manager *m, DWORD access, struct err *err)
{
	if (open_manager(m, SC_MANAGER_CONNECT, err) != 0)
		return -1;
	if ((m->service = OpenServiceW(m->scm, NAME, access)) != NULL)
		return 0;
	denied(GetLastError(), "the service", err);
	close_all(m);
	return -1;
}

/* ----------------------------------------------------------------- install -- */

/*
 * One word of a command line, quoted: a backslash before a quote doubles
 * (learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments).
 */
static int
add_word(wchar_t *line, const wchar_t *word)
{
	size_t n = wcslen(line), tail = 0, len = wcslen(word);

	if (n + len * 2 + 4 > LINE_UNITS || wcschr(word, L'"') != NULL)
		return -1;
	while (tail < len && word[len - 1 - tail] == L'\\')
		tail++;
	wcscpy(line + n, n > 0 ? L" \"" : L"\"");
	wcscat(line, word);
	while (tail-- > 0)
		wcscat(line, L"\\");
	wcscat(line, L"\"");
	return 0;
}

/* "C:\...\holdfast-agent.exe" service run, and where its state is if not where usual. */
static int
command_line(
    const struct command *cmd, const wchar_t *exe, wchar_t *line, struct err *err)
{
	const char *usual = command_system_state();
	wchar_t *dir = NULL;
	int rc;

	line[0] = L'\0';
	rc = add_word(line, exe);
	wcscat(line, L" service run");
	if (usual == NULL || strcmp(cmd->state_dir, usual) != 0) {
		dir = winapi_wide(cmd->state_dir);
		if (dir == NULL || rc != 0 || add_word(line, L"--state") != 0 ||
		    add_word(line, dir) != 0)
			rc = -1;
	}
	free(dir);
	return rc == 0 ? 0 : err_set(err, ERR_LIMIT, "path too long, or odd");
}

/* One setting of many; old systems (and Wine) lack some. */
static int
set_more(SC_HANDLE service, DWORD level, void *info, const char *what, struct err *err)
{
	DWORD os;

	if (ChangeServiceConfig2W(service, level, info))
		return 0;
	os = GetLastError();
	if (os != ERROR_INVALID_LEVEL && os != ERROR_CALL_NOT_IMPLEMENTED)
		return denied(os, what, err);
	fprintf(stderr, "holdfast-agent: service install: %s: not known to this system\n",
	    what);
	return 0;
}

static int
configure(SC_HANDLE service, struct err *err)
{
	wchar_t text[] = DESCRIPTION;
	SERVICE_DESCRIPTIONW description = { text };
	SERVICE_DELAYED_AUTO_START_INFO delayed = { TRUE };
	/* Restarted after 1, 5, 15 minutes, and then always after 15; forgiven in a day.
	 */
	SC_ACTION actions[] = { { SC_ACTION_RESTART, 60 * 1000 },
		{ SC_ACTION_RESTART, 5 * 60 * 1000 },
		{ SC_ACTION_RESTART, 15 * 60 * 1000 } };
	SERVICE_FAILURE_ACTIONSW failures = {
		.dwResetPeriod = 24 * 3600, .cActions = 3, .lpsaActions = actions
	};
	SERVICE_FAILURE_ACTIONS_FLAG also = { TRUE };
	SERVICE_PRESHUTDOWN_INFO before = { SERVICE_STOP_MS };
	SERVICE_SID_INFO sid = { SERVICE_SID_TYPE_UNRESTRICTED };
	SERVICE_REQUIRED_PRIVILEGES_INFOW privileges = { (
	    wchar_t *)(uintptr_t)service_privileges() };
	const struct {
		DWORD level;
		void *info;
		const char *what;
	} all[] = { { SERVICE_CONFIG_DESCRIPTION, &description, "description" },
		{ SERVICE_CONFIG_DELAYED_AUTO_START_INFO, &delayed, "delayed start" },
		{ SERVICE_CONFIG_FAILURE_ACTIONS, &failures, "recovery actions" },
		{ SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &also, "recovery actions' flag" },
		{ SERVICE_CONFIG_PRESHUTDOWN_INFO, &before, "preshutdown time-out" },
		{ SERVICE_CONFIG_SERVICE_SID_INFO, &sid, "service SID" },
		{ SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, &privileges, "privileges" } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (set_more(service, all[i].level, all[i].info, all[i].what, err) != 0)
			return -1;
	return 0;
}

/* A new service, or the one that is there made like a new one: 1 if it was there. */
static int
create(struct manager *m, const wchar_t *line, struct err *err)
{
	DWORD os;

	m->service = CreateServiceW(m->scm, NAME, DISPLAY, SERVICE_ALL_ACCESS,
	    SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, line,
	    NULL, NULL, NULL, NULL, NULL);
	if (m->service != NULL)
		return 0;
	if ((os = GetLastError()) != ERROR_SERVICE_EXISTS &&
	    os != ERROR_DUPLICATE_SERVICE_NAME)
		return denied(os, "the service", err);
	if ((m->service = OpenServiceW(m->scm, NAME, SERVICE_ALL_ACCESS)) == NULL ||
	    !ChangeServiceConfigW(m->service, SERVICE_WIN32_OWN_PROCESS,
		SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, line, NULL, NULL, L"",
		L"LocalSystem", NULL, DISPLAY))
		return denied(GetLastError(), "the service", err);
	return 1;
}

/* Good enough for who installs it, but not for LocalSystem. */
static void
warn_of_owner(const wchar_t *exe)
{
	HANDLE h = CreateFileW(exe, READ_CONTROL, FILE_SHARE_READ | FILE_SHARE_DELETE,
	    NULL, OPEN_EXISTING, 0, NULL);

	if (h == INVALID_HANDLE_VALUE)
		return;
	if (!place_acl_official(h))
		command_say(NULL,
		    "the program belongs to one person, who could change what "
		    "then runs with all rights: better in C:\\Program Files");
	CloseHandle(h);
}

/*
 * The program must be nobody's to change.  `exe` becomes where it really lies: a link on
 * the way to it could lead elsewhere tomorrow.
 */
static int
check_program(wchar_t exe[LINE_UNITS], struct err *err)
{
	char real[PLACE_PATH_MAX], *utf8 = winapi_utf8(exe);
	wchar_t *wide = NULL;
	int rc = -1;

	if (utf8 == NULL)
		err_set(err, ERR_NOMEM, "out of memory");
	else if (place_trusted(utf8, real, err) != 0)
		err_context(err, "the program would run with all rights");
	else if ((wide = winapi_wide(real)) == NULL || wcslen(wide) >= LINE_UNITS)
		err_set(err, ERR_LIMIT, "%s: path too long", utf8);
	else
		rc = 0;
	if (rc == 0) {
		wcscpy(exe, wide);
		warn_of_owner(exe);
	}
	free(wide);
	free(utf8);
	return rc;
}

/* And so must the state: its agent.conf and server say what goes to whom. */
static int
check_state(const struct command *cmd, struct err *err)
{
	const char *usual = command_system_state();
	char note[PLACE_NOTE_MAX];
	enum file_kind kind;
	int rc;

	if (usual == NULL || strcmp(cmd->state_dir, usual) != 0) {
		if (file_kind(cmd->state_dir, &kind, err) != 0)
			return -1;
		/* Made by the service one that is missing is private. */
		return kind == FILE_IS_NOTHING ? 0 : place_private(cmd->state_dir, err);
	}
	rc = place_make_private(cmd->state_dir, note, err);
	if (note[0] != '\0')
		command_say(NULL, note);
	return rc;
}

int
service_install(const struct command *cmd, struct err *err)
{
	wchar_t *line = malloc(LINE_UNITS * 2 * sizeof(*line));
	struct manager m = { NULL, NULL };
	wchar_t *exe = line != NULL ? line + LINE_UNITS : NULL;
	int was = -1;

	if (line == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (GetModuleFileNameW(NULL, exe, LINE_UNITS) == 0)
		winapi_err(err, GetLastError(), "this program's path");
	else if (open_manager(&m, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE, err) ==
		     0 &&
		 check_program(exe, err) == 0 && check_state(cmd, err) == 0 &&
		 command_line(cmd, exe, line, err) == 0 &&
		 (was = create(&m, line, err)) >= 0 &&
		 (configure(m.service, err) != 0 || eventlog_install(exe, err) != 0))
		was = -1;
	close_all(&m);
	free(line);
	if (was < 0)
		return -1;
	printf("service " SERVICE_NAME " %s\n",
	    was ? "updated; what changed counts from its "
		  "next start"
		: "installed");
	return 0;
}

/* ---------------------------------------------------------- start and stop -- */

static int
query(struct manager *m, SERVICE_STATUS_PROCESS *s, struct err *err)
{
	DWORD len;

	if (QueryServiceStatusEx(
		m->service, SC_STATUS_PROCESS_INFO, (BYTE *)s, sizeof(*s), &len))
		return 0;
	return winapi_err(err, GetLastError(), "the service's state");
}

/* Until it is no more what it is; *s is what it is then. */
static int
wait_while(
    struct manager *m, DWORD state, DWORD ms, SERVICE_STATUS_PROCESS *s, struct err *err)
{
	const ULONGLONG until = GetTickCount64() + ms;

	for (;;) {
		if (query(m, s, err) != 0)
			return -1;
		if (s->dwCurrentState != state)
			return 0;
		if (GetTickCount64() > until)
			return err_set(err, ERR_TIMEOUT, "still %s after %lu s",
			    state == SERVICE_START_PENDING ? "starting" : "stopping",
			    ms / 1000);
		Sleep(LOOK_MS);
	}
}

int
service_start(const struct command *cmd, struct err *err)
{
	struct manager m;
	SERVICE_STATUS_PROCESS s;
	DWORD os;
	int rc = -1;

	(void)cmd;
	if (open_service(&m, SERVICE_START | SERVICE_QUERY_STATUS, err) != 0)
		return -1;
	if (!StartServiceW(m.service, 0, NULL) &&
	    (os = GetLastError()) != ERROR_SERVICE_ALREADY_RUNNING)
		denied(os, "the service", err);
	else if (wait_while(&m, SERVICE_START_PENDING, START_MS, &s, err) == 0)
		rc = s.dwCurrentState == SERVICE_RUNNING
			 ? 0
			 : err_set(err, ERR_IO,
			       "it stopped at once (code %lu, %lu): see the Event Log, "
			       "source " SERVICE_NAME,
			       s.dwWin32ExitCode, s.dwServiceSpecificExitCode);
	close_all(&m);
	if (rc == 0)
		puts("service " SERVICE_NAME " runs");
	return rc;
}

/* Stopped, and its process gone; fine if it was already. */
static int
stop(struct manager *m, struct err *err)
{
	SERVICE_STATUS_PROCESS s;
	SERVICE_STATUS ignored;
	HANDLE process = NULL;
	DWORD os;
	int rc;

	if (query(m, &s, err) != 0)
		return -1;
	if (s.dwProcessId != 0)
		process = OpenProcess(SYNCHRONIZE, FALSE, s.dwProcessId);
	if (!ControlService(m->service, SERVICE_CONTROL_STOP, &ignored) &&
	    (os = GetLastError()) != ERROR_SERVICE_NOT_ACTIVE &&
	    os != ERROR_SERVICE_CANNOT_ACCEPT_CTRL)
		rc = denied(os, "the service", err);
	else if ((rc = wait_while(m, SERVICE_STOP_PENDING, SERVICE_STOP_MS, &s, err)) ==
		     0 &&
		 s.dwCurrentState != SERVICE_STOPPED)
		rc = err_set(err, ERR_BUSY, "it does not take a stop now (state %lu)",
		    s.dwCurrentState);
	if (rc == 0 && process != NULL)
		(void)WaitForSingleObject(process, GONE_MS);
	if (process != NULL)
		CloseHandle(process);
	return rc;
}

int
service_stop(const struct command *cmd, struct err *err)
{
	struct manager m;
	int rc;

	(void)cmd;
	if (open_service(&m, SERVICE_STOP | SERVICE_QUERY_STATUS, err) != 0)
		return -1;
	rc = stop(&m, err);
	close_all(&m);
	if (rc == 0)
		puts("service " SERVICE_NAME " stopped");
	return rc;
}

/* --------------------------------------------------------------- uninstall -- */

/* The manager forgets it when the last handle is closed, ours and others'. */
static int
wait_gone(struct err *err)
{
	const ULONGLONG until = GetTickCount64() + GONE_MS;
	struct manager m;
	struct err why;

	for (;;) {
		why = (struct err)ERR_INIT;
		if (open_service(&m, SERVICE_QUERY_STATUS, &why) != 0 &&
		    why.code == ERR_NOTFOUND)
			return 0;
		close_all(&m);
		if (GetTickCount64() > until)
			return denied(
			    ERROR_SERVICE_MARKED_FOR_DELETE, "the service", err);
		Sleep(LOOK_MS);
	}
}

int
service_uninstall(const struct command *cmd, struct err *err)
{
	struct manager m;
	int rc = -1;

	(void)cmd;
	if (open_service(&m, SERVICE_STOP | SERVICE_QUERY_STATUS | DELETE, err) != 0) {
		if (err->code != ERR_NOTFOUND)
			return -1;
		err_clear(err);
		if (eventlog_uninstall(err) != 0)
			return -1;
		puts("no service " SERVICE_NAME);
		return 0;
	}
	if (stop(&m, err) == 0)
		rc = DeleteService(m.service) ||
			     GetLastError() == ERROR_SERVICE_MARKED_FOR_DELETE
			 ? 0
			 : denied(GetLastError(), "the service", err);
	close_all(&m);
	if (rc != 0 || wait_gone(err) != 0 || eventlog_uninstall(err) != 0)
		return -1;
	puts("service " SERVICE_NAME " removed; its state directory stays");
	return 0;
}
