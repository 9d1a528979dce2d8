/* What Windows tells of the machine; as host_facts_linux.c has it from sysfs. */
#include <winsock2.h>
#include <windows.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>
#include <netioapi.h>
#include <setupapi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/host_alias.h"
#include "agent/host/host_facts.h"
#include "agent/host/host_smbios.h"
#include "proto/base/winapi.h"
#include "proto/layout/layout.h"

/* The namespace of UEFI's own variables. */
#define EFI_GLOBAL L"{8be4df61-93ca-11d2-aa0d-00e098032b8c}"

#define IDS_MAX 4096u
#define SMBIOS_MAX (1024u * 1024)
#define SMBIOS_PROVIDER 0x52534d42u /* 'RSMB' */

static void
copy_utf8(char *out, size_t cap, const wchar_t *wide)
{
	char *text = winapi_utf8(wide);

	(void)snprintf(out, cap, "%s", text != NULL ? text : "");
	free(text);
}

/* --------------------------------------------------------------- controllers -- */

/* The texts of a list property, behind `*len` bytes of `out`; one NUL is kept for the
 * end. */
static void
add_ids(HDEVINFO set, SP_DEVINFO_DATA *device, DWORD property, char *out, size_t *len)
{
	wchar_t list[IDS_MAX / 4];
	DWORD got = 0;
	char *text;
	size_t n;

	memset(list, 0, sizeof(list));
	if (!SetupDiGetDeviceRegistryPropertyW(set, device, property, NULL, (BYTE *)list,
		(DWORD)(sizeof(list) - 2 * sizeof(list[0])), &got))
		return;
	for (const wchar_t *p = list; *p != L'\0'; p += wcslen(p) + 1) {
		if ((text = winapi_utf8(p)) == NULL)
			continue;
		n = strlen(text) + 1;
		if (*len + n < IDS_MAX) {
			memcpy(out + *len, text, n);
			*len += n;
		}
		free(text);
	}
	out[*len] = '\0';
}

static void
add_device(HDEVINFO set, SP_DEVINFO_DATA *device, struct layout *l)
{
	struct layout_device *d = &l->devices[l->devices_count];
	wchar_t driver[LAYOUT_NAME_MAX];
	char ids[IDS_MAX] = "";
	size_t len = 0;

	memset(d, 0, sizeof(*d));
	memset(driver, 0, sizeof(driver));
	add_ids(set, device, SPDRP_HARDWAREID, ids, &len);
	add_ids(set, device, SPDRP_COMPATIBLEIDS, ids, &len);
	if (!host_alias_make(ids, len + 1, d->modalias, sizeof(d->modalias)) ||
	    (d->kind = host_alias_kind(d->modalias)) == LAYOUT_OTHER)
		return;
	if (SetupDiGetDeviceRegistryPropertyW(set, device, SPDRP_SERVICE, NULL,
		(BYTE *)driver, (DWORD)(sizeof(driver) - sizeof(driver[0])), NULL))
		copy_utf8(d->driver, sizeof(d->driver), driver);
	l->devices_count++;
}

static void
take_devices(struct layout *l)
{
	static const wchar_t *const buses[] = { L"PCI", L"VMBUS" };
	SP_DEVINFO_DATA device;
	HDEVINFO set;

	for (unsigned b = 0; b < sizeof(buses) / sizeof(buses[0]); b++) {
		set = SetupDiGetClassDevsW(
		    NULL, buses[b], NULL, DIGCF_ALLCLASSES | DIGCF_PRESENT);
		if (set == INVALID_HANDLE_VALUE)
			continue;
		device.cbSize = sizeof(device);
		for (DWORD i = 0; l->devices_count < LAYOUT_DEVICES_MAX &&
				  SetupDiEnumDeviceInfo(set, i, &device);
		     i++)
			add_device(set, &device, l);
		(void)SetupDiDestroyDeviceInfoList(set);
	}
}

static int
has_mac(const struct layout *l, const UCHAR mac[6])
{
	for (unsigned i = 0; i < l->macs_count; i++)
		if (memcmp(l->macs[i], mac, 6) == 0)
			return 1;
	return 0;
}

