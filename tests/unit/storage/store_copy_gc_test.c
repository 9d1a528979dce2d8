/*
 * A collection runs while a copy runs, step by step in one thread: wherever they meet,
 * the copy has every pack that it names, opens, and all its points are whole.  And
 * what a hold gives to who copies over the network is that moment's, by number only.
 */
#include "storage/journal.h"
#include "storage/store_copy.h"
#include "storage/store_copy_source.h"
#include "storage/store_escrow.h"
#include "tests/unit/storage/gc_rig.h"

#define BLOCKS 24u
#define POINTS 4u

/* Of the steps where two may meet; all in the build that is shipped. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 4u
#else
#define STRIDE 1u
#endif

struct here {
	struct gc_rig r;
	struct store_keys_of keys;
	uint32_t blocks[POINTS + 1][BLOCKS];
};

/*
 * Four points; the first shares a quarter of its blocks with the second, so that its
 * pack is written anew once it is pruned, and the third shares nothing.
 */
static void
start(struct here *h)
{
	memset(h, 0, sizeof(*h));
	gc_rig_start(&h->r, 5);
	rig_ok(store_keys_load(fs_fault_fs(h->r.ff), &h->keys, &h->r.err), &h->r.err);
	for (uint32_t n = 1; n <= POINTS; n++) {
		rig_fill(h->blocks[n], BLOCKS, n * 100);
		for (uint32_t i = 0; n == 2 && i < BLOCKS / 4; i++)
			h->blocks[2][i] = h->blocks[1][i];
		assert_int_equal(
		    gc_rig_backup(&h->r, "alpha", h->blocks[n], BLOCKS, 1), n);
	}
}

static void
prune(struct here *h)
{
	gc_rig_prune(&h->r, "alpha", 1);
	gc_rig_prune(&h->r, "alpha", 3);
}

/* ------------------------------------------------------------- two at a time -- */

struct beside {
	struct here *h;
	struct store_gc *gc;
	enum store_gc_state state;
	uint64_t at; /* Go on, or begin, before this call of the copying to its files. */
	unsigned steps; /* Of the collection before each call from then on. */
	int waited;
};

static void
collect_some(struct beside *b, unsigned steps)
{
	for (unsigned i = 0; i < steps && b->state != STORE_GC_DONE; i++) {
		rig_ok(store_gc_step(b->gc, &b->state, &b->h->r.err), &b->h->r.err);
		b->waited |= b->state == STORE_GC_WAITING;
	}
}

static void
begin(struct beside *b)
{
	const struct store_gc_config config = { .nodes_per_step = 1 };

	prune(b->h);
	rig_ok(store_gc_begin(b->h->r.s, &config, &b->gc, &b->h->r.err), &b->h->r.err);
	b->state = STORE_GC_MARKING;
}

/* Called before each call of the copying to where it goes. */
static void
meanwhile(void *arg, uint64_t nth, const char *what, const char *name)
{
	struct beside *b = arg;

	(void)what;
	(void)name;
	if (nth < b->at)
		return;
	if (b->gc == NULL)
		begin(b);
	collect_some(b, b->steps);
}

/* The copy, by itself: is all there that it names?  Opens it; counts its points. */
static unsigned
points_in(struct here *h, struct fs_fault *ff)
{
	const struct store_copy_config config = { 0 };
	struct store_copy_report report;
	struct err err = ERR_INIT;
	unsigned n = 0;
	struct store *s;

	rig_ok(
	    store_copy_verify(fs_fault_fs(ff), &h->keys, h->r.s, &config, &report, &err),
	    &err);
	assert_int_equal(report.problems, 0);
	assert_int_equal(report.packs, report.packs_total);
	rig_ok(store_escrow_import(fs_fault_fs(ff), &h->keys, &err), &err);
	rig_ok(store_open_fs(fs_fault_fs(ff), NULL, NULL, &s, &err), &err);
	assert_null(strstr(store_opened(s), "MISSING"));
	for (uint64_t i = 1; i <= POINTS; i++) {
		struct rig_volume v = { h->blocks[i], BLOCKS };

		err_clear(&err);
		if (store_point_get(s, "alpha", i, h->r.p, &err) != 0) {
			assert_true(i == 1 || i == 3);
			continue;
		}
		rig_ok(rig_verify(s, h->r.p, 0, &v, &err), &err);
		n++;
	}
	store_close(s);
	return n;
}

struct tally {
	unsigned runs, waited, whole, pruned, taken; /* Meetings, and what they were. */
};

