/* What holds after any fault. */
#include "tests/unit/storage/sweep/sweep.h"

#include <sqlite3.h>

#include "storage/catalog.h"
#include "storage/catalog_db.h"
#include "storage/store_restores.h"
#include "storage/store_retention.h"
#include "tests/unit/storage/store_rig.h"

/* ------------------------------------------------------------------- points -- */

/* The one that was told this sequence; else one that was told none and has this root. */
static struct sweep_point *
find_point(struct sweep *w, const struct store_point *p)
{
	struct sweep_point *found = NULL;

	for (unsigned i = 0; i < w->n_points; i++) {
		struct sweep_point *q = &w->points[i];

		if (strcmp(q->host, p->host) != 0 ||
		    memcmp(&q->root, &p->volumes[0].root_id, sizeof(q->root)) != 0)
			continue;
		if (q->sequence == p->sequence)
			return q;
		if (q->sequence == 0)
			found = q;
	}
	return found;
}

/* A point that is there: it must be one of ours. */
static int
known_point(void *arg, const struct store_point *p)
{
	struct sweep *w = arg;
	struct sweep_point *q = find_point(w, p);

	if (q == NULL)
		sweep_fail("%s has a point %llu that nobody made", p->host,
		    (unsigned long long)p->sequence);
	if (q->state == SWEEP_GONE)
		sweep_fail(
		    "point %llu of %s is back", (unsigned long long)p->sequence, p->host);
	/* Recorded, and not acknowledged: from now on it stays. */
	if (q->state == SWEEP_TRIED) {
		q->state = SWEEP_ACKED;
		q->sequence = p->sequence;
	}
	return 0;
}

static void
check_points(struct sweep *w)
{
	struct err err = ERR_INIT;

	if (store_points(w->s, NULL, INT64_MAX, known_point, w, &err) != 0)
		sweep_fail("points cannot be listed: %s", err.text);
	for (unsigned i = 0; i < w->n_points; i++) {
		struct sweep_point *q = &w->points[i];
		struct store_point *p = calloc(1, sizeof(*p));
		int there;

		if (p == NULL)
			abort();
		there = q->sequence != 0 &&
			store_point_get(w->s, q->host, q->sequence, p, &err) == 0;
		free(p);
		if (!there && err.code != ERR_NONE && err.code != ERR_NOTFOUND)
			sweep_fail("point %llu of %s: %s",
			    (unsigned long long)q->sequence, q->host, err.text);
		err_clear(&err);
		if (!there && q->state == SWEEP_ACKED)
			sweep_fail("acknowledged point %llu of %s is lost",
			    (unsigned long long)q->sequence, q->host);
		if (!there && q->state == SWEEP_LEAVING)
			q->state = SWEEP_GONE;
		if (there && sweep_whole(w, q, &err) != 0 && !w->damaged)
			sweep_fail("point %llu of %s: %s",
			    (unsigned long long)q->sequence, q->host, err.text);
		err_clear(&err);
		/* What was never recorded will not come later. */
		if (q->state == SWEEP_TRIED)
			w->points[i--] = w->points[--w->n_points];
	}
}

/* ------------------------------------------------------------------ catalog -- */

/* All rows of all tables, as one text. */
static char *
dump(struct catalog *c)
{
	static const char all[] = "SELECT name FROM sqlite_master WHERE type='table' "
				  "ORDER BY name";
	sqlite3_stmt *tables, *rows;
	char *text = NULL, sql[160];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL || sqlite3_prepare_v2(c->db, all, -1, &tables, NULL) != SQLITE_OK)
		sweep_fail("the catalog has no tables");
	while (sqlite3_step(tables) == SQLITE_ROW) {
		(void)snprintf(sql, sizeof(sql), "SELECT * FROM %s ORDER BY 1,2",
		    (const char *)sqlite3_column_text(tables, 0));
		fprintf(f, "%s\n", sql);
		if (sqlite3_prepare_v2(c->db, sql, -1, &rows, NULL) != SQLITE_OK) {
			/* A table of one column has no second to go by. */
			sql[strlen(sql) - 2] = '\0';
			if (sqlite3_prepare_v2(c->db, sql, -1, &rows, NULL) != SQLITE_OK)
				sweep_fail("%s: %s", sql, sqlite3_errmsg(c->db));
		}
		while (sqlite3_step(rows) == SQLITE_ROW) {
			for (int i = 0; i < sqlite3_column_count(rows); i++) {
				const uint8_t *p = sqlite3_column_blob(rows, i);
				int n = sqlite3_column_bytes(rows, i);

				for (int k = 0; k < n; k++)
					fprintf(f, "%02x", p[k]);
				fputc(' ', f);
			}
			fputc('\n', f);
		}
		sqlite3_finalize(rows);
	}
	sqlite3_finalize(tables);
	fclose(f);
	return text;
}

