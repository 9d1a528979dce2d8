#include "storage/catalog_db.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"

/*
 * How rows are guarded.  Every table but `applied` has a column `mac`, made by SQLite
 * itself from all others whenever a row is written.  For each such table there is,
 * on this connection only,
 *
 *	a view of the same name, which the statements that read meet instead of it
 *	(temporary names come first): it checks each row's MAC and fails at a bad one
 *	triggers, which check what is changed or removed before it is, and keep the
 *	sum of all MACs, which goes into `applied` and is authenticated with it
 *
 * So a row that is not what was written is never read, and a row too few, too many
 * or of another time is seen by adding all up, when the catalog is opened.
 */

#define COLUMNS_MAX 2048u

/* Where a row breaks the rules.  The statement fails, and the next one meets another
 * file. */
static void
refuse(sqlite3_context *x, sqlite3_value *table)
{
	struct catalog *c = sqlite3_user_data(x);
	const char *name = (const char *)sqlite3_value_text(table);
	char text[120];

	(void)snprintf(text, sizeof(text), "a row of %.60s is not what was written",
	    name != NULL ? name : "?");
	c->damaged = 1;
	sqlite3_result_error(x, text, -1);
	sqlite3_result_error_code(x, SQLITE_CORRUPT);
}

/* The MAC of values[0] (a table's name) and the columns behind it. */
static void
mac_of(
    const struct catalog *c, int n, sqlite3_value **values, uint8_t out[CATALOG_MAC_LEN])
{
	struct blake3 h;
	uint8_t head[9];

	blake3_init(&h, c->key);
	for (int i = 0; i < n; i++) {
		int type = sqlite3_value_type(values[i]);
		const void *p = NULL;
		int64_t number;
		size_t len = 0;

		head[0] = (uint8_t)type;
		if (type == SQLITE_INTEGER) {
			number = sqlite3_value_int64(values[i]);
			store_le64(head + 1, (uint64_t)number);
		} else {
			/* The order of these two is SQLite's rule. */
			p = sqlite3_value_blob(values[i]);
			len = p != NULL ? (size_t)sqlite3_value_bytes(values[i]) : 0;
			store_le64(head + 1, len);
		}
		blake3_update(&h, head, sizeof(head));
		if (len > 0)
			blake3_update(&h, p, len);
	}
	blake3_final(&h, out, CATALOG_MAC_LEN);
}

/* Add a row's MAC to the sum, a number of 256 bits, or take it off. */
static void
count_row(struct catalog *c, const uint8_t mac[CATALOG_MAC_LEN], int minus)
{
	unsigned carry = minus ? 1 : 0;

	for (unsigned i = 0; i < CATALOG_MAC_LEN; i++) {
		carry += c->sum[i] + (minus ? (uint8_t)~mac[i] : mac[i]);
		c->sum[i] = (uint8_t)carry;
		carry >>= 8;
	}
}

/* row_mac(table, columns...) */
static void
row_mac(sqlite3_context *x, int n, sqlite3_value **values)
{
	uint8_t mac[CATALOG_MAC_LEN];

	mac_of(sqlite3_user_data(x), n, values, mac);
	sqlite3_result_blob(x, mac, sizeof(mac), SQLITE_TRANSIENT);
}

/* Does values[0] hold for the rest? */
static int
holds(sqlite3_context *x, int n, sqlite3_value **values, uint8_t mac[CATALOG_MAC_LEN])
{
	const void *p = sqlite3_value_blob(values[0]);

	mac_of(sqlite3_user_data(x), n - 1, values + 1, mac);
	if (p != NULL && sqlite3_value_bytes(values[0]) == CATALOG_MAC_LEN &&
	    memcmp(p, mac, CATALOG_MAC_LEN) == 0)
		return 1;
	refuse(x, values[1]);
	return 0;
}

