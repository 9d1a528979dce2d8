#include "storage/catalog.h"

#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog_db.h"

int
catalog_leases_all(struct catalog *c, uint64_t after, struct catalog_lease *out,
    uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = 0;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_LEASES_ALL, err, "ii", (int64_t)after, (int64_t)cap);
	while (*n < cap && (row = catalog_step(c, st, err)) > 0) {
		struct catalog_lease *l = &out[(*n)++];

		memset(l, 0, sizeof(*l));
		l->id = (uint64_t)sqlite3_column_int64(st, 0);
		catalog_text(st, 1, l->host, sizeof(l->host));
		l->opened_us = sqlite3_column_int64(st, 2);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_packs_sealed(struct catalog *c, uint32_t after, struct catalog_sealed *out,
    uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = 0;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(
	    c, CATALOG_PACKS_SEALED, err, "ii", (int64_t)after, (int64_t)cap);
	while (*n < cap && (row = catalog_step(c, st, err)) > 0) {
		out[*n].no = (uint32_t)sqlite3_column_int64(st, 0);
		out[(*n)++].sequence = (uint64_t)sqlite3_column_int64(st, 1);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_removed(struct catalog *c, uint32_t no, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_REMOVED_GET, err, "i", (int64_t)no);
	row = catalog_step(c, st, err);
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_removed_last(struct catalog *c, uint32_t *no, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	*no = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_REMOVED_LAST, err, "");
	if ((row = catalog_step(c, st, err)) > 0)
		*no = (uint32_t)sqlite3_column_int64(st, 0);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}
