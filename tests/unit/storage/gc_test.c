/*
 * What a cycle gives back and what it leaves: points, what sessions were told of,
 * what readers pinned, what is not committed yet.
 */
#include "tests/unit/storage/gc_lines.h"
#include "tests/unit/storage/gc_rig.h"

#include "storage/gc_mutant.h"
#include "storage/store_options.h"

#define BLOCKS 24u

static void
test_dead_chunks_go_and_live_ones_stay(void **state)
{
	uint32_t a[BLOCKS], b[BLOCKS];
	struct store_gc_report report;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 1);
	rig_fill(a, BLOCKS, 1);
	rig_fill(b, BLOCKS, 2);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_backup(&r, "beta", b, BLOCKS, 1);
	assert_int_equal(gc_rig_packs(&r), 4);

	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 0);
	assert_int_equal(report.points, 2);
	assert_int_equal(report.chunks, 2 * BLOCKS);
	assert_int_equal(report.bytes_dead, 0);

	gc_rig_prune(&r, "alpha", 1);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 2);
	assert_true(report.bytes_freed > 0 && report.bytes_freed == report.bytes_dead);
	assert_int_equal(gc_rig_packs(&r), 2);
	gc_rig_check(&r, "beta", 1, b, BLOCKS);
	assert_false(gc_rig_has(&r, a[0]));

	/* Removed is not lost, neither now nor after opening. */
	gc_rig_restart(&r, 1);
	assert_string_equal(store_opened(r.s), "");
	assert_int_equal(r.s->lost_packs, 0);
	gc_rig_check(&r, "beta", 1, b, BLOCKS);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_check(&r, "alpha", 2, a, BLOCKS);
	gc_rig_end(&r);
}

/* Opening takes a pack of that number for removed: what is put must not be in one. */
static void
test_a_removed_packs_number_is_never_given_again(void **state)
{
	struct store_gc_report report;
	uint32_t a[BLOCKS];
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 14);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_prune(&r, "alpha", 1);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(gc_rig_packs(&r), 0);
	gc_rig_restart(&r, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_restart(&r, 1);
	gc_rig_check(&r, "alpha", 2, a, BLOCKS);
	gc_rig_end(&r);
}

/*
 * The known killer: the points are listed; a new backup reuses the chunks of one of
 * them and commits; that one is pruned before the mark reaches it; sweep.
 */
static void
test_a_backup_on_a_point_that_is_pruned_before_it_is_marked(void **state)
{
	struct store_gc_config config = { .nodes_per_step = 1 };
	enum store_gc_state now = STORE_GC_MARKING;
	uint32_t a[BLOCKS];
	struct store_gc *gc;
	struct gc_rig r;

	(void)state;
	for (int before = 0; before < 8; before++) {
		gc_rig_start(&r, 2);
		rig_fill(a, BLOCKS, 1);
		gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
		rig_ok(store_gc_begin(r.s, &config, &gc, &r.err), &r.err);
		for (int i = 0; i < before; i++)
			rig_ok(store_gc_step(gc, &now, &r.err), &r.err);
		gc_rig_backup(&r, before % 2 ? "alpha" : "beta", a, BLOCKS, 0);
		gc_rig_prune(&r, "alpha", 1);
		do
			rig_ok(store_gc_step(gc, &now, &r.err), &r.err);
		while (now != STORE_GC_DONE);
		store_gc_end(gc);
		gc_rig_check(
		    &r, before % 2 ? "alpha" : "beta", before % 2 ? 2 : 1, a, BLOCKS);
		gc_rig_restart(&r, 1);
		gc_rig_check(
		    &r, before % 2 ? "alpha" : "beta", before % 2 ? 2 : 1, a, BLOCKS);
		gc_rig_end(&r);
	}
}

