/*
 * The index against a model that is a plain list: whatever is added, flushed,
 * merged, forgotten, put in quarantine, closed, killed or cut off, every id is
 * found exactly if a copy counts, at a place where it lies.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/fs_fault.h"
#include "storage/index.h"
#include "storage/index_run.h"
#include "storage/index_view.h"
#include "tests/unit/storage/index_rig.h"
#include "tests/unit/storage/made_groups.h"

static void
forget_some(void)
{
	uint32_t nos[3], n = 0;

	for (uint64_t i = draw(3) + 1; i-- > 0;)
		if ((nos[n] = some_sealed_pack()) != 0)
			n++;
	assert_int_equal(index_forget_packs(m.ix, nos, n, &m.err), 0);
	while (n-- > 0)
		m.packs[nos[n]] = PACK_FORGOTTEN;
}

static void
remember_one(void)
{
	for (uint32_t no = 1 + (uint32_t)draw(m.next_pack); no < m.next_pack; no++)
		if (m.packs[no] == PACK_FORGOTTEN) {
			assert_int_equal(index_remember_pack(m.ix, no, &m.err), 0);
			m.packs[no] = PACK_SEALED;
			return;
		}
}

static void
one_step(void)
{
	uint64_t what = draw(100);

	if (what < 60 && m.n_copies + 32 < COPIES_MAX && m.next_pack + 1 < PACKS_MAX)
		add_group(draw(CHUNKS - 32), 1 + (uint32_t)draw(32));
	else if (what < 72)
		seal();
	else if (what < 76)
		assert_int_equal(index_flush(m.ix, &m.err), 0);
	else if (what < 79)
		assert_int_equal(index_settle(m.ix, &m.err), 0);
	else if (what < 82)
		forget_some();
	else if (what < 83)
		remember_one();
	else if (what < 88)
		set_bad(what < 85);
	else if (what < 91)
		reopen(0);
	else if (what < 93)
		reopen((int)(1 + draw(2)));
	else
		check();
}

static void
agrees_with_the_model(void **state)
{
	struct index_stats stats;
	uint64_t merges = 0, forgotten = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		begin(seed);
		(void)open_index();
		for (int i = 0; i < 400; i++) {
			one_step();
			index_stats(m.ix, &stats);
			merges += stats.merges;
		}
		check();
		for (int i = 1; i < PACKS_MAX; i++)
			forgotten += m.packs[i] == PACK_FORGOTTEN;
		end();
	}
	assert_true(merges > 50 && forgotten > 10);
}

/* ------------------------------------------------------------- boundaries -- */

static void
empty_one_and_twice(void **state)
{
	struct index_opened opened;
	struct index_stats stats;

	(void)state;
	begin(1);
	opened = open_index();
	assert_int_equal(opened.rebuilt, 1);
	check();
	assert_int_equal(index_lookup(m.ix, ids, 0, hits, &m.err), 0);
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	add_group(5, 1);
	check();
	/* Not sealed: not in a run, and still found. */
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	index_stats(m.ix, &stats);
	assert_int_equal(stats.runs, 0);
	check();
	seal();
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	index_stats(m.ix, &stats);
	assert_int_equal(stats.runs, 1);
	assert_int_equal(stats.packs, 1);
	assert_int_equal(stats.mem_entries, 0);
	check();
	/* The very same again, and a second copy. */
	assert_int_equal(index_add(m.ix, &m.copies[0].e, 1, &m.err), 0);
	add_group(5, 1);
	seal();
	check();
	assert_int_equal(index_forget_pack(m.ix, 1, &m.err), 0);
	m.packs[1] = PACK_FORGOTTEN;
	check();
	reopen(0);
	check();
	assert_int_equal(index_quarantine(m.ix, 2, m.copies[1].e.loc.offset, &m.err), 0);
	m.copies[1].bad = 1;
	check();
	reopen(1);
	check();
	index_stats(m.ix, &stats);
	assert_int_equal(stats.quarantined, 1);
	index_close(NULL);
	end();
}

