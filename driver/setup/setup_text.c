#include <stdarg.h>
#include <wchar.h>

#include "driver/setup/setup_parts.h"

static void
format_line(wchar_t *line, size_t room, const wchar_t *format, va_list ap)
{
	line[0] = 0;
	_vsnwprintf(line, room - 1, format, ap);
	line[room - 1] = 0;
}

/* "text: what Windows says of it (error n)"; `line` may be `text`. */
static void
add_words(wchar_t line[SETUP_TEXT_MAX], const wchar_t *text, DWORD error)
{
	wchar_t whole[SETUP_TEXT_MAX], words[SETUP_TEXT_MAX / 4];
	DWORD n =
	    FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
		NULL, error, 0, words, SETUP_TEXT_MAX / 4, NULL);

	while (n > 0 &&
	       (words[n - 1] == L'\n' || words[n - 1] == L'\r' || words[n - 1] == L'.'))
		n--;
	words[n] = 0;
	_snwprintf(whole, SETUP_TEXT_MAX - 1, L"%ls: %ls (error %u)", text, words,
	    (unsigned)error);
	whole[SETUP_TEXT_MAX - 1] = 0;
	wcscpy(line, whole);
}

int
setup_fail(struct setup_report *r, const wchar_t *format, ...)
{
	va_list ap;

	va_start(ap, format);
	format_line(r->error, SETUP_TEXT_MAX, format, ap);
	va_end(ap);
	r->os = 0;
	return SETUP_FAILED;
}

int
setup_fail_os(struct setup_report *r, DWORD error, const wchar_t *format, ...)
{
	va_list ap;

	va_start(ap, format);
	format_line(r->error, SETUP_TEXT_MAX / 2, format, ap);
	va_end(ap);
	add_words(r->error, r->error, error);
	r->os = error;
	return SETUP_FAILED;
}

void
setup_tell(struct setup_report *r, DWORD error, const wchar_t *format, ...)
{
	wchar_t line[SETUP_TEXT_MAX];
	va_list ap;

	if (r->line == NULL)
		return;
	va_start(ap, format);
	format_line(line, SETUP_TEXT_MAX / 2, format, ap);
	va_end(ap);
	if (error != ERROR_SUCCESS)
		add_words(line, line, error);
	r->line(r->arg, error != ERROR_SUCCESS, line);
}