/* A session is told of a tree's root: that it is marked says nothing of what it is of. */
static void
test_a_node_marked_by_have_is_walked_all_the_same(void **state)
{
	struct store_gc_config config = { .nodes_per_step = 1 };
	enum store_gc_state now = STORE_GC_MARKING;
	struct store_lease *l;
	uint32_t a[BLOCKS];
	uint8_t answer;
	struct store_gc *gc;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 15);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	rig_ok(store_gc_begin(r.s, &config, &gc, &r.err), &r.err);
	rig_ok(store_lease_open(r.s, "beta", STORE_BACKUP, &l, &r.err), &r.err);
	rig_ok(store_have(l, CHUNK_META, &r.p->volumes[0].root_id, 1, &answer, &r.err),
	    &r.err);
	assert_int_equal(answer, STORE_HAVE);
	store_lease_close(l);
	do
		rig_ok(store_gc_step(gc, &now, &r.err), &r.err);
	while (now != STORE_GC_DONE);
	assert_int_equal(store_gc_now(gc)->packs_removed, 0);
	store_gc_end(gc);
	gc_rig_check(&r, "alpha", 1, a, BLOCKS);
	gc_rig_end(&r);
}

static void
test_what_a_session_was_told_of_stays_until_its_lease_ends(void **state)
{
	struct store_gc_report report;
	uint8_t content[RIG_BLOCK], answer;
	struct store_lease *l;
	struct chunk_id id;
	uint32_t a[BLOCKS];
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 3);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	rig_content(a[5], content);
	chunk_id_of(store_keys(r.s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(store_lease_open(r.s, "beta", STORE_BACKUP, &l, &r.err), &r.err);
	rig_ok(store_have(l, CHUNK_DATA, &id, 1, &answer, &r.err), &r.err);
	assert_int_equal(answer, STORE_HAVE);
	gc_rig_prune(&r, "alpha", 1);

	/* The pack of the nodes is nobody's; that of the chunk is pinned. */
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_WAITING);
	assert_int_equal(report.packs_pinned, 1);
	assert_int_equal(report.packs_condemned, 1);
	assert_int_equal(report.packs_removed, 0);
	assert_int_equal(report.waiting_purpose, STORE_BACKUP);
	assert_string_equal(report.waiting_host, "beta");
	assert_true(gc_rig_has(&r, a[5]));
	store_lease_close(l);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 2);
	assert_false(gc_rig_has(&r, a[5]));
	gc_rig_end(&r);
}

static void
test_a_point_being_read_stays_though_it_is_pruned(void **state)
{
	struct store_gc_report report;
	struct store_point *p = calloc(1, sizeof(*p));
	struct store_lease *l;
	uint32_t a[BLOCKS];
	struct rig_volume v = { a, BLOCKS };
	struct gc_rig r;

	(void)state;
	assert_non_null(p);
	gc_rig_start(&r, 4);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	rig_ok(store_lease_open(r.s, "alpha", STORE_READ, &l, &r.err), &r.err);
	rig_ok(store_lease_point(l, "alpha", 1, p, &r.err), &r.err);
	gc_rig_prune(&r, "alpha", 1);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 0);
	rig_ok(rig_verify(r.s, p, 0, &v, &r.err), &r.err);
	assert_int_equal(store_lease_point(l, "alpha", 1, p, &r.err), -1);
	assert_int_equal(r.err.code, ERR_NOTFOUND);
	err_clear(&r.err);
	store_lease_close(l);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 2);
	gc_rig_end(&r);
	free(p);
}

static void
test_a_reader_left_open_delays_files_and_can_be_revoked(void **state)
{
	uint32_t a[BLOCKS], b[BLOCKS];
	struct store_gc_config config = { .live_keep_us = 1 };
	struct store_gc_report report;
	struct store_place place;
	uint8_t content[RIG_BLOCK], found;
	struct store_lease *l;
	struct chunk_id id;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 5);
	rig_fill(a, BLOCKS, 1);
	rig_fill(b, BLOCKS, 2);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	rig_ok(store_lease_open(r.s, "alpha", STORE_READ, &l, &r.err), &r.err);
	rig_content(a[0], content);
	chunk_id_of(store_keys(r.s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(store_locate(l, CHUNK_DATA, &id, 1, &place, &found, &r.err), &r.err);
	gc_rig_prune(&r, "alpha", 1);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_WAITING);
	assert_int_equal(report.packs_condemned, 2);
	assert_string_equal(report.waiting_host, "alpha");
	/* It was told where the chunk lies: that can still be read. */
	{
		struct buf bytes = BUF_INIT(GROUP_LEN_MAX);

		rig_ok(store_group(l, &place, &bytes, &r.err), &r.err);
		buf_free(&bytes);
	}
	/* Backups and their collecting go on around it. */
	gc_rig_backup(&r, "beta", b, BLOCKS, 1);
	gc_rig_prune(&r, "beta", 1);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_WAITING);
	assert_int_equal(report.packs_condemned, 4);

	assert_int_equal(gc_rig_collect(&r, &config, &report), STORE_GC_DONE);
	assert_int_equal(report.leases_revoked, 1);
	assert_int_equal(report.packs_removed, 4);
	assert_int_equal(store_locate(l, CHUNK_DATA, &id, 1, &place, &found, &r.err), -1);
	assert_int_equal(r.err.code, ERR_CANCELED);
	assert_non_null(strstr(r.err.text, "ask everything again"));
	err_clear(&r.err);
	store_lease_close(l);
	gc_rig_end(&r);
}

