/*
 * The index against RocksDB: whatever is added, written out, merged, forgotten,
 * remembered, put in quarantine, closed, killed or cut off, both say the same of
 * every id.  A copy of a chunk is a key in RocksDB, (id, pack, offset, place), and so
 * are packs that do not count and groups that are bad.
 *
 *	index_oracle_test			the short form, two seeds
 *	index_oracle_test SEED SECONDS [DIRECTORY]	ever larger, seed after seed
 */
#include <pthread.h>
#include <rocksdb/c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/bytes.h"
#include "storage/fs_fault.h"
#include "storage/index.h"
#include "tests/unit/storage/made_groups.h"

#define PACKS_MAX 20000u
#define GROUP_MAX 48u
#define KEY_LEN (1 + CHUNK_ID_LEN + 10)
#define AT_ONCE 256u

/* Packs of numbers that this divides are left alone: the reader relies on them. */
#define LASTING 5u

enum state { NONE, FILLING, SEALED, FORGOTTEN };

static struct {
	struct fs_fault *ff;
	struct fs *fs;
	struct index *ix;
	struct index_config config;
	enum state packs[PACKS_MAX];
	uint32_t next;
	struct pack_writer *pw;
	struct buf buf;
	struct err err;
	uint64_t rng, ids; /* Ids are drawn from so many. */
	uint64_t copies, asked, merges, reopened;
	rocksdb_t *db;
} t;

static rocksdb_options_t *options;
static rocksdb_writeoptions_t *writing;
static rocksdb_readoptions_t *reading;

static uint64_t
draw(uint64_t below)
{
	t.rng = made_mix(t.rng);
	return t.rng % below;
}

/* ---------------------------------------------------------------- the oracle -- */

static void
fine(char *why)
{
	if (why != NULL)
		fail_msg("rocksdb: %s", why);
}

static void
put(const uint8_t *key, size_t len, int present)
{
	char *why = NULL;

	if (present)
		rocksdb_put(t.db, writing, (const char *)key, len, "", 0, &why);
	else
		rocksdb_delete(t.db, writing, (const char *)key, len, &why);
	fine(why);
}

static int
has(const uint8_t *key, size_t len)
{
	char *why = NULL, *value;
	size_t n;

	value = rocksdb_get(t.db, reading, (const char *)key, len, &n, &why);
	fine(why);
	free(value);
	return value != NULL;
}

/* Keys: 'c' and a copy; 'f' and a pack; 'q', a pack and an offset. */
static void
key_of_copy(const struct chunk_id *id, const struct pack_loc *loc, uint8_t out[KEY_LEN])
{
	out[0] = 'c';
	memcpy(out + 1, id->b, CHUNK_ID_LEN);
	store_le32(out + 33, loc->pack);
	store_le32(out + 37, loc->offset);
	store_le16(out + 41, loc->place);
}

static void
mark(char what, uint32_t pack, uint32_t offset, int present)
{
	uint8_t key[9] = { (uint8_t)what };

	store_le32(key + 1, pack);
	store_le32(key + 5, offset);
	put(key, what == 'f' ? 5 : 9, present);
}

static int
counts(const struct pack_loc *loc)
{
	uint8_t pack[5] = { 'f' }, group[9] = { 'q' };

	store_le32(pack + 1, loc->pack);
	store_le32(group + 1, loc->pack);
	store_le32(group + 5, loc->offset);
	return !has(pack, sizeof(pack)) && !has(group, sizeof(group));
}

/* Does the oracle have a copy of `id` that counts? */
static int
has_any(const struct chunk_id *id)
{
	rocksdb_iterator_t *it = rocksdb_create_iterator(t.db, reading);
	uint8_t key[1 + CHUNK_ID_LEN] = { 'c' };
	int any = 0;

	memcpy(key + 1, id->b, CHUNK_ID_LEN);
	for (rocksdb_iter_seek(it, (const char *)key, sizeof(key));
	     !any && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		struct pack_loc loc = { 0 };
		size_t len;
		const uint8_t *p = (const uint8_t *)rocksdb_iter_key(it, &len);

		if (len != KEY_LEN || memcmp(p, key, sizeof(key)) != 0)
			break;
		loc.pack = load_le32(p + 33);
		loc.offset = load_le32(p + 37);
		any = counts(&loc);
	}
	rocksdb_iter_destroy(it);
	return any;
}

