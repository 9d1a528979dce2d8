/*
 * disk_reader.h - a whole disk of a point, put together from its volumes.
 *
 * The disk's image has partition tables, boot code and gaps; each partition that is
 * a volume is read from that (proto/layout).  What no volume has reads as zeros.
 * As with tree_reader.h, any number of threads may read.
 */
#ifndef AGENT_TREE_DISK_READER_H
#define AGENT_TREE_DISK_READER_H

#include <stdint.h>

#include "agent/tree/tree_reader.h"

struct disk_reader;

/*
 * Open disk `name` of the point, with "" the only one.  ERR_NOTFOUND (with the names
 * that there are, or that the point holds none); ERR_CORRUPT.  `p` must outlive it.
 */
int disk_reader_open(
    struct tree_point *p, const char *name, struct disk_reader **out, struct err *err);
void disk_reader_close(struct disk_reader *d);

uint64_t disk_reader_size(const struct disk_reader *d);

/* As tree_reader_read() and tree_reader_extents(), of the disk. */
int disk_reader_read(
    struct disk_reader *d, uint64_t offset, void *out, size_t len, struct err *err);
int disk_reader_extents(struct disk_reader *d, uint64_t offset, uint64_t len,
    int (*each)(void *arg, const struct tree_range *range), void *arg, struct err *err);

#endif /* AGENT_TREE_DISK_READER_H */
