#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/hooks.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define LINE_UNITS 2048u

struct hooks_child {
	HANDLE process, job, out;
};

/* ------------------------------------------------------------ command line -- */

/* Below the system's directory, which the environment has no say in. */
static int
system_path(const wchar_t *below, wchar_t out[MAX_PATH])
{
	UINT n = GetSystemDirectoryW(out, MAX_PATH);

	if (n == 0 || n + wcslen(below) + 1 > MAX_PATH)
		return -1;
	wcscat(out, below);
	return 0;
}

/* A path that cmd.exe would read as something else even between quotes. */
static int
is_odd(const wchar_t *path)
{
	return wcspbrk(path, L"%\"!^") != NULL;
}

/*
 * What is started, and with which words.  A batch file's interpreter is named outright:
 * learn.microsoft.com/windows/win32/api/processthreadsapi/nf-processthreadsapi-createprocessw
 */
static int
command_line(const wchar_t *real, wchar_t program[MAX_PATH], wchar_t line[LINE_UNITS])
{
	const wchar_t *dot = wcsrchr(real, L'.');
	int n = -1;

	if (dot == NULL || wcslen(real) >= MAX_PATH)
		return -1;
	if (_wcsicmp(dot, L".exe") == 0) {
		wcscpy(program, real);
		n = swprintf(line, LINE_UNITS, L"\"%ls\"", real);
	} else if (_wcsicmp(dot, L".cmd") == 0 || _wcsicmp(dot, L".bat") == 0) {
		if (is_odd(real) || system_path(L"\\cmd.exe", program) != 0)
			return -1;
		n = swprintf(
		    line, LINE_UNITS, L"\"%ls\" /d /s /c \"\"%ls\"\"", program, real);
	} else if (_wcsicmp(dot, L".ps1") == 0) {
		if (system_path(L"\\WindowsPowerShell\\v1.0\\powershell.exe", program) !=
		    0)
			return -1;
		n = swprintf(line, LINE_UNITS,
		    L"\"%ls\" -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass "
		    L"-File \"%ls\"",
		    program, real);
	}
	return n > 0 && n < (int)LINE_UNITS ? 0 : -1;
}

/* ------------------------------------------------------------------- start -- */

/* Into our own environment, which the child gets a copy of; NULL values take it out. */
static void
set_variables(const struct hooks_script *s, int set)
{
	for (unsigned i = 0; i < s->variables_count; i++) {
		wchar_t *name = winapi_wide(s->variables[i].name);
		wchar_t *value = winapi_wide(s->variables[i].value);

		if (name != NULL)
			SetEnvironmentVariableW(name, set ? value : NULL);
		free(name);
		free(value);
	}
}

/* What the child may inherit: these two and nothing else of ours. */
struct ends {
	HANDLE in, out;
};

static DWORD
create(const wchar_t *program, wchar_t *line, struct ends *ends, PROCESS_INFORMATION *pi)
{
	STARTUPINFOEXW si = { 0 };
	DWORD os = ERROR_SUCCESS;
	SIZE_T size = 0;

	InitializeProcThreadAttributeList(NULL, 1, 0, &size);
	si.StartupInfo.cb = sizeof(si);
	si.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
	si.StartupInfo.hStdInput = ends->in;
	si.StartupInfo.hStdOutput = si.StartupInfo.hStdError = ends->out;
	if ((si.lpAttributeList = malloc(size)) == NULL)
		return ERROR_NOT_ENOUGH_MEMORY;
	if (!InitializeProcThreadAttributeList(si.lpAttributeList, 1, 0, &size)) {
		free(si.lpAttributeList);
		return GetLastError();
	}
	if (!UpdateProcThreadAttribute(si.lpAttributeList, 0,
		PROC_THREAD_ATTRIBUTE_HANDLE_LIST, ends, sizeof(*ends), NULL, NULL) ||
	    !CreateProcessW(program, line, NULL, NULL, TRUE,
		CREATE_SUSPENDED | CREATE_NO_WINDOW | EXTENDED_STARTUPINFO_PRESENT, NULL,
		NULL, &si.StartupInfo, pi))
		os = GetLastError();
	DeleteProcThreadAttributeList(si.lpAttributeList);
	free(si.lpAttributeList);
	return os;
}

