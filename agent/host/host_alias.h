/*
 * host_alias.h - a controller's name as Linux has it (modalias), from Windows' ids.
 *
 * A point names controllers in one way, whatever system wrote it: the server and the
 * rescue compare them with what Linux' and Windows' drivers say they drive.
 */
#ifndef AGENT_HOST_HOST_ALIAS_H
#define AGENT_HOST_HOST_ALIAS_H

#include <stddef.h>
#include <stdint.h>

/* enum layout_kind: by the class of PCI, the number of a virtio device, a VMBus GUID. */
uint8_t host_alias_kind(const char *modalias);

/*
 * From the hardware ids of one device and its compatible ids, each with its NUL and one
 * more NUL at the end of both, of at most `len` bytes:
 *
 *	PCI\VEN_8086&DEV_2922&SUBSYS_11001AF4&REV_02, PCI\VEN_8086&DEV_2922&CC_010601
 *	    -> pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01
 *	VMBUS\{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}
 *	    -> vmbus:d96361baa104294db60572e2ffb1dc7f
 *
 * Parts that no id has are zeros.  1, or 0: neither PCI nor VMBus.
 */
int host_alias_make(const char *ids, size_t len, char *out, size_t cap);

#endif /* AGENT_HOST_HOST_ALIAS_H */
