/*
 * round.h - one snapshot set under load, from PREPARE to RELEASE, judged by load.h's
 * rules.  What differs from round to round is drawn: where copies go, how much memory,
 * what is said to be unneeded or read, commit or abort.
 */
#ifndef TESTS_DRIVER_RIG_ROUND_H
#define TESTS_DRIVER_RIG_ROUND_H

#include "tests/driver/rig/load.h"

enum round_diff { ROUND_MEMORY, ROUND_SAME_VOLUME, ROUND_OTHER_VOLUME, ROUND_DIFFS };

struct round {
	struct rig_file file; /* of commits, aborts, tracking */
	bool tracked;
	bool may_drop; /* faults are about: an image may be lost at any time */
	unsigned dice;
	uint64_t number; /* nonces come from it */
	uint8_t *image[LOAD_VOLUMES], *committed[LOAD_VOLUMES];
	bool base; /* committed[] is the image of the committed generation */
	struct load_cut cut;
	uint64_t snapshots, dropped, unready, commits, aborts;
	uint64_t gate_total, gate_longest; /* 100 ns, closed to opened */
	uint64_t cold_reported;
};

/* Opens a file; begins tracking where told (a store on each volume). */
void round_open(struct round *w, struct load *l, bool tracked, unsigned seed);
void round_close(struct round *w);
void round_one(struct round *w, struct load *l);
/* So many rounds and at least so many milliseconds; stops at the first that is bad. */
void round_many(struct round *w, struct load *l, unsigned rounds, unsigned ms);
void round_tell(const struct round *w, const struct load *l);

#endif /* TESTS_DRIVER_RIG_ROUND_H */
