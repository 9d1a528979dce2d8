#include <windows.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "driver/abi/names.h"
#include "driver/tools/commands.h"
#include "driver/tools/filters.h"
#include "driver/tools/say.h"

#define PATH_MAX_W 1024

/* system32\drivers\hotcopy.sys */
static int
target_path(wchar_t path[PATH_MAX_W])
{
	UINT n = GetSystemDirectoryW(path, PATH_MAX_W - 32);

	if (n == 0 || n >= PATH_MAX_W - 32)
		return say_os_error(GetLastError(), L"no system directory");
	wcscat(path, L"\\drivers\\" HOTCOPY_FILE);
	return 0;
}

/* In "directory", or beside this program. */
static int
source_path(const wchar_t *directory, wchar_t path[PATH_MAX_W])
{
	wchar_t *slash;
	DWORD n;

	if (directory != NULL) {
		if (wcslen(directory) > PATH_MAX_W - 32)
			return say_error(L"'%ls' is too long", directory);
		wcscpy(path, directory);
		wcscat(path, L"\\");
	} else {
		n = GetModuleFileNameW(NULL, path, PATH_MAX_W - 32);
		if (n == 0 || n >= PATH_MAX_W - 32)
			return say_os_error(GetLastError(), L"this program's path");
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
check_file(const wchar_t *path)
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
		return say_os_error(GetLastError(), L"%ls", path);
	ReadFile(f, head, sizeof head, &n, NULL);
	CloseHandle(f);
	memcpy(&pe, head + 0x3c, 4);
	if (n < 256 || head[0] != 'M' || head[1] != 'Z' || pe > n - 8)
		return say_error(L"%ls is no driver", path);
	memcpy(&machine, head + pe + 4, 2);
	if (machine != want)
		return say_error(L"%ls is for another processor than this program", path);
	if (under_wow())
		return say_error(
		    L"this Windows has 64 bits: use the hotcopyctl.exe for x64");
	return 0;
}

/* First beside the place, then in one step over it; while the old one runs, at the next
   start.  1: the next start runs the old one still. */
static int
place_file(const wchar_t *source, const wchar_t *target)
{
	wchar_t beside[PATH_MAX_W];

	wcscpy(beside, target);
	wcscat(beside, L".new");
	if (!CopyFileW(source, beside, FALSE))
		return say_os_error(GetLastError(), L"%ls to %ls", source, beside);
	if (MoveFileExW(
		beside, target, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
		return 0;
	if (MoveFileExW(
		beside, target, MOVEFILE_REPLACE_EXISTING | MOVEFILE_DELAY_UNTIL_REBOOT))
		return 1;
	say_os_error(GetLastError(), L"%ls", target);
	DeleteFileW(beside);
	return -1;
}

static int
make_parameters(void)
{
	const wchar_t *path = L"SYSTEM\\CurrentControlSet\\Services"
			      L"\\" HOTCOPY_SERVICE L"\\" HOTCOPY_KEY_PARAMETERS;
	DWORD zero = 0;
	HKEY key;
	LONG e = RegCreateKeyExW(
	    HKEY_LOCAL_MACHINE, path, 0, NULL, 0, KEY_READ | KEY_WRITE, NULL, &key, NULL);

	if (e != ERROR_SUCCESS)
		return say_os_error((uint32_t)e, L"HKLM\\%ls", path);
	/* A kill switch that a person has set stays. */
	if (RegQueryValueExW(key, HOTCOPY_VALUE_DISABLED, NULL, NULL, NULL, NULL) !=
	    ERROR_SUCCESS)
		e = RegSetValueExW(key, HOTCOPY_VALUE_DISABLED, 0, REG_DWORD,
		    (const BYTE *)&zero, sizeof zero);
	if (e == ERROR_SUCCESS)
		e = RegSetValueExW(key, HOTCOPY_VALUE_FAILED_STARTS, 0, REG_DWORD,
		    (const BYTE *)&zero, sizeof zero);
	RegCloseKey(key);
	return e == ERROR_SUCCESS ? 0 : say_os_error((uint32_t)e, L"HKLM\\%ls", path);
}

/* Errors, warnings and information. */
static int
make_log_source(void)
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
				  : say_os_error((uint32_t)e, L"HKLM\\" HOTCOPY_KEY_LOG);
}

static int
make_service(void)
{
	static const wchar_t image[] = L"system32\\drivers\\" HOTCOPY_FILE;
	SC_HANDLE manager, service;
	int r = 0;

	manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS);
	if (manager == NULL)
		return say_os_error(GetLastError(), L"the service manager");
	service = CreateServiceW(manager, HOTCOPY_SERVICE, L"Holdfast hot copy",
	    SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER, SERVICE_BOOT_START,
	    SERVICE_ERROR_NORMAL, image, HOTCOPY_GROUP, NULL, NULL, NULL, NULL);
	if (service == NULL && GetLastError() == ERROR_SERVICE_EXISTS) {
		service = OpenServiceW(manager, HOTCOPY_SERVICE, SERVICE_ALL_ACCESS);
		if (service != NULL &&
		    !ChangeServiceConfigW(service, SERVICE_KERNEL_DRIVER,
			SERVICE_BOOT_START, SERVICE_ERROR_NORMAL, image, HOTCOPY_GROUP,
			NULL, NULL, NULL, NULL, NULL))
			r = say_os_error(GetLastError(), L"the service " HOTCOPY_SERVICE);
	}
	if (service == NULL)
		r = say_os_error(GetLastError(), L"the service " HOTCOPY_SERVICE);
	else
		CloseServiceHandle(service);
	CloseServiceHandle(manager);
	return r;
}

int
install_add(int argc, wchar_t **argv)
{
	wchar_t source[PATH_MAX_W], target[PATH_MAX_W];
	const wchar_t *directory = NULL;
	int placed;

	if (argc == 2 && wcscmp(argv[0], L"--dir") == 0)
		directory = argv[1];
	else if (argc != 0)
		return COMMANDS_USAGE;
	if (source_path(directory, source) != 0 || target_path(target) != 0 ||
	    check_file(source) != 0)
		return 1;
	placed = place_file(source, target);
	if (placed < 0)
		return 1;
	/* The name last: until then nobody looks for the file. */
	if (make_service() != 0 || make_parameters() != 0 || make_log_source() != 0 ||
	    filters_add(HOTCOPY_SERVICE) != 0)
		return 1;
	say_out(placed == 0 ? L"installed; restart the machine: volumes get the filter "
			      L"when they start\r\n"
			    : L"the driver that runs is replaced while the machine "
			      L"starts the next time, "
			      L"and used from the start after that\r\n");
	return 0;
}

/* 1: there is none. */
static int
delete_service(void)
{
	SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_ALL_ACCESS), service;
	DWORD e = ERROR_SUCCESS;

	if (manager == NULL)
		return say_os_error(GetLastError(), L"the service manager");
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
	return e == ERROR_SUCCESS ? 0 : say_os_error(e, L"the service " HOTCOPY_SERVICE);
}

int
install_remove(int argc, wchar_t **argv)
{
	wchar_t target[PATH_MAX_W];
	uint32_t left;

	(void)argv;
	if (argc != 0)
		return COMMANDS_USAGE;
	if (target_path(target) != 0 || filters_remove(HOTCOPY_SERVICE, &left) != 0)
		return 1;
	if (left > 0) {
		say_error(L"%u places name the filter still: its file and service stay, "
			  L"so that Windows "
			  L"starts",
		    left);
		return 1;
	}
	if (delete_service() < 0)
		return 1;
	RegDeleteKeyW(HKEY_LOCAL_MACHINE, HOTCOPY_KEY_LOG);
	if (DeleteFileW(target) || GetLastError() == ERROR_FILE_NOT_FOUND) {
		say_out(L"removed\r\n");
		return 0;
	}
	if (!MoveFileExW(target, NULL, MOVEFILE_DELAY_UNTIL_REBOOT)) {
		say_os_error(GetLastError(), L"%ls", target);
		return 1;
	}
	say_out(L"removed; the driver runs until the machine is restarted\r\n");
	return 0;
}
