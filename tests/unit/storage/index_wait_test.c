/*
 * No look-up waits for a flush or a merge: not for its files, whichever call of the
 * thread takes long; not for its memory, of which little is changed at a time; and
 * none has to clean up behind it.  Nothing here is timed but a wait that never ends.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "storage/index_work.h"
#include "tests/unit/storage/index_rig.h"

/* Seconds after which what waits is taken to wait for ever. */
#define FOR_EVER 60

/* The file layer's own calls, and those in front of them. */
static const struct fs_ops *real;
static struct fs_ops hooked;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static pthread_t tester, reader; /* All other threads are the index's. */
static int on, ended;		 /* A reader serves; it is to end. */
static uint64_t wanted, served, stuck;
static int holding, held;	       /* The reader's next read is to wait; it does. */
static int closed_by_reader, n_closed; /* Files. */

static int
wait_moved(void)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += FOR_EVER;
	return pthread_cond_timedwait(&moved, &lock, &until);
}

/* In the index's thread: go on only when a whole look-up was made meanwhile. */
static void
visit(void)
{
	uint64_t mine;

	if (pthread_equal(pthread_self(), tester))
		return;
	(void)pthread_mutex_lock(&lock);
	if (on && !pthread_equal(pthread_self(), reader)) {
		mine = ++wanted;
		(void)pthread_cond_broadcast(&moved);
		while (served < mine && on)
			if (wait_moved() != 0) {
				stuck++;
				on = 0;
			}
	}
	(void)pthread_mutex_unlock(&lock);
}

static int
hook_open(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
    struct err *err)
{
	visit();
	return real->open(fs, name, flags, out, err);
}

static void
hook_close(struct fs_file *f)
{
	visit();
	real->close(f);
	(void)pthread_mutex_lock(&lock);
	n_closed++;
	closed_by_reader += pthread_equal(pthread_self(), reader) != 0;
	(void)pthread_cond_broadcast(&moved);
	(void)pthread_mutex_unlock(&lock);
}

static int
hook_pread(
    struct fs_file *f, void *p, size_t len, uint64_t offset, size_t *got, struct err *err)
{
	visit();
	(void)pthread_mutex_lock(&lock);
	while (holding && pthread_equal(pthread_self(), reader)) {
		held = 1;
		(void)pthread_cond_broadcast(&moved);
		if (wait_moved() != 0) {
			stuck++;
			break;
		}
	}
	(void)pthread_mutex_unlock(&lock);
	return real->pread(f, p, len, offset, got, err);
}

static int
hook_pwrite(
    struct fs_file *f, const void *p, size_t len, uint64_t offset, struct err *err)
{
	visit();
	return real->pwrite(f, p, len, offset, err);
}

static int
hook_sync(struct fs_file *f, int data_only, struct err *err)
{
	visit();
	return real->sync(f, data_only, err);
}

static int
hook_rename(struct fs *fs, const char *from, const char *to, struct err *err)
{
	visit();
	return real->rename(fs, from, to, err);
}

static int
hook_unlink(struct fs *fs, const char *name, struct err *err)
{
	visit();
	return real->unlink(fs, name, err);
}

static int
hook_sync_dir(struct fs *fs, const char *dir, struct err *err)
{
	visit();
	return real->sync_dir(fs, dir, err);
}

static void
begin_hooked(uint64_t seed)
{
	begin(seed);
	real = m.fs->ops;
	hooked = *real;
	hooked.open = hook_open;
	hooked.close = hook_close;
	hooked.pread = hook_pread;
	hooked.pwrite = hook_pwrite;
	hooked.sync = hook_sync;
	hooked.rename = hook_rename;
	hooked.unlink = hook_unlink;
	hooked.sync_dir = hook_sync_dir;
	m.fs->ops = &hooked;
	tester = pthread_self();
	on = ended = holding = held = 0;
	wanted = served = stuck = 0;
	closed_by_reader = n_closed = 0;
}

