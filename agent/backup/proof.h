/*
 * proof.h - which slice of what is kept was last read by which point.
 *
 * Advice about changes is proven in turns: each incremental reads one slice more of
 * what it could have kept, so after `slices` of them all was read once.  When a slice
 * turns out not to be what the point before had, nobody knows since when: then every
 * point since all was last proven is suspect.
 */
#ifndef AGENT_BACKUP_PROOF_H
#define AGENT_BACKUP_PROOF_H

#include <stdint.h>

#define PROOF_SLICES_MAX 100u

struct proof {
	unsigned slices;		  /* 1..PROOF_SLICES_MAX */
	unsigned next;			  /* The slice that the next point is to read. */
	uint64_t point[PROOF_SLICES_MAX]; /* Sequence of the one that read it last. */
};

/* Slices, if each is to be `percent` (1..100) of all. */
unsigned proof_slices(unsigned percent);

/* Point `sequence` read everything. */
void proof_all(struct proof *p, unsigned slices, uint64_t sequence);

/* Point `sequence` read slice `next`. */
void proof_next(struct proof *p, uint64_t sequence);

/*
 * Begin to count by other slices, with the one that was not read for longest: where two
 * kinds of advice take turns, all is proven all the same.  What one number of slices says
 * of the other is kept where one is a multiple of the other.
 */
void proof_again(struct proof *p, unsigned slices);

/* The newest point up to which all is proven: those after it rest on advice. */
uint64_t proof_since(const struct proof *p);

#endif /* AGENT_BACKUP_PROOF_H */
