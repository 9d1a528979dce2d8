#include "storage/index_work.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/buf.h"
#include "storage/fs.h"
#include "storage/index_run.h"

/* Runs of less than 4 times this share the lowest tier; each next is 4 times more. */
#define TIER_ENTRIES 256u

/* Merges look at the rate and at other work each time they wrote this much. */
#define STEP_LEN (1u << 20)

int
index_work_push(struct index_list *list, uint32_t v, struct err *err)
{
	if (list->n == list->cap) {
		uint32_t cap = list->cap != 0 ? 2 * list->cap : 16;
		uint32_t *p = realloc(list->p, cap * sizeof(*p));

		if (p == NULL)
			return err_set(err, ERR_NOMEM, "no memory for a list of packs");
		list->p = p;
		list->cap = cap;
	}
	list->p[list->n++] = v;
	return 0;
}

int
index_work_listed(const struct index_list *list, uint32_t v)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (list->p[i] == v)
			return 1;
	return 0;
}

static int
compare_numbers(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return (a > b) - (a < b);
}

size_t
index_work_sort(uint32_t *nos, size_t n)
{
	size_t left = 0;

	qsort(nos, n, sizeof(*nos), compare_numbers);
	for (size_t i = 0; i < n; i++)
		if (left == 0 || nos[i] != nos[left - 1])
			nos[left++] = nos[i];
	return left;
}

struct index_open_pack *
index_work_open_pack(struct index *ix, uint32_t pack)
{
	for (uint32_t i = 0; i < ix->n_open; i++)
		if (ix->open[i].pack == pack)
			return &ix->open[i];
	return NULL;
}

/* ------------------------------------------------------- view and manifest -- */

struct index_view *
index_work_view(struct index *ix)
{
	struct index_view *v;

	(void)pthread_rwlock_rdlock(&ix->tables);
	v = index_view_ref(ix->view);
	(void)pthread_rwlock_unlock(&ix->tables);
	return v;
}

void
index_work_retire(struct index *ix, struct index_view *v)
{
	v->next = ix->retired;
	ix->retired = v;
}

/*
 * Drop what was replaced and nobody uses.  A view that was replaced gains no
 * references.  Non-zero if some are in use still.
 */
static int
reap(struct index *ix)
{
	struct index_view *v, **at, *dead = NULL;
	int left;

	(void)pthread_mutex_lock(&ix->lock);
	for (at = &ix->retired; (v = *at) != NULL;)
		if (atomic_load(&v->refs) > 1)
			at = &v->next;
		else {
			*at = v->next;
			v->next = dead;
			dead = v;
		}
	left = ix->retired != NULL;
	(void)pthread_mutex_unlock(&ix->lock);
	while ((v = dead) != NULL) {
		dead = v->next;
		index_view_unref(v);
	}
	return left;
}

void
index_work_swap(struct index *ix, struct index_view *v)
{
	(void)pthread_mutex_lock(&ix->lock);
	index_work_retire(ix, ix->view);
	(void)pthread_rwlock_wrlock(&ix->tables);
	ix->view = v;
	(void)pthread_rwlock_unlock(&ix->tables);
	(void)pthread_cond_signal(&ix->work);
	(void)pthread_mutex_unlock(&ix->lock);
}

void
index_work_hold(struct index *ix)
{
	(void)pthread_rwlock_wrlock(&ix->tables);
	ix->held = ix->active->steps;
}

void
index_work_let_go(struct index *ix)
{
	uint64_t held = ix->active->steps - ix->held;

	if (held > ix->most_held)
		ix->most_held = held;
	(void)pthread_rwlock_unlock(&ix->tables);
}

int
index_work_reserve(struct index *ix, size_t n, struct err *err)
{
	struct index_slots more;

	if (index_table_prepare(ix->active, n, &more, err) != 0)
		return -1;
	if (more.slots != NULL) {
		index_work_hold(ix);
		index_table_take(ix->active, &more);
		index_work_let_go(ix);
		index_table_drop(&more);
	}
	return 0;
}

int
index_work_manifest(struct index *ix, const struct index_view *v, struct err *err)
{
	struct buf b = BUF_INIT(INDEX_MANIFEST_MAX);
	int bad;

	bad = index_view_format(
		  v, ix->config.store, atomic_load(&ix->distrusted), &b, err) != 0
	      /* New runs have their names before something names them. */
	      || fs_sync_dir(ix->fs, INDEX_DIR, err) != 0 ||
	      fs_replace(ix->fs, INDEX_DIR, "MANIFEST", b.p, b.len, err) != 0;
	buf_free(&b);
	return bad ? -1 : 0;
}

