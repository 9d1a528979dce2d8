/*
 * fat.h - FAT12, FAT16 and FAT32 as their bytes lie on the disk; for fat*.c, and
 * fat_boot_parse() for those who read its files (server/files).
 *
 *	fat_boot.c	the boot sector: bytes in, facts out
 *	fat.c		fat_plan(): allocation, and chains of clusters as files
 *
 * Directories are not read: where a chain begins a file begins, and that is all
 * the cuts need.  exFAT is not told from any other bytes.
 */
#ifndef AGENT_MAP_FAT_H
#define AGENT_MAP_FAT_H

#include <stdint.h>

struct fat_boot {
	unsigned bits;	       /* 12, 16 or 32: of an entry of the table. */
	uint32_t cluster_size; /* Bytes. */
	uint32_t clusters;     /* Of data: numbers 2..clusters + 1. */
	uint32_t tables;       /* Copies of the allocation table. */
	uint64_t table_at;     /* Byte where the first begins. */
	uint64_t table_size;   /* Bytes of one. */
	uint64_t data_at;      /* Byte where cluster 2 begins. */
	int dirty;	       /* The boot sector says: not left clean. */
};

/* Read the 512 bytes of a boot sector of a volume of `size` bytes; 1, or 0: not FAT. */
int fat_boot_parse(const uint8_t *p, uint64_t size, struct fat_boot *out);

#endif /* AGENT_MAP_FAT_H */
