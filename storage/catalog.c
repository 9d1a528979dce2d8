#include "storage/catalog.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/catalog_db.h"
#include "storage/catalog_vfs.h"
#include "storage/fs.h"

/* --------------------------------------------------------------- statements -- */

static int
fail(struct catalog *c, int rc, struct err *err)
{
	const struct err *said = c->vfs != NULL ? catalog_vfs_error(c->vfs) : NULL;
	enum err_code code = ERR_IO;

	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		code = ERR_NOMEM;
		break;
	case SQLITE_FULL:
		code = ERR_NOSPACE;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = ERR_BUSY;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = ERR_CORRUPT;
		c->damaged = 1;
		break;
	default:
		break;
	}
	if (said != NULL && said->code != ERR_NONE && code != ERR_CORRUPT)
		return err_set(
		    err, code, "catalog: %s: %s", sqlite3_errstr(rc), said->text);
	return err_set(err, code, "catalog: %s",
	    c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc));
}

static int
bind_one(sqlite3_stmt *st, int i, char type, va_list *ap)
{
	const void *p;

	switch (type) {
	case 't':
		return sqlite3_bind_text(
		    st, i, va_arg(*ap, const char *), -1, SQLITE_STATIC);
	case 'i':
		return sqlite3_bind_int64(st, i, va_arg(*ap, int64_t));
	case 'h':
		return sqlite3_bind_blob(
		    st, i, va_arg(*ap, const uint8_t *), STORE_HASH_LEN, SQLITE_STATIC);
	default:
		p = va_arg(*ap, const void *);
		return sqlite3_bind_blob64(st, i, p, va_arg(*ap, size_t), SQLITE_STATIC);
	}
}

sqlite3_stmt *
catalog_bind(
    struct catalog *c, enum catalog_op op, struct err *err, const char *types, ...)
{
	sqlite3_stmt *st = c->ops[op];
	int rc = SQLITE_OK;
	va_list ap;

	if (st == NULL) {
		rc = sqlite3_prepare_v3(c->db, catalog_sql[op], -1,
		    SQLITE_PREPARE_PERSISTENT, &c->ops[op], NULL);
		st = c->ops[op];
	}
	va_start(ap, types);
	for (int i = 0; rc == SQLITE_OK && types[i] != '\0'; i++)
		rc = bind_one(st, i + 1, types[i], &ap);
	va_end(ap);
	if (rc != SQLITE_OK) {
		(void)fail(c, rc, err);
		catalog_done(st);
		return NULL;
	}
	return st;
}

int
catalog_step(struct catalog *c, sqlite3_stmt *st, struct err *err)
{
	int rc;

	if (st == NULL)
		return -1;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE)
		return 0;
	return fail(c, rc, err);
}

void
catalog_done(sqlite3_stmt *st)
{
	if (st != NULL) {
		(void)sqlite3_reset(st);
		(void)sqlite3_clear_bindings(st);
	}
}

int
catalog_finish(struct catalog *c, sqlite3_stmt *st, struct err *err)
{
	int rc;

	if (st == NULL)
		return -1;
	while ((rc = catalog_step(c, st, err)) > 0)
		continue;
	catalog_done(st);
	return rc;
}

int
catalog_exec(struct catalog *c, const char *sql, struct err *err)
{
	int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(c, rc, err);
}

int
catalog_exec_all(struct catalog *c, const char *const *sql, struct err *err)
{
	for (; *sql != NULL; sql++)
		if (catalog_exec(c, *sql, err) != 0)
			return -1;
	return 0;
}

void
catalog_text(sqlite3_stmt *st, int column, char *out, size_t cap)
{
	const unsigned char *s = sqlite3_column_text(st, column);

	(void)snprintf(out, cap, "%s", s != NULL ? (const char *)s : "");
}

void
catalog_blob(sqlite3_stmt *st, int column, uint8_t *out, size_t len)
{
	const void *p = sqlite3_column_blob(st, column);

	memset(out, 0, len);
	if (p != NULL && (size_t)sqlite3_column_bytes(st, column) == len)
		memcpy(out, p, len);
}

/* ---------------------------------------------------------------- following -- */

struct follower {
	struct catalog *c;
	struct err *err;
	struct journal_place at;
};

static int
follow_record(void *arg, const struct journal_record *r)
{
	struct follower *f = arg;

	if (catalog_apply(f->c, r, f->err) != 0)
		return -1;
	f->at = r->end;
	return 0;
}