/* Ask for all ids; those below `*arg` are in. */
static void
look(const atomic_uint *added)
{
	static struct index_hit h[CHUNKS];
	struct err err = ERR_INIT;
	unsigned in = atomic_load(added);

	if (index_lookup(m.ix, ids, CHUNKS, h, &err) != 0)
		abort();
	for (unsigned i = 0; i < in; i++)
		if (h[i].loc.pack == 0)
			abort();
}

static void *
serve(void *arg)
{
	(void)pthread_mutex_lock(&lock);
	while (!ended) {
		if (served == wanted) {
			(void)pthread_cond_wait(&moved, &lock);
			continue;
		}
		(void)pthread_mutex_unlock(&lock);
		look(arg);
		(void)pthread_mutex_lock(&lock);
		served = wanted;
		(void)pthread_cond_broadcast(&moved);
	}
	on = 0;
	(void)pthread_cond_broadcast(&moved);
	(void)pthread_mutex_unlock(&lock);
	return NULL;
}

static void
start_reader(void *(*what)(void *), atomic_uint *added)
{
	(void)pthread_mutex_lock(&lock);
	assert_int_equal(pthread_create(&reader, NULL, what, added), 0);
	(void)pthread_mutex_unlock(&lock);
}

/*
 * The index's thread is stopped at each call it makes until a look-up of every id,
 * tables and runs, has been answered.  Were a lock that look-ups take held over any
 * of them, both would wait for ever.
 */
static void
one_gets_through_at_every_call(void **state)
{
	struct index_stats stats;
	atomic_uint added;

	(void)state;
	begin_hooked(1);
	atomic_init(&added, 0);
	(void)open_index();
	start_reader(serve, &added);
	(void)pthread_mutex_lock(&lock);
	on = 1;
	(void)pthread_mutex_unlock(&lock);
	for (uint32_t i = 0; i < 60; i++) {
		add_group(i * 32, 32);
		atomic_store(&added, i * 32 + 32);
		if (i % 3 == 2)
			seal();
		if (i == 40) {
			assert_int_equal(index_forget_pack(m.ix, 300, &m.err), 0);
			assert_int_equal(index_quarantine(m.ix, 300, 64, &m.err), 0);
		}
	}
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	assert_int_equal(index_settle(m.ix, &m.err), 0);
	(void)pthread_mutex_lock(&lock);
	ended = 1;
	(void)pthread_cond_broadcast(&moved);
	(void)pthread_mutex_unlock(&lock);
	assert_int_equal(pthread_join(reader, NULL), 0);
	index_stats(m.ix, &stats);
	print_message("%llu calls, %llu flushes, %llu merges\n",
	    (unsigned long long)served, (unsigned long long)stats.flushes,
	    (unsigned long long)stats.merges);
	assert_int_equal(stuck, 0);
	assert_true(stats.flushes > 5 && stats.merges > 2 && served > 100);
	check();
	end();
}

static void *
look_once(void *arg)
{
	/* Until the tester knows who we are. */
	(void)pthread_mutex_lock(&lock);
	(void)pthread_mutex_unlock(&lock);
	look(arg);
	return NULL;
}

/*
 * A look-up that was reading a run all through the merge that did away with it
 * leaves closing its file, and freeing it, to the thread.
 */
static void
none_cleans_up(void **state)
{
	struct index_stats before, stats;
	atomic_uint added;
	int open_files;

	(void)state;
	begin_hooked(1);
	m.config.mem_entries = 1 << 16;
	m.config.fan_in = 3;
	(void)open_index();
	for (uint32_t i = 0; i < 2; i++) {
		add_group(i * 32, 32);
		seal();
		assert_int_equal(index_flush(m.ix, &m.err), 0);
	}
	index_stats(m.ix, &before);
	assert_int_equal(before.runs, 2);
	atomic_init(&added, 64);
	holding = 1;
	start_reader(look_once, &added);
	(void)pthread_mutex_lock(&lock);
	while (!held)
		assert_int_equal(wait_moved(), 0);
	(void)pthread_mutex_unlock(&lock);
	/* A third run, and the three become one. */
	add_group(64, 32);
	seal();
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	assert_int_equal(index_settle(m.ix, &m.err), 0);
	index_stats(m.ix, &stats);
	assert_int_equal(stats.merges, 1);
	assert_int_equal(stats.runs, 1);
	/* Once more round, so that the thread has looked at what it may drop. */
	add_group(96, 32);
	seal();
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	(void)pthread_mutex_lock(&lock);
	open_files = n_closed;
	holding = 0;
	(void)pthread_cond_broadcast(&moved);
	(void)pthread_mutex_unlock(&lock);
	assert_int_equal(pthread_join(reader, NULL), 0);
	/* The two runs that it could see are closed, and not by it. */
	(void)pthread_mutex_lock(&lock);
	while (n_closed < open_files + 2)
		assert_int_equal(wait_moved(), 0);
	assert_int_equal(closed_by_reader, 0);
	assert_int_equal(stuck, 0);
	(void)pthread_mutex_unlock(&lock);
	check();
	end();
}

