/*
 * shape.h - how a volume's map cut it, kept beside its tree.
 *
 * A tree says which chunks lie where, but not why they begin and end there: a
 * chunk may end where its content says so or where its range ended, and a chunk in
 * several pieces says at none of them where the others are.  Who keeps a part of a
 * tree without reading it must know that the map of then asked for the same cut.
 * Cuts of one piece that are one chunk need no entry: the tree tells of them; and
 * regions in several pieces have none: they are always read.
 *
 * A roll (roll.h) with the turns of the proof (proof.h) in its header:
 *
 *	+0	8	magic "HFSHAPE1"
 *	+8	32	id of the tree's root
 *	+40	4	slices
 *	+44	4	the next slice
 *	+48	800	of each slice the sequence of the point that read it last
 *	+848	32	BLAKE3-256 of the bytes before; then zeros
 *
 * and entries of 16 bytes, offsets rising: offset of the cut (8), and length << 1 | 1 of
 * a range that is cut by content, or a hash << 1 of the pieces of a block that has
 * several (8).
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

/* Start a file at `path`, replacing one.  ERR_IO, ERR_NOSPACE. */
int shape_create(const char *path, struct shape_writer **out, struct err *err);

/* The next cut of the map. */
int shape_add(struct shape_writer *w, const struct volmap_cut *cut, struct err *err);

/* Close; unless sealed afterwards it is nobody's.  Frees `w`; NULL is allowed. */
int shape_finish(struct shape_writer *w, struct err *err);

/* It belongs to the tree of `root`, of which so much is proven. */
int shape_seal(const char *path, const struct chunk_id *root, const struct proof *proof,
    struct err *err);

/* ---------------------------------------------------------------- reading -- */

struct shape;

/*
 * That of the tree of `root`, and what was proven of it (`proof` may be NULL): 1, or 0
 * if there is none; -1 only without memory.
 */
int shape_open(const char *path, const struct chunk_id *root, struct shape **out,
    struct proof *proof, struct err *err);
void shape_close(struct shape *s);

/* Did the map ask for this very cut, a block of several pieces?  Offsets only grow.  1 or
 * 0. */
int shape_has(struct shape *s, const struct volmap_cut *cut);

/*
 * The end of the range that was cut by content and held `offset`, or 0 if there was
 * none; offsets only grow.
 */
uint64_t shape_range_end(struct shape *s, uint64_t offset);

#endif /* AGENT_BACKUP_SHAPE_H */
