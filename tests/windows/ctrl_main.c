/*
 * ctrl FILE PROGRAM ARGUMENTS... - runs it with a console of its own, presses Ctrl-C
 * there once FILE exists, and ends with its exit code; 99 if it has not ended a minute
 * later. (Ctrl-Break cannot be pressed under Wine.)
 */
#include <windows.h>

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define LINE_MAX_UNITS 32767
#define MINUTE_MS 60000

static BOOL WINAPI
not_us(DWORD what)
{
	return what == CTRL_C_EVENT;
}

static void
quote(wchar_t line[LINE_MAX_UNITS], const wchar_t *word)
{
	if (wcslen(line) + wcslen(word) + 4 < LINE_MAX_UNITS) {
		wcscat(line, line[0] != L'\0' ? L" \"" : L"\"");
		wcscat(line, word);
		wcscat(line, L"\"");
	}
}

/* With our own output, wherever that goes. */
static HANDLE
start(wchar_t *line)
{
	STARTUPINFOW si;
	PROCESS_INFORMATION pi;

	memset(&si, 0, sizeof(si));
	si.cb = sizeof(si);
	si.dwFlags = STARTF_USESTDHANDLES;
	si.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
	si.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
	si.hStdError = GetStdHandle(STD_ERROR_HANDLE);
	FreeConsole();
	if (!AllocConsole() || !SetConsoleCtrlHandler(not_us, TRUE) ||
	    !CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &si, &pi)) {
		fprintf(stderr, "ctrl: error %lu\n", GetLastError());
		return NULL;
	}
	CloseHandle(pi.hThread);
	return pi.hProcess;
}

int
main(void)
{
	static wchar_t line[LINE_MAX_UNITS];
	int argc = 0, i;
	wchar_t **argv = CommandLineToArgvW(GetCommandLineW(), &argc);
	DWORD code = 99;
	HANDLE child;

	if (argv == NULL || argc < 3) {
		fprintf(stderr, "usage: ctrl FILE PROGRAM ARGUMENTS...\n");
		return 98;
	}
	for (i = 2; i < argc; i++)
		quote(line, argv[i]);
	if ((child = start(line)) == NULL)
		return 98;
	while (GetFileAttributesW(argv[1]) == INVALID_FILE_ATTRIBUTES &&
	       WaitForSingleObject(child, 50) == WAIT_TIMEOUT)
		;
	if (!GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0))
		fprintf(stderr, "ctrl: error %lu\n", GetLastError());
	if (WaitForSingleObject(child, MINUTE_MS) == WAIT_TIMEOUT)
		TerminateProcess(child, 99);
	(void)WaitForSingleObject(child, INFINITE);
	(void)GetExitCodeProcess(child, &code);
	return (int)code;
}
