/*
 * store.h - the store as the server sees it: people, points and chunks.
 *
 * One directory, one process: store_open() takes a lock.  Beneath it packs hold
 * chunks (pack.h), the index finds them (index.h), the journal is the truth
 * about everything else (journal.h) and the catalog a fast copy of it
 * (catalog.h).  Storage knows no network, no messages and no certificates'
 * content: names, roles, keys and certificates are bytes here.
 *
 * All functions block (disk, fsync) and may be called from any number of
 * threads at once, unless they say otherwise.  What returned 0 is durable
 * unless its comment says less.  Times are microseconds since 1970-01-01 UTC
 * by store_now(), which never goes back.
 */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct buf;
struct err;
struct group; /* proto/chunk/group.h */

struct store;

#define STORE_NAME_MAX 64 /* Names of hosts, volumes, groups; with NUL. */
#define STORE_TEXT_MAX 256
#define STORE_VOLUMES_MAX 128
#define STORE_HASH_LEN 32
#define STORE_SERIAL_LEN 16
#define STORE_BACKUP_LEN 16
#define STORE_BLOB_MAX 4096 /* A certificate, a secret. */
#define STORE_FACTS_MAX 16384

/* Make an empty store in `dir`, which must be missing or empty: ERR_EXISTS. */
int store_init(const char *dir, struct err *err);

/*
 * Open it: lock (ERR_BUSY names the holder), replay the journal into the
 * catalog, recover packs that a crash left open.  ERR_UNSUPPORTED for a newer
 * format version, ERR_CORRUPT, ERR_IO.
 */
int store_open(const char *dir, struct store **out, struct err *err);

/*
 * What opening had to put right, for the log: one line, or "" if all was as a
 * clean close leaves it.
 */
const char *store_opened(const struct store *s);

/* Sync, seal what is open, release the lock and free.  NULL is allowed. */
void store_close(struct store *s);

/* The server's time: the clock, but never before anything the store has recorded. */
int64_t store_now(struct store *s);

/* The dedup domain's key and what is derived from it; constant while open. */
const uint8_t *store_domain_key(const struct store *s);
const struct chunk_keys *store_keys(const struct store *s);

/*
 * Secrets of the server (CA key, its own key and certificate), kept wrapped in
 * the journal under a name.  store_secret_get: ERR_NOTFOUND.
 */
int store_secret_put(
    struct store *s, const char *name, const uint8_t *p, size_t len, struct err *err);
int store_secret_get(struct store *s, const char *name, uint8_t *p, size_t cap,
    size_t *len, struct err *err);

/* ------------------------------------------------------------- the people -- */

/* A host or an operator and the certificate that is theirs now. */
struct store_peer {
	char name[STORE_NAME_MAX];
	int role; /* enum cert_role; storage only keeps it. */
	char group[STORE_NAME_MAX];
	uint8_t serial[STORE_SERIAL_LEN]; /* Of the newest certificate. */
	uint8_t key_hash[STORE_HASH_LEN];
	uint8_t machine[STORE_HASH_LEN]; /* Hosts; zeros if not told. */
	int revoked;
	int64_t enrolled_us, seen_us, cert_ends_us;
	char program[STORE_NAME_MAX]; /* What it said it runs. */
	char alarm[STORE_TEXT_MAX];   /* Something an operator must see; or "". */
	uint64_t points;
	int64_t point_us; /* Newest point's time; 0 if none. */
};

/* Find by certificate serial (an older, still valid one counts) or by name. ERR_NOTFOUND.
 */
int store_peer_by_serial(struct store *s, const uint8_t serial[STORE_SERIAL_LEN],
    struct store_peer *out, struct err *err);
int store_peer_by_name(
    struct store *s, const char *name, struct store_peer *out, struct err *err);

/* A peer whose key this is now, by another name than `except`: 1, 0 for none, -1. */
int store_peer_by_key(struct store *s, const uint8_t key_hash[STORE_HASH_LEN],
    const char *except, struct store_peer *out, struct err *err);

/* Call for each, by name, until `each` returns non-zero; returns that, 0 or -1. */
int store_peers(struct store *s, int (*each)(void *arg, const struct store_peer *p),
    void *arg, struct err *err);

/*
 * Record a peer with a fresh certificate: adds it, or (same name) replaces
 * certificate, key, machine and role, keeping points and group.
 */
int store_peer_put(struct store *s, const struct store_peer *p, struct err *err);

/*
 * As store_peer_put(), but only if the certificate `serial`, which asks for the
 * fresh one, still counts and is this name's: ERR_DENIED.
 */