/* In the job before its first instruction, so that nothing it starts is outside. */
static DWORD
start(struct hooks_child *c, const wchar_t *program, wchar_t *line, struct ends *ends)
{
	PROCESS_INFORMATION pi = { 0 };
	DWORD os = create(program, line, ends, &pi);

	if (os != ERROR_SUCCESS)
		return os;
	c->process = pi.hProcess;
	if (!AssignProcessToJobObject(c->job, pi.hProcess) ||
	    ResumeThread(pi.hThread) == (DWORD)-1) {
		os = GetLastError();
		TerminateProcess(pi.hProcess, 1);
	}
	CloseHandle(pi.hThread);
	return os;
}

static void
close_if(HANDLE h)
{
	if (h != NULL && h != INVALID_HANDLE_VALUE)
		CloseHandle(h);
}

static DWORD
open_all(struct hooks_child *c, struct ends *ends)
{
	SECURITY_ATTRIBUTES inherited = { sizeof(inherited), NULL, TRUE };

	ends->in = CreateFileW(L"NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE,
	    &inherited, OPEN_EXISTING, 0, NULL);
	if (ends->in == INVALID_HANDLE_VALUE ||
	    !CreatePipe(&c->out, &ends->out, &inherited, 65536) ||
	    !SetHandleInformation(c->out, HANDLE_FLAG_INHERIT, 0) ||
	    (c->job = CreateJobObjectW(NULL, NULL)) == NULL)
		return GetLastError();
	return ERROR_SUCCESS;
}

int
hooks_start(const struct hooks_script *script, const char *real, struct hooks_child **out,
    struct err *err)
{
	struct hooks_child *c = calloc(1, sizeof(*c));
	wchar_t *wide = winapi_wide(real), program[MAX_PATH], line[LINE_UNITS];
	struct ends ends = { NULL, NULL };
	DWORD os = ERROR_NOT_ENOUGH_MEMORY;

	if (c == NULL || wide == NULL)
		goto out;
	if (command_line(wide, program, line) != 0) {
		err_set(err, ERR_UNSUPPORTED,
		    "%s: a .exe, .cmd, .bat or .ps1, in a path without %%, !, ^",
		    script->path);
		goto out;
	}
	if ((os = open_all(c, &ends)) == ERROR_SUCCESS) {
		set_variables(script, 1);
		os = start(c, program, line, &ends);
		set_variables(script, 0);
	}
out:
	close_if(ends.in);
	close_if(ends.out);
	free(wide);
	if (os == ERROR_SUCCESS) {
		*out = c;
		return 0;
	}
	if (c != NULL)
		hooks_free(c);
	return err->code != ERR_NONE ? -1 : winapi_err(err, os, "%s", script->path);
}

/* --------------------------------------------------------------- the child -- */

long
hooks_read(struct hooks_child *c, char *p, size_t cap, uint32_t ms)
{
	const ULONGLONG until = GetTickCount64() + ms;
	DWORD there, n;

	for (;;) {
		if (!PeekNamedPipe(c->out, NULL, 0, NULL, &there, NULL))
			return -1;
		if (there > 0)
			break;
		if (GetTickCount64() >= until)
			return 0;
		/* A pipe cannot be waited for; its end mostly comes with the process'. */
		if (WaitForSingleObject(c->process, 20) == WAIT_OBJECT_0)
			ms = 0;
		if (ms == 0 && PeekNamedPipe(c->out, NULL, 0, NULL, &there, NULL) &&
		    there == 0)
			return 0;
	}
	if (!ReadFile(c->out, p, (DWORD)(there < cap ? there : cap), &n, NULL))
		return -1;
	return (long)n;
}

int
hooks_ended(struct hooks_child *c, int *exit_code, int *killed)
{
	DWORD code;

	if (WaitForSingleObject(c->process, 0) != WAIT_OBJECT_0 ||
	    !GetExitCodeProcess(c->process, &code))
		return 0;
	*exit_code = (int)code;
	*killed = 0;
	return 1;
}

int
hooks_stop(struct hooks_child *c, int force)
{
	if (force)
		TerminateJobObject(c->job, 1);
	return 0;
}

void
hooks_free(struct hooks_child *c)
{
	close_if(c->process);
	close_if(c->out);
	close_if(c->job);
	free(c);
}
