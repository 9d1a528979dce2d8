#include "storage/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog_db.h"

/* ------------------------------------------------------------------ people -- */

static void
read_peer(sqlite3_stmt *st, struct store_peer *p)
{
	memset(p, 0, sizeof(*p));
	catalog_text(st, 0, p->name, sizeof(p->name));
	p->role = sqlite3_column_int(st, 1);
	catalog_text(st, 2, p->group, sizeof(p->group));
	catalog_blob(st, 3, p->serial, sizeof(p->serial));
	catalog_blob(st, 4, p->key_hash, sizeof(p->key_hash));
	catalog_blob(st, 5, p->machine, sizeof(p->machine));
	p->revoked = sqlite3_column_int(st, 6);
	p->enrolled_us = sqlite3_column_int64(st, 7);
	p->seen_us = sqlite3_column_int64(st, 8);
	p->cert_ends_us = sqlite3_column_int64(st, 9);
	catalog_text(st, 10, p->program, sizeof(p->program));
	catalog_text(st, 11, p->alarm, sizeof(p->alarm));
	p->points = (uint64_t)sqlite3_column_int64(st, 12);
	p->point_us = sqlite3_column_int64(st, 13);
}

int
catalog_peer_by_name(
    struct catalog *c, const char *name, struct store_peer *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_PEER_BY_NAME, err, "t", name);
	if ((row = catalog_step(c, st, err)) > 0)
		read_peer(st, out);
	catalog_done(st);
	catalog_leave(c);
	if (row == 0)
		return err_set(
		    err, ERR_NOTFOUND, "no host or operator is called %s", name);
	return row < 0 ? -1 : 0;
}

int
catalog_peer_by_serial(struct catalog *c, const uint8_t serial[STORE_SERIAL_LEN],
    struct store_peer *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_PEER_BY_SERIAL, err, "b", (const void *)serial,
	    (size_t)STORE_SERIAL_LEN);
	if ((row = catalog_step(c, st, err)) > 0) {
		read_peer(st, out);
		/* A certificate can be over while its name lives on with a new key. */
		out->revoked |= sqlite3_column_int(st, 14);
	}
	catalog_done(st);
	catalog_leave(c);
	if (row == 0)
		return err_set(
		    err, ERR_NOTFOUND, "no certificate of this serial was recorded");
	return row < 0 ? -1 : 0;
}

int
catalog_peer_by_key(struct catalog *c, const uint8_t key_hash[STORE_HASH_LEN],
    const char *except, struct store_peer *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_PEER_BY_KEY, err, "ht", key_hash, except);
	if ((row = catalog_step(c, st, err)) > 0)
		read_peer(st, out);
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_peers(struct catalog *c, const char *after, struct store_peer *out, uint32_t cap,
    uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = 0;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_PEERS, err, "ti", after, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap)
		read_peer(st, &out[(*n)++]);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_groups(struct catalog *c, const char *after, int64_t now_us,
    char (*out)[STORE_NAME_MAX], uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = 0;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_GROUPS, err, "tii", after, now_us, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap)
		catalog_text(st, 0, out[(*n)++], STORE_NAME_MAX);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_seen(struct catalog *c, const char *name, const char *program, int64_t now_us,
    int *due, struct err *err)
{
	const int64_t day_us = (int64_t)24 * 3600 * 1000000;
	char known[STORE_NAME_MAX];
	sqlite3_stmt *st;
	int row;

	*due = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_LIVE_DUE, err, "t", name);
	if ((row = catalog_step(c, st, err)) > 0) {
		catalog_text(st, 1, known, sizeof(known));
		*due = now_us - sqlite3_column_int64(st, 0) >= day_us ||
		       strncmp(known, program, sizeof(known) - 1) != 0;
	}
	catalog_done(st);
	if (row > 0 &&
	    CATALOG_RUN(c, CATALOG_LIVE_SET, err, "tit", name, now_us, program) != 0)
		row = -1;
	catalog_leave(c);
	if (row == 0)
		return err_set(
		    err, ERR_NOTFOUND, "no host or operator is called %s", name);
	return row < 0 ? -1 : 0;
}

