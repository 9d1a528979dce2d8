/* The operations of a store, as works of the sweep. */
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/index.h"
#include "storage/store_packs.h"
#include "tests/unit/storage/store_rig.h"
#include "tests/unit/storage/sweep/sweep.h"

#define BLOCKS 8u

/* --------------------------------------------------------------- operations -- */

/* Contents share a part, so that points lean on each other's chunks. */
static void
make_blocks(uint32_t n, uint32_t blocks[BLOCKS])
{
	rig_fill(blocks, BLOCKS, n);
	blocks[1] = 1;
	blocks[2] = 0;
	blocks[3] = 555;
	blocks[4] = 70000 + n / 2;
}

void
sweep_must(int ret, const struct err *err)
{
	if (ret != 0)
		sweep_fail("on the way there: %s", err->text);
}

int
sweep_init(struct sweep *w, struct err *err)
{
	int ret;

	w->now = "init";
	ret = store_init_fs(fs_fault_fs(w->ff), err);
	w->now = "";
	w->made |= ret == 0;
	return ret;
}

int
sweep_open(struct sweep *w, struct err *err)
{
	int ret;

	w->now = "open";
	ret = store_open_fs(fs_fault_fs(w->ff), CATALOG_NAME, NULL, &w->s, err);
	w->now = "";
	if (ret != 0)
		w->s = NULL;
	return ret;
}

void
sweep_close(struct sweep *w)
{
	w->now = "close";
	store_close(w->s);
	w->now = "";
	w->s = NULL;
}

void
sweep_die(struct sweep *w, int power_cut)
{
	fs_fault_arm(w->ff, 1, FS_FAULT_DIE);
	sweep_close(w);
	fs_fault_restart(w->ff, power_cut);
}

/* As rig_backup(), but each part is known by its name. */
static int
back_up(struct sweep *w, const char *host, const struct rig_volume *v,
    struct store_point *p, struct err *err)
{
	struct buf bad = BUF_INIT(64 * 1024), data = BUF_INIT(64 * 1024),
		   meta = BUF_INIT(64 * 1024);
	static const char *const names[] = { "C" };
	enum store_commit_result result = STORE_MISSING;
	struct store_lease *lease = NULL;
	struct store_base base;
	struct rig_agent a;
	int ret;

	p->volumes_count = 1;
	memcpy(p->volumes[0].name, "C", 2);
	w->now = "lease";
	if (store_lease_open(w->s, host, STORE_BACKUP, &lease, err) != 0)
		return -1;
	if (rig_agent_start(&a, w->s, lease) != 0)
		abort();
	ret = store_backup_begin(lease, names, 1, &base, &bad, err);
	w->now = "put";
	if (ret == 0)
		ret = rig_volume_put(&a, v, &p->volumes[0].root_id, err);
	w->now = "commit";
	if (ret == 0)
		ret = store_commit(lease, p, &result, &data, &meta, err);
	if (ret == 0 && result != STORE_COMMITTED)
		ret = err_set(err, ERR_NOTFOUND, "chunks are missing");
	w->now = "release";
	rig_agent_end(&a);
	store_lease_close(lease);
	buf_free(&bad);
	buf_free(&data);
	buf_free(&meta);
	return ret;
}

int
sweep_backup(struct sweep *w, const char *host, uint32_t n, struct err *err)
{
	struct sweep_point *q = &w->points[w->n_points++];
	struct store_point *p = calloc(1, sizeof(*p));
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };
	int ret;

	if (p == NULL || w->n_points == SWEEP_POINTS_MAX)
		abort();
	make_blocks(n, blocks);
	*q = (struct sweep_point){ .host = host, .n = n, .state = SWEEP_TRIED };
	ret = back_up(w, host, &v, p, err);
	w->now = "";
	/* Zeros if it did not come so far: then no point has it. */
	q->root = p->volumes[0].root_id;
	if (ret == 0) {
		q->state = SWEEP_ACKED;
		q->sequence = p->sequence;
	}
	free(p);
	return ret;
}

static int
count_problem(void *arg, const struct store_verify_report *r, const char *problem)
{
	struct sweep *w = arg;

	(void)r;
	w->told += problem != NULL;
	return 0;
}

