#include "storage/index.h"

#include <stdlib.h>
#include <string.h>

#include "storage/index_run.h"
#include "storage/index_work.h"

/* Ids looked up under one reference to a view. */
#define SLICE 256u
#define PREFETCH 8u

/* ---------------------------------------------------------------- adding -- */

/* Wait for room, and know the packs of `entries`; `lock` is held. */
static int
admit(struct index *ix, const struct pack_entry *entries, size_t n, struct err *err)
{
	uint64_t failures = ix->failures;

	while (ix->frozen != NULL && ix->active->count >= 2 * ix->config.mem_entries) {
		if (ix->failures != failures) {
			*err = ix->err;
			return -1;
		}
		(void)pthread_cond_wait(&ix->moved, &ix->lock);
	}
	for (size_t i = 0; i < n; i++) {
		struct index_open_pack *p;

		if ((i > 0 && entries[i].loc.pack == entries[i - 1].loc.pack) ||
		    index_work_open_pack(ix, entries[i].loc.pack) != NULL)
			continue;
		if (ix->n_open == ix->open_cap) {
			uint32_t cap = ix->open_cap != 0 ? 2 * ix->open_cap : 8;

			if ((p = realloc(ix->open, cap * sizeof(*p))) == NULL)
				return err_set(
				    err, ERR_NOMEM, "no memory for open packs");
			ix->open = p;
			ix->open_cap = cap;
		}
		ix->open[ix->n_open].pack = entries[i].loc.pack;
		ix->open[ix->n_open++].count = 0;
	}
	return 0;
}

int
index_add(struct index *ix, const struct pack_entry *entries, size_t n, struct err *err)
{
	struct err ignored = ERR_INIT;
	uint8_t e[INDEX_ENTRY_LEN];
	struct index_open_pack *o = NULL;
	int ret;

	(void)pthread_mutex_lock(&ix->lock);
	ret = admit(ix, entries, n, err) != 0 || index_work_reserve(ix, n, err) != 0 ? -1
										     : 0;
	for (size_t i = 0; ret == 0 && i < n;) {
		size_t end = n - i < INDEX_HOLD ? n : i + INDEX_HOLD;

		index_work_hold(ix);
		for (; i < end; i++) {
			if (o == NULL || o->pack != entries[i].loc.pack)
				o = index_work_open_pack(ix, entries[i].loc.pack);
			index_run_encode(&entries[i], e);
			o->count += (uint32_t)index_table_add(ix->active, e);
		}
		index_work_let_go(ix);
	}
	/* Without memory for another table this one just grows. */
	if (ret == 0 && index_work_due(ix))
		(void)index_work_freeze(ix, &ignored);
	(void)pthread_mutex_unlock(&ix->lock);
	return ret;
}

void
index_pack_done(struct index *ix, uint32_t no)
{
	struct err ignored = ERR_INIT;
	struct index_open_pack *o;

	(void)pthread_mutex_lock(&ix->lock);
	/* Without memory it stays open: the next opening reads its footer. */
	if (index_work_push(&ix->done, no, &ignored) == 0) {
		if ((o = index_work_open_pack(ix, no)) != NULL) {
			ix->ready += o->count;
			*o = ix->open[--ix->n_open];
		}
		if (index_work_due(ix))
			(void)index_work_freeze(ix, &ignored);
	}
	(void)pthread_mutex_unlock(&ix->lock);
}

/* --------------------------------------------------------------- looking -- */

static void
take_hit(const struct pack_entry *e, struct index_hit *hit)
{
	hit->loc = e->loc;
	hit->len = e->len;
	hit->kind = e->kind;
}

/* Look in the tables; `misses` gets the numbers of ids not found there. */
static struct index_view *
look_in_tables(struct index *ix, const struct chunk_id *ids, uint32_t n,
    struct index_hit *hits, uint32_t *misses, uint32_t *n_misses)
{
	struct index_view *v;
	struct pack_entry e;

	*n_misses = 0;
	(void)pthread_rwlock_rdlock(&ix->tables);
	v = index_view_ref(ix->view);
	for (uint32_t i = 0; i < n && i < PREFETCH; i++)
		index_table_prefetch(ix->active, &ids[i]);
	for (uint32_t i = 0; i < n; i++) {
		if (i + PREFETCH < n)
			index_table_prefetch(ix->active, &ids[i + PREFETCH]);
		if (index_table_find(ix->active, &ids[i], index_view_mem_usable, v, &e) ||
		    (ix->frozen != NULL && index_table_find(ix->frozen, &ids[i],
					       index_view_mem_usable, v, &e)))
			take_hit(&e, &hits[i]);
		else
			misses[(*n_misses)++] = i;
	}
	(void)pthread_rwlock_unlock(&ix->tables);
	return v;
}

/* Look in one run for what is still missing; shortens `misses`. */
static int
look_in_run(const struct index_view *v, const struct index_run *r,
    const struct chunk_id *ids, struct index_hit *hits, uint32_t *misses,
    uint32_t *n_misses, struct err *err)
{
	uint32_t n = *n_misses, out = 0;
	struct pack_entry e;
	int found;

	for (uint32_t k = 0; k < n && k < PREFETCH; k++)
		__builtin_prefetch(
		    index_run_filter_line(r->filter, r->f.lines, ids[misses[k]].b));
	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = misses[k];

		if (k + PREFETCH < n)
			__builtin_prefetch(index_run_filter_line(
			    r->filter, r->f.lines, ids[misses[k + PREFETCH]].b));
		found = index_run_filter_has(
		    index_run_filter_line(r->filter, r->f.lines, ids[i].b), ids[i].b);
		if (found)
			found =
			    index_run_find(r, &ids[i], index_view_run_usable, v, &e, err);
		if (found < 0)
			return -1;
		if (found)
			take_hit(&e, &hits[i]);
		else
			misses[out++] = i;
	}
	*n_misses = out;
	return 0;
}

