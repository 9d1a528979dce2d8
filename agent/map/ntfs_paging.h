/*
 * ntfs_paging.h - where the page file, the swap file, the hibernation file and our
 * driver's tracking store ($Holdfast.track) of an NTFS lie, found by the root directory: a
 * few reads, whatever the volume's size.
 *
 * For who must know it before a volume is frozen, and again afterwards: only what is the
 * same both times may be left out.  All bytes are hostile.  Of a file about which
 * anything is odd (an attribute list, a second name but the short one of its long one, a
 * part that is compressed, sparse, or not its own) nothing is told.
 */
#ifndef AGENT_MAP_NTFS_PAGING_H
#define AGENT_MAP_NTFS_PAGING_H

#include "agent/map/volmap.h"

struct err;

#define NTFS_PAGING_EXTENTS 4096u /* Of all files together; of more none is told. */

struct ntfs_paging {
	unsigned count; /* In order and apart; each of VOLMAP_GRAIN bytes at least. */
	struct volmap_unkept extent[NTFS_PAGING_EXTENTS];
};

/*
 * Look; of `src` only `read`, `arg` and `size` are used.  1: looked, perhaps nothing was
 * found; 0: no NTFS, or one that makes no sense; -1: reading failed, ERR_NOMEM.
 */
int ntfs_paging_find(
    const struct volmap_source *src, struct ntfs_paging *out, struct err *err);

/* The same places for the same reasons? */
int ntfs_paging_same(const struct ntfs_paging *a, const struct ntfs_paging *b);

#endif /* AGENT_MAP_NTFS_PAGING_H */
