/*
 * volmap_split.h - the cuts of a map around what nobody kept (volmap_source.unkept).
 *
 * Such a range is EXCLUDED from its begin to its end, whatever the map says of it; what
 * is left of a cut on either side comes as cuts of its own.  Cuts of several pieces that
 * touch one must not come here: volmap_walk.c lets their pieces come alone.  For
 * volmap.c and its parsers alone.
 */
#ifndef AGENT_MAP_VOLMAP_SPLIT_H
#define AGENT_MAP_VOLMAP_SPLIT_H

#include <stdint.h>

#include "agent/map/volmap.h"

struct err;

/* Zeroed, but for `range` and `count`. */
struct volmap_split {
	const struct volmap_unkept *range;
	unsigned count;
	unsigned at;	       /* The first range that was not given yet. */
	uint64_t end;	       /* Where the last that was given ends. */
	struct volmap_cut cut; /* What is left of the last cut; of length 0: nothing. */
	struct volmap_piece piece;
};

/* Does any of these ranges touch these bytes?  1 or 0. */
int volmap_split_touches(
    const struct volmap_unkept *range, unsigned count, uint64_t offset, uint64_t len);

/*
 * The next cut of `next`, which is as volmap_next(): split.  `out` is good until the next
 * is asked for.
 */
int volmap_split_next(struct volmap_split *s,
    int (*next)(void *arg, struct volmap_cut *out, struct err *err), void *arg,
    struct volmap_cut *out, struct err *err);

#endif /* AGENT_MAP_VOLMAP_SPLIT_H */
