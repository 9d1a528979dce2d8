/*
 * catalog_db.h - the inside of the catalog: its connection and statements.
 *
 * Shared by catalog*.c only.  All of it needs the catalog's lock, which
 * catalog_enter() takes.
 */
#ifndef STORAGE_CATALOG_DB_H
#define STORAGE_CATALOG_DB_H

#include <pthread.h>
#include <sqlite3.h>

#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/journal.h"

/* One statement each; the SQL is in catalog_sql.c. */
enum catalog_op {
	CATALOG_APPLIED_GET,
	CATALOG_APPLIED_SET,
	CATALOG_SECRET_SET,
	CATALOG_SECRET_GET,
	CATALOG_PEER_SET,
	CATALOG_PEER_GROUP,
	CATALOG_PEER_REVOKED,
	CATALOG_PEER_ALARM,
	CATALOG_PEER_SEEN,
	CATALOG_PEER_BY_NAME,
	CATALOG_PEER_BY_SERIAL,
	CATALOG_PEER_BY_KEY,
	CATALOG_PEERS,
	CATALOG_LIVE_SET,
	CATALOG_LIVE_DUE,
	CATALOG_CERT_SET,
	CATALOG_CERT_REVOKE_ALL,
	CATALOG_CERT_REVOKE_OTHERS,
	CATALOG_TOKEN_SET,
	CATALOG_TOKEN_USED,
	CATALOG_TOKEN_GET,
	CATALOG_ENROLMENT_SET,
	CATALOG_ENROLMENT_GET,
	CATALOG_POINT_SET,
	CATALOG_VOLUME_SET,
	CATALOG_VOLUME_NEXT,
	CATALOG_VOLUME_POINT,
	CATALOG_RECORD_SET,
	CATALOG_HEAD_SET,
	CATALOG_HEAD_GET,
	CATALOG_POINT_GET,
	CATALOG_POINT_OF_BACKUP,
	CATALOG_POINT_NEWEST,
	CATALOG_POINTS_HOST,
	CATALOG_POINTS_ALL,
	CATALOG_RECORD_GET,
	CATALOG_BASE_GET,
	CATALOG_AUDIT_SET,
	CATALOG_LEASE_SET,
	CATALOG_LEASE_DROP,
	CATALOG_LEASES,
	CATALOG_LEASES_ALL,
	CATALOG_PACK_SET,
	CATALOG_PACK_DROP,
	CATALOG_PACKS_SEALED,
	CATALOG_REMOVED_SET,
	CATALOG_REMOVED_GET,
	CATALOG_REMOVED_LAST,
	CATALOG_PACKS,
	CATALOG_BAD_SET,
	CATALOG_BAD_DROP,
	CATALOG_BAD_DROP_PACK,
	CATALOG_BAD_LIST,
	CATALOG_NOTICE_SET,
	CATALOG_NOTICE_GET,
	CATALOG_STATS,
	CATALOG_POINT_DROP,
	CATALOG_VOLUMES_DROP,
	CATALOG_HOST_COUNT,
	CATALOG_POLICY_SET,
	CATALOG_POLICY_DROP,
	CATALOG_POLICY_GET,
	CATALOG_POLICIES,
	CATALOG_HOLD_SET,
	CATALOG_HOLD_DROP,
	CATALOG_LOCK_SET,
	CATALOG_LOCK_DROP,
	CATALOG_VERIFIED_SET,
	CATALOG_VERIFIED_DROP,
	CATALOG_BRAKE_SET,
	CATALOG_BRAKE_GET,
	CATALOG_HISTORY_SET,
	CATALOG_HISTORY_TRIM,
	CATALOG_HISTORY,
	CATALOG_KEPT,
	CATALOG_KEPT_ONE,
	CATALOG_HOSTS,
	CATALOG_ESCROW_SET,
	CATALOG_ESCROW_GET,
	CATALOG_CHECK_SET,
	CATALOG_CHECKS,
	CATALOG_HURT_SET,
	CATALOG_HURT_DROP,
	CATALOG_HURT_GET,
	CATALOG_HURT_COUNT,
	CATALOG_SUSPECT_SET,
	CATALOG_SUSPECT_END,
	CATALOG_SUSPECT_DROP,
	CATALOG_SUSPECT_GET,
	CATALOG_SUSPECTS,
	CATALOG_GROUPS,
	CATALOG_SUSPECT_NEW,
	CATALOG_RESTORE_SET,
	CATALOG_RESTORE_REDEEMED,
	CATALOG_RESTORE_OVER,
	CATALOG_RESTORE_BY_ID,
	CATALOG_RESTORE_BY_TOKEN,
	CATALOG_RESTORE_BY_SERIAL,
	CATALOG_RESTORE_BY_KEY,
	CATALOG_RESTORE_BY_MAC,
	CATALOG_RESTORES,
	CATALOG_RESTORES_COUNT,
	CATALOG_OPS
};

