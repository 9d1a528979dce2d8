/*
 * prior.h - what the tree of the base point says of a place of the volume.
 *
 * Over the tree cache (agent/backup/cache.h), but nothing of it is believed that the
 * root's id does not prove: each leaf is the one that the tree has for its span.  So what
 * is told here is what the point holds, or nothing is.
 *
 * Places may go forth and back: the spans that were asked for last are at hand.
 */
#ifndef AGENT_BACKUP_PRIOR_H
#define AGENT_BACKUP_PRIOR_H

#include <stdint.h>

struct chunk_id;
struct chunk_keys;
struct err;
struct extent;
struct prior;
struct tree_root;

/*
 * Open the tree of `root` in the cache at `path`: 1, or 0 if it is not there or not
 * whole; -1 only without memory.
 */
int prior_open(const char *path, const struct chunk_id *root,
    const struct chunk_keys *keys, struct prior **out, struct err *err);
void prior_close(struct prior *p);

const struct tree_root *prior_root(const struct prior *p);

enum prior_what {
	PRIOR_NOTHING, /* It cannot tell, or no chunk begins there. */
	PRIOR_ZERO,
	PRIOR_CHUNK
};

/*
 * What begins at `offset` and goes on there without a gap: `*len` zeros, no more than
 * `most`; or all of the `*len` bytes of chunk `*id`.  -1 only without memory.
 */
int prior_at(struct prior *p, uint64_t offset, uint64_t most, enum prior_what *what,
    uint64_t *len, struct chunk_id *id, struct err *err);

/* The extent from `offset` on; 1, 0 if it cannot tell, -1 only without memory. */
int prior_extent(struct prior *p, uint64_t offset, struct extent *out, struct err *err);

#endif /* AGENT_BACKUP_PRIOR_H */
