/*
 * Files cut by content: the map finds them however they lie, their chunks depend on
 * the bytes alone, and the pipeline brings them whole through all that may happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/backup/pipeline.h"
#include "agent/backup/pipeline_stages.h"
#include "agent/map/volmap_dense.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "tests/unit/agent/fake_server.h"
#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/agent/volmap_cover.h"
#include "tests/unit/scratch.h"

#define CLUSTER 4096u
#define MIB ((size_t)1024 * 1024)
/* Three regions, the last one short, and a cluster that is not full. */
#define FILE_LEN (9 * MIB + 700)
#define SINGLE 9999u

struct world {
	struct fake_server *server;
	struct chunk_keys keys;
	uint8_t *content; /* Of the file: FILE_LEN bytes, and room for more. */
	struct image *v;  /* The volume with it. */
	uint8_t *back;
	uint64_t at;	      /* Where the file begins. */
	int passed;	      /* Something was read there, */
	unsigned turned_back; /* and then what lies in front. */
	uint32_t record;      /* Of the file, */
	const char *stream;   /* name and flags of its stream. */
	uint16_t flags;
	char dir[SCRATCH_MAX], old[SCRATCH_MAX], new[SCRATCH_MAX];
	struct pipeline_job job;
	struct pipeline_result r;
	struct err err;
};

static int
read_volume(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct world *w = arg;

	if (offset + len > w->v->size)
		return err_set(err, ERR_LIMIT, "past the end");
	w->turned_back += w->passed && offset < w->at;
	w->passed |= offset >= w->at;
	memcpy(buf, w->v->p + offset, len);
	return 0;
}

/* Bytes without a zero among them. */
static void
fill_dense(uint8_t *p, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)(1 + x % 255);
	}
}

static int
set_up(void **state)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 3 };
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	chunk_keys_init(&w->keys, domain);
	w->server = fake_new(&w->keys);
	w->content = malloc(FILE_LEN + MIB);
	w->back = malloc(3 * FILE_LEN);
	assert_non_null(w->content);
	assert_non_null(w->back);
	fill_dense(w->content, FILE_LEN + MIB, 1);
	w->record = 16;
	w->stream = "";
	scratch_make(w->dir);
	scratch_path(w->dir, "c", w->old);
	scratch_path(w->dir, "c=new", w->new);
	w->job = (struct pipeline_job){ .source = { .read = read_volume,
					    .arg = w,
					    .sector_size = 512,
					    .flushed = 1 },
		.keys = &w->keys,
		.up = { &fake_ops, w->server, 4u << 20 },
		.level = 1,
		.new_cache = w->new };
	w->job.root.sector_size = 512;
	strcpy(w->job.root.provider, "offline");
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	scratch_drop(w->dir);
	fake_free(w->server);
	if (w->v != NULL)
		image_free(w->v);
	free(w->content);
	free(w->back);
	free(w);
	return 0;
}

/*
 * A new volume with the content as its only file, `len` bytes in runs of `run`
 * clusters (0: one run; 1: of one to 21; SINGLE: of one): those that are next to each
 * other in the file are not so on the volume, and half of all lie before their
 * predecessors.
 */