static int
set_applied(struct catalog *c, const struct journal_place *at, struct err *err)
{
	uint8_t mac[CATALOG_MAC_LEN];

	catalog_applied_mac(c, at, mac);
	return CATALOG_RUN(c, CATALOG_APPLIED_SET, err, "ibiiihhh",
	    (int64_t)CATALOG_SCHEMA_VERSION, (const void *)c->store, sizeof(c->store),
	    (int64_t)at->offset, (int64_t)at->sequence, at->time_us,
	    (const uint8_t *)at->hash, (const uint8_t *)c->sum, (const uint8_t *)mac);
}

static int
wipe(struct catalog *c, struct err *err)
{
	int ret;

	c->wiping = 1;
	ret = catalog_exec_all(c, catalog_wipe, err);
	c->wiping = 0;
	memset(c->sum, 0, sizeof(c->sum));
	return ret;
}

/* Apply all behind `from` in one transaction, after emptying the tables if `anew`. */
static int
follow_from(
    struct catalog *c, const struct journal_place *from, int anew, struct err *err)
{
	struct follower f = { c, err, *from };
	struct err ignored = ERR_INIT;
	uint8_t sum[CATALOG_MAC_LEN];

	if (catalog_exec(c, "BEGIN IMMEDIATE", err) != 0)
		return -1;
	memcpy(sum, c->sum, sizeof(sum));
	if ((anew && wipe(c, err) != 0) ||
	    journal_each(c->journal, from, follow_record, &f, err) != 0 ||
	    set_applied(c, &f.at, err) != 0 || catalog_exec(c, "COMMIT", err) != 0) {
		(void)catalog_exec(c, "ROLLBACK", &ignored);
		memcpy(c->sum, sum, sizeof(sum));
		return -1;
	}
	c->applied = f.at;
	return 0;
}

static int
follow_locked(struct catalog *c, struct err *err)
{
	struct journal_place end, start;

	journal_end(c->journal, &end);
	if (end.offset == c->applied.offset && end.sequence == c->applied.sequence &&
	    memcmp(end.hash, c->applied.hash, sizeof(end.hash)) == 0)
		return 0;
	if (c->applied.offset != 0) {
		if (follow_from(c, &c->applied, 0, err) == 0)
			return 0;
		if (err->code != ERR_NOTFOUND)
			return -1;
		err_clear(err);
	}
	journal_start(c->journal, &start);
	return follow_from(c, &start, 1, err);
}

/* -------------------------------------------------------------- open, close -- */

static void
close_db(struct catalog *c)
{
	for (int i = 0; i < CATALOG_OPS; i++) {
		sqlite3_finalize(c->ops[i]);
		c->ops[i] = NULL;
	}
	(void)sqlite3_close(c->db);
	c->db = NULL;
}

/* Is what is in the file whole?  Anything but "ok" is damage. */
static int
check_file(struct catalog *c, struct err *err)
{
	static const char sql[] = "PRAGMA main.integrity_check(1)";
	sqlite3_stmt *st = NULL;
	int rc, ok = 0;

	/* Its indexes too: a row that is not found through one is as good as lost. */
	rc = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		ok = strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
	if (ok) {
		sqlite3_finalize(st);
		/* A version in its header that may be read and not written. */
		return sqlite3_db_readonly(c->db, "main") == 0
			   ? 0
			   : err_set(err, ERR_CORRUPT, "catalog: not to be written");
	}
	if (rc == SQLITE_ROW)
		(void)err_set(err, ERR_CORRUPT, "catalog: %s",
		    (const char *)sqlite3_column_text(st, 0));
	else
		(void)fail(c, rc, err);
	sqlite3_finalize(st);
	return -1;
}

