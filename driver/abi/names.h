/*
 * names.h - what the driver is called, and where its settings lie in the registry; for the
 * kernel's side, hotcopyctl and the agent.
 *
 * Wide strings, except where a name says otherwise.  HOTCOPY_KEY_PARAMETERS is a sub-key of
 * the service's own key, which DriverEntry is given.
 */
#ifndef DRIVER_ABI_NAMES_H
#define DRIVER_ABI_NAMES_H

#define HOTCOPY_SERVICE L"hotcopy"
#define HOTCOPY_FILE L"hotcopy.sys"
#define HOTCOPY_DEVICE L"\\Device\\HotCopy"
#define HOTCOPY_LINK L"\\DosDevices\\HotCopy"
#define HOTCOPY_PATH L"\\\\.\\HotCopy"

/* The class of volumes, in whose UpperFilters the service is named. */
#define HOTCOPY_CLASS L"{71A27CDD-812A-11D0-BEC7-08002BE2092F}"
#define HOTCOPY_GROUP L"PnP Filter"

/* Where the System log finds the driver's texts, below HKLM. */
#define HOTCOPY_KEY_LOG L"SYSTEM\\CurrentControlSet\\Services\\EventLog\\System\\" HOTCOPY_SERVICE
#define HOTCOPY_LOG_TEXTS L"%SystemRoot%\\System32\\drivers\\" HOTCOPY_FILE

#define HOTCOPY_KEY_PARAMETERS L"Parameters"
/* REG_DWORD.  Not 0: the kill switch, set by a person; the driver only passes on. */
#define HOTCOPY_VALUE_DISABLED L"Disabled"
/* REG_DWORD, kept by the driver: starts in a row that did not come to their end.  From
   HOTCOPY_FAILED_STARTS_MAX on it only passes on, until a person sets it to 0. */
#define HOTCOPY_VALUE_FAILED_STARTS L"FailedStarts"
#define HOTCOPY_FAILED_STARTS_MAX 2u

/* A sub-key of the parameters, the driver's own: where tracking stores lie, a REG_BINARY
   value (driver/nt/record.h) for each tracked volume.  It goes whenever the driver only
   passes on, for then it does not see what is written. */
#define HOTCOPY_KEY_VOLUMES L"Volumes"

#endif /* DRIVER_ABI_NAMES_H */
