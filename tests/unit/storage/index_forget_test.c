/*
 * Packs that leave the index, many at once, and packs that come back: wherever
 * their chunks are by then, whatever fails, and whenever the power is cut.
 */
#include <pthread.h>

#include "storage/index_view.h"
#include "tests/unit/storage/index_rig.h"

/* Packs 1 to `n`, ten chunks each; the chunks of two neighbours overlap by five. */
static void
add_packs(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		add_group(i * 5, 10);
		seal();
	}
}

static int
forget_all(const uint32_t *nos, size_t n)
{
	if (index_forget_packs(m.ix, nos, n, &m.err) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		m.packs[nos[i]] = PACK_FORGOTTEN;
	return 0;
}

static int
remember(uint32_t no)
{
	if (index_remember_pack(m.ix, no, &m.err) != 0)
		return -1;
	m.packs[no] = PACK_SEALED;
	return 0;
}

static void
many_leave_in_one_write(void **state)
{
	static const uint32_t nos[] = { 19, 2, 2, 5, 4, 1, 20, 7 };
	static const uint32_t one[] = { 9 };
	uint64_t calls;

	(void)state;
	begin(1);
	(void)open_index();
	add_packs(20);
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	assert_int_equal(index_settle(m.ix, &m.err), 0);
	fs_fault_arm(m.ff, 0, FS_FAULT_NONE);
	assert_int_equal(forget_all(one, 1), 0);
	calls = fs_fault_calls(m.ff);
	fs_fault_arm(m.ff, 0, FS_FAULT_NONE);
	assert_int_equal(forget_all(nos, 8), 0);
	/* A file, its sync, its name, and the directory's sync before and after. */
	assert_true(calls >= 5);
	assert_int_equal(fs_fault_calls(m.ff), calls);
	check();
	assert_int_equal(index_forget_packs(m.ix, NULL, 0, &m.err), 0);
	/* Those that are gone, and one that never was. */
	assert_int_equal(forget_all(nos, 8), 0);
	assert_int_equal(index_forget_pack(m.ix, 300, &m.err), 0);
	check();
	reopen(2);
	check();
	end();
}

/* In the table, written out and covered, merged away, over an opening. */
static void
it_comes_back_from_everywhere(void **state)
{
	static const uint32_t two[] = { 3, 4 };

	(void)state;
	for (int where = 0; where < 4; where++)
		for (int cut = 0; cut < 3; cut++) {
			begin(1);
			m.config.fan_in = 2;
			(void)open_index();
			add_packs(6);
			if (where > 0)
				assert_int_equal(index_flush(m.ix, &m.err), 0);
			assert_int_equal(forget_all(two, 2), 0);
			check();
			if (where == 2) {
				add_packs(6);
				assert_int_equal(index_flush(m.ix, &m.err), 0);
				assert_int_equal(index_settle(m.ix, &m.err), 0);
			}
			if (where == 3)
				reopen(cut);
			assert_int_equal(remember(3), 0);
			check();
			assert_int_equal(remember(3), 0);
			if (cut == 1)
				assert_int_equal(index_flush(m.ix, &m.err), 0);
			reopen(cut);
			check();
			assert_int_equal(remember(4), 0);
			assert_int_equal(index_flush(m.ix, &m.err), 0);
			assert_int_equal(index_settle(m.ix, &m.err), 0);
			check();
			reopen(2);
			check();
			end();
		}
}

/*
 * It was done before, and with a damaged footer it is not again: so it must not be
 * taken for written out by what is written out meanwhile.
 */
static void
a_damaged_footer_is_told(void **state)
{
	static const uint32_t one[] = { 1 };
	uint8_t *p;
	size_t len;

	(void)state;
	for (int flushed = 0; flushed < 2; flushed++) {
		begin(1);
		(void)open_index();
		add_packs(2);
		if (flushed)
			assert_int_equal(index_flush(m.ix, &m.err), 0);
		assert_int_equal(forget_all(one, 1), 0);
		assert_non_null(p = fs_fault_bytes(m.ff, "packs/00000001.pack", &len));
		p[len - 1] ^= 1;
		assert_int_equal(index_remember_pack(m.ix, 1, &m.err), -1);
		assert_int_equal(m.err.code, ERR_CORRUPT);
		err_clear(&m.err);
		m.packs[1] = PACK_SEALED;
		check();
		assert_int_equal(index_flush(m.ix, &m.err), 0);
		check();
		fs_fault_arm(m.ff, 1, FS_FAULT_DIE);
		index_close(m.ix);
		fs_fault_restart(m.ff, 1);
		assert_int_equal(open_index().damaged, 1);
		check();
		assert_int_equal(forget_all(one, 1), 0);
		check();
		/* And one that is not there at all leaves nothing behind. */
		assert_int_equal(fs_unlink(m.fs, "packs/00000001.pack", &m.err), 0);
		assert_int_equal(index_remember_pack(m.ix, 1, &m.err), -1);
		assert_int_equal(m.err.code, ERR_NOTFOUND);
		check();
		end();
	}
}

/* Ask, where the fault does not reach; unless the world has ended. */
static void
look(enum fs_fault_kind kind)
{
	if (kind == FS_FAULT_DIE && fs_fault_fired(m.ff))
		return;
	fs_fault_count_reads(m.ff, 0);
	check();
	fs_fault_count_reads(m.ff, 1);
}

/* What may fail: forgetting three of six, one of them coming back, writing it out. */
static void
live(enum fs_fault_kind kind)
{
	static const uint32_t three[] = { 2, 3, 5 };
	uint32_t packs[PACKS_MAX];
	size_t n = list_packs(packs);

	m.ix = NULL;
	if (index_open(m.fs, &m.config, packs, n, &m.ix, NULL, &m.err) != 0)
		return;
	if (forget_all(three, 3) != 0) {
		look(kind);
		return;
	}
	look(kind);
	if (remember(3) != 0) {
		look(kind);
		/* Whatever it was has passed, or all has. */
		if (remember(3) != 0) {
			assert_true(kind == FS_FAULT_DIE);
			return;
		}
	}
	look(kind);
	(void)index_flush(m.ix, &m.err);
}

static void
no_fault_confuses_it(void **state)
{
	static const enum fs_fault_kind kinds[] = { FS_FAULT_EIO, FS_FAULT_ENOSPC,
		FS_FAULT_SHORT, FS_FAULT_DIE, FS_FAULT_DIE };
	uint64_t lives = 0, most = 0;

	(void)state;
	for (int kind = 0; kind < 5; kind++)
		for (uint64_t seed = 1; seed <= 2; seed++) {
			int fired = 1;

			for (uint64_t n = 1; fired; n++) {
				begin(seed * 1000 + n);
				m.config.fan_in = 2;
				(void)open_index();
				add_packs(6);
				assert_int_equal(index_flush(m.ix, &m.err), 0);
				index_close(m.ix);
				fs_fault_restart(m.ff, 1);
				fs_fault_count_reads(m.ff, 1);
				fs_fault_arm(m.ff, n, kinds[kind]);
				live(kinds[kind]);
				fired = fs_fault_fired(m.ff);
				index_close(m.ix);
				fs_fault_count_reads(m.ff, 0);
				fs_fault_restart(m.ff, kind != 3);
				err_clear(&m.err);
				(void)open_index();
				check();
				assert_int_equal(index_settle(m.ix, &m.err), 0);
				check();
				end();
				lives++;
				most = n > most ? n : most;
			}
		}
	print_message("%llu lives, %llu calls\n", (unsigned long long)lives,
	    (unsigned long long)most);
	assert_true(most > 20);
}

/* ---------------------------------------------------------------- threads -- */

/* Packs 1 to 4 leave and come back, while tables are written out and merged. */
static void *
in_and_out(void *arg)
{
	static const uint32_t nos[] = { 1, 2, 3, 4 };
	struct err err = ERR_INIT;

	(void)arg;
	for (int i = 0; i < 60; i++) {
		if (index_forget_packs(m.ix, nos, 4, &err) != 0)
			abort();
		for (uint32_t k = 0; k < 4; k++)
			if (index_remember_pack(m.ix, nos[k], &err) != 0)
				abort();
	}
	return NULL;
}

static void
none_is_lost_among_threads(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		pthread_t thread;

		begin(seed);
		m.config.mem_entries = 16 << seed % 3;
		(void)open_index();
		add_packs(4);
		assert_int_equal(pthread_create(&thread, NULL, in_and_out, NULL), 0);
		for (uint32_t i = 0; i < 150; i++) {
			add_group(draw(CHUNKS - 10), 10);
			if (i % 3 == 2)
				seal();
		}
		assert_int_equal(pthread_join(thread, NULL), 0);
		check();
		if (seed % 2 == 0)
			assert_int_equal(index_flush(m.ix, &m.err), 0);
		reopen(1 + (int)(seed % 2));
		check();
		end();
	}
}