/* row_ok(mac, table, columns...): 1, or the statement fails. */
static void
row_ok(sqlite3_context *x, int n, sqlite3_value **values)
{
	uint8_t mac[CATALOG_MAC_LEN];

	if (holds(x, n, values, mac))
		sqlite3_result_int(x, 1);
}

/* row_in(mac, table, columns...), row_out(...): of a row that came, or is to go. */
static void
row_in(sqlite3_context *x, int n, sqlite3_value **values)
{
	uint8_t mac[CATALOG_MAC_LEN];

	if (holds(x, n, values, mac))
		count_row(sqlite3_user_data(x), mac, 0);
}

static void
row_out(sqlite3_context *x, int n, sqlite3_value **values)
{
	struct catalog *c = sqlite3_user_data(x);
	uint8_t mac[CATALOG_MAC_LEN];

	/* What all goes may be as damaged as it likes. */
	if (!c->wiping && holds(x, n, values, mac))
		count_row(c, mac, 1);
}

/* ------------------------------------------------------------ views, triggers -- */

/* "name,time_us" of a table, with `before` in front of each; mac itself is left out. */
static int
columns_of(struct catalog *c, const char *table, const char *before, char *out,
    size_t cap, struct err *err)
{
	static const char sql[] = "SELECT name FROM pragma_table_xinfo(?1,'main')";
	sqlite3_stmt *st = NULL;
	int has_mac = 0, rc;
	size_t len = 0;

	out[0] = '\0';
	rc = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 1, table, -1, SQLITE_STATIC);
	while (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);

		if (strcmp(name, "mac") == 0) {
			has_mac = 1;
			continue;
		}
		len += (size_t)snprintf(out + len, cap - len, ",%s%s", before, name);
		if (len >= cap)
			break;
	}
	sqlite3_finalize(st);
	if (rc == SQLITE_OK && has_mac && len < cap)
		return 0;
	return err_set(err, ERR_CORRUPT, "catalog: table %s has no mac", table);
}

/*
 * The check is a sub-query so that SQLite makes it last: of a row that is not asked for
 * it would put the question's own words in place of what the row has.
 */
