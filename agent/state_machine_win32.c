#include <windows.h>

#include <stdlib.h>
#include <string.h>

#include "agent/state_machine.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define GUID_UNITS_MAX 64u
#define SMBIOS_MAX (1024u * 1024)

/* Before the structures: RawSMBIOSData in GetSystemFirmwareTable's documentation. */
#define SMBIOS_HEAD 8u
#define SMBIOS_PROVIDER 0x52534d42u /* 'RSMB' */

const char state_machine_place[] = "HKLM\\SOFTWARE\\Microsoft\\Cryptography\\MachineGuid";

/* The registry's id into `id`: 1, 0, -1. */
static int
machine_guid(struct buf *id, struct err *err)
{
	wchar_t guid[GUID_UNITS_MAX];
	DWORD size = sizeof(guid) - sizeof(guid[0]);
	LSTATUS rc;
	char *text;
	int found;

	rc = RegGetValueW(HKEY_LOCAL_MACHINE, L"SOFTWARE\\Microsoft\\Cryptography",
	    L"MachineGuid", RRF_RT_REG_SZ, NULL, guid, &size);
	if (rc == ERROR_FILE_NOT_FOUND)
		return 0;
	if (rc != ERROR_SUCCESS)
		return winapi_err(
		    err, (unsigned long)rc, "machine id %s", state_machine_place);
	if ((text = winapi_utf8(guid)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	buf_clear(id);
	found = text[0] == '\0' ? 0 : buf_add(id, text, strlen(text), err) == 0 ? 1 : -1;
	free(text);
	return found;
}

static int
mainboard_uuid(struct buf *id, struct err *err)
{
	uint8_t uuid[STATE_MACHINE_UUID_LEN];
	UINT size = GetSystemFirmwareTable(SMBIOS_PROVIDER, 0, NULL, 0);
	uint8_t *table;
	int found = 0;

	if (size <= SMBIOS_HEAD || size > SMBIOS_MAX || (table = malloc(size)) == NULL)
		return 0;
	if (GetSystemFirmwareTable(SMBIOS_PROVIDER, 0, table, size) == size &&
	    state_machine_smbios(table + SMBIOS_HEAD, size - SMBIOS_HEAD, uuid)) {
		buf_clear(id);
		found = buf_add(id, uuid, sizeof(uuid), err) == 0 ? 1 : -1;
	}
	free(table);
	return found;
}

int
state_machine_system(struct buf *id, struct err *err)
{
	int found = machine_guid(id, err);

	return found == 0 ? mainboard_uuid(id, err) : found;
}