/* ------------------------------------------------------------- many packs -- */

/* One pass over a set does what one number after the other does. */
static void
sets_change_as_a_whole(void **state)
{
	struct index_packs set = { NULL, 0, 0 };
	struct err err = ERR_INIT;
	uint8_t truth[300] = { 0 };
	uint32_t nos[300];

	(void)state;
	m.rng = 7;
	for (int i = 0; i < 3000; i++) {
		uint64_t one_in = 1 + draw(40);
		int add = (int)draw(2);
		size_t n = 0;

		for (uint32_t no = 1; no < 300; no++)
			if (draw(one_in) == 0) {
				nos[n++] = no;
				truth[no] = (uint8_t)add;
			}
		assert_int_equal(index_view_change(&set, nos, n, add, &err), 0);
		for (uint32_t no = 1; no < 300; no++)
			assert_int_equal(index_view_has(&set, no), truth[no]);
		for (uint32_t k = 0; k < set.n; k++) {
			assert_true(set.r[k].first <= set.r[k].last);
			assert_true(k == 0 || set.r[k - 1].last + 1 < set.r[k].first);
		}
	}
	nos[0] = UINT32_MAX - 1;
	nos[1] = UINT32_MAX;
	assert_int_equal(index_view_change(&set, nos, 2, 1, &err), 0);
	assert_true(index_view_has(&set, UINT32_MAX));
	assert_int_equal(index_view_change(&set, nos + 1, 1, 0, &err), 0);
	assert_true(index_view_has(&set, UINT32_MAX - 1));
	assert_false(index_view_has(&set, UINT32_MAX));
	free(set.r);
}

