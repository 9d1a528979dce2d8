/*
 * lease.h - who is sending which chunk: the claims of the leases that live now.
 *
 * When a chunk is not in the store, the first lease that asks for it claims it
 * and is told to send it; others are told to ask again later.  So many like
 * hosts on their first night send and store what they share once.  A claim ends
 * when the chunk is durable and indexed (lease_drop), or when its owner ends
 * (lease_release): then whoever asks next claims it.  It passes on as well when
 * its owner has not sent the chunk for LEASE_PATIENCE_S: an agent that claims
 * and never sends must not keep all others from finishing.
 *
 * Claims are advice: losing one makes a second copy of a chunk, which harms
 * nothing.  So the table lives in memory, has a limit, and when it is full no
 * claim is made.  Any thread may call.
 */
#ifndef STORAGE_LEASE_H
#define STORAGE_LEASE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct lease_table;

enum lease_claim {
	LEASE_TAKEN,	  /* It was free: claimed by this owner now. */
	LEASE_OURS,	  /* Claimed by this owner before. */
	LEASE_OURS_PUT,	  /* ... and in a pack, not yet durable. */
	LEASE_OTHERS,	  /* Claimed by another owner. */
	LEASE_OTHERS_PUT, /* ... and in a pack, not yet durable. */
	LEASE_FULL	  /* Free, but there is no room to claim it. */
};

#define LEASE_PATIENCE_S 120u

/* A table of at most about `max` claims (some 60 bytes each when used). */
struct lease_table *lease_table_new(uint32_t max);
void lease_table_free(struct lease_table *t);

/* Seconds from any start, never back, instead of the system's: for tests. */
void lease_table_clock(struct lease_table *t, uint32_t (*clock)(void));

/* Claim a chunk for `owner` (not 0) if it is free. */
enum lease_claim lease_ask(struct lease_table *t, uint64_t owner, enum chunk_kind kind,
    const struct chunk_id *id);

/* `owner` has put the chunk into a pack: claims it if it is free, never takes another's.
 */
void lease_put(struct lease_table *t, uint64_t owner, enum chunk_kind kind,
    const struct chunk_id *id);

/* End this owner's claim to a chunk; nothing if it has none. */
void lease_drop(struct lease_table *t, uint64_t owner, enum chunk_kind kind,
    const struct chunk_id *id);

/* End all claims of an owner. */
void lease_release(struct lease_table *t, uint64_t owner);

/* Claims now. */
uint64_t lease_count(struct lease_table *t);

#endif /* STORAGE_LEASE_H */
