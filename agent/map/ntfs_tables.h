/*
 * ntfs_tables.h - where an NTFS keeps what a map of it reads again and again.
 */
#ifndef AGENT_MAP_NTFS_TABLES_H
#define AGENT_MAP_NTFS_TABLES_H

#include <stdint.h>

struct err;
struct volmap_source;

/*
 * Call `each` for the ranges (bytes) of $MFT, $LogFile and $Bitmap; of `src` only `read`,
 * `arg` and `size` are used.  1: all were told; 0: no NTFS, or one that makes no sense;
 * -1: reading failed, ERR_NOMEM, or `each` did not give 0.
 */
int ntfs_tables(const struct volmap_source *src,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err);

#endif /* AGENT_MAP_NTFS_TABLES_H */
