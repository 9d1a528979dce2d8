/*
 * disk_restore_table.h - the table of a disk that is written: gone first, there last.
 *
 * Whoever writes a disk, from a point or from another disk, does it in this order: a disk
 * that is half written has no table, so it does not boot and nobody mounts a part of it.
 *
 *	disk_restore_table_clear -> (all else) -> disk_restore_table_write
 */
#ifndef AGENT_RESTORE_DISK_RESTORE_TABLE_H
#define AGENT_RESTORE_DISK_RESTORE_TABLE_H

#include <stdint.h>

struct disk_plan;
struct err;
struct layout;
struct target;

/*
 * Of a target that is written in place: zeros where firmware and kernels look for a table
 * of a disk of `size` bytes, on the medium when this returns.
 */
int disk_restore_table_clear(struct target *t, uint64_t size, struct err *err);

/*
 * Write the table that the plan asks for; `image` is a view that gives the bytes of the
 * old disk's image at both of its ends.  What was written before is on the medium before
 * it, and all of it before its last sector.  With `prove` it is read back: ERR_CORRUPT.  After
 * a failure there is none again, as far as the medium takes that.
 */
int disk_restore_table_write(const struct layout *l, const struct disk_plan *plan,
    struct target *image, struct target *t, int prove, struct err *err);

#endif /* AGENT_RESTORE_DISK_RESTORE_TABLE_H */
