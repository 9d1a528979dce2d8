/*
 * store_state.h - the inside of a store, shared by store*.c and their tests.
 */
#ifndef STORAGE_STORE_STATE_H
#define STORAGE_STORE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/chunk/tree.h"
#include "storage/gc_marks.h"
#include "storage/journal_record.h"
#include "storage/pack.h"
#include "storage/pack_set.h"
#include "storage/store.h"
#include "storage/store_keys.h"

struct catalog;
struct fs;
struct fs_file;
struct index;
struct index_hit;
struct journal;
struct lease_table;
struct store_heads;
struct store_nodes;
struct store_packs;
struct store_reader;
struct store_space;
struct store_time;

#define STORE_HOST_LOCKS 64u
#define STORE_CLAIMS_MAX (2u * 1024 * 1024)
#define STORE_CHECKED_MAX 65536u

/*
 * A pack that left the index and whose file goes once no lease that is older than
 * `epoch` lives.
 */
struct store_condemned {
	struct store_condemned *next;
	uint32_t no;
	uint64_t epoch, quarantines; /* Of the store when it was condemned. */
	uint64_t stored;	     /* Bytes. */
};

/* Where tests come in between: see store_pause(). */
enum store_pause {
	STORE_PAUSE_HAVE,	/* Looked up, not pinned yet. */
	STORE_PAUSE_BEGIN,	/* A base was looked up, not held yet. */
	STORE_PAUSE_POINT,	/* A point to read was looked up, not held yet. */
	STORE_PAUSE_QUARANTINE, /* Hidden, not recorded yet. */
	STORE_PAUSE_COMMIT,	/* All is there, nothing recorded yet. */
	STORE_PAUSE_RECORD,	/* About to record, under the gate. */
	STORE_PAUSE_PRUNE,	/* A host was judged, nothing went yet. */
	STORE_PAUSE_REMOVE	/* No longer condemned, not recorded as removed yet. */
};

/*
 * Locks, in the order in which they are taken: people, mending, the gate, leaving, a
 * host's, leases, a lease's pins, bad, format; the parts' own locks come after all of
 * these.
 *
 * The gate is between those who are told that chunks are there and the moment at
 * which the collector takes chunks out of the index: shared by who looks up and
 * holds in one step, alone for the collector.  Nobody holds it for long.
 */
struct store {
	struct fs *fs;	  /* All goes through it. */
	struct fs *under; /* The files themselves: `fs`, but where it is read-only. */
	int owns_fs;	  /* `under`. */
	int read_only;
	struct fs_file *lock_file;
	struct store_keys_of of;
	uint8_t domain[CHUNK_KEY_LEN];
	struct chunk_keys keys;
	struct journal *journal;
	struct catalog *catalog;
	struct index *index;
	struct lease_table *claims;
	struct store_packs *packs;
	struct store_reader *reader;
	struct store_heads *heads;
	struct pack_judge judge; /* For packs that must be walked. */
	struct store_time *time;
	struct store_space *space;
	char catalog_why[160]; /* Why the catalog was made anew; "". */
	char opened[400];      /* What store_opened() says. */
	uint32_t lost_packs;   /* Recorded as sealed, and not there. */

	pthread_mutex_t people; /* From looking at peers and tokens to recording. */
	pthread_mutex_t
	    hosts[STORE_HOST_LOCKS]; /* From a host's head to its next point. */
	pthread_mutex_t leases_lock;
	struct store_lease *leases;
	uint64_t next_reader; /* Ids of leases that the journal does not know. */

	pthread_rwlock_t gate;
	/* Changed by who has the gate alone: */
	struct gc_marks *marks; /* Of the cycle that is on, or NULL. */
	uint64_t epoch;		/* Raised when a cycle begins and when one condemns. */
	atomic_uint_fast64_t condemnations;
	/*
	 * The running cycle's own; else nobody's.  Who puts a pack back into the index
	 * holds the gate and `leaving`, which is held from where a pack leaves this list
	 * until it is recorded as removed, or in the index again.
	 */
	struct store_condemned *condemned;
	pthread_mutex_t leaving;
	atomic_int collecting;		  /* A cycle is on. */
	atomic_uint_fast64_t quarantines; /* Groups and packs found bad so far. */
	void (*pause)(void *arg, enum store_pause where);
	void *pause_arg;

	pthread_mutex_t mending;     /* One at a time writes a pack anew in place. */
	pthread_mutex_t format_lock; /* One at a time writes `format`. */
	unsigned required;	     /* Features that it has for sure, a bit each. */

