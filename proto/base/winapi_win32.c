#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "proto/base/winapi.h"

/* CreateDirectory adds "\x.tmp": what is shorter than this needs no prefix. */
#define PLAIN_MAX (MAX_PATH - 13)

static enum err_code
code_of(unsigned long code)
{
	switch (code) {
	case ERROR_NOT_ENOUGH_MEMORY:
	case ERROR_OUTOFMEMORY:
	case ERROR_NO_SYSTEM_RESOURCES:
		return ERR_NOMEM;
	case ERROR_DISK_FULL:
	case ERROR_HANDLE_DISK_FULL:
	case 1295 /* ERROR_DISK_QUOTA_EXCEEDED, which MinGW lacks */:
		return ERR_NOSPACE;
	case ERROR_FILE_NOT_FOUND:
	case ERROR_PATH_NOT_FOUND:
	case ERROR_INVALID_DRIVE:
	case ERROR_BAD_NETPATH:
	case ERROR_SERVICE_DOES_NOT_EXIST:
		return ERR_NOTFOUND;
	case ERROR_FILE_EXISTS:
	case ERROR_ALREADY_EXISTS:
	case ERROR_SERVICE_EXISTS:
		return ERR_EXISTS;
	case ERROR_ACCESS_DENIED:
	case ERROR_PRIVILEGE_NOT_HELD:
	case ERROR_WRITE_PROTECT:
		return ERR_DENIED;
	case ERROR_SHARING_VIOLATION:
	case ERROR_LOCK_VIOLATION:
	case ERROR_BUSY:
	case ERROR_DEVICE_IN_USE:
		return ERR_BUSY;
	case ERROR_NOT_SUPPORTED:
	case ERROR_INVALID_FUNCTION:
		return ERR_UNSUPPORTED;
	case ERROR_SEM_TIMEOUT:
	case WAIT_TIMEOUT:
		return ERR_TIMEOUT;
	case ERROR_OPERATION_ABORTED:
	case ERROR_CANCELLED:
		return ERR_CANCELED;
	default:
		return ERR_IO;
	}
}

/* An HRESULT that wraps a Win32 error is that error. */
static unsigned long
unwrapped(unsigned long code)
{
	if (code == (unsigned long)E_OUTOFMEMORY)
		return ERROR_OUTOFMEMORY;
	return (code & 0xffff0000ul) == 0x80070000ul ? code & 0xffff : code;
}

void
winapi_words(unsigned long code, char *out, size_t size)
{
	static const DWORD languages[] = { MAKELANGID(LANG_ENGLISH, SUBLANG_ENGLISH_US),
		0 };
	wchar_t text[256];
	char *utf8 = NULL;
	size_t len;
	DWORD n = 0;

	for (size_t i = 0; i < 2 && n == 0; i++)
		n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM |
				       FORMAT_MESSAGE_IGNORE_INSERTS |
				       FORMAT_MESSAGE_MAX_WIDTH_MASK,
		    NULL, unwrapped(code), languages[i], text,
		    sizeof(text) / sizeof(text[0]), NULL);
	if (n > 0)
		utf8 = winapi_utf8(text);
	if (utf8 == NULL) {
		(void)snprintf(out, size, "error 0x%08lx", code);
		return;
	}
	for (len = strlen(utf8); len > 0 && strchr(" .\r\n", utf8[len - 1]) != NULL;)
		utf8[--len] = '\0';
	if (code == unwrapped(code) && code <= 0xffff)
		(void)snprintf(out, size, "%s (error %lu)", utf8, code);
	else
		(void)snprintf(out, size, "%s (0x%08lx)", utf8, code);
	free(utf8);
}

int
winapi_err(struct err *err, unsigned long code, const char *fmt, ...)
{
	char what[ERR_TEXT_MAX], words[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	winapi_words(code, words, sizeof(words));

	/* 80 bytes always stay for the system's words. */
	(void)err_set(
	    err, code_of(unwrapped(code)), "%.*s: %s", ERR_TEXT_MAX - 80, what, words);
	err->os = (int)code;
	return -1;
}

wchar_t *
winapi_wide(const char *utf8)
{
	int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, utf8, -1, NULL, 0);
	wchar_t *wide;

	if (n <= 0 || (wide = malloc((size_t)n * sizeof(*wide))) == NULL)
		return NULL;
	if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, utf8, -1, wide, n) != n) {
		free(wide);
		return NULL;
	}
	return wide;
}

char *
winapi_utf8(const wchar_t *wide)
{
	int n = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
	char *utf8;

	if (n <= 0 || (utf8 = malloc((size_t)n)) == NULL)
		return NULL;
	if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, utf8, n, NULL, NULL) != n) {
		free(utf8);
		return NULL;
	}
	return utf8;
}

/* Absolute, with room for `room` characters in front. */
static wchar_t *
absolute(const wchar_t *wide, size_t room)
{
	DWORD need = GetFullPathNameW(wide, 0, NULL, NULL), got;
	wchar_t *out;

	if (need == 0 || (out = malloc((room + need) * sizeof(*out))) == NULL)
		return NULL;
	got = GetFullPathNameW(wide, need, out + room, NULL);
	if (got == 0 || got >= need) {
		free(out);
		return NULL;
	}
	return out;
}

wchar_t *
winapi_path(const char *utf8)
{
	static const wchar_t local[] = L"\\\\?\\", share[] = L"\\\\?\\UNC";
	wchar_t *wide = winapi_wide(utf8), *out, *p;
	const size_t room = sizeof(share) / sizeof(share[0]);

	if (wide == NULL || wcsncmp(wide, L"\\\\.\\", 4) == 0)
		return wide;
	if (wcsncmp(wide, L"\\\\?\\", 4) == 0) {
		/* Behind that prefix nobody takes a slash for a separator. */
		for (p = wide; *p != L'\0'; p++)
			if (*p == L'/')
				*p = L'\\';
		return wide;
	}
	out = absolute(wide, room);
	free(wide);
	if (out == NULL)
		return NULL;
	p = out + room;
	if (wcslen(p) >= PLAIN_MAX) {
		if (wcsncmp(p, L"\\\\", 2) == 0) { /* \\server\share */
			p++;
			p -= wcslen(share);
			memcpy(p, share, wcslen(share) * sizeof(*p));
		} else {
			p -= wcslen(local);
			memcpy(p, local, wcslen(local) * sizeof(*p));
		}
	}
	memmove(out, p, (wcslen(p) + 1) * sizeof(*p));
	return out;
}
