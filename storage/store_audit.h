/*
 * store_audit.h - who did what: the journal read as a story, and its chain proven.
 *
 * Every record names the hash of the one before and has a MAC (journal_record.h),
 * so an entry can be neither changed nor taken out without breaking what follows.
 * What could still be lost is the end: note the head somewhere else, and compare.
 */
#ifndef STORAGE_STORE_AUDIT_H
#define STORAGE_STORE_AUDIT_H

#include <stdint.h>

#include "storage/store.h"

struct err;

struct store_entry {
	uint64_t sequence; /* Of its record. */
	int64_t time_us;
	char who[STORE_NAME_MAX]; /* An operator, a host; "store" for itself. */
	char what[STORE_TEXT_MAX + 128];
};

/* A place in the chain; all zeros is its beginning. */
struct store_chain {
	uint64_t bytes;	   /* Of the journal up to here. */
	uint64_t sequence; /* Of the last record: so many there are. */
	int64_t time_us;
	uint8_t head[STORE_HASH_LEN]; /* Its hash. */
};

/*
 * Go through the records behind `chain`, proving each, and call `each` (may be
 * NULL) for those that say who did what, until it returns non-zero, which is
 * returned; `chain` is then behind that record, and the call may be repeated to
 * go on.  0 at the end.  ERR_CORRUPT, with the place.
 */
int store_audit_each(struct store *s, struct store_chain *chain,
    int (*each)(void *arg, const struct store_entry *e), void *arg, struct err *err);

#endif /* STORAGE_STORE_AUDIT_H */
