/*
 * catalog.h - what the journal says, ready to be asked: named questions on SQLite.
 *
 * The catalog is a cache.  It knows how much of the journal it holds, applies
 * what is new before it answers anything, and is thrown away and made anew from
 * the journal when it is missing, damaged, of another store or ahead.  Nothing
 * is ever written to it but by applying the journal; what peers last said in
 * passing (seen) is kept in memory until the journal has it.
 *
 * Every row has a MAC, and all of them a sum with a MAC of its own, which opening adds
 * up: what is not as it was written is never answered.  A question that meets such a
 * row fails with ERR_CORRUPT, and the catalog is made anew before the next.
 *
 * One connection behind a lock: any thread may call.  SQL stays in catalog*.c.
 */
#ifndef STORAGE_CATALOG_H
#define STORAGE_CATALOG_H

#include <stddef.h>
#include <stdint.h>

#include "storage/store.h"
#include "storage/store_restores.h"
#include "storage/store_retention.h"

struct brake_backup; /* storage/brake.h */
struct err;
struct fs;
struct journal;	       /* storage/journal.h */
struct journal_secret; /* storage/journal_record.h */
struct store_suspects; /* storage/store_verify.h */
struct journal_pack;
struct journal_group;
struct store_escrow; /* storage/store_escrow.h */

struct catalog;

/* Its file, with SQLite's endings beside it. */
#define CATALOG_NAME "catalog.db"

/*
 * Open the catalog in file `name` of `fs` (NULL: in memory) of the store with this
 * id, and bring it up to `journal`; both are borrowed.  `key` authenticates its
 * rows.  `why` (at least 160 bytes, may be NULL) says in a line why it was made anew;
 * "" if it was not.  ERR_BUSY if another has the file open.
 */
int catalog_open(struct fs *fs, const char *name, const uint8_t store[16],
    const uint8_t key[32], struct journal *journal, struct catalog **out, char *why,
    struct err *err);
void catalog_close(struct catalog *c);

/* Apply what the journal has more; everything below does so first, too. */
int catalog_follow(struct catalog *c, struct err *err);

/*
 * Read all of it: is it what was written?  ERR_CORRUPT says what is not; it has been
 * made anew then.
 */
int catalog_check(struct catalog *c, struct err *err);

/* Each of these gives ERR_NOTFOUND, naming what was asked for. */
int catalog_secret(
    struct catalog *c, const char *name, struct journal_secret *out, struct err *err);
int catalog_peer_by_name(
    struct catalog *c, const char *name, struct store_peer *out, struct err *err);
int catalog_peer_by_serial(struct catalog *c, const uint8_t serial[STORE_SERIAL_LEN],
    struct store_peer *out, struct err *err);
int catalog_token(struct catalog *c, const uint8_t hash[STORE_HASH_LEN],
    struct store_token *out, struct err *err);

/* A peer whose key this is now, by another name than `except`: 1, or 0 for none. */
int catalog_peer_by_key(struct catalog *c, const uint8_t key_hash[STORE_HASH_LEN],
    const char *except, struct store_peer *out, struct err *err);
int catalog_point(struct catalog *c, const char *host, uint64_t sequence,
    struct store_point *out, struct err *err);

/* The point that this backup of `host` became: 1, or 0 if it is none yet. */
int catalog_point_of_backup(struct catalog *c, const char *host,
    const uint8_t backup[STORE_BACKUP_LEN], struct store_point *out, struct err *err);

/*
 * Up to `cap` groups by name behind `after`: those of peers, and of tokens that enrol at
 * `now_us`.
 */
int catalog_groups(struct catalog *c, const char *after, int64_t now_us,
    char (*out)[STORE_NAME_MAX], uint32_t cap, uint32_t *n, struct err *err);

/* Up to `cap` peers by name behind `after` ("" for the first). */
int catalog_peers(struct catalog *c, const char *after, struct store_peer *out,
    uint32_t cap, uint32_t *n, struct err *err);

/*
 * Note that a peer is here.  `*due` is set if the journal should be told: the
 * program changed or its last record of it is a day old.
 */
