/*
 * vhdx.h - a virtual disk as Hyper-V, Windows and others attach it: the bytes of a
 * dynamic VHDX around its payload, by [MS-VHDX].  No I/O.
 *
 *	0      file type identifier, two headers, two region tables	vhdx_head()
 *	1 MiB  log, empty						zeros
 *	2 MiB  metadata							vhdx_metadata()
 *	3 MiB  BAT: where each block of the disk is			vhdx_bat_at(),
 *_entry() then   blocks, in the order in which they were first written
 *
 * Sections are those of https://learn.microsoft.com/openspecs/windows_protocols/ms-vhdx
 */
#ifndef AGENT_RESTORE_VHDX_H
#define AGENT_RESTORE_VHDX_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define VHDX_SIZE_MAX ((uint64_t)64 << 40) /* 2.6.2.2: of the virtual disk. */
#define VHDX_ALIGN (1u << 20)		   /* Of all that stands in the file. */
#define VHDX_HEAD_LEN VHDX_ALIGN
#define VHDX_METADATA_AT ((uint64_t)2 * VHDX_ALIGN)
#define VHDX_METADATA_LEN VHDX_ALIGN
#define VHDX_BAT_AT ((uint64_t)3 * VHDX_ALIGN)
#define VHDX_RANDOM_LEN 48u

struct vhdx {
	uint64_t size;			 /* Bytes of the disk. */
	uint32_t sector_size;		 /* 512 or 4096. */
	uint32_t block_size;		 /* Bytes. */
	uint64_t blocks;		 /* Of the disk. */
	uint64_t bat_len;		 /* Bytes of the BAT's region. */
	uint8_t random[VHDX_RANDOM_LEN]; /* Three GUIDs: of writes, data, the disk. */
};

/*
 * A disk of `size` bytes, a multiple of `sector_size`; what is not 4096 counts as 512.
 * Blocks are so long that a BAT is at most 16 MiB.  ERR_LIMIT: more than VHDX_SIZE_MAX,
 * or nothing.
 */
int vhdx_make(uint64_t size, uint32_t sector_size, const uint8_t random[VHDX_RANDOM_LEN],
    struct vhdx *out, struct err *err);

/* Byte of the file where the blocks begin. */
uint64_t vhdx_data_at(const struct vhdx *v);

/* The first VHDX_HEAD_LEN bytes.  Without its first 8, "vhdxfile", it is no VHDX. */
void vhdx_head(const struct vhdx *v, uint8_t *out);

/* VHDX_METADATA_LEN bytes. */
void vhdx_metadata(const struct vhdx *v, uint8_t *out);

/* Byte of the BAT's region where `block` has its entry of 8 bytes (others are zeros). */
uint64_t vhdx_bat_at(const struct vhdx *v, uint64_t block);

/*
 * The entry of a block that stands at `offset` of the file, in MiB, whole; 0: it is in no
 * file, and is zeros.  (Not "not present": what a reader gets of that is not defined.)
 */
uint64_t vhdx_bat_entry(uint64_t offset);

/* CRC-32C (Castagnoli). */
uint32_t vhdx_crc(const uint8_t *p, size_t len);

#endif /* AGENT_RESTORE_VHDX_H */
