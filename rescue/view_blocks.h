/*
 * view_blocks.h - which blocks of a view were written, and the bytes of those that
 * are behind the end to be.  For view.c alone; no locks of its own.
 */
#ifndef RESCUE_VIEW_BLOCKS_H
#define RESCUE_VIEW_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#define VIEW_BLOCK 4096u

/* A set of blocks: a bit each, in pages that are made when one is needed. */
struct view_marks {
	uint64_t **page;
	size_t pages;
	uint64_t count;
};

/* For `blocks` blocks; 0, or -1: no memory. */
int view_marks_init(struct view_marks *m, uint64_t blocks);
void view_marks_free(struct view_marks *m);

/* 0, or -1: no memory. */
int view_marks_add(struct view_marks *m, uint64_t block);
int view_marks_has(const struct view_marks *m, uint64_t block);

/* The first marked block at or after `block`, and how many follow with it: 1, or 0. */
int view_marks_next(
    const struct view_marks *m, uint64_t block, uint64_t *first, uint64_t *count);

/* Blocks kept in memory, by number. */
struct view_kept;
struct view_kept *view_kept_new(size_t limit); /* Bytes. */
void view_kept_free(struct view_kept *k);
size_t view_kept_bytes(const struct view_kept *k);

/* The VIEW_BLOCK bytes of `block`, or NULL. */
uint8_t *view_kept_find(const struct view_kept *k, uint64_t block);

/* Make room for it, not filled.  NULL: the limit, or no memory. */
uint8_t *view_kept_add(struct view_kept *k, uint64_t block);

#endif /* RESCUE_VIEW_BLOCKS_H */
