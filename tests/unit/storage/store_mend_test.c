/*
 * A store whose packs have parity puts them right itself: verify and repair make them
 * what they were when they were sealed, and what was quarantined counts again.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/store_options.h"
#include "storage/store_repair.h"
#include "storage/store_verify.h"
#include "tests/unit/storage/gc_rig.h"

#define NAME "packs/00000001.pack"
#define BLOCKS 60u

/* Not every call, for time; with sanitizers fewer. */
#ifdef __SANITIZE_ADDRESS__
#define STEP 3u
#elif defined(__SANITIZE_THREAD__)
#define STEP 7u
#else
#define STEP 2u
#endif

struct world {
	struct fs_fault *ff;
	struct fs *fs;
	struct store *s;
	struct store_point *p;
	struct rig_volume v;
	uint32_t blocks[BLOCKS];
	uint8_t *was;
	size_t len;
	struct err err;
	unsigned told;
};

static void
reopen(struct world *w, int read_only)
{
	struct store_options o = STORE_OPTIONS_INIT;

	store_close(w->s);
	w->s = NULL;
	o.parity = 20;
	o.read_only = read_only;
	rig_ok(store_open_with_fs(w->fs, CATALOG_NAME, &o, &w->s, &w->err), &w->err);
}

static void
begin(struct world *w, uint64_t seed)
{
	const uint8_t *now;

	memset(w, 0, sizeof(*w));
	assert_non_null(w->ff = fs_fault_new(seed));
	assert_non_null(w->p = calloc(1, sizeof(*w->p)));
	w->fs = fs_fault_fs(w->ff);
	rig_fill(w->blocks, BLOCKS, 5);
	w->v = (struct rig_volume){ w->blocks, BLOCKS };
	rig_ok(store_init_fs(w->fs, &w->err), &w->err);
	reopen(w, 0);
	rig_ok(rig_backup(w->s, "alpha", &w->v, w->p, &w->err), &w->err);
	store_close(w->s);
	w->s = NULL;
	fs_fault_restart(w->ff, 0);
	assert_non_null(now = fs_fault_bytes(w->ff, NAME, &w->len));
	assert_non_null(w->was = malloc(w->len));
	memcpy(w->was, now, w->len);
}

static void
end(struct world *w)
{
	store_close(w->s);
	free(w->was);
	free(w->p);
	fs_fault_free(w->ff);
}

/* Change a byte; from the end if negative. */
static void
spoil(struct world *w, long at)
{
	size_t len;
	uint8_t *p = fs_fault_bytes(w->ff, NAME, &len);

	assert_non_null(p);
	p[at < 0 ? (long)len + at : at] ^= 0x21;
}

static int
as_sealed(struct world *w)
{
	size_t len;
	const uint8_t *p = fs_fault_bytes(w->ff, NAME, &len);

	return p != NULL && len == w->len && memcmp(p, w->was, len) == 0;
}

static int
hear(void *arg, const struct store_verify_report *r, const char *problem)
{
	(void)r;
	*(unsigned *)arg += problem != NULL;
	return 0;
}

static void
verify(struct world *w, struct store_verify_report *r)
{
	w->told = 0;
	rig_ok(store_verify(w->s, 0, 1, hear, &w->told, r, &w->err), &w->err);
}

static void
must_be_whole(struct world *w, int rounds)
{
	struct store_verify_report r;
	struct journal_group g;
	uint32_t n;

	for (int round = 0; round < rounds; round++) {
		assert_true(as_sealed(w));
		rig_ok(rig_verify(w->s, w->p, 0, &w->v, &w->err), &w->err);
		verify(w, &r);
		assert_int_equal(r.bad_groups + r.mended_packs + w->told, 0);
		assert_int_equal(r.points_verified, 1);
		rig_ok(catalog_quarantined(w->s->catalog, NULL, &g, 1, &n, &w->err),
		    &w->err);
		assert_int_equal(n, 0);
		assert_false(store_lost_unnamed(w->s));
		reopen(w, 0);
	}
}

static void
test_verify_mends_groups_and_releases_them(void **state)
{
	struct store_verify_report r;
	struct world w;

	(void)state;
	begin(&w, 1);
	reopen(&w, 0);
	spoil(&w, 1000);
	verify(&w, &r);
	assert_int_equal(r.mended_packs, 1);
	assert_int_equal(r.bad_groups, 1);
	assert_int_equal(r.released_groups, 1);
	assert_int_equal(w.told, 2); /* The group, and that it is good again. */
	must_be_whole(&w, 2);
	end(&w);
}

