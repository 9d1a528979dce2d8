#include "storage/index.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "storage/fs.h"
#include "storage/index_run.h"
#include "storage/index_work.h"

#define MEM_ENTRIES (1u << 18)
#define FAN_IN 4u

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
	if ((ret = admit(ix, entries, n, err)) == 0) {
		(void)pthread_rwlock_wrlock(&ix->tables);
		ret = index_table_reserve(ix->active, n, err);
		for (size_t i = 0; ret == 0 && i < n; i++) {
			if (o == NULL || o->pack != entries[i].loc.pack)
				o = index_work_open_pack(ix, entries[i].loc.pack);
			index_run_encode(&entries[i], e);
			o->count += (uint32_t)index_table_add(ix->active, e);
		}
		(void)pthread_rwlock_unlock(&ix->tables);
		/* Without memory for another table this one just grows. */
		if (ret == 0 && index_work_due(ix))
			(void)index_work_freeze(ix, &ignored);
	}
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
	if (bad)
		index_work_distrust(ix, err);
	return bad;
}

/* -------------------------------------------------------------- changing -- */

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

/* Change a copy of the view, make it durable, and use it. */
static int
change_view(struct index *ix,
    int (*change)(struct index_view *v, uint32_t no, uint32_t offset, struct err *err),
    uint32_t no, uint32_t offset, struct err *err)
{
	struct index_view *v;
	int ret = -1;

	(void)pthread_mutex_lock(&ix->install);
	if ((v = index_view_copy(ix->view)) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a view of the index");
		goto done;
	}
	(void)pthread_mutex_lock(&ix->lock);
	v->next_run = ix->next_run;
	(void)pthread_mutex_unlock(&ix->lock);
	if (change(v, no, offset, err) != 0 || index_work_manifest(ix, v, err) != 0) {
		index_view_unref(v);
		goto done;
	}
	index_work_swap(ix, v);
	ret = 0;
done:
	(void)pthread_mutex_unlock(&ix->install);
	return ret;
}

static int
forget(struct index_view *v, uint32_t no, uint32_t offset, struct err *err)
{
	(void)offset;
	if (index_view_insert(&v->gone, no, err) != 0)
		return -1;
	return index_view_remove(&v->covered, no, err);
}

static int
condemn(struct index_view *v, uint32_t no, uint32_t offset, struct err *err)
{
	return index_view_set_bad(v, no, offset, 1, err);
}

static int
absolve(struct index_view *v, uint32_t no, uint32_t offset, struct err *err)
{
	return index_view_set_bad(v, no, offset, 0, err);
}

int
index_forget_pack(struct index *ix, uint32_t no, struct err *err)
{
	return change_view(ix, forget, no, 0, err);
}

int
index_quarantine(struct index *ix, uint32_t no, uint32_t offset, struct err *err)
{
	return change_view(ix, condemn, no, offset, err);
}

int
index_release(struct index *ix, uint32_t no, uint32_t offset, struct err *err)
{
	return change_view(ix, absolve, no, offset, err);
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
	index_view_unref(v);
}

/* ---------------------------------------------------- opening and closing -- */

/* Stop the thread and free everything. */
static void
tear_down(struct index *ix)
{
	if (ix->started) {
		(void)pthread_mutex_lock(&ix->lock);
		ix->stop = 1;
		(void)pthread_cond_signal(&ix->work);
		(void)pthread_mutex_unlock(&ix->lock);
		(void)pthread_join(ix->thread, NULL);
	}
	index_table_free(ix->active);
	index_table_free(ix->frozen);
	index_view_unref(ix->view);
	free(ix->open);
	free(ix->done.p);
	free(ix->frozen_done.p);
	free(ix->frozen_open.p);
	(void)pthread_cond_destroy(&ix->work);
	(void)pthread_cond_destroy(&ix->moved);
	(void)pthread_rwlock_destroy(&ix->tables);
	(void)pthread_mutex_destroy(&ix->lock);
	(void)pthread_mutex_destroy(&ix->install);
	free(ix);
}

void
index_close(struct index *ix)
{
	struct err ignored = ERR_INIT;

	if (ix == NULL)
		return;
	/* What cannot be written now is read from footers at the next opening. */
	(void)index_flush(ix, &ignored);
	tear_down(ix);
}

