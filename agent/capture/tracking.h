/*
 * tracking.h - change tracking of the volumes of one set, whoever freezes them.
 *
 * The driver counts generations; a point's root carries the one that began at its cut.
 * What changed since the generation that the driver calls its base is a list of changes
 * for the next point, if the server's newest point is that very generation (number and
 * nonce), the tracking was never in doubt since, and the volume has its length.
 *
 * Two ways.  The hotcopy provider freezes with HOTCOPY_FREEZE_GENERATION and says so by
 * tracking_frozen(); the list is as of that cut.  For every other provider
 * tracking_cut() ends the generation before the view is made and the list is asked for
 * after it was made: what is written in between is told by this list and by the next one.
 *
 *	tracking_begin -> (tracking_cut -> the view is there -> tracking_seen
 *	    | the view is there -> tracking_frozen)
 *	    -> tracking_view, tracking_list -> tracking_finish -> tracking_free
 *
 * Nothing here fails a backup: what cannot be had is no list, and a reason.
 */
#ifndef AGENT_CAPTURE_TRACKING_H
#define AGENT_CAPTURE_TRACKING_H

#include <stdint.h>

#include "driver/abi/hotcopy.h"

#define TRACKING_VOLUMES_MAX 256u /* Of one set; HOTCOPY_VOLUMES_MAX of them tracked. */

struct err;
struct hotcopy_link;
struct tracking;

/* A generation, as a point's root has it. */
struct tracking_generation {
	uint64_t number; /* 0: none. */
	uint8_t nonce[HOTCOPY_NONCE];
};

struct tracking_options {
	int on;
	int after_crash; /* A list is believed, too, though the machine crashed since. */
	/* Generations of points that the server holds, as far as is remembered: committed
	 * again, in case that an agent ended before the driver heard it. */
	const struct tracking_generation *held;
	unsigned held_count;
};

/*
 * Look at `count` volumes, by their paths, of the driver of `l` (borrowed; NULL: of the
 * one that knows them); commit what is held; begin to track what is not tracked yet, or
 * what can only go on anew.  A volume without a driver, or `on` 0, is one that is not
 * tracked.  -1 without memory alone.
 */
int tracking_begin(struct hotcopy_link *l, const char *const *paths, unsigned count,
    const struct tracking_options *o, struct tracking **out, struct err *err);

/*
 * End the generation now, without an image: a set of our own, which another's is waited
 * for, for a few seconds.  What fails costs the list.
 */
void tracking_cut(struct tracking *t);

/* The view was made: take the lists until now, and let the set go. */
void tracking_seen(struct tracking *t);

/* The nonce to freeze with, and that it was done: volume `i` is index `i` of the set. */
const uint8_t *tracking_nonce(const struct tracking *t);
void tracking_frozen(struct tracking *t, uint64_t set, const struct hotcopy_frozen *f);

/* What is known of volume `i`. */
struct tracking_view {
	const char
	    *volume;	 /* What it is called for good, `t`'s; NULL: it is not tracked. */
	uint64_t length; /* Of the volume, as the driver has it. */
	struct tracking_generation began; /* At the cut: for the root; number 0: none. */
	struct tracking_generation
	    base;	 /* What the list is against; number 0: no list, */
	const char *why; /* and why, `t`'s; "" if it is not tracked at all. */
};
void tracking_view(const struct tracking *t, unsigned i, struct tracking_view *out);

/* As hotcopy_changed(); only where there is a base, else ERR_UNSUPPORTED.  May be asked
 * again. */
int tracking_list(struct tracking *t, unsigned i,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err);

/* A list of this set was found wrong: nothing that was tracked counts any more. */
void tracking_distrust(struct tracking *t);

/*
 * `ok`: the server holds the point.  The new generations are committed, else aborted; with
 * a distrusted list that is not `ok` the tracking is invalidated.  One that is `ok` read
 * everything after the cut, so the new generation counts from what the server has: it is
 * committed all the same.  Best effort: what is lost costs one full compare.
 */
void tracking_finish(struct tracking *t, int ok);
void tracking_free(struct tracking *t); /* NULL is allowed. */

#endif /* AGENT_CAPTURE_TRACKING_H */
