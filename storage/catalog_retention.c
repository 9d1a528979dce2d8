#include <stdio.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/brake.h"
#include "storage/catalog_db.h"

/* ----------------------------------------------------------------- applying -- */

int
catalog_apply_audit(struct catalog *c, const struct journal_event *e,
    const struct journal_record *r, struct err *err)
{
	char who[STORE_NAME_MAX], what[JOURNAL_WHAT_MAX];

	if (!journal_say(e, who, what))
		return 0;
	return CATALOG_RUN(c, CATALOG_AUDIT_SET, err, "iitt", (int64_t)r->end.sequence,
	    r->end.time_us, who, what);
}

static int
drop_point(struct catalog *c, const char *host, uint64_t sequence, struct err *err)
{
	static const enum catalog_op of_it[] = { CATALOG_POINT_DROP, CATALOG_VOLUMES_DROP,
		CATALOG_HOLD_DROP, CATALOG_LOCK_DROP, CATALOG_VERIFIED_DROP,
		CATALOG_HURT_DROP, CATALOG_SUSPECT_DROP };

	for (size_t i = 0; i < sizeof(of_it) / sizeof(of_it[0]); i++)
		if (CATALOG_RUN(c, of_it[i], err, "ti", host, (int64_t)sequence) != 0)
			return -1;
	return 0;
}

static int
apply_stubs(struct catalog *c, const struct journal_stubs *s, struct err *err)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (drop_point(c, s->host, s->sequences[i], err) != 0)
			return -1;
	return CATALOG_RUN(c, CATALOG_HOST_COUNT, err, "t", s->host);
}

static int
apply_policy(
    struct catalog *c, const struct store_policy *p, int64_t time_us, struct err *err)
{
	const struct store_rules *w = &p->rules;

	if (!p->set)
		return CATALOG_RUN(
		    c, CATALOG_POLICY_DROP, err, "it", (int64_t)p->scope, p->name);
	return CATALOG_RUN(c, CATALOG_POLICY_SET, err, "ittiiiiiiiiiii",
	    (int64_t)p->scope, p->name, p->who, time_us, (int64_t)w->last,
	    (int64_t)w->hourly, (int64_t)w->daily, (int64_t)w->weekly,
	    (int64_t)w->monthly, (int64_t)w->yearly, (int64_t)w->within_s,
	    (int64_t)w->min_points, (int64_t)w->min_verified, (int64_t)w->verified_s);
}

static int
apply_mark(struct catalog *c, enum journal_type type, const struct journal_mark *m,
    int64_t time_us, struct err *err)
{
	int64_t seq = (int64_t)m->sequence;

	switch (type) {
	case JOURNAL_HOLD:
		return CATALOG_RUN(c, CATALOG_HOLD_SET, err, "titti", m->host, seq,
		    m->who, m->text, time_us);
	case JOURNAL_UNHOLD:
		return CATALOG_RUN(c, CATALOG_HOLD_DROP, err, "ti", m->host, seq);
	case JOURNAL_LOCK:
		return CATALOG_RUN(
		    c, CATALOG_LOCK_SET, err, "tiit", m->host, seq, m->when_us, m->who);
	case JOURNAL_FORGET:
		if (drop_point(c, m->host, m->sequence, err) != 0)
			return -1;
		return CATALOG_RUN(c, CATALOG_HOST_COUNT, err, "t", m->host);
	case JOURNAL_VERIFIED:
		if (CATALOG_RUN(c, CATALOG_HURT_DROP, err, "ti", m->host, seq) != 0)
			return -1;
		return CATALOG_RUN(
		    c, CATALOG_VERIFIED_SET, err, "tii", m->host, seq, m->when_us);
	case JOURNAL_HURT:
		if (CATALOG_RUN(c, CATALOG_VERIFIED_DROP, err, "ti", m->host, seq) != 0)
			return -1;
		return CATALOG_RUN(
		    c, CATALOG_HURT_SET, err, "tiit", m->host, seq, time_us, m->text);
	default:
		return CATALOG_RUN(c, CATALOG_BRAKE_SET, err, "titti", m->host, seq,
		    m->who, m->text, time_us);
	}
}