/* A session puts something and dies; a month later nobody came back. */
static void
test_what_was_put_stays_until_its_lease_is_revoked(void **state)
{
	static const char *const names[] = { "C" };
	struct store_gc_config config = { .lease_keep_us = 1 };
	struct buf bad = BUF_INIT(4096);
	struct store_gc_report report;
	struct store_lease *l;
	struct store_base base;
	struct rig_agent agent;
	struct chunk_id root;
	uint32_t a[BLOCKS];
	struct rig_volume v = { a, BLOCKS };
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 6);
	rig_fill(a, BLOCKS, 1);
	rig_ok(store_lease_open(r.s, "alpha", STORE_BACKUP, &l, &r.err), &r.err);
	rig_ok(store_backup_begin(l, names, 1, &base, &bad, &r.err), &r.err);
	assert_int_equal(rig_agent_start(&agent, r.s, l), 0);
	rig_ok(rig_volume_put(&agent, &v, &root, &r.err), &r.err);
	rig_agent_end(&agent);
	store_lease_close(l);
	rig_ok(store_packs_seal(r.s->packs, &r.err), &r.err);
	gc_rig_restart(&r, 0);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_young, 2);
	assert_int_equal(report.packs_removed, 0);
	assert_true(gc_rig_has(&r, a[0]));
	assert_int_equal(gc_rig_collect(&r, &config, &report), STORE_GC_DONE);
	assert_int_equal(report.leases_revoked, 1);
	assert_int_equal(report.packs_removed, 2);
	gc_rig_restart(&r, 1);
	assert_int_equal(gc_rig_collect(&r, &config, &report), STORE_GC_DONE);
	assert_int_equal(report.leases_revoked, 0);
	gc_rig_end(&r);
}

static void
test_a_revoked_session_has_to_ask_again(void **state)
{
	static const char *const names[] = { "C" };
	struct buf bad = BUF_INIT(4096), data = BUF_INIT(4096), meta = BUF_INIT(4096);
	enum store_commit_result result;
	struct store_lease *l, *again;
	struct store_base base;
	struct rig_agent agent;
	uint32_t a[BLOCKS];
	struct rig_volume v = { a, BLOCKS };
	uint8_t answer;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 7);
	rig_fill(a, BLOCKS, 1);
	rig_ok(store_lease_open(r.s, "alpha", STORE_BACKUP, &l, &r.err), &r.err);
	rig_ok(store_backup_begin(l, names, 1, &base, &bad, &r.err), &r.err);
	assert_int_equal(rig_agent_start(&agent, r.s, l), 0);
	memset(r.p, 0, sizeof(*r.p));
	r.p->volumes_count = 1;
	memcpy(r.p->volumes[0].name, "C", 2);
	rig_ok(rig_volume_put(&agent, &v, &r.p->volumes[0].root_id, &r.err), &r.err);
	rig_ok(store_lease_revoke(r.s, l->id, &r.err), &r.err);
	assert_int_equal(store_commit(l, r.p, &result, &data, &meta, &r.err), -1);
	assert_int_equal(r.err.code, ERR_CANCELED);
	err_clear(&r.err);
	assert_int_equal(
	    store_have(l, CHUNK_META, &r.p->volumes[0].root_id, 1, &answer, &r.err), -1);
	assert_int_equal(r.err.code, ERR_CANCELED);
	err_clear(&r.err);
	/* Its volumes are free for the next. */
	rig_ok(store_lease_open(r.s, "alpha", STORE_BACKUP, &again, &r.err), &r.err);
	rig_ok(store_backup_begin(again, names, 1, &base, &bad, &r.err), &r.err);
	store_lease_close(again);
	rig_agent_end(&agent);
	store_lease_close(l);
	assert_int_equal(store_lease_revoke(r.s, 77777, &r.err), -1);
	assert_int_equal(r.err.code, ERR_NOTFOUND);
	err_clear(&r.err);
	gc_rig_end(&r);
}

