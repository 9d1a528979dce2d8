/*
 * store_copy.h - a second copy of a store, made while it works.
 *
 * A copy is a directory with the packs and the journal of a moment: a store, but
 * for its keys (storage/store_escrow.h) and caches, which opening makes anew.  The
 * next copying brings what is new.  What lies there is whole at every moment: a
 * pack gets its name once it was read back good, the journal is replaced in one
 * step by one that rests on packs that are there, and only then packs go that it
 * has as removed.  So whatever ends a copying, the next one goes on.
 *
 * A copy that was opened as a store has a life of its own; it is not copied to
 * again (ERR_DENIED).
 */
#ifndef STORAGE_STORE_COPY_H
#define STORAGE_STORE_COPY_H

#include <stdint.h>

#include "storage/store.h"

struct err;
struct fs;
struct store_keys_of; /* storage/store_keys.h */

struct store_copy_report {
	uint64_t packs, packs_total; /* Done, of all that the copy needs. */
	uint64_t bytes;		     /* Of packs, copied or read by this call. */
	uint64_t packs_new;	     /* Copied by this call. */
	uint64_t packs_removed;
	uint64_t problems;
	uint64_t sequence; /* The copy has all records up to this one. */
	int64_t time_us;   /* Its time. */
};

/*
 * Called now and then (problem NULL) and once per problem, in a line; a non-zero
 * return stops with ERR_CANCELED.
 */
typedef int (*store_copy_tell)(
    void *arg, const struct store_copy_report *r, const char *problem);

struct store_copy_config {
	uint64_t max_rate; /* Bytes of packs a second; 0: no limit. */
	store_copy_tell tell;
	void *arg;
};

/*
 * Bring the copy in `to` up to the store as it is now.  `to` must be empty or a copy
 * of this store: ERR_EXISTS; ERR_BUSY if something has it open.  Damage in the store
 * is told as problems, and does not stop it: a damaged pack is copied as it is, a
 * good copy is never replaced by it.
 */
int store_copy(struct store *s, struct fs *to, const struct store_copy_config *config,
    struct store_copy_report *out, struct err *err);

/* The same to directory `dest`, which is made if it is missing. */
int
store_copy_to(struct store *s, const char *dest, const struct store_copy_config *config,
    struct store_copy_report *out, struct err *err);

/*
 * Read all of a copy: journal, and every group of every pack that it needs.  With
 * `of`, the store that it is a copy of, also that it is its past (ERR_DENIED).  Its
 * journal is checked by `keys`.  Changes nothing.  0 also if problems were told.
 */
int store_copy_verify(struct fs *copy, const struct store_keys_of *keys, struct store *of,
    const struct store_copy_config *config, struct store_copy_report *out,
    struct err *err);

/* The same of the store's own copy, by its own keys. */
int store_copy_verify_own(struct store *s, struct fs *copy,
    const struct store_copy_config *config, struct store_copy_report *out,
    struct err *err);

#endif /* STORAGE_STORE_COPY_H */
