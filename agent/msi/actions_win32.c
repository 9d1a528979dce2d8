/*
 * What the MSI does beside laying out files: a DLL inside of it that runs
 * holdfast-agent, which alone knows how its service and its enrolment are made.
 * A DLL and not just command lines, since the token must appear in no list of processes
 * and no log: it goes to the agent's standard input.
 *
 * actions_plan runs as the user who installs and decides; it leaves in one property for
 * each later action what to run.  These run in the transaction, as the system, and see
 * nothing but CustomActionData ("Obtaining Context Information for Deferred Execution
 * Custom Actions", Microsoft Learn): lines "program", "arguments", "input".
 */
#include <windows.h>

#include <msi.h>
#include <msiquery.h>
#include <shlobj.h>
#include <wchar.h>

#define VALUE_MAX 1024u
#define DATA_MAX (4u * VALUE_MAX)
#define LINE_MAX 1024u
/* Longer than any command of the agent's takes: its service may stop for 3 minutes. */
#define RUN_MS (10u * 60 * 1000)
#define LOOK_MS 100u
/* Row of the table Error (tables.py); 25000 to 30000 are for custom actions. */
#define ERROR_ROW 25001

#define ACTION __declspec(dllexport) UINT WINAPI

ACTION actions_plan(MSIHANDLE install);
ACTION actions_run(MSIHANDLE install);
ACTION actions_configure(MSIHANDLE install);

/* ------------------------------------------------------------------ words -- */

/* A line for the log, or (INSTALLMESSAGE_ERROR) for log, Event Log and screen. */
static void
say(MSIHANDLE install, INSTALLMESSAGE kind, const wchar_t *text)
{
	MSIHANDLE record = MsiCreateRecord(2);

	if (record == 0)
		return;
	if (kind == INSTALLMESSAGE_ERROR) {
		MsiRecordSetInteger(record, 1, ERROR_ROW);
		MsiRecordSetStringW(record, 2, text);
	} else {
		MsiRecordSetStringW(record, 0, L"Holdfast: [1]");
		MsiRecordSetStringW(record, 1, text);
	}
	MsiProcessMessage(install, kind, record);
	MsiCloseHandle(record);
}

static UINT
refuse(MSIHANDLE install, const wchar_t *text)
{
	say(install, INSTALLMESSAGE_ERROR, text);
	return ERROR_INSTALL_FAILURE;
}

/* A property; 0 if it is too long for us. */
static int
get(MSIHANDLE install, const wchar_t *name, wchar_t *out, DWORD max)
{
	DWORD len = max;

	out[0] = 0;
	return MsiGetPropertyW(install, name, out, &len) == ERROR_SUCCESS;
}

/* Append; 0 if it does not fit. */
static int
put(wchar_t *data, const wchar_t *text)
{
	if (wcslen(data) + wcslen(text) >= DATA_MAX)
		return 0;
	wcscat(data, text);
	return 1;
}

/* ------------------------------------------------------------------- plan -- */

/* What becomes of the service: absent, running, stopped or disabled. */
static const wchar_t *
service_now(void)
{
	union {
		QUERY_SERVICE_CONFIGW config;
		BYTE room[8192];
	} q;
	const wchar_t *now = L"absent";
	SERVICE_STATUS status;
	SC_HANDLE manager, service;
	DWORD need;

	if ((manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT)) == NULL)
		return now;
	service = OpenServiceW(
	    manager, L"Holdfast", SERVICE_QUERY_STATUS | SERVICE_QUERY_CONFIG);
	if (service != NULL) {
		now = L"stopped";
		if (QueryServiceStatus(service, &status) &&
		    status.dwCurrentState != SERVICE_STOPPED)
			now = L"running";
		else if (QueryServiceConfigW(service, &q.config, sizeof(q), &need) &&
			 q.config.dwStartType == SERVICE_DISABLED)
			now = L"disabled";
		CloseServiceHandle(service);
	}
	CloseServiceHandle(manager);
	return now;
}

/* What becomes part of a command line must need no escaping. */
static int
plain(const wchar_t *text)
{
	size_t len = wcslen(text);

	return wcspbrk(text, L"\"\r\n") == NULL && (len == 0 || text[len - 1] != L'\\');
}