static void
test_only_one_cycle_at_a_time_and_a_dry_one_changes_nothing(void **state)
{
	struct store_gc_config dry = { .dry_run = 1 };
	struct store_gc_report report;
	uint32_t a[BLOCKS];
	struct store_gc *gc, *second;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 8);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_prune(&r, "alpha", 1);
	rig_ok(store_gc_begin(r.s, NULL, &gc, &r.err), &r.err);
	assert_int_equal(store_gc_begin(r.s, NULL, &second, &r.err), -1);
	assert_int_equal(r.err.code, ERR_BUSY);
	err_clear(&r.err);
	store_gc_end(gc);
	assert_int_equal(gc_rig_collect(&r, &dry, &report), STORE_GC_DONE);
	assert_true(report.bytes_freed > 0);
	assert_int_equal(report.bytes_freed, report.bytes_total);
	assert_int_equal(gc_rig_packs(&r), 2);
	assert_true(gc_rig_has(&r, a[0]));
	gc_rig_end(&r);
}

/* ------------------------------------------------------------------ commits -- */

/* A session that names a tree of another's point and asks for nothing in it. */
struct guesser {
	struct gc_rig *r;
	struct store_lease *l;
	struct store_point *draft;
	struct chunk_id root;
	int done;
};

static void
guess(struct guesser *g, struct gc_rig *r)
{
	static const char *const names[] = { "C" };
	struct buf bad = BUF_INIT(4096);
	struct store_base base;

	memset(g, 0, sizeof(*g));
	g->r = r;
	g->draft = calloc(1, sizeof(*g->draft));
	assert_non_null(g->draft);
	g->root = r->p->volumes[0].root_id;
	rig_ok(store_lease_open(r->s, "beta", STORE_BACKUP, &g->l, &r->err), &r->err);
	rig_ok(store_backup_begin(g->l, names, 1, &base, &bad, &r->err), &r->err);
}

static enum store_commit_result
guess_commit(struct guesser *g)
{
	struct buf data = BUF_INIT(65536), meta = BUF_INIT(65536);
	enum store_commit_result result;

	memset(g->draft, 0, sizeof(*g->draft));
	g->draft->volumes_count = 1;
	memcpy(g->draft->volumes[0].name, "C", 2);
	g->draft->volumes[0].root_id = g->root;
	rig_ok(
	    store_commit(g->l, g->draft, &result, &data, &meta, &g->r->err), &g->r->err);
	buf_free(&data);
	buf_free(&meta);
	return result;
}

static void
collect_between(void *arg, enum store_pause where)
{
	struct guesser *g = arg;
	struct store_gc_report report;

	if (where != STORE_PAUSE_COMMIT || g->done)
		return;
	g->done = 1;
	gc_rig_prune(g->r, "alpha", 1);
	assert_int_equal(gc_rig_collect(g->r, NULL, &report), STORE_GC_WAITING);
	assert_int_equal(report.packs_condemned, 2);
}

static void
test_a_commit_checks_again_what_was_condemned_before_its_record(void **state)
{
	uint32_t a[BLOCKS];
	struct guesser g;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 12);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	guess(&g, &r);
	r.s->pause = collect_between;
	r.s->pause_arg = &g;
	assert_int_equal(guess_commit(&g), STORE_MISSING);
	assert_true(g.done);
	store_lease_close(g.l);
	free(g.draft);
	gc_rig_end(&r);
}