/* What the index said of these, against the oracle. */
static void
compare(const struct chunk_id *ids, size_t n)
{
	struct index_hit hits[AT_ONCE];

	assert_int_equal(index_lookup(t.ix, ids, n, hits, &t.err), 0);
	for (size_t i = 0; i < n; i++) {
		uint8_t key[KEY_LEN];

		t.asked++;
		assert_int_equal(hits[i].loc.pack != 0, has_any(&ids[i]));
		if (hits[i].loc.pack == 0)
			continue;
		key_of_copy(&ids[i], &hits[i].loc, key);
		assert_true(has(key, sizeof(key)));
		assert_true(counts(&hits[i].loc));
		assert_int_equal(hits[i].len, 1 + ids[i].b[31] % 9);
		assert_int_equal(hits[i].kind, CHUNK_DATA);
	}
}

/* Every id there ever was, or about one in `skip`, and others that are nearly the same.
 */
static void
compare_all(uint64_t skip)
{
	rocksdb_iterator_t *it = rocksdb_create_iterator(t.db, reading);
	struct chunk_id ids[AT_ONCE], last = { { 0 } };
	size_t n = 0;

	for (rocksdb_iter_seek(it, "c", 1); rocksdb_iter_valid(it);
	     rocksdb_iter_next(it)) {
		size_t len;
		const uint8_t *p = (const uint8_t *)rocksdb_iter_key(it, &len);

		if (p[0] != 'c')
			break;
		if (memcmp(p + 1, last.b, CHUNK_ID_LEN) == 0 || draw(skip) != 0)
			continue;
		memcpy(last.b, p + 1, CHUNK_ID_LEN);
		ids[n++] = last;
		ids[n] = last;
		ids[n++].b[draw(CHUNK_ID_LEN)] ^= (uint8_t)(1u << draw(8));
		if (n == AT_ONCE) {
			compare(ids, n);
			n = 0;
		}
	}
	compare(ids, n);
	rocksdb_iter_destroy(it);
}

/* ------------------------------------------------------------- what is done -- */

/* Mostly like hashes; some with the same beginning, some that differ in one byte. */
static void
draw_id(struct chunk_id *id)
{
	uint64_t n = draw(t.ids), how = made_mix(n ^ 99) % 128;

	for (uint64_t k = 0; k < 4; k++) {
		uint64_t v = made_mix(n * 4 + k);

		memcpy(id->b + 8 * k, &v, 8);
	}
	if (how < 8)
		memset(id->b, 0xab, 8);
	else if (how < 12)
		memset(id->b, 0xcd, 16);
	else if (how == 12)
		memset(id->b, n % 2 ? 0xff : 0x00, 31);
}

static void
add_group(void)
{
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct codec *codec = codec_new();
	uint32_t n = 1 + (uint32_t)draw(GROUP_MAX), offset;
	struct pack_entry e[GROUP_MAX];
	uint8_t bytes[9] = "content", key[KEY_LEN];
	struct group g;
	uint64_t end;

	if (t.pw == NULL) {
		t.packs[t.next] = FILLING;
		assert_int_equal(pack_writer_open(t.fs, t.next++, CHUNK_DATA, made_store,
				     &t.pw, &t.err),
		    0);
	}
	for (uint32_t i = 0; i < n; i++) {
		struct chunk_id id;

		/* Now and then the same twice in one group. */
		if (i == 0 || draw(50) != 0)
			draw_id(&id);
		assert_int_equal(
		    group_builder_add(b, &id, bytes, 1 + id.b[31] % 9, &t.err), 0);
	}
	buf_clear(&t.buf);
	assert_int_equal(group_builder_finish(b, codec, 1, &t.buf, &t.err), 0);
	assert_int_equal(group_parse(t.buf.p, t.buf.len, &g, &t.err), 0);
	assert_int_equal(
	    pack_writer_append(t.pw, &g, &offset, &end, &t.err), PACK_APPENDED);
	assert_int_equal(pack_writer_sync(t.pw, end, &t.err), 0);
	pack_entries(pack_writer_no(t.pw), offset, &g, e);
	assert_int_equal(index_add(t.ix, e, g.count, &t.err), 0);
	for (uint32_t i = 0; i < g.count; i++) {
		key_of_copy(&e[i].id, &e[i].loc, key);
		put(key, sizeof(key), 1);
	}
	t.copies += g.count;
	group_builder_free(b);
	codec_free(codec);
}