void
index_work_distrust(struct index *ix, const struct err *why)
{
	struct err ignored = ERR_INIT;

	if (why->code != ERR_CORRUPT && why->code != ERR_IO)
		return;
	(void)pthread_mutex_lock(&ix->install);
	/* If it cannot be written now, each later manifest says it. */
	if (!atomic_exchange(&ix->distrusted, 1))
		(void)index_work_manifest(ix, ix->view, &ignored);
	(void)pthread_mutex_unlock(&ix->install);
}

static struct index_view *
copy_view(struct index *ix, struct err *err)
{
	struct index_view *v;

	/* Only holders of `install` change the pointer, and we are one. */
	if ((v = index_view_copy(ix->view)) == NULL)
		(void)err_set(err, ERR_NOMEM, "no memory for a view of the index");
	else {
		(void)pthread_mutex_lock(&ix->lock);
		v->next_run = ix->next_run;
		(void)pthread_mutex_unlock(&ix->lock);
	}
	return v;
}

static uint32_t
take_number(struct index *ix)
{
	uint32_t no;

	(void)pthread_mutex_lock(&ix->lock);
	no = ix->next_run++;
	(void)pthread_mutex_unlock(&ix->lock);
	return no;
}

static void
remove_run(struct index *ix, uint32_t no)
{
	struct err ignored = ERR_INIT;
	char name[FS_NAME_MAX];

	/* What stays behind is removed by the next opening. */
	index_run_name(no, name);
	(void)fs_unlink(ix->fs, name, &ignored);
}

/* ------------------------------------------------------------ writing out -- */

int
index_work_due(const struct index *ix)
{
	return ix->frozen == NULL && ix->active->count >= ix->config.mem_entries &&
	       ix->ready >= ix->config.mem_entries / 2;
}

