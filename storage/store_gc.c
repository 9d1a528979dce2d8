#include "storage/store_gc.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/catalog.h"
#include "storage/gc_cycle.h"
#include "storage/gc_mutant.h"
#include "storage/store_space.h"

#define NODES_PER_STEP 64u

/* ----------------------------------------------------------------- beginning -- */

/* Leases that are too old by the policy of who began the cycle. */
struct old_leases {
	const struct store_gc_config *config;
	int64_t now_us;
	uint64_t ids[64];
	uint32_t n;
};

static int
find_old(void *arg, const struct store_lease_info *l)
{
	struct old_leases *o = arg;
	int64_t keep = l->live ? o->config->live_keep_us : o->config->lease_keep_us;

	if (keep > 0 && !l->revoked && o->now_us - l->opened_us > keep)
		o->ids[o->n++] = l->id;
	return o->n == sizeof(o->ids) / sizeof(o->ids[0]);
}

static int
revoke_old(struct store_gc *gc, struct err *err)
{
	struct old_leases old = { .config = &gc->config };

	if (gc->config.dry_run ||
	    (gc->config.lease_keep_us <= 0 && gc->config.live_keep_us <= 0))
		return 0;
	old.now_us = store_now(gc->s);
	do {
		old.n = 0;
		if (store_leases(gc->s, find_old, &old, err) < 0)
			return -1;
		for (uint32_t i = 0; i < old.n; i++) {
			if (store_lease_revoke(gc->s, old.ids[i], err) == 0)
				gc->report.leases_revoked++;
			else if (err->code != ERR_NOTFOUND)
				return -1;
			/* It ended by itself meanwhile. */
			err_clear(err);
		}
	} while (old.n == sizeof(old.ids) / sizeof(old.ids[0]));
	return 0;
}

static int
cmp_entry(const void *a, const void *b)
{
	const struct pack_entry *x = a, *y = b;

	return chunk_id_cmp(&x->id, &y->id);
}

static int
copy_bad(struct store_gc *gc, struct err *err)
{
	struct store *s = gc->s;
	int failed = 0;

	pthread_mutex_lock(&s->bad_lock);
	if (s->bad_count > 0) {
		gc->bad = malloc(s->bad_count * sizeof(*gc->bad));
		if (gc->bad == NULL) {
			failed =
			    err_set(err, ERR_NOMEM, "no memory for quarantined chunks");
		} else {
			memcpy(gc->bad, s->bad, s->bad_count * sizeof(*gc->bad));
			gc->n_bad = s->bad_count;
		}
	}
	pthread_mutex_unlock(&s->bad_lock);
	if (!failed && gc->n_bad > 0)
		qsort(gc->bad, gc->n_bad, sizeof(*gc->bad), cmp_entry);
	return failed ? -1 : 0;
}

/* Read one pack's footer.  A damaged one is left alone. */
static int
add_pack(struct store_gc *gc, const struct catalog_sealed *known, struct err *err)
{
	struct err why = ERR_INIT;
	struct gc_pack *to;
	struct pack *p = NULL;
	int failed;

	if (gc_cycle_condemned(gc->s, known->no))
		return 0;
	failed = pack_open(gc->s->fs, known->no, gc->s->of.store, &p, &why) != 0 ||
		 gc_marks_add(gc->marks, p, &why) != 0;
	pack_close(p);
	if (failed && (why.code == ERR_CORRUPT || why.code == ERR_NOTFOUND ||
			  why.code == ERR_UNSUPPORTED)) {
		gc->report.packs_bad++;
		return 0;
	}
	if (failed) {
		*err = why;
		return -1;
	}
	to = gc_marks_pack(gc->marks, known->no);
	to->sequence = known->sequence;
	gc->report.packs++;
	gc->report.bytes_total += to->stored;
	return 0;
}

static int
add_packs(struct store_gc *gc, struct err *err)
{
	struct catalog_sealed page[64];
	uint32_t after = 0, n = 64;

	while (n == 64) {
		if (catalog_packs_sealed(gc->s->catalog, after, page, 64, &n, err) != 0)
			return -1;
		for (uint32_t i = 0; i < n; i++) {
			after = page[i].no;
			if (add_pack(gc, &page[i], err) != 0)
				return -1;
		}
	}
	return gc_marks_ready(gc->marks, err);
}

/* What recovery left out of a pack nobody can name; it may still be found in it. */
static int
note_unnamed(struct store_gc *gc, struct err *err)
{
	struct journal_group page[64], last;
	const struct journal_group *after = NULL;
	uint32_t n = 64;

	while (n == 64) {
		if (catalog_quarantined(gc->s->catalog, after, page, 64, &n, err) != 0)
			return -1;
		for (uint32_t i = 0; i < n; i++) {
			struct gc_pack *p = gc_marks_pack(gc->marks, page[i].pack);

			if (page[i].offset != 0 || p == NULL)
				continue;
			gc->report.packs_bad += p->damaged == 0;
			p->damaged = 1;
		}
		if (n > 0) {
			last = page[n - 1];
			after = &last;
		}
	}
	return 0;
}

