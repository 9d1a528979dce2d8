#include <windows.h>

#include <fcntl.h>
#include <initguid.h>
#include <io.h>
#include <knownfolders.h>
#include <psapi.h>
#include <shellapi.h>
#include <shlobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/command_system.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define ENV_UNITS_MAX 32768u

const char command_system_help[] =
    "Without --state and HOLDFAST_STATE: %ProgramData%\\Holdfast\n";

static UINT page_before;

/* The console outlives us, and so would its code page. */
static void
restore_page(void)
{
	(void)SetConsoleOutputCP(page_before);
}

static int
take_words(int *argc, char ***argv, struct err *err)
{
	int n = 0, i;
	wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &n);
	char **words;

	if (wide == NULL)
		return winapi_err(err, GetLastError(), "command line");
	if ((words = calloc((size_t)n + 1, sizeof(*words))) == NULL) {
		LocalFree(wide);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	for (i = 0; i < n; i++)
		if ((words[i] = winapi_utf8(wide[i])) == NULL) {
			LocalFree(wide);
			return err_set(err, ERR_NOMEM, "out of memory");
		}
	LocalFree(wide);
	/* As main()'s own they live to the end. */
	*argc = n;
	*argv = words;
	return 0;
}

int
command_system_begin(int *argc, char ***argv, struct err *err)
{
	/* What is loaded from here on: never from where the program or its user is. */
	if (!SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32))
		return winapi_err(err, GetLastError(), "where DLLs are loaded from");
	(void)_setmode(_fileno(stdout), _O_BINARY);
	(void)_setmode(_fileno(stderr), _O_BINARY);
	page_before = GetConsoleOutputCP();
	if (page_before != 0 && page_before != CP_UTF8 && SetConsoleOutputCP(CP_UTF8))
		(void)atexit(restore_page);
	return take_words(argc, argv, err);
}

/*
 * Asked of the system and not of the environment, which whoever starts us can set: key
 * and configuration of a program with all rights lie there.
 */
const char *
command_system_state(void)
{
	static const wchar_t ours[] = L"\\Holdfast";
	static char *kept;
	wchar_t *data = NULL, *path = NULL;
	size_t size;

	if (kept == NULL &&
	    SHGetKnownFolderPath(&FOLDERID_ProgramData, 0, NULL, &data) == S_OK) {
		size = (wcslen(data) + 1) * sizeof(*path) + sizeof(ours);
		if ((path = malloc(size)) != NULL) {
			wcscpy(path, data);
			wcscat(path, ours);
			kept = winapi_utf8(path);
		}
	}
	free(path);
	CoTaskMemFree(data);
	return kept;
}

const char *
command_system_env(const char *name)
{
	wchar_t *wide = winapi_wide(name), *value = NULL;
	char *out = NULL;
	DWORD n;

	if (wide != NULL && (value = malloc(ENV_UNITS_MAX * sizeof(*value))) != NULL) {
		n = GetEnvironmentVariableW(wide, value, ENV_UNITS_MAX);
		if (n > 0 && n < ENV_UNITS_MAX)
			out = winapi_utf8(value);
	}
	free(wide);
	free(value);
	return out;
}

/* Of 100 ns. */
static uint64_t
us(const FILETIME *t)
{
	return ((uint64_t)t->dwHighDateTime << 32 | t->dwLowDateTime) / 10;
}

void
command_system_usage(struct command_usage *out)
{
	FILETIME made, ended, kernel, user;
	PROCESS_MEMORY_COUNTERS m;

	memset(out, 0, sizeof(*out));
	if (GetProcessTimes(GetCurrentProcess(), &made, &ended, &kernel, &user)) {
		out->user_us = us(&user);
		out->system_us = us(&kernel);
	}
	if (K32GetProcessMemoryInfo(GetCurrentProcess(), &m, sizeof(m)))
		out->peak = m.PeakWorkingSetSize;
}
