/*
 * disk_table.h - the partition table of a disk, read from bytes that nobody vouches for.
 *
 * GPT: the primary one, or the backup if the primary is broken.  MBR: with the chain
 * in its extended partition.  What makes no sense (a partition past the disk's end,
 * two over each other, one over the table; a chain that runs in a ring) is left out of
 * the list with a note: its bytes are in no volume then, but in the disk's image.
 */
#ifndef AGENT_DISK_DISK_TABLE_H
#define AGENT_DISK_DISK_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/layout/layout.h"

struct err;

#define DISK_TABLE_ENTRY_LEN 128u
#define DISK_TABLE_ENTRIES_MAX 1024u
#define DISK_TABLE_ARRAY_MAX (1024u * 1024) /* Bytes of a GPT's entries. */

struct disk_table_source {
	/* Exactly `len` bytes of the disk, within its size. */
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void *arg;
	uint64_t size;	      /* Bytes, > 0; a multiple of the sector's. */
	uint32_t sector_size; /* Logical; 0: an image file's, by where its GPT lies. */
};

/* Large (25 KB): on the heap. */
struct disk_table {
	enum layout_table kind;
	uint32_t sector_size;
	uint8_t id[16]; /* As layout_disk's. */
	int backup;	/* The primary GPT is broken. */
	unsigned count;
	/* By offset; `disk` 0, `volume` LAYOUT_NO_VOLUME. */
	struct layout_partition partitions[LAYOUT_PARTITIONS_MAX];
	char note[160]; /* For the log, or "". */
};

/* Fails only if reading does. */
int disk_table_read(
    const struct disk_table_source *src, struct disk_table *out, struct err *err);

/* CRC-32 as in GPT (ISO-HDLC), of `len` bytes after what gave `crc`; begin with 0. */
uint32_t disk_table_crc(uint32_t crc, const uint8_t *p, size_t len);

/* The GUIDs that decide what a partition is for, as on disk. */
extern const uint8_t disk_table_esp[16], disk_table_msr[16], disk_table_recovery[16],
    disk_table_bios_boot[16], disk_table_swap[16];

/*
 * Is the partition one of Windows' dynamic disks?  A database of its own says what lies
 * where in it, so a file system at its begin speaks for none of the rest.
 */
int disk_table_dynamic(enum layout_table kind, const struct layout_partition *p);

#endif /* AGENT_DISK_DISK_TABLE_H */