static void
test_a_commit_forgets_what_it_met_before_something_was_condemned(void **state)
{
	struct buf root = BUF_INIT(CHUNK_META_MAX);
	struct store_gc_report report;
	struct rig_agent agent;
	uint32_t a[BLOCKS];
	struct guesser g;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 13);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	guess(&g, &r);
	assert_int_equal(guess_commit(&g), STORE_COMMITTED);
	/* Another root over the same nodes, of its own. */
	rig_ok(store_node(g.l, &g.root, &root, &r.err), &r.err);
	root.p[48] = TREE_CRASH;
	chunk_id_of(store_keys(r.s), CHUNK_META, root.p, root.len, &g.root);
	assert_int_equal(rig_agent_start(&agent, r.s, g.l), 0);
	rig_ok(group_builder_add(agent.meta, &g.root, root.p, root.len, &r.err), &r.err);
	rig_ok(rig_flush(&agent, agent.meta, &r.err), &r.err);
	rig_agent_end(&agent);
	buf_free(&root);
	gc_rig_prune(&r, "alpha", 1);
	gc_rig_prune(&r, "beta", 1);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_WAITING);
	assert_int_equal(report.packs_condemned, 2);
	assert_int_equal(guess_commit(&g), STORE_MISSING);
	store_lease_close(g.l);
	free(g.draft);
	gc_rig_end(&r);
}

/* ---------------------------------------------------------------- rewriting -- */

static void
test_what_lives_in_a_mostly_dead_pack_is_written_anew(void **state)
{
	enum { MANY = 400 };
	static uint32_t a[MANY], b[MANY];
	struct store_gc_report report;
	struct gc_rig r;
	uint64_t freed;

	(void)state;
	gc_rig_start(&r, 9);
	rig_fill(a, MANY, 1);
	/* The first blocks stay whole groups, of the rest one in ten lives. */
	for (uint32_t i = 0; i < MANY; i++)
		b[i] = i < 64 || i % 10 == 0 ? a[i] : 0;
	gc_rig_backup(&r, "alpha", a, MANY, 1);
	gc_rig_backup(&r, "alpha", b, MANY, 1);
	gc_rig_prune(&r, "alpha", 1);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_rewritten, 1);
	assert_true(report.packs_removed >= 2);
	assert_true(report.bytes_rewritten > 0);
	freed = report.bytes_freed - report.bytes_rewritten;
	assert_true(freed > report.bytes_freed / 2);
	gc_rig_check(&r, "alpha", 2, b, MANY);
	assert_false(gc_rig_has(&r, a[399]));
	gc_rig_restart(&r, 1);
	gc_rig_check(&r, "alpha", 2, b, MANY);
	/* There is nothing more to gain. */
	rig_ok(store_packs_seal(r.s->packs, &r.err), &r.err);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 0);
	assert_int_equal(report.bytes_rewritten, 0);
	gc_rig_end(&r);
}

/*
 * A session that began after the copies were sealed is told of a chunk in the pack that
 * they are of.  The copies are older than its lease: only its pins keep them.
 */
static void
test_what_a_session_was_told_of_is_kept_where_it_was_copied_to(void **state)
{
	enum { MANY = 400 };
	static uint32_t a[MANY], b[MANY];
	enum store_gc_state now = STORE_GC_MARKING;
	struct store_gc_report report;
	uint8_t content[RIG_BLOCK], answer;
	struct store_lease *l;
	struct chunk_id id;
	struct store_gc *gc;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 16);
	rig_fill(a, MANY, 1);
	for (uint32_t i = 0; i < MANY; i++)
		b[i] = i % 10 == 0 ? a[i] : 0;
	gc_rig_backup(&r, "alpha", a, MANY, 1);
	gc_rig_backup(&r, "alpha", b, MANY, 1);
	gc_rig_prune(&r, "alpha", 1);
	rig_ok(store_gc_begin(r.s, NULL, &gc, &r.err), &r.err);
	while (now != STORE_GC_CONDEMNING)
		rig_ok(store_gc_step(gc, &now, &r.err), &r.err);
	rig_ok(store_packs_seal(r.s->packs, &r.err), &r.err);
	rig_content(b[10], content);
	chunk_id_of(store_keys(r.s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(store_lease_open(r.s, "beta", STORE_BACKUP, &l, &r.err), &r.err);
	rig_ok(store_have(l, CHUNK_DATA, &id, 1, &answer, &r.err), &r.err);
	assert_int_equal(answer, STORE_HAVE);
	while (now != STORE_GC_WAITING)
		rig_ok(store_gc_step(gc, &now, &r.err), &r.err);
	assert_int_equal(store_gc_now(gc)->packs_rewritten, 1);
	store_gc_end(gc);

	gc_rig_prune(&r, "alpha", 2);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_WAITING);
	assert_int_equal(report.packs_pinned, 1);
	assert_true(gc_rig_has(&r, b[10]));
	store_lease_close(l);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_false(gc_rig_has(&r, b[10]));
	gc_rig_end(&r);
}

