#include <windows.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "driver/abi/names.h"
#include "driver/setup/setup_parts.h"

/* system32\drivers\hotcopy.sys */
static int
target_path(wchar_t path[SETUP_PATH_MAX], struct setup_report *r)
{
	UINT n = GetSystemDirectoryW(path, SETUP_PATH_MAX - 32);

	if (n == 0 || n >= SETUP_PATH_MAX - 32)
		return setup_fail_os(r, GetLastError(), L"no system directory");
	wcscat(path, L"\\drivers\\" HOTCOPY_FILE);
	return 0;
}

int
setup_source(
    const wchar_t *directory, wchar_t path[SETUP_PATH_MAX], struct setup_report *r)
{
	wchar_t *slash;
	DWORD n;

	if (directory != NULL) {
		if (wcslen(directory) > SETUP_PATH_MAX - 32)
			return setup_fail(r, L"'%ls' is too long", directory);
		wcscpy(path, directory);
		wcscat(path, L"\\");
	} else {
		n = GetModuleFileNameW(NULL, path, SETUP_PATH_MAX - 32);
		if (n == 0 || n >= SETUP_PATH_MAX - 32)
			return setup_fail_os(r, GetLastError(), L"this program's path");
		slash = wcsrchr(path, L'\\');
		slash[1] = 0;
	}
	wcscat(path, HOTCOPY_FILE);
	return 0;
}

/* A program for 32 bits on a Windows of 64.  Server 2003 has the call since its service
   pack 1, XP since 2; what is older has no 64 bits. */
static bool
under_wow(void)
{
	typedef BOOL(WINAPI * is_wow64)(HANDLE process, BOOL * wow);
	union {
		FARPROC any;
		is_wow64 f;
	} u;
	BOOL wow = FALSE;

	u.any = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "IsWow64Process");
	return u.any != NULL && u.f(GetCurrentProcess(), &wow) && wow;
}

/* A driver for another processor would keep Windows from starting. */
static int
check_file(const wchar_t *path, struct setup_report *r)
{
	const uint16_t want =
	    sizeof(void *) == 8 ? IMAGE_FILE_MACHINE_AMD64 : IMAGE_FILE_MACHINE_I386;
	uint8_t head[4096] = { 0 };
	uint32_t pe = 0;
	uint16_t machine = 0;
	DWORD n = 0;
	HANDLE f = CreateFileW(
	    path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);

	if (f == INVALID_HANDLE_VALUE)
		return setup_fail_os(r, GetLastError(), L"%ls", path);
	ReadFile(f, head, sizeof head, &n, NULL);
	CloseHandle(f);
	memcpy(&pe, head + 0x3c, 4);
	if (n < 256 || head[0] != 'M' || head[1] != 'Z' || pe > n - 8)
		return setup_fail(r, L"%ls is no driver", path);
	memcpy(&machine, head + pe + 4, 2);
	if (machine != want)
		return setup_fail(
		    r, L"%ls is for another processor than this program", path);
	if (under_wow())
		return setup_fail(
		    r, L"this Windows has 64 bits: use the program for x64");
	return 0;
}

/* Does this list of what the next start renames or deletes take `target` away?  Pairs of
   strings, from and to; to "": deleted.
   learn.microsoft.com/windows/win32/api/winbase/nf-winbase-movefileexw */
static bool
list_takes(HKEY key, const wchar_t *value, const wchar_t *target)
{
	size_t n = wcslen(target), at = 0, end, len;
	DWORD bytes = 0, type;
	bool takes = false;
	wchar_t *text;

	if (RegQueryValueExW(key, value, NULL, NULL, NULL, &bytes) != ERROR_SUCCESS ||
	    (text = calloc(1, bytes + 2 * sizeof *text)) == NULL)
		return false;
	if (RegQueryValueExW(key, value, NULL, &type, (BYTE *)text, &bytes) !=
	    ERROR_SUCCESS)
		bytes = 0;
	for (end = bytes / sizeof *text; at < end && !takes;
	     at += wcslen(text + at) + 1) {
		len = wcslen(text + at);
		takes = len >= n && _wcsicmp(text + at + len - n, target) == 0;
		at += len + 1;
		if (at >= end)
			break;
	}
	free(text);
	return takes;
}

/* A removal that waits for the next start would take the new file away, and its name would
   stay. */