/* Header, footer or parity: nothing is ever given up. */
static void
test_verify_mends_what_is_no_group(void **state)
{
	static const long places[] = { 2, -100, -200, -2000 };
	struct store_verify_report r;
	struct world w;

	(void)state;
	begin(&w, 2);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		/* It came about while the store is open, or before. */
		for (int before = 0; before < (places[i] < 0 ? 2 : 1); before++) {
			if (before)
				spoil(&w, places[i]);
			reopen(&w, 0);
			if (!before)
				spoil(&w, places[i]);
			verify(&w, &r);
			assert_int_equal(r.mended_packs, 1);
			assert_int_equal(r.bad_groups, 0);
			assert_int_equal(w.told, 1);
			must_be_whole(&w, 2);
		}
	}
	end(&w);
}

static void
test_repair_mends_header_and_footer(void **state)
{
	static const long places[] = { 2, -100, -200 };
	struct store_repair_report r;
	struct world w;

	(void)state;
	begin(&w, 3);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		store_close(w.s);
		w.s = NULL;
		spoil(&w, places[i]);
		spoil(&w, 1000);
		/* Read-only it is only said. */
		reopen(&w, 1);
		rig_ok(store_repair(w.s, NULL, NULL, &r, &w.err), &w.err);
		assert_int_equal(r.packs_mended, 1);
		assert_false(as_sealed(&w));
		reopen(&w, 0);
		rig_ok(store_repair(w.s, NULL, NULL, &r, &w.err), &w.err);
		assert_int_equal(r.packs_mended, 1);
		assert_int_equal(r.packs_rewritten + r.groups_lost + r.problems, 0);
		must_be_whole(&w, 2);
	}
	end(&w);
}

static void
test_what_is_beyond_parity_is_as_without(void **state)
{
	struct store_verify_report v;
	struct store_repair_report r;
	struct world w;
	size_t len;
	uint8_t *p;

	(void)state;
	begin(&w, 4);
	reopen(&w, 0);
	p = fs_fault_bytes(w.ff, NAME, &len);
	for (size_t at = 1000; at < len * 6 / 10; at += 512)
		p[at] ^= 1;
	verify(&w, &v);
	assert_int_equal(v.mended_packs, 0);
	assert_true(v.bad_groups > 0);
	assert_int_equal(v.released_groups, 0);
	assert_false(as_sealed(&w));
	spoil(&w, -100);
	rig_ok(store_repair(w.s, NULL, NULL, &r, &w.err), &w.err);
	assert_int_equal(r.packs_mended, 0);
	assert_int_equal(r.packs_rewritten, 1);
	end(&w);
}

/* Dies at the nth call of verify or repair: 1 if it came to that. */
static int
crash_at(struct world *of, uint64_t nth, int by_repair, int power_cut)
{
	struct store_verify_report v;
	struct store_repair_report r;
	struct world w = *of;
	int ret, fired;

	assert_non_null(w.ff = fs_fault_copy(of->ff, nth));
	w.fs = fs_fault_fs(w.ff);
	spoil(&w, by_repair ? -100 : 1000);
	reopen(&w, 0);
	fs_fault_arm(w.ff, nth, FS_FAULT_DIE);
	if (by_repair)
		ret = store_repair(w.s, NULL, NULL, &r, &w.err);
	else
		ret = store_verify(w.s, 0, 1, NULL, NULL, &v, &w.err);
	fired = fs_fault_fired(w.ff);
	assert_true(fired || ret == 0);
	store_close(w.s);
	w.s = NULL;
	err_clear(&w.err);
	fs_fault_restart(w.ff, power_cut);
	reopen(&w, 0);
	verify(&w, &v);
	must_be_whole(&w, 1);
	store_close(w.s);
	fs_fault_free(w.ff);
	return fired;
}

static void
test_it_may_be_cut_anywhere(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 5);
	for (int by_repair = 0; by_repair < 2; by_repair++) {
		uint64_t nth = 1;

		while (crash_at(&w, nth, by_repair, nth / STEP % 2 == 0))
			nth += STEP;
		printf("%llu calls\n", (unsigned long long)nth - 1);
		assert_true(nth > 15);
	}
	end(&w);
}

/* Two find the same pack bad at once. */
static struct {
	struct world *w;
	struct fs_ops ops;
	const struct fs_ops *below;
	struct journal_pack k;
	pthread_t thread;
	int begun, second, cut;
	atomic_int ended;
} both;

static void *
mend_too(void *arg)
{
	char what[ERR_TEXT_MAX];
	struct err err = ERR_INIT;

	(void)arg;
	both.second = store_mend_pack(both.w->s, &both.k, what, &err);
	atomic_store(&both.ended, 1);
	return NULL;
}