/*
 * Copy with a collection that does `before` steps first, and then `steps` before each
 * call of the copying from `at` on.  Non-zero if they did not meet.
 */
static int
meet(struct tally *t, unsigned before, uint64_t at, unsigned steps)
{
	const struct store_copy_config config = { 0 };
	struct fs_fault *ff = fs_fault_new(9);
	struct store_copy_report report;
	struct here h;
	struct beside b = { .h = &h, .at = at, .steps = steps };
	int over = 0;
	uint32_t removed = 0;
	unsigned n;

	start(&h);
	if (before > 0) {
		begin(&b);
		collect_some(&b, before);
		over = b.state == STORE_GC_DONE;
		removed = store_gc_now(b.gc)->packs_removed;
	}
	fs_fault_arm(ff, 0, FS_FAULT_NONE);
	fs_fault_watch(ff, meanwhile, &b);
	rig_ok(store_copy(h.r.s, fs_fault_fs(ff), &config, &report, &h.r.err), &h.r.err);
	fs_fault_watch(ff, NULL, NULL);
	assert_int_equal(report.problems, 0);
	if (b.gc == NULL)
		over = 1;
	else {
		t->taken += store_gc_now(b.gc)->packs_removed > removed;
		collect_some(&b, 100000);
		assert_int_equal(b.state, STORE_GC_DONE);
		assert_true(store_gc_now(b.gc)->packs_removed > 0);
		store_gc_end(b.gc);
		n = points_in(&h, ff);
		/* All of a moment before, or after, or between the two prunings. */
		assert_true(n >= 2 && n <= POINTS);
		t->runs++;
		t->waited += b.waited != 0;
		t->whole += n == POINTS;
		t->pruned += n == 2;
		gc_rig_check(&h.r, "alpha", 2, h.blocks[2], BLOCKS);
		gc_rig_check(&h.r, "alpha", 4, h.blocks[4], BLOCKS);
	}
	gc_rig_end(&h.r);
	fs_fault_free(ff);
	return over;
}

static void
test_a_collection_that_begins_at_any_step_of_a_copy(void **state)
{
	static const unsigned steps[] = { 1, 4, 1000 };
	struct tally t = { 0 };
	uint64_t at;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		for (at = 1; meet(&t, 0, at, steps[i]) == 0;
		     at += i == 0 ? STRIDE : 3 * STRIDE)
			continue;
		assert_true(at > 50);
	}
	print_message("%u meetings, %u waited for the copy, %u copies of all points\n",
	    t.runs, t.waited, t.whole);
	/* It did wait, or the test shows nothing. */
	assert_true(t.waited > 60 / STRIDE);
	assert_true(t.whole > 60 / STRIDE);
}

static void
test_a_copy_that_begins_at_any_step_of_a_collection(void **state)
{
	struct tally t = { 0 };

	(void)state;
	for (unsigned before = 1; before < 1000; before += STRIDE) {
		int over = 0;

		for (uint64_t at = 1; at < 60; at += 7)
			over = meet(&t, before, at, at % 2 ? 1 : 1000);
		if (over)
			break;
	}
	print_message("%u meetings, %u waited for the copy, %u took packs meanwhile\n",
	    t.runs, t.waited, t.taken);
	assert_int_equal(t.pruned, t.runs);
	assert_true(t.waited > 20 / STRIDE);
	assert_true(t.taken > 12 / STRIDE);
}

/* ------------------------------------------------------------------- a hold -- */

static int
hold_read(struct store_copy_hold *hold, uint32_t no, uint64_t offset, size_t len,
    size_t *got, struct err *err)
{
	static uint8_t room[4096];
	uint64_t size;

	err_clear(err);
	assert_true(len <= sizeof(room));
	return store_copy_hold_read(hold, no, offset, room, len, got, &size, err);
}

