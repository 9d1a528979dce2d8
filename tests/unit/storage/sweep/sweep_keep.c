/* What removes, keeps and collects, as works of the sweep. */
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/store_escrow.h"
#include "storage/store_gc.h"
#include "storage/store_keys.h"
#include "storage/store_options.h"
#include "storage/store_rebuild.h"
#include "storage/store_repair.h"
#include "storage/store_restores.h"
#include "storage/store_retention.h"
#include "storage/store_space.h"
#include "tests/unit/storage/store_rig.h"
#include "tests/unit/storage/sweep/sweep.h"

/* Four points of two hosts, each in packs of its own. */
static void
before_points(struct sweep *w)
{
	static const char *const hosts[] = { "alpha", "alpha", "beta", "alpha" };
	struct err err = ERR_INIT;

	sweep_must(sweep_init(w, &err), &err);
	for (uint32_t n = 0; n < 4; n++) {
		sweep_must(sweep_open(w, &err), &err);
		sweep_must(sweep_backup(w, hosts[n], n + 1, &err), &err);
		sweep_close(w);
	}
}

/* Point `i` of the above goes; it is gone when that was acknowledged. */
static int
forget(struct sweep *w, unsigned i, struct err *err)
{
	struct sweep_point *p = &w->points[i];

	p->state = SWEEP_LEAVING;
	if (store_forget(w->s, "admin", p->host, p->sequence, "a test", err) != 0)
		return -1;
	p->state = SWEEP_GONE;
	return 0;
}

static int
run_prune(struct sweep *w, struct err *err)
{
	uint64_t sequence = w->points[1].sequence;

	if (sweep_open(w, err) != 0)
		return -1;
	w->now = "prune";
	if (forget(w, 0, err) != 0)
		return -1;
	w->points[1].state = SWEEP_LEAVING;
	if (store_prune_points(w->s, "admin", "alpha", &sequence, 1, err) != 0)
		return -1;
	w->points[1].state = SWEEP_GONE;
	return 0;
}

static int
run_keep(struct sweep *w, struct err *err)
{
	uint64_t sequence = w->points[3].sequence;

	if (sweep_open(w, err) != 0)
		return -1;
	w->now = "keep";
	if (store_hold(w->s, "admin", "alpha", sequence, "a test", err) != 0 ||
	    store_lock(w->s, "admin", "alpha", sequence, INT64_MAX / 2, err) != 0)
		return -1;
	w->kept = sequence;
	return 0;
}

/* Two restores: one that has begun, one that is done. */
static int
run_restore(struct sweep *w, struct err *err)
{
	struct store_restore r = { .host = "alpha",
		.who = "admin",
		.token = { 1 },
		.sequence = w->points[0].sequence,
		.only = 1,
		.ends_us = INT64_MAX / 2 };
	const struct store_redeem by = {
		.machine = { 1 }, .key_hash = { 2 }, .serial = { 3 }
	};
	struct store_restore other = r, out;
	int resumed;

	if (sweep_open(w, err) != 0)
		return -1;
	w->now = "restore";
	if (store_restore_allow(w->s, &r, err) != 0)
		return -1;
	w->allowed = r.id;
	if (store_restore_redeem(w->s, r.id, &by, &out, &resumed, err) != 0)
		return -1;
	w->begun = r.id;
	other.token[0] = 2;
	if (store_restore_allow(w->s, &other, err) != 0 ||
	    store_restore_end(
		w->s, other.id, STORE_RESTORE_DONE, NULL, "admin", "", err) != 0)
		return -1;
	w->done = other.id;
	return 0;
}

/* Two of the four are gone: their packs are dead, or but for what the others share. */
static void
before_gc(struct sweep *w)
{
	struct err err = ERR_INIT;

	before_points(w);
	sweep_must(sweep_open(w, &err), &err);
	sweep_must(forget(w, 0, &err), &err);
	sweep_must(forget(w, 2, &err), &err);
	sweep_close(w);
}