/* Have `action` run the installed agent. */
static int
plan_run(MSIHANDLE install, const wchar_t *action, const wchar_t *dir,
    const wchar_t *arguments, const wchar_t *input)
{
	wchar_t data[DATA_MAX] = L"";
	int fits;

	fits = put(data, dir) && put(data, L"holdfast-agent.exe\n") &&
	       put(data, arguments) && put(data, L"\n") && put(data, input);
	if (fits)
		fits = MsiSetPropertyW(install, action, data) == ERROR_SUCCESS;
	SecureZeroMemory(data, sizeof(data));
	return fits;
}

struct wish {
	wchar_t dir[VALUE_MAX], token[VALUE_MAX], file[VALUE_MAX], server[VALUE_MAX];
	wchar_t name[VALUE_MAX], enroll[VALUE_MAX], config[VALUE_MAX];
};

static int
plan_enrolment(MSIHANDLE install, const struct wish *w)
{
	wchar_t line[DATA_MAX] = L"enroll --unless-enrolled";

	/* A roll-out does not wait long for a host whose server is away: `run` goes on.
	 */
	if (!put(line, _wcsicmp(w->enroll, L"required") == 0 ? L" --retry-for 60s"
		       : _wcsicmp(w->enroll, L"later") == 0
			   ? L" --later"
			   : L" --or-later --retry-for 20s"))
		return 0;
	if (w->server[0] != 0 &&
	    !(put(line, L" --server \"") && put(line, w->server) && put(line, L"\"")))
		return 0;
	if (w->name[0] != 0 &&
	    !(put(line, L" --name \"") && put(line, w->name) && put(line, L"\"")))
		return 0;
	if (w->file[0] != 0 ? !(put(line, L" --token-file \"") && put(line, w->file) &&
				  put(line, L"\""))
			    : !put(line, L" -"))
		return 0;
	return plan_run(install, L"EnrollHost", w->dir, line, w->token);
}

static int
plan_all(MSIHANDLE install, const struct wish *w)
{
	static const struct {
		const wchar_t *action, *arguments;
	} runs[] = { { L"RegisterService", L"service install" },
		{ L"RegisterServiceUndo", L"service uninstall" },
		{ L"StartService", L"service start" },
		{ L"StopService", L"service stop" },
		{ L"StopServiceUndo", L"service start" },
		{ L"UnregisterService", L"service uninstall" },
		{ L"UnregisterServiceUndo", L"service install" },
		{ L"ForgetHost", L"unenroll" },
		{ L"RemoveDriver", L"driver remove" } };
	size_t i;

	for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		if (!plan_run(install, runs[i].action, w->dir, runs[i].arguments, L""))
			return 0;
	if (MsiSetPropertyW(install, L"CopyConfig", w->config) != ERROR_SUCCESS ||
	    MsiSetPropertyW(install, L"HOLDFAST_SERVICE", service_now()) != ERROR_SUCCESS)
		return 0;
	return (w->token[0] == 0 && w->file[0] == 0) || plan_enrolment(install, w);
}

ACTION
actions_plan(MSIHANDLE install)
{
	static struct wish w;
	const wchar_t *bad = NULL;

	if (!get(install, L"INSTALLDIR", w.dir, VALUE_MAX) ||
	    !get(install, L"TOKEN", w.token, VALUE_MAX) ||
	    !get(install, L"TOKENFILE", w.file, VALUE_MAX) ||
	    !get(install, L"SERVER", w.server, VALUE_MAX) ||
	    !get(install, L"NAME", w.name, VALUE_MAX) ||
	    !get(install, L"ENROLL", w.enroll, VALUE_MAX) ||
	    !get(install, L"CONFIG", w.config, VALUE_MAX))
		bad = L"a property is longer than 1000 characters";
	else if (w.token[0] != 0 && w.file[0] != 0)
		bad = L"TOKEN and TOKENFILE: give one of them";
	else if (!plain(w.token) || !plain(w.file) || !plain(w.server) || !plain(w.name))
		bad = L"TOKEN, TOKENFILE, SERVER, NAME: no quotes, no line ends, no "
		      L"backslash at the end";
	else if (_wcsicmp(w.enroll, L"try") != 0 &&
		 _wcsicmp(w.enroll, L"required") != 0 &&
		 _wcsicmp(w.enroll, L"later") != 0)
		bad = L"ENROLL is try, required or later";
	else if (_wcsicmp(w.enroll, L"required") == 0 && w.token[0] == 0 &&
		 w.file[0] == 0)
		bad = L"ENROLL=required needs TOKEN or TOKENFILE";
	else if (!plan_all(install, &w))
		bad = L"the properties together are too long";
	if (bad == NULL && w.token[0] + w.file[0] + w.config[0] != 0 &&
	    get(install, L"Installed", w.enroll, VALUE_MAX) && w.enroll[0] != 0)
		say(install, INSTALLMESSAGE_INFO,
		    L"installed already: TOKEN, TOKENFILE and CONFIG are ignored, since "
		    L"any "
		    L"user may repair; say holdfast-agent enroll");
	SecureZeroMemory(w.token, sizeof(w.token));
	return bad != NULL ? refuse(install, bad) : ERROR_SUCCESS;
}

