/*
 * tree_format.h - inside trees: what builder and parsers agree on.
 *
 * The tables are in storage/FORMAT.md, "Trees".
 */
#ifndef PROTO_CHUNK_TREE_FORMAT_H
#define PROTO_CHUNK_TREE_FORMAT_H

#include <stdint.h>

#include "proto/chunk/tree.h"

#define TREE_ROOT_MAGIC 0x31524648u  /* "HFR1" */
#define TREE_INNER_MAGIC 0x31494648u /* "HFI1" */
#define TREE_LEAF_MAGIC 0x314c4648u  /* "HFL1" */

/* Offsets in a root. */
enum tree_root_at {
	ROOT_SECTOR = 4,
	ROOT_SIZE = 8,
	ROOT_FS = 16,
	ROOT_PROVIDER = 32,
	ROOT_GRADE = 48,
	ROOT_LEVELS = 49,
	ROOT_RESERVED = 50,
	ROOT_REQUIRED = 52,
	ROOT_OPTIONAL = 54,
	ROOT_GENERATION = 56,
	ROOT_NONCE = 64,
	ROOT_TOP = 80,
	ROOT_LEN = 144 /* Typed fields may follow, TREE_FIELDS_MAX bytes. */
};

/* Inner nodes and leaves begin alike: magic, count, two zero bytes. */
#define TREE_NODE_COUNT 4u
#define TREE_NODE_RESERVED 6u
#define TREE_NODE_HEADER_LEN 8u

/* An id and four sums. */
#define TREE_CHILD_LEN 64u

/*
 * The first byte of an extent: its kind and, for data, what is left out; for
 * excluded bytes, why they are.
 */
#define TREE_KIND_MASK 0x03u
#define TREE_REASON_SHIFT 2
#define TREE_SAME_CHUNK 0x04u  /* Id and length of the data extent before. */
#define TREE_WHOLE_CHUNK 0x08u /* From the chunk's start to its end. */

/* No extent is longer: kind, two varints of 4 and 3, one of 3, an id. */
#define TREE_EXTENT_LEN_MAX 43u

/* Data extents: do both name the same chunk? */
int tree_same_chunk(const struct extent *a, const struct extent *b);

/* Does `next`, which follows `e`, only go on as `e` did? */
int tree_continues(const struct extent *e, const struct extent *next);

/* Does a data extent name bytes that its chunk can have? */
int tree_data_ok(const struct extent *e);

/* Add `len` bytes of `kind`. */
void tree_sums_add(struct tree_sums *sums, enum extent_kind kind, uint64_t len);

/* Is their total exactly `len`?  Never fooled by overflow. */
int tree_sums_total(const struct tree_sums *sums, uint64_t len);

/* Are size, sector size, names, grade what a root may have?  ERR_PROTOCOL. */
int tree_root_ok(const struct tree_root *root, struct err *err);

#endif /* PROTO_CHUNK_TREE_FORMAT_H */