static void
test_only_the_moment_can_be_read_and_only_by_number(void **state)
{
	static const uint32_t hostile[] = { 99, 0x7fffffff, 0x80000000, UINT32_MAX };
	struct store_copy_terms *t = calloc(1, sizeof(*t));
	const struct store_copy_moment *m;
	struct store_copy_hold *hold;
	struct err err = ERR_INIT;
	uint64_t length;
	struct here h;
	size_t got;

	(void)state;
	assert_non_null(t);
	start(&h);
	rig_ok(store_copy_hold_open(h.r.s, 0, t, &hold, &err), &err);
	m = store_copy_hold_moment(hold);
	assert_int_equal(m->highest, 2 * POINTS);
	assert_int_equal(t->journal.past_len, 0);
	assert_memory_equal(t->store, h.keys.store, sizeof(t->store));
	rig_ok(hold_read(hold, 1, 0, 96, &got, &err), &err);
	assert_int_equal(got, 96);
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		assert_int_equal(hold_read(hold, hostile[i], 0, 1, &got, &err), -1);
		assert_int_equal(err.code, ERR_DENIED);
		assert_int_equal(got, 0);
	}
	/* Behind the end, and at it. */
	length = t->journal.len;
	assert_int_equal(hold_read(hold, 0, length + 1, 1, &got, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(hold_read(hold, 1, UINT64_MAX, 4096, &got, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	rig_ok(hold_read(hold, 0, length, 4096, &got, &err), &err);
	assert_int_equal(got, 0);
	/* What comes later is not of this moment, be it records or a pack. */
	gc_rig_backup(&h.r, "beta", h.blocks[1], BLOCKS, 1);
	rig_fill(h.blocks[1], BLOCKS, 7777);
	gc_rig_backup(&h.r, "beta", h.blocks[1], BLOCKS, 1);
	rig_ok(hold_read(hold, 0, length - 1, 4096, &got, &err), &err);
	assert_int_equal(got, 1);
	assert_int_equal(hold_read(hold, m->highest + 1, 0, 1, &got, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	store_copy_hold_close(hold);
	/* What a copy has is known by its hash; more than there is, is none of ours. */
	rig_ok(store_copy_hold_open(h.r.s, length, t, &hold, &err), &err);
	assert_int_equal(t->journal.past_len, length);
	store_copy_hold_close(hold);
	rig_ok(store_copy_hold_open(h.r.s, UINT64_MAX, t, &hold, &err), &err);
	assert_int_equal(t->journal.past_len, 0);
	store_copy_hold_close(hold);
	gc_rig_end(&h.r);
	free(t);
}

/* ------------------------------------------------- a journal from its bytes -- */

struct giving {
	struct store_copy_hold *hold;
	uint64_t flip; /* Which byte comes wrong; UINT64_MAX: none. */
};

static int
give(void *arg, uint64_t at, uint8_t *p, size_t len, struct err *err)
{
	struct giving *g = arg;
	uint64_t size;
	size_t got;

	if (store_copy_hold_read(g->hold, 0, at, p, len, &got, &size, err) != 0)
		return -1;
	assert_int_equal(got, len);
	if (g->flip >= at && g->flip - at < len)
		p[g->flip - at] ^= 0x10;
	return 0;
}

static void
test_a_journal_that_came_damaged_replaces_nothing(void **state)
{
	struct store_copy_terms *t = calloc(1, sizeof(*t));
	struct fs_fault *ff = fs_fault_new(3);
	struct fs *to = fs_fault_fs(ff);
	uint8_t hash[JOURNAL_HASH_LEN];
	struct giving g = { .flip = UINT64_MAX };
	struct err err = ERR_INIT;
	struct journal *j;
	struct here h;

	(void)state;
	assert_non_null(t);
	start(&h);
	rig_ok(store_copy_hold_open(h.r.s, 0, t, &g.hold, &err), &err);
	for (g.flip = 0; g.flip < t->journal.len; g.flip += t->journal.len / 40) {
		assert_int_equal(journal_image_put(to, &t->journal, give, &g, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		assert_null(fs_fault_bytes(ff, JOURNAL_NAME, &(size_t){ 0 }));
		err_clear(&err);
	}
	g.flip = UINT64_MAX;
	rig_ok(journal_image_put(to, &t->journal, give, &g, &err), &err);
	rig_ok(journal_image_hash(to, t->journal.len, hash, &err), &err);
	assert_memory_equal(hash, t->journal.hash, sizeof(hash));
	rig_ok(
	    journal_open(to, h.keys.store, h.keys.journal, NULL, &j, NULL, &err), &err);
	journal_close(j);
	store_copy_hold_close(g.hold);
	gc_rig_end(&h.r);
	fs_fault_free(ff);
	free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_collection_that_begins_at_any_step_of_a_copy),
		cmocka_unit_test(test_a_copy_that_begins_at_any_step_of_a_collection),
		cmocka_unit_test(test_only_the_moment_can_be_read_and_only_by_number),
		cmocka_unit_test(test_a_journal_that_came_damaged_replaces_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
