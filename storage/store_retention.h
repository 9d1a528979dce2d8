/*
 * store_retention.h - which points stay, which go, and what holds them.
 *
 * A policy says how many points of which kind a host keeps; it is set for a host,
 * for a group or for all, and the nearest one applies as a whole.  Pruning
 * removes from the catalog what no rule keeps; the chunks are the garbage
 * collector's, and the point's record stays in the journal as its stub.  Who
 * wants a point longer holds it (until it is released) or locks it (until a
 * date, which nobody can bring nearer).
 *
 * A host whose backups change far more than they used to, or no longer compress,
 * or whose points were not verified for too long, is braked: nothing of it is
 * pruned until an operator has looked and cleared the brake.
 *
 * All that is told here is durable, in the journal with who did it, and comes
 * back from it.  Time and sequence are the server's: what a host says of
 * either changes nothing.  Judged is by store_time_trusted() (store_time.h); while
 * the time is in doubt no lock opens and no point goes.  Rules and slots: retention.h.
 */
#ifndef STORAGE_STORE_RETENTION_H
#define STORAGE_STORE_RETENTION_H

#include <stdint.h>

#include "storage/store.h"

/* ----------------------------------------------------------------- policies -- */

/* How many to keep of what; all rules zero: every point is kept. */
struct store_rules {
	uint32_t last, hourly, daily, weekly, monthly, yearly;
	uint64_t within_s;     /* All of the last so many seconds. */
	uint32_t min_points;   /* Never fewer. */
	uint32_t min_verified; /* The newest so many verified ones stay. */
	uint64_t verified_s;   /* Brake if the newest verified one is older; 0: no. */
};

enum store_scope { STORE_POLICY_DEFAULT, STORE_POLICY_GROUP, STORE_POLICY_HOST };

struct store_policy {
	int scope;		   /* enum store_scope */
	char name[STORE_NAME_MAX]; /* The group or host; "" for the default. */
	char who[STORE_NAME_MAX];  /* Set it. */
	int set;		   /* 0: there is none. */
	struct store_rules rules;
	int64_t since_us;
};

/* Set it, or (`set` 0) remove it: ERR_NOTFOUND if there is none. */
int store_policy_put(struct store *s, const struct store_policy *p, struct err *err);

/* The one that applies to `host`; `out->set` 0 if there is none.  ERR_NOTFOUND. */
int store_policy_of(
    struct store *s, const char *host, struct store_policy *out, struct err *err);

/* All there are: the default, groups', hosts'; `each` as for store_peers(). */
int store_policies(struct store *s, int (*each)(void *arg, const struct store_policy *p),
    void *arg, struct err *err);

/* ----------------------------------------------------------- single points -- */

/* A point and what keeps it beside the rules. */
struct store_kept {
	uint64_t sequence;
	int64_t time_us;
	int held;
	char held_by[STORE_NAME_MAX];
	char held_why[STORE_TEXT_MAX];
	int64_t held_us;   /* Since when. */
	int64_t locked_us; /* Until when; 0: never locked. */
	char locked_by[STORE_NAME_MAX];
	int64_t verified_us; /* When it was last found whole; 0: never. */
	int hurt;	     /* But since then something of it was found lost. */
	int64_t suspect_us; /* When it was found that it may not be what its volumes were;
				 0: it was not. */
	int64_t restoring_us; /* A restore of it is open until then; 0: none. */
};

/* The points of a host, oldest first, until `each` returns non-zero; as store_peers(). */
int store_kept(struct store *s, const char *host,
    int (*each)(void *arg, const struct store_kept *k), void *arg, struct err *err);

int store_kept_one(struct store *s, const char *host, uint64_t sequence,
    struct store_kept *out, struct err *err);

/* Is it locked now?  A lock does not open while the time is in doubt. */
int store_is_locked(struct store *s, const struct store_kept *k);

/* Is a restore of it open (store_restores.h)?  Then it does not go. */
int store_is_restoring(struct store *s, const struct store_kept *k);

