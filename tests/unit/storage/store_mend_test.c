/*
 * A store whose packs have parity puts them right itself: verify and repair make them
 * what they were when they were sealed, and what was quarantined counts again.
 */
#include "storage/catalog.h"
#include "storage/fs_fault.h"
#include "storage/store_options.h"
#include "storage/store_repair.h"
#include "storage/store_verify.h"
#include "tests/unit/storage/store_rig.h"

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

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_verify_mends_groups_and_releases_them),
		TEST(test_verify_mends_what_is_no_group),
		TEST(test_repair_mends_header_and_footer),
		TEST(test_what_is_beyond_parity_is_as_without),
		TEST(test_it_may_be_cut_anywhere),
	};

	return cmocka_run_group_tests_name("store_mend", tests, NULL, NULL);
}
