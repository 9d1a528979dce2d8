/*
 * pack.h - files of stored groups, appended to, then sealed, then only read.
 *
 * A pack is the unit of sealing, of transfer to cheaper storage, and of removal.
 * What is appended is a group (proto/chunk/group.h) that was proven before, as
 * the agent sent it.  Bytes: storage/FORMAT.md, "Packs".
 *
 *	packs/0000002a.open	being filled; groups in it that were synced count
 *	packs/0000002a.pack	sealed: ends in a footer; never written again
 *
 * Order for a writer: pack_writer_open, then from any threads append and sync,
 * then pack_writer_seal, pack_writer_free.  After a crash pack_recover() makes
 * every .open file a .pack (or removes an empty one) before anything else.
 *
 * A pack does not know what its chunks mean, which images want them, or whether
 * another pack holds them too; that is index.h and the catalog.
 */
#ifndef STORAGE_PACK_H
#define STORAGE_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct buf;
struct err;
struct fs;
struct group;

#define PACK_DIR "packs"
#define PACK_STORE_ID_LEN 16

/*
 * A writer says full from here, in bytes or chunks; groups are never split.  What
 * an open pack holds is in memory, in the writer and in the index.
 */
#define PACK_TARGET_LEN (64u * 1024 * 1024)
#define PACK_TARGET_CHUNKS 65536u

/* Most chunks that a reader accepts. */
#define PACK_CHUNKS_MAX 262144u

/* Longest file a reader accepts: with its footer and parity. */
#define PACK_LEN_MAX (128u * 1024 * 1024)
#define PACK_PARITY_MAX (32u * 1024 * 1024)

/* Required features of headers and of trailers that this program knows. */
#define PACK_FEATURES 0u

/* Optional features of trailers: the parity is of the kind that pack_mend() knows. */
#define PACK_OPTIONAL_PARITY 1u

/* Parity that a pack may be given, in per cent of its blocks. */
#define PACK_PARITY_PERCENT_MAX 30u

/* Where a chunk lies.  `pack` is never 0 and never used twice in a store. */
struct pack_loc {
	uint32_t pack;
	uint32_t offset; /* Bytes from the start of the file to the group. */
	uint16_t place;	 /* Of the chunk in the group. */
};

/* A chunk and its place, as footers and the index hold them. */
struct pack_entry {
	struct chunk_id id;
	struct pack_loc loc;
	uint32_t len; /* Plain bytes. */
	enum chunk_kind kind;
};

/* Fill `out` (room for g->count) with the chunks of a group at `offset`. */
void pack_entries(
    uint32_t pack, uint32_t offset, const struct group *g, struct pack_entry *out);

/* ------------------------------------------------------------- writing -- */

/* A pack being filled.  Any number of threads may append and sync. */
struct pack_writer;

/*
 * Start pack `no` for groups of `kind`; file, name and header are durable when
 * this returns.  `fs` is borrowed.  ERR_EXISTS if the number was used.
 */
int pack_writer_open(struct fs *fs, uint32_t no, enum chunk_kind kind,
    const uint8_t store[PACK_STORE_ID_LEN], struct pack_writer **out, struct err *err);

enum pack_append {
	PACK_APPENDED,
	PACK_FULL,  /* Nothing was written: seal this one and use the next. */
	PACK_FAILED /* err is set. */
};

/*
 * Append one proven group of this pack's kind.  `*offset` is where it starts;
 * `*end` is what to hand to pack_writer_sync().  Readers may read it at once;
 * nobody may rely on it before it is synced.  A failed write (ERR_NOSPACE)
 * leaves the writer usable; it says ERR_IO for ever once its file's state is
 * in doubt.
 */
enum pack_append pack_writer_append(struct pack_writer *w, const struct group *g,
    uint32_t *offset, uint64_t *end, struct err *err);

/*
 * Wait until all bytes before `end` are durable.  Callers at the same time
 * share one fdatasync.  If one fails, this and all later calls fail: groups
 * not yet synced then are neither acknowledged nor indexed.
 */
int pack_writer_sync(struct pack_writer *w, uint64_t end, struct err *err);

/*
 * What is sealed gets so many per cent of parity (0: none, as at first), unless there is
 * no room or memory for it.
 */
void pack_writer_parity(struct pack_writer *w, uint32_t percent);

/* Bytes written so far; non-zero once append says PACK_FULL. */
uint64_t pack_writer_len(struct pack_writer *w);
int pack_writer_full(struct pack_writer *w);
uint32_t pack_writer_no(const struct pack_writer *w);
uint32_t pack_writer_groups(struct pack_writer *w);

/*
 * Write the footer, make all durable and give the file its final name.  From
 * the start of this call append says PACK_FULL.  An empty pack is removed.  On
 * failure what was synced stays readable, and pack_recover() seals at the next
 * start; the call may be repeated where only writing the footer failed
 * (ERR_NOSPACE), else it fails again.
 */
int pack_writer_seal(struct pack_writer *w, struct err *err);

