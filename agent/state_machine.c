#include "agent/state_machine.h"

#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

#define SMBIOS_SYSTEM 1
#define SMBIOS_END 127
#define SMBIOS_HEADER 4
#define SMBIOS_UUID_AT 8

int
state_machine_file(const char *path, struct buf *id, struct err *err)
{
	int found = file_load(path, id, err);

	if (found < 0)
		return err_context(err, "machine id");
	if (found == 0)
		return 0;
	while (id->len > 0 && strchr("\r\n ", id->p[id->len - 1]) != NULL)
		id->len--;
	return id->len > 0;
}

/* All zeros: no UUID.  All ones: there could be one, but nobody set it. */
static int
is_set(const uint8_t uuid[STATE_MACHINE_UUID_LEN])
{
	size_t i, same = 0;

	for (i = 1; i < STATE_MACHINE_UUID_LEN; i++)
		same += uuid[i] == uuid[0];
	return same < STATE_MACHINE_UUID_LEN - 1 || (uuid[0] != 0 && uuid[0] != 0xff);
}

int
state_machine_smbios(const uint8_t *p, size_t len, uint8_t out[STATE_MACHINE_UUID_LEN])
{
	const uint8_t *strings;
	size_t own;

	while (len >= SMBIOS_HEADER && p[0] != SMBIOS_END) {
		own = p[1];
		if (own < SMBIOS_HEADER || own > len)
			return 0;
		if (p[0] == SMBIOS_SYSTEM) {
			if (own < SMBIOS_UUID_AT + STATE_MACHINE_UUID_LEN)
				return 0;
			memcpy(out, p + SMBIOS_UUID_AT, STATE_MACHINE_UUID_LEN);
			return is_set(out);
		}
		/* Its strings follow; two zeros end them, also where there are none. */
		for (strings = p + own, len -= own; len >= 2; strings++, len--)
			if (strings[0] == 0 && strings[1] == 0)
				break;
		if (len < 2)
			return 0;
		p = strings + 2;
		len -= 2;
	}
	return 0;
}
