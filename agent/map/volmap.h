/*
 * volmap.h - which bytes of a frozen volume hold data, and how they are cut.
 *
 * A map is a pull machine over one volume: every volmap_next() gives one cut,
 * and all cuts together cover every byte of the volume exactly once.
 *
 *	VOLMAP_HOLE	a range that is not allocated; its content is free
 *	VOLMAP_EXCLUDED	a range left out on purpose (page file ...); restored as zeros
 *	VOLMAP_STREAM	a range whose bytes have no known owner: to be read and cut
 *			by content (agent/map/chunker.h), starting afresh with this range
 *	VOLMAP_DATA	one chunk: a block of VOLMAP_BLOCK bytes of a file's own
 *			offset (less at its end), as 1..VOLMAP_PIECES_MAX pieces in
 *			the order of the file.  The chunk is the pieces' bytes joined.
 *	VOLMAP_REGION	of a dense file (volmap_dense.h): VOLMAP_REGION_LEN bytes of its
 *			own offset (less at its end), as 1..VOLMAP_REGION_PIECES_MAX
 *			pieces in the order of the file, of which all but the first and
 *			the last have VOLMAP_GRAIN bytes at least.  The pieces' bytes
 *			joined are to be cut by content, starting afresh with this region.
 *
 * Order.  The walk goes through the volume upwards.  The position of a cut is
 * its offset, for DATA and REGION the lowest offset of its pieces; positions only
 * grow.  Pieces of a cut that lie ahead of the position are covered by it, and the
 * walk passes over them silently when it gets there.  So a consumer that turns
 * pieces into extents must hold those that lie ahead, in a heap by offset:
 * before it appends the range of a cut it appends all held pieces below that
 * offset, and what it then has is gapless.  There are never more than
 * VOLMAP_AHEAD_MAX extents ahead, where a region's piece counts as what the chunker
 * may make of it (volmap_ahead()): a block or region that would pass this comes as
 * several cuts, one for each piece.
 *
 * Pieces are byte-exact: the last of a file ends at its last byte (or at its
 * valid data length); what follows in the cluster is a STREAM cut of its own,
 * so nothing is lost, and equal files are equal chunks whatever garbage
 * follows them.  Crumbs are joined to STREAMs of their neighbours, so that no
 * 16 MiB of volume has more than 16384 pieces and ranges.
 *
 * A map never fails because a volume looks wrong: any doubt widens what is
 * covered as data, up to one STREAM of the whole volume; volmap_note() says so.
 * It fails only if reading does.  It does no I/O but through `read` and its
 * spill, on the thread that calls volmap_open() and volmap_next().
 */
#ifndef AGENT_MAP_VOLMAP_H
#define AGENT_MAP_VOLMAP_H

#include <stddef.h>
#include <stdint.h>

struct changes;
struct err;
struct metacache;
struct ntfs_compare;
struct spill; /* agent/map/spill.h */

#define VOLMAP_BLOCK 65536u
#define VOLMAP_PIECES_MAX 18u
#define VOLMAP_REGION_LEN (4u << 20)
#define VOLMAP_REGION_PIECES_MAX 1026u
/* Ranges shorter than this are not worth an extent of their own. */
#define VOLMAP_GRAIN 4096u
#define VOLMAP_AHEAD_MAX 65536u
#define VOLMAP_NEAR \
	(UINT64_C(4) << 30) /* Bytes; pieces farther off may be half of these. */

enum volmap_kind {
	VOLMAP_HOLE,
	VOLMAP_EXCLUDED,
	VOLMAP_STREAM,
	VOLMAP_DATA,
	VOLMAP_REGION
};

struct volmap_piece {
	uint64_t offset; /* Bytes from the start of the volume. */
	uint32_t len;	 /* Bytes, > 0. */
};

struct volmap_cut {
	enum volmap_kind kind;
	uint64_t offset; /* The position: of DATA and REGION their lowest piece. */
	uint64_t len;	 /* Bytes, > 0; of DATA and REGION of all pieces. */
	uint32_t count;	 /* Pieces; 0 unless DATA or REGION. */
	uint8_t reason;	 /* EXCLUDED: enum extent_reason (proto/chunk/tree.h); else 0. */
	uint8_t owned;	 /* STREAM: the end of a file's last cluster, all of it. */
	const struct volmap_piece *piece; /* Valid until the next is asked for. */
};

