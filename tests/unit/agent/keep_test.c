/*
 * What is kept by the word of a list of changes: the tree is that of reading everything,
 * whatever changed; what the list does not say is found out; what the server lost is read
 * again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/backup/cache.h"
#include "agent/backup/pipeline.h"
#include "agent/backup/proof.h"
#include "agent/backup/shape.h"
#include "agent/map/changes.h"
#include "agent/map/metacache.h"
#include "proto/base/bytes.h"
#include "proto/base/wait.h"
#include "tests/unit/agent/fake_server.h"
#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/scratch.h"

#define SPAN ((uint64_t)TREE_SPAN_LEN)
#define SIZE (2 * SPAN + 3 * 1024 * 1024)
#define CLUSTER 4096u
#define FILES 40u
/* TSan looks at the threads, of which each round has the same; others count what is cut.
 */
#ifdef __SANITIZE_THREAD__
#define ROUNDS(n) (((n) + 3) / 4)
#else
#define ROUNDS(n) (n)
#endif

struct world {
	struct fake_server *server;
	struct chunk_keys keys;
	uint8_t *disk, *back;
	uint64_t size;
	struct changes *list;
	struct metacache *tables;
	_Atomic uint64_t reads; /* By several threads. */
	uint64_t fail_read;	/* The n-th read fails; 0: none. */
	_Atomic int rested;
	char dir[SCRATCH_MAX], old[SCRATCH_MAX], new[SCRATCH_MAX];
	char shape[SCRATCH_MAX], new_shape[SCRATCH_MAX], meta[SCRATCH_MAX];
	struct pipeline_job job;
	struct pipeline_result r;
	struct err err;
};

static uint64_t
rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void
fill(uint8_t *p, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(rnd(&x) >> 24);
}

static int
read_disk(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct world *w = arg;

	if (offset + len > w->size)
		return err_set(err, ERR_LIMIT, "past the end");
	if (atomic_fetch_add(&w->reads, 1) + 1 == w->fail_read)
		return err_set(err, ERR_IO, "read: Input/output error");
	memcpy(buf, w->disk + offset, len);
	return 0;
}

static int
set_up(void **state)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 7 };
	struct world *w = calloc(1, sizeof(*w));

	chunk_keys_init(&w->keys, domain);
	w->server = fake_new(&w->keys);
	w->size = SIZE;
	w->disk = calloc(1, SIZE);
	w->back = malloc(SIZE);
	fill(w->disk, 9 << 20, 1);
	fill(w->disk + (12 << 20), 15 << 20, 2);
	scratch_make(w->dir);
	scratch_path(w->dir, "c", w->old);
	scratch_path(w->dir, "c=new", w->new);
	scratch_path(w->dir, "c=shape", w->shape);
	scratch_path(w->dir, "c=shape-new", w->new_shape);
	scratch_path(w->dir, "tables", w->meta);
	assert_int_equal(metacache_new(w->meta, 0, &w->tables, &w->err), 0);
	w->job = (struct pipeline_job){ .source = { .read = read_disk,
					    .arg = w,
					    .size = SIZE,
					    .sector_size = 512,
					    .flushed = 1 },
		.map_flags = VOLMAP_WHOLE,
		.keys = &w->keys,
		.up = { &fake_ops, w->server, 4u << 20 },
		.level = 1,
		.new_cache = w->new,
		.new_shape = w->new_shape,
		.metacache = w->tables };
	w->job.root.size = SIZE;
	w->job.root.sector_size = 512;
	strcpy(w->job.root.provider, "offline");
	assert_int_equal(changes_new(SIZE, &w->list, &w->err), 0);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	scratch_drop(w->dir);
	fake_free(w->server);
	metacache_free(w->tables);
	changes_free(w->list);
	free(w->disk);
	free(w->back);
	free(w);
	return 0;
}

