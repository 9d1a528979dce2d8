#include "storage/gc_cycle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/gc_mutant.h"
#include "storage/index.h"
#include "storage/store_reader.h"

/* ---------------------------------------------------------------- condemning -- */

int
gc_cycle_condemned(const struct store *s, uint32_t no)
{
	const struct store_condemned *c;

	for (c = s->condemned; c != NULL && c->no != no; c = c->next)
		continue;
	return c != NULL;
}

/* May the pack go?  The gate is held alone, so nothing is marked meanwhile. */
static int
may_go(struct store_gc *gc, const struct gc_pack *p)
{
	uint32_t live = gc_marks_count(gc->marks, p);

	if (!p->candidate || p->damaged)
		return 0;
	if (live == 0)
		return 1;
	return p->rewritten == GC_COPIED &&
	       (live == p->live_then || !GC_HOLDS(GC_GROWN_STAYS));
}

/*
 * A lease of this cycle was told of chunks in a pack that was rewritten.  They lie in
 * the copies now, whose packs the cycles to come must leave alone for it.
 */
static int
move_pins(struct store_gc *gc, uint32_t no, struct err *err)
{
	struct store *s = gc->s;
	int failed = 0;

	if (!GC_HOLDS(GC_PINS_MOVE))
		return 0;
	pthread_mutex_lock(&s->leases_lock);
	for (struct store_lease *l = s->leases; !failed && l != NULL; l = l->next) {
		pthread_mutex_lock(&l->pins_lock);
		if (pack_set_has(&l->pins, no))
			for (size_t i = 0; !failed && i < gc->n_copies; i++)
				failed = pack_set_add(&l->pins, gc->copies[i], err) != 0;
		pthread_mutex_unlock(&l->pins_lock);
	}
	pthread_mutex_unlock(&s->leases_lock);
	return failed ? -1 : 0;
}

/* Choose what goes: numbers, and an entry for each; -1, then nothing was done. */
static int
choose(struct store_gc *gc, uint32_t **nos, size_t *n, struct store_condemned **list,
    struct err *err)
{
	uint32_t n_packs;
	struct gc_pack *p = gc_marks_packs(gc->marks, &n_packs);
	struct store_condemned *c;