	pthread_mutex_t bad_lock;
	struct pack_entry *bad; /* Chunks of quarantined groups. */
	size_t bad_count;
	/* Packs and groups that are lost and whose chunks `bad` lacks. */
	uint32_t unnamed;
};

/* A tree that stays as long as the lease: a base, or a point being read. */
struct store_pinned {
	struct chunk_id root_id;
	uint64_t sequence;
	char host[STORE_NAME_MAX], volume[STORE_NAME_MAX];
};

struct store_lease {
	struct store_lease *next;
	struct store *store;
	uint64_t id;
	char host[STORE_NAME_MAX];
	enum store_purpose purpose;
	int64_t opened_us;
	uint64_t born;			/* The store's epoch when it was opened. */
	atomic_int revoked;		/* It holds nothing any more. */
	int resumed;			/* It took over an unfinished backup's chunks. */
	atomic_uint_fast64_t put_bytes; /* Since its last commit. */
	atomic_int has_put, committed;
	/* Under store->leases_lock: */
	uint32_t volumes_count;
	char volumes[STORE_VOLUMES_MAX][STORE_NAME_MAX];
	struct store_base bases[STORE_VOLUMES_MAX];
	uint64_t begun; /* Condemnations when `bases` were taken. */
	struct store_pinned *held;
	uint32_t n_held, held_cap;
	pthread_mutex_t pins_lock;
	struct pack_set pins; /* Packs with chunks that it was told of. */
	/* One commit at a time: */
	pthread_mutex_t commit;
	struct store_nodes *checked; /* Nodes that are whole, with all below, */
	uint64_t checked_at;	     /* while so many were condemned. */
};

/*
 * As store_init() and store_open(), on any file layer; `fs` is borrowed.  `catalog` is
 * the catalog's name in it (CATALOG_NAME), or NULL for one in memory.
 */
int store_init_fs(struct fs *fs, struct err *err);
int store_open_fs(struct fs *fs, const char *catalog, int64_t (*clock)(void),
    struct store **out, struct err *err);

/*
 * Take the store for this process, and leave our number for those who come; until
 * the file is closed.  ERR_BUSY names the holder.
 */
int store_take(struct fs *fs, struct fs_file **out, struct err *err);

/* An empty event, too large for a stack that many calls share; free(). ERR_NOMEM. */
struct journal_event *store_event_new(enum journal_type type, struct err *err);

/* Does a notice of the store's own stand?  Non-zero, and its text. */
int store_notice_stands(struct store *s, uint32_t kind, char text[STORE_TEXT_MAX]);

/*
 * Append to the journal and let the catalog follow.  0 once it is durable: what
 * keeps the catalog from following is for the next question to report.  Before the
 * first record of a feature the line that requires it is in `format`.
 */
int store_record(struct store *s, const struct journal_event *e,
    struct journal_place *place, struct err *err);

/* The lock of a host's points: commits and prunes of one host come one by one. */
pthread_mutex_t *store_host_lock(struct store *s, const char *host);

/* store_prune_points() by who has the host's lock. */
int store_prune_locked(struct store *s, const char *who, const char *host,
    const uint64_t *sequences, uint32_t n, struct err *err);

/*
 * Is the host braked?  `b` is what is known of its brake, and gets what is found;
 * unless `dry` a new brake is recorded.  `newest` is its newest verified point's
 * time, or its oldest point's if none is verified (`verified` 0).  With its lock.
 */
struct store_ages {
	int verified;
	uint64_t sequence;
	int64_t time_us;
};
int store_brake_locked(struct store *s, const char *host, const struct store_rules *rules,
    const struct store_ages *newest, int dry, struct store_brake *b, struct err *err);
/* ------------------------------------------------------------------ holding -- */

/* The gate; `alone` with `no_wait` may be refused: -1. */
void store_gate_enter(struct store *s);
int store_gate_alone(struct store *s, int no_wait);
void store_gate_leave(struct store *s);

/* Let a test do something here. */
static inline void
store_pause(struct store *s, enum store_pause where)
{
	if (s->pause != NULL)
		s->pause(s->pause_arg, where);
}

/* ERR_CANCELED if the lease was revoked; under the gate it stays as it is. */
int store_lease_check(const struct store_lease *l, struct err *err);

/* What `l` was told of stays as long as it: the gate is held.  ERR_NOMEM. */
int store_pin_chunk(struct store_lease *l, const struct pack_loc *loc, struct err *err);
int store_pin_tree(struct store_lease *l, const char *host, uint64_t sequence,
    const char *volume, const struct chunk_id *root_id, struct err *err);
