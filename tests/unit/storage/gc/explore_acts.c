#include "tests/unit/storage/gc/explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/chunk/group.h"
#include "storage/fs.h"
#include "storage/index.h"
#include "storage/store_packs.h"
#include "storage/store_retention.h"

/* ----------------------------------------------------------------- sessions -- */

/* Was it revoked?  Then that is a good answer. */
static int
is_revoked(struct world *w, const int *revoked)
{
	if (w->err.code != ERR_CANCELED || !*revoked)
		return 0;
	err_clear(&w->err);
	return 1;
}

static int
number(struct world *w, const struct session *se)
{
	return (int)(se - w->sessions);
}

static void
close_session(struct world *w, struct session *se)
{
	world_tell(w, "s%d close", number(w, se));
	store_lease_close(se->lease);
	if (fs_fault_fired(w->ff))
		w->dead = 1;
	memset(se, 0, sizeof(*se));
}

static void
open_session(struct world *w, struct session *se)
{
	se->host = world_draw(w, HOSTS);
	if (store_lease_open(
		w->s, world_host(se->host), STORE_BACKUP, &se->lease, &w->err) != 0) {
		se->lease = NULL;
		world_failed(w, "open");
	}
	world_tell(w, "s%d open %s", number(w, se), world_host(se->host));
}

/* What the base has and what is asked, guessed or known before. */
static void
new_image(struct world *w, struct session *se, const uint8_t *like, int base)
{
	uint8_t spans[SPANS];
	struct image im;

	for (uint32_t i = 0; i < SPANS; i++)
		spans[i] = like != NULL && world_draw(w, 3) != 0
			       ? like[i]
			       : (uint8_t)world_draw(w, PATTERNS);
	world_image(w, spans, &se->image);
	if (base >= 0)
		world_image(w, w->points[base].spans, &im);
	for (uint32_t i = 0; i < se->image.n; i++) {
		se->known[i] = world_draw(w, 8) == 0 ? BLIND : UNKNOWN;
		for (uint32_t k = 0; base >= 0 && k < im.n; k++)
			if (chunk_id_cmp(&im.items[k].id, &se->image.items[i].id) == 0)
				se->known[i] = BASE;
	}
}

/* The point that a base is of; -1 with none. */
static int
point_of(struct world *w, uint32_t host, uint64_t sequence)
{
	for (uint32_t i = 0; i < w->n_points; i++)
		if (w->points[i].host == host && w->points[i].sequence == sequence)
			return (int)i;
	return -1;
}

static void
begin(struct world *w, struct session *se)
{
	static const char *const names[] = { "C" };
	const struct session *outer = w->busy;
	struct store_base base;
	int ret;

	buf_clear(&w->bad);
	w->busy = se;
	ret = store_backup_begin(se->lease, names, 1, &base, &w->bad, &w->err);
	w->busy = outer;
	if (ret != 0) {
		if (is_revoked(w, &se->revoked))
			return;
		if (w->err.code == ERR_BUSY) {
			err_clear(&w->err);
			close_session(w, se);
			return;
		}
		/* A base that lost a node to quarantine cannot be walked. */
		world_failed(w, "begin");
		return;
	}
	se->begun = 1;
	world_tell(w, "s%d begun", number(w, se));
	se->base = base.known ? point_of(w, se->host, base.sequence) : -1;
	new_image(w, se, se->base >= 0 ? w->points[se->base].spans : NULL, se->base);
}

static void
ask(struct world *w, struct session *se)
{
	enum chunk_kind kind = world_draw(w, 2) ? CHUNK_DATA : CHUNK_META;
	const struct session *outer = w->busy;
	struct chunk_id ids[ITEMS_MAX];
	uint8_t answers[ITEMS_MAX];
	uint32_t which[ITEMS_MAX], n = 0, most = 1 + world_draw(w, 12);
	int ret;

	for (uint32_t i = 0; i < se->image.n && n < most; i++)
		if (se->image.items[i].kind == kind &&
		    (se->known[i] == UNKNOWN || se->known[i] == PENDING)) {
			which[n] = i;
			ids[n++] = se->image.items[i].id;
		}
	if (n == 0)
		return;
	w->busy = se;
	ret = store_have(se->lease, kind, ids, n, answers, &w->err);
	w->busy = outer;
	if (ret != 0) {
		if (!is_revoked(w, &se->revoked))
			world_failed(w, "have");
		return;
	}
	if (se->revoked) {
		world_wrong(w, "a revoked session was answered");
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		enum known *k = &se->known[which[i]];

		world_tell(w, "s%d have %u (%d): %d", number(w, se), which[i], (int)*k,
		    answers[i]);

		if (answers[i] == STORE_NEED)
			*k = NEED;
		else if (answers[i] == STORE_PENDING)
			*k = PENDING;
		else if (*k != OURS)
			*k = HAVE;
	}
}