/* Flags for volmap_open(). */
#define VOLMAP_WHOLE 1u	   /* Do not look inside: one STREAM of everything. */
#define VOLMAP_KEEP_ALL 2u /* Exclude nothing: page files are data too. */
#define VOLMAP_PLAIN 4u	   /* No file is cut by content: none is looked into. */

/* Bytes that are elsewhere: a partition, in its disk's image. */
struct volmap_range {
	uint64_t offset, len;
};

/* Bytes that nobody kept when the view was frozen: EXCLUDED, whatever lies there. */
struct volmap_unkept {
	uint64_t offset, len;
	uint8_t reason; /* enum extent_reason */
};

/* A frozen volume; `read` is as snapshot_read(). */
struct volmap_source {
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void *arg;
	uint64_t size;	      /* Bytes, > 0. */
	uint32_t sector_size; /* Bytes. */
	int flushed;	      /* As in struct snapshot_info. */
	/*
	 * A disk with a table: STREAMs, and HOLEs where these lie, in order and apart;
	 * used until volmap_close().
	 */
	int is_disk;
	const struct volmap_range *holes;
	unsigned holes_count;
	struct ntfs_compare *compare; /* Is shown the records of an NTFS; or NULL. */
	/* Begun, with a `read` of its own: what is read of tables is read through it; or
	 * NULL. */
	struct metacache *metacache;
	/*
	 * In order and apart, within the volume, each of VOLMAP_GRAIN bytes at least; used
	 * until volmap_close().
	 */
	const struct volmap_unkept *unkept;
	unsigned unkept_count;
	/*
	 * Of a volume that was frozen in the middle of its work, soon after its file system
	 * was flushed: what was written since.  What the bitmap calls free, no file claims and
	 * this does not touch is free, though the log is not clean.  NULL: not known.
	 */
	const struct changes *written;
	/*
	 * Gets what is written around every driver, so that no list of changes has it: of an
	 * NTFS by names (ntfs_unheard.c), all of a FAT that is small enough for boot loaders.
	 * Complete once volmap_open() returned.  NULL: nobody asks.
	 */
	struct changes *unheard;
};

/* Memory for who owns what (bytes); while the volume is walked it is two thirds. */
#define VOLMAP_MEMORY ((size_t)36 << 20)

/* What does not fit in `memory` goes to `spill` (borrowed; NULL: files are not told
 * apart). */
struct volmap_limits {
	size_t memory; /* Bytes. */
	const struct spill *spill;
};

struct volmap;

/*
 * Look at the volume and make its map; the walk stands at offset 0.  `source`
 * is copied, its `arg` used until volmap_close().  `limits` NULL: VOLMAP_MEMORY and
 * no spill.  ERR_NOMEM, or what `read` gave.  A spill that fails while the map is
 * made costs cuts (and a note), not the map; one that cannot be read back later
 * is a failure of volmap_next().  Beside `memory` about 4 MiB are held, whatever the
 * volume's size.
 */
int volmap_open(const struct volmap_source *source, const struct volmap_limits *limits,
    unsigned flags, struct volmap **out, struct err *err);

/*
 * The next cut: 1; the end of the volume: 0; -1 if reading fails or ERR_NOMEM.  What
 * is read is little: the beginning of large files, and now and then of a table.
 */
int volmap_next(struct volmap *m, struct volmap_cut *out, struct err *err);

/* Extents that a piece of `len` bytes may become, which lies ahead. */
uint32_t volmap_ahead(enum volmap_kind kind, uint32_t len);

/* "ntfs", "fat12", "fat16", "fat32", "disk" or "raw"; static. */
const char *volmap_fs(const struct volmap *m);

/*
 * Why more is covered than the file system calls allocated, or why owners are
 * not known: one line for the log, "" if there is nothing to say.
 */
const char *volmap_note(const struct volmap *m);

/* Non-zero: the volume belongs to a hibernated system; grade it SNAPSHOT_CRASH. */
int volmap_hibernated(const struct volmap *m);

/* What was found when the map was made; for logs and tests. */
struct volmap_stats {
	uint64_t runs;	  /* Runs with a known owner. */
	uint64_t memory;  /* Bytes held by the map. */
	uint64_t spilled; /* Bytes written to temporary files so far. */
};
void volmap_stats(const struct volmap *m, struct volmap_stats *out);

/* NULL is allowed. */
void volmap_close(struct volmap *m);

#endif /* AGENT_MAP_VOLMAP_H */