/* Free it, no other thread using it; not sealed, the .open file stays. */
void pack_writer_free(struct pack_writer *w);

/* ------------------------------------------------------------- reading -- */

/* A pack open for reading, sealed or not.  Any number of threads may share it. */
struct pack;

/* Open pack `no` and check its header.  ERR_NOTFOUND, ERR_CORRUPT, ERR_IO. */
int pack_open(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    struct pack **out, struct err *err);
void pack_close(struct pack *p);
uint32_t pack_no(const struct pack *p);
enum chunk_kind pack_kind(const struct pack *p);

/*
 * Replace `out` (limit >= GROUP_LEN_MAX) with the group at loc->offset and
 * parse it into `g`, which borrows `out`.  If `id` is not NULL the chunk at
 * loc->place must be that one.  With `check` the stored bytes' hash must hold
 * (a reader that will prove the content need not).  ERR_CORRUPT, ERR_IO.
 */
int pack_read_group(struct pack *p, const struct pack_loc *loc, const struct chunk_id *id,
    int check, struct buf *out, struct group *g, struct err *err);

/*
 * The same for copying: the bytes' hash must hold, but what the data means is not
 * asked, so that groups with what we do not know are served too.
 */
int pack_copy_group(
    struct pack *p, uint32_t offset, struct buf *out, struct group *g, struct err *err);

/* What a sealed pack's footer says. */
struct pack_stats {
	uint32_t chunks;
	uint32_t groups;
	uint64_t plain;	   /* Plain bytes of all chunks. */
	uint64_t stored;   /* Bytes of the groups. */
	uint32_t data_end; /* Offset where the groups end. */
	uint32_t optional; /* Features of header or trailer that we do not know. */
};

/*
 * Read and check the footer (hash and all), then call `each` per chunk sorted
 * by id until it returns non-zero; that is returned.  `each` and `stats` may be
 * NULL.  ERR_CORRUPT, ERR_IO, ERR_NOMEM; ERR_BUSY if the pack is not sealed.
 */
int pack_each_entry(struct pack *p, int (*each)(void *arg, const struct pack_entry *e),
    void *arg, struct pack_stats *stats, struct err *err);

/* Hears of a damaged group: where it starts and what is wrong. */
typedef int (*pack_bad)(void *arg, uint32_t offset, const struct err *why);

/*
 * Read every group that the footer names, check its hash and that it holds
 * exactly the chunks the footer gives it.  `bad` hears of each group that is
 * damaged (ERR_CORRUPT) or cannot be read (ERR_IO); non-zero from it
 * ends the scrub and is returned.  -1 with `err` only if the footer itself is bad.
 */
int pack_scrub(struct pack *p, pack_bad bad, void *arg, struct err *err);

/* ------------------------------------------------------------ mending -- */

struct pack_mending {
	enum {
		PACK_NO_PARITY, /* Or none that is found. */
		PACK_WHOLE,	/* All is as it was sealed: nothing was done. */
		PACK_MENDED,	/* The file is, byte for byte, as it was sealed. */
		PACK_BEYOND	/* More is lost than parity gives: nothing was done. */
	} state;
	uint32_t blocks, bad; /* Of groups, footer and parity. */
};

/*
 * Put the sealed pack `no` right from its parity, whatever in it is damaged.  The new
 * file is made next to it ("packs/<number>.new"), proven and synced, and then takes its
 * name; who has the old one open goes on with that.  `known`, if not NULL, is what the
 * pack is known to hold (chunks, groups, plain, stored): what is not that is refused.
 * With `dry` it is only said what would be done.  -1 (nothing was changed): ERR_NOSPACE,
 * ERR_NOTFOUND, ERR_IO, ERR_NOMEM, ERR_CORRUPT for what could not be proven.
 */
int pack_mend(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    const struct pack_stats *known, int dry, struct pack_mending *out, struct err *err);

/* Is the parity itself whole?  1, 0 if there is none, -1; the groups are not read. */
int pack_check_parity(struct pack *p, struct err *err);

/* Remove what an interrupted pack_mend() left. */
int pack_mend_sweep(struct fs *fs, struct err *err);

/* ------------------------------------------------------ all of a store's -- */

/* Call `each` for every pack file; as fs_list(). */
int pack_list(struct fs *fs, int (*each)(void *arg, uint32_t no, int sealed), void *arg,
    struct err *err);

struct pack_recovery {
	uint32_t groups;  /* Whole groups kept; 0: the file was removed. */
	uint32_t damaged; /* Broken groups with whole ones behind: left out, not cut;
			     and broken tails that hold whole ones. */
	uint64_t cut;	  /* Bytes of a torn tail removed. */
	uint64_t aside;	  /* Of those, bytes kept in "packs/<number>.damaged". */
	enum chunk_kind kind;
};

/*
 * What a walk over the groups of a pack cannot know by itself.  A NULL judge, or a
 * member that is NULL or 0, gives no help.
 */