/* -------------------------------------------------------------------- run -- */

/* A pipe of which the child gets one end: `ours` is 0 (we read) or 1 (we write). */
static int
pipe_for_child(HANDLE ends[2], int ours)
{
	SECURITY_ATTRIBUTES inherited = { sizeof(inherited), NULL, TRUE };

	return CreatePipe(&ends[0], &ends[1], &inherited, 64u * 1024) &&
	       SetHandleInformation(ends[ours], HANDLE_FLAG_INHERIT, 0);
}

static void
close_both(HANDLE ends[2])
{
	if (ends[0] != NULL)
		CloseHandle(ends[0]);
	if (ends[1] != NULL)
		CloseHandle(ends[1]);
	ends[0] = ends[1] = NULL;
}

/* A line of the program's output, cut where it is too long; `last` keeps the last one. */
struct output {
	char line[LINE_MAX];
	size_t len;
	wchar_t last[LINE_MAX];
};

static void
take_output(MSIHANDLE install, struct output *o, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] != '\n' && p[i] != '\r') {
			if (o->len < sizeof(o->line) - 1)
				o->line[o->len++] = p[i];
			continue;
		}
		o->line[o->len] = '\0';
		if (o->len > 0 &&
		    MultiByteToWideChar(CP_UTF8, 0, o->line, -1, o->last, LINE_MAX) > 0)
			say(install, INSTALLMESSAGE_INFO, o->last);
		o->len = 0;
	}
}

/*
 * Log what it says until it ends.  Not until the pipe does: what it has started may hold
 * that open.  0 if it did not end in time.
 */
static int
follow(MSIHANDLE install, HANDLE process, HANDLE from, struct output *o)
{
	const ULONGLONG until = GetTickCount64() + RUN_MS;
	char some[512];
	DWORD there, got;
	int ended;

	do {
		ended = WaitForSingleObject(process, LOOK_MS) == WAIT_OBJECT_0;
		while (PeekNamedPipe(from, NULL, 0, NULL, &there, NULL) && there > 0 &&
		       ReadFile(from, some, sizeof(some), &got, NULL) && got > 0)
			take_output(install, o, some, got);
	} while (!ended && GetTickCount64() < until);
	take_output(install, o, "\n", 1);
	return ended;
}

/* Run it to its end; -1 if it could not be started or did not end. */
static long
run(MSIHANDLE install, const wchar_t *program, wchar_t *command, const char *input,
    struct output *o)
{
	HANDLE in[2] = { NULL, NULL }, out[2] = { NULL, NULL };
	STARTUPINFOW start = { .cb = sizeof(start), .dwFlags = STARTF_USESTDHANDLES };
	PROCESS_INFORMATION child = { 0 };
	DWORD done, code = 0;
	long rc = -1;

