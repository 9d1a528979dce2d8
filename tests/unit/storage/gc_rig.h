/*
 * gc_rig.h - a store in memory and whole cycles on it, for the tests of collecting.
 */
#ifndef TESTS_UNIT_STORAGE_GC_RIG_H
#define TESTS_UNIT_STORAGE_GC_RIG_H

#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/index.h"
#include "storage/store_gc.h"
#include "storage/store_packs.h"
#include "storage/store_retention.h"
#include "tests/unit/storage/store_rig.h"

struct gc_rig {
	struct fs_fault *ff;
	struct store *s;
	struct err err;
	struct store_point *p; /* For whoever needs one. */
};

static inline void
gc_rig_open(struct gc_rig *r)
{
	rig_ok(store_open_fs(fs_fault_fs(r->ff), NULL, NULL, &r->s, &r->err), &r->err);
}

static inline void
gc_rig_start(struct gc_rig *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->ff = fs_fault_new(seed);
	r->p = calloc(1, sizeof(*r->p));
	assert_non_null(r->ff);
	assert_non_null(r->p);
	rig_ok(store_init_fs(fs_fault_fs(r->ff), &r->err), &r->err);
	gc_rig_open(r);
}

static inline void
gc_rig_end(struct gc_rig *r)
{
	store_close(r->s);
	fs_fault_free(r->ff);
	free(r->p);
}

static inline void
gc_rig_restart(struct gc_rig *r, int power_cut)
{
	store_close(r->s);
	fs_fault_restart(r->ff, power_cut);
	gc_rig_open(r);
}

/* Back up `n` blocks as `host`; the sequence.  The packs are sealed with `seal`. */
static inline uint64_t
gc_rig_backup(
    struct gc_rig *r, const char *host, const uint32_t *blocks, uint32_t n, int seal)
{
	struct rig_volume v = { blocks, n };

	rig_ok(rig_backup(r->s, host, &v, r->p, &r->err), &r->err);
	if (seal)
		rig_ok(store_packs_seal(r->s->packs, &r->err), &r->err);
	return r->p->sequence;
}

static inline void
gc_rig_check(struct gc_rig *r, const char *host, uint64_t sequence,
    const uint32_t *blocks, uint32_t n)
{
	struct rig_volume v = { blocks, n };

	rig_ok(store_point_get(r->s, host, sequence, r->p, &r->err), &r->err);
	rig_ok(rig_verify(r->s, r->p, 0, &v, &r->err), &r->err);
}

static inline void
gc_rig_prune(struct gc_rig *r, const char *host, uint64_t sequence)
{
	rig_ok(store_prune_points(r->s, "test", host, &sequence, 1, &r->err), &r->err);
}

/* A cycle to its end, or until it waits. */
static inline enum store_gc_state
gc_rig_collect(struct gc_rig *r, const struct store_gc_config *config,
    struct store_gc_report *report)
{
	rig_ok(store_gc(r->s, config, NULL, NULL, report, &r->err), &r->err);
	return report->state;
}

static inline int
gc_rig_count(void *arg, uint32_t no, int sealed)
{
	(void)no;
	*(uint32_t *)arg += sealed != 0;
	return 0;
}

static inline uint32_t
gc_rig_packs(struct gc_rig *r)
{
	uint32_t n = 0;

	rig_ok(pack_list(r->s->fs, gc_rig_count, &n, &r->err), &r->err);
	return n;
}

/* Is this block's chunk found? */
static inline int
gc_rig_has(struct gc_rig *r, uint32_t seed)
{
	uint8_t content[RIG_BLOCK], found = 0;
	struct store_place place;
	struct store_lease *l;
	struct chunk_id id;

	rig_content(seed, content);
	chunk_id_of(store_keys(r->s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(store_lease_open(r->s, "", STORE_READ, &l, &r->err), &r->err);
	rig_ok(store_locate(l, CHUNK_DATA, &id, 1, &place, &found, &r->err), &r->err);
	store_lease_close(l);
	return found;
}

#endif /* TESTS_UNIT_STORAGE_GC_RIG_H */
