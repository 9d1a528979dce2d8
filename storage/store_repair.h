/*
 * store_repair.h - making the best of a damaged store.
 *
 * Nothing is deleted.  Packs whose header or footer is bad are mended from their parity,
 * if they have it and it is enough; else they give their whole groups to
 * new packs, once each chunk in them was proven, and are set aside as they are
 * (packs/<number>.damaged), which nothing else reads.  Then all is verified: bad groups
 * are quarantined, points that lack something are recorded as hurt, what is good again
 * is released.  Catalog and index are made anew where they are bad, as at any opening.
 *
 * What happened is told line by line, and kept in the store's directory as
 * repair-<seconds>.txt.  May be repeated, also after a crash within it.  On a store
 * that was opened read-only it tells what it would do, and keeps nothing.
 */
#ifndef STORAGE_STORE_REPAIR_H
#define STORAGE_STORE_REPAIR_H

#include "storage/store.h"

struct store_repair_report {
	uint64_t packs_rewritten; /* Set aside, what was whole in them is in new packs. */
	uint64_t
	    packs_mended;    /* By their parity, as they were sealed; header or footer. */
	uint64_t packs_gone; /* Recorded, and no file of theirs is there. */
	uint64_t groups_rewritten; /* Whole and proven. */
	uint64_t groups_lost;	   /* Of these packs, in no new one. */
	uint64_t problems;	   /* Told by the verify behind it. */
	struct store_verify_report verify;
	char file[64]; /* The report's name; "" if there is none. */
};

/* `tell` hears each line; non-zero from it ends the repair with ERR_CANCELED. */
int store_repair(struct store *s, int (*tell)(void *arg, const char *line), void *arg,
    struct store_repair_report *out, struct err *err);

#endif /* STORAGE_STORE_REPAIR_H */
