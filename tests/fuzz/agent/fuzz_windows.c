/* What Windows answers, of any bytes: SMBIOS, controllers' ids, volumes, disks. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/volumes.h"
#include "agent/host/host_alias.h"
#include "agent/host/host_smbios.h"
#include "proto/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct layout *l = calloc(1, sizeof(*l));
	struct volumes_volume *v = calloc(1, sizeof(*v));
	struct volumes_disk disk;
	struct err err = ERR_INIT;
	char alias[64];

	if (l == NULL || v == NULL)
		abort();
	host_smbios_parse(p, len, l);
	if (strlen(l->vendor) >= sizeof(l->vendor) ||
	    strlen(l->product) >= sizeof(l->product))
		abort();
	if (host_alias_make((const char *)p, len, alias, sizeof(alias)) &&
	    (strlen(alias) >= sizeof(alias) || host_alias_kind(alias) > LAYOUT_NETWORK))
		abort();
	if (len >= 512)
		(void)volumes_encrypted(p);
	if (len >= 16)
		(void)volumes_is_pool(p);
	if (volumes_parse_extents(p, len, v, &err) == 0 &&
	    v->extents_count > VOLUMES_EXTENTS_MAX)
		abort();
	volumes_parse_descriptor(p, len, &disk);
	if (strlen(disk.model) >= sizeof(disk.model))
		abort();
	(void)volumes_page_files((const char *)p, len);
	free(v);
	free(l);
	return 0;
}
