/*
 * spans.h - what the agent remembers of each span of a volume, from point to point.
 *
 * Most spans stay as they were, so what is remembered of them is written once: records
 * lie one after another in a *bag* that only grows, and an *index* says for each
 * span where its record is.  A run appends what is new and makes an index of its own,
 * 8 bytes a span, which takes the place of the old one when the point is made.  Until
 * then the old one is whole: what it points to is never written over.  A bag of which more
 * than half is used by nobody is left behind, and the run fills a new one.
 *
 * The index, a roll (agent/map/roll.h):
 *
 *	+0	8	magic of what it remembers
 *	+8	32	id of the tree's root; zeros until sealed
 *	+40	808	its owner's
 *	+848	48	zeros
 *	+896	8	spans
 *	+904	8	names
 *	+912	8	bytes of the bag that these use
 *	+920	4	which bag: 0 or 1
 *	+924	68	zeros
 *	+992	32	BLAKE3-256 of the bytes before
 *	+1024	-	per span: where in the bag its record is (8; 0: there is none)
 *	then	-	per name: an id (32), where its record is (8)
 *
 * The bag: magic "HFSPANS1", 8 zeros; per record its length (4) and bytes.  An index
 * VOLUME[=WHAT] has the bags VOLUME=KIND0 and VOLUME=KIND1 beside it.
 *
 * Nothing here is proven: whoever reads a record must know by itself what it is worth.
 */
#ifndef AGENT_BACKUP_SPANS_H
#define AGENT_BACKUP_SPANS_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct chunk_id;
struct err;

#define SPANS_HEADER 1024u
#define SPANS_ROOT 8u	 /* Where the header has the root's id, */
#define SPANS_OWNER 40u	 /* and its owner's bytes, */
#define SPANS_OWNED 808u /* so many. */
#define SPANS_RECORD_MAX (2u << 20)

struct spans_kind {
	uint8_t magic[8];
	const char *bag;     /* Of their names. */
	const char *settled; /* What the index of a point that is made ends in. */
	int repeats; /* A span for which nothing is put has the record before it. */
};

/* ---------------------------------------------------------------- reading -- */

struct spans;

/*
 * Open an index: 1, or 0 if it is missing or damaged; -1 only without memory.  `root`:
 * only that tree's; NULL: any, also one that is not sealed.
 */
int spans_open(const char *path, const struct spans_kind *kind,
    const struct chunk_id *root, struct spans **out, struct err *err);
void spans_close(struct spans *s);

/* Its header, SPANS_HEADER bytes. */
const uint8_t *spans_header(const struct spans *s);
uint64_t spans_count(const struct spans *s);

/* Where the record of span `n` is; 0: there is none, or none that can be read. */
uint64_t spans_at(struct spans *s, uint64_t n);

/* The record there into `out` (replaced): 1, or 0. */
int spans_get(struct spans *s, uint64_t at, struct buf *out);

uint64_t spans_names(const struct spans *s);

/* The `i`th name: 1, or 0. */
int spans_name(struct spans *s, uint64_t i, struct chunk_id *id, uint64_t *at);

/* ---------------------------------------------------------------- writing -- */

struct spans_writer;

/*
 * Start an index at `path`, replacing one.  `base` (or NULL): what it says of a span may
 * be kept, see spans_keeps(); it must be open until spans_finish().  ERR_IO, ERR_NOSPACE,
 * ERR_NOMEM.
 */
int spans_create(const char *path, const struct spans_kind *kind,
    const struct spans *base, struct spans_writer **out, struct err *err);

/* May records of `base` be kept where they are?  If not they are to be added anew. */
int spans_keeps(const struct spans_writer *w);

/* Add a record, of two parts: where it is goes to `*at`. */
int spans_add(struct spans_writer *w, const void *head, size_t head_len, const void *p,
    size_t len, uint64_t *at, struct err *err);

/* Keep one of the base, of `len` bytes. */
void spans_keep(struct spans_writer *w, size_t len);

/* Span `n` has the record at `at`, or (0) none; those in between see spans_kind. */
int spans_put(struct spans_writer *w, uint64_t n, uint64_t at, struct err *err);
int spans_put_name(
    struct spans_writer *w, const struct chunk_id *id, uint64_t at, struct err *err);

/* Close it, and seal it as the tree of `root` or (NULL) not yet.  Frees `w`; NULL is
 * allowed. */
int spans_finish(struct spans_writer *w, const struct chunk_id *root, struct err *err);

/* ------------------------------------------------------------- afterwards -- */

/* Seal a finished index with what its owner has to say.  ERR_CORRUPT, ERR_IO. */
int spans_seal(const char *path, const struct spans_kind *kind,
    const struct chunk_id *root, const uint8_t owner[SPANS_OWNED], struct err *err);

/* The index at `path` takes the place of that at `settled`; as file_rename(). */
int spans_settle(const char *path, const char *settled, const struct spans_kind *kind,
    struct err *err);

/* Remove the bags that the index at `settled` does not use; all if there is none. */
void spans_tidy(const char *settled, const struct spans_kind *kind);

#endif /* AGENT_BACKUP_SPANS_H */