/* How far it had come; ERR_CORRUPT if it is not for this store and version. */
static int
read_applied(struct catalog *c, struct err *err)
{
	sqlite3_stmt *st = catalog_bind(c, CATALOG_APPLIED_GET, err, "");
	uint8_t store[16], told[CATALOG_MAC_LEN], mac[CATALOG_MAC_LEN];
	int row;

	memset(&c->applied, 0, sizeof(c->applied));
	memset(c->sum, 0, sizeof(c->sum));
	if (st == NULL)
		return -1;
	row = catalog_step(c, st, err);
	if (row > 0) {
		catalog_blob(st, 2, store, sizeof(store));
		c->applied.offset = (uint64_t)sqlite3_column_int64(st, 3);
		c->applied.sequence = (uint64_t)sqlite3_column_int64(st, 4);
		c->applied.time_us = sqlite3_column_int64(st, 5);
		catalog_blob(st, 6, c->applied.hash, sizeof(c->applied.hash));
		catalog_blob(st, 7, c->sum, sizeof(c->sum));
		catalog_blob(st, 8, told, sizeof(told));
		catalog_applied_mac(c, &c->applied, mac);
		if (sqlite3_column_int64(st, 1) != CATALOG_SCHEMA_VERSION)
			row = err_set(err, ERR_CORRUPT, "catalog: of another version");
		else if (memcmp(store, c->store, sizeof(store)) != 0)
			row = err_set(err, ERR_CORRUPT, "catalog: of another store");
		else if (memcmp(mac, told, sizeof(mac)) != 0)
			row = err_set(err, ERR_CORRUPT,
			    "catalog: how far it had come is not what was written");
	}
	catalog_done(st);
	return row < 0 ? -1 : 0;
}

/* BLAKE3 of the schema's text: tables and triggers as they will be obeyed. */
static int
hash_schema(struct catalog *c, uint8_t out[CATALOG_MAC_LEN], struct err *err)
{
	static const char sql[] = "SELECT type,name,tbl_name,coalesce(sql,'')"
				  " FROM main.sqlite_schema ORDER BY type,name";
	sqlite3_stmt *st = NULL;
	struct blake3 h;
	int row = -1;

	blake3_init(&h, NULL);
	if (sqlite3_prepare_v2(c->db, sql, -1, &st, NULL) != SQLITE_OK)
		(void)err_set(err, ERR_CORRUPT, "catalog: %s", sqlite3_errmsg(c->db));
	else
		while ((row = catalog_step(c, st, err)) > 0)
			for (int i = 0; i < 4; i++)
				blake3_update(&h, sqlite3_column_text(st, i),
				    (size_t)sqlite3_column_bytes(st, i) + 1);
	sqlite3_finalize(st);
	blake3_final(&h, out, CATALOG_MAC_LEN);
	return row;
}

static int
make_schema(struct catalog *c, struct err *err)
{
	return catalog_exec(c, "ATTACH ':memory:' AS live;", err) != 0 ||
		       catalog_exec_all(c, catalog_schema, err) != 0
		   ? -1
		   : 0;
}

/* The hash of what this program would make: worked out once, in memory. */
static int
fresh_schema(uint8_t out[CATALOG_MAC_LEN], struct err *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* A leaf. */
	static uint8_t kept[CATALOG_MAC_LEN];
	static int known;
	struct catalog fresh = { .vfs = NULL };
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (!known) {
		rc = sqlite3_open(":memory:", &fresh.db);
		rc = rc != SQLITE_OK ? fail(&fresh, rc, err)
				     : catalog_guard_functions(&fresh, err) != 0 ||
					   make_schema(&fresh, err) != 0 ||
					   hash_schema(&fresh, kept, err) != 0;
		(void)sqlite3_close(fresh.db);
		known = rc == 0;
	}
	memcpy(out, kept, sizeof(kept));
	pthread_mutex_unlock(&lock);
	return rc != 0 ? -1 : 0;
}

/* The file says what its tables and triggers are; is it what this program would make? */
static int
check_schema(struct catalog *c, struct err *err)
{
	uint8_t is[CATALOG_MAC_LEN], want[CATALOG_MAC_LEN];

	if (fresh_schema(want, err) != 0 || hash_schema(c, is, err) != 0)
		return -1;
	if (memcmp(is, want, sizeof(is)) != 0)
		return err_set(err, ERR_CORRUPT, "catalog: its tables are not as made");
	return 0;
}

static int
open_db(struct catalog *c, struct err *err)
{
	int rc = sqlite3_open_v2(c->vfs != NULL ? c->name : ":memory:", &c->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
	    c->vfs != NULL ? catalog_vfs_name(c->vfs) : NULL);

	if (rc != SQLITE_OK)
		return fail(c, rc, err);
	(void)sqlite3_extended_result_codes(c->db, 1);
	if (catalog_exec(c,
		"PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
		"PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
		"PRAGMA recursive_triggers=ON;",
		err) != 0 ||
	    catalog_guard_functions(c, err) != 0 || check_file(c, err) != 0 ||
	    make_schema(c, err) != 0 || check_schema(c, err) != 0 ||
	    read_applied(c, err) != 0 || catalog_guard_tables(c, err) != 0 ||
	    catalog_guard_check(c, err) != 0)
		return -1;
	c->damaged = 0;
	return 0;
}

