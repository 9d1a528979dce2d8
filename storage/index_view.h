/*
 * index_view.h - what the runs hold at one moment, and the manifest that says so.
 *
 * A view never changes: who changes something makes the next view from a copy.
 * So a look-up takes a reference and then needs no lock.  The manifest is the
 * view on disk.  Bytes: storage/FORMAT.md, "Index".  Private to storage/index*.c.
 */
#ifndef STORAGE_INDEX_VIEW_H
#define STORAGE_INDEX_VIEW_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/pack.h"

struct buf;
struct err;
struct index_run;

#define INDEX_RUNS_MAX 256u
#define INDEX_RANGES_MAX (1u << 20)
#define INDEX_MANIFEST INDEX_DIR "/MANIFEST"
#define INDEX_MANIFEST_MAX (16u * 1024 * 1024)

/* A set of pack numbers: ranges that rise and do not touch. */
struct index_packs {
	struct index_range {
		uint32_t first, last;
	} * r;
	uint32_t n, cap;
};

int index_view_has(const struct index_packs *set, uint32_t pack);

/* Add a number, cheapest at the end; ERR_NOMEM, ERR_LIMIT change nothing. */
int index_view_insert(struct index_packs *set, uint32_t pack, struct err *err);

/*
 * Add or remove many numbers, which rise, in one pass over the set.  ERR_NOMEM,
 * ERR_LIMIT change nothing.
 */
int index_view_change(
    struct index_packs *set, const uint32_t *nos, size_t n, int add, struct err *err);

/* A group that does not count. */
struct index_bad {
	uint32_t pack, offset;
};

struct index_view {
	atomic_uint refs;
	struct index_view *next;		/* Of those that were replaced. */
	struct index_run *runs[INDEX_RUNS_MAX]; /* Newest last. */
	uint32_t n_runs;
	uint32_t next_run; /* Number for the next file. */
	uint32_t optional; /* Features of the manifest; what we write has none. */
	struct index_packs covered; /* Entries in runs count for these only. */
	struct index_packs gone;    /* Forgotten since opening: for entries in memory. */
	struct index_bad *bad;	    /* By pack and offset. */
	uint32_t n_bad;
};

/* One reference; empty, or a copy.  NULL without memory. */
struct index_view *index_view_new(void);
struct index_view *index_view_copy(const struct index_view *v);
struct index_view *index_view_ref(struct index_view *v);
void index_view_unref(struct index_view *v);

/* Bytes of its own, without the runs. */
uint64_t index_view_ram(const struct index_view *v);

/* Put the group in or out of `bad`; ERR_LIMIT, ERR_NOMEM. */
int index_view_set_bad(
    struct index_view *v, uint32_t pack, uint32_t offset, int is_bad, struct err *err);

/* May an entry of a run, or of memory, be given?  `arg` is the view. */
int index_view_run_usable(const void *arg, const struct pack_entry *e);
int index_view_mem_usable(const void *arg, const struct pack_entry *e);

/*
 * Append the manifest for `v` to `out`.  `damaged`: who opens it next takes the
 * quarantine from it and all else from footers.
 */
int index_view_format(const struct index_view *v, const uint8_t store[PACK_STORE_ID_LEN],
    int damaged, struct buf *out, struct err *err);

/* What a manifest names; arrays are malloc'ed, freed by index_view_free_manifest(). */
struct index_manifest {
	uint8_t store[PACK_STORE_ID_LEN];
	int damaged;
	uint32_t optional; /* Features. */
	uint32_t next_run;
	uint32_t runs[INDEX_RUNS_MAX], n_runs;
	uint64_t entries[INDEX_RUNS_MAX];
	struct index_packs covered;
	struct index_bad *bad;
	uint32_t n_bad;
};

/* Check and read a manifest; ERR_CORRUPT, ERR_UNSUPPORTED, ERR_NOMEM. */
int index_view_parse(
    const uint8_t *p, size_t len, struct index_manifest *out, struct err *err);
void index_view_free_manifest(struct index_manifest *m);

#endif /* STORAGE_INDEX_VIEW_H */
