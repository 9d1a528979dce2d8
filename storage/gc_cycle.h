/*
 * gc_cycle.h - the inside of a cycle of store_gc.h, shared by its parts:
 * store_gc.c (the cycle), gc_mark.c, gc_write.c, gc_sweep.c.
 */
#ifndef STORAGE_GC_CYCLE_H
#define STORAGE_GC_CYCLE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "storage/gc_marks.h"
#include "storage/store_gc.h"
#include "storage/store_state.h"

struct codec;
struct group_builder;

#define GC_POINTS_AT_ONCE 4u
#define GC_LOOKUP_AT_ONCE 512u
#define GC_SEEN_MAX 65536u
#define GC_ROUNDS_MAX 8u /* Of marking what came meanwhile without holding anyone up. */

/* A tree to walk, with what to call it. */
struct gc_root {
	struct chunk_id id;
	uint64_t sequence;
	char host[STORE_NAME_MAX], volume[STORE_NAME_MAX];
};

/* A node to visit. */
struct gc_node {
	struct chunk_id id;
	uint64_t index;
	uint32_t level; /* GC_ROOT_LEVEL: the root itself. */
};
#define GC_ROOT_LEVEL UINT32_MAX

struct store_gc {
	struct store *s;
	struct store_gc_config config;
	struct store_gc_report report;
	enum store_gc_state state;
	int failed;
	int closing; /* Rewriting is over: what is marked now goes straight on. */
	uint32_t rounds;
	uint64_t epoch, quarantines; /* Of the store when the cycle began. */
	struct gc_marks *marks;
	struct pack_entry *bad; /* Quarantined chunks, by id. */
	size_t n_bad;

	/* Listing: points newer than `floor`, from `before` down. */
	int64_t floor, before, newest;
	int listing, leases_listed;
	struct store_point *page;
	struct gc_root *roots;
	size_t n_roots, roots_cap;

	/* The tree being walked. */
	struct gc_root root;
	uint64_t size;
	struct gc_node *stack;
	size_t depth, stack_cap;
	struct buf node;
	struct store_nodes *seen; /* Nodes that have no bits, as far as remembered. */
	struct store_nodes *seen_roots; /* ... and roots, all. */
	uint32_t n_ids;
	struct chunk_id ids[GC_LOOKUP_AT_ONCE];

	/* Rewriting. */
	uint32_t pack_at, group_at;
	struct pack *from;
	uint64_t owner, failures;
	struct group_builder *builders[CHUNK_META + 1];
	struct codec *codec;
	struct buf group, encoded;
	uint8_t *plain;
	uint32_t *copies; /* Packs that copies lie in. */
	size_t n_copies, copies_cap;
};

/* Begin to list the points that are newer than what was marked, and leases' trees. */
void gc_cycle_list(struct store_gc *gc);

/* Mark some.  1 when all that was listed is marked, 0, -1. */
int gc_cycle_mark(struct store_gc *gc, uint32_t nodes, struct err *err);

/* Is there a root that is not marked?  1, 0, -1.  The gate is held alone. */
int gc_cycle_new_roots(struct store_gc *gc, struct err *err);

/* Is the pack pinned by a lease that is older than the cycle? */
int gc_cycle_pinned(struct store_gc *gc, uint32_t no);

/* Stored bytes of a pack's dead chunks. */
uint64_t gc_cycle_dead(const struct store_gc *gc, const struct gc_pack *p);

/* Is it to be rewritten, were it not pinned? */
int gc_cycle_worth(const struct store_gc *gc, const struct gc_pack *p);

/* Copy a group.  1 when all packs are done and their copies durable, 0, -1. */
int gc_cycle_write(struct store_gc *gc, struct err *err);
void gc_cycle_write_end(struct store_gc *gc);

/*
 * Take what is dead out of the index.  1 if it did, 0 if it has to wait or to mark
 * more first (gc_cycle_list() was called), -1.
 */
int gc_cycle_condemn(struct store_gc *gc, struct err *err);

/* Remove or recall one pack.  STORE_GC_SWEEPING, _WAITING or _DONE in gc->state. */
int gc_cycle_sweep(struct store_gc *gc, struct err *err);

/* Is one of the packs that already are condemned? */
int gc_cycle_condemned(const struct store *s, uint32_t no);

#endif /* STORAGE_GC_CYCLE_H */
