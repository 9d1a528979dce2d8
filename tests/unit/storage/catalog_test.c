/* The catalog is what the journal says: however it is lost, it comes back equal. */
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/catalog_db.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/journal.h"

static const uint8_t store_id[16] = "a store's  name";
static const uint8_t key[32] = "the journal's key, of 32 bytes.";

#define ok(call)                                             \
	do {                                                 \
		if ((call) != 0)                             \
			fail_msg("%s: %s", #call, err.text); \
	} while (0)

struct here {
	char dir[64], path[80];
	struct fs *fs; /* The catalog's, of `dir`. */
	struct fs_fault *ff;
	struct journal *j;
};

static int
setup(void **state)
{
	struct here *h = calloc(1, sizeof(*h));
	struct err err = ERR_INIT;

	assert_non_null(h);
	(void)snprintf(h->dir, sizeof(h->dir), "/tmp/hfcatalog.XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	(void)snprintf(h->path, sizeof(h->path), "%s/catalog.db", h->dir);
	ok(fs_open_dir(h->dir, &h->fs, &err));
	h->ff = fs_fault_new(1);
	assert_non_null(h->ff);
	ok(journal_create(fs_fault_fs(h->ff), store_id, key, &err));
	ok(journal_open(fs_fault_fs(h->ff), store_id, key, NULL, &h->j, NULL, &err));
	*state = h;
	return 0;
}

static int
teardown(void **state)
{
	struct here *h = *state;
	char command[100];

	journal_close(h->j);
	fs_fault_free(h->ff);
	fs_free(h->fs);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", h->dir);
	assert_int_equal(system(command), 0);
	free(h);
	return 0;
}

/* Fill in what retention records; 0 if `e` is nothing of that. */
static int
retention_event(unsigned n, struct journal_event *e)
{
	struct journal_mark *m = &e->u.mark;

	switch ((int)e->type) {
	case JOURNAL_REMOVED:
		e->u.removed = 1000 + n;
		return 1;
	case JOURNAL_LEASE_REVOKED:
		e->u.lease.id = n;
		return 1;
	case JOURNAL_STUB:
		/* Now and then one of those before. */
		(void)snprintf(e->u.stubs.host, 20, "host-%u", n % 5);
		e->u.stubs.n = 1;
		e->u.stubs.sequences[0] = n >= 30 ? n / 5 - 3 : 1000;
		return 1;
	case JOURNAL_POLICY:
		e->u.policy.scope = (int)(n % 3);
		(void)snprintf(e->u.policy.name, 20, "name-%u", n % 4);
		e->u.policy.set = n % 5 != 0;
		e->u.policy.rules.daily = n;
		return 1;
	case JOURNAL_HOLD:
	case JOURNAL_UNHOLD:
	case JOURNAL_LOCK:
	case JOURNAL_FORGET:
	case JOURNAL_VERIFIED:
	case JOURNAL_BRAKE:
		(void)snprintf(m->host, 20, "host-%u", n % 5);
		m->sequence = n / 5 + (e->type != JOURNAL_UNHOLD);
		if (e->type == JOURNAL_FORGET && (n < 30 || n % 7 != 0))
			m->sequence = 1000;
		m->when_us = (int64_t)1000 * (50 - n);
		(void)snprintf(m->text, 20, "%.*s", (int)(n % 3), "why");
		return 1;
	default:
		return 0;
	}
}

/* An event of each type, with contents by `n`. */
static void
write_events(struct here *h, unsigned n)
{
	struct journal_event *e = malloc(sizeof(*e));
	struct err err = ERR_INIT;

	assert_non_null(e);
	for (int type = JOURNAL_SECRET; type <= JOURNAL_BRAKE; type++) {
		memset(e, 0, sizeof(*e));
		e->type = (enum journal_type)type;
		if (type > JOURNAL_RELEASE || type == JOURNAL_STUB) {
			/* Numbers between them are others'. */
			if (retention_event(n, e))
				ok(journal_append(h->j, e, NULL, &err));
			continue;
		}
		switch (type) {
		case JOURNAL_SECRET:
			(void)snprintf(e->u.secret.name, 20, "secret-%u", n % 3);
			e->u.secret.len = 100 + n;
			break;
		case JOURNAL_PEER:
		case JOURNAL_SEEN:
			(void)snprintf(e->u.peer.name, 20, "host-%u", n % 5);
			(void)snprintf(e->u.peer.group, 20, "group-%u", n);
			memset(e->u.peer.serial, (int)n, sizeof(e->u.peer.serial));
			e->u.peer.role = 1;
			e->u.peer.seen_us = n * 1000;
			break;
		case JOURNAL_TOKEN:
			memset(e->u.token.hash, (int)n, sizeof(e->u.token.hash));
			e->u.token.uses_left = n;
			e->u.token.ends_us = INT64_MAX;
			break;
		case JOURNAL_TOKEN_USE:
			memset(e->u.use.token, (int)n, sizeof(e->u.use.token));
			(void)snprintf(e->u.use.peer.name, 20, "new-%u", n);
			memset(e->u.use.peer.serial, (int)n + 1,
			    sizeof(e->u.use.peer.serial));
			e->u.use.cert_len = 300;
			break;
		case JOURNAL_POINT:
			(void)snprintf(e->u.point.host, 20, "host-%u", n % 5);
			e->u.point.sequence = n / 5 + 1;
			e->u.point.volumes_count = STORE_VOLUMES_MAX;
			for (unsigned i = 0; i < STORE_VOLUMES_MAX; i++) {
				(void)snprintf(
				    e->u.point.volumes[i].name, 20, "volume-%u", i);
				e->u.point.volumes[i].root_id.b[0] = (uint8_t)n;
				e->u.point.volumes[i].data_bytes = i * n;
			}
			break;
		case JOURNAL_LEASE_OPEN:
			(void)snprintf(e->u.lease.host, 20, "host-%u", n % 5);
			break;
		case JOURNAL_LEASE_CLOSE:
			e->u.lease.id = n;
			break;
		case JOURNAL_PACK:
			e->u.pack.no = n + 1;
			e->u.pack.plain = 1000;
			e->u.pack.stored = 400;
			e->u.pack.chunks = 7;
			break;
		case JOURNAL_QUARANTINE:
			e->u.group.pack = n;
			break;
		case JOURNAL_RELEASE:
			e->u.group.pack = n - 3;
			break;
		default:
			(void)snprintf(e->u.note.who, 20, "host-%u", n % 5);
			(void)snprintf(e->u.note.what, 20, "note-%u", n);
			break;
		}
		/* Two hosts in seven are revoked now and then. */
		if (type == JOURNAL_REVOKE && n % 7 > 1)
			continue;
		ok(journal_append(h->j, e, NULL, &err));
	}
	free(e);
}

/* All rows of all tables, as one text. */
static char *
dump(struct here *h)
{
	static const char *const tables[] = { "applied", "secrets", "peers", "certs",
		"tokens", "enrolments", "points", "volumes", "records", "hosts", "audit",
		"leases", "packs", "bad_groups", "policies", "holds", "locks", "verified",
		"brakes", "history" };
	char *text = NULL;
	sqlite3 *db;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	assert_int_equal(sqlite3_open(h->path, &db), SQLITE_OK);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		char sql[100];
		sqlite3_stmt *st;

		(void)snprintf(
		    sql, sizeof(sql), "SELECT * FROM %s ORDER BY 1,2", tables[i]);
		assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
		fprintf(f, "%s\n", tables[i]);
		while (sqlite3_step(st) == SQLITE_ROW) {
			for (int c = 0; c < sqlite3_column_count(st); c++) {
				const uint8_t *p = sqlite3_column_blob(st, c);
				int n = sqlite3_column_bytes(st, c);

				for (int k = 0; k < n; k++)
					fprintf(f, "%02x", p[k]);
				fputc(' ', f);
			}
			fputc('\n', f);
		}
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
	fclose(f);
	return text;
}

/* Open and close the catalog; why it was made anew. */
static void
visit(struct here *h, char why[160])
{
	struct err err = ERR_INIT;
	struct catalog *c;

	ok(catalog_open(h->fs, CATALOG_NAME, store_id, key, h->j, &c, why, &err));
	catalog_close(c);
}

static void
test_lost_ruined_or_cut_it_comes_back_equal(void **state)
{
	struct here *h = *state;
	char why[160], command[256], *want, *got;

	for (unsigned n = 0; n < 40; n++)
		write_events(h, n);
	visit(h, why);
	assert_string_equal(why, "");
	want = dump(h);
	assert_true(strlen(want) > 100000);
	visit(h, why);
	for (int i = 0; i < 5; i++) {
		switch (i) {
		case 0:
			(void)snprintf(command, sizeof(command), "rm -f '%s'", h->path);
			break;
		case 1:
			(void)snprintf(
			    command, sizeof(command), "echo x > '%s'", h->path);
			break;
		case 2:
			(void)snprintf(
			    command, sizeof(command), "truncate -s 9000 '%s'", h->path);
			break;
		case 3:
			(void)snprintf(command, sizeof(command), ": > '%s'", h->path);
			break;
		default:
			(void)snprintf(command, sizeof(command),
			    "dd if=/dev/urandom of='%s' bs=4096 seek=2 count=3 "
			    "conv=notrunc "
			    "2>/dev/null",
			    h->path);
			break;
		}
		assert_int_equal(system(command), 0);
		visit(h, why);
		got = dump(h);
		assert_string_equal(want, got);
		free(got);
	}
	free(want);
}

static void
test_followed_step_by_step_or_at_once_it_is_the_same(void **state)
{
	struct here *h = *state;
	struct err err = ERR_INIT;
	struct catalog *c;
	char *want, *got;

	ok(catalog_open(h->fs, CATALOG_NAME, store_id, key, h->j, &c, NULL, &err));
	for (unsigned n = 0; n < 30; n++) {
		write_events(h, n);
		if (n % 3 == 0)
			ok(catalog_follow(c, &err));
	}
	ok(catalog_follow(c, &err));
	catalog_close(c);
	want = dump(h);
	assert_int_equal(unlink(h->path), 0);
	visit(h, NULL);
	got = dump(h);
	assert_string_equal(want, got);
	free(want);
	free(got);
}

static void
test_ahead_of_the_journal_it_is_made_anew(void **state)
{
	struct here *h = *state;
	struct err err = ERR_INIT;
	struct journal *j;
	char why[160], *want, *got;
	struct fs_fault *other;

	for (unsigned n = 0; n < 5; n++)
		write_events(h, n);
	visit(h, why);
	/* Another journal of the same store: shorter, and not what was applied. */
	other = fs_fault_new(2);
	assert_non_null(other);
	ok(journal_create(fs_fault_fs(other), store_id, key, &err));
	ok(journal_open(fs_fault_fs(other), store_id, key, NULL, &j, NULL, &err));
	journal_close(h->j);
	fs_fault_free(h->ff);
	h->j = j;
	h->ff = other;
	write_events(h, 3);
	visit(h, why);
	got = dump(h);
	assert_int_equal(unlink(h->path), 0);
	visit(h, why);
	want = dump(h);
	assert_string_equal(want, got);
	free(want);
	free(got);
}

static void
test_another_stores_catalog_is_not_believed(void **state)
{
	static const uint8_t other[16] = "another store's";
	struct here *h = *state;
	struct err err = ERR_INIT;
	struct catalog *c;
	char why[160];

	write_events(h, 1);
	visit(h, why);
	ok(catalog_open(h->fs, CATALOG_NAME, other, key, h->j, &c, why, &err));
	assert_non_null(strstr(why, "another store"));
	catalog_close(c);
}

static void
test_what_it_answers(void **state)
{
	struct here *h = *state;
	struct err err = ERR_INIT;
	struct store_base base;
	struct store_stats stats;
	struct catalog_head head;
	struct journal_group bad[50];
	uint64_t ids[50];
	struct catalog *c;
	uint32_t n;

	ok(catalog_open(NULL, NULL, store_id, key, h->j, &c, NULL, &err));
	for (unsigned i = 0; i < 20; i++)
		write_events(h, i);
	ok(catalog_base(c, "host-3", "volume-127", &base, &err));
	assert_int_equal(base.known, 1);
	assert_int_equal(base.sequence, 4);
	assert_int_equal(base.root_id.b[0], 18);
	ok(catalog_base(c, "host-3", "volume-128", &base, &err));
	assert_int_equal(base.known, 0);
	ok(catalog_head(c, "host-3", &head, &err));
	assert_int_equal(head.sequence, 4);
	ok(catalog_head(c, "nobody", &head, &err));
	assert_int_equal(head.sequence, 0);
	ok(catalog_quarantined(c, NULL, bad, 50, &n, &err));
	assert_int_equal(n, 3);
	assert_int_equal(bad[0].pack, 17);
	ok(catalog_quarantined(c, &bad[1], bad, 50, &n, &err));
	assert_int_equal(n, 1);
	ok(catalog_leases(c, "host-3", 0, ids, 50, &n, &err));
	assert_int_equal(n, 4);
	ok(catalog_leases(c, "host-3", ids[1], ids, 50, &n, &err));
	assert_int_equal(n, 3);
	memset(&stats, 0, sizeof(stats));
	ok(catalog_stats(c, &stats, &err));
	assert_int_equal(stats.points, 20);
	assert_int_equal(stats.packs, 20);
	assert_int_equal(stats.stored_bytes, 20 * 400);
	assert_int_equal(stats.chunks, 140);
	catalog_close(c);
}

static void
test_a_point_that_is_gone_leaves_its_name_and_nothing_else(void **state)
{
	struct here *h = *state;
	struct journal_event *e = calloc(1, sizeof(*e));
	struct store_point *p = malloc(sizeof(*p)), *old = malloc(sizeof(*old));
	struct err err = ERR_INIT;
	struct catalog_head before, after;
	struct store_base base;
	struct store_stats stats;
	struct store_kept k;
	struct catalog *c;

	assert_non_null(e);
	assert_non_null(p);
	assert_non_null(old);
	for (unsigned i = 0; i < 20; i++)
		write_events(h, i);
	for (int again = 0; again < 3; again++) {
		ok(catalog_open(
		    h->fs, CATALOG_NAME, store_id, key, h->j, &c, NULL, &err));
		if (again == 0) {
			ok(catalog_head(c, "host-3", &before, &err));
			ok(catalog_point(c, "host-3", 4, old, &err));
			e->type = JOURNAL_STUB;
			(void)snprintf(e->u.stubs.host, 20, "host-3");
			e->u.stubs.n = 2;
			e->u.stubs.sequences[0] = 2;
			e->u.stubs.sequences[1] = 4;
			ok(journal_append(h->j, e, NULL, &err));
		}
		assert_int_equal(catalog_point(c, "host-3", 2, p, &err), -1);
		assert_int_equal(err.code, ERR_NOTFOUND);
		err_clear(&err);
		assert_int_equal(catalog_kept_one(c, "host-3", 4, &k, &err), -1);
		assert_int_equal(err.code, ERR_NOTFOUND);
		err_clear(&err);
		ok(catalog_kept_one(c, "host-2", 4, &k, &err));
		assert_true(k.held);
		ok(catalog_point(c, "host-3", 0, p, &err));
		assert_int_equal(p->sequence, 3);
		ok(catalog_base(c, "host-3", "volume-127", &base, &err));
		assert_int_equal(base.sequence, 3);
		ok(catalog_head(c, "host-3", &after, &err));
		assert_int_equal(after.sequence, 4);
		assert_memory_equal(after.record, before.record, 32);
		assert_int_equal(catalog_record_known(c, "host-3", old->record, &err), 1);
		ok(catalog_stats(c, &stats, &err));
		assert_int_equal(stats.points, 18);
		catalog_close(c);
		/* The second time as it was left, the third time from the journal. */
		if (again == 1)
			assert_int_equal(unlink(h->path), 0);
	}
	free(e);
	free(p);
	free(old);
}

static void
test_a_full_disk_leaves_it_behind_and_it_catches_up(void **state)
{
	struct here *h = *state;
	struct err err = ERR_INIT;
	struct store_stats stats;
	struct catalog *c;
	char *want, *got;

	ok(catalog_open(h->fs, CATALOG_NAME, store_id, key, h->j, &c, NULL, &err));
	write_events(h, 0);
	ok(catalog_stats(c, &stats, &err));
	assert_int_equal(
	    sqlite3_exec(c->db, "PRAGMA max_page_count=40", NULL, NULL, NULL), SQLITE_OK);
	for (unsigned n = 1; n < 30; n++)
		write_events(h, n);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(catalog_stats(c, &stats, &err), -1);
		assert_int_equal(err.code, ERR_NOSPACE);
		err_clear(&err);
	}
	assert_int_equal(
	    sqlite3_exec(c->db, "PRAGMA max_page_count=100000", NULL, NULL, NULL),
	    SQLITE_OK);
	ok(catalog_stats(c, &stats, &err));
	assert_int_equal(stats.points, 30);
	catalog_close(c);
	got = dump(h);
	assert_int_equal(unlink(h->path), 0);
	visit(h, NULL);
	want = dump(h);
	assert_string_equal(want, got);
	free(want);
	free(got);
}

/* ---------------------------------------------------------------- rows that rot -- */

/* What row_mac() says in a connection of the test: a row keeps the MAC it had. */
static uint8_t kept_mac[CATALOG_MAC_LEN];

static void
keep_mac(sqlite3_context *x, int n, sqlite3_value **values)
{
	(void)n;
	(void)values;
	sqlite3_result_blob(x, kept_mac, sizeof(kept_mac), SQLITE_TRANSIENT);
}

/* From here on this connection writes rows and forges no MAC. */
static void
break_in(sqlite3 *db)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;

	assert_int_equal(
	    sqlite3_create_function(db, "row_mac", -1, flags, NULL, keep_mac, NULL, NULL),
	    SQLITE_OK);
}

