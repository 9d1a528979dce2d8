#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog_db.h"

int
catalog_apply_restores(struct catalog *c, const struct journal_event *e,
    const struct journal_record *r, struct err *err)
{
	const struct store_restore *a = &e->u.restore;
	const struct journal_redeemed *d = &e->u.redeemed;
	const struct journal_restored *o = &e->u.restored;
	int64_t time_us = r->end.time_us;
	int ret;

	if (e->type == JOURNAL_RESTORE)
		ret = CATALOG_RUN(c, CATALOG_RESTORE_SET, err, "ittibhiiii",
		    (int64_t)r->end.sequence, a->host, a->who, (int64_t)a->by_mac,
		    (const void *)a->mac, sizeof(a->mac), (const uint8_t *)a->token,
		    (int64_t)a->only, (int64_t)a->sequence, a->ends_us, time_us);
	else if (e->type == JOURNAL_REDEEMED)
		ret = CATALOG_RUN(c, CATALOG_RESTORE_REDEEMED, err, "ihhbiii",
		    (int64_t)d->id, (const uint8_t *)d->machine,
		    (const uint8_t *)d->key_hash, (const void *)d->serial,
		    sizeof(d->serial), d->cert_ends_us, (int64_t)d->sequence, time_us);
	else
		ret = CATALOG_RUN(c, CATALOG_RESTORE_OVER, err, "iiit", (int64_t)o->id,
		    (int64_t)o->how, time_us, o->text);
	return ret == 0 ? catalog_apply_audit(c, e, r, err) : -1;
}

static void
read_restore(sqlite3_stmt *st, struct store_restore *r)
{
	memset(r, 0, sizeof(*r));
	r->id = (uint64_t)sqlite3_column_int64(st, 0);
	catalog_text(st, 1, r->host, sizeof(r->host));
	catalog_text(st, 2, r->who, sizeof(r->who));
	r->by_mac = sqlite3_column_int(st, 3);
	catalog_blob(st, 4, r->mac, sizeof(r->mac));
	catalog_blob(st, 5, r->token, sizeof(r->token));
	r->only = sqlite3_column_int(st, 6);
	r->sequence = (uint64_t)sqlite3_column_int64(st, 7);
	r->ends_us = sqlite3_column_int64(st, 8);
	r->made_us = sqlite3_column_int64(st, 9);
	r->state = sqlite3_column_int(st, 10);
	catalog_blob(st, 11, r->machine, sizeof(r->machine));
	catalog_blob(st, 12, r->key_hash, sizeof(r->key_hash));
	catalog_blob(st, 13, r->serial, sizeof(r->serial));
	r->cert_ends_us = sqlite3_column_int64(st, 14);
	r->redeems = (uint64_t)sqlite3_column_int64(st, 15);
	r->begun_us = sqlite3_column_int64(st, 16);
	r->ended_us = sqlite3_column_int64(st, 17);
	catalog_text(st, 18, r->text, sizeof(r->text));
}

/* Take the first row of a bound question; its lock is held, and let go here. */
static int
first(struct catalog *c, sqlite3_stmt *st, struct store_restore *out, struct err *err)
{
	int row = catalog_step(c, st, err);

	if (row > 0)
		read_restore(st, out);
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_restore_by_id(
    struct catalog *c, uint64_t id, struct store_restore *out, struct err *err)
{
	if (catalog_enter(c, err) != 0)
		return -1;
	return first(
	    c, catalog_bind(c, CATALOG_RESTORE_BY_ID, err, "i", (int64_t)id), out, err);
}

int
catalog_restore_by_token(struct catalog *c, const uint8_t token[STORE_HASH_LEN],
    struct store_restore *out, struct err *err)
{
	if (catalog_enter(c, err) != 0)
		return -1;
	return first(
	    c, catalog_bind(c, CATALOG_RESTORE_BY_TOKEN, err, "h", token), out, err);
}

int
catalog_restore_by_serial(struct catalog *c, const uint8_t serial[STORE_SERIAL_LEN],
    struct store_restore *out, struct err *err)
{
	if (catalog_enter(c, err) != 0)
		return -1;
	return first(c,
	    catalog_bind(c, CATALOG_RESTORE_BY_SERIAL, err, "b", (const void *)serial,
		(size_t)STORE_SERIAL_LEN),
	    out, err);
}

int
catalog_restore_by_key(struct catalog *c, const uint8_t key_hash[STORE_HASH_LEN],
    struct store_restore *out, struct err *err)
{
	if (catalog_enter(c, err) != 0)
		return -1;
	return first(
	    c, catalog_bind(c, CATALOG_RESTORE_BY_KEY, err, "h", key_hash), out, err);
}

int
catalog_restore_by_mac(struct catalog *c, const uint8_t mac[STORE_MAC_LEN],
    int64_t now_us, struct store_restore *out, struct err *err)
{
	if (catalog_enter(c, err) != 0)
		return -1;
	return first(c,
	    catalog_bind(c, CATALOG_RESTORE_BY_MAC, err, "bi", (const void *)mac,
		(size_t)STORE_MAC_LEN, now_us),
	    out, err);
}

int
catalog_restores(struct catalog *c, uint64_t after, struct store_restore *out,
    uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_RESTORES, err, "ii", (int64_t)after, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap)
		read_restore(st, &out[(*n)++]);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_restores_count(struct catalog *c, const char *host, int64_t now_us, uint64_t *all,
    uint64_t *of_host, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	*all = *of_host = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_RESTORES_COUNT, err, "ti", host, now_us);
	if ((row = catalog_step(c, st, err)) > 0) {
		*all = (uint64_t)sqlite3_column_int64(st, 0);
		*of_host = (uint64_t)sqlite3_column_int64(st, 1);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}