int
sweep_verify(struct sweep *w, struct err *err)
{
	struct store_verify_report report;

	int ret;

	w->told = 0;
	w->now = "verify";
	ret = store_verify(w->s, 0, 1, count_problem, w, &report, err);
	w->now = "";
	return ret;
}

int
sweep_whole(struct sweep *w, const struct sweep_point *p, struct err *err)
{
	struct store_point *point = calloc(1, sizeof(*point));
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };
	int ret;

	if (point == NULL)
		abort();
	make_blocks(p->n, blocks);
	ret = store_point_get(w->s, p->host, p->sequence, point, err) != 0 ||
		      rig_verify(w->s, point, 0, &v, err) != 0
		  ? -1
		  : 0;
	free(point);
	return ret;
}

/* ------------------------------------------------------------------- states -- */

static void
before_store(struct sweep *w)
{
	struct err err = ERR_INIT;

	sweep_must(sweep_init(w, &err), &err);
	sweep_must(sweep_open(w, &err), &err);
	sweep_must(sweep_backup(w, "alpha", 1, &err), &err);
	sweep_close(w);
}

/* Runs enough for the next one to be merged with them. */
static void
before_merge(struct sweep *w)
{
	struct err err = ERR_INIT;

	before_store(w);
	for (uint32_t n = 2; n < 4; n++) {
		sweep_must(sweep_open(w, &err), &err);
		sweep_must(sweep_backup(w, "alpha", n, &err), &err);
		sweep_close(w);
	}
}

/* A record that the end came in the middle of. */
static void
tear_journal(struct sweep *w)
{
	static const uint8_t torn[100] = { 1, 2, 3 };
	struct err err = ERR_INIT;
	struct fs_file *f;
	uint64_t len;

	sweep_must(fs_open(fs_fault_fs(w->ff), "journal", FS_WRITE, &f, &err), &err);
	sweep_must(fs_size(f, &len, &err), &err);
	sweep_must(fs_pwrite(f, torn, sizeof(torn), len, &err), &err);
	fs_close(f);
}

/* Killed with packs open, which hold acknowledged points. */
static void
before_recover(struct sweep *w)
{
	struct err err = ERR_INIT;

	before_store(w);
	sweep_must(sweep_open(w, &err), &err);
	sweep_must(sweep_backup(w, "alpha", 2, &err), &err);
	sweep_must(sweep_backup(w, "beta", 3, &err), &err);
	fs_fault_arm(w->ff, 9, FS_FAULT_DIE);
	(void)sweep_backup(w, "beta", 4, &err);
	sweep_die(w, 1);
	tear_journal(w);
}

/* And a group in an open pack has rotted. */
static void
before_recover_bad(struct sweep *w)
{
	uint8_t *bytes;
	size_t len;

	before_recover(w);
	bytes = fs_fault_bytes(w->ff, "packs/00000003.open", &len);
	if (bytes == NULL || len < 900)
		sweep_fail("no third pack that is open");
	bytes[97] ^= 1;
	w->damaged = 1;
}

/* A group in a sealed pack has rotted. */
static void
before_verify(struct sweep *w)
{
	struct err err = ERR_INIT;
	uint8_t *bytes;
	size_t len;

	before_store(w);
	sweep_must(sweep_open(w, &err), &err);
	sweep_must(sweep_backup(w, "beta", 2, &err), &err);
	sweep_close(w);
	bytes = fs_fault_bytes(w->ff, "packs/00000001.pack", &len);
	if (bytes == NULL || len < 5000)
		sweep_fail("no first pack");
	bytes[4000] ^= 1;
	w->damaged = 1;
}

static void
lose(struct sweep *w, const char *name)
{
	struct err err = ERR_INIT;

	sweep_must(fs_unlink(fs_fault_fs(w->ff), name, &err), &err);
	sweep_must(fs_sync_dir(fs_fault_fs(w->ff),
		       strncmp(name, "index/", 6) == 0 ? "index" : ".", &err),
	    &err);
}

static void
before_catalog(struct sweep *w)
{
	before_merge(w);
	lose(w, CATALOG_NAME);
}

/* Rotted, not lost: what is there has to be removed first. */
static void
before_bad_catalog(struct sweep *w)
{
	uint8_t *bytes;
	size_t len;

	before_merge(w);
	bytes = fs_fault_bytes(w->ff, CATALOG_NAME, &len);
	if (bytes == NULL || len < 9000)
		sweep_fail("no catalog");
	memset(bytes + 4096, 0xa5, 4096);
}