static sqlite3 *
burglar(struct here *h)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(h->path, &db), SQLITE_OK);
	break_in(db);
	return db;
}

static int
number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;
	int n;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	n = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int(st, 0) : -1;
	sqlite3_finalize(st);
	return n;
}

static void
keep_mac_of(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_int_equal(sqlite3_column_bytes(st, 0), CATALOG_MAC_LEN);
	memcpy(kept_mac, sqlite3_column_blob(st, 0), CATALOG_MAC_LEN);
	sqlite3_finalize(st);
}

static void
run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

/* Opened again the catalog is what it was, and says why it had to be made anew. */
static void
must_notice(struct here *h, const char *want, const char *what)
{
	char why[160], *got;

	visit(h, why);
	if (strstr(why, "catalog: ") == NULL)
		fail_msg("%s is not noticed", what);
	got = dump(h);
	assert_string_equal(want, got);
	free(got);
}

/* With a sanitizer a column of each table, the next one in the next table; else all. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALL_COLUMNS 0
#define TRIED_LEAST 18u
#else
#define ALL_COLUMNS 1
#define TRIED_LEAST 60u
#endif

static void
test_a_row_changed_removed_or_of_another_time_is_noticed(void **state)
{
	struct here *h = *state;
	char why[160], sql[700], column[64], table[64], *want;
	sqlite3_stmt *names;
	sqlite3 *db, *schema;
	unsigned tried = 0;

	for (unsigned n = 0; n < 9; n++)
		write_events(h, n);
	visit(h, why);
	want = dump(h);
	assert_int_equal(sqlite3_open(h->path, &schema), SQLITE_OK);
	assert_int_equal(
	    sqlite3_prepare_v2(schema,
		"SELECT t.name,c.name FROM sqlite_schema t,pragma_table_xinfo(t.name) c"
		" WHERE t.type='table' AND c.hidden=0 AND c.name<>'one' AND"
		" (?1 OR c.cid=t.rowid%(SELECT count(*) FROM pragma_table_xinfo(t.name)"
		" WHERE hidden=0 AND name<>'one'))",
		-1, &names, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_bind_int(names, 1, ALL_COLUMNS), SQLITE_OK);
	while (sqlite3_step(names) == SQLITE_ROW) {
		(void)snprintf(table, sizeof(table), "%s", sqlite3_column_text(names, 0));
		(void)snprintf(
		    column, sizeof(column), "%s", sqlite3_column_text(names, 1));
		db = burglar(h);
		(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
		if (number(db, sql) == 0) {
			sqlite3_close(db);
			continue;
		}
		(void)snprintf(sql, sizeof(sql), "SELECT mac FROM %s LIMIT 1", table);
		keep_mac_of(db, sql);
		/* A number goes up, bytes get one more; any other row stays as it is. */
		(void)snprintf(sql, sizeof(sql),
		    "UPDATE %s SET %s=CASE typeof(%s) WHEN 'integer' THEN %s+1000 WHEN "
		    "'null' THEN 1 ELSE %s||'x' END WHERE mac=(SELECT mac FROM %s LIMIT "
		    "1)",
		    table, column, column, column, column, table);
		run(db, sql);
		assert_int_equal(number(db, "SELECT changes()"), 1);
		sqlite3_close(db);
		(void)snprintf(sql, sizeof(sql), "%s.%s", table, column);
		must_notice(h, want, sql);
		tried++;
	}
	assert_true(tried >= TRIED_LEAST);
	sqlite3_finalize(names);
	sqlite3_close(schema);
	db = burglar(h);
	run(db, "DELETE FROM certs WHERE serial=(SELECT serial FROM certs LIMIT 1)");
	sqlite3_close(db);
	must_notice(h, want, "a row too few");

	/* A row as it was before: its own MAC holds. */
	db = burglar(h);
	run(db, "CREATE TABLE temp.old AS SELECT * FROM hosts WHERE name='host-1'");
	write_events(h, 11);
	visit(h, why);
	assert_string_equal(why, "");
	free(want);
	want = dump(h);
	keep_mac_of(db, "SELECT mac FROM temp.old");
	run(db, "REPLACE INTO hosts SELECT name,points,point_us,sequence,head FROM old");
	sqlite3_close(db);
	must_notice(h, want, "a row of another time");
	free(want);
}

