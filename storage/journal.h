/*
 * journal.h - the file that is the truth about everything packs cannot tell.
 *
 *	journal		records, appended and synced, never changed
 *	journal.head	how far it is known to be durable: a hint, see below
 *
 * journal_create() once, then journal_open(), journal_append() from any number
 * of threads (those that come together share one sync), journal_each() to read.
 *
 * The last write before a crash may be torn.  What is broken at the end is cut
 * off by journal_open() if it cannot have been acknowledged: no record behind
 * it was written after it was durable, and journal.head does not reach beyond.
 * Anything else that is broken is ERR_CORRUPT with its offset.
 */
#ifndef STORAGE_JOURNAL_H
#define STORAGE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "storage/journal_record.h"

struct err;
struct fs; /* storage/fs.h */

#define JOURNAL_NAME "journal"
#define JOURNAL_HEAD_NAME "journal.head"
#define JOURNAL_HEAD_LEN 104u /* Of that file. */

struct journal;

/* Make the files of a store's journal, empty and durable; replaces older ones. */
int journal_create(struct fs *fs, const uint8_t store[JOURNAL_STORE_LEN],
    const uint8_t key[32], struct err *err);

/*
 * Open it and check every record.  `fs` is borrowed.  `cut` (may be NULL) gets
 * the bytes of a torn tail that were removed.  `clock` (may be NULL) is asked
 * for the time instead of the system: microseconds since 1970.
 */
int
journal_open(struct fs *fs, const uint8_t store[JOURNAL_STORE_LEN], const uint8_t key[32],
    int64_t (*clock)(void), struct journal **out, uint64_t *cut, struct err *err);

/* Close and free; nobody may be in a call.  NULL is allowed. */
void journal_close(struct journal *j);

/* Ask `clock` from now on; it is called with a lock held and must not call back. */
void journal_set_clock(struct journal *j, int64_t (*clock)(void *arg), void *arg);

/* The clock, but later than any record and never before an earlier answer. */
int64_t journal_now(struct journal *j);

/*
 * Append one event; when it returns 0 the record is durable and `place` (may be
 * NULL) is where it ends, with its sequence, time and hash.  ERR_NOSPACE: it is
 * not there, and the journal goes on.  After another failure of writing or
 * syncing it is in doubt whether it is there, and the journal takes nothing
 * more until it is opened again: ERR_IO.
 */
int journal_append(struct journal *j, const struct journal_event *e,
    struct journal_place *place, struct err *err);

/* The end of what is durable. */
void journal_end(struct journal *j, struct journal_place *end);

/*
 * Is `place` (offset, sequence and hash; the time is not looked at) one that this
 * journal has passed through or ends at?  1, 0; -1 if it cannot be read.  A place
 * that journal_end() gave is known for ever, unless an older copy took its place.
 */
int journal_knows(struct journal *j, const struct journal_place *place, struct err *err);

/*
 * Make the journal up to `until`, a place that journal_end() gave, that of the store's
 * copy in `to`, in one step: after a power cut its journal there is the old one or
 * this.  Every record is checked on the way.
 */
int journal_copy(
    struct journal *j, const struct journal_place *until, struct fs *to, struct err *err);

/*
 * What a journal up to some end is made of, for a copy that is made without the key:
 * a hash in place of the records' own, and the bytes of its head.
 */
struct journal_image {
	uint64_t len;			/* Bytes of the file. */
	uint8_t hash[JOURNAL_HASH_LEN]; /* BLAKE3 of them. */
	uint64_t past_len;		/* At most `len`, or 0. */
	uint8_t past[JOURNAL_HASH_LEN]; /* BLAKE3 of so many at the start. */
	uint8_t head[JOURNAL_HEAD_LEN];
};

/*
 * The image of the journal up to `until`, a place that journal_end() gave; every
 * record is checked on the way.  `past_len` beyond that end counts as 0.
 */
int journal_image_of(struct journal *j, const struct journal_place *until,
    uint64_t past_len, struct journal_image *out, struct err *err);

/* Give exactly `len` bytes of the image's file; called in order, from 0 on. */
typedef int (*journal_bytes)(
    void *arg, uint64_t at, uint8_t *p, size_t len, struct err *err);

/*
 * As journal_copy(), from bytes; ERR_CORRUPT, and nothing is changed, unless they have
 * the image's hash as they come and as they are read back.
 */
int journal_image_put(struct fs *to, const struct journal_image *im, journal_bytes bytes,
    void *arg, struct err *err);

/* The hash of the first `len` bytes of the journal in `fs`, whoever wrote it. */
int journal_image_hash(
    struct fs *fs, uint64_t len, uint8_t hash[JOURNAL_HASH_LEN], struct err *err);

/* The place before the first record. */
void journal_start(const struct journal *j, struct journal_place *start);

/*
 * Call `each` for every durable record behind `from` until it returns non-zero,
 * and return that.  ERR_NOTFOUND if `from` is not a place in this journal.
 */
int journal_each(struct journal *j, const struct journal_place *from,
    int (*each)(void *arg, const struct journal_record *r), void *arg, struct err *err);

#endif /* STORAGE_JOURNAL_H */
