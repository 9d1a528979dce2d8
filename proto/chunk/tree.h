/*
 * tree.h - the image of one volume as a Merkle tree of chunks of kind meta.
 *
 *	root	what the volume was, and the id of the top node
 *	inner	up to TREE_FANOUT children with the sums below each
 *	leaf	one span of TREE_SPAN_LEN bytes: its extents, without gaps
 *
 * Level 0 is leaves; node number n of level k covers spans n*1024^k onwards;
 * a volume of one span has its leaf as top node.  Equal spans are equal nodes,
 * so an incremental image shares what did not change, and every image is
 * complete.  Bytes: storage/FORMAT.md, "Trees".
 *
 * This module does no I/O: a builder hands each finished node to a callback,
 * readers parse bytes they are given.  Parsers accept exactly what the builder
 * can make: one encoding per tree.
 */
#ifndef PROTO_CHUNK_TREE_H
#define PROTO_CHUNK_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct buf;
struct err;

#define TREE_SPAN_LEN (16u * 1024 * 1024)
#define TREE_FANOUT 1024u
#define TREE_LEAF_EXTENTS_MAX 16384u
#define TREE_LEVELS_MAX 4

/* What the top node of the highest level can cover: 16 PiB. */
#define TREE_SIZE_MAX ((uint64_t)1 << 54)

/* The numbers are stored. */
enum extent_kind {
	EXTENT_HOLE = 0,     /* Not allocated when frozen; content is free. */
	EXTENT_ZERO = 1,     /* Allocated and all zero. */
	EXTENT_EXCLUDED = 2, /* Left out on purpose; restored as zeros. */
	EXTENT_DATA = 3	     /* Bytes of a chunk. */
};

/* Why bytes are excluded; stored.  A reader shows a number it does not know as one. */
enum extent_reason {
	EXTENT_OTHER = 0,
	EXTENT_PAGEFILE = 1,
	EXTENT_SWAPFILE = 2,
	EXTENT_HIBERFIL = 3,
	EXTENT_SHADOW = 4,     /* A difference area of VSS. */
	EXTENT_HOTCOPY = 5,    /* A difference area of our own driver. */
	EXTENT_POLICY = 6,     /* An operator said so. */
	EXTENT_UNREADABLE = 7, /* The disk did not give them. */
	EXTENT_REASONS = 8
};

/* Reasons that the bytes have room for. */
#define EXTENT_REASON_MAX 63u

struct extent {
	enum extent_kind kind;
	uint8_t reason;	       /* EXTENT_EXCLUDED: 0..EXTENT_REASON_MAX; else 0. */
	uint32_t len;	       /* Bytes, > 0; within one span in a leaf. */
	uint64_t offset;       /* Bytes from the start of the volume. */
	uint32_t chunk_offset; /* EXTENT_DATA: where in the chunk. */
	uint32_t chunk_len;    /* EXTENT_DATA: the chunk's plain length. */
	struct chunk_id id;    /* EXTENT_DATA */
};

/* Sums over what lies below a node, in bytes; their total is the length covered. */
struct tree_sums {
	uint64_t hole, zero, excluded, data;
};

struct tree_child {
	struct chunk_id id;
	struct tree_sums sums;
};

/* Required features of roots that this program knows; most bytes of fields in one. */
#define TREE_FEATURES 0u
#define TREE_FIELDS_MAX 4096u

/* Longest strings in a root, with their NUL. */
#define TREE_NAME_MAX 16

/* How the view was made; the numbers are stored (agent: snapshot.h has the same). */
enum tree_grade { TREE_EXCLUSIVE = 0, TREE_APPLICATION = 1, TREE_CRASH = 2 };

struct tree_root {
	uint64_t size;		      /* 1..TREE_SIZE_MAX, a multiple of sector_size. */
	uint32_t sector_size;	      /* 512..4096, a power of two. */
	char fs[TREE_NAME_MAX];	      /* "ntfs", "fat32", "raw"; graphic ASCII */
	char provider[TREE_NAME_MAX]; /* "offline", "vss", "hotcopy" */
	enum tree_grade grade;
	uint64_t generation; /* Of change tracking, and a nonce of it, of this volume */
	uint8_t nonce[16];   /* alone; zeros if there is none. */
	uint16_t optional;   /* Features; a builder has none, */
	uint32_t fields_len; /* nor bytes of typed fields. */
	uint32_t levels;     /* Level of the top node, 0..TREE_LEVELS_MAX-1. */
	struct tree_child top;
};