static int
guard_table(struct catalog *c, const char *table, struct err *err)
{
	char plain[COLUMNS_MAX], old[COLUMNS_MAX], fresh[COLUMNS_MAX];
	char *sql;
	int ret;

	if (columns_of(c, table, "", plain, sizeof(plain), err) != 0 ||
	    columns_of(c, table, "OLD.", old, sizeof(old), err) != 0 ||
	    columns_of(c, table, "NEW.", fresh, sizeof(fresh), err) != 0)
		return -1;
	sql = sqlite3_mprintf(
	    "CREATE TEMP VIEW %s AS SELECT %s FROM main.%s WHERE (SELECT "
	    "row_ok(mac,'%s'%s));"
	    "CREATE TEMP TRIGGER %s_in AFTER INSERT ON main.%s BEGIN"
	    " SELECT row_in(NEW.mac,'%s'%s); END;"
	    "CREATE TEMP TRIGGER %s_out AFTER DELETE ON main.%s BEGIN"
	    " SELECT row_out(OLD.mac,'%s'%s); END;"
	    "CREATE TEMP TRIGGER %s_change AFTER UPDATE ON main.%s BEGIN"
	    " SELECT row_out(OLD.mac,'%s'%s); SELECT row_in(NEW.mac,'%s'%s); END;",
	    table, plain + 1, table, table, plain, table, table, table, fresh, table,
	    table, table, old, table, table, table, old, table, fresh);
	if (sql == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the catalog");
	ret = catalog_exec(c, sql, err);
	sqlite3_free(sql);
	return ret;
}

#define TABLES                                                   \
	"SELECT name FROM main.sqlite_schema WHERE type='table'" \
	" AND name NOT LIKE 'sqlite_%' AND name<>'applied' ORDER BY name"

/* Call `each` for every table whose rows are guarded. */
static int
each_table(struct catalog *c,
    int (*each)(struct catalog *c, const char *table, struct err *err), struct err *err)
{
	sqlite3_stmt *st = NULL;
	char name[64];
	int ret = 0, row = 0;

	if (sqlite3_prepare_v2(c->db, TABLES, -1, &st, NULL) != SQLITE_OK)
		return err_set(err, ERR_CORRUPT, "catalog: %s", sqlite3_errmsg(c->db));
	while (ret == 0 && (row = catalog_step(c, st, err)) > 0) {
		catalog_text(st, 0, name, sizeof(name));
		ret = each(c, name, err);
	}
	sqlite3_finalize(st);
	return row < 0 ? -1 : ret;
}

int
catalog_guard_functions(struct catalog *c, struct err *err)
{
	static const struct {
		const char *name;
		void (*fn)(sqlite3_context *x, int n, sqlite3_value **values);
		int flags;
	} all[] = {
		{ "row_mac", row_mac, SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS },
		{ "row_ok", row_ok, 0 },
		{ "row_in", row_in, 0 },
		{ "row_out", row_out, 0 },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (sqlite3_create_function_v2(c->db, all[i].name, -1,
			SQLITE_UTF8 | all[i].flags, c, all[i].fn, NULL, NULL,
			NULL) != SQLITE_OK)
			return err_set(err, ERR_NOMEM, "no memory for the catalog");
	return 0;
}

int
catalog_guard_tables(struct catalog *c, struct err *err)
{
	return each_table(c, guard_table, err);
}

/* ------------------------------------------------------------------- adding up -- */

/* The row of `applied`: all that is in it, authenticated as one. */
void
catalog_applied_mac(
    const struct catalog *c, const struct journal_place *at, uint8_t out[CATALOG_MAC_LEN])
{
	uint8_t head[4 + 3 * 8];
	struct blake3 h;

	store_le32(head, CATALOG_SCHEMA_VERSION);
	store_le64(head + 4, at->offset);
	store_le64(head + 12, at->sequence);
	store_le64(head + 20, (uint64_t)at->time_us);
	blake3_init(&h, c->key);
	blake3_update(&h, "applied", 7);
	blake3_update(&h, head, sizeof(head));
	blake3_update(&h, c->store, sizeof(c->store));
	blake3_update(&h, at->hash, sizeof(at->hash));
	blake3_update(&h, c->sum, sizeof(c->sum));
	blake3_final(&h, out, CATALOG_MAC_LEN);
}

static int
add_table(struct catalog *c, const char *table, struct err *err)
{
	char columns[COLUMNS_MAX];
	sqlite3_stmt *st = NULL;
	char *sql;
	int rc, row;

	if (columns_of(c, table, "", columns, sizeof(columns), err) != 0)
		return -1;
	/* One row is given for each that is there; row_in() does the rest. */
	sql = sqlite3_mprintf(
	    "SELECT row_in(mac,'%s'%s) FROM main.%s NOT INDEXED", table, columns, table);
	if (sql == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the catalog");
	rc = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);
	sqlite3_free(sql);
	if (rc != SQLITE_OK)
		return err_set(err, ERR_CORRUPT, "catalog: %s", sqlite3_errmsg(c->db));
	while ((row = catalog_step(c, st, err)) > 0)
		continue;
	sqlite3_finalize(st);
	return row;
}

int
catalog_guard_check(struct catalog *c, struct err *err)
{
	uint8_t told[CATALOG_MAC_LEN];
	int ret;

	memcpy(told, c->sum, sizeof(told));
	memset(c->sum, 0, sizeof(c->sum));
	ret = each_table(c, add_table, err);
	if (ret == 0 && memcmp(told, c->sum, sizeof(told)) != 0) {
		c->damaged = 1;
		ret = err_set(
		    err, ERR_CORRUPT, "catalog: it does not have the rows it had");
	}
	memcpy(c->sum, told, sizeof(told));
	return ret;
}
