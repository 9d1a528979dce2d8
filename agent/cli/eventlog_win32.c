#include <windows.h>

#include <stdlib.h>
#include <wchar.h>

#include "agent/cli/eventlog_messages.h"
#include "agent/cli/eventlog_win32.h"
#include "proto/base/err.h"
#include "proto/base/log.h"
#include "proto/base/winapi.h"

#define SOURCE L"Holdfast"
/* learn.microsoft.com/windows/win32/eventlog/event-sources */
#define SOURCE_KEY L"SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\" SOURCE

static LSTATUS
set_values(HKEY key, const wchar_t *exe)
{
	const DWORD types =
	    EVENTLOG_ERROR_TYPE | EVENTLOG_WARNING_TYPE | EVENTLOG_INFORMATION_TYPE;
	LSTATUS os = RegSetValueExW(key, L"EventMessageFile", 0, REG_EXPAND_SZ,
	    (const BYTE *)exe, (DWORD)((wcslen(exe) + 1) * sizeof(*exe)));

	if (os == ERROR_SUCCESS)
		os = RegSetValueExW(key, L"TypesSupported", 0, REG_DWORD,
		    (const BYTE *)&types, sizeof(types));
	return os;
}

int
eventlog_install(const wchar_t *exe, struct err *err)
{
	LSTATUS os;
	HKEY key;

	os = RegCreateKeyExW(
	    HKEY_LOCAL_MACHINE, SOURCE_KEY, 0, NULL, 0, KEY_SET_VALUE, NULL, &key, NULL);
	if (os == ERROR_SUCCESS) {
		os = set_values(key, exe);
		RegCloseKey(key);
	}
	return os == ERROR_SUCCESS ? 0
				   : winapi_err(err, (DWORD)os, "event source Holdfast");
}

int
eventlog_uninstall(struct err *err)
{
	LSTATUS os = RegDeleteKeyExW(HKEY_LOCAL_MACHINE, SOURCE_KEY, 0, 0);

	if (os == ERROR_SUCCESS || os == ERROR_FILE_NOT_FOUND)
		return 0;
	return winapi_err(err, (DWORD)os, "event source Holdfast");
}

/* A source's handle is a HANDLE and nothing else: so is ours. */
struct eventlog *
eventlog_open(void)
{
	return (struct eventlog *)RegisterEventSourceW(NULL, SOURCE);
}

void
eventlog_close(struct eventlog *l)
{
	if (l != NULL)
		DeregisterEventSource((HANDLE)l);
}

/* The event's number, 0 for what is for the file alone. */
static DWORD
number_of(const struct log_entry *e)
{
	switch (e->topic) {
	case LOG_STARTED:
		return EVENTLOG_STARTED;
	case LOG_STOPPED:
		return EVENTLOG_STOPPED;
	case LOG_DONE:
		return EVENTLOG_DONE;
	case LOG_FAILED:
		return EVENTLOG_FAILED;
	case LOG_CAPTURED:
		return EVENTLOG_CAPTURED;
	case LOG_ALARM:
		return EVENTLOG_ALARM;
	default:
		return e->level == LOG_ERROR  ? EVENTLOG_ERROR
		       : e->level == LOG_WARN ? EVENTLOG_WARNING
					      : 0;
	}
}

/*
 * "%1" within a string is taken for an insertion once more, and an IPv6 address may hold
 * one (learn.microsoft.com, winbase.h, ReportEventW): a blank keeps them apart.
 */
static wchar_t *
plain_text(const char *utf8)
{
	wchar_t *text = winapi_wide(utf8), *out, *to;

	out = text != NULL ? calloc(2 * wcslen(text) + 1, sizeof(*out)) : NULL;
	if ((to = out) != NULL)
		for (const wchar_t *p = text; *p != L'\0'; p++) {
			*to++ = *p;
			if (*p == L'%' && p[1] >= L'0' && p[1] <= L'9')
				*to++ = L' ';
		}
	free(text);
	return out;
}

void
eventlog_write(struct eventlog *l, const struct log_entry *e)
{
	static const WORD types[] = { EVENTLOG_SUCCESS, EVENTLOG_INFORMATION_TYPE,
		EVENTLOG_WARNING_TYPE, EVENTLOG_ERROR_TYPE };
	DWORD number = number_of(e);
	const wchar_t *strings[1];
	wchar_t *text;

	if (l == NULL || number == 0 || (text = plain_text(e->text)) == NULL)
		return;
	strings[0] = text;
	/* The number's top two bits are its severity. */
	(void)ReportEventW(
	    (HANDLE)l, types[number >> 30], 0, number, NULL, 1, 0, strings, NULL);
	free(text);
}
