/*
 * The kernel's command line: any bytes end in settings that keep to their limits,
 * or in one line of refusal.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "rescue/cmdline.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
must(int holds)
{
	if (!holds)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT;
	struct cmdline c;
	unsigned i;

	if (cmdline_parse((const char *)p, len, &c, &err) != 0) {
		must(err.code == ERR_UNSUPPORTED || err.code == ERR_LIMIT);
		must(err.text[0] != '\0');
		return 0;
	}
	must(c.maps_count <= LAYOUT_DISKS_MAX);
	must(!c.automatic || c.maps_count == 0);
	must(c.unattended == (c.automatic || c.maps_count > 0));
	must(c.end <= CMDLINE_SHELL);
	for (i = 0; i < c.maps_count; i++) {
		must(c.maps[i].name[0] != '\0' && c.maps[i].device[0] != '\0');
		must(strchr(c.maps[i].device, '/') == NULL);
	}
	return 0;
}
