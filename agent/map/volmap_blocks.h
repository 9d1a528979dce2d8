/*
 * volmap_blocks.h - the blocks of files that lie in several pieces.
 *
 * Runs come in along the files; the blocks go out along the volume, each where
 * its lowest piece lies.  The blocks of a dense file (volmap_dense.h) are regions of
 * VOLMAP_REGION_LEN bytes, and each of its runs goes out as one of such a file.
 * For volmap_runs.c alone.
 *
 *	volmap_blocks_new -> volmap_blocks_add ... -> volmap_blocks_finish
 *	    -> volmap_blocks_at ... -> volmap_blocks_free
 */
#ifndef AGENT_MAP_VOLMAP_BLOCKS_H
#define AGENT_MAP_VOLMAP_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct sorter;
struct spill;
struct volmap_blocks;
struct volmap_piece;
struct volmap_run;

/* For clusters of `cluster_size` bytes, a power of two below VOLMAP_REGION_LEN.  NULL. */
struct volmap_blocks *
volmap_blocks_new(uint32_t cluster_size, size_t memory, const struct spill *spill);
void volmap_blocks_free(struct volmap_blocks *b);

/*
 * The next run along the files whose first `valid` bytes are data (> 0); of one
 * file no two overlap, and all are `dense` or none.  Fails as sorter_add().
 */
int volmap_blocks_add(struct volmap_blocks *b, const struct volmap_run *run,
    uint64_t valid, int dense, struct err *err);

/* All are in.  Fails as sorter_finish(). */
int volmap_blocks_finish(struct volmap_blocks *b, struct err *err);

/* Does a run of a dense file begin at `lcn`?  1, 0; -1 as sorter_next(). */
int volmap_blocks_dense(struct volmap_blocks *b, uint32_t lcn, struct err *err);

/* As volmap_runs_block(). */
int volmap_blocks_at(struct volmap_blocks *b, uint32_t lcn, struct volmap_piece *out,
    uint32_t *count, struct err *err);

/* Its sorter, for what it holds and spilled. */
const struct sorter *volmap_blocks_sorter(const struct volmap_blocks *b);

#endif /* AGENT_MAP_VOLMAP_BLOCKS_H */