struct pack_judge {
	/*
	 * Hears before anything is changed that groups are lost, so that the caller has
	 * it on stable storage when the damage itself can no longer be seen; -1 with
	 * `err` ends the recovery.
	 */
	int (*losing)(void *arg, struct err *err);
	/*
	 * Is every chunk of the group what its name says?  Asked of groups behind a
	 * broken one, whose length may have rotted and led into the data of another
	 * group, which an agent chose.  Without it they are taken as they are.
	 */
	int (*proven)(void *arg, const struct group *g);
	void *arg;
	uint64_t durable; /* So many bytes of the file were acknowledged. */
	uint32_t parity;  /* Per cent that a pack gets which recovery seals. */
};

/*
 * Finish what a crash left of pack `no`: keep every whole group of the .open
 * file, cut the torn tail, seal.  A tail that cannot be just torn, since whole
 * groups lie in it that no walk leads to, is damage: its bytes are set aside
 * first.  So is a whole file whose header is damaged; then `groups` is 0.  Safe to
 * repeat after a crash within it.
 *
 * A footer that was written before the crash is believed if the walk gives the
 * same: bytes that an agent chose may look like one.
 */
int pack_recover(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    const struct pack_judge *judge, struct pack_recovery *out, struct err *err);

/*
 * Call `each` for the chunks of all groups that are whole, found by walking from
 * group to group: for a pack whose footer is damaged, or that is still open.
 */
int pack_walk(struct pack *p, const struct pack_judge *judge,
    int (*each)(void *arg, const struct pack_entry *e), void *arg,
    struct pack_recovery *out, struct err *err);

/*
 * Copy sealed pack `no`, byte for byte, to another file layer.  It gets its name
 * there once it is durable and every group in it was read back whole; until then it is
 * "packs/<number>.part".  `bad` hears of groups that are damaged, in the original as in
 * the copy, which is made all the same; a copy that differs from the original is
 * ERR_IO.  `step` hears of bytes done, and ends it by -1 with `err`.  ERR_NOTFOUND:
 * there is no such sealed pack.
 */
typedef int (*pack_step)(void *arg, uint64_t bytes, struct err *err);
struct pack_copying {
	struct fs *from, *to;
	int once;	      /* Read `from` only once, in order: it is far. */
	const uint8_t *store; /* Its id. */
	pack_step step;
	pack_bad bad;
	void *arg; /* Of both. */
};
int pack_copy(const struct pack_copying *c, uint32_t no, uint64_t *len, struct err *err);

/* Remove what an interrupted pack_copy() left there. */
int pack_copy_sweep(struct fs *to, struct err *err);

/*
 * Open a sealed pack without looking at its header, which is bad: it is said to be of
 * this kind and store.  What its groups hold is to be proven.
 */
int pack_open_damaged(struct fs *fs, uint32_t no, enum chunk_kind kind,
    const uint8_t store[PACK_STORE_ID_LEN], struct pack **out, struct err *err);

/* Rename a sealed pack to "packs/<number>.damaged", which no one reads; durably. */
int pack_set_aside(struct fs *fs, uint32_t no, struct err *err);

/* Remove sealed pack `no`, durably.  That it is gone already is fine. */
int pack_remove(struct fs *fs, uint32_t no, struct err *err);

/* ---------------------------------------------- the bytes (for fuzzers) -- */

#define PACK_HEADER_LEN 96u
#define PACK_TRAILER_LEN 128u
#define PACK_FOOTER_ENTRY_LEN 44u

struct pack_header {
	uint32_t no;
	enum chunk_kind kind;
	uint32_t optional; /* Features; our writer has none. */
	uint8_t store[PACK_STORE_ID_LEN];
};

/*
 * Check a header; ERR_CORRUPT, or ERR_UNSUPPORTED for a newer version, a required
 * feature or a dedup domain that this program does not know.
 */
int pack_parse_header(
    const uint8_t p[PACK_HEADER_LEN], struct pack_header *out, struct err *err);

struct pack_trailer {
	struct pack_header of;
	struct pack_stats stats;
	uint32_t data_end;   /* Offset where the groups end. */
	uint32_t parity_len; /* Bytes of parity between there and the entries. */
};

/* Offset where the entries begin. */
static inline uint32_t
pack_entries_at(const struct pack_trailer *t)
{
	return t->data_end + t->parity_len;
}

/*
 * Check a trailer, the last PACK_TRAILER_LEN bytes of a file of `file_len`, but
 * not its hash, which covers the entries too.
 */
int pack_parse_trailer(const uint8_t p[PACK_TRAILER_LEN], uint64_t file_len,
    struct pack_trailer *out, struct err *err);

/*
 * Check a whole footer: entries and trailer, `len` bytes that end a file of
 * `file_len`: hash, order, every limit.
 */
int pack_parse_footer(const uint8_t *p, size_t len, uint64_t file_len,
    struct pack_trailer *out, struct err *err);

/* Entry `i` of a footer that was checked. */
void pack_footer_entry(
    const uint8_t *p, const struct pack_trailer *t, uint32_t i, struct pack_entry *out);

#endif /* STORAGE_PACK_H */