static void
test_a_row_that_rots_while_it_is_open_is_not_answered(void **state)
{
	struct here *h = *state;
	struct err err = ERR_INIT;
	struct catalog_head head;
	struct store_peer peer;
	struct catalog *c;

	for (unsigned n = 0; n < 9; n++)
		write_events(h, n);
	ok(catalog_open(h->fs, CATALOG_NAME, store_id, key, h->j, &c, NULL, &err));
	ok(catalog_check(c, &err));
	for (int round = 0; round < 3; round++) {
		/* Nobody else can write to it: what rots is shown by its own hand. */
		break_in(c->db);
		run(c->db, "DROP TRIGGER temp.hosts_change");
		keep_mac_of(c->db, "SELECT mac FROM main.hosts WHERE name='host-1'");
		run(c->db, "UPDATE main.hosts SET sequence=9 WHERE name='host-1'");
		assert_int_equal(number(c->db, "SELECT changes()"), 1);
		/* What checks what is written over is made once more. */
		if (round == 1)
			run(c->db,
			    "CREATE TEMP TRIGGER hosts_change AFTER UPDATE ON main.hosts "
			    "BEGIN SELECT row_out(OLD.mac,'hosts',OLD.name,OLD.points,"
			    "OLD.point_us,OLD.sequence,OLD.head); END");
		switch (round) {
		case 0: /* It is asked for. */
			assert_int_equal(catalog_head(c, "host-1", &head, &err), -1);
			assert_int_equal(err.code, ERR_CORRUPT);
			err_clear(&err);
			break;
		case 1: /* It is to be written over. */
			write_events(h, 11);
			break;
		default: /* All is looked at. */
			assert_int_equal(catalog_check(c, &err), -1);
			assert_int_equal(err.code, ERR_CORRUPT);
			err_clear(&err);
			break;
		}
		ok(catalog_head(c, "host-1", &head, &err));
		assert_int_equal(head.sequence, round == 0 ? 2 : 3);
		ok(catalog_check(c, &err));
	}
	/* What is not asked for is not looked at: no row is blamed for another's words.
	 */
	ok(catalog_peer_by_name(c, "new-3", &peer, &err));
	catalog_close(c);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_lost_ruined_or_cut_it_comes_back_equal),
		T(test_a_point_that_is_gone_leaves_its_name_and_nothing_else),
		T(test_followed_step_by_step_or_at_once_it_is_the_same),
		T(test_ahead_of_the_journal_it_is_made_anew),
		T(test_another_stores_catalog_is_not_believed),
		T(test_a_full_disk_leaves_it_behind_and_it_catches_up),
		T(test_what_it_answers),
		T(test_a_row_changed_removed_or_of_another_time_is_noticed),
		T(test_a_row_that_rots_while_it_is_open_is_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