/* Keep a point until it is released.  ERR_NOTFOUND, ERR_EXISTS (held already). */
int store_hold(struct store *s, const char *who, const char *host, uint64_t sequence,
    const char *reason, struct err *err);
int store_release(struct store *s, const char *who, const char *host, uint64_t sequence,
    const char *reason, struct err *err);

/*
 * Keep a point until `until_us`, whoever asks for what.  A later date replaces an
 * earlier one; ERR_DENIED for an earlier one and for one that has passed.
 */
int store_lock(struct store *s, const char *who, const char *host, uint64_t sequence,
    int64_t until_us, struct err *err);

/*
 * Remove one point, whatever the policy says: a deliberate act.  ERR_DENIED if it
 * is held or locked, or while the time is in doubt.
 */
int store_forget(struct store *s, const char *who, const char *host, uint64_t sequence,
    const char *reason, struct err *err);

/*
 * Remove these points of a host as pruned, all or none; no policy is asked, holds
 * and locks are: ERR_DENIED.  At most STORE_PRUNE_MAX; ERR_NOTFOUND.
 */
#define STORE_PRUNE_MAX 512u
int store_prune_points(struct store *s, const char *who, const char *host,
    const uint64_t *sequences, uint32_t n, struct err *err);

/* ------------------------------------------------------------------- brakes -- */

struct store_brake {
	uint64_t sequence;	   /* Up to this point the host's backups were judged. */
	char who[STORE_NAME_MAX];  /* Cleared it; "" for the server, which set it. */
	char text[STORE_TEXT_MAX]; /* Why it is braked; "" if it is not (any more). */
	int64_t since_us;
};

/* The brake of a host; all zero if there never was one. */
int store_brake_of(
    struct store *s, const char *host, struct store_brake *out, struct err *err);

/*
 * Look at the host's newest backups (brake.h) and at how old its newest verified
 * point is: set the brake if it is time.  `out` is as of store_brake_of(); 1 if it
 * was set by this call, else 0.  To be called after each backup; pruning does it too.
 */
int store_brake_check(
    struct store *s, const char *host, struct store_brake *out, struct err *err);

/* An operator has looked: go on pruning.  ERR_NOTFOUND if it is not braked. */
int
store_brake_clear(struct store *s, const char *who, const char *host, struct err *err);

/* ----------------------------------------------------------------- pruning -- */

#define STORE_WHY_MAX 1024

/* What becomes of a point, and why. */
struct store_fate {
	struct store_kept kept;
	int damaged; /* Part of it is known to be lost. */
	int stays;
	char why[STORE_WHY_MAX]; /* "daily 3 of 7 (2026-11-23)"; "no rule keeps it" */
};

struct store_pruned {
	char host[STORE_NAME_MAX];
	struct store_policy policy;   /* That applied; `set` 0: none, all stays. */
	char stopped[STORE_TEXT_MAX]; /* Why nothing of it was pruned; or "". */
	uint32_t stay, go;	      /* By the policy. */
	uint32_t gone;		      /* Really. */
	uint32_t n;
	const struct store_fate *fates; /* Oldest first; borrowed. */
};

/* Up to `cap` hosts that have or had points, by name behind `after` ("" first). */
int store_pruned_hosts(struct store *s, const char *after, char (*out)[STORE_NAME_MAX],
    uint32_t cap, uint32_t *n, struct err *err);

/* The hash of a host's newest record, its point gone or not: 1, 0 for none, -1. */
int store_head(
    struct store *s, const char *host, uint8_t record[STORE_HASH_LEN], struct err *err);

/*
 * Do what the policies say to the points of `host`, or of all hosts if it is NULL;
 * with `dry` only say what would be done.  `each` is called once for each host with
 * points; a non-zero return ends it and is returned.
 */
int store_prune(struct store *s, const char *who, const char *host, int dry,
    int (*each)(void *arg, const struct store_pruned *p), void *arg, struct err *err);

#endif /* STORAGE_STORE_RETENTION_H */