static int
apply_suspect(
    struct catalog *c, const struct journal_suspect *s, int64_t time_us, struct err *err)
{
	int64_t after = (int64_t)s->after, last = (int64_t)s->last;

	if (s->text[0] == '\0')
		return CATALOG_RUN(
		    c, CATALOG_SUSPECT_END, err, "ttii", s->host, s->volume, after, last);
	return CATALOG_RUN(c, CATALOG_SUSPECT_SET, err, "ttiiit", s->host, s->volume,
	    after, last, time_us, s->text);
}

int
catalog_apply_retention(struct catalog *c, const struct journal_event *e,
    const struct journal_record *r, struct err *err)
{
	int ret;

	if (e->type == JOURNAL_STUB)
		ret = apply_stubs(c, &e->u.stubs, err);
	else if (e->type == JOURNAL_SUSPECT)
		ret = apply_suspect(c, &e->u.suspect, r->end.time_us, err);
	else if (e->type == JOURNAL_POLICY)
		ret = apply_policy(c, &e->u.policy, r->end.time_us, err);
	else
		ret = apply_mark(c, e->type, &e->u.mark, r->end.time_us, err);
	return ret == 0 ? catalog_apply_audit(c, e, r, err) : -1;
}

int
catalog_apply_history(
    struct catalog *c, const struct store_point *p, uint64_t logical, struct err *err)
{
	if (CATALOG_RUN(c, CATALOG_HISTORY_SET, err, "tiiii", p->host,
		(int64_t)p->sequence, (int64_t)logical, (int64_t)p->counts.new_bytes,
		(int64_t)p->counts.stored_bytes) != 0)
		return -1;
	return CATALOG_RUN(c, CATALOG_HISTORY_TRIM, err, "ti", p->host,
	    (int64_t)p->sequence - (int64_t)CATALOG_HISTORY_MAX);
}

/* ------------------------------------------------------------------ reading -- */

static void
read_policy(sqlite3_stmt *st, struct store_policy *p)
{
	struct store_rules *r = &p->rules;

	memset(p, 0, sizeof(*p));
	p->scope = sqlite3_column_int(st, 0);
	catalog_text(st, 1, p->name, sizeof(p->name));
	catalog_text(st, 2, p->who, sizeof(p->who));
	p->set = 1;
	p->since_us = sqlite3_column_int64(st, 3);
	r->last = (uint32_t)sqlite3_column_int64(st, 4);
	r->hourly = (uint32_t)sqlite3_column_int64(st, 5);
	r->daily = (uint32_t)sqlite3_column_int64(st, 6);
	r->weekly = (uint32_t)sqlite3_column_int64(st, 7);
	r->monthly = (uint32_t)sqlite3_column_int64(st, 8);
	r->yearly = (uint32_t)sqlite3_column_int64(st, 9);
	r->within_s = (uint64_t)sqlite3_column_int64(st, 10);
	r->min_points = (uint32_t)sqlite3_column_int64(st, 11);
	r->min_verified = (uint32_t)sqlite3_column_int64(st, 12);
	r->verified_s = (uint64_t)sqlite3_column_int64(st, 13);
}

static void
read_kept(sqlite3_stmt *st, struct store_kept *k)
{
	memset(k, 0, sizeof(*k));
	k->sequence = (uint64_t)sqlite3_column_int64(st, 0);
	k->time_us = sqlite3_column_int64(st, 1);
	k->held = sqlite3_column_type(st, 2) != SQLITE_NULL;
	catalog_text(st, 2, k->held_by, sizeof(k->held_by));
	catalog_text(st, 3, k->held_why, sizeof(k->held_why));
	k->held_us = sqlite3_column_int64(st, 4);
	k->locked_us = sqlite3_column_int64(st, 5);
	catalog_text(st, 6, k->locked_by, sizeof(k->locked_by));
	k->verified_us = sqlite3_column_int64(st, 7);
	k->hurt = sqlite3_column_type(st, 8) != SQLITE_NULL;
	k->restoring_us = sqlite3_column_int64(st, 9);
	k->suspect_us = sqlite3_column_int64(st, 10);
}

