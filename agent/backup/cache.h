/*
 * cache.h - a volume's tree kept on the agent's disk, node by node.
 *
 * It saves asking: what the newest point of the volume holds is pinned on the
 * server while the session lives, so a chunk found in the same span of that
 * point's tree, or a leaf equal to its leaf, need not be asked for.  It also
 * tells which extents to read again when Commit names missing chunks.
 *
 * The nodes of one tree, kept as agent/backup/spans.h keeps things: a run that changed
 * little writes little.  A record is a node's id (32) and its bytes; a leaf's is its span's, a
 * leaf equal to the one before it stands for all spans up to the next one's; inner
 * nodes and the root, which is last, have names.  Magic "HFCACHE2", bags "nodes".
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
struct cache;
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

/* Back, in place: the file's name becomes the volume's. */
void cache_volume(char *name);

/* ---------------------------------------------------------------- writing -- */

struct cache_writer;

/*
 * Start a file at `path`, replacing one.  What `base` (or NULL) has is not written again;
 * it must be open until cache_finish().  ERR_IO, ERR_NOSPACE, ERR_NOMEM.
 */
int cache_create(
    const char *path, struct cache *base, struct cache_writer **out, struct err *err);

/* The next node; of a leaf the first span that it stands for, else CACHE_NO_SPAN. */
int cache_add(struct cache_writer *w, uint64_t span, const struct chunk_id *id,
    const uint8_t *p, size_t len, struct err *err);

/* Seal it as the tree of `root` and close; or just close (root NULL).  Frees `w`. */
int cache_finish(struct cache_writer *w, const struct chunk_id *root, struct err *err);

/* The file at `path` takes the place of that at `settled`; as file_rename(). */
int cache_settle(const char *path, const char *settled, struct err *err);

/* Remove what the file at `settled` does not need: of runs that made no point. */
void cache_tidy(const char *settled);

/* ---------------------------------------------------------------- reading -- */

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

/* Is span `n`'s leaf `id`?  1 or 0. */
int cache_leaf_is(struct cache *c, uint64_t n, const struct chunk_id *id);

/*
 * Bytes of span `n`'s leaf, proven by its id, into `out` (replaced).  1; 2 if it is the
 * leaf given last time (`out` unchanged); 0 if it cannot be had.
 */
int cache_leaf(struct cache *c, uint64_t n, struct buf *out);

/*
 * Bytes of the root or an inner node, proven, into `out` (replaced): a tree_fetch by
 * shape, `c` is a struct cache.  ERR_NOTFOUND, ERR_NOMEM.
 */
int cache_inner(void *c, const struct chunk_id *id, struct buf *out, struct err *err);

/*
 * All nodes, leaves first and the root last, proven, until `each` returns non-zero;
 * returns that, 0, or -1 (ERR_CORRUPT; `each` that returns -1 sets `err` itself).
 */
int cache_each(struct cache *c,
    int (*each)(void *arg, uint64_t span, const struct chunk_id *id, const uint8_t *p,
	size_t len, struct err *err),
    void *arg, struct err *err);

#endif /* AGENT_BACKUP_CACHE_H */