/* As many gaps as there may be; one more is refused and changes nothing. */
static void
ranges_have_a_limit(void **state)
{
	struct index_packs set = { NULL, 0, 0 };
	struct err err = ERR_INIT;
	uint32_t *odd = malloc(INDEX_RANGES_MAX * sizeof(*odd));
	uint32_t no = 2 * INDEX_RANGES_MAX + 2;

	(void)state;
	assert_non_null(odd);
	for (uint32_t i = 0; i < INDEX_RANGES_MAX; i++)
		odd[i] = 2 * i + 1;
	assert_int_equal(index_view_change(&set, odd, INDEX_RANGES_MAX, 1, &err), 0);
	assert_int_equal(set.n, INDEX_RANGES_MAX);
	assert_int_equal(index_view_change(&set, &no, 1, 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(set.n, INDEX_RANGES_MAX);
	assert_false(index_view_has(&set, no));
	free(set.r);
	free(odd);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_leave_in_one_write),
		cmocka_unit_test(it_comes_back_from_everywhere),
		cmocka_unit_test(a_damaged_footer_is_told),
		cmocka_unit_test(no_fault_confuses_it),
		cmocka_unit_test(none_is_lost_among_threads),
		cmocka_unit_test(sets_change_as_a_whole),
		cmocka_unit_test(ranges_have_a_limit),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, make_ids, NULL);
}