	if (!pipe_for_child(in, 1) || !pipe_for_child(out, 0))
		goto out;
	start.hStdInput = in[0];
	start.hStdOutput = start.hStdError = out[1];
	if (!CreateProcessW(program, command, NULL, NULL, TRUE, CREATE_NO_WINDOW, NULL,
		NULL, &start, &child))
		goto out;
	CloseHandle(in[0]);
	CloseHandle(out[1]);
	in[0] = out[1] = NULL;
	/* Less than the pipe holds: nobody waits. */
	WriteFile(in[1], input, (DWORD)strlen(input), &done, NULL);
	CloseHandle(in[1]);
	in[1] = NULL;
	if (!follow(install, child.hProcess, out[0], o))
		TerminateProcess(child.hProcess, 1);
	else if (GetExitCodeProcess(child.hProcess, &code))
		rc = (long)(code & 0x7fffffff);
	CloseHandle(child.hThread);
	CloseHandle(child.hProcess);
out:
	close_both(in);
	close_both(out);
	return rc;
}

/* Cut a line off; returns the rest, "" if there is none. */
static wchar_t *
cut(wchar_t *text)
{
	wchar_t *end = wcschr(text, L'\n');

	if (end == NULL)
		return text + wcslen(text);
	*end = 0;
	return end + 1;
}

/*
 * Where the program is gone (a virus scanner took it, or a rollback was quicker) the
 * service at least must not stay: nothing else would take it away.
 */
static UINT
without_program(MSIHANDLE install, const wchar_t *arguments)
{
	SC_HANDLE manager, service;

	say(install, INSTALLMESSAGE_INFO, L"holdfast-agent.exe is not there");
	if (wcscmp(arguments, L"service uninstall") != 0 ||
	    (manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT)) == NULL)
		return ERROR_SUCCESS;
	if ((service = OpenServiceW(manager, L"Holdfast", DELETE)) != NULL) {
		DeleteService(service);
		CloseServiceHandle(service);
	}
	CloseServiceHandle(manager);
	return ERROR_SUCCESS;
}

ACTION
actions_run(MSIHANDLE install)
{
	wchar_t data[DATA_MAX], command[DATA_MAX + 4];
	struct output o = { .len = 0 };
	wchar_t *arguments, *input;
	char bytes[VALUE_MAX] = "";
	long code;

	if (!get(install, L"CustomActionData", data, DATA_MAX) || data[0] == 0)
		return refuse(install, L"the installer passed nothing to an action");
	arguments = cut(data);
	input = cut(arguments);
	if (GetFileAttributesW(data) == INVALID_FILE_ATTRIBUTES)
		return without_program(install, arguments);
	wcscpy(command, L"\"");
	wcscat(command, data);
	wcscat(command, L"\" ");
	wcscat(command, arguments);
	if (WideCharToMultiByte(
		CP_UTF8, 0, input, -1, bytes, sizeof(bytes), NULL, NULL) == 0)
		bytes[0] = '\0';
	say(install, INSTALLMESSAGE_INFO, command);
	code = run(install, data, command, bytes, &o);
	SecureZeroMemory(data, sizeof(data));
	SecureZeroMemory(bytes, sizeof(bytes));
	if (code == 0)
		return ERROR_SUCCESS;
	return refuse(install, o.last[0] != 0 ? o.last
			       : code < 0     ? L"holdfast-agent.exe cannot be run"
					  : L"holdfast-agent.exe failed without a word");
}

/* -------------------------------------------------------------- configure -- */

/* agent.conf for a host that has none; the directory was made by `service install`. */
ACTION
actions_configure(MSIHANDLE install)
{
	wchar_t from[VALUE_MAX], to[MAX_PATH + 32];

	if (!get(install, L"CustomActionData", from, VALUE_MAX) || from[0] == 0)
		return ERROR_SUCCESS;
	if (SHGetFolderPathW(NULL, CSIDL_COMMON_APPDATA, NULL, 0, to) != S_OK)
		return refuse(install, L"CONFIG: where is ProgramData?");
	wcscat(to, L"\\Holdfast\\agent.conf");
	if (CopyFileW(from, to, TRUE)) {
		say(install, INSTALLMESSAGE_INFO, L"agent.conf taken from CONFIG");
		return ERROR_SUCCESS;
	}
	if (GetLastError() == ERROR_FILE_EXISTS) {
		say(install, INSTALLMESSAGE_INFO, L"agent.conf is there and stays");
		return ERROR_SUCCESS;
	}
	return refuse(install, L"CONFIG: that file cannot be copied to agent.conf in "
			       L"ProgramData\\Holdfast");
}