/* ----------------------------------------------------------------- sweeping -- */

static void
test_a_removal_that_dies_half_way_is_no_loss(void **state)
{
	uint32_t a[BLOCKS], b[BLOCKS];
	uint64_t nth;
	int fired = 1;

	(void)state;
	rig_fill(a, BLOCKS, 1);
	rig_fill(b, BLOCKS, 2);
	for (nth = 1; fired; nth++) {
		enum store_gc_state now = STORE_GC_MARKING;
		struct store_gc *gc;
		struct gc_rig r;

		gc_rig_start(&r, 17);
		gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
		gc_rig_backup(&r, "beta", b, BLOCKS, 1);
		gc_rig_prune(&r, "alpha", 1);
		rig_ok(store_gc_begin(r.s, NULL, &gc, &r.err), &r.err);
		while (now != STORE_GC_SWEEPING)
			rig_ok(store_gc_step(gc, &now, &r.err), &r.err);
		fs_fault_arm(r.ff, nth, FS_FAULT_DIE);
		(void)store_gc_step(gc, &now, &r.err);
		fired = fs_fault_fired(r.ff);
		err_clear(&r.err);
		store_gc_end(gc);
		gc_rig_restart(&r, 1);
		assert_int_equal(r.s->lost_packs, 0);
		gc_rig_check(&r, "beta", 1, b, BLOCKS);
		gc_rig_end(&r);
	}
	assert_true(nth > 5);
}

/* ------------------------------------------------------------------- damage -- */

static void
test_a_missing_node_ends_the_cycle_and_a_missing_chunk_does_not(void **state)
{
	uint32_t a[BLOCKS], b[BLOCKS];
	struct store_gc_report report;
	struct index_hit hit;
	struct gc_rig r;
	struct chunk_id id;
	uint8_t content[RIG_BLOCK];

	(void)state;
	gc_rig_start(&r, 10);
	rig_fill(a, BLOCKS, 1);
	rig_fill(b, BLOCKS, 2);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_backup(&r, "beta", b, BLOCKS, 1);
	gc_rig_prune(&r, "beta", 1);
	rig_content(a[3], content);
	chunk_id_of(store_keys(r.s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(index_lookup(r.s->index, &id, 1, &hit, &r.err), &r.err);
	rig_ok(store_quarantine(r.s, hit.loc.pack, hit.loc.offset, &r.err), &r.err);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.missing, BLOCKS);
	assert_int_equal(report.packs_removed, 2);
	/* What is left of it is kept for repair. */
	assert_int_equal(report.packs_bad, 1);
	assert_int_equal(gc_rig_packs(&r), 2);

	rig_ok(store_point_get(r.s, "alpha", 1, r.p, &r.err), &r.err);
	rig_ok(
	    index_lookup(r.s->index, &r.p->volumes[0].root_id, 1, &hit, &r.err), &r.err);
	rig_ok(store_quarantine(r.s, hit.loc.pack, hit.loc.offset, &r.err), &r.err);
	assert_int_equal(store_gc(r.s, NULL, NULL, NULL, &report, &r.err), -1);
	assert_int_equal(r.err.code, ERR_NOTFOUND);
	assert_non_null(strstr(r.err.text, "alpha point 1 volume C"));
	err_clear(&r.err);
	assert_int_equal(gc_rig_packs(&r), 2);
	gc_rig_end(&r);
}

/* Two copies: the one that is condemned comes back when the other goes bad. */
static void
test_a_quarantine_ends_a_cycle_and_brings_condemned_packs_back(void **state)
{
	struct store_gc_config config = { .nodes_per_step = 1 };
	enum store_gc_state now = STORE_GC_MARKING;
	struct store_gc_report report;
	uint32_t a[BLOCKS], b[BLOCKS];
	struct store_lease *l;
	struct store_gc *gc;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 11);
	rig_fill(a, BLOCKS, 1);
	rig_fill(b, BLOCKS, 2);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_backup(&r, "beta", b, BLOCKS, 1);
	gc_rig_prune(&r, "alpha", 1);
	rig_ok(store_lease_open(r.s, "", STORE_READ, &l, &r.err), &r.err);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_WAITING);
	assert_int_equal(report.packs_condemned, 2);
	assert_false(gc_rig_has(&r, a[0]));
	rig_ok(store_quarantine(r.s, 3, 96, &r.err), &r.err);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_recalled, 2);
	store_lease_close(l);
	assert_int_equal(gc_rig_packs(&r), 4);
	/* The next cycle decides anew. */
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 2);

	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	rig_ok(store_gc_begin(r.s, &config, &gc, &r.err), &r.err);
	rig_ok(store_gc_step(gc, &now, &r.err), &r.err);
	rig_ok(store_quarantine(r.s, 5, 96, &r.err), &r.err);
	assert_int_equal(store_gc_step(gc, &now, &r.err), -1);
	assert_int_equal(r.err.code, ERR_CANCELED);
	err_clear(&r.err);
	store_gc_end(gc);
	gc_rig_end(&r);
}