int
index_lookup(struct index *ix, const struct chunk_id *ids, size_t n,
    struct index_hit *hits, struct err *err)
{
	uint32_t misses[SLICE], n_misses;
	int bad = 0;

	memset(hits, 0, n * sizeof(*hits));
	for (size_t at = 0; !bad && at < n; at += SLICE) {
		uint32_t len = n - at < SLICE ? (uint32_t)(n - at) : SLICE;
		struct index_view *v =
		    look_in_tables(ix, ids + at, len, hits + at, misses, &n_misses);

		for (uint32_t r = v->n_runs; !bad && n_misses > 0 && r-- > 0;)
			bad = look_in_run(
			    v, v->runs[r], ids + at, hits + at, misses, &n_misses, err);
		index_view_unref(v);
	}
	if (bad) {
		index_work_distrust(ix, err);
		(void)err_context(err, "the index is damaged, a restart makes it anew");
	}
	return bad;
}

int
index_check(struct index *ix, struct err *err)
{
	struct index_view *v = index_work_view(ix);
	struct index_run_reader rd;
	const uint8_t *entry;
	int bad = 0;

	for (uint32_t r = 0; !bad && r < v->n_runs; r++) {
		if (index_run_reader_open(&rd, v->runs[r], err) != 0) {
			bad = -1;
			break;
		}
		do
			bad = index_run_reader_next(&rd, &entry, err);
		while (!bad && entry != NULL);
		index_run_reader_close(&rd);
	}
	index_view_unref(v);
	if (bad)
		index_work_distrust(ix, err);
	return bad;
}

/* --------------------------------------------------- writing out, and figures -- */

int
index_flush(struct index *ix, struct err *err)
{
	uint64_t failures;
	int ret = 0;

	(void)pthread_mutex_lock(&ix->lock);
	failures = ix->failures;
	for (int round = 0; ret == 0 && round < 2; round++) {
		if (round == 1 && ix->done.n > 0)
			ret = index_work_freeze(ix, err);
		while (ret == 0 && ix->frozen != NULL) {
			(void)pthread_cond_signal(&ix->work);
			(void)pthread_cond_wait(&ix->moved, &ix->lock);
			if (ix->frozen != NULL && ix->failures != failures) {
				*err = ix->err;
				ret = -1;
			}
		}
	}
	(void)pthread_mutex_unlock(&ix->lock);
	return ret;
}

int
index_settle(struct index *ix, struct err *err)
{
	uint64_t failures;
	int ret = 0;

	(void)pthread_mutex_lock(&ix->lock);
	failures = ix->failures;
	while (ret == 0 && (ix->frozen != NULL || ix->merging ||
			       (!atomic_load(&ix->distrusted) &&
				   index_work_pick(ix, ix->view, NULL) > 0))) {
		(void)pthread_cond_signal(&ix->work);
		(void)pthread_cond_wait(&ix->moved, &ix->lock);
		if (ix->failures != failures) {
			*err = ix->err;
			ret = -1;
		}
	}
	(void)pthread_mutex_unlock(&ix->lock);
	return ret;
}

int
index_next_bad(struct index *ix, struct index_bad_group *after)
{
	struct index_view *v;
	int found = 0;

	(void)pthread_mutex_lock(&ix->lock);
	v = index_view_ref(ix->view);
	(void)pthread_mutex_unlock(&ix->lock);
	for (uint32_t i = 0; !found && i < v->n_bad; i++)
		if (v->bad[i].pack > after->pack ||
		    (v->bad[i].pack == after->pack && v->bad[i].offset > after->offset)) {
			after->pack = v->bad[i].pack;
			after->offset = v->bad[i].offset;
			found = 1;
		}
	index_view_unref(v);
	return found;
}

void
index_stats(struct index *ix, struct index_stats *out)
{
	struct index_view *v;

	memset(out, 0, sizeof(*out));
	(void)pthread_mutex_lock(&ix->lock);
	(void)pthread_rwlock_rdlock(&ix->tables);
	v = index_view_ref(ix->view);
	out->mem_entries = ix->active->count;
	out->ram = index_table_ram(ix->active);
	if (ix->frozen != NULL) {
		out->mem_entries += ix->frozen->count;
		out->ram += index_table_ram(ix->frozen);
	}
	(void)pthread_rwlock_unlock(&ix->tables);
	out->flushes = ix->flushes;
	out->merges = ix->merges;
	out->most_held = ix->most_held;
	(void)pthread_mutex_unlock(&ix->lock);
	out->entries = out->mem_entries;
	out->runs = v->n_runs;
	out->quarantined = v->n_bad;
	for (uint32_t i = 0; i < v->n_runs; i++) {
		out->entries += v->runs[i]->f.entries;
		out->ram += index_run_ram(v->runs[i]);
		out->disk += index_run_disk(v->runs[i]);
	}
	for (uint32_t i = 0; i < v->covered.n; i++)
		out->packs += v->covered.r[i].last - v->covered.r[i].first + 1;
	out->ram += index_view_ram(v);
	index_view_unref(v);
}