static int
run_gc(struct sweep *w, struct err *err)
{
	struct store_gc_report report;

	if (sweep_open(w, err) != 0)
		return -1;
	w->now = "gc";
	if (store_gc(w->s, NULL, NULL, NULL, &report, err) != 0)
		return -1;
	if (report.packs_removed == 0 || report.bytes_rewritten == 0)
		return err_set(
		    err, ERR_NOTFOUND, "nothing was collected or written anew");
	return 0;
}

static int
run_rebuild(struct sweep *w, struct err *err)
{
	w->now = "rebuild";
	if (store_drop_caches(fs_fault_fs(w->ff), STORE_CATALOG | STORE_INDEX, err) != 0)
		return -1;
	return sweep_open(w, err);
}

/* A session that died, and whose lease is open in the journal. */
static void
before_revoke(struct sweep *w)
{
	struct err err = ERR_INIT;

	before_points(w);
	sweep_must(sweep_open(w, &err), &err);
	fs_fault_arm(w->ff, 9, FS_FAULT_DIE);
	(void)sweep_backup(w, "beta", 9, &err);
	sweep_die(w, 0);
}

static int
find_lease(void *arg, const struct store_lease_info *l)
{
	*(uint64_t *)arg = l->id;
	return 0;
}

static int
run_revoke(struct sweep *w, struct err *err)
{
	uint64_t id = 0;

	if (sweep_open(w, err) != 0)
		return -1;
	w->now = "revoke";
	if (store_leases(w->s, find_lease, &id, err) != 0)
		return -1;
	return store_lease_revoke(w->s, id, err);
}

/* The header of a sealed pack has rotted: all groups behind it are whole. */
static void
before_repair(struct sweep *w)
{
	uint8_t *bytes;
	size_t len;

	before_points(w);
	bytes = fs_fault_bytes(w->ff, "packs/00000001.pack", &len);
	if (bytes == NULL)
		sweep_fail("no first pack");
	bytes[40] ^= 1;
	w->damaged = w->mended = 1;
}

static int
run_repair(struct sweep *w, struct err *err)
{
	struct store_repair_report report;

	if (sweep_open(w, err) != 0)
		return -1;
	w->now = "repair";
	return store_repair(w->s, NULL, NULL, &report, err);
}

/* The keys come back from where they were kept. */
static int
run_import(struct sweep *w, struct err *err)
{
	struct store_keys_of keys;

	w->now = "import";
	if (store_keys_load(fs_fault_fs(w->ff), &keys, err) != 0 ||
	    store_escrow_import(fs_fault_fs(w->ff), &keys, err) != 0)
		return -1;
	return sweep_open(w, err);
}

/* A reserve is made, and given up on a disk that is full. */
static int
run_reserve(struct sweep *w, struct err *err)
{
	struct store_options options = STORE_OPTIONS_INIT;

	options.reserve = 100000;
	w->now = "reserve";
	if (store_open_with_fs(fs_fault_fs(w->ff), CATALOG_NAME, &options, &w->s, err) !=
	    0) {
		w->s = NULL;
		return -1;
	}
	store_space_settle(w->s);
	fs_fault_set_room(w->ff, 1);
	store_space_lend(w->s);
	fs_fault_set_room(w->ff, 0);
	return 0;
}

const struct sweep_work sweep_work_prune = { "prune", before_points, run_prune };
const struct sweep_work sweep_work_keep = { "keep", before_points, run_keep };
const struct sweep_work sweep_work_restore = { "restore", before_points, run_restore };
const struct sweep_work sweep_work_gc = { "gc", before_gc, run_gc };
const struct sweep_work sweep_work_rebuild = { "rebuild", before_gc, run_rebuild };
const struct sweep_work sweep_work_import = { "import", before_points, run_import };
const struct sweep_work sweep_work_reserve = { "reserve", before_points, run_reserve };
const struct sweep_work sweep_work_revoke = { "revoke", before_revoke, run_revoke };
const struct sweep_work sweep_work_repair = { "repair", before_repair, run_repair };
