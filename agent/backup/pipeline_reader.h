/*
 * pipeline_reader.h - inside the pipeline: the thread that reads, in two files.
 *
 * pipeline_read.c takes the map's cuts and reads; pipeline_keep.c knows what the base
 * point says of them and need not be read again (agent/map/changes.h).
 */
#ifndef AGENT_BACKUP_PIPELINE_READER_H
#define AGENT_BACKUP_PIPELINE_READER_H

#include "agent/backup/pipeline_stages.h"

struct prior;
struct shape;
struct shape_writer;

/*
 * The reader collects cuts in a slab and reads late: cuts that are neighbours on
 * the volume, as most are, become one large read.
 */
struct reader {
	struct pipeline *p;
	struct pipeline_slab *slab;
	uint64_t slabs; /* Taken so far: one may come back at once. */
	uint64_t from;	/* The read that is planned. */
	uint32_t at, len;
	uint64_t read_bytes;
	struct pipeline_keep *keep; /* NULL: all is read. */
	struct shape_writer *shape; /* NULL: nowhere, or not any more. */
};

/* Read what is planned.  0 or -1. */
int pipeline_reader_flush(struct reader *r, struct err *err);

/* The next `len` bytes of the slab come from `from`: read them, perhaps later. */
int pipeline_reader_plan(struct reader *r, uint64_t from, uint32_t len, struct err *err);

/* Read `len` bytes at once, to `at` in the slab. */
int pipeline_reader_now(
    struct reader *r, uint64_t from, uint32_t at, uint32_t len, struct err *err);

/*
 * Have room for an item of `pieces` pieces and `len` bytes in the slab.  1, 0 if the
 * pipeline has ended, -1.
 */
int
pipeline_reader_room(struct reader *r, uint32_t pieces, uint32_t len, struct err *err);

/* The next item of the slab, for which there is room. */
struct pipeline_item *pipeline_reader_item(
    struct reader *r, enum volmap_kind kind, uint64_t offset, uint64_t len);

/* Note what is done with an item that the base knows. */
void pipeline_reader_keep(struct reader *r, struct pipeline_item *it,
    enum pipeline_keep_what what, const struct pipeline_kept *kept);

/* ------------------------------------------------------------------ keeping -- */

/*
 * Get ready to keep what job->changes allows.  If it does not, `*out` is NULL and
 * job->changes says why.  -1 only without memory.
 */
int pipeline_keep_open(struct pipeline *p, struct pipeline_keep **out, struct err *err);
void pipeline_keep_close(struct pipeline_keep *k);

/* A cut that is one chunk (VOLMAP_DATA).  0 or -1. */
int pipeline_keep_block(struct pipeline_keep *k, const struct volmap_cut *cut,
    enum pipeline_keep_what *what, struct pipeline_kept *out, struct err *err);

/* May a range be kept in part?  If not it is read as if there were no base. */
int pipeline_keep_may(const struct pipeline_keep *k, const struct volmap_cut *cut);

/*
 * A range that is cut by content: keep its chunks or read and cut them, until it ends.
 * As pipeline_reader_room().
 */
int pipeline_keep_range(struct reader *r, const struct volmap_cut *cut, struct err *err);

#endif /* AGENT_BACKUP_PIPELINE_READER_H */