/* Many keys that differ only in their last byte, over several blocks. */
static void
equal_prefixes(void **state)
{
	static struct pack_entry e[700];
	static struct chunk_id other[256];
	static struct index_hit found[700];

	(void)state;
	begin(1);
	(void)open_index();
	/* No pack behind them: they live in memory and runs only. */
	for (uint32_t i = 0; i < 700; i++) {
		memset(&e[i], 0, sizeof(e[i]));
		memset(e[i].id.b, 0xab, CHUNK_ID_LEN);
		e[i].id.b[31] = (uint8_t)(i % 250);
		e[i].loc.pack = 1;
		e[i].loc.offset = 64 + 8 * i;
		e[i].loc.place = (uint16_t)(i % 4096);
		e[i].len = i + 1;
		e[i].kind = i % 2 ? CHUNK_META : CHUNK_DATA;
	}
	for (int pass = 0; pass < 2; pass++) {
		if (pass == 0)
			assert_int_equal(index_add(m.ix, e, 700, &m.err), 0);
		index_pack_done(m.ix, 1);
		for (uint32_t i = 0; i < 256; i++) {
			other[i] = e[0].id;
			other[i].b[31] = (uint8_t)i;
		}
		assert_int_equal(index_lookup(m.ix, other, 256, found, &m.err), 0);
		for (uint32_t i = 0; i < 256; i++) {
			assert_int_equal(found[i].loc.pack, i < 250 ? 1 : 0);
			if (i < 250)
				assert_int_equal((found[i].len - 1) % 250, i);
		}
		/* Of three copies two are bad: the third is given, blocks further on. */
		assert_int_equal(index_quarantine(m.ix, 1, 64 + 8 * 7, &m.err), 0);
		assert_int_equal(index_quarantine(m.ix, 1, 64 + 8 * 257, &m.err), 0);
		assert_int_equal(index_lookup(m.ix, &e[7].id, 1, found, &m.err), 0);
		assert_int_equal(found[0].loc.offset, 64 + 8 * 507);
		assert_int_equal(found[0].kind, CHUNK_META);
		assert_int_equal(index_flush(m.ix, &m.err), 0);
	}
	end();
}

/* Whole-range ids: the first and the last possible, and their neighbours. */
static void
ends_of_the_range(void **state)
{
	static const int edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff };
	struct pack_entry e;
	struct chunk_id id;
	struct index_hit h;

	(void)state;
	begin(1);
	(void)open_index();
	for (int pass = 0; pass < 3; pass++) {
		for (uint32_t i = 0; i < 6; i++) {
			memset(&e, 0, sizeof(e));
			memset(e.id.b, edges[i], CHUNK_ID_LEN);
			e.loc.pack = 3;
			e.loc.offset = PACK_LEN_MAX - 8;
			e.loc.place = GROUP_CHUNKS_MAX - 1;
			e.len = CHUNK_META_MAX;
			e.kind = CHUNK_META;
			if (pass == 0 && i % 2 == 0)
				assert_int_equal(index_add(m.ix, &e, 1, &m.err), 0);
			assert_int_equal(index_lookup(m.ix, &e.id, 1, &h, &m.err), 0);
			assert_int_equal(h.loc.pack, i % 2 == 0 ? 3 : 0);
			if (i % 2 == 0)
				assert_true(h.loc.offset == e.loc.offset &&
					    h.loc.place == e.loc.place &&
					    h.len == e.len && h.kind == e.kind);
			for (int last = -1; last <= 1; last += 2) {
				id = e.id;
				id.b[31] = (uint8_t)(id.b[31] + last);
				assert_int_equal(
				    index_lookup(m.ix, &id, 1, &h, &m.err), 0);
				assert_int_equal(h.loc.pack, 0);
			}
		}
		index_pack_done(m.ix, 3);
		assert_int_equal(index_flush(m.ix, &m.err), 0);
	}
	end();
}

