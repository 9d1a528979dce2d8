#include <windows.h>

#include <wchar.h>

#include "agent/cli/service_parts_win32.h"

/*
 * What LocalSystem is left with; the manager takes away the rest (learn.microsoft.com,
 * winsvc.h, SERVICE_REQUIRED_PRIVILEGES_INFOW).
 * SeBackup: opens any volume, file and hive for reading; VSS asks for it.
 * SeRestore: the same for writing, for a restore to a volume (learn.microsoft.com, VSS,
 *	"Working with File System and Security Features").
 * SeManageVolume: control codes of volumes and disks, as to lock and dismount
 *	(learn.microsoft.com, "Privilege Constants").
 * SeImpersonate: VSS and its writers call back into the requester, which must see who
 *	calls (learn.microsoft.com, VSS, "Security Considerations for Requesters").
 * SeSystemEnvironment: the firmware's boot entries, which a point keeps
 *	(learn.microsoft.com, winbase.h, GetFirmwareEnvironmentVariableW).
 * SeChangeNotify is never taken away; named so that the list is whole.
 */
static const wchar_t privileges[] = L"SeBackupPrivilege\0SeRestorePrivilege\0"
				    L"SeManageVolumePrivilege\0SeImpersonatePrivilege\0"
				    L"SeSystemEnvironmentPrivilege\0"
				    L"SeChangeNotifyPrivilege\0";

const wchar_t *
service_privileges(void)
{
	return privileges;
}

unsigned
service_take_privileges(void)
{
	TOKEN_PRIVILEGES t = { .PrivilegeCount = 1 };
	unsigned missing = 0;
	HANDLE token;

	if (!OpenProcessToken(
		GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES | TOKEN_QUERY, &token))
		return 1;
	t.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
	for (const wchar_t *p = privileges; *p != L'\0'; p += wcslen(p) + 1)
		/* It succeeds also where the last error says that not all was assigned.
		 */
		if (!LookupPrivilegeValueW(NULL, p, &t.Privileges[0].Luid) ||
		    !AdjustTokenPrivileges(token, FALSE, &t, 0, NULL, NULL) ||
		    GetLastError() == ERROR_NOT_ALL_ASSIGNED)
			missing++;
	CloseHandle(token);
	return missing;
}
