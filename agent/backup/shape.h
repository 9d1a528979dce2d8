/*
 * shape.h - how a volume's map cut it, kept beside its tree.
 *
 * A tree says which chunks lie where, but not why they begin and end there: a
 * chunk may end where its content says so or where its range ended, and a chunk in
 * several pieces says at none of them where the others are.  Who keeps a part of a
 * tree without reading it must know that the map of then asked for the same cut.
 * Cuts of one piece that are one chunk need no entry: the tree tells of them.
 *
 * It is kept as agent/backup/spans.h keeps things: a run that changed little writes
 * little.  Magic "HFSHAPE2", bags "cuts".  The header has the turns of the proof
 * (proof.h): slices (4), the next slice (4), of each slice the sequence of the point that
 * read it last (100 x 8).  A record is a span's entries of 16 bytes, offsets rising:
 *
 *	+0	8	offset
 *	+8	8	2 bits of what, and above these
 *			0	a hash of the pieces of a block that has several
 *			1	length of a part of a range that is cut by content,
 *				which goes on: in the next span, or in a region's next piece
 *			3	the same, and the range ends with it
 *
 * Ranges no longer than CHUNKER_MIN have none: they are one chunk that ends with them.
 *
 * It is only a cache.  One that is missing, or of another tree, costs reading.
 */
#ifndef AGENT_BACKUP_SHAPE_H
#define AGENT_BACKUP_SHAPE_H

#include <stdint.h>

struct chunk_id;
struct err;
struct proof;
struct volmap_cut;

/* ---------------------------------------------------------------- writing -- */

struct shape_writer;

/*
 * Start a file at `path`, replacing one.  What that at `old` (or NULL), of the tree of
 * `base`, has is not written again.  ERR_IO, ERR_NOSPACE, ERR_NOMEM.
 */
int shape_create(const char *path, const char *old, const struct chunk_id *base,
    struct shape_writer **out, struct err *err);

/* The next cut of the map. */
int shape_add(struct shape_writer *w, const struct volmap_cut *cut, struct err *err);

/* Close; unless sealed afterwards it is nobody's.  Frees `w`; NULL is allowed. */
int shape_finish(struct shape_writer *w, struct err *err);

/* It belongs to the tree of `root`, of which so much is proven. */
int shape_seal(const char *path, const struct chunk_id *root, const struct proof *proof,
    struct err *err);

/* It takes the place of that at `settled`; as file_rename(). */
int shape_settle(const char *path, const char *settled, struct err *err);

/* Remove what that at `settled` does not need: of runs that made no point. */
void shape_tidy(const char *settled);

/* ---------------------------------------------------------------- reading -- */

struct shape;

/*
 * That of the tree of `root`, and what was proven of it (`proof` may be NULL): 1, or 0
 * if there is none; -1 only without memory.
 */
int shape_open(const char *path, const struct chunk_id *root, struct shape **out,
    struct proof *proof, struct err *err);
void shape_close(struct shape *s);

/* Did the map ask for this very cut, a block of several pieces?  1 or 0. */
int shape_has(struct shape *s, const struct volmap_cut *cut);

/*
 * The end of the part of a range that was cut by content and held `offset`, or 0 if there
 * was none; `*ends`: the range ended with it.
 */
uint64_t shape_part_end(struct shape *s, uint64_t offset, int *ends);

#endif /* AGENT_BACKUP_SHAPE_H */
