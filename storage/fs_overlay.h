/*
 * fs_overlay.h - files that may be read only, as if they could be written.
 *
 * Over another layer, which is never changed: what is written, renamed or removed
 * is kept in memory and gone when the layer is freed.  So a store on a read-only
 * mount opens by the very same code that recovers one.  Locks are taken below,
 * where that is possible.  Any thread may call.
 */
#ifndef STORAGE_FS_OVERLAY_H
#define STORAGE_FS_OVERLAY_H

#include <stdint.h>

struct err;
struct fs;

/* Changes are at most `max` bytes, more fail with ERR_NOSPACE.  `below` is borrowed. */
int fs_overlay_new(struct fs *below, uint64_t max, struct fs **out, struct err *err);

#endif /* STORAGE_FS_OVERLAY_H */