int
index_work_freeze(struct index *ix, struct err *err)
{
	struct index_table *t;
	struct index_list swap;

	ix->frozen_open.n = 0;
	for (uint32_t i = 0; i < ix->n_open; i++)
		if (index_work_push(&ix->frozen_open, ix->open[i].pack, err) != 0)
			return -1;
	if ((t = index_table_new()) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for an index table");
	swap = ix->frozen_done;
	ix->frozen_done = ix->done;
	ix->done = swap;
	ix->done.n = 0;
	ix->ready = 0;
	for (uint32_t i = 0; i < ix->n_open; i++)
		ix->open[i].count = 0;
	(void)pthread_rwlock_wrlock(&ix->tables);
	ix->frozen = ix->active;
	ix->active = t;
	(void)pthread_rwlock_unlock(&ix->tables);
	(void)pthread_cond_signal(&ix->work);
	return 0;
}

static uint32_t
pack_of(const uint8_t *entry)
{
	struct pack_entry e;

	index_run_decode(entry, &e);
	return e.loc.pack;
}

/* Write the frozen table's entries, but those of packs that were open, as a run. */
static int
write_frozen(struct index *ix, const struct index_table *t, struct index_list *carried,
    struct index_run **out, struct err *err)
{
	struct index_run_writer *w = NULL;
	const uint8_t **order;
	int ret = -1;

	*out = NULL;
	for (uint32_t i = 0; i < t->count; i++)
		if (index_work_listed(
			&ix->frozen_open, pack_of(index_table_entry(t, i))) &&
		    index_work_push(carried, i, err) != 0)
			return -1;
	if (carried->n == t->count)
		return 0;
	if ((order = index_table_sort(t)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to sort index entries");
	if (index_run_writer_open(ix->fs, take_number(ix), ix->config.store,
		t->count - carried->n, &w, err) != 0)
		goto done;
	for (uint32_t i = 0; i < t->count; i++)
		if (!index_work_listed(&ix->frozen_open, pack_of(order[i])) &&
		    index_run_writer_add(w, order[i], err) != 0) {
			index_run_writer_abort(w);
			goto done;
		}
	ret = index_run_writer_finish(w, out, err);
done:
	free(order);
	return ret;
}

static void
carry_one(struct index *ix, const uint8_t *e)
{
	struct index_open_pack *o;

	if (!index_table_add(ix->active, e))
		return;
	if ((o = index_work_open_pack(ix, pack_of(e))) != NULL)
		o->count++;
	else
		ix->ready++;
}

/*
 * Move the entries of packs that were open to the active table.  For a while they
 * are in both, which harms nobody; if what follows fails, the next attempt finds
 * them moved.
 */
static int
carry(struct index *ix, const struct index_list *carried, struct err *err)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < carried->n;) {
		uint32_t end = carried->n - i < INDEX_HOLD ? carried->n : i + INDEX_HOLD;

		/* Who adds need not wait for all of it either. */
		(void)pthread_mutex_lock(&ix->lock);
		if ((ret = index_work_reserve(ix, end - i, err)) == 0) {
			index_work_hold(ix);
			for (; i < end; i++)
				carry_one(
				    ix, index_table_entry(ix->frozen, carried->p[i]));
			index_work_let_go(ix);
		}
		(void)pthread_mutex_unlock(&ix->lock);
	}
	return ret;
}

/*
 * From now on the run stands for the frozen table.  Look-ups see either both
 * before or both after.  `install` is held.
 */
static int
install_frozen(struct index *ix, const struct index_list *carried, struct index_run *run,
    struct err *err)
{
	struct index_table *t = ix->frozen;
	struct index_view *v;

	if (carry(ix, carried, err) != 0 || (v = copy_view(ix, err)) == NULL)
		return -1;
	if (run != NULL) {
		if (v->n_runs == INDEX_RUNS_MAX) {
			(void)err_set(err, ERR_LIMIT, "the index has %u runs", v->n_runs);
			goto fail;
		}
		v->runs[v->n_runs++] = run;
		index_run_ref(run);
	}
	for (uint32_t i = 0; i < ix->frozen_done.n; i++)
		if (!index_view_has(&v->gone, ix->frozen_done.p[i]) &&
		    index_view_insert(&v->covered, ix->frozen_done.p[i], err) != 0)
			goto fail;
	if (index_work_manifest(ix, v, err) != 0)
		goto fail;

	(void)pthread_mutex_lock(&ix->lock);
	index_work_retire(ix, ix->view);
	(void)pthread_rwlock_wrlock(&ix->tables);
	ix->view = v;
	ix->frozen = NULL;
	(void)pthread_rwlock_unlock(&ix->tables);
	ix->flushes++;
	(void)pthread_cond_broadcast(&ix->moved);
	(void)pthread_mutex_unlock(&ix->lock);
	index_table_free(t);
	return 0;
fail:
	index_view_unref(v);
	return -1;
}

/* Only the thread calls this, so the frozen table is its own to read and free. */
static int
flush_frozen(struct index *ix, struct err *err)
{
	struct index_list carried = { NULL, 0, 0 };
	struct index_run *run = NULL;
	uint32_t no = 0;
	int ret;

	ret = write_frozen(ix, ix->frozen, &carried, &run, err);
	if (ret == 0) {
		no = run != NULL ? run->f.no : 0;
		(void)pthread_mutex_lock(&ix->install);
		ret = install_frozen(ix, &carried, run, err);
		(void)pthread_mutex_unlock(&ix->install);
		if (ret != 0 && no != 0)
			remove_run(ix, no);
	}
	index_run_unref(run);
	free(carried.p);
	return ret;
}

/* ---------------------------------------------------------------- merging -- */

static uint32_t
tier_of(uint64_t entries)
{
	uint32_t tier = 0;

	for (uint64_t n = entries / TIER_ENTRIES; n >= 4; n /= 4)
		tier++;
	return tier;
}

uint32_t
index_work_pick(
    const struct index *ix, const struct index_view *v, uint32_t inputs[INDEX_INPUTS_MAX])
{
	uint32_t count[32] = { 0 }, tier = 0, n = 0;

	for (uint32_t i = 0; i < v->n_runs; i++)
		count[tier_of(v->runs[i]->f.entries)]++;
	while (tier < 32 && count[tier] < ix->config.fan_in)
		tier++;
	for (uint32_t i = 0; tier < 32 && i < v->n_runs && n < INDEX_INPUTS_MAX; i++)
		if (tier_of(v->runs[i]->f.entries) == tier) {
			if (inputs != NULL)
				inputs[n] = i;
			n++;
		}
	return n;
}

/* One merge: its inputs in step, its output, its pace. */
struct merge {
	struct index *ix;
	uint32_t tier;
	int failed;		 /* A smaller one within it did. */
	struct index_view *view; /* Of the start; keeps the inputs open. */
	uint32_t inputs[INDEX_INPUTS_MAX], n;
	struct index_run_reader rd[INDEX_INPUTS_MAX];
	const uint8_t *head[INDEX_INPUTS_MAX]; /* NULL: at its end. */
	struct index_run_writer *w;
	uint32_t no;
	uint8_t last[INDEX_ENTRY_LEN];
	uint64_t written; /* Entries. */
	struct timespec began;
};

static uint64_t
elapsed_ms(const struct timespec *since)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - since->tv_sec) * 1000 +
			  (now.tv_nsec - since->tv_nsec) / 1000000);
}

