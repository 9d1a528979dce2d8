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

#endif /* AGENT_MAP_NTFS_FREE_H */