/* The first is about to begin its new file: the second has a while to do all of it. */
static int
truncate_beside(struct fs_file *f, uint64_t len, struct err *err)
{
	const struct timespec moment = { 0, 1000000 };
	size_t now = 0;
	int ret;

	if (!both.begun) {
		both.begun = 1;
		assert_int_equal(pthread_create(&both.thread, NULL, mend_too, NULL), 0);
		for (int i = 0; i < 300 && !atomic_load(&both.ended); i++)
			(void)nanosleep(&moment, NULL);
	}
	ret = both.below->truncate(f, len, err);
	if (fs_fault_bytes(both.w->ff, NAME, &now) == NULL || now != both.w->len)
		both.cut = 1;
	return ret;
}

static void
test_two_do_not_mend_one_pack_at_once(void **state)
{
	char what[ERR_TEXT_MAX];
	struct world w;
	uint32_t n;

	(void)state;
	begin(&w, 6);
	reopen(&w, 0);
	memset(&both, 0, sizeof(both));
	both.w = &w;
	rig_ok(catalog_packs(w.s->catalog, 0, &both.k, 1, &n, &w.err), &w.err);
	assert_int_equal(both.k.no, 1);
	spoil(&w, 1000);
	both.below = w.fs->ops;
	both.ops = *both.below;
	both.ops.truncate = truncate_beside;
	w.fs->ops = &both.ops;
	assert_int_equal(store_mend_pack(w.s, &both.k, what, &w.err), 1);
	assert_int_equal(pthread_join(both.thread, NULL), 0);
	w.fs->ops = both.below;
	assert_true(both.begun);
	assert_false(both.cut);
	/* Who comes second finds it whole, and is to read it again. */
	assert_int_equal(both.second, 2);
	must_be_whole(&w, 2);
	end(&w);
}

struct remembering {
	struct gc_rig *r;
	uint32_t removals;
	pthread_t thread;
	atomic_int ended;
};

static void *
remember(void *arg)
{
	struct err ignored = ERR_INIT;
	struct remembering *m = arg;

	(void)store_remember_mended(m->r->s, 1, &ignored);
	atomic_store(&m->ended, 1);
	return NULL;
}

/* The last to go is pack 1.  In a while it must not come to its end. */
static void
remember_meanwhile(void *arg, enum store_pause where)
{
	const struct timespec moment = { 0, 1000000 };
	struct remembering *m = arg;

	if (where != STORE_PAUSE_REMOVE || ++m->removals != 2)
		return;
	assert_int_equal(pthread_create(&m->thread, NULL, remember, m), 0);
	for (int i = 0; i < 300 && !atomic_load(&m->ended); i++)
		(void)nanosleep(&moment, NULL);
}

/* Else it would be told to be there, and its file goes a moment later. */
static void
test_a_pack_that_was_mended_does_not_come_back_while_it_is_removed(void **state)
{
	struct store_gc_report report;
	uint8_t content[RIG_BLOCK];
	struct index_hit hit;
	struct chunk_id id;
	uint32_t a[24];
	struct remembering m;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 23);
	memset(&m, 0, sizeof(m));
	m.r = &r;
	rig_fill(a, 24, 1);
	gc_rig_backup(&r, "alpha", a, 24, 1);
	rig_content(a[0], content);
	chunk_id_of(store_keys(r.s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(index_lookup(r.s->index, &id, 1, &hit, &r.err), &r.err);
	assert_int_equal(hit.loc.pack, 1);
	gc_rig_prune(&r, "alpha", 1);
	r.s->pause = remember_meanwhile;
	r.s->pause_arg = &m;
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	r.s->pause = NULL;
	assert_int_equal(m.removals, 2);
	assert_int_equal(pthread_join(m.thread, NULL), 0);
	assert_int_equal(report.packs_removed, 2);
	assert_false(gc_rig_has(&r, a[0]));
	gc_rig_end(&r);
}

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_verify_mends_groups_and_releases_them),
		TEST(test_verify_mends_what_is_no_group),
		TEST(test_repair_mends_header_and_footer),
		TEST(test_what_is_beyond_parity_is_as_without),
		TEST(test_two_do_not_mend_one_pack_at_once),
		TEST(test_a_pack_that_was_mended_does_not_come_back_while_it_is_removed),
		TEST(test_it_may_be_cut_anywhere),
	};

	return cmocka_run_group_tests_name("store_mend", tests, NULL, NULL);
}
