#include "storage/catalog_db.h"

#include <string.h>

#include "storage/store_escrow.h"

int
catalog_escrow(struct catalog *c, const uint8_t check[STORE_HASH_LEN],
    struct store_escrow *out, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_ESCROW_GET, err, "h", check);
	if (st != NULL)
		row = catalog_step(c, st, err);
	if (row > 0) {
		out->time_us = sqlite3_column_int64(st, 0);
		out->kind = sqlite3_column_int(st, 1);
		catalog_text(st, 2, out->who, sizeof(out->who));
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}