/* Whatever is added at once, and however much is carried over, in small pieces. */
static void
little_is_changed_at_a_time(void **state)
{
	static struct pack_entry e[20000];
	struct index_stats stats;
	struct index_hit h;

	(void)state;
	begin(1);
	m.config.mem_entries = 1 << 20;
	(void)open_index();
	for (uint32_t i = 0; i < 20000; i++) {
		memset(&e[i], 0, sizeof(e[i]));
		for (int k = 0; k < 4; k++) {
			uint64_t v = made_mix(i * 4u + (uint32_t)k);

			memcpy(e[i].id.b + 8 * k, &v, 8);
		}
		e[i].loc.pack = i < 5000 ? 1 : 2;
		e[i].loc.offset = 64;
		e[i].len = 1;
		e[i].kind = CHUNK_DATA;
	}
	assert_int_equal(index_add(m.ix, e, 20000, &m.err), 0);
	/* Pack 2 is open: its 15000 are carried from table to table. */
	index_pack_done(m.ix, 1);
	assert_int_equal(index_flush(m.ix, &m.err), 0);
	index_stats(m.ix, &stats);
	assert_int_equal(stats.runs, 1);
	assert_int_equal(stats.mem_entries, 15000);
	assert_true(stats.most_held > 0 && stats.most_held <= INDEX_HOLD);
	for (uint32_t i = 0; i < 20000; i++) {
		assert_int_equal(index_lookup(m.ix, &e[i].id, 1, &h, &m.err), 0);
		assert_int_equal(h.loc.pack, e[i].loc.pack);
	}
	end();
}

/*
 * Adding as fast as can be for long: merges keep up, for if writing out always went
 * first there would soon be more runs than there may be, and each look-up would ask
 * all of them.
 */
static void
runs_stay_few(void **state)
{
	static struct pack_entry e[300];
	struct index_stats stats;
	uint32_t most = 0;

	(void)state;
	begin(1);
	m.config.mem_entries = 100;
	(void)open_index();
	for (uint32_t pack = 1; pack <= 800; pack++) {
		for (uint32_t i = 0; i < 300; i++) {
			memset(&e[i], 0, sizeof(e[i]));
			for (int k = 0; k < 4; k++) {
				uint64_t v =
				    made_mix((pack * 300u + i) * 4u + (uint32_t)k);

				memcpy(e[i].id.b + 8 * k, &v, 8);
			}
			e[i].loc.pack = pack;
			e[i].loc.offset = 64;
			e[i].len = 1;
			e[i].kind = CHUNK_DATA;
		}
		if (index_add(m.ix, e, 300, &m.err) != 0)
			fail_msg("%s", m.err.text);
		index_pack_done(m.ix, pack);
		index_stats(m.ix, &stats);
		most = stats.runs > most ? stats.runs : most;
	}
	print_message("%u runs at most, %llu flushes, %llu merges\n", most,
	    (unsigned long long)stats.flushes, (unsigned long long)stats.merges);
	assert_true(stats.flushes > 300);
	assert_true(most <= INDEX_RUNS_MANY + 1);
	end();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_gets_through_at_every_call),
		cmocka_unit_test(none_cleans_up),
		cmocka_unit_test(little_is_changed_at_a_time),
		cmocka_unit_test(runs_stay_few),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, make_ids, NULL);
}
