#include "storage/catalog.h"

#include <string.h>

#include "storage/catalog_db.h"
#include "storage/store_verify.h"

/* When packs were checked, and which points are hurt or suspect. */

int
catalog_apply_checked(struct catalog *c, const struct journal_checked *k, struct err *err)
{
	for (uint32_t i = 0; i < k->n; i++)
		if (CATALOG_RUN(c, CATALOG_CHECK_SET, err, "ii", (int64_t)k->packs[i],
			k->when_us) != 0)
			return -1;
	return 0;
}

int
catalog_checks(struct catalog *c, int64_t since_us, const struct catalog_check *after,
    struct catalog_check *out, uint32_t cap, uint32_t *n, struct err *err)
{
	int64_t when = after != NULL ? after->when_us : -1;
	int64_t no = after != NULL ? (int64_t)after->pack : -1;
	sqlite3_stmt *st;
	int row = -1;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(
	    c, CATALOG_CHECKS, err, "iiii", since_us, when, no, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap) {
		out[*n].pack = (uint32_t)sqlite3_column_int64(st, 0);
		out[(*n)++].when_us = sqlite3_column_int64(st, 1);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_hurt(struct catalog *c, const char *host, uint64_t sequence,
    char why[STORE_TEXT_MAX], struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	why[0] = '\0';
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_HURT_GET, err, "ti", host, (int64_t)sequence);
	if ((row = catalog_step(c, st, err)) > 0)
		catalog_text(st, 0, why, STORE_TEXT_MAX);
	catalog_done(st);
	catalog_leave(c);
	return row;
}

static int
count(
    struct catalog *c, enum catalog_op op, const char *host, uint64_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, op, err, "t", host);
	if ((row = catalog_step(c, st, err)) > 0)
		*n = (uint64_t)sqlite3_column_int64(st, 0);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_hurt_count(struct catalog *c, const char *host, uint64_t *n, struct err *err)
{
	return count(c, CATALOG_HURT_COUNT, host, n, err);
}

int
catalog_suspect(struct catalog *c, const char *host, uint64_t sequence,
    char volume[STORE_NAME_MAX], char why[STORE_TEXT_MAX], struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	volume[0] = why[0] = '\0';
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_SUSPECT_GET, err, "ti", host, (int64_t)sequence);
	if ((row = catalog_step(c, st, err)) > 0) {
		catalog_text(st, 0, volume, STORE_NAME_MAX);
		catalog_text(st, 1, why, STORE_TEXT_MAX);
	}
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_suspects(
    struct catalog *c, const char *host, struct store_suspects *out, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_SUSPECTS, err, "t", host);
	if ((row = catalog_step(c, st, err)) > 0) {
		out->n = (uint64_t)sqlite3_column_int64(st, 0);
		out->first = (uint64_t)sqlite3_column_int64(st, 1);
		out->last = (uint64_t)sqlite3_column_int64(st, 2);
		out->since_us = sqlite3_column_int64(st, 3);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_suspect_new(struct catalog *c, const char *host, const char *volume,
    uint64_t after, uint64_t last, uint64_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_SUSPECT_NEW, err, "ttii", host, volume,
	    (int64_t)after, (int64_t)last);
	if ((row = catalog_step(c, st, err)) > 0)
		*n = (uint64_t)sqlite3_column_int64(st, 0);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}