/* Wait on `work` for at most `ms`; `lock` is held. */
static void
wait_ms(struct index *ix, uint64_t ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(&ix->work, &ix->lock, &until);
}

static int merge_runs(struct index *ix, struct err *err);

/* Note how an attempt within a merge went. */
static void
note(struct merge *m, const struct err *err)
{
	struct index *ix = m->ix;

	m->failed = 1;
	(void)pthread_mutex_lock(&ix->lock);
	ix->err = *err;
	ix->failures++;
	(void)pthread_cond_broadcast(&ix->moved);
	(void)pthread_mutex_unlock(&ix->lock);
}

/*
 * What goes before the next step of a merge, which may be one of many: writing out
 * a table, if there are not too many runs already, and merges of smaller runs, which
 * have become many meanwhile.  Non-zero if something was done.
 */
static int
do_first(struct merge *m)
{
	struct index *ix = m->ix;
	struct err err = ERR_INIT;
	uint32_t inputs[INDEX_INPUTS_MAX];
	int flush, merge, bad = 0;

	(void)reap(ix);
	(void)pthread_mutex_lock(&ix->lock);
	flush = !ix->stop && ix->frozen != NULL && ix->err.code == ERR_NONE &&
		ix->view->n_runs < INDEX_RUNS_MANY;
	merge = !flush && !ix->stop && !m->failed && !atomic_load(&ix->distrusted) &&
		index_work_pick(ix, ix->view, inputs) > 0 &&
		tier_of(ix->view->runs[inputs[0]]->f.entries) < m->tier;
	(void)pthread_mutex_unlock(&ix->lock);
	if (flush)
		bad = flush_frozen(ix, &err);
	else if (merge)
		bad = merge_runs(ix, &err);
	if (bad)
		note(m, &err);
	return flush || merge;
}

/* Between steps: let others go first, hold the rate.  1 if the index is being closed. */
static int
pause_merge(struct merge *m)
{
	struct index *ix = m->ix;
	uint64_t due_ms = 0, ms = 0;
	int stop = 0;

	if (ix->config.merge_rate > 0)
		due_ms =
		    index_run_writer_len(m->w) / ((ix->config.merge_rate + 999) / 1000);
	do {
		if (do_first(m))
			continue;
		ms = elapsed_ms(&m->began);
		(void)pthread_mutex_lock(&ix->lock);
		stop = ix->stop;
		if (!stop && ms < due_ms)
			wait_ms(ix, due_ms - ms < 100 ? due_ms - ms : 100);
		(void)pthread_mutex_unlock(&ix->lock);
	} while (!stop && ms < due_ms);
	return stop;
}

/* Number of the input with the least entry, or m->n if all are at their end. */
static uint32_t
least(const struct merge *m)
{
	uint32_t best = m->n;

	for (uint32_t i = 0; i < m->n; i++)
		if (m->head[i] != NULL &&
		    (best == m->n || index_run_order(m->head[i], m->head[best]) < 0))
			best = i;
	return best;
}

/* Copy all inputs to the output in order.  0, 1 if stopped, -1. */
static int
merge_entries(struct merge *m, struct err *err)
{
	uint64_t step = STEP_LEN;
	uint32_t i;

	while ((i = least(m)) < m->n) {
		/* What is dead stays out, and so does an entry met twice. */
		if (index_view_has(&m->view->covered, pack_of(m->head[i])) &&
		    (m->written == 0 ||
			memcmp(m->last, m->head[i], INDEX_ENTRY_LEN) != 0)) {
			if (index_run_writer_add(m->w, m->head[i], err) != 0)
				return -1;
			memcpy(m->last, m->head[i], INDEX_ENTRY_LEN);
			m->written++;
		}
		if (index_run_reader_next(&m->rd[i], &m->head[i], err) != 0)
			return -1;
		if (index_run_writer_len(m->w) >= step) {
			step += STEP_LEN;
			if (pause_merge(m))
				return 1;
		}
	}
	return 0;
}

/* The output takes the place of the inputs, whose files go. */
static int
install_merge(struct merge *m, struct index_run *run, struct err *err)
{
	struct index *ix = m->ix;
	struct index_view *v;
	uint32_t n = 0;

	if ((v = copy_view(ix, err)) == NULL)
		return -1;
	for (uint32_t i = 0; i < v->n_runs; i++) {
		uint32_t k = 0;

		while (k < m->n && v->runs[i] != m->view->runs[m->inputs[k]])
			k++;
		if (k == m->n)
			v->runs[n++] = v->runs[i];
		else
			index_run_unref(v->runs[i]);
	}
	if (run != NULL) {
		v->runs[n++] = run;
		index_run_ref(run);
	}
	v->n_runs = n;
	if (index_work_manifest(ix, v, err) != 0) {
		index_view_unref(v);
		return -1;
	}
	index_work_swap(ix, v);
	(void)pthread_mutex_lock(&ix->lock);
	ix->merges++;
	(void)pthread_mutex_unlock(&ix->lock);
	for (uint32_t k = 0; k < m->n; k++)
		remove_run(ix, m->view->runs[m->inputs[k]]->f.no);
	return 0;
}