/* It comes back as far as it can be read, and is in nobody's way from then on. */
static void
test_a_condemned_pack_that_rots_comes_back_as_far_as_it_is_whole(void **state)
{
	struct store_gc_report report;
	uint32_t a[BLOCKS], b[BLOCKS];
	struct store_lease *l;
	struct gc_rig r;
	uint8_t *bytes;
	size_t len;

	(void)state;
	gc_rig_start(&r, 18);
	rig_fill(a, BLOCKS, 1);
	rig_fill(b, BLOCKS, 2);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_backup(&r, "beta", b, BLOCKS, 1);
	gc_rig_prune(&r, "alpha", 1);
	rig_ok(store_lease_open(r.s, "", STORE_READ, &l, &r.err), &r.err);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_WAITING);
	assert_int_equal(report.packs_condemned, 2);
	store_lease_close(l);
	bytes = fs_fault_bytes(r.ff, "packs/00000001.pack", &len);
	assert_non_null(bytes);
	bytes[len - 100] ^= 1;
	rig_ok(store_quarantine(r.s, 3, 96, &r.err), &r.err);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_recalled, 2);
	assert_true(gc_rig_has(&r, a[0]));
	/* What can be told of it goes, the rest is for repair. */
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 1);
	assert_int_equal(report.packs_bad, 2);
	gc_rig_end(&r);
}

/* Who found the group bad was just slower than the collector. */
static void
test_what_is_found_bad_in_a_removed_pack_is_no_loss(void **state)
{
	struct store_gc_report report;
	struct journal_event *e = calloc(1, sizeof(*e));
	uint32_t a[BLOCKS];
	struct gc_rig r;

	(void)state;
	assert_non_null(e);
	gc_rig_start(&r, 19);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_prune(&r, "alpha", 1);
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	assert_int_equal(report.packs_removed, 2);
	e->type = JOURNAL_QUARANTINE;
	e->u.group.pack = 1;
	e->u.group.offset = 96;
	rig_ok(store_record(r.s, e, NULL, &r.err), &r.err);
	rig_ok(store_lose_unnamed(r.s, 1, &r.err), &r.err);
	rig_ok(store_lose_pack(r.s, 1, &r.err), &r.err);
	rig_ok(store_quarantine(r.s, 1, 200, &r.err), &r.err);
	gc_rig_restart(&r, 1);
	assert_false(store_lost_unnamed(r.s));
	assert_int_equal(store_is_quarantined(r.s, 1, 96, &r.err), 0);
	gc_rig_end(&r);
	free(e);
}

static void
collect_meanwhile(void *arg, enum store_pause where)
{
	struct store_gc_report report;

	if (where == STORE_PAUSE_QUARANTINE)
		(void)gc_rig_collect(arg, NULL, &report);
}