static void
before_index(struct sweep *w)
{
	before_merge(w);
	lose(w, INDEX_DIR "/MANIFEST");
}

/* --------------------------------------------------------------------- runs -- */

static int
run_init(struct sweep *w, struct err *err)
{
	return sweep_init(w, err);
}

static int
run_backup(struct sweep *w, struct err *err)
{
	return sweep_open(w, err) != 0 ? -1 : sweep_backup(w, "alpha", 2, err);
}

/* Commits without new chunks, by two hosts, and one whose answer was lost. */
static int
run_commit(struct sweep *w, struct err *err)
{
	if (sweep_open(w, err) != 0 || sweep_backup(w, "beta", 1, err) != 0 ||
	    sweep_backup(w, "alpha", 1, err) != 0)
		return -1;
	return sweep_backup(w, "beta", 3, err);
}

static int
run_seal(struct sweep *w, struct err *err)
{
	if (sweep_open(w, err) != 0 || sweep_backup(w, "alpha", 2, err) != 0)
		return -1;
	w->now = "seal";
	if (store_packs_seal(w->s->packs, err) != 0)
		return -1;
	if (sweep_backup(w, "alpha", 4, err) != 0)
		return -1;
	sweep_close(w);
	return 0;
}

static int
run_merge(struct sweep *w, struct err *err)
{
	if (sweep_open(w, err) != 0 || sweep_backup(w, "alpha", 5, err) != 0)
		return -1;
	w->now = "merge";
	if (store_packs_seal(w->s->packs, err) != 0 ||
	    index_flush(w->s->index, err) != 0 || index_settle(w->s->index, err) != 0)
		return -1;
	sweep_close(w);
	return 0;
}

static int
run_open(struct sweep *w, struct err *err)
{
	if (sweep_open(w, err) != 0)
		return -1;
	sweep_close(w);
	return 0;
}

static int
run_verify(struct sweep *w, struct err *err)
{
	return sweep_open(w, err) != 0 ? -1 : sweep_verify(w, err);
}

/* People: an operation that is acknowledged stays, and the journal is its only trace. */
static int
run_people(struct sweep *w, struct err *err)
{
	struct store_token t = { .uses_left = 3, .ends_us = INT64_MAX };
	struct store_peer p = { .name = "delta", .role = 1, .cert_ends_us = INT64_MAX };
	uint8_t cert[STORE_BLOB_MAX] = "a certificate";
	size_t len = 13;

	if (sweep_open(w, err) != 0)
		return -1;
	w->now = "people";
	if (store_token_put(w->s, &t, err) != 0 ||
	    store_enrol(w->s, t.hash, &p, cert, &len, err) != 0 ||
	    store_audit(w->s, "admin", "looked", err) != 0 ||
	    store_peer_alarm(w->s, "delta", "smoke", err) != 0 ||
	    store_peer_revoke(w->s, "delta", err) != 0)
		return -1;
	return 0;
}

#define WORK(name, before, run) \
	static const struct sweep_work work_##name = { #name, before, run }

WORK(init, NULL, run_init);
WORK(backup, before_store, run_backup);
WORK(commit, before_store, run_commit);
WORK(seal, before_store, run_seal);
WORK(merge, before_merge, run_merge);
WORK(recover, before_recover, run_open);
WORK(recover_bad, before_recover_bad, run_open);
WORK(verify, before_verify, run_verify);
WORK(people, before_store, run_people);
WORK(catalog_lost, before_catalog, run_open);
WORK(catalog_bad, before_bad_catalog, run_open);
WORK(index_lost, before_index, run_open);

const struct sweep_work *const sweep_works[] = { &work_init, &work_backup, &work_commit,
	&work_seal, &work_merge, &work_recover, &work_recover_bad, &work_verify,
	&work_people, &work_catalog_lost, &work_catalog_bad, &work_index_lost,
	&sweep_work_prune, &sweep_work_keep, &sweep_work_restore, &sweep_work_gc,
	&sweep_work_rebuild, &sweep_work_import, &sweep_work_reserve, &sweep_work_revoke,
	&sweep_work_repair, NULL };
