#include <windows.h>

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "driver/abi/names.h"
#include "driver/setup/setup_parts.h"

#define KEY_MAX 512
#define LIST_BYTES_MAX 65536u
#define DEVICE_DEPTH 3 /* Enum\ENUMERATOR\DEVICE\INSTANCE */

/* A REG_MULTI_SZ, with two terminators whatever the registry holds. */
struct list {
	wchar_t *text;
	DWORD bytes; /* with one terminator after the last string */
};

/* ERROR_FILE_NOT_FOUND: there is none. */
static LONG
read_list(HKEY key, const wchar_t *value, struct list *l)
{
	DWORD type, bytes = 0;
	LONG e = RegQueryValueExW(key, value, NULL, &type, NULL, &bytes);

	l->text = NULL;
	l->bytes = 0;
	if (e != ERROR_SUCCESS)
		return e;
	if ((type != REG_MULTI_SZ && type != REG_SZ) || bytes > LIST_BYTES_MAX)
		return ERROR_INVALID_DATA;
	l->text = calloc(1, bytes + 4 * sizeof *l->text);
	if (l->text == NULL)
		return ERROR_NOT_ENOUGH_MEMORY;
	e = RegQueryValueExW(key, value, NULL, &type, (BYTE *)l->text, &bytes);
	if (e != ERROR_SUCCESS) {
		free(l->text);
		l->text = NULL;
		return e;
	}
	while (l->text[l->bytes / sizeof *l->text] != 0)
		l->bytes += (DWORD)((wcslen(l->text + l->bytes / sizeof *l->text) + 1) *
				    sizeof *l->text);
	return ERROR_SUCCESS;
}

/* The string of the list that is this name. */
static wchar_t *
find_name(const struct list *l, const wchar_t *name)
{
	wchar_t *s;

	for (s = l->text; s != NULL && *s != 0; s += wcslen(s) + 1)
		if (_wcsicmp(s, name) == 0)
			return s;
	return NULL;
}

int
setup_filters_add(const wchar_t *service, struct setup_report *r)
{
	const wchar_t *path =
	    L"SYSTEM\\CurrentControlSet\\Control\\Class\\" HOTCOPY_CLASS;
	size_t n = (wcslen(service) + 1) * sizeof *service;
	struct list l;
	wchar_t *more;
	HKEY key;
	LONG e = RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_READ | KEY_WRITE, &key);

	if (e != ERROR_SUCCESS)
		return setup_fail_os(r, (DWORD)e, L"HKLM\\%ls", path);
	e = read_list(key, L"UpperFilters", &l);
	if (e == ERROR_FILE_NOT_FOUND)
		e = ERROR_SUCCESS;
	if (e == ERROR_SUCCESS && find_name(&l, service) == NULL) {
		more = calloc(1, l.bytes + n + sizeof *more);
		if (more == NULL) {
			e = ERROR_NOT_ENOUGH_MEMORY;
		} else {
			if (l.bytes > 0)
				memcpy(more, l.text, l.bytes);
			memcpy((BYTE *)more + l.bytes, service, n);
			e = RegSetValueExW(key, L"UpperFilters", 0, REG_MULTI_SZ,
			    (const BYTE *)more, (DWORD)(l.bytes + n + sizeof *more));
			free(more);
		}
	}
	if (e == ERROR_SUCCESS)
		e = RegFlushKey(key);
	free(l.text);
	RegCloseKey(key);
	return e == ERROR_SUCCESS
		   ? 0
		   : setup_fail_os(r, (DWORD)e, L"HKLM\\%ls, UpperFilters", path);
}

/* What a removal is about. */
struct removal {
	const wchar_t *service;
	uint32_t taken, left;
	struct setup_report *report;
};