static void
seal(void)
{
	uint32_t no;

	if (t.pw == NULL)
		return;
	no = pack_writer_no(t.pw);
	assert_int_equal(pack_writer_seal(t.pw, &t.err), 0);
	pack_writer_free(t.pw);
	t.pw = NULL;
	t.packs[no] = SEALED;
	index_pack_done(t.ix, no);
}

/* The first pack from a drawn one on that is `like`, or 0. */
static uint32_t
find_pack(enum state like)
{
	uint32_t from = (uint32_t)draw(t.next);

	for (uint32_t i = 0; i < t.next; i++) {
		uint32_t no = (from + i) % t.next;

		if (no % LASTING != 0 && t.packs[no] == like)
			return no;
	}
	return 0;
}

static void
forget_some(void)
{
	uint32_t nos[8], n = 0;

	for (uint64_t i = 1 + draw(8); i-- > 0;)
		if ((nos[n] = find_pack(SEALED)) != 0)
			n++;
	assert_int_equal(index_forget_packs(t.ix, nos, n, &t.err), 0);
	while (n-- > 0) {
		t.packs[nos[n]] = FORGOTTEN;
		mark('f', nos[n], 0, 1);
	}
}

static void
remember_one(void)
{
	uint32_t no = find_pack(FORGOTTEN);

	if (no == 0)
		return;
	assert_int_equal(index_remember_pack(t.ix, no, &t.err), 0);
	t.packs[no] = SEALED;
	mark('f', no, 0, 0);
}

static int
is_bad(uint32_t pack, uint32_t offset)
{
	uint8_t key[9] = { 'q' };

	store_le32(key + 1, pack);
	store_le32(key + 5, offset);
	return has(key, sizeof(key));
}

/* The group of some chunk becomes bad, or good again. */
static void
turn_group(void)
{
	struct chunk_id id;
	struct index_hit hit;
	int bad;

	draw_id(&id);
	assert_int_equal(index_lookup(t.ix, &id, 1, &hit, &t.err), 0);
	if (hit.loc.pack == 0 || hit.loc.pack % LASTING == 0)
		return;
	bad = draw(4) != 0 && !is_bad(hit.loc.pack, hit.loc.offset);
	assert_int_equal((bad ? index_quarantine : index_release)(
			     t.ix, hit.loc.pack, hit.loc.offset, &t.err),
	    0);
	mark('q', hit.loc.pack, hit.loc.offset, bad);
}

static void
release_one(void)
{
	rocksdb_iterator_t *it = rocksdb_create_iterator(t.db, reading);
	uint8_t from[5] = { 'q' };
	uint32_t pack = 0, offset = 0;
	size_t len;
	const uint8_t *p;

	store_le32(from + 1, (uint32_t)draw(t.next));
	rocksdb_iter_seek(it, (const char *)from, sizeof(from));
	if (rocksdb_iter_valid(it) &&
	    (p = (const uint8_t *)rocksdb_iter_key(it, &len))[0] == 'q') {
		pack = load_le32(p + 1);
		offset = load_le32(p + 5);
	}
	rocksdb_iter_destroy(it);
	if (pack == 0)
		return;
	assert_int_equal(index_release(t.ix, pack, offset, &t.err), 0);
	mark('q', pack, offset, 0);
}