static void
volume_with(struct world *w, size_t len, uint32_t run)
{
	static struct image_run runs[256];
	uint32_t clusters = (uint32_t)((len + CLUSTER - 1) / CLUSTER), n = 0, at, left;
	uint64_t back, front, lcn;
	struct image *v;
	uint8_t *a;

	if (w->v != NULL)
		image_free(w->v);
	v = w->v = image_new(2 * clusters + 700, CLUSTER, 512, 4096, 32);
	assert_true(clusters <= run * 220 || run < 2); /* Else its list would not fit. */
	front = image_free_from(v) + 3;
	back = v->clusters - 5;
	for (at = 0; at < clusters; at += left, n++) {
		left = run == 0	       ? clusters
		       : run == 1      ? 1 + n * 5 % 21
		       : run == SINGLE ? 1
				       : run;
		left = left < clusters - at ? left : clusters - at;
		if (run != 0 && n % 2 == 0) {
			lcn = back -= left + 1;
		} else {
			lcn = front;
			front += left + 1;
		}
		runs[n] = (struct image_run){ (int64_t)lcn, left };
		image_bits(v, lcn, left, 1);
		w->at = at == 0 ? lcn * CLUSTER : w->at;
		memcpy(image_cluster(v, lcn), w->content + (size_t)at * CLUSTER,
		    len - (size_t)at * CLUSTER < (size_t)left * CLUSTER
			? len - (size_t)at * CLUSTER
			: (size_t)left * CLUSTER);
	}
	assert_true(front < back);
	runs[n].len = 0;
	image_begin(v, w->record, 1, 0);
	image_name(v, w->record, 5, "dense", 3);
	a = image_attr(v, w->record, 0x80, w->stream, 0, runs, len);
	store_le16(a + 12, w->flags);
	image_finish(v);
	w->job.source.size = w->job.root.size = v->size;
}

