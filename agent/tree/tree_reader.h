/*
 * tree_reader.h - reading volumes of a recovery point at any place, over sessions.
 *
 * A *point* is what the readers of its volumes share: sessions with the server, a
 * cache of decoded groups and one of tree leaves, both bounded.  Every node is
 * proven by its id from the root down and every chunk by its own before a byte of it
 * is given out.  What was not kept (holes, zeros, excluded ranges) reads as zeros.
 *
 *	tree_point_open -> tree_reader_open -> tree_reader_read, _extents ... ->
 *	    tree_reader_close -> tree_point_close
 *
 * Any number of threads may read.  Reads that go forward are seen, and the groups
 * ahead of them asked for; others ask for just the chunks that they need.
 *
 * A session that is lost is opened again, and the read goes on: the caller of a read
 * waits meanwhile, at most `retry_for_ms`.  While a session lives it holds a lease of
 * the point on the server, also when nobody reads: what is there now stays readable
 * though it is forgotten or pruned meanwhile.
 */
#ifndef AGENT_TREE_TREE_READER_H
#define AGENT_TREE_TREE_READER_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/tree.h"

struct dial;
struct err;
struct tree_point;
struct tree_reader;

#define TREE_READER_SESSIONS 3u
#define TREE_READER_SESSIONS_MAX 8u
#define TREE_READER_CACHE ((size_t)128 * 1024 * 1024)
#define TREE_READER_LEAVES ((size_t)32 * 1024 * 1024)
#define TREE_READER_RETRY_MS (300u * 1000)

struct tree_point_config {
	/*
	 * Make a session that may read the point; from any thread, one call at a
	 * time.  Called again whenever one is lost.  dial_close() ends it.
	 */
	int (*dial)(void *arg, struct dial *out, struct err *err);
	void *arg;
	const char *host;      /* "": the session's own. */
	uint64_t sequence;     /* 0: the newest. */
	unsigned sessions;     /* At most so many; 0: TREE_READER_SESSIONS. */
	size_t cache_bytes;    /* Decoded groups; 0: TREE_READER_CACHE. */
	size_t leaves_bytes;   /* Parsed leaves, of all volumes; 0: TREE_READER_LEAVES. */
	uint32_t retry_for_ms; /* 0: TREE_READER_RETRY_MS. */
	int no_ahead;	       /* Never read ahead. */
};

/* A volume as the list of points tells of it; its size is proven when it is opened. */
struct tree_volume {
	const char *name, *fs;
	uint64_t size;
	uint32_t sector_size;
};

/* What reading cost so far. */
struct tree_point_counts {
	uint64_t groups, received_bytes; /* That came, and their bytes as stored. */
	uint64_t nodes;
	uint64_t hits, misses; /* Chunks that were in the cache, or not. */
	uint64_t sessions;     /* Opened in all. */
	size_t cache_most, leaves_most;
};

/*
 * Find the point and open the first session.  `config` is copied, its host too.
 * ERR_NOTFOUND; what `dial` fails with, not tried again.
 */
int tree_point_open(
    const struct tree_point_config *config, struct tree_point **out, struct err *err);

/* Its readers must be closed.  NULL is allowed. */
void tree_point_close(struct tree_point *p);

/* Every read that waits and every later one fails with ERR_CANCELED; any thread. */
void tree_point_cancel(struct tree_point *p);

const char *tree_point_host(const struct tree_point *p);
uint64_t tree_point_sequence(const struct tree_point *p);

/* A warning for people if it is suspect, one line; else "". */
const char *tree_point_suspect(const struct tree_point *p);

unsigned tree_point_volumes(const struct tree_point *p);

/* Borrowed; `i` < tree_point_volumes(). */
const struct tree_volume *tree_point_volume(const struct tree_point *p, unsigned i);

/* Typed fields for layout_parse(); NULL and 0 if the point tells of no disks. */
const uint8_t *tree_point_layout(const struct tree_point *p, size_t *len);

void tree_point_counts(struct tree_point *p, struct tree_point_counts *out);

/*
 * Open volume `name`, with "" the only one: fetches and proves its root.
 * ERR_NOTFOUND with the names that there are.
 */
int tree_reader_open(
    struct tree_point *p, const char *name, struct tree_reader **out, struct err *err);
void tree_reader_close(struct tree_reader *r);

/* As proven: size, sector size, file system and so on; borrowed. */
const struct tree_root *tree_reader_root(const struct tree_reader *r);
uint64_t tree_reader_size(const struct tree_reader *r);

/*
 * Read `len` bytes from `offset`, which lie within the volume (else ERR_LIMIT).
 * ERR_CORRUPT: the store has lost them, or gave something else; ERR_IO,
 * ERR_TIMEOUT: the server was away for too long; ERR_DENIED; ERR_CANCELED.
 */
int tree_reader_read(
    struct tree_reader *r, uint64_t offset, void *out, size_t len, struct err *err);

/* Part of a volume or disk. */
struct tree_range {
	uint64_t offset, len;
	enum extent_kind kind; /* All but EXTENT_DATA read as zeros. */
};

/*
 * Call `each` for the ranges of [offset, offset + len) in order, neighbours of one
 * kind together where they are seen together, until it returns non-zero; returns
 * that, 0, or -1.  Wide stretches without data cost no leaves: they come as
 * EXTENT_HOLE, whatever of hole, zero and excluded they are.
 */
int tree_reader_extents(struct tree_reader *r, uint64_t offset, uint64_t len,
    int (*each)(void *arg, const struct tree_range *range), void *arg, struct err *err);

#endif /* AGENT_TREE_TREE_READER_H */
