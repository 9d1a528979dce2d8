/*
 * store_copy_source.h - where a copying comes from: a store that is open in this
 * process, or one that another process serves.
 *
 * The server's side of the second is a hold: it keeps what a copy of one moment
 * needs, and gives its bytes.  By numbers, not by names: nothing but the journal up
 * to that moment and sealed packs that it names can be asked for.
 */
#ifndef STORAGE_STORE_COPY_SOURCE_H
#define STORAGE_STORE_COPY_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/journal.h"
#include "storage/pack_set.h"
#include "storage/store_copy.h"

struct buf;
struct err;
struct fs;

#define STORE_COPY_FORMAT_MAX 4096u /* Bytes of a file `format`. */

/* What a copy of one moment consists of: packs in `alive` that are not in `gone`. */
struct store_copy_moment {
	uint64_t sequence; /* Of the last record. */
	int64_t time_us;
	uint32_t highest;      /* Number in `alive`. */
	struct pack_set alive; /* Sealed: of the journal, those removed, too, and here. */
	struct pack_set gone;  /* Removed. */
};
void store_copy_moment_clear(struct store_copy_moment *m);

/* ----------------------------------------------------------------- a source -- */

struct store_copy_source {
	const struct store_copy_source_ops *ops;
	uint8_t store[16]; /* Its id; set by begin. */
	struct fs *fs;	   /* Lists its sealed packs, and reads them. */
	int far;	   /* A byte is read only once, and files in order. */
};

/* In the order of calls, but format, which comes twice; all from one thread. */
struct store_copy_source_ops {
	/* `to` is locked: look at both sides. */
	int (*begin)(struct store_copy_source *src, struct fs *to, struct err *err);

	/*
	 * The bytes of the store's file `format`, no older than the last hold: what that
	 * moment needs to be understood.
	 */
	int (*format)(struct store_copy_source *src, struct buf *out, struct err *err);

	/* Is the journal in `to`, if there is one, a past of the source's?  1, 0, -1. */
	int (*is_past)(struct store_copy_source *src, struct fs *to, struct err *err);

	/* From now on, and not from the last call on, keep what a copy of now needs. */
	int (*hold)(struct store_copy_source *src, struct store_copy_moment *out,
	    struct err *err);

	/*
	 * A pack of the moment is not there: was it removed since, so that the next hold
	 * says so?  1; 0: it is lost; -1.
	 */
	int (*removed)(struct store_copy_source *src, uint32_t no, struct err *err);

	/* Make the moment's journal that of `to`, in one step. */
	int (*journal)(struct store_copy_source *src, struct fs *to, struct err *err);
};

/* As store_copy(), from any source. */
int store_copy_from(struct store_copy_source *src, struct fs *to,
    const struct store_copy_config *config, struct store_copy_report *out,
    struct err *err);

/* ------------------------------------------------------------------- a hold -- */

struct store_copy_hold;

/* What who copies without the store's keys has to know. */
struct store_copy_terms {
	uint8_t store[16];
	uint8_t format[STORE_COPY_FORMAT_MAX];
	size_t format_len;
	struct journal_image journal;
};

/*
 * Hold what a copy of now needs.  With `terms` also make those; `past` bytes of the
 * journal are what the copy has.  ERR_BUSY: packs are being filled that cannot be
 * sealed now.
 */
int store_copy_hold_open(struct store *s, uint64_t past, struct store_copy_terms *terms,
    struct store_copy_hold **out, struct err *err);

/* NULL is allowed. */
void store_copy_hold_close(struct store_copy_hold *h);

const struct store_copy_moment *store_copy_hold_moment(const struct store_copy_hold *h);

/*
 * Read up to `len` bytes of pack `no`, or of the journal for 0; `*size` is the whole
 * length, `*got` less than `len` only at the end.  ERR_DENIED for a pack that is not
 * of this moment, ERR_NOTFOUND for one that is not there, ERR_LIMIT for an offset
 * behind the end.
 */
int store_copy_hold_read(struct store_copy_hold *h, uint32_t no, uint64_t offset,
    uint8_t *p, size_t len, size_t *got, uint64_t *size, struct err *err);

#endif /* STORAGE_STORE_COPY_SOURCE_H */