static void
run_and_compare(struct world *w)
{
	struct fake_image im;

	if (pipeline_run(&w->job, &w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	if (w->server->bad.code != ERR_NONE)
		fail_msg("%s", w->server->bad.text);
	if (fake_rebuild(w->server, &w->r.root_id, w->back, w->v->size, &im, &w->err) !=
	    0)
		fail_msg("%s", w->err.text);
	assert_memory_equal(w->back, w->v->p, w->v->size);
}

/* ---------------------------------------------------------------- the cuts -- */

static void
text_is_dense_and_pages_are_not(void **state)
{
	uint8_t p[VOLMAP_DENSE_HEAD];

	(void)state;
	fill_dense(p, sizeof(p), 3);
	assert_true(volmap_dense_bytes(p, sizeof(p)));
	/* 1 in 64 of either half may be zero, and no more. */
	for (size_t i = 0; i < 2 * 32; i++)
		p[i] = 0;
	assert_true(volmap_dense_bytes(p, sizeof(p)));
	p[64] = p[65] = 0;
	assert_false(volmap_dense_bytes(p, sizeof(p)));
	/* UTF-16, of either order. */
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = i % 2 ? 0 : 'x';
	assert_true(volmap_dense_bytes(p, sizeof(p)));
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = i % 2 ? 'x' : 0;
	assert_true(volmap_dense_bytes(p, sizeof(p)));
	memset(p, 0, sizeof(p));
	assert_false(volmap_dense_bytes(p, sizeof(p)));
}

/* Against the obvious way, for lengths and densities of all kinds. */
static void
zeros_are_counted_right(void **state)
{
	uint8_t p[VOLMAP_DENSE_HEAD];
	uint64_t x = 5, dense = 0, n = 0;

	(void)state;
	for (int round = 0; round < 3000; round++, n++) {
		size_t zeros[2] = { 0, 0 }, len, fewer;

		x = x * 6364136223846793005u + 1442695040888963407u;
		len = round % 2 ? sizeof(p) : (size_t)(x >> 33) % sizeof(p);
		fill_dense(p, sizeof(p), x);
		for (size_t i = 0; i < len; i++) {
			if (p[i] % 128 <= (unsigned)round % 4)
				p[i] = round % 3 ? 0 : 0x80;
			zeros[i & 1] += p[i] == 0;
		}
		fewer = zeros[0] < zeros[1] ? zeros[0] : zeros[1];
		assert_int_equal(volmap_dense_bytes(p, len), fewer * 128 <= len);
		dense += fewer * 128 <= len;
	}
	assert_in_range(dense, n / 5, n - n / 5);
}

/* The map of the volume as it is; `regions` and `pieces` of what is cut by content. */
static void
map_of(struct world *w, uint32_t *regions, uint32_t *pieces, uint64_t *bytes)
{
	struct cover_disk disk = { .p = w->v->p, .size = w->v->size };
	struct cover *c = cover_new(&disk, 1, 0, &w->err);

	assert_non_null(c);
	assert_string_equal(c->note, "");
	*regions = *pieces = 0;
	for (uint32_t i = 0; i < c->data_cuts; i++)
		if (c->data[i].kind == VOLMAP_REGION) {
			++*regions;
			*pieces += c->data[i].count;
		}
	*bytes = cover_count(c, 'r');
	cover_free(c);
}

static void
regions_are_whole_however_the_file_lies(void **state)
{
	static const uint32_t layouts[] = { 0, 1, 20, 700 };
	struct world *w = *state;
	uint32_t regions, pieces;
	uint64_t bytes;

	for (size_t i = 0; i < 4; i++) {
		volume_with(w, FILE_LEN, layouts[i]);
		map_of(w, &regions, &pieces, &bytes);
		assert_int_equal(regions, 3);
		assert_int_equal(bytes, FILE_LEN);
		assert_true(layouts[i] != 0 ? pieces > 3 : pieces == 3);
	}
	/* Short ones are cut at offsets. */
	for (uint32_t run = 0; run < 2; run++) {
		volume_with(w, VOLMAP_DENSE_MIN - 1, run);
		map_of(w, &regions, &pieces, &bytes);
		assert_int_equal(bytes, 0);
		volume_with(w, VOLMAP_DENSE_MIN, run);
		map_of(w, &regions, &pieces, &bytes);
		assert_int_equal(bytes, VOLMAP_DENSE_MIN);
	}
	/* And those that begin like pages, whatever follows. */
	memset(w->content, 0, 200);
	for (uint32_t run = 0; run < 2; run++) {
		volume_with(w, FILE_LEN, run);
		map_of(w, &regions, &pieces, &bytes);
		assert_int_equal(bytes, 0);
	}
}

/* Compressed, encrypted and sparse streams, named ones, the file system's own. */
static void
other_streams_are_cut_at_offsets(void **state)
{
	static const struct {
		uint32_t record;
		const char *stream;
		uint16_t flags;
		int dense;
	} cases[] = { { 16, "", 0, 1 }, { 16, "", 1, 0 }, { 16, "", 0x4000, 0 },
		{ 16, "", 0x8000, 0 }, { 16, "other", 0, 0 }, { 15, "", 0, 0 } };
	struct world *w = *state;
	uint32_t regions, pieces;
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (uint32_t run = 0; run < 2; run++) {
			w->record = cases[i].record;
			w->stream = cases[i].stream;
			w->flags = cases[i].flags;
			volume_with(w, MIB, run);
			map_of(w, &regions, &pieces, &bytes);
			assert_int_equal(bytes, cases[i].dense ? MIB : 0);
		}
}

/* Where the file begins cannot be read: it is cut at offsets, and nothing fails. */
static void
a_head_that_cannot_be_read_is_not_dense(void **state)
{
	struct world *w = *state;
	struct cover_disk disk;
	struct cover *c;
	uint64_t reads, lost = 0;

	for (uint32_t run = 0; run < 2; run++) {
		volume_with(w, MIB, run);
		disk = (struct cover_disk){ .p = w->v->p, .size = w->v->size };
		c = cover_new(&disk, 1, 0, &w->err);
		assert_non_null(c);
		reads = disk.reads;
		cover_free(c);
		for (uint64_t i = 1; i <= reads; i++) {
			disk = (struct cover_disk){
				.p = w->v->p, .size = w->v->size, .fail_at = i
			};
			err_clear(&w->err);
			if ((c = cover_new(&disk, 1, 0, &w->err)) == NULL)
				continue;
			lost += cover_count(c, 'r') == 0 && cover_count(c, 'd') >= MIB;
			cover_free(c);
		}
		assert_int_equal(lost, run + 1);
	}
}

/* --------------------------------------------------------------- the chunks -- */

static void
the_same_content_is_stored_once_however_it_lies(void **state)
{
	static const uint32_t layouts[] = { 1, 20, 700, 15 };
	struct world *w = *state;
	uint64_t first;

	volume_with(w, FILE_LEN, 0);
	run_and_compare(w);
	first = w->r.counts.new_bytes;
	assert_true(first > FILE_LEN && first < FILE_LEN + MIB / 2);
	for (size_t i = 0; i < 4; i++) {
		fake_reset(w->server);
		volume_with(w, FILE_LEN, layouts[i]);
		run_and_compare(w);
		/* The MFT and the nodes differ. */
		assert_true(w->r.counts.known_bytes >= FILE_LEN);
		assert_true(w->r.counts.new_bytes < MIB / 2);
	}
}

/* New bytes of the volume after `more` bytes were put in front of the file. */
static uint64_t
new_after_insertion(struct world *w, size_t more, uint32_t run)
{
	fake_reset(w->server);
	volume_with(w, FILE_LEN, run);
	run_and_compare(w);
	memmove(w->content + more, w->content, FILE_LEN);
	fill_dense(w->content, more, 99);
	volume_with(w, FILE_LEN + more, run);
	run_and_compare(w);
	return w->r.counts.new_bytes;
}

static void
what_is_put_in_front_costs_a_few_chunks(void **state)
{
	struct world *w = *state;

	/* Each region finds its cuts again, and ends elsewhere. */
	assert_in_range(new_after_insertion(w, 1000, 0), 1000, FILE_LEN / 4);
	assert_in_range(new_after_insertion(w, 777, 20), 777, FILE_LEN / 4);
	/* At offsets all is new: the test can tell. */
	memset(w->content, 0, 300);
	assert_true(new_after_insertion(w, 1000, 0) > FILE_LEN / 4);
}

/* ------------------------------------------------------------ on the way -- */

/* What lies in front is read before the map looks at where the file begins. */
static void
a_disk_need_not_turn_back(void **state)
{
	struct world *w = *state;

	volume_with(w, FILE_LEN, 0);
	/* A crumb in front, so that a slab is being filled. */
	image_bits(w->v, w->at / CLUSTER - 2, 1, 1);
	fill_dense(w->v->p + w->at - 2 * CLUSTER, CLUSTER, 9);
	w->passed = 0;
	w->turned_back = 0;
	run_and_compare(w);
	assert_true(w->passed);
	assert_int_equal(w->turned_back, 0);
}

static void
becomes_base(struct world *w)
{
	assert_int_equal(file_rename(w->new, w->old, &(struct err)ERR_INIT), 0);
	w->job.old_cache = w->old;
	w->job.base.known = 1;
	w->job.base.root_id = w->r.root_id;
	fake_reset(w->server);
}

static void
an_unchanged_file_is_not_sent(void **state)
{
	struct world *w = *state;

	for (uint32_t run = 0; run < 2; run++) {
		volume_with(w, FILE_LEN, run);
		w->job.base.known = 0;
		run_and_compare(w);
		becomes_base(w);
		run_and_compare(w);
		assert_int_equal(w->server->puts, 0);
		/* In one piece not even asked for. */
		assert_true(run != 0 || w->server->asked <= 2);
	}
}

static void
pending_chunks_are_read_again(void **state)
{
	struct world *w = *state;

	volume_with(w, FILE_LEN, 1);
	w->server->pending_every = 2;
	w->server->pending_times = 3;
	run_and_compare(w);
}

static void
missing_chunks_are_found_again(void **state)
{
	struct world *w = *state;
	struct chunk_id data[256];
	struct fake_image im;
	size_t i, n = 0, sent;

	volume_with(w, FILE_LEN, 1);
	run_and_compare(w);
	for (i = 0; i < FAKE_CHUNKS && n < 256; i++)
		if (w->server->chunks[i].p != NULL &&
		    w->server->chunks[i].kind == CHUNK_DATA) {
			data[n++] = w->server->chunks[i].id;
			free(w->server->chunks[i].p);
			w->server->chunks[i].p = NULL;
		}
	assert_true(n > 100);
	if (pipeline_resend(&w->job, data, n, NULL, 0, &w->r.root_id, &sent, &(int){ 0 },
		&w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(sent, n);
	assert_int_equal(
	    fake_rebuild(w->server, &w->r.root_id, w->back, w->v->size, &im, &w->err), 0);
	assert_memory_equal(w->back, w->v->p, w->v->size);
}

/* A chunk of 256 KiB in 64 pieces and more, of which spans may make twice as many. */
static void
a_missing_chunk_of_many_pieces_is_found_again(void **state)
{
	struct world *w = *state;
	size_t i, sent, len = 200 * CLUSTER;
	struct chunk_id longest = { { 0 } };
	struct fake_image im;
	uint32_t most = 0;

	/* Where nothing varies no cut is found before the longest chunk. */
	memset(w->content, 'a', len);
	for (i = 0; i < len; i += 200000)
		w->content[i] = (uint8_t)('b' + i / 200000);
	volume_with(w, len, SINGLE);
	run_and_compare(w);
	for (i = 0; i < FAKE_CHUNKS; i++)
		if (w->server->chunks[i].p != NULL && w->server->chunks[i].len > most &&
		    w->server->chunks[i].kind == CHUNK_DATA) {
			most = w->server->chunks[i].len;
			longest = w->server->chunks[i].id;
		}
	assert_true(most > 200 * 1024);
	for (i = 0; i < FAKE_CHUNKS; i++)
		if (chunk_id_cmp(&w->server->chunks[i].id, &longest) == 0) {
			free(w->server->chunks[i].p);
			w->server->chunks[i].p = NULL;
		}
	if (pipeline_resend(&w->job, &longest, 1, NULL, 0, &w->r.root_id, &sent,
		&(int){ 0 }, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(sent, 1);
	assert_int_equal(
	    fake_rebuild(w->server, &w->r.root_id, w->back, w->v->size, &im, &w->err), 0);
	assert_memory_equal(w->back, w->v->p, w->v->size);
}

/* Whatever was done when it ended, the next run makes the same of it. */
static void
an_interruption_changes_nothing(void **state)
{
	static const uint32_t layouts[] = { 0, 1, 300 };
	struct world *w = *state;
	struct chunk_id root;

	for (size_t i = 0; i < 3; i++) {
		volume_with(w, FILE_LEN, layouts[i]);
		w->job.done_cache = NULL;
		run_and_compare(w);
		root = w->r.root_id;
		assert_int_equal(file_rename(w->new, w->old, &(struct err)ERR_INIT), 0);
		w->job.done_cache = w->old;
		for (w->job.done_spans = 1; w->job.done_spans <= tree_spans(w->v->size);
		     w->job.done_spans++) {
			run_and_compare(w);
			assert_int_equal(chunk_id_cmp(&root, &w->r.root_id), 0);
			assert_int_equal(w->server->twice, 0);
		}
		/* Really cut off, with a server that keeps what it was sent. */
		fake_reset(w->server);
		fill_dense(w->content, FILE_LEN, 50 + i);
		volume_with(w, FILE_LEN, layouts[i]);
		w->job.done_cache = NULL;
		w->job.done_spans = 0;
		w->server->fail_put = 12;
		assert_int_equal(pipeline_run(&w->job, &w->r, &w->err), -1);
		assert_int_equal(file_rename(w->new, w->old, &(struct err)ERR_INIT), 0);
		w->job.done_cache = w->old;
		w->job.done_spans = w->r.spans;
		fake_reset(w->server);
		err_clear(&w->err);
		run_and_compare(w);
		assert_int_equal(w->server->twice, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_dense_and_pages_are_not),
		cmocka_unit_test(zeros_are_counted_right),
		cmocka_unit_test_setup_teardown(
		    regions_are_whole_however_the_file_lies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    other_streams_are_cut_at_offsets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_head_that_cannot_be_read_is_not_dense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    the_same_content_is_stored_once_however_it_lies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_is_put_in_front_costs_a_few_chunks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_disk_need_not_turn_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    an_unchanged_file_is_not_sent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    pending_chunks_are_read_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    missing_chunks_are_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_missing_chunk_of_many_pieces_is_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    an_interruption_changes_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
