/*
 * metacache_format.h - the file of a metacache: bytes in, facts out.
 *
 *	header			64 KiB
 *	group 0			64 KiB of 16 tables, then 448 slots of 64 KiB
 *	group 1			...
 *
 * A slot holds a page of the volume: 64 KiB, of which it has some grains of 4 KiB.  All
 * is aligned, so that a copy of $MFT which a backup of this very file meets is cut as
 * $MFT is.  Numbers are little-endian; hashes are BLAKE3 with a key that only this host
 * and its server have, so that nobody finds two grains of one hash.
 *
 *	Header
 *	+0	8	magic "HFMETA_1"
 *	+8	32	id of the tree's root
 *	+40	8	sequence of its point
 *	+48	8	bytes of the volume
 *	+56	32	hash of the bytes before; then zeros
 *
 * All zeros: it is nobody's.
 *
 *	Table n: slots 28 n to 28 n + 27
 *	+0	32	hash of the bytes that follow
 *	+32	4	n
 *	+36	28	zeros
 *	+64	28 x 144	of each slot:
 *	  +0	4	page, plus 1; 0: the slot is free
 *	  +4	4	zeros
 *	  +8	2	which grains it has, bit by bit
 *	  +10	2	which of these are newer than the header's point
 *	  +12	4	zeros
 *	  +16	16 x 8	of each grain the first 8 bytes of its hash
 *
 * A grain of ones (all bytes 0xff: an empty $LogFile has 64 MiB of them) is told by its
 * hash: what lies in its place is not written, and not looked at.
 *
 * Pages from METACACHE_HEADS on are no bytes of the volume: two bits for each 4 KiB of
 * it, lowest first, tell what is known of a file that begins there: 2 it is not dense, 3
 * it is, 0 nothing.  That is by the rule of volmap_dense.h: another wants another magic.
 */
#ifndef AGENT_MAP_METACACHE_FORMAT_H
#define AGENT_MAP_METACACHE_FORMAT_H

#include <stdint.h>

#include "proto/chunk/chunk_id.h"

#define METACACHE_GRAIN 4096u
#define METACACHE_GRAINS 16u /* Of a page. */
#define METACACHE_PAGE (METACACHE_GRAINS * METACACHE_GRAIN)
#define METACACHE_TABLE 4096u  /* Bytes. */
#define METACACHE_SLOTS 28u    /* Of a table. */
#define METACACHE_TABLES 16u   /* Of a group. */
#define METACACHE_HEADER 4096u /* Bytes that are written. */
#define METACACHE_KEY CHUNK_KEY_LEN

#define METACACHE_HEADS 0x80000000u
#define METACACHE_PAGE_MAX 0xfffffffdu
#define METACACHE_FREE 0xffffffffu

/* Bytes of the file where a table and a slot begin. */
uint64_t metacache_table_at(uint32_t table);
uint64_t metacache_slot_at(uint32_t slot);

struct metacache_header {
	struct chunk_id root;
	uint64_t sequence, size;
};

void metacache_header_store(const struct metacache_header *h,
    const uint8_t key[METACACHE_KEY], uint8_t out[METACACHE_HEADER]);

/* 1, or 0 if it is nobody's. */
int metacache_header_parse(const uint8_t p[METACACHE_HEADER],
    const uint8_t key[METACACHE_KEY], struct metacache_header *out);

/* Give a table its number and hash; is it sound, and table `n`?  1 or 0. */
void metacache_table_seal(
    uint8_t p[METACACHE_TABLE], uint32_t n, const uint8_t key[METACACHE_KEY]);
int metacache_table_check(
    const uint8_t p[METACACHE_TABLE], uint32_t n, const uint8_t key[METACACHE_KEY]);

struct metacache_slot {
	uint32_t page; /* METACACHE_FREE: none, and nothing else counts. */
	uint16_t known, newer;
};

/* Slot `i` of a sound table; what makes no sense is free. */
void metacache_slot_load(
    const uint8_t p[METACACHE_TABLE], unsigned i, struct metacache_slot *out);
void metacache_slot_store(
    uint8_t p[METACACHE_TABLE], unsigned i, const struct metacache_slot *slot);

/* The hash of one of its grains, as it stands there; and what it is. */
uint8_t *metacache_grain_hash(uint8_t p[METACACHE_TABLE], unsigned i, unsigned grain);
#define METACACHE_HASH 8u
void metacache_hash(const uint8_t p[METACACHE_GRAIN], const uint8_t key[METACACHE_KEY],
    uint8_t out[METACACHE_HASH]);

#endif /* AGENT_MAP_METACACHE_FORMAT_H */