static int
check_pending(const wchar_t *target, struct setup_report *r)
{
	const wchar_t *path = L"SYSTEM\\CurrentControlSet\\Control\\Session Manager";
	bool takes;
	HKEY key;
	LONG e = RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_READ, &key);

	if (e != ERROR_SUCCESS)
		return setup_fail_os(r, (DWORD)e, L"HKLM\\%ls", path);
	takes = list_takes(key, L"PendingFileRenameOperations", target) ||
		list_takes(key, L"PendingFileRenameOperations2", target);
	RegCloseKey(key);
	return takes
		   ? setup_fail(r,
			 L"the driver was removed, and its file goes when the machine is "
			 L"restarted: restart it first")
		   : 0;
}

/* Its bytes are on the medium before anything leads to them: a power cut must not leave a
   filter's name with an empty file. */
static bool
flush_file(const wchar_t *path)
{
	HANDLE f = CreateFileW(path, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
	DWORD e;
	bool ok;

	if (f == INVALID_HANDLE_VALUE)
		return false;
	ok = FlushFileBuffers(f);
	e = GetLastError();
	CloseHandle(f);
	SetLastError(e);
	return ok;
}

/* First beside the place, then in one step over it; while the old one runs, at the next
   start.  1: the next start runs the old one still. */
static int
place_file(const wchar_t *source, const wchar_t *target, struct setup_report *r)
{
	wchar_t beside[SETUP_PATH_MAX];

	wcscpy(beside, target);
	wcscat(beside, L".new");
	/* What was copied from a medium that is read-only would be so here, too. */
	SetFileAttributesW(beside, FILE_ATTRIBUTE_NORMAL);
	SetFileAttributesW(target, FILE_ATTRIBUTE_NORMAL);
	if (!CopyFileW(source, beside, FALSE) ||
	    !SetFileAttributesW(beside, FILE_ATTRIBUTE_NORMAL) || !flush_file(beside)) {
		setup_fail_os(r, GetLastError(), L"%ls to %ls", source, beside);
		DeleteFileW(beside);
		return -1;
	}
	if (MoveFileExW(
		beside, target, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
		return 0;
	if (MoveFileExW(
		beside, target, MOVEFILE_REPLACE_EXISTING | MOVEFILE_DELAY_UNTIL_REBOOT))
		return 1;
	setup_fail_os(r, GetLastError(), L"%ls", target);
	DeleteFileW(beside);
	return -1;
}

static int
make_parameters(struct setup_report *r)
{
	const wchar_t *path = L"SYSTEM\\CurrentControlSet\\Services"
			      L"\\" HOTCOPY_SERVICE L"\\" HOTCOPY_KEY_PARAMETERS;
	DWORD zero = 0;
	HKEY key;
	LONG e = RegCreateKeyExW(
	    HKEY_LOCAL_MACHINE, path, 0, NULL, 0, KEY_READ | KEY_WRITE, NULL, &key, NULL);

	if (e != ERROR_SUCCESS)
		return setup_fail_os(r, (DWORD)e, L"HKLM\\%ls", path);
	/* A kill switch that a person has set stays. */
	if (RegQueryValueExW(key, HOTCOPY_VALUE_DISABLED, NULL, NULL, NULL, NULL) !=
	    ERROR_SUCCESS)
		e = RegSetValueExW(key, HOTCOPY_VALUE_DISABLED, 0, REG_DWORD,
		    (const BYTE *)&zero, sizeof zero);
	if (e == ERROR_SUCCESS)
		e = RegSetValueExW(key, HOTCOPY_VALUE_FAILED_STARTS, 0, REG_DWORD,
		    (const BYTE *)&zero, sizeof zero);
	RegCloseKey(key);
	return e == ERROR_SUCCESS ? 0 : setup_fail_os(r, (DWORD)e, L"HKLM\\%ls", path);
}

/* Errors, warnings and information. */
static int
make_log_source(struct setup_report *r)
{
	static const wchar_t texts[] = HOTCOPY_LOG_TEXTS;
	DWORD types = 7;
	HKEY key;
	LONG e = RegCreateKeyExW(HKEY_LOCAL_MACHINE, HOTCOPY_KEY_LOG, 0, NULL, 0,
	    KEY_READ | KEY_WRITE, NULL, &key, NULL);

	if (e == ERROR_SUCCESS) {
		e = RegSetValueExW(key, L"EventMessageFile", 0, REG_EXPAND_SZ,
		    (const BYTE *)texts, sizeof texts);
		if (e == ERROR_SUCCESS)
			e = RegSetValueExW(key, L"TypesSupported", 0, REG_DWORD,
			    (const BYTE *)&types, sizeof types);
		RegCloseKey(key);
	}
	return e == ERROR_SUCCESS ? 0
				  : setup_fail_os(r, (DWORD)e, L"HKLM\\" HOTCOPY_KEY_LOG);
}

static int
make_service(struct setup_report *r)
{
	static const wchar_t image[] = L"system32\\drivers\\" HOTCOPY_FILE;
	SC_HANDLE manager, service;
	int done = 0;

	manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
	if (manager == NULL)
		return setup_fail_os(r, GetLastError(), L"the service manager");
	service = CreateServiceW(manager, HOTCOPY_SERVICE, L"Holdfast hot copy",
	    SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER, SERVICE_BOOT_START,
	    SERVICE_ERROR_NORMAL, image, HOTCOPY_GROUP, NULL, NULL, NULL, NULL);
	if (service == NULL && GetLastError() == ERROR_SERVICE_EXISTS) {
		service = OpenServiceW(manager, HOTCOPY_SERVICE, SERVICE_ALL_ACCESS);
		if (service != NULL &&
		    !ChangeServiceConfigW(service, SERVICE_KERNEL_DRIVER,
			SERVICE_BOOT_START, SERVICE_ERROR_NORMAL, image, HOTCOPY_GROUP,
			NULL, NULL, NULL, NULL, NULL))
			done = setup_fail_os(
			    r, GetLastError(), L"the service " HOTCOPY_SERVICE);
	}
	if (service == NULL)
		done = setup_fail_os(r, GetLastError(), L"the service " HOTCOPY_SERVICE);
	else
		CloseServiceHandle(service);
	CloseServiceHandle(manager);
	return done;
}

/* What the registry says is on the medium: it names neither filter nor service any more. */
static int
flush_registry(struct setup_report *r)
{
	HKEY key;
	LONG e = RegOpenKeyExW(HKEY_LOCAL_MACHINE, L"SYSTEM", 0, KEY_READ, &key);

	if (e == ERROR_SUCCESS) {
		e = RegFlushKey(key);
		RegCloseKey(key);
	}
	return e == ERROR_SUCCESS ? 0 : setup_fail_os(r, (DWORD)e, L"HKLM\\SYSTEM");
}

/* 1: there is none. */
static int
delete_service(struct setup_report *r)
{
	SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS), service;
	DWORD e = ERROR_SUCCESS;

	if (manager == NULL)
		return setup_fail_os(r, GetLastError(), L"the service manager");
	service = OpenServiceW(manager, HOTCOPY_SERVICE, SERVICE_ALL_ACCESS);
	if (service == NULL)
		e = GetLastError();
	else if (!DeleteService(service) &&
		 GetLastError() != ERROR_SERVICE_MARKED_FOR_DELETE)
		e = GetLastError();
	if (service != NULL)
		CloseServiceHandle(service);
	CloseServiceHandle(manager);
	if (e == ERROR_SERVICE_DOES_NOT_EXIST)
		return 1;
	return e == ERROR_SUCCESS ? 0
				  : setup_fail_os(r, e, L"the service " HOTCOPY_SERVICE);
}

enum setup_result
setup_install(const wchar_t *path, struct setup_report *r)
{
	wchar_t target[SETUP_PATH_MAX];
	int placed;

	if (target_path(target, r) != 0 || check_file(path, r) != 0 ||
	    check_pending(target, r) != 0 || (placed = place_file(path, target, r)) < 0)
		return SETUP_FAILED;
	/* The name last: until then nobody looks for the file. */
	if (make_service(r) != 0 || make_parameters(r) != 0 || make_log_source(r) != 0 ||
	    setup_filters_add(HOTCOPY_SERVICE, r) != 0)
		return SETUP_FAILED;
	return placed == 0 ? SETUP_DONE : SETUP_LATER;
}

enum setup_result
setup_remove(struct setup_report *r)
{
	wchar_t target[SETUP_PATH_MAX];
	uint32_t taken, left;
	int service;

	if (target_path(target, r) != 0 ||
	    setup_filters_remove(HOTCOPY_SERVICE, &taken, &left, r) != 0)
		return SETUP_FAILED;
	if (left > 0)
		return setup_fail(r,
		    L"%u places name the filter still: its file and service stay, so "
		    L"that Windows starts",
		    left);
	if ((service = delete_service(r)) < 0)
		return SETUP_FAILED;
	RegDeleteKeyW(HKEY_LOCAL_MACHINE, HOTCOPY_KEY_LOG);
	if (flush_registry(r) != 0)
		return SETUP_FAILED;
	if (DeleteFileW(target))
		return SETUP_DONE;
	if (GetLastError() == ERROR_FILE_NOT_FOUND)
		return taken == 0 && service == 1 ? SETUP_NOTHING : SETUP_DONE;
	if (!MoveFileExW(target, NULL, MOVEFILE_DELAY_UNTIL_REBOOT))
		return setup_fail_os(r, GetLastError(), L"%ls", target);
	return SETUP_LATER;
}
