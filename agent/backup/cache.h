/*
 * cache.h - a volume's tree kept on the agent's disk, node by node.
 *
 * It saves asking: what the newest point of the volume holds is pinned on the
 * server while the session lives, so a chunk found in the same span of that
 * point's tree, or a leaf equal to its leaf, need not be asked for.  It also
 * tells which extents to read again when Commit names missing chunks.
 *
 * A file of one tree's nodes in the order in which tree_builder emits them (a
 * leaf equal to the one before it comes once, so a leaf stands for all spans up
 * to the next one's), sealed with the root's id:
 *
 *	+0	8	magic "HFCACHE1"
 *	+8	32	id of the root; zeros until sealed
 *	+40	8	nodes
 *	+48	32	BLAKE3-256 of the bytes before
 *	+80	-	per node: length (4), span (8; of others all ones), id (32), bytes
 *
 * It is only a cache: a node whose bytes are not its id ends its use, and what
 * it wrongly promises is found by the server at Commit and sent then.
 */
#ifndef AGENT_BACKUP_CACHE_H
#define AGENT_BACKUP_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct buf;
struct err;

#define CACHE_NO_SPAN UINT64_MAX /* A root or an inner node. */

/*
 * The file's name for a volume's: what is small letters stays, the rest is written so
 * that no two volumes share a file, nor a file a device's name, where capitals are no
 * difference and "con" is the console.  Holds no '='; at most CACHE_NAME_MAX bytes, NUL
 * included, of names under 64.
 */
#define CACHE_NAME_MAX 130
void cache_name(const char *volume, char out[CACHE_NAME_MAX]);

/* ---------------------------------------------------------------- writing -- */

struct cache_writer;

/* Start a file at `path`, replacing one.  ERR_IO, ERR_NOSPACE. */
int cache_create(const char *path, struct cache_writer **out, struct err *err);

/* The next node; of a leaf the first span that it stands for, else CACHE_NO_SPAN. */
int cache_add(struct cache_writer *w, uint64_t span, const struct chunk_id *id,
    const uint8_t *p, size_t len, struct err *err);

/* Seal it as the tree of `root` and close; or just close (root NULL).  Frees `w`. */
int cache_finish(struct cache_writer *w, const struct chunk_id *root, struct err *err);

/* ---------------------------------------------------------------- reading -- */

struct cache;

/*
 * Open the tree of `root`: 1, or 0 if the file is missing, damaged, unsealed,
 * or of another tree.  -1 only without memory.
 */
int cache_open(const char *path, const struct chunk_id *root,
    const struct chunk_keys *keys, struct cache **out, struct err *err);

/*
 * Open what an interrupted run has written so far, by this very process: leaves
 * of the first spans, in a file that was never sealed.  As cache_open().
 */
int cache_open_partial(
    const char *path, const struct chunk_keys *keys, struct cache **out, struct err *err);
void cache_close(struct cache *c);

/* Is span `n`'s leaf `id`?  `n` only grows.  1 or 0. */
int cache_leaf_is(struct cache *c, uint64_t n, const struct chunk_id *id);

/*
 * Bytes of span `n`'s leaf, proven by its id, into `out` (replaced); `n` only
 * grows.  1; 2 if it is the leaf given last time (`out` unchanged); 0 if it
 * cannot be had.
 */
int cache_leaf(struct cache *c, uint64_t n, struct buf *out);

/*
 * Bytes of the root or an inner node, proven, into `out` (replaced): a tree_fetch by
 * shape, `c` is a struct cache.  ERR_NOTFOUND, ERR_NOMEM.
 */
int cache_inner(void *c, const struct chunk_id *id, struct buf *out, struct err *err);

/*
 * All nodes in order, proven, until `each` returns non-zero; returns that, 0, or
 * -1 (ERR_CORRUPT; `each` that returns -1 sets `err` itself).
 */
int cache_each(struct cache *c,
    int (*each)(void *arg, uint64_t span, const struct chunk_id *id, const uint8_t *p,
	size_t len, struct err *err),
    void *arg, struct err *err);

#endif /* AGENT_BACKUP_CACHE_H */
