/*
 * clone_ranges.h - a frozen volume as ranges in the order of the volume: data, holes, and
 * what is left out.
 *
 * A map (agent/map/volmap.h) cuts along files, for chunks that others share.  A copy has
 * no use for that: here its pieces are put side by side again.  The list is made before
 * anything is copied, so how much data there is is known; it is kept, a few bytes a
 * range, so what was written is read back by the same list and the map is not asked twice.
 *
 *	clone_ranges_make -> clone_ranges_next ... -> clone_ranges_free
 */
#ifndef AGENT_CLONE_CLONE_RANGES_H
#define AGENT_CLONE_CLONE_RANGES_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct volmap_source;

enum clone_kind {
	CLONE_DATA = 0,
	CLONE_HOLE = 1, /* Free: its content is nobody's. */
	CLONE_ZERO = 2	/* Left out (a page file): zeros in the copy. */
};
#define CLONE_KINDS 3u

struct clone_range {
	enum clone_kind kind;
	uint64_t offset, len; /* Bytes; never two of a kind side by side. */
};

struct clone_ranges;

/*
 * Make the map of `source` and go through it.  ERR_LIMIT: more ranges than fit into 256
 * MiB; ERR_NOMEM; what reading gave.
 */
int clone_ranges_make(
    const struct volmap_source *source, struct clone_ranges **out, struct err *err);

/* NULL is allowed. */
void clone_ranges_free(struct clone_ranges *r);

/* Bytes of the volume of that kind. */
uint64_t clone_ranges_bytes(const struct clone_ranges *r, enum clone_kind kind);

/* Does the volume belong to a system that sleeps?  As volmap_hibernated(). */
int clone_ranges_hibernated(const struct clone_ranges *r);

/* What the map had to say, or "". */
const char *clone_ranges_note(const struct clone_ranges *r);

/* A place in the list; zeroed it is the begin. */
struct clone_place {
	size_t at;
	uint64_t offset;
};

/* The next range, and the place behind it: 1; 0: that was all. */
int clone_ranges_next(
    const struct clone_ranges *r, struct clone_place *place, struct clone_range *out);

#endif /* AGENT_CLONE_CLONE_RANGES_H */