/*
 * From here on HAVE marks.  A pack that was sealed after the oldest open lease began
 * may hold what that put and nobody committed yet: it is no candidate.  All that is
 * sealed later has no marks at all.
 */
static int
start_marking(struct store_gc *gc, struct err *err)
{
	struct store *s = gc->s;
	struct catalog_lease oldest;
	uint32_t n, n_packs;
	struct gc_pack *p = gc_marks_packs(gc->marks, &n_packs);
	int ret;

	(void)store_gate_alone(s, 0);
	ret = catalog_leases_all(s->catalog, 0, &oldest, 1, &n, err);
	if (n == 0 || !GC_HOLDS(GC_YOUNG_STAYS))
		oldest.id = UINT64_MAX;
	for (uint32_t i = 0; ret == 0 && i < n_packs; i++) {
		p[i].candidate = p[i].sequence < oldest.id;
		gc->report.packs_young += !p[i].candidate;
	}
	if (ret == 0) {
		gc->epoch = ++s->epoch;
		s->marks = gc->marks;
	}
	store_gate_leave(s);
	return ret;
}

static int
make(struct store_gc *gc, struct err *err)
{
	gc->marks = gc_marks_new();
	gc->page = malloc(GC_POINTS_AT_ONCE * sizeof(*gc->page));
	gc->seen = store_nodes_new(GC_SEEN_MAX);
	gc->seen_roots = store_nodes_new(UINT32_MAX);
	if (gc->marks == NULL || gc->page == NULL || gc->seen == NULL ||
	    gc->seen_roots == NULL)
		return err_set(err, ERR_NOMEM, "no memory to collect");
	gc->node.max = CHUNK_META_MAX;
	gc->group.max = gc->encoded.max = GROUP_LEN_MAX;
	/* Before anything is looked at: what is found bad from now on is noticed. */
	gc->quarantines = atomic_load(&gc->s->quarantines);
	if (revoke_old(gc, err) != 0 || copy_bad(gc, err) != 0 ||
	    add_packs(gc, err) != 0 || note_unnamed(gc, err) != 0)
		return -1;
	return start_marking(gc, err);
}

int
store_gc_begin(struct store *s, const struct store_gc_config *config,
    struct store_gc **out, struct err *err)
{
	struct store_gc *gc;
	int free_now = 0;

	if (s->read_only && (config == NULL || !config->dry_run))
		return err_set(err, ERR_DENIED, "the store is open read-only");
	if (!atomic_compare_exchange_strong(&s->collecting, &free_now, 1))
		return err_set(err, ERR_BUSY, "the store is being collected already");
	if ((gc = calloc(1, sizeof(*gc))) == NULL) {
		atomic_store(&s->collecting, 0);
		return err_set(err, ERR_NOMEM, "no memory to collect");
	}
	gc->s = s;
	if (config != NULL)
		gc->config = *config;
	if (gc->config.max_dead <= 0)
		gc->config.max_dead = STORE_GC_MAX_DEAD;
	if (gc->config.nodes_per_step == 0)
		gc->config.nodes_per_step = NODES_PER_STEP;
	for (const struct store_condemned *c = s->condemned; c != NULL; c = c->next)
		gc->report.packs_condemned++;
	if (!gc->config.dry_run)
		store_space_lend(s);
	if (make(gc, err) != 0) {
		store_gc_end(gc);
		return -1;
	}
	gc_cycle_list(gc);
	*out = gc;
	return 0;
}

void
store_gc_end(struct store_gc *gc)
{
	if (gc == NULL)
		return;
	(void)store_gate_alone(gc->s, 0);
	gc->s->marks = NULL;
	store_gate_leave(gc->s);
	gc_cycle_write_end(gc);
	gc_marks_free(gc->marks);
	store_nodes_free(gc->seen);
	store_nodes_free(gc->seen_roots);
	buf_free(&gc->node);
	free(gc->page);
	free(gc->roots);
	free(gc->stack);
	free(gc->bad);
	free(gc->copies);
	atomic_store(&gc->s->collecting, 0);
	free(gc);
}

int
store_finish_removal(struct store *s, uint32_t no, struct err *err)
{
	int gone = catalog_removed(s->catalog, no, err);

	if (gone > 0 && pack_remove(s->fs, no, err) != 0)
		return -1;
	return gone;
}

/* ------------------------------------------------------------------- stepping -- */

const struct store_gc_report *
store_gc_now(const struct store_gc *gc)
{
	return &gc->report;
}

/* All is marked: what is dead, and what of it would go. */
static void
sum_up(struct store_gc *gc)
{
	uint32_t n;
	const struct gc_pack *p = gc_marks_packs(gc->marks, &n);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t dead = gc_cycle_dead(gc, &p[i]);

		gc->report.bytes_dead += dead;
		if (!gc->config.dry_run || !p[i].candidate || p[i].damaged)
			continue;
		if (gc_marks_count(gc->marks, &p[i]) > 0 && !gc_cycle_worth(gc, &p[i]))
			continue;
		if (gc_cycle_pinned(gc, p[i].no))
			gc->report.packs_pinned++;
		else
			gc->report.bytes_freed += dead;
	}
}