	*n = 0;
	*list = NULL;
	gc->report.packs_pinned = 0;
	if ((*nos = malloc(((size_t)n_packs + 1) * sizeof(**nos))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to condemn packs");
	for (uint32_t i = 0; i < n_packs; i++) {
		if (!may_go(gc, &p[i]))
			continue;
		if (gc_cycle_pinned(gc, p[i].no)) {
			gc->report.packs_pinned++;
			continue;
		}
		if (p[i].rewritten == GC_COPIED && move_pins(gc, p[i].no, err) != 0)
			return -1;
		if ((c = calloc(1, sizeof(*c))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory to condemn packs");
		gc->report.packs_rewritten += p[i].rewritten == GC_COPIED;
		c->no = p[i].no;
		c->stored = p[i].stored;
		c->quarantines = atomic_load(&gc->s->quarantines);
		c->next = *list;
		*list = c;
		(*nos)[(*n)++] = p[i].no;
	}
	return 0;
}

static void
free_list(struct store_condemned *c)
{
	struct store_condemned *next;

	for (; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
}

/* The gate is held alone. */
static int
condemn(struct store_gc *gc, struct err *err)
{
	struct store_condemned *list, **end;
	struct store *s = gc->s;
	uint32_t *nos;
	size_t n;

	if (choose(gc, &nos, &n, &list, err) != 0 ||
	    (n > 0 && index_forget_packs(s->index, nos, n, err) != 0)) {
		free_list(list);
		free(nos);
		return -1;
	}
	free(nos);
	/* After the index: who reads the new number sees the new index. */
	if (n > 0) {
		atomic_fetch_add(&s->condemnations, 1);
		s->epoch++;
	}
	for (struct store_condemned *c = list; c != NULL; c = c->next)
		c->epoch = s->epoch;
	for (end = &s->condemned; *end != NULL; end = &(*end)->next)
		continue;
	*end = list;
	gc->report.packs_condemned += (uint32_t)n;
	s->marks = NULL;
	return 1;
}

/* Mark under the gate what keeps coming: after this many rounds all else waits. */
static int
mark_rest(struct store_gc *gc, struct err *err)
{
	int ret;

	gc_cycle_list(gc);
	while ((ret = gc_cycle_mark(gc, 64, err)) == 0)
		continue;
	return ret < 0 ? -1 : 0;
}

int
gc_cycle_condemn(struct store_gc *gc, struct err *err)
{
	struct store *s = gc->s;
	int ret;

	if (store_gate_alone(s, gc->config.no_wait) != 0)
		return 0;
	if (atomic_load(&s->quarantines) != gc->quarantines &&
	    GC_HOLDS(GC_QUARANTINE_ENDS)) {
		store_gate_leave(s);
		return err_set(
		    err, ERR_CANCELED, "something was quarantined since marking began");
	}
	ret = gc_cycle_new_roots(gc, err);
	if (ret > 0 && ++gc->rounds > GC_ROUNDS_MAX)
		ret = mark_rest(gc, err);
	else if (ret > 0)
		gc_cycle_list(gc);
	if (ret == 0)
		ret = condemn(gc, err);
	else if (ret > 0)
		ret = 0;
	store_gate_leave(s);
	return ret;
}

/* ------------------------------------------------------------------ sweeping -- */

/* The oldest live lease from before the pack was condemned, into the report. */
static int
is_held(struct store_gc *gc, const struct store_condemned *c)
{
	struct store *s = gc->s;
	const struct store_lease *oldest = NULL;

	if (!GC_HOLDS(GC_SWEEP_WAITS))
		return 0;
	pthread_mutex_lock(&s->leases_lock);
	for (const struct store_lease *l = s->leases; l != NULL; l = l->next)
		if (l->born < c->epoch && !atomic_load(&l->revoked) &&
		    (oldest == NULL || l->opened_us < oldest->opened_us))
			oldest = l;
	if (oldest != NULL) {
		gc->report.waiting_lease = oldest->id;
		gc->report.waiting_purpose = oldest->purpose;
		(void)snprintf(gc->report.waiting_host, sizeof(gc->report.waiting_host),
		    "%s", oldest->host);
	}
	pthread_mutex_unlock(&s->leases_lock);
	return oldest != NULL;
}

static int
record_removed(struct store *s, uint32_t no, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_REMOVED;
	e->u.removed = no;
	ret = store_record(s, e, NULL, err);
	free(e);
	return ret;
}

/* Once it is recorded it goes, now or when the store is opened. */
static int
remove_pack(struct store_gc *gc, uint32_t no, struct err *err)
{
	struct store *s = gc->s;

	if (!GC_HOLDS(GC_RECORD_FIRST) && pack_remove(s->fs, no, err) != 0)
		return -1;
	store_pause(s, STORE_PAUSE_REMOVE);
	if (record_removed(s, no, err) != 0)
		return -1;
	store_reader_forget(s->reader, no);
	store_forget_bad(s, no);
	return pack_remove(s->fs, no, err);
}

/*
 * Put a pack back into the index.  What is damaged comes back as far as it is whole,
 * and what is gone does not: in neither case would it help to try again.
 */
static int
recall(struct store_gc *gc, uint32_t no, struct err *err)
{
	if (index_remember_pack(gc->s->index, no, err) == 0)
		return 0;
	if (err->code != ERR_CORRUPT && err->code != ERR_NOTFOUND)
		return -1;
	err_clear(err);
	return 0;
}

/* One pack goes or comes back.  `leaving` is held. */
static int
sweep(struct store_gc *gc, struct err *err)
{
	struct store *s = gc->s;
	struct store_condemned **link, *c;
	int changed, ret;

	gc->report.waiting_lease = 0;
	for (link = &s->condemned; (c = *link) != NULL; link = &c->next) {
		changed = c->quarantines != atomic_load(&s->quarantines) &&
			  GC_HOLDS(GC_QUARANTINE_KEEPS);
		if (!changed && is_held(gc, c))
			continue;
		if (changed && recall(gc, c->no, err) != 0)
			return -1;
		gc->state = STORE_GC_SWEEPING;
		*link = c->next;
		gc->report.packs_condemned--;
		if (changed) {
			gc->report.packs_recalled++;
			free(c);
			return 0;
		}
		ret = remove_pack(gc, c->no, err);
		if (ret == 0) {
			gc->report.packs_removed++;
			gc->report.bytes_freed += c->stored;
		}
		free(c);
		return ret;
	}
	gc->state = s->condemned != NULL ? STORE_GC_WAITING : STORE_GC_DONE;
	return 0;
}

int
gc_cycle_sweep(struct store_gc *gc, struct err *err)
{
	int ret;

	pthread_mutex_lock(&gc->s->leaving);
	ret = sweep(gc, err);
	pthread_mutex_unlock(&gc->s->leaving);
	return ret;
}
