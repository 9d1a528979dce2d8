/*
 * group_cache.h - chunks that came in groups, decoded and proven, as many as memory
 * allows; those not used for longest go first.
 *
 * A group stays whole: chunks that were written together are wanted together.  What
 * is in here has been proven by its id.  Safe on several threads.
 */
#ifndef AGENT_TREE_GROUP_CACHE_H
#define AGENT_TREE_GROUP_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct codec;
struct err;
struct group_cache;
struct group_held;

/* At most `max` bytes, one group being allowed always.  NULL without memory. */
struct group_cache *group_cache_new(size_t max);
void group_cache_free(struct group_cache *c);

/*
 * Take a group of data as it came: decode it, prove its chunks, give each that is
 * what its id says to `each`, and keep it.  A chunk that is not is left out.
 * ERR_CORRUPT, ERR_PROTOCOL (nodes), ERR_UNSUPPORTED, ERR_NOMEM.
 */
int group_cache_take(struct group_cache *c, const struct chunk_keys *keys,
    struct codec *codec, const uint8_t *p, size_t len,
    void (*each)(void *arg, const struct chunk_id *id, const uint8_t *bytes, size_t len),
    void *arg, struct err *err);

/*
 * The chunk's bytes, held until group_cache_drop(); NULL if it is not here, or not
 * `len` bytes long.
 */
struct group_held *group_cache_find(struct group_cache *c, const struct chunk_id *id,
    uint32_t len, const uint8_t **bytes);
void group_cache_drop(struct group_cache *c, struct group_held *h);

/* Non-zero if it is here; that does not count as a use. */
int group_cache_has(struct group_cache *c, const struct chunk_id *id);

/* The most bytes that it held at any moment. */
size_t group_cache_most(struct group_cache *c);

#endif /* AGENT_TREE_GROUP_CACHE_H */
