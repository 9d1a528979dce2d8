/*
 * volmap_dense.h - which files are cut by content, not at offsets.
 *
 * Those of VOLMAP_DENSE_MIN bytes and more that begin with next to no zeros: text,
 * archives, media.  They are written whole, and something may be inserted in front;
 * databases and disk images are written in pages, and have zeros.
 *
 * A file in one run is decided when the walk meets it.  One in several must be
 * known before, as the walk may meet a later part first: their heads are noted
 * while the runs are sorted and looked at in one pass along the volume, which costs
 * at most one seek for a file that costs one for each of its runs anyway.  For
 * volmap_runs.c and volmap_walk.c alone.
 *
 *	volmap_dense_new -> volmap_dense_add ... -> volmap_dense_look
 *	    -> volmap_dense_has ... -> volmap_dense_free
 */
#ifndef AGENT_MAP_VOLMAP_DENSE_H
#define AGENT_MAP_VOLMAP_DENSE_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct spill;
struct volmap_dense;
struct volmap_run;
struct volmap_source;

#define VOLMAP_DENSE_MIN (256u * 1024) /* Bytes of a file. */
#define VOLMAP_DENSE_HEAD 4096u	       /* Bytes that decide. */

/* Have the `len` bytes next to no zeros? */
int volmap_dense_bytes(const uint8_t *p, size_t len);

/* The same of the volume's bytes at `offset`; what cannot be read is not dense. */
int volmap_dense_at(const struct volmap_source *source, uint64_t offset);

/* Holds about `memory` bytes; the rest goes to `spill` (borrowed, or NULL).  NULL. */
struct volmap_dense *volmap_dense_new(size_t memory, const struct spill *spill);
void volmap_dense_free(struct volmap_dense *d);

/* A file large enough begins with this run.  Fails as sorter_add(). */
int
volmap_dense_add(struct volmap_dense *d, const struct volmap_run *head, struct err *err);

/* All are in: look at them.  Cluster 0 is at byte `base`.  Fails as sorter_finish(). */
int volmap_dense_look(struct volmap_dense *d, const struct volmap_source *source,
    uint64_t base, uint32_t cluster_size, struct err *err);

/* Is this run's file one?  Runs come along the files.  1, 0; -1 as sorter_next(). */
int
volmap_dense_has(struct volmap_dense *d, const struct volmap_run *run, struct err *err);

/* Bytes held, and ever spilled. */
uint64_t volmap_dense_memory(const struct volmap_dense *d);
uint64_t volmap_dense_spilled(const struct volmap_dense *d);

#endif /* AGENT_MAP_VOLMAP_DENSE_H */