static int
step_marking(struct store_gc *gc, struct err *err)
{
	int ret = gc_cycle_mark(gc, gc->config.nodes_per_step, err);

	if (ret <= 0)
		return ret;
	if (gc->closing) {
		gc->state = STORE_GC_CONDEMNING;
		return 0;
	}
	sum_up(gc);
	gc->state = gc->config.dry_run ? STORE_GC_DONE : STORE_GC_REWRITING;
	return 0;
}

static int
step(struct store_gc *gc, struct err *err)
{
	int ret;

	/* What lives was decided on what has changed since. */
	if (gc->state <= STORE_GC_CONDEMNING && GC_HOLDS(GC_QUARANTINE_ENDS) &&
	    atomic_load(&gc->s->quarantines) != gc->quarantines)
		return err_set(
		    err, ERR_CANCELED, "something was quarantined since marking began");
	switch (gc->state) {
	case STORE_GC_MARKING:
		return step_marking(gc, err);
	case STORE_GC_REWRITING:
		if ((ret = gc_cycle_write(gc, err)) > 0) {
			gc_cycle_write_end(gc);
			gc->closing = 1;
			gc->state = STORE_GC_CONDEMNING;
		}
		return ret < 0 ? -1 : 0;
	case STORE_GC_CONDEMNING:
		if ((ret = gc_cycle_condemn(gc, err)) > 0)
			gc->state = STORE_GC_SWEEPING;
		else if (ret == 0 && gc->listing)
			gc->state = STORE_GC_MARKING;
		return ret < 0 ? -1 : 0;
	case STORE_GC_SWEEPING:
	case STORE_GC_WAITING:
		return gc_cycle_sweep(gc, err);
	case STORE_GC_DONE:
		break;
	}
	return 0;
}

int
store_gc_step(struct store_gc *gc, enum store_gc_state *state, struct err *err)
{
	int ret;

	if (gc->failed)
		return err_set(err, ERR_CANCELED, "this cycle has failed");
	if ((ret = step(gc, err)) != 0)
		gc->failed = 1;
	gc->report.state = *state = gc->state;
	return ret;
}

/* -------------------------------------------------------------------- driving -- */

static uint64_t
steady_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
sleep_us(uint64_t us)
{
	struct timespec t = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

	(void)nanosleep(&t, NULL);
}

#define TELL_US 50000u

/* A run of store_gc(). */
struct run {
	struct store_gc *gc;
	int (*tell)(void *arg, const struct store_gc_report *r);
	void *arg;
	uint64_t began, told, waiting; /* When; 0: not waiting. */
};

static int
tell(struct run *r, struct err *err)
{
	uint64_t now = steady_us();

	if (r->tell == NULL || now - r->told < TELL_US)
		return 0;
	r->told = now;
	if (r->tell(r->arg, &r->gc->report) == 0)
		return 0;
	return err_set(err, ERR_CANCELED, "collecting was stopped");
}

/* Hold the rate. */
static int
hold_back(struct run *r, struct err *err)
{
	const struct store_gc_report *now = &r->gc->report;
	uint64_t rate = r->gc->config.max_rate, due, since;

	while (rate > 0) {
		due = (uint64_t)((double)(now->bytes_read + now->bytes_rewritten) /
				 (double)rate * 1e6);
		since = steady_us() - r->began;
		if (since >= due)
			break;
		sleep_us(due - since < TELL_US ? due - since : TELL_US);
		if (tell(r, err) != 0)
			return -1;
	}
	return tell(r, err);
}

/* Is it time to give up waiting for leases? */
static int
waited(struct run *r)
{
	uint64_t now = steady_us();

	if (r->waiting == 0)
		r->waiting = now;
	if (now - r->waiting >= (uint64_t)r->gc->config.wait_ms * 1000)
		return 1;
	sleep_us(TELL_US);
	return 0;
}

int
store_gc(struct store *s, const struct store_gc_config *config,
    int (*hear)(void *arg, const struct store_gc_report *r), void *arg,
    struct store_gc_report *report, struct err *err)
{
	struct run r = { .tell = hear, .arg = arg };
	enum store_gc_state state = STORE_GC_MARKING;
	int ret;

	memset(report, 0, sizeof(*report));
	if (store_gc_begin(s, config, &r.gc, err) != 0)
		return -1;
	r.began = r.told = steady_us();
	do {
		ret = store_gc_step(r.gc, &state, err);
		if (ret == 0)
			ret = hold_back(&r, err);
		if (ret == 0 && state == STORE_GC_WAITING && waited(&r))
			break;
	} while (ret == 0 && state != STORE_GC_DONE);
	*report = *store_gc_now(r.gc);
	store_gc_end(r.gc);
	return ret;
}
