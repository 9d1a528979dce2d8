/*
 * clone_feed.h - the bytes of a list of ranges, read ahead by a thread of its own while
 * those before them are written or compared.
 *
 *	clone_feed_new -> clone_feed_next, clone_feed_give ... -> clone_feed_free
 */
#ifndef AGENT_CLONE_CLONE_FEED_H
#define AGENT_CLONE_CLONE_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "agent/clone/clone_ranges.h"

struct clone_feed;
struct err;
struct stop;

#define CLONE_SLAB (1024u * 1024) /* Bytes; slabs begin at multiples where they can. */
#define CLONE_SLABS 8u

/* A range or a part of one; the feed's. */
struct clone_slab {
	struct clone_range range; /* `len` <= CLONE_SLAB where it was read. */
	uint8_t *p;		  /* What was read. */
};

struct clone_feed_job {
	const struct clone_ranges *ranges;
	unsigned read_kinds; /* A bit for each enum clone_kind that is read. */
	/* In the order of the ranges, on the feed's thread. */
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void *arg;
	struct stop *stop; /* May be NULL. */
};

/* Begin; `job` is copied. */
int clone_feed_new(
    const struct clone_feed_job *job, struct clone_feed **out, struct err *err);

/* The next slab: 1; 0: that was all; -1: what reading gave, ERR_CANCELED. */
int clone_feed_next(struct clone_feed *f, struct clone_slab **out, struct err *err);

/* It is used up; before the next is asked for. */
void clone_feed_give(struct clone_feed *f, struct clone_slab *slab);

/* At any time.  NULL is allowed. */
void clone_feed_free(struct clone_feed *f);

#endif /* AGENT_CLONE_CLONE_FEED_H */