struct catalog_vfs;

#define CATALOG_MAC_LEN 32u

struct catalog {
	struct fs *fs;
	struct catalog_vfs *vfs; /* NULL: in memory. */
	char name[FS_NAME_MAX];
	sqlite3 *db;
	struct journal *journal;
	pthread_mutex_t lock; /* Before the journal's. */
	struct journal_place applied;
	uint8_t store[16];
	uint8_t key[32]; /* Of the MACs of rows. */
	/* The sum of all rows' MACs, as of `applied`; within a transaction ahead of it.
	 */
	uint8_t sum[CATALOG_MAC_LEN];
	int wiping;  /* All rows are being removed: none is looked at. */
	int damaged; /* It is not what was written: to be made anew. */
	sqlite3_stmt *ops[CATALOG_OPS];
};

extern const char *const catalog_sql[CATALOG_OPS];
extern const char *const catalog_schema[]; /* NULL ends it. */
extern const char *const catalog_wipe[];
/*
 * Another one for each program that applies more of the journal than those before
 * it: a further optional type of record, a field.  A catalog that an older program
 * went on with has skipped these; only its number tells, and it is made anew.
 */
#define CATALOG_SCHEMA_VERSION 9

/*
 * Lock and catch up with the journal; on failure it is not locked.  Where damage is
 * met between these two, the question fails (ERR_CORRUPT), and leaving makes the
 * catalog anew for the next one.
 */
int catalog_enter(struct catalog *c, struct err *err);
void catalog_leave(struct catalog *c);

/*
 * Get statement `op` ready with its parameters, one letter each in `types`:
 * t text, i int64_t, h const uint8_t * of 32 bytes, b const void * and size_t.
 * NULL on failure.  Borrowed: end with catalog_done().
 */
sqlite3_stmt *catalog_bind(
    struct catalog *c, enum catalog_op op, struct err *err, const char *types, ...);

/* 1 for a row, 0 at the end, -1, also where `st` is NULL because binding it failed. */
int catalog_step(struct catalog *c, sqlite3_stmt *st, struct err *err);
void catalog_done(sqlite3_stmt *st);

/* catalog_bind(), run to the end, catalog_done(). */
#define CATALOG_RUN(c, op, err, ...) \
	catalog_finish((c), catalog_bind((c), (op), (err), __VA_ARGS__), (err))
int catalog_finish(struct catalog *c, sqlite3_stmt *st, struct err *err);

/* Run SQL without parameters, or some of it one after another until NULL. */
int catalog_exec_all(struct catalog *c, const char *const *sql, struct err *err);
int catalog_exec(struct catalog *c, const char *sql, struct err *err);

/* Columns; text is cut to `cap`, blobs of another length give zeros. */
void catalog_text(sqlite3_stmt *st, int column, char *out, size_t cap);
void catalog_blob(sqlite3_stmt *st, int column, uint8_t *out, size_t len);

/*
 * The part of catalog_apply() that is retention's (catalog_retention.c); an audit
 * row comes with each of these, so that nothing happens without one.
 */
int catalog_apply_retention(struct catalog *c, const struct journal_event *e,
    const struct journal_record *r, struct err *err);

/* The part that is of restores (catalog_restores.c), with its row of audit, too. */
int catalog_apply_restores(struct catalog *c, const struct journal_event *e,
    const struct journal_record *r, struct err *err);

/* The row of audit that such an event comes with, if it is somebody's act. */
int catalog_apply_audit(struct catalog *c, const struct journal_event *e,
    const struct journal_record *r, struct err *err);

/* What a point adds to its host's history. */
int catalog_apply_history(
    struct catalog *c, const struct store_point *p, uint64_t logical, struct err *err);

/*
 * catalog_guard.c.  Functions first, then the schema, then the views and triggers that
 * check rows.  catalog_guard_check() reads all rows and holds their sum against
 * c->sum; ERR_CORRUPT.
 */
int catalog_guard_functions(struct catalog *c, struct err *err);
int catalog_guard_tables(struct catalog *c, struct err *err);
int catalog_guard_check(struct catalog *c, struct err *err);

/* The MAC of the row in `applied` that says `at`, c->store and c->sum. */
void catalog_applied_mac(const struct catalog *c, const struct journal_place *at,
    uint8_t out[CATALOG_MAC_LEN]);

/* catalog_scrub.c: packs were checked. */
int catalog_apply_checked(
    struct catalog *c, const struct journal_checked *k, struct err *err);

/* Write what a record says into the tables; within a transaction. */
int catalog_apply(struct catalog *c, const struct journal_record *r, struct err *err);

#endif /* STORAGE_CATALOG_DB_H */
