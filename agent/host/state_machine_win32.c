#include <windows.h>

#include <stdlib.h>
#include <string.h>

#include "agent/host/host_smbios.h"
#include "agent/host/state_machine.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"
#include "proto/layout/layout.h"

#define GUID_UNITS_MAX 64u
#define SMBIOS_MAX (1024u * 1024)
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

/* Likewise from the firmware. */
static int
mainboard_uuid(struct buf *id, struct err *err)
{
	static const uint8_t none[sizeof(((struct layout *)0)->uuid)];
	UINT size = GetSystemFirmwareTable(SMBIOS_PROVIDER, 0, NULL, 0);
	struct layout *l = calloc(1, sizeof(*l));
	uint8_t *table = NULL;
	int found = 0;

	if (l != NULL && size > 0 && size <= SMBIOS_MAX &&
	    (table = malloc(size)) != NULL &&
	    GetSystemFirmwareTable(SMBIOS_PROVIDER, 0, table, size) == size)
		host_smbios_parse(table, size, l);
	if (l != NULL && memcmp(l->uuid, none, sizeof(none)) != 0) {
		buf_clear(id);
		found = buf_add(id, l->uuid, sizeof(l->uuid), err) == 0 ? 1 : -1;
	}
	free(table);
	free(l);
	return found;
}

int
state_machine_system(struct buf *id, struct err *err)
{
	int found = machine_guid(id, err);

	return found == 0 ? mainboard_uuid(id, err) : found;
}