/*
 * Remove the files of a catalog that is of no use.  The database goes first, and
 * durably: without its log it would be taken for whole.
 */
static int
remove_files(struct catalog *c, struct err *err)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
	char name[FS_NAME_MAX + 16];

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", c->name, ends[i]);
		if (fs_unlink(c->fs, name, err) != 0) {
			if (err->code != ERR_NOTFOUND)
				return err_context(err, "a damaged catalog");
			err_clear(err);
		} else if (i == 0 && fs_sync_dir(c->fs, ".", err) != 0) {
			return -1;
		}
	}
	return 0;
}

/* From nothing: the files are damaged, or what they hold is not known any more. */
static int
make_anew(struct catalog *c, struct err *err)
{
	close_db(c);
	if (c->vfs != NULL) {
		catalog_vfs_clear(c->vfs);
		if (remove_files(c, err) != 0)
			return -1;
	}
	return open_db(c, err) != 0 ? -1 : follow_locked(c, err);
}

/* What the file's state can be blamed for, and not the machine's. */
static int
is_damage(const struct err *err)
{
	return err->code == ERR_CORRUPT || err->code == ERR_IO;
}

int
catalog_open(struct fs *fs, const char *name, const uint8_t store[16],
    const uint8_t key[32], struct journal *journal, struct catalog **out, char *why,
    struct err *err)
{
	struct catalog *c;
	int failed = 0;

	if (why != NULL)
		why[0] = '\0';
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the catalog");
	memcpy(c->store, store, sizeof(c->store));
	memcpy(c->key, key, sizeof(c->key));
	c->journal = journal;
	pthread_mutex_init(&c->lock, NULL);
	if (name != NULL) {
		c->fs = fs;
		(void)snprintf(c->name, sizeof(c->name), "%s", name);
		failed = catalog_vfs_new(fs, &c->vfs, err) != 0;
	}
	if (!failed) {
		failed = open_db(c, err) != 0 || follow_locked(c, err) != 0;
		if (failed && c->vfs != NULL && is_damage(err)) {
			if (why != NULL)
				(void)snprintf(why, 160, "%.150s", err->text);
			err_clear(err);
			failed = make_anew(c, err) != 0;
		}
	}
	if (failed) {
		catalog_close(c);
		return -1;
	}
	*out = c;
	return 0;
}

void
catalog_close(struct catalog *c)
{
	if (c == NULL)
		return;
	close_db(c);
	catalog_vfs_free(c->vfs);
	pthread_mutex_destroy(&c->lock);
	sodium_memzero(c, sizeof(*c));
	free(c);
}

/* ----------------------------------------------------------- each question -- */

/* What a failed sync left is not known, and damage is: nothing more is built on it. */
static int
is_unusable(const struct catalog *c)
{
	return c->db == NULL || c->damaged ||
	       (c->vfs != NULL && catalog_vfs_failed(c->vfs));
}

int
catalog_enter(struct catalog *c, struct err *err)
{
	pthread_mutex_lock(&c->lock);
	if (!is_unusable(c) && follow_locked(c, err) == 0)
		return 0;
	if (is_unusable(c)) {
		err_clear(err);
		if (make_anew(c, err) == 0)
			return 0;
	}
	pthread_mutex_unlock(&c->lock);
	return -1;
}

void
catalog_leave(struct catalog *c)
{
	struct err ignored = ERR_INIT;

	/* If this fails, the next question tries again. */
	if (c->damaged)
		(void)make_anew(c, &ignored);
	pthread_mutex_unlock(&c->lock);
}

int
catalog_follow(struct catalog *c, struct err *err)
{
	if (catalog_enter(c, err) != 0)
		return -1;
	catalog_leave(c);
	return 0;
}

int
catalog_check(struct catalog *c, struct err *err)
{
	int ret;

	if (catalog_enter(c, err) != 0)
		return -1;
	ret = check_file(c, err) != 0 || catalog_guard_check(c, err) != 0 ? -1 : 0;
	if (ret != 0 && err->code == ERR_CORRUPT)
		c->damaged = 1;
	catalog_leave(c);
	return ret;
}
