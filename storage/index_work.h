/*
 * index_work.h - the index as its caller's threads and its own thread share it.
 *
 * Private to storage/index*.c.
 */
#ifndef STORAGE_INDEX_WORK_H
#define STORAGE_INDEX_WORK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "storage/index.h"
#include "storage/index_table.h"
#include "storage/index_view.h"

/* A pack whose chunks may still be added: none of them goes to a run yet. */
struct index_open_pack {
	uint32_t pack;
	uint32_t count; /* Entries in the active table. */
};

/* A list of pack numbers. */
struct index_list {
	uint32_t *p;
	uint32_t n, cap;
};

/*
 * Locks in this order: install, lock, tables.
 *
 * The active table takes what is added.  Freezing makes it the frozen one and
 * starts a new one; the thread writes it out as a run and installs a view that
 * has the run and no longer the table.  There is never more than one frozen
 * table: entries of open packs go from it to the active one at installing, so
 * that a pack is covered only by a flush that has all of its entries.
 */
struct index {
	struct fs *fs;
	struct index_config config;
	pthread_t thread;
	int started;
	atomic_int distrusted; /* A run is damaged: the manifest says so. */

	pthread_mutex_t install; /* Who changes the view and the manifest. */

	pthread_mutex_t lock; /* Guards from here to `tables`. */
	pthread_cond_t work;  /* For the thread. */
	pthread_cond_t moved; /* The thread did, or failed to do, something. */
	struct index_open_pack *open;
	uint32_t n_open, open_cap;
	struct index_list done; /* Sealed since the last freeze. */
	uint32_t ready;		/* Entries of `done` packs in the active table. */
	struct index_list frozen_done, frozen_open;
	uint32_t next_run;
	int stop, merging;
	struct index_view *retired; /* Replaced; the thread drops them. */
	struct err err;		    /* Of the last attempt; ERR_NONE if it succeeded. */
	uint64_t failures, flushes, merges;

	/*
	 * Guards these pointers and the content of `active`.  All are changed under
	 * `lock` and this, so either is enough for looking.
	 */
	pthread_rwlock_t tables;
	struct index_table *active, *frozen;
	struct index_view *view;
	uint64_t held, most_held; /* Steps of the active table; see index_work_hold(). */
};

/* The thread. */
void *index_work_main(void *arg);

/* Freeze the active table if none is frozen; `lock` is held. */
int index_work_freeze(struct index *ix, struct err *err);

/* Is there enough to write out?  `lock` is held. */
int index_work_due(const struct index *ix);

/* With so many runs merging goes before writing out another. */
#define INDEX_RUNS_MANY 64u

/* Is a merge due by the runs of `v`?  `inputs` (may be NULL) gets their numbers. */
#define INDEX_INPUTS_MAX 16u
uint32_t index_work_pick(const struct index *ix, const struct index_view *v,
    uint32_t inputs[INDEX_INPUTS_MAX]);

/* Write the manifest for `v`; `install` is held. */
int index_work_manifest(struct index *ix, const struct index_view *v, struct err *err);

/*
 * Around changing the content of `active`: look-ups wait meanwhile, so no more than
 * INDEX_HOLD entries are added at a time.  Counts how many were.  `lock` is held.
 */
#define INDEX_HOLD 256u
void index_work_hold(struct index *ix);
void index_work_let_go(struct index *ix);

/* Make room for `n` more entries in `active`; `lock` is held.  ERR_NOMEM, ERR_LIMIT. */
int index_work_reserve(struct index *ix, size_t n, struct err *err);

/*
 * The view was replaced: look-ups may still use it.  The last reference is always
 * the thread's, since closing the file of a merged run, of gigabytes perhaps, is
 * not for who looks up.  `lock` is held.
 */
void index_work_retire(struct index *ix, struct index_view *v);

/* A reference to the view of now. */
struct index_view *index_work_view(struct index *ix);

/* Make `v` the view of now (takes the reference); `install` is held. */
void index_work_swap(struct index *ix, struct index_view *v);

/* A run is damaged: see to it that the next opening rebuilds.  No lock is held. */
void index_work_distrust(struct index *ix, const struct err *why);

/*
 * Add the chunks of sealed pack `no` by its footer, or, if that is `*damaged`, of
 * all its whole groups.  Does not say that it is done.
 */
int index_open_read_pack(struct index *ix, uint32_t no, int *damaged, struct err *err);

/* Sort numbers and leave out what is there twice; how many are left. */
size_t index_work_sort(uint32_t *nos, size_t n);

/* Is it in the list? */
int index_work_listed(const struct index_list *list, uint32_t v);

/* Append a number; ERR_NOMEM. */
int index_work_push(struct index_list *list, uint32_t v, struct err *err);

/* The open pack's record, or NULL; `lock` is held. */
struct index_open_pack *index_work_open_pack(struct index *ix, uint32_t pack);

#endif /* STORAGE_INDEX_WORK_H */