static void
put(struct world *w, struct session *se)
{
	enum chunk_kind kind = world_draw(w, 2) ? CHUNK_DATA : CHUNK_META;
	const struct item *items[5];
	uint32_t which[5], n = 0, most = 1 + world_draw(w, 5);
	int rude = world_draw(w, 6) == 0; /* Puts what it was not asked for: a copy. */

	for (uint32_t i = 0; i < se->image.n && n < most; i++) {
		enum known k = se->known[i];

		if (se->image.items[i].kind != kind || k == OURS ||
		    (k != NEED && !(rude && world_draw(w, 2) == 0)))
			continue;
		which[n] = i;
		items[n++] = &se->image.items[i];
	}
	if (n == 0)
		return;
	if (se->revoked) {
		close_session(w, se);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		world_tell(w, "s%d put %u (%d)", number(w, se), which[i],
		    (int)se->known[which[i]]);
	world_put_group(w, se->lease, kind, items, n);
	for (uint32_t i = 0; i < n && !w->dead; i++)
		if (se->known[which[i]] == NEED || se->known[which[i]] == UNKNOWN ||
		    se->known[which[i]] == PENDING || se->known[which[i]] == BLIND)
			se->known[which[i]] = OURS;
}

/* The commit was told that these are missing: who was told that they are there? */
static void
missing(struct world *w, struct session *se, const struct buf *ids)
{
	for (size_t at = 0; at < ids->len; at += CHUNK_ID_LEN)
		for (uint32_t i = 0; i < se->image.n; i++) {
			enum known *k = &se->known[i];

			if (memcmp(se->image.items[i].id.b, ids->p + at, CHUNK_ID_LEN) !=
			    0)
				continue;
			if ((*k == HAVE || *k == BASE || *k == OURS) &&
			    !world_excused(w, &se->image.items[i].id))
				world_wrong(w,
				    "a commit of %s lacks item %u, known as %d",
				    world_host(se->host), i, (int)*k);
			*k = UNKNOWN;
		}
}

static void
commit(struct world *w, struct session *se)
{
	struct point *pt = &w->points[w->n_points], *outer_point = w->committing;
	const struct session *outer = w->busy;
	enum store_commit_result result = STORE_MISSING;
	struct buf data = BUF_INIT(4096), meta = BUF_INIT(4096);
	struct store_point *p;
	int ret;

	if (w->n_points + 2 >= POINTS_MAX || outer_point != NULL ||
	    (p = calloc(1, sizeof(*p))) == NULL)
		return;
	p->volumes_count = 1;
	memcpy(p->volumes[0].name, "C", 2);
	p->volumes[0].root_id = se->image.root_id;
	/* Named now: if the process dies, the point may be there. */
	w->n_points++;
	pt->host = se->host;
	pt->sequence = 0;
	for (uint32_t i = 0; i + 1 < w->n_points; i++)
		if (w->points[i].host == se->host && w->points[i].sequence > pt->sequence)
			pt->sequence = w->points[i].sequence;
	pt->sequence++;
	memcpy(pt->spans, se->image.spans, SPANS);
	pt->live = 0;
	w->committing = pt;
	w->busy = se;
	ret = store_commit(se->lease, p, &result, &data, &meta, &w->err);
	w->busy = outer;
	if (ret != 0 && fs_fault_fired(w->ff)) {
		w->dead = 1;
		err_clear(&w->err);
	} else if (ret != 0) {
		if (!is_revoked(w, &se->revoked))
			world_failed(w, "commit");
	} else if (result == STORE_COMMITTED) {
		if (se->revoked)
			world_wrong(w, "a revoked session committed");
		pt->sequence = p->sequence;
		pt->live = 1;
		w->commits++;
		se->committed = 1;
	} else {
		missing(w, se, &data);
		missing(w, se, &meta);
	}
	if (!w->dead) {
		w->committing = NULL;
		if (!pt->live)
			w->n_points--;
	}
	world_tell(w, "s%d commit of %s: %d, %d", number(w, se), world_host(se->host),
	    ret, (int)result);
	buf_free(&data);
	buf_free(&meta);
	free(p);
}

/* Go on after a commit: much as before, of which it asks nothing again. */
static void
again(struct world *w, struct session *se)
{
	struct image before = se->image;
	enum known known[ITEMS_MAX];

	memcpy(known, se->known, sizeof(known));
	new_image(w, se, before.spans, -1);
	for (uint32_t i = 0; i < se->image.n; i++)
		for (uint32_t k = 0; k < before.n; k++)
			if (chunk_id_cmp(&se->image.items[i].id, &before.items[k].id) ==
			    0)
				se->known[i] = known[k];
	se->committed = 0;
}

static void
session_act(struct world *w, struct session *se)
{
	uint32_t ready = 0;

	if (se->lease == NULL) {
		open_session(w, se);
		return;
	}
	if (!se->begun) {
		begin(w, se);
		return;
	}
	for (uint32_t i = 0; i < se->image.n; i++)
		ready += se->known[i] >= HAVE;
	if (se->revoked && world_draw(w, 4) == 0)
		close_session(w, se);
	else if (world_draw(w, 40) == 0 || (se->committed && world_draw(w, 2) == 0))
		close_session(w, se);
	else if (se->committed)
		again(w, se);
	else if (ready == se->image.n || world_draw(w, 30) == 0)
		commit(w, se);
	else if (world_draw(w, 2) == 0)
		ask(w, se);
	else
		put(w, se);
}

/* ------------------------------------------------------------------ readers -- */

static void
reader_open(struct world *w, struct reader *r)
{
	uint32_t i;
	int ret;

	r->point = -1;
	r->revoked = r->located = 0;
	if (store_lease_open(w->s, "", STORE_READ, &r->lease, &w->err) != 0) {
		r->lease = NULL;
		world_failed(w, "open to read");
		return;
	}
	if (w->n_points == 0)
		return;
	i = world_draw(w, w->n_points);
	if (&w->points[i] == w->committing || w->points[i].sequence == 0)
		return;
	ret = store_lease_point(r->lease, world_host(w->points[i].host),
	    w->points[i].sequence, w->p, &w->err);
	if (ret == 0)
		r->point = (int)i;
	else if (w->err.code == ERR_NOTFOUND && !w->points[i].live)
		err_clear(&w->err);
	else
		world_failed(w, "pin");
}

/* First where, then, perhaps much later, what lies there. */
static void
reader_read(struct world *w, struct reader *r)
{
	struct buf bytes = BUF_INIT(GROUP_LEN_MAX);
	struct image im;
	uint8_t found;

	if (!r->located && r->point >= 0) {
		world_image(w, w->points[r->point].spans, &im);
		r->id = im.items[0].id;
		if (store_locate(r->lease, CHUNK_DATA, &r->id, 1, &r->place, &found,
			&w->err) != 0) {
			if (!is_revoked(w, &r->revoked))
				world_failed(w, "locate");
			return;
		}
		r->located = found;
		if (!found && !r->revoked && !world_excused(w, &r->id))
			world_wrong(w, "a chunk of a pinned point is not found");
	} else if (r->located) {
		r->located = 0;
		if (store_group(r->lease, &r->place, &bytes, &w->err) != 0 &&
		    !is_revoked(w, &r->revoked)) {
			if (!fs_fault_fired(w->ff))
				world_wrong(
				    w, "a located chunk is gone: %s", w->err.text);
			err_clear(&w->err);
		}
	}
	buf_free(&bytes);
}

static void
reader_act(struct world *w, struct reader *r)
{
	if (r->lease == NULL) {
		reader_open(w, r);
	} else if (world_draw(w, 16) == 0) {
		store_lease_close(r->lease);
		memset(r, 0, sizeof(*r));
		r->point = -1;
	} else {
		reader_read(w, r);
	}
}

/* ---------------------------------------------------------- what else happens -- */

static void
prune(struct world *w)
{
	struct point *pt;

	if (w->n_points == 0 || w->pruning != NULL)
		return;
	pt = &w->points[world_draw(w, w->n_points)];
	if (!pt->live || pt == w->committing)
		return;
	w->pruning = pt;
	world_tell(
	    w, "prune %s %llu", world_host(pt->host), (unsigned long long)pt->sequence);
	if (store_prune_points(
		w->s, "x", world_host(pt->host), &pt->sequence, 1, &w->err) != 0) {
		world_failed(w, "prune");
	} else {
		pt->live = 0;
	}
	if (!w->dead)
		w->pruning = NULL;
}

static void
note(struct world *w, const struct store_gc_report *was)
{
	const struct store_gc_report *is = store_gc_now(w->gc);

	w->removed += is->packs_removed - was->packs_removed;
	w->recalled += is->packs_recalled - was->packs_recalled;
	w->rewritten += is->packs_rewritten - was->packs_rewritten;
}

static void
collect(struct world *w, int gate)
{
	struct store_gc_config config = { .nodes_per_step = 1, .no_wait = 1 };
	struct store_gc_report was;
	enum store_gc_state state;
	int ended;

	if (w->gc == NULL) {
		if (gate)
			return;
		config.max_dead = world_draw(w, 3) == 0 ? 1 : 0.05;
		if (store_gc_begin(w->s, &config, &w->gc, &w->err) != 0) {
			w->gc = NULL;
			world_failed(w, "begin to collect");
		}
		return;
	}
	was = *store_gc_now(w->gc);
	ended = store_gc_step(w->gc, &state, &w->err) != 0;
	note(w, &was);
	world_tell(w,
	    "collect: %d, state %d: condemned %u, removed %u, rewritten %u, pinned %u %s",
	    ended, (int)state, store_gc_now(w->gc)->packs_condemned,
	    store_gc_now(w->gc)->packs_removed, store_gc_now(w->gc)->packs_rewritten,
	    store_gc_now(w->gc)->packs_pinned, w->err.text);
	if (ended && fs_fault_fired(w->ff)) {
		w->dead = 1;
		err_clear(&w->err);
		return;
	}
	if (ended && w->err.code != ERR_CANCELED &&
	    !(w->n_lost > 0 && w->err.code == ERR_NOTFOUND))
		world_failed(w, "collect");
	err_clear(&w->err);
	ended |= state == STORE_GC_DONE;
	if (!gate && (ended || (state == STORE_GC_WAITING && world_draw(w, 3) == 0) ||
			 world_draw(w, 200) == 0)) {
		store_gc_end(w->gc);
		w->gc = NULL;
	}
}

/* Of all that was to be there: what cannot be found now was lost to this. */
static void
excuse(struct world *w, const struct image *im)
{
	struct index_hit hit;

	for (uint32_t i = 0; i < im->n; i++) {
		const struct chunk_id *id = &im->items[i].id;

		if (index_lookup(w->s->index, id, 1, &hit, &w->err) != 0) {
			world_failed(w, "look-up");
			return;
		}
		if (hit.loc.pack == 0 && !world_excused(w, id) && w->n_lost < LOST_MAX)
			w->lost[w->n_lost++] = *id;
	}
}

void
act_excuse(struct world *w)
{
	struct image im;

	for (uint32_t i = 0; i < w->n_points && !w->dead; i++) {
		world_image(w, w->points[i].spans, &im);
		excuse(w, &im);
	}
	for (uint32_t i = 0; i < SESSIONS && !w->dead; i++)
		if (w->sessions[i].lease != NULL && w->sessions[i].begun)
			excuse(w, &w->sessions[i].image);
}

static void
quarantine(struct world *w)
{
	uint8_t spans[SPANS];
	struct index_hit hit;
	struct image im;

	for (uint32_t i = 0; i < SPANS; i++)
		spans[i] = (uint8_t)world_draw(w, PATTERNS);
	world_image(w, spans, &im);
	if (index_lookup(
		w->s->index, &im.items[world_draw(w, im.n)].id, 1, &hit, &w->err) != 0) {
		world_failed(w, "look-up");
		return;
	}
	if (hit.loc.pack == 0)
		return;
	world_tell(w, "quarantine pack %u at %u", hit.loc.pack, hit.loc.offset);
	w->quarantining = 1;
	if (store_quarantine(w->s, hit.loc.pack, hit.loc.offset, &w->err) != 0) {
		world_failed(w, "quarantine");
		return;
	}
	act_excuse(w);
	w->quarantining = w->dead;
}

static void
revoke(struct world *w)
{
	struct session *se = &w->sessions[world_draw(w, SESSIONS)];
	struct reader *r = &w->readers[world_draw(w, READERS)];
	struct store_lease *l = world_draw(w, 2) ? se->lease : r->lease;

	if (l == NULL || (w->busy != NULL && w->busy->lease == l))
		return;
	if (store_lease_revoke(w->s, l->id, &w->err) != 0)
		world_failed(w, "revoke");
	world_tell(w, "revoke %s", l == se->lease ? "session" : "reader");
	if (l == se->lease)
		se->revoked = 1;
	else
		r->revoked = 1;
}

/* Leases that only the journal has. */
static int
revoke_left(void *arg, const struct store_lease_info *l)
{
	struct world *w = arg;

	if (!l->live && store_lease_revoke(w->s, l->id, &w->err) != 0)
		world_failed(w, "revoke what is left");
	return 1;
}

/* Everybody goes home, and what can be collected is. */
static void
lull(struct world *w)
{
	for (uint32_t i = 0; i < SESSIONS && !w->dead; i++)
		close_session(w, &w->sessions[i]);
	for (uint32_t i = 0; i < READERS && !w->dead; i++) {
		if (world_draw(w, 2) == 0)
			continue;
		store_lease_close(w->readers[i].lease);
		memset(&w->readers[i], 0, sizeof(w->readers[i]));
		w->readers[i].point = -1;
	}
	if (store_packs_seal(w->s->packs, &w->err) != 0)
		world_failed(w, "seal");
	for (uint32_t n = world_draw(w, 60); n > 0 && !w->dead && w->wrong[0] == '\0';
	     n--)
		switch (world_draw(w, 12)) {
		case 0:
			prune(w);
			break;
		case 1:
			reader_act(w, &w->readers[world_draw(w, READERS)]);
			break;
		case 2:
			if (w->n_lost < LOST_MAX / 2 && world_draw(w, 2) == 0)
				quarantine(w);
			break;
		default:
			collect(w, 0);
		}
}

static void
rare(struct world *w, int inside, int gate)
{
	switch (world_draw(w, 8)) {
	case 0:
		if (!gate)
			revoke(w);
		return;
	case 1:
		if (!gate && store_leases(w->s, revoke_left, w, &w->err) < 0)
			world_failed(w, "list leases");
		return;
	case 2:
		if (world_draw(w, 4) == 0 && w->n_lost < LOST_MAX / 2)
			quarantine(w);
		return;
	case 3:
		/* The process dies soon, in the midst of something. */
		if (fs_fault_fired(w->ff))
			w->dead = 1;
		else if (!inside && world_draw(w, 6) == 0)
			fs_fault_arm(w->ff, 1 + world_draw(w, 40), FS_FAULT_DIE);
		return;
	case 4:
		if (!inside && world_draw(w, 6) == 0)
			world_restart(w, 0);
		return;
	case 5:
		if (!inside)
			lull(w);
		return;
	default:
		if (store_packs_seal(w->s->packs, &w->err) != 0)
			world_failed(w, "seal");
	}
}

void
act(struct world *w, int inside, int gate)
{
	struct session *se;
	uint32_t what = world_draw(w, 24);

	w->acts++;
	if (what < 12) {
		se = &w->sessions[world_draw(w, SESSIONS)];
		/* Not into a call that is under way, nor closing what it looks at. */
		if (se != w->busy && !(inside && se->lease == NULL && gate))
			session_act(w, se);
	} else if (what < 18) {
		collect(w, gate);
	} else if (what < 20) {
		prune(w);
	} else if (what < 22) {
		if (!inside)
			reader_act(w, &w->readers[world_draw(w, READERS)]);
	} else {
		rare(w, inside, gate);
	}
}