int store_peer_renew(struct store *s, const uint8_t serial[STORE_SERIAL_LEN],
    const struct store_peer *p, struct err *err);

/* From now on no certificate of this name counts.  ERR_NOTFOUND. */
int store_peer_revoke(struct store *s, const char *name, struct err *err);

/* Note that it was here / raise or clear its alarm.  Seen is not made durable at once. */
int
store_peer_seen(struct store *s, const char *name, const char *program, struct err *err);
int
store_peer_alarm(struct store *s, const char *name, const char *alarm, struct err *err);

struct store_token {
	uint8_t hash[STORE_HASH_LEN]; /* Of its secret. */
	uint32_t uses_left;
	int64_t ends_us;
	char group[STORE_NAME_MAX];
	char replace_host[STORE_NAME_MAX]; /* May take over this name; or "". */
	char networks[STORE_TEXT_MAX];	   /* "10.0.0.0/8 ::1/128"; "" is any. */
};

int store_token_put(struct store *s, const struct store_token *t, struct err *err);
int store_token_get(struct store *s, const uint8_t hash[STORE_HASH_LEN],
    struct store_token *out, struct err *err);

/*
 * Consume one use of the token and record the host in one step.  If this host
 * (name and key_hash) was already recorded by this token, gives the certificate
 * of then again and consumes nothing: an agent that lost the reply tries again.
 * `p` has name, key_hash, machine, program, role, serial, cert_ends_us set;
 * `cert` is what `p` will be given, replaced by the earlier one in that case.
 * ERR_NOTFOUND (no such token), ERR_DENIED (expired, used up; the key is another
 * name's, or of another machine and the token may not replace this name),
 * ERR_EXISTS (the name is another key's, likewise); each says so in a line.
 * Networks are the caller's to check.  A token without a group leaves a known host in
 * its own.
 */
int store_enrol(struct store *s, const uint8_t token_hash[STORE_HASH_LEN],
    const struct store_peer *p, uint8_t cert[STORE_BLOB_MAX], size_t *cert_len,
    struct err *err);

/*
 * The groups that there are: of hosts, revoked ones too, and of tokens that still enrol.
 * As store_peers(), by name.
 */
int store_groups(struct store *s, int (*each)(void *arg, const char *group), void *arg,
    struct err *err);

/* An entry in the audit chain: who did what. */
int store_audit(struct store *s, const char *who, const char *what, struct err *err);

/* ------------------------------------------------------------------ points -- */

struct store_counts {
	uint64_t read_bytes, sent_bytes, new_bytes, known_bytes, zero_bytes, hole_bytes,
	    excluded_bytes, chunks, new_chunks, duration_us, stored_bytes;
};

struct store_volume {
	char name[STORE_NAME_MAX];
	struct chunk_id root_id;
	/* Read from the tree's root at commit. */
	uint64_t size;
	uint32_t sector_size;
	char fs[16], provider[16];
	int grade; /* enum tree_grade */
	uint64_t data_bytes, hole_bytes, zero_bytes, excluded_bytes;
};

/*
 * A point's facts: what a point says beyond what every point must, as typed
 * fields (proto/base/feature.h).  Those that this program does not know are kept.
 */
enum store_fact {
	STORE_FACT_EXCLUDED = 1, /* Bytes left out, by reason. */
	STORE_FACT_DISKS = 2,	 /* The host's disks and what lies on them. */
	STORE_FACT_HOST = 3,	 /* Firmware, controllers, names. */
	STORE_FACT_CAPTURE = 5,	 /* How it was frozen; text. */
	STORE_FACT_CHANGES = 6,	 /* What was not read, by the word of a list. */
	STORE_FACT_PROVEN = 7	 /* Up to which point the host's are proven. */
};

/* STORE_FACT_EXCLUDED holds these, by reason, 9 bytes each. */
struct store_excluded {
	uint8_t reason; /* enum extent_reason */
	uint64_t bytes;
};
#define STORE_EXCLUDED_MAX 64u

/* STORE_FACT_CHANGES holds these, by volume, 18 bytes each: the point is unproven. */
struct store_changes {
	uint8_t volume; /* Index in the point. */
	uint64_t kept_bytes, proven_bytes;
	uint8_t slices; /* In how many points all is proven once. */
};

/* Bytes of STORE_FACT_CAPTURE's text, its end counted. */
#define STORE_CAPTURE_MAX 513u

