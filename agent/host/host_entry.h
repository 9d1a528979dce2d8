/*
 * host_entry.h - which partition a boot entry of UEFI leads to.
 */
#ifndef AGENT_HOST_HOST_ENTRY_H
#define AGENT_HOST_HOST_ENTRY_H

#include <stddef.h>
#include <stdint.h>

struct host_entry {
	int mbr;	    /* The disk has an MBR: `id` is its signature (4 bytes). */
	uint32_t partition; /* Number. */
	uint8_t id[16];	    /* GPT: the partition's GUID as on disk. */
};

/*
 * Read an EFI_LOAD_OPTION, believing nothing: 1 if its device path has a node of a
 * hard disk's partition (type 4, subtype 1), the first of which is in `out`; else 0.
 */
int host_entry_parse(const uint8_t *p, size_t len, struct host_entry *out);

#endif /* AGENT_HOST_HOST_ENTRY_H */
