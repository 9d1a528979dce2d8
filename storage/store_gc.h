/*
 * store_gc.h - giving back the space of chunks that no point needs.
 *
 * A cycle runs beside backups and restores, never by clocks: what may go is
 * decided by who holds what.  It marks from the points, the bases of the backups
 * going on and the points that readers pinned; writes what lives in mostly dead
 * packs anew; takes packs without live chunks out of the index (condemned); and
 * removes their files once every lease that is older than that has ended.  Why
 * this loses nothing: storage/DESIGN.md, "Collecting".
 *
 * Two ways to run one.  store_gc() does all of it, at a limited rate.  Or a
 * caller drives it in small steps and may stop after any of them:
 *
 *	store_gc_begin, store_gc_step until STORE_GC_DONE (or STORE_GC_WAITING,
 *	for as long as it likes, or a failure), store_gc_end
 *
 * Nothing of a cycle outlives the process but what it removed: after a crash or
 * an early end all is as if it had not begun.  Packs that are condemned and
 * still held by someone stay so over the end of a cycle, and the next one
 * removes them.
 */
#ifndef STORAGE_STORE_GC_H
#define STORAGE_STORE_GC_H

#include <stdint.h>

#include "storage/store.h"

struct err;
struct store_gc;

/* ------------------------------------------------------------------- a cycle -- */

struct store_gc_config {
	/*
	 * A pack that is dead by more than this share of its stored bytes is written
	 * anew without them; 0 is STORE_GC_MAX_DEAD, 1 and more never.
	 */
	double max_dead;
	int dry_run; /* Mark and report; change nothing. */

	/*
	 * Revoke first what is older than this by the server's time, 0 never: leases
	 * that the journal has as open and no session works on, and such as one does.
	 * Policy may use time; safety never does.
	 */
	int64_t lease_keep_us, live_keep_us;

	uint32_t nodes_per_step; /* Nodes of trees read in one step; 0: 64. */
	int no_wait;		 /* A step that would wait for a commit does nothing. */

	/* For store_gc() alone: */
	uint64_t max_rate; /* Bytes read and written a second; 0: no limit. */
	uint32_t wait_ms;  /* How long to wait for leases in the end. */
};

#define STORE_GC_MAX_DEAD 0.3

enum store_gc_state {
	STORE_GC_MARKING,    /* Finding what lives. */
	STORE_GC_REWRITING,  /* Copying what lives out of mostly dead packs. */
	STORE_GC_CONDEMNING, /* About to take packs out of the index. */
	STORE_GC_SWEEPING,   /* Removing files. */
	STORE_GC_WAITING,    /* The rest is held: see waiting_* of the report. */
	STORE_GC_DONE
};

struct store_gc_report {
	enum store_gc_state state;
	uint64_t points, nodes, chunks; /* Marked; each counted once. */
	uint64_t missing;		/* Chunks that live points need and nobody has. */

	uint32_t packs; /* Sealed ones that were looked at. */
	uint32_t
	    packs_young; /* Of them left: sealed after the oldest open lease began. */
	uint32_t packs_pinned;	  /* ... left: a session was told of chunks in them. */
	uint32_t packs_bad;	  /* ... left: damaged, for repair to see to. */
	uint32_t packs_rewritten; /* What lives of them was copied. */
	uint32_t packs_condemned; /* Out of the index now, waiting to be removed. */
	uint32_t packs_removed;
	uint32_t packs_recalled; /* Back in the index: something was quarantined. */

	uint64_t bytes_total;	  /* Stored in the packs looked at. */
	uint64_t bytes_dead;	  /* Of that in groups' dead chunks. */
	uint64_t bytes_freed;	  /* Stored in files removed; a dry run: that would be. */
	uint64_t bytes_rewritten; /* Stored anew. */
	uint64_t bytes_read;

	uint32_t leases_revoked;
	int rewrite_full; /* The disk was full: what is wholly dead still went. */

	/* STORE_GC_WAITING: the oldest lease that holds condemned packs. */
	uint64_t waiting_lease;
	enum store_purpose waiting_purpose;
	char waiting_host[STORE_NAME_MAX];
};

/*
 * Begin a cycle: revokes leases as `config` says (NULL: all defaults), reads the
 * footers of all packs.  ERR_BUSY while another one is on, ERR_DENIED for a store that
 * is open read-only (but for a dry run), ERR_UNSUPPORTED for one with what this program
 * does not know, ERR_IO.
 */
int store_gc_begin(struct store *s, const struct store_gc_config *config,
    struct store_gc **out, struct err *err);

/*
 * Do a little: read some nodes, copy one group, or remove one pack.  A failure
 * ends the cycle: all that follows is store_gc_end().  ERR_IO; ERR_CORRUPT or
 * ERR_NOTFOUND for a tree that cannot be read, naming host, point and volume;
 * ERR_CANCELED where something was quarantined since marking began: the next
 * cycle knows.  From one thread at a time.
 */
int store_gc_step(struct store_gc *gc, enum store_gc_state *state, struct err *err);

/* What it did so far; borrowed. */
const struct store_gc_report *store_gc_now(const struct store_gc *gc);

/* End it, finished or not.  NULL is allowed. */
void store_gc_end(struct store_gc *gc);

/*
 * A whole cycle.  `tell` (may be NULL) is called at least ten times a second
 * while it works; a non-zero return ends it with ERR_CANCELED.  0 also if packs
 * wait for leases when `wait_ms` are over: report->state says so.
 */
int store_gc(struct store *s, const struct store_gc_config *config,
    int (*tell)(void *arg, const struct store_gc_report *r), void *arg,
    struct store_gc_report *report, struct err *err);

/* -------------------------------------------------------------------- leases -- */

/*
 * Pin a point for reading: as store_point_get(), and all that it needs stays
 * until the lease ends, pruned or not.  Whoever reads a point by its roots calls
 * this first.
 */
int store_lease_point(struct store_lease *l, const char *host, uint64_t sequence,
    struct store_point *out, struct err *err);

struct store_lease_info {
	uint64_t id; /* Readers' have the top bit. */
	enum store_purpose purpose;
	int live; /* A session has it; else only the journal. */
	int revoked;
	int64_t opened_us;
	char host[STORE_NAME_MAX];
};

/* Call for each lease there is until `each` returns non-zero; returns that, 0 or -1. */
int store_leases(struct store *s,
    int (*each)(void *arg, const struct store_lease_info *l), void *arg, struct err *err);

/*
 * End what lease `id` holds.  If a session has it, its every later call answers
 * ERR_CANCELED: it must open another and ask everything again.  ERR_NOTFOUND.
 */
int store_lease_revoke(struct store *s, uint64_t id, struct err *err);

#endif /* STORAGE_STORE_GC_H */
