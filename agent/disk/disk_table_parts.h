/*
 * disk_table_parts.h - between disk_table.c and its two kinds of tables.
 */
#ifndef AGENT_DISK_DISK_TABLE_PARTS_H
#define AGENT_DISK_DISK_TABLE_PARTS_H

#include "agent/disk/disk_table.h"

#define DISK_TABLE_MBR_LEN 512u
#define DISK_TABLE_MBR_ID 440u
#define DISK_TABLE_MBR_ENTRIES 446u
#define DISK_TABLE_MBR_ENTRY_LEN 16u
#define DISK_TABLE_PROTECTIVE 0xeeu
#define DISK_TABLE_LDM 0x42u

#define DISK_TABLE_HEADER_LEN 92u

/* Is it the type of an extended partition? */
int disk_table_extended(uint8_t type);

/* Is it a logical one of an MBR's chain?  Of partitions of an MBR. */
int disk_table_logical(const struct layout_partition *p);

/* A note for the log; the first stays. */
void disk_table_doubt(struct disk_table *t, const char *why);

/* A partition more; what lies outside of `from`..`to` or is too many is doubt. */
void disk_table_add(
    struct disk_table *t, const struct layout_partition *p, uint64_t from, uint64_t to);

/*
 * The GPT with sectors of out->sector_size: 1; 0 if neither is sound, and `out` is as
 * it was; -1 if reading fails.
 */
int disk_table_gpt(
    const struct disk_table_source *src, struct disk_table *out, struct err *err);

/* The MBR in `sector`, which has its signature, and what hangs on it. */
int disk_table_mbr(const struct disk_table_source *src, const uint8_t *sector,
    struct disk_table *out, struct err *err);

#endif /* AGENT_DISK_DISK_TABLE_PARTS_H */
