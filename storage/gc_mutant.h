/*
 * gc_mutant.h - lines that collecting rests on, by name, so that tests can take one
 * away and see that the explorer finds out.
 *
 * In what is shipped GC_HOLDS() is 1 and nothing else.  A build with GC_MUTANTS
 * (tests alone) has gc_mutant, which names the one line that does not hold.
 */
#ifndef STORAGE_GC_MUTANT_H
#define STORAGE_GC_MUTANT_H

enum gc_line {
	GC_ALL_HOLD = 0,
	GC_HAVE_PINS,	     /* HAVE pins the pack for its lease. */
	GC_HAVE_MARKS,	     /* HAVE marks the chunk while a cycle is on. */
	GC_HAVE_GATE,	     /* Looking up and pinning are one step. */
	GC_BASE_ROOTS,	     /* The bases of live backups are roots. */
	GC_READER_ROOTS,     /* Points that readers pinned are roots. */
	GC_NEW_ROOTS,	     /* What came since marking began is marked, too. */
	GC_COMMIT_CHECKS,    /* A commit checks again if something was condemned. */
	GC_COMMIT_FORGETS,   /* ... and what it knew to be whole before is forgotten. */
	GC_YOUNG_STAYS,	     /* Packs that an open lease may have put to stay. */
	GC_PINNED_STAYS,     /* Packs pinned by leases older than the cycle stay. */
	GC_GROWN_STAYS,	     /* A rewritten pack in which more lives now stays. */
	GC_PINS_MOVE,	     /* Pins of a rewritten pack go to the copies' packs. */
	GC_COPIES_SYNCED,    /* Copies are durable before the pack is condemned. */
	GC_QUARANTINE_ENDS,  /* A quarantine since marking began ends the cycle. */
	GC_QUARANTINE_KEEPS, /* ... and since condemning brings the pack back. */
	GC_SWEEP_WAITS,	     /* A file stays while older leases live. */
	GC_RECORD_FIRST,     /* That a pack goes is recorded before it does. */
	GC_REVOKED_ASKS,     /* A revoked session's have and commit fail. */
	GC_WALKED_APART,     /* A node marked by HAVE is still walked. */
	GC_NUMBERS_STAY,     /* A removed pack's number is not used again. */
	GC_NAMED_FIRST,	     /* What is bad is named before look-ups miss it. */
	GC_LINES
};

#ifdef GC_MUTANTS
extern enum gc_line gc_mutant;
#define GC_HOLDS(line) (gc_mutant != (line))
#else
#define GC_HOLDS(line) 1
#endif

#endif /* STORAGE_GC_MUTANT_H */