/* One value; a list that becomes empty goes whole. */
static void
clean_value(struct removal *r, HKEY parent, const wchar_t *path, const wchar_t *value)
{
	struct list l;
	wchar_t *s;
	size_t n;
	HKEY key;
	LONG e = read_list(parent, value, &l);

	if (e == ERROR_FILE_NOT_FOUND)
		return;
	if (e == ERROR_SUCCESS && find_name(&l, r->service) == NULL) {
		free(l.text);
		return;
	}
	if (e == ERROR_SUCCESS) {
		while ((s = find_name(&l, r->service)) != NULL) {
			n = (wcslen(s) + 1) * sizeof *s;
			memmove(s, s + n / sizeof *s,
			    l.bytes + sizeof *s - (size_t)((BYTE *)s - (BYTE *)l.text) -
				n);
			l.bytes -= (DWORD)n;
		}
		/* Keys of devices are SYSTEM's: the privilege to restore opens them. */
		e = RegCreateKeyExW(HKEY_LOCAL_MACHINE, path, 0, NULL,
		    REG_OPTION_BACKUP_RESTORE, KEY_READ | KEY_WRITE, NULL, &key, NULL);
		if (e == ERROR_SUCCESS) {
			e = l.bytes == 0
				? RegDeleteValueW(key, value)
				: RegSetValueExW(key, value, 0, REG_MULTI_SZ,
				      (const BYTE *)l.text, l.bytes + sizeof *l.text);
			if (e == ERROR_SUCCESS)
				e = RegFlushKey(key);
			RegCloseKey(key);
		}
		free(l.text);
	}
	if (e == ERROR_SUCCESS) {
		setup_tell(r->report, 0, L"taken out of HKLM\\%ls, %ls", path, value);
		r->taken++;
		return;
	}
	setup_tell(r->report, (DWORD)e, L"HKLM\\%ls, %ls names it still", path, value);
	r->left++;
}

/* This key and, "depth" levels down, all below it. */
static void
clean_key(struct removal *r, const wchar_t *path, int depth)
{
	wchar_t name[256], below[KEY_MAX];
	DWORD i, n;
	HKEY key;
	LONG e = RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_READ, &key);

	if (e == ERROR_FILE_NOT_FOUND)
		return;
	if (e != ERROR_SUCCESS) {
		setup_tell(r->report, (DWORD)e, L"HKLM\\%ls cannot be read", path);
		r->left++;
		return;
	}
	if (depth == 0) {
		clean_value(r, key, path, L"UpperFilters");
		clean_value(r, key, path, L"LowerFilters");
	}
	for (i = 0; depth > 0; i++) {
		n = 256;
		e = RegEnumKeyExW(key, i, name, &n, NULL, NULL, NULL, NULL);
		if (e == ERROR_NO_MORE_ITEMS)
			break;
		if (e != ERROR_SUCCESS) {
			/* What was not looked at may name it. */
			setup_tell(
			    r->report, (DWORD)e, L"HKLM\\%ls cannot be read", path);
			r->left++;
			break;
		}
		if (wcslen(path) + n + 2 > KEY_MAX)
			continue; /* no device has so long a name: Windows' own limit is
				     200 */
		wcscpy(below, path);
		wcscat(below, L"\\");
		wcscat(below, name);
		clean_key(r, below, depth - 1);
	}
	RegCloseKey(key);
}

static void
take_privilege(const wchar_t *name)
{
	TOKEN_PRIVILEGES p = { 0 };
	HANDLE token;

	if (!OpenProcessToken(
		GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &token))
		return;
	p.PrivilegeCount = 1;
	p.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
	if (LookupPrivilegeValueW(NULL, name, &p.Privileges[0].Luid))
		AdjustTokenPrivileges(token, FALSE, &p, 0, NULL, NULL);
	CloseHandle(token);
}

int
setup_filters_remove(
    const wchar_t *service, uint32_t *taken, uint32_t *left, struct setup_report *report)
{
	struct removal r = { .service = service, .report = report };
	wchar_t name[256], path[KEY_MAX];
	DWORD i, n;
	HKEY system;
	LONG e;

	take_privilege(L"SeBackupPrivilege");
	take_privilege(L"SeRestorePrivilege");
	e = RegOpenKeyExW(HKEY_LOCAL_MACHINE, L"SYSTEM", 0, KEY_READ, &system);
	if (e != ERROR_SUCCESS)
		return setup_fail_os(report, (DWORD)e, L"HKLM\\SYSTEM");
	for (i = 0;; i++) {
		n = 256;
		e = RegEnumKeyExW(system, i, name, &n, NULL, NULL, NULL, NULL);
		if (e != ERROR_SUCCESS)
			break;
		/* The current one by both its names, should one be no link to the other.
		 */
		if (n > 20 || (_wcsnicmp(name, L"ControlSet", 10) != 0 &&
				  _wcsicmp(name, L"CurrentControlSet") != 0))
			continue;
		wcscpy(path, L"SYSTEM\\");
		wcscat(path, name);
		n = (DWORD)wcslen(path);
		wcscat(path, L"\\Control\\Class");
		clean_key(&r, path, 1);
		wcscpy(path + n, L"\\Enum");
		clean_key(&r, path, DEVICE_DEPTH);
	}
	RegCloseKey(system);
	if (e != ERROR_NO_MORE_ITEMS)
		return setup_fail_os(report, (DWORD)e, L"HKLM\\SYSTEM");
	*taken = r.taken;
	*left = r.left;
	return 0;
}
