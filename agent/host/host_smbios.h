/*
 * host_smbios.h - who a machine is, from its firmware's tables.
 */
#ifndef AGENT_HOST_HOST_SMBIOS_H
#define AGENT_HOST_HOST_SMBIOS_H

#include <stddef.h>
#include <stdint.h>

struct layout;

/*
 * Read what GetSystemFirmwareTable('RSMB') gives (struct RawSMBIOSData), believing
 * nothing: UUID (as Linux writes it), maker and product of `l`, as far as they are there.
 */
void host_smbios_parse(const uint8_t *p, size_t len, struct layout *l);

#endif /* AGENT_HOST_HOST_SMBIOS_H */