static struct index *
make(struct fs *fs, const struct index_config *config)
{
	struct index *ix = calloc(1, sizeof(*ix));
	pthread_rwlockattr_t fair;
	pthread_condattr_t steady;

	if (ix == NULL)
		return NULL;
	ix->fs = fs;
	ix->config = *config;
	if (ix->config.mem_entries == 0)
		ix->config.mem_entries = MEM_ENTRIES;
	if (ix->config.mem_entries > INDEX_TABLE_MAX / 4)
		ix->config.mem_entries = INDEX_TABLE_MAX / 4;
	if (ix->config.fan_in < 2)
		ix->config.fan_in = ix->config.fan_in == 0 ? FAN_IN : 2;
	ix->next_run = 1;
	atomic_init(&ix->distrusted, 0);
	(void)pthread_condattr_init(&steady);
	(void)pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
	(void)pthread_rwlockattr_init(&fair);
	/* A stream of look-ups must not keep writers out. */
	(void)pthread_rwlockattr_setkind_np(
	    &fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	if (pthread_mutex_init(&ix->install, NULL) != 0 ||
	    pthread_mutex_init(&ix->lock, NULL) != 0 ||
	    pthread_cond_init(&ix->work, &steady) != 0 ||
	    pthread_cond_init(&ix->moved, NULL) != 0 ||
	    pthread_rwlock_init(&ix->tables, &fair) != 0)
		abort(); /* Cannot happen with these attributes. */
	(void)pthread_rwlockattr_destroy(&fair);
	(void)pthread_condattr_destroy(&steady);
	ix->active = index_table_new();
	ix->view = index_view_new();
	if (ix->active == NULL || ix->view == NULL) {
		tear_down(ix);
		return NULL;
	}
	return ix;
}

/* Read manifest and runs into the view.  1; 0 with `err` if they are unusable; -1. */
static int
load(struct index *ix, struct err *err)
{
	struct buf b = BUF_INIT(INDEX_MANIFEST_MAX);
	struct index_manifest m;
	struct index_view *v = ix->view;
	int ret = -1;

	memset(&m, 0, sizeof(m));
	if (fs_slurp(ix->fs, INDEX_MANIFEST, &b, err) != 0 ||
	    index_view_parse(b.p, b.len, &m, err) != 0)
		goto done;
	if (memcmp(m.store, ix->config.store, PACK_STORE_ID_LEN) != 0) {
		(void)err_set(err, ERR_CORRUPT, "the index is of another store");
		goto done;
	}
	/* The quarantine is worth keeping whatever the rest is. */
	ix->next_run = v->next_run = m.next_run;
	v->bad = m.bad;
	v->n_bad = m.n_bad;
	m.bad = NULL;
	if (ix->config.rebuild || m.damaged) {
		(void)err_set(err, ERR_CANCELED,
		    m.damaged ? "a run was found damaged" : "a rebuild was asked for");
		goto done;
	}
	for (uint32_t i = 0; i < m.n_runs; i++) {
		if (index_run_open(
			ix->fs, m.runs[i], m.store, &v->runs[v->n_runs], err) != 0)
			goto done;
		v->n_runs++;
		if (v->runs[i]->f.entries != m.entries[i]) {
			(void)err_set(err, ERR_CORRUPT,
			    "run %08x has not the entries it should",
			    (unsigned)m.runs[i]);
			goto done;
		}
	}
	v->covered = m.covered;
	m.covered.r = NULL;
	ret = 1;
done:
	if (ret != 1)
		ret = err->code == ERR_NOMEM ? -1 : 0;
	index_view_free_manifest(&m);
	buf_free(&b);
	return ret;
}

/* Start from nothing but the quarantine: a durable manifest without runs. */
static int
start_over(struct index *ix, struct err *err)
{
	struct index_view *v = index_view_new();

	if (v == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a view of the index");
	v->next_run = ix->next_run;
	v->bad = ix->view->bad;
	v->n_bad = ix->view->n_bad;
	ix->view->bad = NULL;
	index_view_unref(ix->view);
	ix->view = v;
	return index_work_manifest(ix, ix->view, err);
}

/* Remove a run that the manifest does not name, and other leftovers. */
static int
sweep_one(void *arg, const char *name)
{
	struct index *ix = arg;
	struct err ignored = ERR_INIT;
	char full[FS_NAME_MAX + 16], run[FS_NAME_MAX];

	(void)snprintf(full, sizeof(full), INDEX_DIR "/%.60s", name);
	if (strcmp(full, INDEX_MANIFEST) == 0)
		return 0;
	for (uint32_t i = 0; i < ix->view->n_runs; i++) {
		index_run_name(ix->view->runs[i]->f.no, run);
		if (strcmp(run, full) == 0)
			return 0;
	}
	/* If it stays, it is only in the way of nobody. */
	(void)fs_unlink(ix->fs, full, &ignored);
	return 0;
}

static int
compare_numbers(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return (a > b) - (a < b);
}

/* Gathers a footer's entries into batches. */
struct batch {
	struct index *ix;
	struct pack_entry e[1024];
	size_t n;
	struct err *err;
};

static int
take_entry(void *arg, const struct pack_entry *e)
{
	struct batch *b = arg;

	b->e[b->n++] = *e;
	if (b->n < sizeof(b->e) / sizeof(b->e[0]))
		return 0;
	b->n = 0;
	return index_add(b->ix, b->e, sizeof(b->e) / sizeof(b->e[0]), b->err);
}

/* A pack's chunks into the table: by its footer, or without by its groups. */
static int
read_pack(struct batch *b, uint32_t no, struct index_opened *opened, struct err *err)
{
	struct pack_recovery walked;
	struct err why = ERR_INIT;
	struct pack *p = NULL;
	int bad = 0;

	b->n = 0;
	b->err = err;
	if (pack_open(b->ix->fs, no, b->ix->config.store, &p, &why) == 0)
		/* A bad footer is in `why`, before the first call; else `err` is set. */
		bad = pack_each_entry(p, take_entry, b, NULL, &why);
	if (why.code == ERR_CORRUPT) {
		opened->damaged++;
		opened->damaged_pack = no;
		bad = p != NULL ? pack_walk(p, take_entry, b, &walked, err) : 0;
	} else if (why.code != ERR_NONE) {
		*err = why;
		bad = -1;
	}
	pack_close(p);
	if (bad || (b->n > 0 && index_add(b->ix, b->e, b->n, err) != 0))
		return err_context(err, "pack %08x", (unsigned)no);
	/* A damaged one is read anew each time, until it is repaired. */
	if (why.code == ERR_NONE)
		index_pack_done(b->ix, no);
	return 0;
}

/* Keep of `covered` what is listed; then read what is listed and not covered. */
static int
catch_up(struct index *ix, const uint32_t *sorted, size_t n, struct index_opened *opened,
    struct err *err)
{
	struct index_packs kept = { NULL, 0, 0 };
	struct batch *b;
	int ret = -1;

	if ((b = malloc(sizeof(*b))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read footers");
	b->ix = ix;
	for (size_t i = 0; i < n; i++)
		if (index_view_has(&ix->view->covered, sorted[i]) &&
		    index_view_insert(&kept, sorted[i], err) != 0)
			goto done;
	free(ix->view->covered.r);
	ix->view->covered = kept;
	memset(&kept, 0, sizeof(kept));

	if (pthread_create(&ix->thread, NULL, index_work_main, ix) != 0) {
		(void)err_set(err, ERR_NOMEM, "cannot start the index thread");
		goto done;
	}
	ix->started = 1;
	for (size_t i = 0; i < n; i++) {
		struct index_view *v = index_work_view(ix);
		int has = index_view_has(&v->covered, sorted[i]);

		index_view_unref(v);
		if (has || (i > 0 && sorted[i] == sorted[i - 1]))
			continue;
		if (read_pack(b, sorted[i], opened, err) != 0)
			goto done;
		opened->packs_read++;
	}
	ret = 0;
done:
	free(kept.r);
	free(b);
	return ret;
}

int
index_open(struct fs *fs, const struct index_config *config, const uint32_t *packs,
    size_t n_packs, struct index **out, struct index_opened *opened, struct err *err)
{
	struct index_opened told;
	struct err why = ERR_INIT;
	uint32_t *sorted = NULL;
	struct index *ix = NULL;
	int loaded, ret = -1;

	if (opened == NULL)
		opened = &told;
	memset(opened, 0, sizeof(*opened));
	if ((ix = make(fs, config)) == NULL ||
	    (sorted = malloc((n_packs + 1) * sizeof(*sorted))) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for the index");
		goto done;
	}
	if (n_packs > 0)
		memcpy(sorted, packs, n_packs * sizeof(*sorted));
	qsort(sorted, n_packs, sizeof(*sorted), compare_numbers);

	if (fs_mkdir(fs, INDEX_DIR, err) != 0 || fs_sync_dir(fs, ".", err) != 0)
		goto done;
	if ((loaded = load(ix, &why)) < 0) {
		*err = why;
		goto done;
	}
	if (loaded != 1) {
		opened->rebuilt = 1;
		(void)snprintf(opened->why, sizeof(opened->why), "%.150s", why.text);
		if (start_over(ix, err) != 0)
			goto done;
	}
	if (fs_list(fs, INDEX_DIR, sweep_one, ix, err) != 0 ||
	    catch_up(ix, sorted, n_packs, opened, err) != 0)
		goto done;
	*out = ix;
	ix = NULL;
	ret = 0;
done:
	if (ix != NULL)
		tear_down(ix);
	free(sorted);
	return ret;
}