static void
open_index(void)
{
	uint32_t *packs = malloc(PACKS_MAX * sizeof(*packs));
	struct index_opened opened;
	size_t n = 0;

	assert_non_null(packs);
	for (uint32_t no = 1; no < t.next; no++)
		if (t.packs[no] == SEALED)
			packs[n++] = no;
	assert_int_equal(
	    index_open(t.fs, &t.config, packs, n, &t.ix, &opened, &t.err), 0);
	assert_int_equal(opened.damaged, 0);
	free(packs);
}

/* 0: closed; 1: killed; 2: the power was cut; 3: closed, and made anew. */
static void
reopen(int how)
{
	struct index_stats s;
	struct pack_recovery r;
	uint32_t no = t.pw != NULL ? pack_writer_no(t.pw) : 0;

	index_stats(t.ix, &s);
	t.merges += s.merges;
	t.reopened++;
	if (how == 1 || how == 2)
		fs_fault_arm(t.ff, 1, FS_FAULT_DIE);
	index_close(t.ix);
	t.ix = NULL;
	pack_writer_free(t.pw);
	t.pw = NULL;
	fs_fault_restart(t.ff, how == 2);
	if (no != 0) {
		assert_int_equal(pack_recover(t.fs, no, made_store, NULL, &r, &t.err), 0);
		t.packs[no] = SEALED;
	}
	t.config.rebuild = how == 3;
	open_index();
	t.config.rebuild = 0;
}

static void
one_step(void)
{
	uint64_t what = draw(1000);

	if (what < 700)
		add_group();
	else if (what < 800)
		seal();
	else if (what < 810)
		assert_int_equal(index_flush(t.ix, &t.err), 0);
	else if (what < 813)
		assert_int_equal(index_settle(t.ix, &t.err), 0);
	else if (what < 840)
		forget_some();
	else if (what < 870)
		remember_one();
	else if (what < 930)
		turn_group();
	else if (what < 980)
		release_one();
	else
		compare_all(100);
}

/* ------------------------------------------------------------------- a run -- */

/* Ids that the reader may rely on: copies in packs that stay. */
static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	struct chunk_id ids[AT_ONCE];
	uint32_t n;
	atomic_int stop, wrong;
	uint64_t rounds;
} reader = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
choose_lasting(void)
{
	uint32_t n = 0;

	(void)pthread_mutex_lock(&reader.lock);
	for (int i = 0; i < 5000 && n < AT_ONCE; i++) {
		struct index_hit hit;

		draw_id(&reader.ids[n]);
		assert_int_equal(index_lookup(t.ix, &reader.ids[n], 1, &hit, &t.err), 0);
		n += hit.loc.pack != 0 && hit.loc.pack % LASTING == 0;
	}
	reader.n = n;
	(void)pthread_mutex_unlock(&reader.lock);
}

static void *
read_on(void *arg)
{
	struct index_hit hits[AT_ONCE];
	struct err err = ERR_INIT;

	(void)arg;
	while (!atomic_load(&reader.stop)) {
		(void)pthread_mutex_lock(&reader.lock);
		if (reader.n > 0 &&
		    index_lookup(t.ix, reader.ids, reader.n, hits, &err) != 0)
			atomic_store(&reader.wrong, 1);
		for (uint32_t i = 0; !atomic_load(&reader.wrong) && i < reader.n; i++)
			if (hits[i].loc.pack == 0)
				atomic_store(&reader.wrong, 1);
		reader.rounds++;
		(void)pthread_mutex_unlock(&reader.lock);
		(void)usleep(500);
	}
	return NULL;
}

static void
begin(uint64_t seed, uint64_t ids)
{
	char *why = NULL;

	memset(&t, 0, sizeof(t));
	assert_non_null(t.ff = fs_fault_new(seed));
	t.fs = fs_fault_fs(t.ff);
	t.rng = seed;
	t.ids = ids;
	t.next = 1;
	t.buf.max = GROUP_LEN_MAX;
	memcpy(t.config.store, made_store, PACK_STORE_ID_LEN);
	t.config.mem_entries = 300 + (uint32_t)draw(3000);
	t.config.fan_in = 2 + (uint32_t)draw(4);
	made_dirs(t.fs);
	t.db = rocksdb_open(options, "oracle", &why);
	fine(why);
	open_index();
}

