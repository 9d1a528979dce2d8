#include "driver/tools/say.h"

#include <windows.h>

#include <stdarg.h>
#include <wchar.h>

static void
put(DWORD which, const wchar_t *text)
{
	HANDLE h = GetStdHandle(which);
	char utf8[SAY_MAX * 3];
	DWORD mode, done;
	int n;

	if (GetConsoleMode(h, &mode)) {
		WriteConsoleW(h, text, (DWORD)wcslen(text), &done, NULL);
		return;
	}
	n = WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, sizeof utf8, NULL, NULL);
	if (n > 1)
		WriteFile(h, utf8, (DWORD)n - 1, &done, NULL);
}

static void
format_line(wchar_t *line, size_t room, const wchar_t *format, va_list ap)
{
	line[0] = 0;
	_vsnwprintf(line, room - 1, format, ap);
	line[room - 1] = 0;
}

void
say_out(const wchar_t *format, ...)
{
	wchar_t line[SAY_MAX];
	va_list ap;

	va_start(ap, format);
	format_line(line, SAY_MAX, format, ap);
	va_end(ap);
	put(STD_OUTPUT_HANDLE, line);
}

int
say_error(const wchar_t *format, ...)
{
	wchar_t text[SAY_MAX - 32], line[SAY_MAX];
	va_list ap;

	va_start(ap, format);
	format_line(text, SAY_MAX - 32, format, ap);
	va_end(ap);
	wcscpy(line, L"hotcopyctl: ");
	wcscat(line, text);
	wcscat(line, L"\r\n");
	put(STD_ERROR_HANDLE, line);
	return -1;
}

int
say_os_error(uint32_t error, const wchar_t *format, ...)
{
	wchar_t text[SAY_MAX / 2], words[SAY_MAX / 4];
	va_list ap;
	DWORD n;

	va_start(ap, format);
	format_line(text, SAY_MAX / 2, format, ap);
	va_end(ap);
	n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
	    NULL, error, 0, words, SAY_MAX / 4, NULL);
	while (n > 0 &&
	       (words[n - 1] == L'\n' || words[n - 1] == L'\r' || words[n - 1] == L'.'))
		n--;
	words[n] = 0;
	return say_error(L"%ls: %ls (error %u)", text, words, error);
}

void
say_progress(const wchar_t *format, ...)
{
	wchar_t text[SAY_MAX - 32], line[SAY_MAX];
	DWORD mode;
	va_list ap;

	if (!GetConsoleMode(GetStdHandle(STD_ERROR_HANDLE), &mode))
		return;
	va_start(ap, format);
	format_line(text, SAY_MAX - 32, format, ap);
	va_end(ap);
	wcscpy(line, L"\r");
	wcscat(line, text);
	put(STD_ERROR_HANDLE, line);
}
