/*
 * store_verify.h - reading what lies in the store, before somebody needs it.
 *
 * Packs have a time at which they were last checked.  A pack that was checked is one
 * all of whose groups were read: those that were bad are quarantined, so whatever
 * the index still gives of it was seen to be good.
 *
 * A point is verified (record 25, `holds` a place in retention) when its trees are
 * whole and every pack of the store was checked since the point was made.  A point
 * that lacks something is hurt (record 29), until it is verified.
 *
 * Whole is not right: a point that a list of changes led astray is suspect (record 36)
 * for ever, since nothing in the store can tell what its volume was.  Whoever keeps
 * points or restores them takes it for damaged.
 */
#ifndef STORAGE_STORE_VERIFY_H
#define STORAGE_STORE_VERIFY_H

#include <stdint.h>

#include "storage/store.h"

struct store_verify_options {
	double sample;	  /* A share of the packs below, spread evenly; 0: all. */
	int64_t since_us; /* Only packs not checked since then; 0: all. */
	int trees;	  /* Also walk every point's trees. */
	/* Where a window ends: after so many packs, so many bytes; 0: no limit. */
	uint32_t packs_max;
	uint64_t bytes_max;
	uint64_t rate; /* Bytes a second, on average over some packs; 0: no limit. */
};

/*
 * As store_verify(), which is this with two of the options.  Packs that were checked
 * longest ago come first.  Trees are also walked if a group was found bad, to name
 * the points that need it.
 *
 * A rolling check is { .since_us = store_now(s), .packs_max = k } now and then.
 */
int store_verify_with(struct store *s, const struct store_verify_options *o,
    int (*tell)(void *arg, const struct store_verify_report *r, const char *problem),
    void *arg, struct store_verify_report *out, struct err *err);

/* A point of which something is known to be lost: 1 and why (STORE_TEXT_MAX), or 0. */
int store_point_hurt(struct store *s, const char *host, uint64_t sequence,
    char why[STORE_TEXT_MAX], struct err *err);

/* How many points of a host are hurt. */
int store_points_hurt(struct store *s, const char *host, uint64_t *n, struct err *err);

/* The suspect points of a host; all zero if there are none (any more). */
struct store_suspects {
	uint64_t n, first, last; /* How many; sequences of the oldest and the newest. */
	int64_t since_us;	 /* When the first of them was found to be so. */
};
int store_suspects(
    struct store *s, const char *host, struct store_suspects *out, struct err *err);

/*
 * The host's points of `volume` after sequence `after` may not be what it was: record
 * that with `why`, and raise the host's alarm, or tell more where such a one stands;
 * another one is not taken away.
 */
int store_suspect(struct store *s, const char *host, const char *volume, uint64_t after,
    const char *why, struct err *err);

/* Is a point suspect?  1 and why (STORE_TEXT_MAX), or 0. */
int store_point_suspect(struct store *s, const char *host, uint64_t sequence,
    char why[STORE_TEXT_MAX], struct err *err);

#endif /* STORAGE_STORE_VERIFY_H */