void store_unpin(struct store_lease *l); /* Frees; the lease is nobody's. */

/* Finish the removal of pack `no`: 1 if the journal says that it goes, 0, -1. */
int store_finish_removal(struct store *s, uint32_t no, struct err *err);

/* --------------------------------------------------------------- bad groups -- */

/*
 * Put a pack right from its own parity: 1 if it is as it was sealed again, 2 if it
 * already is (another has mended it meanwhile, or the disk gives it after all), 0 if that
 * cannot be, -1.  `what` gets a line on it, or "".  What is quarantined in it stays so
 * until it was read.  A read-only store: only said.
 */
int store_mend_pack(struct store *s, const struct journal_pack *k,
    char what[ERR_TEXT_MAX], struct err *err);

/* A pack that was mended may be in the index only in part: read its footer again. */
int store_remember_mended(struct store *s, uint32_t no, struct err *err);

/* Pack `no` is gone for good: forget what was bad in it. */
void store_forget_bad(struct store *s, uint32_t no);

/* A group's stored bytes are bad: record it, its chunks count as absent. */
int store_quarantine(struct store *s, uint32_t pack, uint32_t offset, struct err *err);

/* Is that recorded already?  1, 0, -1. */
int
store_is_quarantined(struct store *s, uint32_t pack, uint32_t offset, struct err *err);

/* It was read and is good after all: record it, its chunks count again. */
int store_release_group(struct store *s, uint32_t pack, uint32_t offset, struct err *err);

/* Have all chunks of a quarantined group a good copy elsewhere?  1, 0, -1. */
int store_is_healed(struct store *s, uint32_t pack, uint32_t offset, struct err *err);

/* Where the copy of a chunk lies that is lost; 0 if nobody knows. */
int store_bad_place(struct store *s, const struct chunk_id *id, struct pack_loc *out);

/* Learn the chunks of the quarantined groups that the catalog knows. */
int store_load_bad(struct store *s, struct err *err);

/* Pack `no` is gone or unreadable as a whole: its chunks count as absent. */
int store_lose_pack(struct store *s, uint32_t no, struct err *err);

/* Something is lost and nobody can say what. */
int store_lose_unnamed(struct store *s, uint32_t no, struct err *err);

/* Every point was found whole: what was lost without a name is missed by none. */
int store_release_unnamed(struct store *s, struct err *err);

/* Is something lost that store_bad_ids() cannot name?  Then no tree is known to be whole.
 */
int store_lost_unnamed(struct store *s);

/*
 * The ids (of both kinds) of quarantined chunks without a good copy, in a
 * malloc'd array sorted by id; `*n` 0 and `*ids` NULL if there are none.
 */
int store_bad_ids(struct store *s, struct chunk_id **ids, size_t *n, struct err *err);

/* -------------------------------------------------------------------- trees -- */

/* Nodes already found whole: by id, level and length covered, with their sums. */
struct store_nodes *store_nodes_new(uint32_t max);
void store_nodes_free(struct store_nodes *n);
/* 1 and the sums, or 0. */
int store_nodes_get(const struct store_nodes *n, const struct chunk_id *id,
    uint32_t level, uint64_t covered, struct tree_sums *sums);
/* Remembers it; once `max` are known, forgets all others first. */
void store_nodes_add(struct store_nodes *n, const struct chunk_id *id, uint32_t level,
    uint64_t covered, const struct tree_sums *sums);

struct store_check {
	struct store_lease *lease;
	int fresh; /* A client's word: refuse a root with what we do not know. */
	struct store_nodes *checked;
	const struct chunk_id *base;	 /* A tree known to be whole, or NULL. */
	struct buf *data_ids, *meta_ids; /* What is missing; full ones end the check. */
	/* NULL, or: every data chunk met; non-zero ends the check and is returned. */
	int (*chunk)(void *arg, const struct chunk_id *id);
	/* NULL, or: every data chunk that is there. */
	void (*found)(void *arg, const struct chunk_id *id, const struct index_hit *hit);
	/* NULL, or: every node met, before it is fetched. */
	int (*node)(void *arg, const struct chunk_id *id);
	void *arg;
};

/*
 * Check the tree at `root_id` and all it rests on; fill in `v` from its root.
 * 0 also if chunks are missing: they are in the lists.  ERR_CORRUPT for a tree
 * that breaks the rules, ERR_UNSUPPORTED.
 */
int store_check_tree(const struct store_check *check, const struct chunk_id *root_id,
    struct store_volume *v, struct err *err);

#endif /* STORAGE_STORE_STATE_H */