int
catalog_secret(
    struct catalog *c, const char *name, struct journal_secret *out, struct err *err)
{
	sqlite3_stmt *st;
	int row, n;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_SECRET_GET, err, "t", name);
	if ((row = catalog_step(c, st, err)) > 0) {
		n = sqlite3_column_bytes(st, 0);
		if (n >= 0 && (size_t)n <= sizeof(out->wrapped)) {
			out->len = (uint32_t)n;
			catalog_blob(st, 0, out->wrapped, out->len);
		}
		(void)snprintf(out->name, sizeof(out->name), "%s", name);
	}
	catalog_done(st);
	catalog_leave(c);
	if (row == 0)
		return err_set(err, ERR_NOTFOUND, "no secret is called %s", name);
	return row < 0 ? -1 : 0;
}

int
catalog_token(struct catalog *c, const uint8_t hash[STORE_HASH_LEN],
    struct store_token *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_TOKEN_GET, err, "h", hash);
	if ((row = catalog_step(c, st, err)) > 0) {
		memcpy(out->hash, hash, STORE_HASH_LEN);
		out->uses_left = (uint32_t)sqlite3_column_int64(st, 0);
		out->ends_us = sqlite3_column_int64(st, 1);
		catalog_text(st, 2, out->group, sizeof(out->group));
		catalog_text(st, 3, out->replace_host, sizeof(out->replace_host));
		catalog_text(st, 4, out->networks, sizeof(out->networks));
	}
	catalog_done(st);
	catalog_leave(c);
	if (row == 0)
		return err_set(err, ERR_NOTFOUND, "no such enrolment token");
	return row < 0 ? -1 : 0;
}

int
catalog_enrolment(struct catalog *c, const uint8_t token[STORE_HASH_LEN],
    const struct store_peer *p, uint8_t cert[STORE_BLOB_MAX], size_t *len,
    struct err *err)
{
	sqlite3_stmt *st;
	int row, n;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_ENROLMENT_GET, err, "hth", token, p->name,
	    (const uint8_t *)p->key_hash);
	if ((row = catalog_step(c, st, err)) > 0) {
		n = sqlite3_column_bytes(st, 0);
		if (n >= 0 && n <= STORE_BLOB_MAX) {
			*len = (size_t)n;
			catalog_blob(st, 0, cert, *len);
		} else {
			row = err_set(
			    err, ERR_CORRUPT, "catalog: a certificate of %d bytes", n);
		}
	}
	catalog_done(st);
	catalog_leave(c);
	return row;
}

/* ------------------------------------------------------------------ points -- */

/* The record's payload is kept whole; time and hash are the record's own. */
static int
read_point(sqlite3_stmt *st, struct store_point *out, struct err *err)
{
	struct journal_event *e = malloc(sizeof(*e));
	int n = sqlite3_column_bytes(st, 2);

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read a point");
	if (journal_decode(
		JOURNAL_POINT, sqlite3_column_blob(st, 2), (size_t)n, e, err) != 0) {
		free(e);
		return err_context(err, "catalog");
	}
	*out = e->u.point;
	free(e);
	out->time_us = sqlite3_column_int64(st, 0);
	catalog_blob(st, 1, out->record, sizeof(out->record));
	return 0;
}

int
catalog_point(struct catalog *c, const char *host, uint64_t sequence,
    struct store_point *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	if (catalog_enter(c, err) != 0)
		return -1;
	if (sequence == 0)
		st = catalog_bind(c, CATALOG_POINT_NEWEST, err, "t", host);
	else
		st = catalog_bind(
		    c, CATALOG_POINT_GET, err, "ti", host, (int64_t)sequence);
	if ((row = catalog_step(c, st, err)) > 0 && read_point(st, out, err) != 0)
		row = -1;
	catalog_done(st);
	catalog_leave(c);
	if (row == 0 && sequence == 0)
		return err_set(err, ERR_NOTFOUND, "%s has no points", host);
	if (row == 0)
		return err_set(err, ERR_NOTFOUND, "%s has no point %llu", host,
		    (unsigned long long)sequence);
	return row < 0 ? -1 : 0;
}

