/*
 * tree_fetch.h - getting chunks: from the cache, from a request of somebody else that
 * is under way, or from the server.
 *
 * Safe on several threads; no chunk is asked for twice at once.
 */
#ifndef AGENT_TREE_TREE_FETCH_H
#define AGENT_TREE_TREE_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct err;
struct group_cache;
struct tree_fetch;
struct tree_link;
struct tree_node;
struct tree_of;

/* Most pieces in one call: as many ids as one request may have. */
#define TREE_PIECES_MAX 1024u

/* A part of a chunk, and where it is wanted. */
struct tree_piece {
	struct chunk_id id;
	uint32_t chunk_len, chunk_offset, len;
	uint8_t *to; /* NULL once it is there. */
};

/* NULL without memory.  Both must outlive it. */
struct tree_fetch *tree_fetch_new(struct tree_link *l, struct group_cache *c);
void tree_fetch_free(struct tree_fetch *f);

/* Copy a piece from the cache; non-zero if it was there. */
int tree_fetch_cached(struct tree_fetch *f, struct tree_piece *p);

/*
 * Bring pieces of span `span`, at most TREE_PIECES_MAX; sorts them.  ERR_CORRUPT if
 * the store has lost one.
 */
int tree_fetch_pieces(struct tree_fetch *f, const struct tree_of *of, uint64_t span,
    struct tree_piece *pieces, size_t n, struct err *err);

/* Have all chunks of a leaf in the cache that it lacks and that nobody asks for. */
int tree_fetch_ahead(struct tree_fetch *f, const struct tree_of *of, uint64_t span,
    const struct tree_node *leaf, struct err *err);

struct tree_fetch_counts {
	uint64_t groups, received_bytes, hits, misses;
};
void tree_fetch_count(struct tree_fetch *f, struct tree_fetch_counts *out);

#endif /* AGENT_TREE_TREE_FETCH_H */
