/*
 * index.h - where every stored chunk lies: id -> (pack, group, place).
 *
 * Log-structured: a hash table in memory takes what is new; a thread writes it
 * out as an immutable sorted run and merges runs, at a limited rate.  Each run
 * has a filter in memory, so that asking for what is not there reads nothing.
 * Bytes: storage/FORMAT.md, "Index"; reasons: storage/DESIGN.md.
 *
 * The index is a cache of pack footers.  Runs hold only chunks of *sealed*
 * packs, and the manifest says of which; chunks of open packs live in memory.
 * So a crash loses nothing that footers do not give back, and an index that is
 * damaged, or of another store, is made anew by index_open().
 *
 * A chunk stored in several packs has an entry for each; a look-up gives one
 * that is neither forgotten nor quarantined.  So dropping one copy never hides
 * the other.
 */
#ifndef STORAGE_INDEX_H
#define STORAGE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "storage/pack.h"

struct err;
struct fs;
struct index;

#define INDEX_DIR "index"

struct index_config {
	uint8_t store[PACK_STORE_ID_LEN];
	uint32_t mem_entries; /* Written out as a run from here; 0: 2^18 (15 MiB). */
	uint32_t fan_in;      /* Runs of one level merged at once; 0: 4. */
	uint64_t merge_rate;  /* Bytes a second written by merges; 0: no limit. */
	int rebuild;	      /* Throw what is there away and read all footers. */
	const struct pack_judge *judge; /* NULL, or: for packs that must be walked. */
};

/* What index_open() found. */
struct index_opened {
	uint32_t packs_read; /* Footers read because no run covers them. */
	int rebuilt;	     /* The old index was unusable or not wanted. */
	char why[160];	     /* If rebuilt: one line. */
	uint32_t
	    damaged; /* Packs with a bad footer: whole groups were found by walking. */
	uint32_t damaged_pack; /* The number of one of them. */
};

/*
 * Open the index of the store behind `fs` (borrowed), given the numbers of all
 * packs that count, all sealed: those that no run covers are read from their
 * footers, what runs say of any other pack is dead.  Starts the thread.
 * `opened` may be NULL.  Fails if a pack cannot be read or files cannot be
 * written.
 */
int index_open(struct fs *fs, const struct index_config *config, const uint32_t *packs,
    size_t n_packs, struct index **out, struct index_opened *opened, struct err *err);

/* Write out what is sealed, stop the thread, free.  NULL is allowed. */
void index_close(struct index *ix);

/*
 * Add the chunks of a group that is durable in its pack; they are found at
 * once, by every thread.  Waits while two full tables are being written out.
 * ERR_NOMEM; the writing thread's error if it fails for long.
 */
int
index_add(struct index *ix, const struct pack_entry *entries, size_t n, struct err *err);

/* Pack `no` is sealed and all its chunks were added: runs may hold it now. */
void index_pack_done(struct index *ix, uint32_t no);

struct index_hit {
	struct pack_loc loc; /* loc.pack 0: not stored. */
	uint32_t len;	     /* Plain bytes. */
	enum chunk_kind kind;
};

/*
 * Look up `n` ids into `hits`.  Costs least for some hundred ids at once.  On
 * failure (ERR_IO, or ERR_CORRUPT for a damaged run, which makes the next
 * index_open() rebuild) no hit may be used.
 */
int index_lookup(struct index *ix, const struct chunk_id *ids, size_t n,
    struct index_hit *hits, struct err *err);

/*
 * Read every run.  ERR_CORRUPT or ERR_IO if one is damaged: look-ups that meet it fail,
 * and the next index_open() makes all anew.
 */
int index_check(struct index *ix, struct err *err);

/* Write out all chunks of packs that are done; durable when it returns. */
int index_flush(struct index *ix, struct err *err);

/* Wait until no merge is due; for tests and maintenance. */
int index_settle(struct index *ix, struct err *err);

/*
 * From now on no look-up gives a chunk in these packs, which are sealed: all of
 * them at once, in one write of the manifest, durable when it returns; on
 * failure all count as before.  The caller must not list them to index_open()
 * again.  What is in quarantine of them stays so.  ERR_LIMIT if so many gaps
 * come about that the manifest has no room (INDEX_RANGES_MAX ranges).
 */
int index_forget_packs(struct index *ix, const uint32_t *nos, size_t n, struct err *err);
int index_forget_pack(struct index *ix, uint32_t no, struct err *err);

/*
 * Sealed pack `no`, forgotten before, counts again: its chunks are read from its
 * footer.  That it counts already is fine.  The caller lists it to index_open()
 * again from now on (before this call or with it), which is all that makes it
 * durable.  On failure (ERR_IO, ERR_NOTFOUND, ERR_NOMEM, the writing thread's
 * error) none of them counts; after ERR_CORRUPT, for a damaged footer, those in
 * whole groups do.  Not at the same time as forgetting the same pack.
 */
int index_remember_pack(struct index *ix, uint32_t no, struct err *err);

/*
 * The group at `offset` of pack `no` is bad (or good again): its chunks count
 * as not stored unless another copy exists.  Durable when it returns.  At most
 * INDEX_QUARANTINE_MAX groups (ERR_LIMIT).  Kept over rebuilds, unless the manifest
 * itself is unreadable (`opened.rebuilt`): then the caller tells it again.
 */
#define INDEX_QUARANTINE_MAX 65536u
int index_quarantine(struct index *ix, uint32_t no, uint32_t offset, struct err *err);
int index_release(struct index *ix, uint32_t no, uint32_t offset, struct err *err);

/*
 * The first group in quarantine behind `after` (pack 0: of all): 1 and which it is, or
 * 0.
 */
struct index_bad_group {
	uint32_t pack, offset;
};
int index_next_bad(struct index *ix, struct index_bad_group *after);

struct index_stats {
	uint64_t entries;     /* In memory and runs; dead ones and copies count. */
	uint64_t mem_entries; /* Of them not yet in a run. */
	uint64_t ram;	      /* Bytes: tables, filters, fences, sets of packs. */
	uint64_t disk;	      /* Bytes of runs. */
	uint32_t runs;
	uint32_t packs;		  /* Covered by runs. */
	uint32_t quarantined;	  /* Groups. */
	uint64_t flushes, merges; /* Since it was opened. */
	uint64_t most_held;	  /* Most entries added while look-ups waited. */
};

void index_stats(struct index *ix, struct index_stats *out);

#endif /* STORAGE_INDEX_H */