/* Run it, which must succeed, and see that the server has what is on the disk. */
static void
run(struct world *w)
{
	struct fake_image im;

	fake_reset(w->server);
	if (pipeline_run(&w->job, &w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	if (w->server->bad.code != ERR_NONE)
		fail_msg("%s", w->server->bad.text);
	if (fake_rebuild(w->server, &w->r.root_id, w->back, w->size, &im, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_memory_equal(w->back, w->disk, w->size);
}

/* The same by reading everything: the tree must be this one. */
static void
same_as_reading_all(struct world *w)
{
	struct pipeline_job all = w->job;
	struct pipeline_result r;

	all.changes = NULL;
	all.metacache = NULL;
	all.new_cache = all.new_shape = NULL;
	fake_reset(w->server);
	if (pipeline_run(&all, &r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(chunk_id_cmp(&r.root_id, &w->r.root_id), 0);
}

/* What was made is the base of the next run, which has an empty list. */
static void
becomes_base(struct world *w)
{
	struct proof proof;
	struct err err = ERR_INIT;

	proof_all(&proof, 10, 1);
	assert_int_equal(shape_seal(w->new_shape, &w->r.root_id, &proof, &err), 0);
	assert_int_equal(cache_settle(w->new, w->old, &err), 0);
	assert_int_equal(shape_settle(w->new_shape, w->shape, &err), 0);
	w->job.base.sequence++;
	metacache_seal(w->tables, &w->r.root_id, w->job.base.sequence);
	w->job.base.known = 1;
	w->job.base.root_id = w->r.root_id;
	w->job.old_cache = w->old;
	w->job.old_shape = w->shape;
	w->job.changes = w->list;
	changes_clear(w->list);
}

/* Change `len` bytes of the disk, and say so. */
static void
change(struct world *w, uint64_t at, uint64_t len, uint64_t seed)
{
	if (at + len > w->size)
		len = w->size - at;
	if (seed % 4 == 0)
		memset(w->disk + at, 0, len);
	else
		fill(w->disk + at, len, seed);
	changes_add(w->list, at, len);
}

/* ------------------------------------------------------------------ raw bytes -- */

static void
nothing_changed_and_nothing_is_read(void **state)
{
	struct world *w = *state;

	run(w);
	assert_int_equal(w->r.kept_bytes, 0);
	becomes_base(w);
	run(w);
	assert_string_equal(changes_why(w->list), "");
	assert_int_equal(w->r.counts.read_bytes, 0);
	assert_int_equal(w->r.kept_bytes, SIZE);
	assert_int_equal(w->server->puts, 0);
	same_as_reading_all(w);
}

static void
a_stream_is_cut_as_if_all_was_read(void **state)
{
	static const uint64_t lens[] = { 1, 4096, 30000, 70000, 300000, 1500000 };
	struct world *w = *state;
	uint64_t x = 99, changed;

	run(w);
	for (unsigned round = 0; round < ROUNDS(12); round++) {
		becomes_base(w);
		changed = 0;
		for (unsigned i = 0; i < round % 5; i++) {
			uint64_t len = lens[rnd(&x) % 6];

			/* Now and then where spans meet. */
			change(w, rnd(&x) % 3 == 0 ? SPAN - len / 2 : rnd(&x) % SIZE, len,
			    rnd(&x));
			changed += len;
		}
		run(w);
		assert_string_equal(changes_why(w->list), "");
		/* Around each change at most a few chunks. */
		assert_true(w->r.counts.read_bytes <= changed + (round % 5) * (1 << 20));
		same_as_reading_all(w);
	}
}

static void
a_slice_is_read_in_each_run(void **state)
{
	struct world *w = *state;
	uint64_t proven = 0;

	run(w);
	for (unsigned slice = 0; slice < 10; slice++) {
		becomes_base(w);
		changes_slice(w->list, 10, slice);
		run(w);
		proven += w->r.proven_bytes;
		assert_int_equal(w->r.kept_bytes + w->r.proven_bytes, SIZE);
		assert_true(w->r.proven_bytes < SIZE / 5);
	}
	assert_int_equal(proven, SIZE);
}

static void
what_the_list_does_not_say_is_found_out(void **state)
{
	static const uint64_t places[] = { 0, 5 << 20, SPAN - 1, 10 << 20, SIZE - 1 };
	struct world *w = *state;

	for (unsigned i = 0; i < 5; i++) {
		w->job.changes = NULL;
		fake_reset(w->server);
		w->err = (struct err)ERR_INIT;
		run(w);
		becomes_base(w);
		w->disk[places[i]] ^= 0x55;
		changes_slice(w->list, 1, 0);
		fake_reset(w->server);
		assert_int_equal(pipeline_run(&w->job, &w->r, &w->err), -1);
		assert_true(w->r.stale);
		assert_true(
		    w->r.stale_at <= places[i] && places[i] < w->r.stale_at + 262144);
		assert_int_equal(w->err.code, ERR_SNAPSHOT_LOST);
	}
}

static void
what_the_server_lost_is_read_again(void **state)
{
	struct world *w = *state;
	struct fake_chunk *c;
	uint8_t bad[64 * CHUNK_ID_LEN];
	size_t n = 0;

	run(w);
	becomes_base(w);
	for (size_t i = 0; i < FAKE_CHUNKS && n < 64; i++) {
		c = &w->server->chunks[i];
		if (c->p == NULL || c->kind != CHUNK_DATA)
			continue;
		memcpy(bad + n++ * CHUNK_ID_LEN, c->id.b, CHUNK_ID_LEN);
		free(c->p);
		c->p = NULL;
		c->claimed = 0;
	}
	w->job.bad = bad;
	w->job.bad_len = n * CHUNK_ID_LEN;
	run(w);
	assert_int_equal(w->server->chunks_put, n);
	/* But of one that is something else by now there is only doubt. */
	becomes_base(w);
	w->disk[5 << 20] ^= 1;
	for (size_t i = 0; i < FAKE_CHUNKS; i++)
		if (w->server->chunks[i].kind == CHUNK_DATA) {
			free(w->server->chunks[i].p);
			w->server->chunks[i].p = NULL;
			w->server->chunks[i].claimed = 0;
		}
	uint8_t *all = malloc(FAKE_CHUNKS * CHUNK_ID_LEN);

	for (size_t i = n = 0; i < FAKE_CHUNKS; i++)
		if (w->server->chunks[i].kind == CHUNK_DATA)
			memcpy(all + n++ * CHUNK_ID_LEN, w->server->chunks[i].id.b,
			    CHUNK_ID_LEN);
	w->job.bad = all;
	w->job.bad_len = n * CHUNK_ID_LEN;
	fake_reset(w->server);
	assert_int_equal(pipeline_run(&w->job, &w->r, &w->err), -1);
	assert_true(w->r.stale);
	free(all);
}

static void
an_interruption_loses_nothing_that_was_kept(void **state)
{
	struct world *w = *state;
	char done[SCRATCH_MAX];
	unsigned resumed = 0;

	scratch_path(w->dir, "c=done", done);
	run(w);
	for (uint64_t put = 1; put < 2 + ROUNDS(28); put += 4) {
		becomes_base(w);
		changes_slice(w->list, 10, (unsigned)put % 10);
		change(w, SPAN - 3000000, 5 << 20, 1000 + 4 * put + 1);
		change(w, 2 * SPAN - 100000, 1 << 20, 2000 + 4 * put + 1);
		fake_reset(w->server);
		w->server->fail_put = put;
		if (pipeline_run(&w->job, &w->r, &w->err) != 0) {
			assert_int_equal(w->err.code, ERR_IO);
			w->err = (struct err)ERR_INIT;
			assert_int_equal(file_replace(w->new, done, &w->err), 0);
			w->job.done_cache = done;
			w->job.done_spans = w->r.spans;
			resumed += w->r.spans > 0;
		}
		if (w->job.done_spans == 0)
			w->job.done_cache = NULL;
		run(w);
		w->job.done_cache = NULL;
		w->job.done_spans = 0;
		same_as_reading_all(w);
	}
	assert_true(resumed > 1);
}

/* A file that is cut by content, in one piece, in which a span ends. */
static void
a_file_is_gone_on_with_in_its_middle(void **state)
{
	struct world *w = *state;
	struct image *v = image_new(8192, CLUSTER, 512, 1024, 32);
	struct image_run of[2] = { { image_free_from(v), 6000 }, { 0, 0 } };
	char done[SCRATCH_MAX];

	fill(image_cluster(v, image_free_from(v)), 6000 * CLUSTER, 5);
	image_file(v, 16, 5, "f", of);
	image_finish(v);
	memcpy(w->disk, v->p, v->size);
	w->size = w->job.source.size = w->job.root.size = v->size;
	w->job.map_flags = 0;
	image_free(v);
	run(w);
	becomes_base(w);
	change(w, SPAN - 3000000, 5 << 20, 1);
	change(w, SPAN + (6 << 20), 100000, 2);
	run(w);
	/* Of this run the first span counts, as if it had come no farther. */
	scratch_path(w->dir, "c=done", done);
	assert_int_equal(file_replace(w->new, done, &w->err), 0);
	w->job.done_cache = done;
	w->job.done_spans = 1;
	run(w);
	assert_true(w->r.kept_bytes > 4 << 20);
	w->job.done_cache = NULL;
	w->job.done_spans = 0;
	same_as_reading_all(w);
}

/* ------------------------------------------------------------------- slow answers -- */

/* Once it is so, the reader has used up what slabs there are, or all is read. */
static int
reader_rests(void *arg)
{
	struct world *w = arg;
	uint64_t before = w->reads;

	if (!w->rested) {
		wait_ms(50);
		w->rested = w->reads == before;
	}
	return w->rested;
}

/*
 * All slabs but one wait for the server, and what that one has is known: it comes back
 * at once, and what was read ahead in it is not in it any more.
 */
static void
a_slab_that_comes_back_at_once_is_empty(void **state)
{
	struct world *w = *state;

	w->server->may_answer = reader_rests;
	w->server->may_answer_arg = w;
	w->rested = 1;
	fill(w->disk, 27 << 20, 3);
	run(w);
	/* Some of these lengths of what is new leave one slab. */
	for (uint64_t k = 0; k < 5; k++) {
		becomes_base(w);
		fill(w->disk, (39 + k) << 18, 50 + k);
		changes_add(w->list, 0, 27 << 20);
		w->rested = 0;
		run(w);
	}
	same_as_reading_all(w);
}

/* One byte of a file of the agent's own changes: all is read, or nothing depends on it.
 */
static void
damage(const char *path, uint64_t at)
{
	struct err err = ERR_INIT;
	struct file *f;
	uint8_t b;

	assert_int_equal(file_open(path, FILE_TO_WRITE, &f, &err), 0);
	assert_int_equal(file_read_all(f, at, &b, 1, &err), 0);
	b ^= 0x41;
	assert_int_equal(file_write(f, at, &b, 1, &err), 0);
	file_close(f);
}

/* That of the bags of `what` which is there. */
static void
damage_bag(struct world *w, const char *what, uint64_t at)
{
	enum file_kind is;
	unsigned found = 0;
	char name[32], path[SCRATCH_MAX];

	for (unsigned i = 0; i < 2; i++) {
		(void)snprintf(name, sizeof(name), "c=%s%u", what, i);
		scratch_path(w->dir, name, path);
		assert_int_equal(file_kind(path, &is, &w->err), 0);
		if (is != FILE_IS_FILE)
			continue;
		found++;
		damage(path, at);
	}
	assert_int_equal(found, 1);
}

static void
a_damaged_memory_only_costs_reading(void **state)
{
	/* Magic, root, turns, counts, hash; where the first record is. */
	static const uint64_t index[] = { 0, 10, 41, 898, 1000, 1025 };
	/* Of the first record length, id, bytes. */
	static const uint64_t bag[] = { 17, 30, 200 };
	struct world *w = *state;

	run(w);
	for (unsigned i = 0; i < 6 + 6 + 3 + 3; i++) {
		becomes_base(w);
		if (i < 12)
			damage(i < 6 ? w->shape : w->old, index[i % 6]);
		else
			damage_bag(w, i < 15 ? "cuts" : "nodes", bag[i % 3]);
		run(w);
		if (i < 5)
			assert_string_not_equal(changes_why(w->list), "");
		same_as_reading_all(w);
	}
	/* And once it was read, it is as good as ever. */
	becomes_base(w);
	run(w);
	assert_int_equal(w->r.counts.read_bytes, 0);
	becomes_base(w);
	assert_int_equal(file_remove(w->shape, &w->err), 1);
	run(w);
	assert_string_not_equal(changes_why(w->list), "");
	assert_int_equal(w->r.kept_bytes, 0);
}

static void
another_size_or_point_is_read_whole(void **state)
{
	struct world *w = *state;

	run(w);
	becomes_base(w);
	w->job.base.root_id.b[0] ^= 1;
	run(w);
	assert_int_equal(w->r.kept_bytes, 0);
	becomes_base(w);
	w->size = w->job.source.size = w->job.root.size = SIZE - 4096;
	run(w);
	assert_int_equal(w->r.kept_bytes, 0);
	assert_string_equal(changes_why(w->list), "the volume has another size");
	becomes_base(w);
	w->job.base.known = 0;
	run(w);
	assert_int_equal(w->r.kept_bytes, 0);
}

/* ----------------------------------------------------------------------- files -- */

/* A volume of files, some in pieces, some dense; every one of `seeds` is its content. */
static void
files(struct world *w, const uint64_t seeds[FILES], uint32_t turn)
{
	struct image *v = image_new(8192, CLUSTER, 512, 1024, 16 + FILES + 8);
	uint32_t at = image_free_from(v);
	char name[8];

	for (uint32_t n = 0; n < FILES; n++) {
		/* Every fifth lies elsewhere in each turn; every seventh is gone. */
		/* Every fourth grows. */
		uint32_t base = 3 + n * 7 % 150, skip = n % 5 == 0 ? turn % 3 : 0;
		uint32_t len = base + (n % 4 == 1 ? turn % 5 : 0);
		struct image_run runs[4] = { { at + skip, len / 3 },
			{ at + skip + len / 3 + 5, len / 3 },
			{ at + skip + 2 * (len / 3) + 8, len - 2 * (len / 3) },
			{ 0, 0 } };

		at += base + 24;
		if (turn > 0 && n % 7 == 6 && turn % 2 == 0)
			continue;
		if (n % 3 == 0) {
			runs[0].len = len;
			runs[1].len = 0;
		}
		for (unsigned k = 0; runs[k].len > 0; k++) {
			uint8_t *p = image_cluster(v, (uint64_t)runs[k].lcn);

			for (uint32_t c = 0; c < runs[k].len * CLUSTER; c += CLUSTER)
				if (n % 2 == 0)
					fill(p + c, CLUSTER, seeds[n] + k * 1000 + c);
				else
					snprintf((char *)p + c, CLUSTER, "%llu %u",
					    (unsigned long long)seeds[n], k * 1000 + c);
		}
		snprintf(name, sizeof(name), "f%u", n);
		image_file(v, 16 + n, 5, name, runs);
	}
	image_finish(v);
	assert_true(v->size <= SIZE && v->size > SPAN);
	w->size = w->job.source.size = w->job.root.size = v->size;
	w->job.map_flags = 0;
	/* What differs is what changed. */
	for (uint64_t o = 0; o < v->size; o += 512)
		if (memcmp(w->disk + o, v->p + o, 512) != 0)
			changes_add(w->list, o, 512);
	memcpy(w->disk, v->p, v->size);
	image_free(v);
}

static void
files_are_cut_as_if_all_was_read(void **state)
{
	struct world *w = *state;
	uint64_t seeds[FILES], x = 5, kept = 0;

	for (uint32_t n = 0; n < FILES; n++)
		seeds[n] = n;
	files(w, seeds, 0);
	run(w);
	for (uint32_t turn = 1; turn < 1 + ROUNDS(8); turn++) {
		becomes_base(w);
		if (turn % 3 == 0)
			changes_slice(w->list, 2, turn & 1);
		for (unsigned i = 0; i < turn % 4; i++)
			seeds[rnd(&x) % FILES] = rnd(&x);
		files(w, seeds, turn);
		/* And within them, in pieces or not: clusters in use, whatever they are. */
		for (unsigned i = 0; i < 4 * turn % 13; i++) {
			uint64_t at = (w->size / 4 + rnd(&x) % (w->size / 2)) / CLUSTER;

			if (w->disk[at * CLUSTER] != 0)
				change(w, at * CLUSTER + rnd(&x) % 512, 1 + rnd(&x) % 512,
				    rnd(&x));
		}
		run(w);
		assert_string_equal(changes_why(w->list), "");
		kept += w->r.kept_bytes;
		same_as_reading_all(w);
	}
	assert_true(kept > (uint64_t)ROUNDS(20) << 20);
}

/* Bytes of the volume that differ from what `then` has, in grains. */
static uint64_t
differs(const struct world *w, const uint8_t *then)
{
	uint64_t n = 0;

	for (uint64_t o = 0; o + 4096 <= w->size; o += 4096)
		n += memcmp(w->disk + o, then + o, 4096) != 0 ? 4096 : 0;
	return n;
}

static void
of_the_tables_only_what_changed_is_read(void **state)
{
	struct world *w = *state;
	uint64_t seeds[FILES] = { 0 }, all, known = 0;
	uint8_t *then = malloc(SIZE);

	files(w, seeds, 0);
	run(w);
	all = w->r.map_bytes;
	assert_int_equal(w->r.map_known_bytes, 0);
	for (uint32_t turn = 1; turn < 4; turn++) {
		becomes_base(w);
		memcpy(then, w->disk, w->size);
		seeds[turn] = turn;
		files(w, seeds, turn / 2);
		run(w);
		/* Heads of the files that changed lie among what differs. */
		assert_true(w->r.map_bytes <= differs(w, then));
		assert_true(w->r.map_bytes < all);
		known += w->r.map_known_bytes;
		same_as_reading_all(w);
	}
	assert_true(known > 100000);
	free(then);
	becomes_base(w);
	run(w);
	assert_int_equal(w->r.map_bytes, 0);
}

/* The list says nothing of a record that changed: it is due, or all depends on others. */
static void
a_table_that_changed_unsaid_is_found_out(void **state)
{
	struct world *w = *state;
	uint64_t seeds[FILES] = { 0 };
	struct image *v = image_new(8192, CLUSTER, 512, 1024, 16 + FILES + 8);
	uint64_t at = (uint64_t)v->mft[0].lcn * CLUSTER + 20 * 1024 + 300;

	image_free(v);
	files(w, seeds, 0);
	run(w);
	becomes_base(w);
	w->disk[at] ^= 1;
	changes_slice(w->list, 4, (unsigned)(at >> 20) % 4);
	fake_reset(w->server);
	assert_int_equal(pipeline_run(&w->job, &w->r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_SNAPSHOT_LOST);
	assert_true(w->r.stale);
	assert_int_equal(w->r.stale_at, at / 4096 * 4096);
	/* Then all is read, and of the tables nothing is believed. */
	metacache_drop(w->tables);
	w->job.changes = NULL;
	w->err = (struct err)ERR_INIT;
	run(w);
	assert_int_equal(w->r.map_known_bytes, 0);
	same_as_reading_all(w);
}

/* Before any driver runs: no list has it, and it is no lie of the list's. */
static void
what_boot_loaders_write_is_read(void **state)
{
	struct world *w = *state;
	struct image *v = image_new(1024, CLUSTER, 512, 1024, 32);
	const int64_t at = image_free_from(v) + 40;
	const struct image_run runs[] = { { at, 17 }, { at + 30, 1 }, { 0, 0 } };

	fill(image_cluster(v, (uint64_t)at), 17 * CLUSTER, 5);
	fill(image_cluster(v, (uint64_t)at + 30), CLUSTER, 6);
	image_file(v, 20, 5, "BootStat.dat", runs);
	image_finish(v);
	memcpy(w->disk, v->p, v->size);
	w->size = w->job.source.size = w->job.root.size = v->size;
	w->job.map_flags = 0;
	image_free(v);
	run(w);
	becomes_base(w);
	w->disk[(uint64_t)at * CLUSTER + 5] ^= 1;
	w->disk[(uint64_t)(at + 30) * CLUSTER] ^= 1;
	changes_slice(w->list, 1, 0);
	run(w);
	assert_string_equal(changes_why(w->list), "");
	assert_true(w->r.proven_bytes > 0);
	same_as_reading_all(w);
}

/* What is found out of the map may end the list: then the map is made of the volume. */
static void
a_list_that_is_not_believed_has_no_hand_in_the_map(void **state)
{
	struct world *w = *state;
	uint64_t seeds[FILES] = { 0 };

	files(w, seeds, 0);
	run(w);
	becomes_base(w);
	/* Said of a base whose tree is not here any more; the files are others by now. */
	assert_int_equal(file_remove(w->old, &w->err), 1);
	for (uint32_t n = 0; n < FILES; n++)
		seeds[n] = 5;
	files(w, seeds, 2);
	changes_clear(w->list);
	run(w);
	assert_string_not_equal(changes_why(w->list), "");
	assert_int_equal(w->r.map_known_bytes, 0);
	same_as_reading_all(w);
}

static void
a_read_that_fails_ends_it_and_leaves_nothing_wrong(void **state)
{
	struct world *w = *state;
	uint64_t seeds[FILES] = { 0 }, all;
	int failed = 0;

	files(w, seeds, 0);
	run(w);
	becomes_base(w);
	changes_slice(w->list, 3, 1);
	seeds[3] = seeds[8] = 77;
	files(w, seeds, 1);
	w->reads = 0;
	run(w);
	all = w->reads;
	for (uint64_t nth = 1; nth <= all; nth += 1 + all / ROUNDS(60)) {
		w->reads = 0;
		w->fail_read = nth;
		w->err = (struct err)ERR_INIT;
		fake_reset(w->server);
		/* But for the head of a file: that is then taken for not dense. */
		if (pipeline_run(&w->job, &w->r, &w->err) == 0)
			continue;
		assert_int_equal(w->err.code, ERR_IO);
		failed++;
	}
	assert_true(failed > ROUNDS(12));
	w->fail_read = 0;
	w->err = (struct err)ERR_INIT;
	run(w);
	same_as_reading_all(w);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest threads[] = {
		TEST(nothing_changed_and_nothing_is_read),
		TEST(a_stream_is_cut_as_if_all_was_read),
		TEST(what_the_server_lost_is_read_again),
		TEST(an_interruption_loses_nothing_that_was_kept),
		TEST(a_read_that_fails_ends_it_and_leaves_nothing_wrong),
	};
	const struct CMUnitTest others[] = {
		TEST(a_slice_is_read_in_each_run),
		TEST(a_slab_that_comes_back_at_once_is_empty),
		TEST(a_file_is_gone_on_with_in_its_middle),
		TEST(what_the_list_does_not_say_is_found_out),
		TEST(a_damaged_memory_only_costs_reading),
		TEST(another_size_or_point_is_read_whole),
		TEST(files_are_cut_as_if_all_was_read),
		TEST(of_the_tables_only_what_changed_is_read),
		TEST(a_table_that_changed_unsaid_is_found_out),
		TEST(what_boot_loaders_write_is_read),
		TEST(a_list_that_is_not_believed_has_no_hand_in_the_map),
	};
	int bad = cmocka_run_group_tests(threads, NULL, NULL);

	return ROUNDS(4) == 4 ? bad + cmocka_run_group_tests(others, NULL, NULL) : bad;
}