int
catalog_policy(struct catalog *c, int scope, const char *name, struct store_policy *out,
    struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_POLICY_GET, err, "it", (int64_t)scope, name);
	if ((row = catalog_step(c, st, err)) > 0)
		read_policy(st, out);
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_policies(struct catalog *c, int scope, const char *name, struct store_policy *out,
    uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(
	    c, CATALOG_POLICIES, err, "iti", (int64_t)scope, name, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap)
		read_policy(st, &out[(*n)++]);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_kept(struct catalog *c, const char *host, uint64_t after, struct store_kept *out,
    uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st =
	    catalog_bind(c, CATALOG_KEPT, err, "tii", host, (int64_t)after, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap)
		read_kept(st, &out[(*n)++]);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_kept_one(struct catalog *c, const char *host, uint64_t sequence,
    struct store_kept *out, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_KEPT_ONE, err, "ti", host, (int64_t)sequence);
	if ((row = catalog_step(c, st, err)) > 0)
		read_kept(st, out);
	catalog_done(st);
	catalog_leave(c);
	if (row == 0)
		return err_set(err, ERR_NOTFOUND, "%s has no point %llu", host,
		    (unsigned long long)sequence);
	return row < 0 ? -1 : 0;
}

int
catalog_brake(
    struct catalog *c, const char *host, struct store_brake *out, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	memset(out, 0, sizeof(*out));
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_BRAKE_GET, err, "t", host);
	if ((row = catalog_step(c, st, err)) > 0) {
		out->sequence = (uint64_t)sqlite3_column_int64(st, 0);
		catalog_text(st, 1, out->who, sizeof(out->who));
		catalog_text(st, 2, out->text, sizeof(out->text));
		out->since_us = sqlite3_column_int64(st, 3);
	}
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_history(struct catalog *c, const char *host, struct brake_backup *out,
    uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(
	    c, CATALOG_HISTORY, err, "ti", host, (int64_t)CATALOG_HISTORY_MAX);
	while ((row = catalog_step(c, st, err)) > 0 && *n < CATALOG_HISTORY_MAX) {
		struct brake_backup *h = &out[(*n)++];

		h->sequence = (uint64_t)sqlite3_column_int64(st, 0);
		h->logical = (uint64_t)sqlite3_column_int64(st, 1);
		h->fresh = (uint64_t)sqlite3_column_int64(st, 2);
		h->stored = (uint64_t)sqlite3_column_int64(st, 3);
	}
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_hosts(struct catalog *c, const char *after, char (*out)[STORE_NAME_MAX],
    uint32_t cap, uint32_t *n, struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	*n = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_HOSTS, err, "ti", after, (int64_t)cap);
	while ((row = catalog_step(c, st, err)) > 0 && *n < cap)
		catalog_text(st, 0, out[(*n)++], STORE_NAME_MAX);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}

int
catalog_volume_next(struct catalog *c, const char *host, const char *after,
    char out[STORE_NAME_MAX], struct err *err)
{
	sqlite3_stmt *st;
	int row = -1;

	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_VOLUME_NEXT, err, "tt", host, after);
	if ((row = catalog_step(c, st, err)) > 0)
		catalog_text(st, 0, out, STORE_NAME_MAX);
	catalog_done(st);
	catalog_leave(c);
	return row;
}

int
catalog_volume_point(struct catalog *c, const char *host, const char *volume,
    uint64_t last, uint64_t *sequence, struct err *err)
{
	int64_t most = last < INT64_MAX ? (int64_t)last : INT64_MAX;
	sqlite3_stmt *st;
	int row = -1;

	*sequence = 0;
	if (catalog_enter(c, err) != 0)
		return -1;
	st = catalog_bind(c, CATALOG_VOLUME_POINT, err, "tti", host, volume, most);
	if ((row = catalog_step(c, st, err)) > 0)
		*sequence = (uint64_t)sqlite3_column_int64(st, 0);
	catalog_done(st);
	catalog_leave(c);
	return row < 0 ? -1 : 0;
}