int catalog_seen(struct catalog *c, const char *name, const char *program, int64_t now_us,
    int *due, struct err *err);

/* The certificate given to this key and name by this token: 1, or 0. */
int catalog_enrolment(struct catalog *c, const uint8_t token[STORE_HASH_LEN],
    const struct store_peer *p, uint8_t cert[STORE_BLOB_MAX], size_t *len,
    struct err *err);

/* Up to `cap` points of `host` (NULL: all), newest first, older than `before_us`. */
int catalog_points(struct catalog *c, const char *host, int64_t before_us,
    struct store_point *out, uint32_t cap, uint32_t *n, struct err *err);

/* Is this the hash of a point record of `host`, pruned or not?  1, 0, -1. */
int catalog_record_known(struct catalog *c, const char *host,
    const uint8_t record[STORE_HASH_LEN], struct err *err);

/* What a host's next point continues; zeros for a host without points. */
struct catalog_head {
	uint64_t sequence; /* Of its last point, pruned or not. */
	uint8_t record[STORE_HASH_LEN];
};
int catalog_head(
    struct catalog *c, const char *host, struct catalog_head *out, struct err *err);

/* The newest point's root of a host's volume; out->known 0 if there is none. */
int catalog_base(struct catalog *c, const char *host, const char *volume,
    struct store_base *out, struct err *err);

/* Leases of `host` recorded as open, other than `except`: up to `cap` ids. */
int catalog_leases(struct catalog *c, const char *host, uint64_t except, uint64_t *ids,
    uint32_t cap, uint32_t *n, struct err *err);

/* A lease recorded as open. */
struct catalog_lease {
	uint64_t id;
	int64_t opened_us;
	char host[STORE_NAME_MAX];
};

/* Leases of all hosts recorded as open, by id behind `after`. */
int catalog_leases_all(struct catalog *c, uint64_t after, struct catalog_lease *out,
    uint32_t cap, uint32_t *n, struct err *err);

/* When packs were recorded as sealed: by sequence of the record. */
struct catalog_sealed {
	uint32_t no;
	uint64_t sequence;
};
int catalog_packs_sealed(struct catalog *c, uint32_t after, struct catalog_sealed *out,
    uint32_t cap, uint32_t *n, struct err *err);

/* Was the pack recorded as removed?  1, 0, -1. */
int catalog_removed(struct catalog *c, uint32_t no, struct err *err);

/* The highest number of a pack that was removed; 0 if none. */
int catalog_removed_last(struct catalog *c, uint32_t *no, struct err *err);

/* Packs recorded as sealed, by number behind `after`. */
int catalog_packs(struct catalog *c, uint32_t after, struct journal_pack *out,
    uint32_t cap, uint32_t *n, struct err *err);

/*
 * Packs last checked before `since_us`, those longest ago first; behind `after` (NULL
 * for the first).
 */
struct catalog_check {
	uint32_t pack;
	int64_t when_us; /* 0: never. */
};
int catalog_checks(struct catalog *c, int64_t since_us, const struct catalog_check *after,
    struct catalog_check *out, uint32_t cap, uint32_t *n, struct err *err);

/* Is something of a point known to be lost?  1 and why, or 0. */
int catalog_hurt(struct catalog *c, const char *host, uint64_t sequence,
    char why[STORE_TEXT_MAX], struct err *err);

/* How many points of a host are hurt. */
int catalog_hurt_count(struct catalog *c, const char *host, uint64_t *n, struct err *err);

/* May a point not be what its volumes were?  1, of which and why, or 0. */
int catalog_suspect(struct catalog *c, const char *host, uint64_t sequence,
    char volume[STORE_NAME_MAX], char why[STORE_TEXT_MAX], struct err *err);

/* Which points of a host are suspect. */
int catalog_suspects(
    struct catalog *c, const char *host, struct store_suspects *out, struct err *err);

/* How many of a volume's points after `after`, to `last`, are not suspect yet. */
int catalog_suspect_new(struct catalog *c, const char *host, const char *volume,
    uint64_t after, uint64_t last, uint64_t *n, struct err *err);