/* Of what is hardware, as it left the factory: switches and teams have others. */
static void
take_macs(struct layout *l)
{
	static const UCHAR none[6];
	MIB_IF_TABLE2 *table;
	const UCHAR *mac;

	if (GetIfTable2(&table) != NO_ERROR)
		return;
	for (ULONG i = 0; i < table->NumEntries && l->macs_count < LAYOUT_MACS_MAX; i++) {
		const MIB_IF_ROW2 *r = &table->Table[i];

		if (!r->InterfaceAndOperStatusFlags.HardwareInterface ||
		    r->InterfaceAndOperStatusFlags.FilterInterface ||
		    r->PhysicalAddressLength != 6)
			continue;
		mac = memcmp(r->PermanentPhysicalAddress, none, 6) != 0
			  ? r->PermanentPhysicalAddress
			  : r->PhysicalAddress;
		if (memcmp(mac, none, 6) == 0 || has_mac(l, mac))
			continue;
		memcpy(l->macs[l->macs_count++], mac, 6);
	}
	FreeMibTable(table);
}

/* ------------------------------------------------------------------- firmware -- */

/* GetFirmwareType() came with Windows 8; what it asks can be asked of any. */
static uint8_t
firmware_type(void)
{
	typedef BOOL(WINAPI * get_type)(DWORD *);
	HMODULE kernel = GetModuleHandleW(L"kernel32.dll");
	FARPROC found = kernel != NULL ? GetProcAddress(kernel, "GetFirmwareType") : NULL;
	get_type get;
	DWORD type = 0;

	memcpy(&get, &found, sizeof(get));
	if (get != NULL && get(&type))
		return type == 1   ? LAYOUT_BIOS
		       : type == 2 ? LAYOUT_UEFI
				   : LAYOUT_FIRMWARE_UNKNOWN;
	/* BIOS has no variables at all; UEFI does not have this one. */
	(void)GetFirmwareEnvironmentVariableW(
	    L"", L"{00000000-0000-0000-0000-000000000000}", NULL, 0);
	return GetLastError() == ERROR_INVALID_FUNCTION ? LAYOUT_BIOS
	       : GetLastError() == ERROR_NOACCESS	? LAYOUT_UEFI
							: LAYOUT_FIRMWARE_UNKNOWN;
}

/* Reading variables needs it; without it they are left out. */
static void
enable_privilege(void)
{
	TOKEN_PRIVILEGES p;
	HANDLE token;

	memset(&p, 0, sizeof(p));
	p.PrivilegeCount = 1;
	p.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &token))
		return;
	if (LookupPrivilegeValueW(
		NULL, L"SeSystemEnvironmentPrivilege", &p.Privileges[0].Luid))
		(void)AdjustTokenPrivileges(token, FALSE, &p, 0, NULL, NULL);
	(void)CloseHandle(token);
}

static size_t
read_variable(void *arg, const char *name, uint8_t *out, size_t cap)
{
	wchar_t wide[32];
	DWORD n;

	(void)arg;
	for (n = 0; n + 1 < sizeof(wide) / sizeof(wide[0]) && name[n] != '\0'; n++)
		wide[n] = (wchar_t)name[n];
	wide[n] = L'\0';
	return GetFirmwareEnvironmentVariableW(wide, EFI_GLOBAL, out, (DWORD)cap);
}

static void
take_smbios(struct layout *l)
{
	UINT n = GetSystemFirmwareTable(SMBIOS_PROVIDER, 0, NULL, 0), got;
	uint8_t *p;

	if (n == 0 || n > SMBIOS_MAX || (p = malloc(n)) == NULL)
		return;
	got = GetSystemFirmwareTable(SMBIOS_PROVIDER, 0, p, n);
	if (got > 0 && got <= n)
		host_smbios_parse(p, got, l);
	free(p);
}

void
host_facts_read(const char *dir, struct layout *l)
{
	wchar_t name[LAYOUT_TEXT_MAX];
	DWORD n = sizeof(name) / sizeof(name[0]);
	uint8_t on[16];

	(void)dir;
	enable_privilege();
	l->firmware = firmware_type();
	if (l->firmware == LAYOUT_UEFI)
		l->secure_boot =
		    read_variable(NULL, "SecureBoot", on, sizeof(on)) == 1 && on[0] == 1;
	if (GetComputerNameExW(ComputerNameDnsHostname, name, &n))
		copy_utf8(l->hostname, sizeof(l->hostname), name);
	take_smbios(l);
	take_devices(l);
	take_macs(l);
	if (l->firmware == LAYOUT_UEFI)
		host_facts_entries(l, read_variable, NULL);
}