int
catalog_point_of_backup(struct catalog *c, const char *host,
    const uint8_t backup[STORE_BACKUP_LEN], struct store_point *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_POINT_OF_BACKUP, err, "tb", host,
	    (const void *)backup, (size_t)STORE_BACKUP_LEN);
	if ((row = catalog_step(c, st, err)) > 0 && read_point(st, out, err) != 0)
		row = -1;
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_points(struct catalog *c, const char *host, int64_t before_us,
    struct store_point *out, uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = 0;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	if (host != NULL)
		st = catalog_bind(
		    c, CATALOG_POINTS_HOST, err, "tii", host, before_us, (int64_t)cap);
	else
		st = catalog_bind(
		    c, CATALOG_POINTS_ALL, err, "ii", before_us, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap) {
		if (read_point(st, &out[*n], err) != 0) {
			row = -1;
			break;
		}
		(*n)++;
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_record_known(struct catalog *c, const char *host,
    const uint8_t record[STORE_HASH_LEN], struct err *err)
{
	sqlite3_stmt *st;
	int row;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_RECORD_GET, err, "ht", record, host);
	row = catalog_step(c, st, err);
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_head(
    struct catalog *c, const char *host, struct catalog_head *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_HEAD_GET, err, "t", host);
	if ((row = catalog_step(c, st, err)) > 0) {
		out->sequence = (uint64_t)sqlite3_column_int64(st, 0);
		catalog_blob(st, 1, out->record, sizeof(out->record));
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_base(struct catalog *c, const char *host, const char *volume,
    struct store_base *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_BASE_GET, err, "tt", host, volume);
	if ((row = catalog_step(c, st, err)) > 0) {
		out->known = 1;
		out->sequence = (uint64_t)sqlite3_column_int64(st, 0);
		catalog_blob(st, 1, out->root_id.b, sizeof(out->root_id.b));
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

/* --------------------------------------------------------------- the store -- */

int
catalog_leases(struct catalog *c, const char *host, uint64_t except, uint64_t *ids,
    uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = 0;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(
	    c, CATALOG_LEASES, err, "tii", host, (int64_t)except, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap)
		ids[(*n)++] = (uint64_t)sqlite3_column_int64(st, 0);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_packs(struct catalog *c, uint32_t after, struct journal_pack *out, uint32_t cap,
    uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = 0;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_PACKS, err, "ii", (int64_t)after, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap) {
		struct journal_pack *p = &out[(*n)++];

		p->no = (uint32_t)sqlite3_column_int64(st, 0);
		p->kind = (uint8_t)sqlite3_column_int(st, 1);
		p->chunks = (uint32_t)sqlite3_column_int64(st, 2);
		p->groups = (uint32_t)sqlite3_column_int64(st, 3);
		p->plain = (uint64_t)sqlite3_column_int64(st, 4);
		p->stored = (uint64_t)sqlite3_column_int64(st, 5);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_quarantined(struct catalog *c, const struct journal_group *after,
    struct journal_group *out, uint32_t cap, uint32_t *n, struct err *err)
{
	int64_t pack = after != NULL ? (int64_t)after->pack : -1;
	int64_t offset = after != NULL ? (int64_t)after->offset : -1;
	sqlite3_stmt *st;
	int row = 0;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_BAD_LIST, err, "iii", pack, offset, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap) {
		out[*n].pack = (uint32_t)sqlite3_column_int64(st, 0);
		out[(*n)++].offset = (uint32_t)sqlite3_column_int64(st, 1);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_stats(struct catalog *c, struct store_stats *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_STATS, err, "");
	if ((row = catalog_step(c, st, err)) > 0) {
		out->hosts = (uint64_t)sqlite3_column_int64(st, 0);
		out->points = (uint64_t)sqlite3_column_int64(st, 1);
		out->logical_bytes = (uint64_t)sqlite3_column_int64(st, 2);
		out->unique_bytes = (uint64_t)sqlite3_column_int64(st, 3);
		out->stored_bytes = (uint64_t)sqlite3_column_int64(st, 4);
		out->chunks = (uint64_t)sqlite3_column_int64(st, 5);
		out->packs = (uint64_t)sqlite3_column_int64(st, 6);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_notice(
    struct catalog *c, uint32_t kind, struct catalog_notice *out, struct err *err)
{
	sqlite3_stmt *st;
	int row;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_NOTICE_GET, err, "i", (int64_t)kind);
	if ((row = catalog_step(c, st, err)) > 0) {
		catalog_text(st, 0, out->text, sizeof(out->text));
		out->time_us = sqlite3_column_int64(st, 1);
		out->trusted_us = sqlite3_column_int64(st, 2);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}