static int
open_merge(struct merge *m, struct err *err)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct index_run *r = m->view->runs[m->inputs[i]];

		most += r->f.entries;
		if (index_run_reader_open(&m->rd[i], r, err) != 0 ||
		    index_run_reader_next(&m->rd[i], &m->head[i], err) != 0)
			return -1;
	}
	m->no = take_number(m->ix);
	(void)clock_gettime(CLOCK_MONOTONIC, &m->began);
	return index_run_writer_open(
	    m->ix->fs, m->no, m->ix->config.store, most, &m->w, err);
}

/* Merge the runs of one tier.  0 also if there was nothing to do or it was stopped. */
static int
merge_runs(struct index *ix, struct err *err)
{
	struct merge m = { .ix = ix };
	struct index_run *run = NULL;
	int ret = -1, stopped = 1;

	m.view = index_work_view(ix);
	m.n = index_work_pick(ix, m.view, m.inputs);
	if (m.n == 0) {
		index_view_unref(m.view);
		return 0;
	}
	m.tier = tier_of(m.view->runs[m.inputs[0]]->f.entries);
	if (open_merge(&m, err) != 0 || (stopped = merge_entries(&m, err)) == -1)
		goto done;
	if (!stopped) {
		if (m.written > 0) {
			ret = index_run_writer_finish(m.w, &run, err);
			m.w = NULL;
			if (ret != 0)
				goto done;
		}
		(void)pthread_mutex_lock(&ix->install);
		ret = install_merge(&m, run, err);
		(void)pthread_mutex_unlock(&ix->install);
	} else
		ret = 0;
done:
	for (uint32_t i = 0; i < m.n; i++)
		index_run_reader_close(&m.rd[i]);
	index_run_writer_abort(m.w);
	if (m.no != 0 && (ret != 0 || run == NULL))
		remove_run(ix, m.no);
	index_run_unref(run);
	index_view_unref(m.view);
	if (ret != 0)
		index_work_distrust(ix, err);
	return ret;
}

/* ------------------------------------------------------------- the thread -- */

/* What to do next; `lock` is held. */
enum job { JOB_NONE, JOB_FLUSH, JOB_MERGE, JOB_STOP };

static enum job
next_job(struct index *ix)
{
	uint32_t merge = 0, runs = ix->view->n_runs;

	if (!atomic_load(&ix->distrusted))
		merge = index_work_pick(ix, ix->view, NULL);
	if (ix->stop)
		return JOB_STOP;
	if (merge > 0 && (ix->frozen == NULL || runs >= INDEX_RUNS_MANY))
		return JOB_MERGE;
	return ix->frozen != NULL ? JOB_FLUSH : JOB_NONE;
}

void *
index_work_main(void *arg)
{
	struct index *ix = arg;
	enum job job;
	int bad;

	(void)pthread_mutex_lock(&ix->lock);
	while ((job = next_job(ix)) != JOB_STOP) {
		struct err err = ERR_INIT;

		if (job == JOB_NONE) {
			ix->merging = 0;
			(void)pthread_cond_broadcast(&ix->moved);
			/* Nobody tells when the last look-up leaves an old view. */
			if (ix->retired != NULL)
				wait_ms(ix, 20);
			else
				(void)pthread_cond_wait(&ix->work, &ix->lock);
			(void)pthread_mutex_unlock(&ix->lock);
			(void)reap(ix);
			(void)pthread_mutex_lock(&ix->lock);
			continue;
		}
		ix->merging = job == JOB_MERGE;
		(void)pthread_mutex_unlock(&ix->lock);
		bad = job == JOB_FLUSH ? flush_frozen(ix, &err) : merge_runs(ix, &err);
		(void)pthread_mutex_lock(&ix->lock);
		ix->err = err;
		if (bad) {
			/* Likely a full disk: try again, but not at once. */
			ix->failures++;
			(void)pthread_cond_broadcast(&ix->moved);
			if (!ix->stop)
				wait_ms(ix, 1000);
		}
	}
	(void)pthread_mutex_unlock(&ix->lock);
	return NULL;
}
