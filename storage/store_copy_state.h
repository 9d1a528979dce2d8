/*
 * store_copy_state.h - what copying and verifying a copy share.  Private to
 * storage/store_copy*.c.
 */
#ifndef STORAGE_STORE_COPY_STATE_H
#define STORAGE_STORE_COPY_STATE_H

#include "storage/journal.h"
#include "storage/pack_set.h"
#include "storage/store_copy_source.h"

#define STORE_COPY_FORMAT "format"
#define STORE_COPY_BEGUN "format.part" /* Instead, until a copy was whole once. */

struct store_copying {
	struct store_copy_source *from; /* NULL where only verified. */
	struct fs *to;
	const struct store_copy_config *config;
	struct store_copy_report r;
	int64_t began_ms, told_ms;
	uint64_t paced; /* Bytes since it began. */
	uint32_t no;	/* The pack under way. */
	int stopped;	/* `tell` said so. */
	struct store_copy_moment m;
	struct pack_set there; /* Sealed files in the copy. */
};

/* A pack_step and a pack_bad; `arg` is the copying. */
int store_copy_step(void *arg, uint64_t bytes, struct err *err);
int store_copy_bad(void *arg, uint32_t offset, const struct err *why);

/* Tell of a problem; -1 with ERR_CANCELED if it is to stop. */
int store_copy_problem(struct store_copying *c, const char *text, struct err *err);

/* Make it of the records up to `until`. */
int store_copy_packs(struct store_copy_moment *m, struct journal *j,
    const struct journal_place *until, struct err *err);

/* Fill `there`. */
int store_copy_list(struct store_copying *c, struct err *err);

/* The moment is known: report it, and how many packs it has. */
void store_copy_begin(struct store_copying *c);

/* Call `each` for every pack of the moment; non-zero ends it and is returned. */
int store_copy_each(struct store_copying *c,
    int (*each)(void *arg, uint32_t no, struct err *err), void *arg, struct err *err);

void store_copying_free(struct store_copying *c);

#endif /* STORAGE_STORE_COPY_STATE_H */