struct store_point {
	char host[STORE_NAME_MAX];
	uint64_t sequence;    /* Per host, from 1, never reused. */
	int64_t time_us;      /* The server's. */
	int64_t frozen_at_us; /* The host's word. */
	char note[STORE_TEXT_MAX];
	uint8_t backup[STORE_BACKUP_LEN]; /* The host's id of it; zeros if none. */
	uint32_t volumes_count;
	struct store_volume volumes[STORE_VOLUMES_MAX];
	struct store_counts counts;
	uint8_t record[STORE_HASH_LEN];	  /* Hash of its record. */
	uint8_t previous[STORE_HASH_LEN]; /* Of the host's record before; zeros. */
	uint32_t facts_len;
	uint8_t facts[STORE_FACTS_MAX];
};

/*
 * Append typed fields to a draft's facts, whose types must rise.  What they say is the
 * server's to know.  ERR_CORRUPT, ERR_LIMIT.
 */
int store_facts_add(
    struct store_point *p, const uint8_t *fields, size_t len, struct err *err);

/* Put `n` sums, by reason, into a draft's facts, which must be empty.  ERR_LIMIT. */
int store_facts_set_excluded(
    struct store_point *p, const struct store_excluded *e, size_t n, struct err *err);

/* What a point left out, by reason; returns how many, 0 if it does not say. */
size_t store_facts_excluded(
    const struct store_point *p, struct store_excluded out[STORE_EXCLUDED_MAX]);

/*
 * Append how it was frozen to a draft's facts, after those of lower types: one line of
 * UTF-8, cut to the length that is kept; left out if it is empty or there is no room.
 */
int store_facts_set_capture(struct store_point *p, const char *text, struct err *err);

/* That text, or an empty one. */
void store_facts_capture(const struct store_point *p, char out[STORE_CAPTURE_MAX]);

/* Append what was not read of `n` volumes, which rise, after facts of lower types. */
int store_facts_set_changes(
    struct store_point *p, const struct store_changes *c, size_t n, struct err *err);

/* Those; returns how many: 0 if all was read. */
size_t store_facts_changes(
    const struct store_point *p, struct store_changes out[STORE_VOLUMES_MAX]);

/*
 * Append that of what this point did not read all was read, and found as it should be,
 * since point `sequence` of the host: should a list turn out to have been wrong, the
 * points behind that one are suspect, and it is not.  After facts of lower types.
 */
int store_facts_set_proven(struct store_point *p, uint64_t sequence, struct err *err);

/* That sequence; 0 if the point does not say. */
uint64_t store_facts_proven(const struct store_point *p);

/* ERR_CORRUPT, or ERR_UNSUPPORTED for a required fact that this program does not know. */
int store_facts_check(const uint8_t *p, size_t len, struct err *err);

/* One point; sequence 0 is the newest.  ERR_NOTFOUND. */
int store_point_get(struct store *s, const char *host, uint64_t sequence,
    struct store_point *out, struct err *err);

/* Those older than `before_us`, newest first; host NULL: all hosts.  As store_peers(). */
int store_points(struct store *s, const char *host, int64_t before_us,
    int (*each)(void *arg, const struct store_point *p), void *arg, struct err *err);

/* Is `record` the hash of any record of this host (pruned ones count)?  1, 0, -1. */
int store_record_known(struct store *s, const char *host,
    const uint8_t record[STORE_HASH_LEN], struct err *err);

/* ------------------------------------------------------------------ leases -- */

/*
 * What a session holds while it works: everything it has been told is there
 * stays there.  A lease belongs to one session; its calls may come from several
 * threads.  Durable: after a crash an unfinished backup's chunks stay for the
 * host's next lease.
 */
struct store_lease;

enum store_purpose { STORE_BACKUP, STORE_READ };

int store_lease_open(struct store *s, const char *host, enum store_purpose purpose,
    struct store_lease **out, struct err *err);

/* End it: claims go to whoever asks next; unsynced groups are synced.  NULL is allowed.
 */
void store_lease_close(struct store_lease *l);

/*
 * Non-zero if an earlier backup of this host put chunks and did not commit: they
 * are still pinned, and need not be sent again.
 */
int store_lease_resumed(const struct store_lease *l);

struct store_base {
	int known; /* The volume has a point. */
	uint64_t sequence;
	struct chunk_id root_id;
};

/*
 * Begin a backup of `n` volumes by name.  ERR_BUSY if another lease backs one of
 * them up now (its text names it).  `bases` gets the newest point of each; it is
 * pinned until the lease ends.  `bad` collects the ids (32 bytes each) of
 * quarantined chunks that these bases use.
 */