/* However it came about: it is what the journal says. */
static void
check_catalog(struct sweep *w)
{
	struct err err = ERR_INIT;
	struct catalog *fresh;
	char *is, *should;

	if (catalog_open(NULL, NULL, w->s->of.store, w->s->of.catalog, w->s->journal,
		&fresh, NULL, &err) != 0 ||
	    catalog_enter(w->s->catalog, &err) != 0)
		sweep_fail("catalog: %s", err.text);
	is = dump(w->s->catalog);
	should = dump(fresh);
	catalog_leave(w->s->catalog);
	catalog_close(fresh);
	if (strcmp(is, should) != 0)
		sweep_fail(
		    "the catalog is not what the journal says:\n%s\n%s", is, should);
	free(is);
	free(should);
}

/* ---------------------------------------------------------------------- all -- */

static void
check_kept(struct sweep *w)
{
	struct err err = ERR_INIT;
	struct store_kept k;

	if (w->kept != 0 && (store_kept_one(w->s, "alpha", w->kept, &k, &err) != 0 ||
				!k.held || !store_is_locked(w->s, &k)))
		sweep_fail("a hold or lock is lost: %s", err.text);
}

/* Who was told that it may restore still may, and its point is there for it. */
static void
check_restores(struct sweep *w)
{
	struct err err = ERR_INIT;
	struct store_restore r;
	struct store_kept k;

	if (w->allowed != 0 &&
	    (store_restore_by_id(w->s, w->allowed, &r, &err) != 0 ||
		!store_restore_is_open(w->s, &r) ||
		(w->begun != 0 && r.state != STORE_RESTORE_OPEN) ||
		store_kept_one(w->s, "alpha", r.sequence, &k, &err) != 0 ||
		!store_is_restoring(w->s, &k)))
		sweep_fail("a restore is lost: %s", err.text);
	if (w->done != 0 && (store_restore_by_id(w->s, w->done, &r, &err) != 0 ||
				r.state != STORE_RESTORE_DONE))
		sweep_fail("the end of a restore is lost: %s", err.text);
}

static void
check_verify(struct sweep *w)
{
	struct err err = ERR_INIT;

	if (sweep_verify(w, &err) != 0)
		sweep_fail("verify: %s", err.text);
	if (w->told > 0 && !w->damaged)
		sweep_fail("verify names %d problems where there are none", w->told);
	if (w->told == 0 && w->mended) {
		w->damaged = 0;
		check_points(w);
	}
	if (w->told == 0 && w->damaged)
		sweep_fail("verify does not see the damage");
}

/* Whoever lost something sends it again; then all is as it was. */
static void
heal(struct sweep *w)
{
	struct err err = ERR_INIT;

	for (unsigned i = 0, n = w->n_points; i < n; i++)
		if (w->points[i].state == SWEEP_ACKED &&
		    sweep_backup(w, "medic", w->points[i].n, &err) != 0)
			sweep_fail("the damage does not heal: %s", err.text);
	for (unsigned i = 0; i < w->n_points; i++)
		if (w->points[i].state == SWEEP_ACKED &&
		    sweep_whole(w, &w->points[i], &err) != 0)
			sweep_fail("point %llu of %s has not healed: %s",
			    (unsigned long long)w->points[i].sequence, w->points[i].host,
			    err.text);
}

static void
check_open(struct sweep *w)
{
	struct err err = ERR_INIT;

	if (sweep_open(w, &err) == 0)
		return;
	if (err.code != ERR_NOTFOUND || w->made)
		sweep_fail("it does not open: %s", err.text);
	err_clear(&err);
	if (sweep_init(w, &err) != 0 || sweep_open(w, &err) != 0)
		sweep_fail("it cannot be made: %s", err.text);
}

void
sweep_check(struct sweep *w)
{
	struct err err = ERR_INIT;

	check_open(w);
	check_points(w);
	check_catalog(w);
	check_kept(w);
	check_restores(w);
	check_verify(w);
	if (w->damaged)
		heal(w);
	if (sweep_backup(w, "omega", 999, &err) != 0)
		sweep_fail("no new backup: %s", err.text);
	sweep_close(w);
	check_open(w);
	if (!w->damaged && store_opened(w->s)[0] != '\0')
		sweep_fail("after a clean close: %s", store_opened(w->s));
	check_points(w);
	check_catalog(w);
	sweep_close(w);
}