/* No copy of it is found, but it may be good after all, and is all there is. */
static void
test_a_cycle_while_something_is_quarantined_keeps_what_is_left_of_it(void **state)
{
	struct index_hit hit;
	uint8_t content[RIG_BLOCK];
	struct chunk_id id;
	uint32_t a[BLOCKS];
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 21);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	rig_content(a[0], content);
	chunk_id_of(store_keys(r.s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(index_lookup(r.s->index, &id, 1, &hit, &r.err), &r.err);
	r.s->pause = collect_meanwhile;
	r.s->pause_arg = &r;
	rig_ok(store_quarantine(r.s, hit.loc.pack, hit.loc.offset, &r.err), &r.err);
	r.s->pause = NULL;
	assert_int_equal(gc_rig_packs(&r), 2);
	rig_ok(store_release_group(r.s, hit.loc.pack, hit.loc.offset, &r.err), &r.err);
	gc_rig_check(&r, "alpha", 1, a, BLOCKS);
	gc_rig_end(&r);
}

static void
test_a_store_that_may_be_read_only_is_looked_at_and_not_collected(void **state)
{
	const struct store_options o = { .read_only = 1 };
	struct store_gc_config dry = { .dry_run = 1 };
	struct store_gc_report report;
	uint32_t a[BLOCKS];
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 20);
	rig_fill(a, BLOCKS, 1);
	gc_rig_backup(&r, "alpha", a, BLOCKS, 1);
	gc_rig_prune(&r, "alpha", 1);
	store_close(r.s);
	rig_ok(store_open_with_fs(fs_fault_fs(r.ff), NULL, &o, &r.s, &r.err), &r.err);
	assert_int_equal(store_gc(r.s, NULL, NULL, NULL, &report, &r.err), -1);
	assert_int_equal(r.err.code, ERR_DENIED);
	assert_non_null(strstr(r.err.text, "read-only"));
	err_clear(&r.err);
	assert_true(gc_rig_has(&r, a[0]));
	assert_int_equal(gc_rig_collect(&r, &dry, &report), STORE_GC_DONE);
	assert_true(report.bytes_freed > 0);
	gc_rig_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dead_chunks_go_and_live_ones_stay),
		cmocka_unit_test(test_a_removed_packs_number_is_never_given_again),
		cmocka_unit_test(
		    test_a_backup_on_a_point_that_is_pruned_before_it_is_marked),
		cmocka_unit_test(test_a_node_marked_by_have_is_walked_all_the_same),
		cmocka_unit_test(
		    test_what_a_session_was_told_of_stays_until_its_lease_ends),
		cmocka_unit_test(test_a_point_being_read_stays_though_it_is_pruned),
		cmocka_unit_test(test_a_reader_left_open_delays_files_and_can_be_revoked),
		cmocka_unit_test(test_what_was_put_stays_until_its_lease_is_revoked),
		cmocka_unit_test(test_a_revoked_session_has_to_ask_again),
		cmocka_unit_test(
		    test_only_one_cycle_at_a_time_and_a_dry_one_changes_nothing),
		cmocka_unit_test(
		    test_a_commit_checks_again_what_was_condemned_before_its_record),
		cmocka_unit_test(
		    test_a_commit_forgets_what_it_met_before_something_was_condemned),
		cmocka_unit_test(test_what_lives_in_a_mostly_dead_pack_is_written_anew),
		cmocka_unit_test(
		    test_what_a_session_was_told_of_is_kept_where_it_was_copied_to),
		cmocka_unit_test(test_a_removal_that_dies_half_way_is_no_loss),
		cmocka_unit_test(
		    test_a_missing_node_ends_the_cycle_and_a_missing_chunk_does_not),
		cmocka_unit_test(
		    test_a_quarantine_ends_a_cycle_and_brings_condemned_packs_back),
		cmocka_unit_test(
		    test_a_condemned_pack_that_rots_comes_back_as_far_as_it_is_whole),
		cmocka_unit_test(test_what_is_found_bad_in_a_removed_pack_is_no_loss),
		cmocka_unit_test(
		    test_a_cycle_while_something_is_quarantined_keeps_what_is_left_of_it),
		cmocka_unit_test(
		    test_a_store_that_may_be_read_only_is_looked_at_and_not_collected),
	};

#ifdef GC_MUTANTS
	return take_lines_away(tests, sizeof(tests) / sizeof(tests[0]));
#else
	return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