/*
 * The first volume of a host's points by name behind `after` ("" first), which is not
 * `out`: 1, 0 if there is none.
 */
int catalog_volume_next(struct catalog *c, const char *host, const char *after,
    char out[STORE_NAME_MAX], struct err *err);

/* The host's newest point with that volume, up to `last`: `*sequence`, 0 for none. */
int catalog_volume_point(struct catalog *c, const char *host, const char *volume,
    uint64_t last, uint64_t *sequence, struct err *err);

/* Groups recorded as bad, behind `after` (NULL for the first). */
int catalog_quarantined(struct catalog *c, const struct journal_group *after,
    struct journal_group *out, uint32_t cap, uint32_t *n, struct err *err);

/* The last word on an alarm of the store's own; zeros if there is none. */
struct catalog_notice {
	char text[STORE_TEXT_MAX]; /* "": it is over. */
	int64_t time_us, trusted_us;
};
int catalog_notice(
    struct catalog *c, uint32_t kind, struct catalog_notice *out, struct err *err);
/* The policy of a scope and name itself: 1, or 0 if none is set. */
int catalog_policy(struct catalog *c, int scope, const char *name,
    struct store_policy *out, struct err *err);

/* Up to `cap` policies behind (scope, name), in that order; scope -1 for the first. */
int catalog_policies(struct catalog *c, int scope, const char *name,
    struct store_policy *out, uint32_t cap, uint32_t *n, struct err *err);

/* A host's points behind `after`, oldest first, with what holds them. */
int catalog_kept(struct catalog *c, const char *host, uint64_t after,
    struct store_kept *out, uint32_t cap, uint32_t *n, struct err *err);

/* The same of one point; ERR_NOTFOUND. */
int catalog_kept_one(struct catalog *c, const char *host, uint64_t sequence,
    struct store_kept *out, struct err *err);

/* The last brake of a host: 1, or 0 if there never was one. */
int catalog_brake(
    struct catalog *c, const char *host, struct store_brake *out, struct err *err);

/* What the host's last backups were like, oldest first: at most CATALOG_HISTORY_MAX. */
#define CATALOG_HISTORY_MAX 64u
int catalog_history(struct catalog *c, const char *host, struct brake_backup *out,
    uint32_t *n, struct err *err);

/* Up to `cap` hosts that have or had points, by name behind `after` ("" first). */
int catalog_hosts(struct catalog *c, const char *after, char (*out)[STORE_NAME_MAX],
    uint32_t cap, uint32_t *n, struct err *err);

/* Restores, by what is shown or by their number: 1, 0 if there is none. */
int catalog_restore_by_id(
    struct catalog *c, uint64_t id, struct store_restore *out, struct err *err);
int catalog_restore_by_token(struct catalog *c, const uint8_t token[STORE_HASH_LEN],
    struct store_restore *out, struct err *err);
int catalog_restore_by_serial(struct catalog *c, const uint8_t serial[STORE_SERIAL_LEN],
    struct store_restore *out, struct err *err);
int catalog_restore_by_key(struct catalog *c, const uint8_t key_hash[STORE_HASH_LEN],
    struct store_restore *out, struct err *err);
int catalog_restore_by_mac(struct catalog *c, const uint8_t mac[STORE_MAC_LEN],
    int64_t now_us, struct store_restore *out, struct err *err);

/* Up to `cap` of them behind number `after`. */
int catalog_restores(struct catalog *c, uint64_t after, struct store_restore *out,
    uint32_t cap, uint32_t *n, struct err *err);

/* How many are open at `now_us`, in all and of `host`. */
int catalog_restores_count(struct catalog *c, const char *host, int64_t now_us,
    uint64_t *all, uint64_t *of_host, struct err *err);

/* Fills in hosts, points, logical_bytes, unique_bytes, stored_bytes, chunks, packs. */
int catalog_stats(struct catalog *c, struct store_stats *out, struct err *err);

/* When the keys that `check` stands for were last exported; all zero if never. */
int catalog_escrow(struct catalog *c, const uint8_t check[STORE_HASH_LEN],
    struct store_escrow *out, struct err *err);

#endif /* STORAGE_CATALOG_H */