/* The top node's level over `size` bytes (<= TREE_SIZE_MAX), and the spans. */
uint32_t tree_levels(uint64_t size);
uint64_t tree_spans(uint64_t size);

/* "page file" and the like, static; NULL for a reason without a name here. */
const char *tree_reason_name(unsigned reason);

/* ------------------------------------------------------------- building -- */

struct tree_builder;

/*
 * Start a tree.  Of `root` all but levels and top must be set.  `emit` gets
 * each node once it is complete, children before parents, the root last;
 * bytes are borrowed for the call; if it fails, the builder fails with it.
 * A node equal to the one before it on its level is not emitted again.
 * NULL without memory.  A builder that failed fails ever after.
 */
struct tree_builder *
tree_builder_new(const struct chunk_keys *keys, const struct tree_root *root,
    int (*emit)(void *arg, const struct chunk_id *id, const uint8_t *p, size_t len,
	struct err *err),
    void *arg);
void tree_builder_free(struct tree_builder *b);

/*
 * Add the next extent: its offset must be where the last one ended; it may
 * cross spans (it is cut, and chunk_offset moved along).  Neighbours that
 * continue each other are merged.  ERR_LIMIT past TREE_LEAF_EXTENTS_MAX in one
 * span; ERR_PROTOCOL for a gap, an overlap, an extent past the volume's end or
 * past its chunk's.
 */
int tree_builder_add(struct tree_builder *b, const struct extent *e, struct err *err);

/* Extents in the span that is being filled: callers stay below the limit. */
uint32_t tree_builder_span_extents(const struct tree_builder *b);

/* All extents are in: emit what is left and name the root. */
int
tree_builder_finish(struct tree_builder *b, struct chunk_id *root_id, struct err *err);

/* -------------------------------------------------------------- reading -- */

/*
 * Each parser fails with ERR_CORRUPT and changes nothing outside `out`; that of
 * roots, which have the features of the whole tree, also with ERR_UNSUPPORTED.
 */
int tree_parse_root(const uint8_t *p, size_t len, struct tree_root *out, struct err *err);

/*
 * An inner node that covers `covered` bytes in children of `child_covers` bytes
 * each (the last may be shorter).  `out` has room for TREE_FANOUT.  Checks that
 * the number of children and the sum of each is what that demands.
 */
int tree_parse_inner(const uint8_t *p, size_t len, uint64_t covered,
    uint64_t child_covers, struct tree_child *out, uint32_t *count, struct err *err);

/*
 * A leaf for the `covered` bytes of volume from `offset`.  Calls `each` for
 * every extent in order until it returns non-zero; returns that, or 0, or -1.
 * The whole leaf is checked before the first call.
 */
int tree_parse_leaf(const uint8_t *p, size_t len, uint64_t offset, uint64_t covered,
    int (*each)(void *arg, const struct extent *e), void *arg, struct err *err);

/* The sums of a leaf's or inner node's bytes (already parsed once without error). */
int tree_node_sums(const uint8_t *p, size_t len, uint32_t level, uint64_t offset,
    uint64_t covered, struct tree_sums *out, struct err *err);

/* Bytes of volume that node `index` of `level` covers in a volume of `size`. */
uint64_t tree_covers(uint64_t size, uint32_t level, uint64_t index);

/* --------------------------------------------------------------- walking -- */

/*
 * Fetch a node's bytes by id into `out` (replacing what it holds); the walker
 * checks length limits, the caller of the walker the id.  -1 ends the walk.
 */
typedef int (*tree_fetch)(
    void *arg, const struct chunk_id *id, struct buf *out, struct err *err);

/* A place in a tree, from its root, with the nodes on the way; spans in order. */
struct tree_walk;

/* Open the tree at `root_id`: fetches and parses the root.  `fetch` is kept. */
int tree_walk_open(const struct chunk_id *root_id, tree_fetch fetch, void *arg,
    struct tree_walk **out, struct err *err);
void tree_walk_close(struct tree_walk *w);
const struct tree_root *tree_walk_root(const struct tree_walk *w);

/*
 * The leaf of span `n` (< tree_spans): its id and sums, without fetching it;
 * inner nodes on the way are fetched and kept.
 */
int
tree_walk_leaf(struct tree_walk *w, uint64_t n, struct tree_child *out, struct err *err);

/* Fetch leaf `n` and call `each` as tree_parse_leaf() does. */
int tree_walk_span(struct tree_walk *w, uint64_t n,
    int (*each)(void *arg, const struct extent *e), void *arg, struct err *err);

#endif /* PROTO_CHUNK_TREE_H */