int store_backup_begin(struct store_lease *l, const char *const names[], uint32_t n,
    struct store_base *bases, struct buf *bad, struct err *err);

/* The numbers go on the wire (enum msg_have). */
enum store_have {
	STORE_NEED = 0,	  /* Not here: now claimed by this lease, send it. */
	STORE_HAVE = 1,	  /* Durable, pinned until the lease ends. */
	STORE_PENDING = 2 /* Another live lease has claimed it: ask later. */
};

/* Ask for `n` chunks of one kind. */
int store_have(struct store_lease *l, enum chunk_kind kind, const struct chunk_id *ids,
    size_t n, uint8_t *answers, struct err *err);

/*
 * Append a group that the caller has proven (every chunk is its id).  Returns
 * when it is in the pack file, not when it is durable: store_commit() and
 * closing the lease see to that.  ERR_NOSPACE leaves the store usable.
 */
int store_put(struct store_lease *l, const struct group *g, struct err *err);

enum store_commit_result { STORE_COMMITTED, STORE_MISSING, STORE_COMMITTED_BEFORE };

/*
 * Make a point of the roots in `draft` (host from the lease; names, root_ids,
 * counts, frozen_at_us and note are the caller's, the rest is filled in):
 * sync packs, check every tree (all nodes and chunks there and durable, kinds,
 * depth, lengths, sums; nodes shared with the pinned base are not walked
 * again), append the journal record, sync, apply to the catalog.  On
 * STORE_MISSING `*result` says so and the ids are in `data_ids` and `meta_ids`;
 * nothing was recorded and the lease goes on.  ERR_CORRUPT: a tree that breaks
 * the rules.
 *
 * A draft whose `backup` is not zeros and was committed before, by whatever
 * lease, is that point: STORE_COMMITTED_BEFORE, `draft` becomes it, and nothing
 * is recorded.  So who never heard the answer may ask again.  ERR_PROTOCOL if it
 * has other roots.
 */
int store_commit(struct store_lease *l, struct store_point *draft,
    enum store_commit_result *result, struct buf *data_ids, struct buf *meta_ids,
    struct err *err);

/* ----------------------------------------------------------------- reading -- */

/* Read tree node `id` into `out` (replaced); proven.  A tree_fetch by shape, arg is the
 * lease. */
int store_node(void *lease, const struct chunk_id *id, struct buf *out, struct err *err);

/* Where a chunk's group lies: equal places are equal groups; order is pack order. */
struct store_place {
	uint32_t pack;
	uint32_t offset;
};

/* Places of `n` chunks; found[i] 0 where it is absent or quarantined. */
int store_locate(struct store_lease *l, enum chunk_kind kind, const struct chunk_id *ids,
    size_t n, struct store_place *places, uint8_t *found, struct err *err);

/* The group's stored bytes into `out` (replaced; limit >= GROUP_LEN_MAX); checked. */
int store_group(struct store_lease *l, const struct store_place *place, struct buf *out,
    struct err *err);

/* --------------------------------------------------------------- the whole -- */

struct store_stats {
	uint64_t hosts, points, logical_bytes, unique_bytes, stored_bytes, chunks, packs,
	    free_bytes, index_ram_bytes, quarantined;
};
int store_stats(struct store *s, struct store_stats *out, struct err *err);

struct store_verify_report {
	uint64_t groups, bytes, bytes_total, bad_groups, points_checked;
	uint64_t packs;		  /* Read. */
	uint64_t healed_groups;	  /* Bad, but all they held is elsewhere, too. */
	uint64_t released_groups; /* Bad once, good now. */
	uint64_t mended_packs;	  /* Put right by their parity. */
	uint64_t
	    points_verified;	 /* Whole, with all packs checked since they were made. */
	uint64_t points_suspect; /* Of those looked at: they may not be what was there. */
};

/*
 * Read packs (a `sample` share of them, 0 is all) and check every group; with
 * `trees` also that every point is whole; if all is, losses that nobody could
 * name (pack_recover()) are forgotten.  Bad groups are quarantined.  `tell`
 * is called now and then (problem NULL) and once per problem (one line); a
 * non-zero return stops with ERR_CANCELED.
 */
int store_verify(struct store *s, double sample, int trees,
    int (*tell)(void *arg, const struct store_verify_report *r, const char *problem),
    void *arg, struct store_verify_report *out, struct err *err);

#endif /* STORAGE_STORE_H */