static void
end(void)
{
	char *why = NULL;

	index_close(t.ix);
	pack_writer_free(t.pw);
	buf_free(&t.buf);
	fs_fault_free(t.ff);
	rocksdb_close(t.db);
	t.db = NULL;
	rocksdb_destroy_db(options, "oracle", &why);
	fine(why);
}

/* `lives` openings with `steps` between. */
static void
run(uint64_t seed, uint32_t lives, uint32_t steps, uint64_t ids)
{
	begin(seed, ids);
	for (uint32_t life = 0; life < lives; life++) {
		atomic_store(&reader.stop, 0);
		reader.n = 0;
		assert_int_equal(pthread_create(&reader.thread, NULL, read_on, NULL), 0);
		for (uint32_t i = 0; i < steps && t.next + 1 < PACKS_MAX; i++) {
			one_step();
			if (i % 50 == 49)
				choose_lasting();
		}
		atomic_store(&reader.stop, 1);
		assert_int_equal(pthread_join(reader.thread, NULL), 0);
		assert_int_equal(atomic_load(&reader.wrong), 0);
		compare_all(1);
		reopen((int)draw(4));
		compare_all(life + 1 == lives ? 1 : 4);
	}
	print_message("seed %llu: %llu copies, %llu questions, %llu merges, %llu "
		      "openings, %u packs\n",
	    (unsigned long long)seed, (unsigned long long)t.copies,
	    (unsigned long long)t.asked, (unsigned long long)t.merges,
	    (unsigned long long)t.reopened, t.next - 1);
	assert_true(t.asked > t.copies / 8);
	end();
}

static void
agrees_with_rocksdb(void **state)
{
	(void)state;
	run(1, 8, 250, 20000);
	assert_true(reader.rounds > 0);
	run(2, 5, 250, 2000);
}

static uint64_t soak_seed;
static long soak_seconds;

static void
agrees_for_long(void **state)
{
	time_t until = time(NULL) + soak_seconds;
	uint32_t n = 0;

	(void)state;
	for (; time(NULL) < until; n++) {
		uint64_t seed = made_mix(soak_seed + n) % 1000000;

		run(seed, 4 + n % 12, 200 + 200 * (n % 8),
		    (uint64_t)1000 << made_mix(seed) % 9);
	}
	print_message("%u runs\n", n);
}

static int
set_up(void **state)
{
	(void)state;
	options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_error_if_exists(options, 1);
	rocksdb_options_set_compression(options, rocksdb_no_compression);
	rocksdb_options_set_info_log_level(options, 4);
	writing = rocksdb_writeoptions_create();
	rocksdb_writeoptions_disable_WAL(writing, 1);
	reading = rocksdb_readoptions_create();
	return 0;
}

static int
tear_down(void **state)
{
	char *why = NULL;

	(void)state;
	/* Left by a run that failed. */
	if (t.db != NULL) {
		rocksdb_close(t.db);
		rocksdb_destroy_db(options, "oracle", &why);
	}
	rocksdb_readoptions_destroy(reading);
	rocksdb_writeoptions_destroy(writing);
	rocksdb_options_destroy(options);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest brief[] = { cmocka_unit_test(agrees_with_rocksdb) };
	const struct CMUnitTest lengthy[] = { cmocka_unit_test(agrees_for_long) };
	char dir[300];
	int ret;

	(void)snprintf(
	    dir, sizeof(dir), "%.200s/index_oracle.XXXXXX", argc > 3 ? argv[3] : "/tmp");
	if (mkdtemp(dir) == NULL || chdir(dir) != 0) {
		perror(dir);
		return 2;
	}
	if (argc > 2) {
		soak_seed = strtoull(argv[1], NULL, 10);
		soak_seconds = strtol(argv[2], NULL, 10);
		ret = cmocka_run_group_tests(lengthy, set_up, tear_down);
	} else
		ret = cmocka_run_group_tests(brief, set_up, tear_down);
	(void)chdir("/");
	(void)rmdir(dir);
	return ret;
}
