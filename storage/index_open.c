#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "storage/fs.h"
#include "storage/index_run.h"
#include "storage/index_work.h"

#define MEM_ENTRIES (1u << 18)
#define FAN_IN 4u

/* ------------------------------------------------------- making and closing -- */

/* Stop the thread and free everything. */
static void
tear_down(struct index *ix)
{
	struct index_view *v;

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
	while ((v = ix->retired) != NULL) {
		ix->retired = v->next;
		index_view_unref(v);
	}
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

int
index_open_read_pack(struct index *ix, uint32_t no, int *damaged, struct err *err)
{
	struct batch *b = malloc(sizeof(*b));
	struct pack_recovery walked;
	struct err why = ERR_INIT;
	struct pack *p = NULL;
	int bad = 0;

	if (b == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read a footer");
	b->ix = ix;
	b->n = 0;
	b->err = err;
	if (pack_open(ix->fs, no, ix->config.store, &p, &why) == 0)
		/* A bad footer is in `why`, before the first call; else `err` is set. */
		bad = pack_each_entry(p, take_entry, b, NULL, &why);
	*damaged = why.code == ERR_CORRUPT;
	if (*damaged)
		bad = p != NULL ? pack_walk(p, ix->config.judge, take_entry, b, &walked, err) : 0;
	else if (why.code != ERR_NONE) {
		*err = why;
		bad = -1;
	}
	pack_close(p);
	if (!bad && b->n > 0)
		bad = index_add(ix, b->e, b->n, err);
	free(b);
	return bad ? err_context(err, "pack %08x", (unsigned)no) : 0;
}

/* Keep of `covered` what is listed; then read what is listed and not covered. */
static int
catch_up(struct index *ix, const uint32_t *sorted, size_t n, struct index_opened *opened,
    struct err *err)
{
	struct index_packs kept = { NULL, 0, 0 };
	int damaged, ret = -1;

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
		if (has)
			continue;
		if (index_open_read_pack(ix, sorted[i], &damaged, err) != 0)
			goto done;
		opened->packs_read++;
		if (!damaged)
			index_pack_done(ix, sorted[i]);
		else {
			/* Read anew each time, until it is repaired. */
			opened->damaged++;
			opened->damaged_pack = sorted[i];
		}
	}
	ret = 0;
done:
	free(kept.r);
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
	n_packs = index_work_sort(sorted, n_packs);

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
