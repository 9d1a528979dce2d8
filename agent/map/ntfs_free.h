/*
 * ntfs_free.h - what an NTFS that was frozen in the middle of its work does not need, by its
 * own bitmap alone: far less is read than for a map, and less is told.
 */
#ifndef AGENT_MAP_NTFS_FREE_H
#define AGENT_MAP_NTFS_FREE_H

#include <stdint.h>

struct changes;
struct err;
struct volmap_source;

/*
 * Call `each` for ranges (bytes, rising) of clusters that were free when the file system
 * was flushed and that nobody has written since: their bits are clear, and neither they nor
 * the part of $Bitmap that holds their bits are in `written` (what was written since
 * before the flush; NULL: it was flushed at the cut).  Neighbours may come apart.  1: done;
 * 0: no NTFS, marked dirty, or one that makes no sense; -1: reading failed, ERR_NOMEM.
 */
int ntfs_free(const struct volmap_source *src, const struct changes *written,
    void (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err);

/* One piece of a bitmap has at most so many bytes. */
#define NTFS_FREE_PART (64u << 10)

struct ntfs_free_bits {
	uint64_t first; /* Cluster, a multiple of 8. */
	uint32_t count; /* Clusters, > 0; a multiple of 8 but for the last piece. */
	uint32_t cluster_size; /* Bytes. */
	const uint8_t *bits;
};

/*
 * Show `each` all of $Bitmap, piece by piece and rising; not 0 ends it with -1.  1: done;
 * 0: no NTFS; -1: an NTFS whose bitmap makes no sense (ERR_CORRUPT), reading failed, ERR_NOMEM.
 */
int ntfs_free_bitmap(const struct volmap_source *src,
    int (*each)(void *arg, const struct ntfs_free_bits *bits, struct err *err), void *arg,
    struct err *err);

#endif /* AGENT_MAP_NTFS_FREE_H */