static void
quarantine_has_a_limit(void **state)
{
	struct index_view *v = index_view_new();
	struct err err = ERR_INIT;

	(void)state;
	for (uint32_t i = 0; i < INDEX_QUARANTINE_MAX; i++)
		assert_int_equal(
		    index_view_set_bad(v, 1 + i / 100, 64 + i % 100 * 8, 1, &err), 0);
	assert_int_equal(index_view_set_bad(v, 1, 64, 1, &err), 0);
	assert_int_equal(index_view_set_bad(v, 9999, 64, 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	index_view_unref(v);
}

static void
pack_sets(void **state)
{
	struct index_packs set = { NULL, 0, 0 };
	struct err err = ERR_INIT;
	uint8_t truth[300] = { 0 };

	(void)state;
	m.rng = 5;
	for (int i = 0; i < 20000; i++) {
		uint32_t no = 1 + (uint32_t)draw(298);

		if (draw(2)) {
			assert_int_equal(index_view_insert(&set, no, &err), 0);
			truth[no] = 1;
		} else {
			assert_int_equal(index_view_change(&set, &no, 1, 0, &err), 0);
			truth[no] = 0;
		}
		no = 1 + (uint32_t)draw(298);
		assert_int_equal(index_view_has(&set, no), truth[no]);
	}
	for (uint32_t i = 0; i < set.n; i++) {
		assert_true(set.r[i].first <= set.r[i].last);
		assert_true(i == 0 || set.r[i - 1].last + 1 < set.r[i].first);
	}
	assert_int_equal(index_view_insert(&set, UINT32_MAX, &err), 0);
	assert_true(index_view_has(&set, UINT32_MAX));
	free(set.r);
}

/* ----------------------------------------------------------------- damage -- */

static int
take_run(void *arg, const char *name)
{
	if (strstr(name, ".run") != NULL)
		(void)snprintf(arg, FS_NAME_MAX, "index/%s", name);
	return 0;
}

/*
 * Flip bytes all over manifest and runs.  A look-up says ERR_CORRUPT or the
 * truth; the next opening makes a new index.
 */
static void
flips_are_noticed(void **state)
{
	char run[FS_NAME_MAX] = "";
	size_t len, step;
	uint8_t *p;
	int refused = 0, rebuilt = 0;

	(void)state;
	begin(1);
	(void)open_index();
	for (uint32_t i = 0; i < 10; i++)
		add_group(i * 60, 60);
	seal();
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	reopen(0);
	for (int which = 0; which < 2; which++)
		for (size_t i = 0;; i += step) {
			const char *name = which ? run : "index/MANIFEST";

			run[0] = '\0';
			assert_int_equal(
			    fs_list(m.fs, "index", take_run, run, &m.err), 0);
			assert_non_null(p = fs_fault_bytes(m.ff, name, &len));
			/* Closer towards the end, where the footer is. */
			step = !which || i + 96 >= len ? 1 : i + 700 >= len ? 13 : 211;
			if (i >= len)
				break;
			index_close(m.ix);
			assert_non_null(p = fs_fault_bytes(m.ff, name, &len));
			p[i] ^= (uint8_t)(1u << i % 8);
			if (open_index().rebuilt) {
				rebuilt++;
				assert_int_equal(index_flush(m.ix, &m.err), 0);
				check();
				continue;
			}
			if (index_lookup(m.ix, ids, CHUNKS, hits, &m.err) != 0) {
				assert_int_equal(m.err.code, ERR_CORRUPT);
				err_clear(&m.err);
				refused++;
				index_close(m.ix);
				assert_int_equal(open_index().rebuilt, 1);
				assert_int_equal(index_flush(m.ix, &m.err), 0);
			}
			check();
		}
	assert_true(refused > 0 && rebuilt > 0);
	end();
}

/* A pack whose footer is damaged still gives its whole groups. */
static void
damaged_footer_is_walked(void **state)
{
	struct index_opened opened;
	uint8_t *p;
	size_t len;

	(void)state;
	begin(1);
	(void)open_index();
	add_group(0, 20);
	add_group(50, 20);
	seal();
	add_group(100, 20);
	seal();
	index_close(m.ix);
	assert_non_null(p = fs_fault_bytes(m.ff, "packs/00000001.pack", &len));
	p[len - 1] ^= 1;
	m.config.rebuild = 1;
	opened = open_index();
	assert_int_equal(opened.rebuilt, 1);
	assert_int_equal(opened.damaged, 1);
	assert_int_equal(opened.damaged_pack, 1);
	assert_int_equal(opened.packs_read, 2);
	check();
	index_close(m.ix);
	/* Nor does an unreadable header keep the rest from being found. */
	assert_non_null(p = fs_fault_bytes(m.ff, "packs/00000001.pack", &len));
	p[40] ^= 1;
	opened = open_index();
	assert_int_equal(opened.damaged, 1);
	m.packs[1] = PACK_FORGOTTEN;
	check();
	end();
}

/* ---------------------------------------------------------------- crashes -- */

/* Two packs, a flush each, a third run and a merge, a forgetting, a quarantine. */
static void
live(void)
{
	struct err err = ERR_INIT;
	uint32_t packs[PACKS_MAX];
	size_t n = list_packs(packs);
	struct index *ix = NULL;

	if (index_open(m.fs, &m.config, packs, n, &ix, NULL, &err) == 0) {
		for (uint32_t i = 0; i < 4 && err.code == ERR_NONE; i++) {
			struct pack_entry e[16];
			uint32_t k = 0;

			for (uint32_t c = 0; c < m.n_copies; c++)
				if (m.copies[c].e.loc.pack == 5 + i)
					e[k++] = m.copies[c].e;
			if (index_add(ix, e, k, &err) == 0) {
				index_pack_done(ix, 5 + i);
				(void)index_flush(ix, &err);
			}
		}
		if (err.code == ERR_NONE)
			(void)index_settle(ix, &err);
		if (err.code == ERR_NONE && index_forget_pack(ix, 2, &err) == 0)
			m.packs[2] = PACK_FORGOTTEN;
		if (err.code == ERR_NONE &&
		    index_quarantine(ix, 3, m.copies[20].e.loc.offset, &err) == 0)
			for (uint32_t i = 20; i < 30; i++)
				m.copies[i].bad = 1;
		index_close(ix);
	}
}

/* Packs 1 to 8, one group of ten chunks each, those up to 4 in the index. */
static void
prepare(uint64_t seed)
{
	begin(seed);
	m.config.fan_in = 2;
	(void)open_index();
	for (uint32_t i = 0; i < 8; i++) {
		add_group(i * 10, 10);
		seal();
		if (i == 3)
			assert_int_equal(index_flush(m.ix, &m.err), 0);
	}
	index_close(m.ix);
	m.ix = NULL;
	fs_fault_restart(m.ff, 1);
}

static void
no_crash_confuses_it(void **state)
{
	uint64_t lives = 0, most = 0;

	(void)state;
	for (int kind = 0; kind < 4; kind++)
		for (uint64_t seed = 1; seed <= (kind == 1 ? 3 : 1); seed++) {
			int fired = 1;

			for (uint64_t n = 1; fired; n++) {
				int forgot, bad;

				prepare(seed * 1000 + n);
				fs_fault_arm(m.ff, n,
				    kind < 2	? FS_FAULT_DIE
				    : kind == 2 ? FS_FAULT_EIO
						: FS_FAULT_SHORT);
				live();
				fired = fs_fault_fired(m.ff);
				fs_fault_restart(m.ff, kind > 0);
				most = n > most ? n : most;
				lives++;
				/*
				 * Forgotten is forgotten, and what was put in quarantine
				 * stays.
				 */
				forgot = m.packs[2] == PACK_FORGOTTEN;
				bad = m.copies[20].bad;
				(void)open_index();
				if (!bad) {
					/* It may have come through before it could say
					 * so. */
					assert_int_equal(
					    index_release(m.ix, 3,
						m.copies[20].e.loc.offset, &m.err),
					    0);
				}
				check();
				assert_int_equal(index_settle(m.ix, &m.err), 0);
				check();
				assert_int_equal(forgot, m.packs[2] == PACK_FORGOTTEN);
				end();
			}
		}
	print_message("%llu lives, %llu calls\n", (unsigned long long)lives,
	    (unsigned long long)most);
	assert_true(most > 40);
}

/* A disk that is full for a while: adding goes on, flushing says so, then works. */
static void
full_disk_passes(void **state)
{
	(void)state;
	begin(1);
	(void)open_index();
	add_group(0, 40);
	seal();
	fs_fault_set_room(m.ff, 1);
	assert_int_equal(index_flush(m.ix, &m.err), -1);
	assert_int_equal(m.err.code, ERR_NOSPACE);
	err_clear(&m.err);
	check();
	fs_fault_set_room(m.ff, 0);
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	check();
	reopen(2);
	check();
	end();
}

/* ---------------------------------------------------------------- threads -- */

struct reader {
	pthread_t thread;
	atomic_uint *added; /* Chunks below this are in. */
	atomic_int *stop;
	uint64_t asked;
};

static void *
read_on(void *arg)
{
	struct reader *me = arg;
	struct index_hit h[200];
	struct err err = ERR_INIT;
	uint64_t rng = (uint64_t)(uintptr_t)me;

	while (!atomic_load(me->stop)) {
		uint32_t added = atomic_load(me->added), at;

		rng = made_mix(rng);
		at = added > 200 ? (uint32_t)(rng % (added - 200)) : 0;
		if (index_lookup(m.ix, ids + at, 200, h, &err) != 0)
			abort();
		for (uint32_t i = 0; i < 200; i++)
			if (at + i < added && h[i].loc.pack == 0)
				abort();
		me->asked++;
	}
	return NULL;
}

/* Nothing added is ever not found, while tables freeze, runs come and merge. */
static void
readers_never_miss(void **state)
{
	struct reader readers[3];
	struct index_stats stats;
	atomic_uint added;
	atomic_int stop;

	(void)state;
	begin(1);
	atomic_init(&added, 0);
	atomic_init(&stop, 0);
	(void)open_index();
	for (uint32_t i = 0; i < 3; i++) {
		memset(&readers[i], 0, sizeof(readers[i]));
		readers[i].added = &added;
		readers[i].stop = &stop;
		assert_int_equal(
		    pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
	for (uint32_t i = 0; i < 300; i++) {
		add_group(i * 10, 10);
		atomic_store(&added, i * 10 + 10);
		if (i % 5 == 4)
			seal();
		if (i % 50 == 49)
			assert_int_equal(
			    index_quarantine(m.ix, 9999, 64 + 8 * i, &m.err), 0);
	}
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	assert_int_equal(index_settle(m.ix, &m.err), 0);
	atomic_store(&stop, 1);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
	index_stats(m.ix, &stats);
	assert_true(stats.merges > 0 && stats.flushes > 3);
	check();
	end();
}

/* With a rate a merge takes its time, and closing does not wait for it. */
static void
slow_merge_stops_at_once(void **state)
{
	struct index_stats stats;

	(void)state;
	begin(1);
	m.config.mem_entries = 1u << 20;
	m.config.fan_in = 2;
	m.config.merge_rate = 1;
	(void)open_index();
	for (uint32_t run = 0; run < 2; run++) {
		static struct pack_entry e[40000];

		for (uint32_t i = 0; i < 40000; i++) {
			memset(&e[i], 0, sizeof(e[i]));
			for (int k = 0; k < 4; k++) {
				uint64_t v =
				    made_mix(run * 1000000u + i * 4u + (uint32_t)k);

				memcpy(e[i].id.b + 8 * k, &v, 8);
			}
			e[i].loc.pack = 1 + run;
			e[i].loc.offset = 64;
			e[i].len = 1;
			e[i].kind = CHUNK_DATA;
		}
		assert_int_equal(index_add(m.ix, e, 40000, &m.err), 0);
		index_pack_done(m.ix, 1 + run);
		assert_int_equal(index_flush(m.ix, &m.err), 0);
	}
	index_stats(m.ix, &stats);
	assert_int_equal(stats.runs, 2);
	assert_int_equal(stats.merges, 0);
	/* A flush gets through although a merge would take a month. */
	add_group(0, 10);
	seal();
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	check();
	end();
}

/* An argument is a pattern of tests to run. */
int
main(int argc, char **argv)
{
	const struct CMUnitTest one_thread[] = {
		cmocka_unit_test(empty_one_and_twice),
		cmocka_unit_test(equal_prefixes),
		cmocka_unit_test(ends_of_the_range),
		cmocka_unit_test(quarantine_has_a_limit),
		cmocka_unit_test(pack_sets),
		cmocka_unit_test(agrees_with_the_model),
		cmocka_unit_test(flips_are_noticed),
		cmocka_unit_test(damaged_footer_is_walked),
		cmocka_unit_test(no_crash_confuses_it),
		cmocka_unit_test(full_disk_passes),
	};
	const struct CMUnitTest threads[] = {
		cmocka_unit_test(readers_never_miss),
		cmocka_unit_test(slow_merge_stops_at_once),
	};
	int bad;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	bad = cmocka_run_group_tests(threads, make_ids, NULL);
	/* In what has one thread, TSan could see nothing. */
#ifdef __SANITIZE_THREAD__
	(void)one_thread;
	return bad;
#else
	return bad + cmocka_run_group_tests(one_thread, make_ids, NULL);
#endif
}
