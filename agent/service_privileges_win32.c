#include <windows.h>

#include <wchar.h>

#include "agent/service_parts_win32.h"

/*
 * What LocalSystem is left with (the manager takes away the rest:
 * learn.microsoft.com/windows/win32/api/winsvc/ns-winsvc-service_required_privileges_infow):
 *	SeBackupPrivilege	 opens any file, volume and hive for reading; asked for by
 *VSS SeRestorePrivilege	 the same for writing: a restore to a volume
 *				 (.../windows/win32/vss/working-with-file-system-and-security-features)
 *	SeManageVolumePrivilege	 a volume's and a disk's control codes: lock, dismount,
 *				 shadow copy storage
 *(.../windows/win32/secauthz/privilege-constants)
 *	SeImpersonatePrivilege	 VSS writers call back into the requester, which looks who
 *				 it is
 *(.../windows/win32/vss/security-considerations-for-requestors)
 *	SeSystemEnvironmentPrivilege
 *				 the firmware's boot entries, which a point keeps
 *				 (.../api/winbase/nf-winbase-getfirmwareenvironmentvariablew)
 *	SeChangeNotifyPrivilege	 is never taken away; named so that the list is whole
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
