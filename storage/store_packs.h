/*
 * store_packs.h - the packs being filled: where groups go, and when they count.
 *
 * One pack of each kind is filled at a time.  A group that was put is in its
 * pack, but in no index: only store_packs_sync(), which makes it durable,
 * lets others find its chunks, and then ends the claims to them.  Any thread
 * may call.
 */
#ifndef STORAGE_STORE_PACKS_H
#define STORAGE_STORE_PACKS_H

#include <stdint.h>

struct err;
struct fs;
struct group;
struct index;
struct journal_pack;
struct lease_table;
struct store_heads;
struct store_packs;
struct store_stats;

/* What it works with; all borrowed. */
struct store_packs_config {
	struct fs *fs;
	uint8_t store[16];
	struct index *index;
	struct lease_table *claims;
	struct store_heads *heads; /* NULL: nobody is told what is durable. */
	uint32_t parity;  /* Per cent that packs get. */
	uint32_t next_no; /* No pack with this number or a higher one was ever made. */
	/* A pack was sealed; called from within any of the functions below. */
	void (*sealed)(void *arg, const struct journal_pack *p);
	void *arg;
};

/* Put returns with this much not synced at most, give or take a group a thread. */
#define STORE_PACKS_UNSYNCED_MAX (32u * 1024 * 1024)

struct store_packs *store_packs_new(const struct store_packs_config *config);

/* Seal what can be sealed and free.  NULL is allowed. */
void store_packs_free(struct store_packs *sp);

/*
 * Append a proven group for lease `owner`; `*no` (may be NULL) is the pack it is in.
 *  ERR_NOSPACE and nothing else has
 * changed.  ERR_IO: the pack it went to is given up; what was in it and not yet
 * synced, of any owner, counts as never put.
 */
int store_packs_put(struct store_packs *sp, uint64_t owner, const struct group *g,
    uint32_t *no, struct err *err);

/*
 * How often what was put has been given up.  Unchanged from before some puts to after
 * a sync that returned 0: all of them are durable and found.
 */
uint64_t store_packs_failures(struct store_packs *sp);

/* All that was put before this call is durable and found when it returns 0. */
int store_packs_sync(struct store_packs *sp, struct err *err);

/* Add what is in packs that are not sealed yet to chunks, packs and bytes. */
void store_packs_count(struct store_packs *sp, struct store_stats *stats);

/* Sync, and seal the packs being filled; the next group starts a new one. */
int store_packs_seal(struct store_packs *sp, struct err *err);

#endif /* STORAGE_STORE_PACKS_H */
