/*
 * store_reader.h - reading groups back: open packs and decoded nodes are kept.
 *
 * Any thread may call.  Limits: STORE_READER_PACKS files open, and the decoded
 * groups of STORE_READER_GROUPS groups of nodes in memory.
 */
#ifndef STORAGE_STORE_READER_H
#define STORAGE_STORE_READER_H

#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct buf;
struct err;
struct fs;
struct group;
struct pack_loc;
struct store_reader;

#define STORE_READER_PACKS 128u
#define STORE_READER_GROUPS 16u

/* `fs` and `keys` are borrowed.  NULL without memory. */
struct store_reader *
store_reader_new(struct fs *fs, const uint8_t store[16], const struct chunk_keys *keys);
void store_reader_free(struct store_reader *rd);

/*
 * Read the group at `loc` into `out` (replaced; limit >= GROUP_LEN_MAX), check
 * the hash of its stored bytes, and parse it into `g`, which borrows `out`.
 * With `id` the chunk at loc->place must be that one.  ERR_CORRUPT, ERR_IO.
 */
int store_reader_group(struct store_reader *rd, const struct pack_loc *loc,
    const struct chunk_id *id, struct buf *out, struct group *g, struct err *err);

/* Read the one chunk of kind meta at `loc` into `out` (replaced) and prove it. */
int store_reader_node(struct store_reader *rd, const struct pack_loc *loc,
    const struct chunk_id *id, struct buf *out, struct err *err);

/* Pack `no` is gone or will be: close it once nobody reads it, keep nothing of it. */
void store_reader_forget(struct store_reader *rd, uint32_t no);

#endif /* STORAGE_STORE_READER_H */
