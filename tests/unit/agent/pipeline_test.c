/*
 * The pipeline: what a volume holds is on the server afterwards, whatever the
 * server answers on the way; what it has already does not travel again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/backup/cache.h"
#include "agent/backup/pipeline.h"
#include "agent/backup/pipeline_stages.h"
#include "agent/host/stop.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "tests/unit/agent/fake_server.h"
#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/scratch.h"

#define SPAN ((uint64_t)TREE_SPAN_LEN)
#define SIZE (2 * SPAN + 2 * 1024 * 1024)
#define MIB ((size_t)1024 * 1024)

struct world {
	struct fake_server *server;
	struct chunk_keys keys;
	uint8_t *disk, *back;
	uint64_t size;
	uint64_t bad_from, bad_to; /* Reading there fails. */
	struct stop *stop;
	uint64_t stop_at; /* Reading there asks to stop; 0: never. */
	char dir[SCRATCH_MAX], old[SCRATCH_MAX], new[SCRATCH_MAX];
	struct pipeline_job job;
	struct pipeline_result r;
	struct err err;
};

static int
read_disk(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct world *w = arg;

	if (offset + len > w->size)
		return err_set(err, ERR_LIMIT, "past the end");
	if (offset < w->bad_to && offset + len > w->bad_from)
		return err_set(err, ERR_IO, "read: Input/output error");
	if (w->stop_at != 0 && offset >= w->stop_at)
		stop_request(w->stop);
	memcpy(buf, w->disk + offset, len);
	return 0;
}

static void
fill_random(uint8_t *p, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(p + i, &x, 8);
	}
}

static int
set_up(void **state)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 3 };
	struct world *w = calloc(1, sizeof(*w));

	chunk_keys_init(&w->keys, domain);
	w->server = fake_new(&w->keys);
	w->size = SIZE;
	w->disk = calloc(1, SIZE);
	w->back = malloc(SIZE);
	/* Noise, then text that compresses, then zeros, then some of the noise again. */
	fill_random(w->disk, 6 * MIB, 1);
	for (size_t i = 8 * MIB; i < 14 * MIB; i += 64)
		snprintf(
		    (char *)w->disk + i, 64, "line %zu of what compresses well\n", i);
	memcpy(w->disk + 2 * SPAN, w->disk, 2 * MIB);
	scratch_make(w->dir);
	scratch_path(w->dir, "c", w->old);
	scratch_path(w->dir, "c=new", w->new);
	w->stop = stop_new();
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
		.stop = w->stop };
	w->job.root.size = SIZE;
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
	stop_free(w->stop);
	free(w->disk);
	free(w->back);
	free(w);
	return 0;
}

/* Run it, which must succeed, and rebuild the image: nothing may be missing. */
static struct fake_image
run_and_compare(struct world *w)
{
	struct fake_image im;

	if (pipeline_run(&w->job, &w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	if (w->server->bad.code != ERR_NONE)
		fail_msg("%s", w->server->bad.text);
	if (fake_rebuild(w->server, &w->r.root_id, w->back, w->size, &im, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_memory_equal(w->back, w->disk, w->size);
	return im;
}

/* What was new is the base of the next run. */
static void
becomes_base(struct world *w)
{
	assert_int_equal(cache_settle(w->new, w->old, &(struct err)ERR_INIT), 0);
	w->job.old_cache = w->old;
	w->job.base.known = 1;
	w->job.base.root_id = w->r.root_id;
	fake_reset(w->server);
}

static void
all_bytes_arrive(void **state)
{
	struct world *w = *state;
	struct fake_image im = run_and_compare(w);

	assert_true(im.bytes[EXTENT_ZERO] >= SPAN);
	assert_int_equal(w->r.counts.read_bytes, SIZE);
	assert_int_equal(w->r.counts.zero_bytes, im.bytes[EXTENT_ZERO]);
	assert_int_equal(w->r.counts.sent_bytes, w->server->bytes_put);
	assert_int_equal(w->server->twice, 0);
	/* The repeated two MiB were not sent twice. */
	assert_true(w->r.counts.known_bytes > 3 * MIB / 2);
}

static void
what_the_base_has_is_not_asked_for(void **state)
{
	struct world *w = *state;

	run_and_compare(w);
	becomes_base(w);
	run_and_compare(w);
	assert_true(w->r.cached);
	assert_int_equal(w->server->puts, 0);
	assert_true(w->server->asked <= 2); /* An inner node and the root. */
	assert_int_equal(w->r.counts.new_bytes, 0);
}

static void
a_change_travels_alone(void **state)
{
	struct world *w = *state;

	run_and_compare(w);
	becomes_base(w);
	fill_random(w->disk + SPAN / 2, 4096, 77);
	run_and_compare(w);
	assert_true(w->r.counts.new_chunks >= 1 && w->r.counts.new_chunks <= 3);
	assert_true(w->r.counts.sent_bytes < 1024 * 1024);
}

static void
a_damaged_cache_only_costs_questions(void **state)
{
	struct world *w = *state;
	FILE *f;

	run_and_compare(w);
	becomes_base(w);
	f = fopen(w->old, "r+b");
	assert_non_null(f);
	fseek(f, 300, SEEK_SET);
	fputc('x', f);
	fclose(f);
	run_and_compare(w);
	assert_int_equal(w->server->puts, 0);
	assert_true(w->server->asked > 100);
}

static void
quarantined_chunks_are_asked_for(void **state)
{
	struct world *w = *state;
	struct chunk_id *ids = calloc(FAKE_CHUNKS, sizeof(*ids));
	size_t i, n = 0;

	run_and_compare(w);
	becomes_base(w);
	/* All data chunks are lost on the server. */
	for (i = 0; i < FAKE_CHUNKS; i++)
		if (w->server->chunks[i].kind == CHUNK_DATA) {
			ids[n++] = w->server->chunks[i].id;
			free(w->server->chunks[i].p);
			w->server->chunks[i].p = NULL;
		}
	assert_true(n > 100);
	w->job.bad = (const uint8_t *)ids;
	w->job.bad_len = n * CHUNK_ID_LEN;
	run_and_compare(w);
	assert_int_equal(w->r.counts.new_chunks, n);
	free(ids);
}

static void
pending_chunks_are_sent_if_the_other_host_dies(void **state)
{
	struct world *w = *state;

	w->server->pending_every = 3;
	w->server->pending_times = 4;
	run_and_compare(w);
	assert_int_equal(w->server->twice, 0);
}

static void
pending_chunks_that_arrive_are_not_sent(void **state)
{
	struct world *w = *state;

	w->server->pending_every = 5;
	w->server->pending_times = 3;
	w->server->pending_then_have = 1;
	if (pipeline_run(&w->job, &w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(w->server->bad.code, ERR_NONE);
	assert_int_equal(w->server->twice, 0);
	assert_int_equal(w->server->chunks_put, w->server->needed);
}

/*
 * A FAT32 volume made as it is read: every cluster is a file of its own, with one
 * of two contents, so that there are large nodes and little data.
 */
#define CROWD_SPANS 48u
#define CROWD_SIZE (CROWD_SPANS * SPAN)
#define CROWD_CLUSTER 4096u
#define CROWD_TABLE 2048u		  /* Sectors. */
#define CROWD_DATA (1u + CROWD_TABLE / 8) /* Clusters. */

static int
read_crowd(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	uint8_t block[CROWD_CLUSTER], *p = buf;
	size_t skip, n;
	uint64_t no;

	(void)arg, (void)err;
	for (; len > 0; offset += n, p += n, len -= n) {
		no = offset / sizeof(block);
		skip = offset % sizeof(block);
		n = sizeof(block) - skip < len ? sizeof(block) - skip : len;
		memset(block,
		    no == 0	      ? 0
		    : no < CROWD_DATA ? 0xff
				      : 'a' + no % 2,
		    sizeof(block));
		if (no == 0) {
			memcpy(block, "\xeb\x58\x90tester  ", 11);
			store_le16(block + 11, 512);
			block[13] = CROWD_CLUSTER / 512;
			store_le16(block + 14, 8);
			block[16] = 1;
			block[21] = 0xf8;
			store_le32(block + 32, CROWD_SIZE / 512);
			store_le32(block + 36, CROWD_TABLE);
			store_le16(block + 510, 0xaa55);
		} else if (no >= CROWD_DATA && no % 3000 == 0) {
			store_le64(block, no);
		}
		memcpy(p, block + skip, n);
	}
	return 0;
}

static void
nodes_that_another_host_sends_do_not_pile_up(void **state)
{
	struct world *w = *state;

	w->job.source.read = read_crowd;
	w->job.source.size = w->job.root.size = CROWD_SIZE;
	w->job.map_flags = 0;
	w->server->nodes_pending = 1;
	if (pipeline_run(&w->job, &w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(w->server->bad.code, ERR_NONE);
	assert_int_equal(w->server->waiting, 0);
	/* More than 4 MiB of them are not kept: 28, and what is under way. */
	assert_in_range(w->server->waiting_most, 20, CROWD_SPANS - 6);
}

static void
missing_chunks_are_found_again(void **state)
{
	struct world *w = *state;
	struct chunk_id data[8], meta[2];
	struct fake_image im;
	size_t i, n = 0, m = 0, sent;

	run_and_compare(w);
	for (i = 0; i < FAKE_CHUNKS && (n < 8 || m < 2); i++) {
		struct fake_chunk *c = &w->server->chunks[i];

		if (c->p == NULL)
			continue;
		if (c->kind == CHUNK_DATA && n < 8)
			data[n++] = c->id;
		else if (c->kind == CHUNK_META && m < 2)
			meta[m++] = c->id;
		else
			continue;
		free(c->p);
		c->p = NULL;
	}
	assert_int_equal(n, 8);
	assert_int_equal(m, 2);
	if (pipeline_resend(&w->job, data, n, meta, m, &w->r.root_id, &sent, &(int){ 0 },
		&w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(sent, n + m);
	assert_int_equal(
	    fake_rebuild(w->server, &w->r.root_id, w->back, w->size, &im, &w->err), 0);
	assert_memory_equal(w->back, w->disk, w->size);
}

static int
lost_view(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	(void)arg;
	(void)offset;
	(void)buf;
	(void)len;
	return err_set(err, ERR_SNAPSHOT_LOST, "the view is lost");
}

/* Only bytes that are not the tree's tell that something was wrong with what was kept. */
static void
a_lost_view_is_no_changed_chunk(void **state)
{
	struct world *w = *state;
	struct volmap_source source;
	struct chunk_id data[1];
	size_t i = 0, sent;
	int differs;

	run_and_compare(w);
	while (w->server->chunks[i].p == NULL || w->server->chunks[i].kind != CHUNK_DATA)
		i++;
	data[0] = w->server->chunks[i].id;
	source = w->job.source;
	w->job.source.read = lost_view;
	assert_int_equal(pipeline_resend(&w->job, data, 1, NULL, 0, &w->r.root_id, &sent,
			     &differs, &w->err),
	    -1);
	assert_int_equal(w->err.code, ERR_SNAPSHOT_LOST);
	assert_false(differs);
	err_clear(&w->err);
	w->job.source = source;
	for (i = 0; i < w->size; i++)
		w->disk[i] ^= 1;
	assert_int_equal(pipeline_resend(&w->job, data, 1, NULL, 0, &w->r.root_id, &sent,
			     &differs, &w->err),
	    -1);
	assert_int_equal(w->err.code, ERR_SNAPSHOT_LOST);
	assert_true(differs);
}

static void
a_lost_connection_ends_it_and_is_told_apart(void **state)
{
	struct world *w = *state;

	w->server->fail_put = 5;
	assert_int_equal(pipeline_run(&w->job, &w->r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_IO);
	assert_true(w->r.uplink_failed);
	/* Coming back, what was stored is not sent again. */
	fake_reset(w->server);
	err_clear(&w->err);
	run_and_compare(w);
	assert_int_equal(w->server->twice, 0);
}

static void
a_bad_sector_is_named(void **state)
{
	struct world *w = *state;

	w->bad_from = 20000768;
	w->bad_to = w->bad_from + 512;
	assert_int_equal(pipeline_run(&w->job, &w->r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_IO);
	assert_false(w->r.uplink_failed);
	assert_non_null(strstr(w->err.text, "byte"));
}

static void
stopping_ends_it(void **state)
{
	struct world *w = *state;

	w->stop_at = SPAN;
	assert_int_equal(pipeline_run(&w->job, &w->r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CANCELED);
}

static void
the_smallest_volume_works(void **state)
{
	struct world *w = *state;

	w->size = w->job.source.size = w->job.root.size = 512;
	run_and_compare(w);
	memset(w->disk, 0, 512);
	run_and_compare(w);
}

/* Two chunks near each other or far apart: how many groups travel? */
static uint64_t
puts_of_two_at(struct world *w, size_t a, size_t b)
{
	memset(w->disk, 0, w->size);
	fill_random(w->disk + a, 1000, a + 1);
	fill_random(w->disk + b, 1000, b + 1);
	fake_reset(w->server);
	if (pipeline_run(&w->job, &w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	return w->server->puts;
}

static void
a_group_keeps_to_a_part_of_the_volume(void **state)
{
	struct world *w = *state;
	size_t reach = (size_t)PIPELINE_GROUP_REACH;
	uint64_t near, apart;

	free(w->disk);
	w->size = w->job.source.size = w->job.root.size = reach + 2 * MIB;
	w->disk = calloc(1, w->size);
	assert_non_null(w->disk);
	near = puts_of_two_at(w, 4 * MIB, reach - 2 * MIB);
	apart = puts_of_two_at(w, 5 * MIB, reach + MIB);
	assert_int_equal(apart, near + 1);
}

/* -------------------------------------------------------- an interrupted run -- */

/* Run until the n-th Put fails; what was done goes to w->old. */
static void
interrupted(struct world *w, uint64_t put)
{
	w->server->fail_put = put;
	assert_int_equal(pipeline_run(&w->job, &w->r, &w->err), -1);
	assert_int_equal(cache_settle(w->new, w->old, &(struct err)ERR_INIT), 0);
	w->job.done_cache = w->old;
	w->job.done_spans = w->r.spans;
	fake_reset(w->server);
	err_clear(&w->err);
}

/* Without an interruption the tree would have been this. */
static struct chunk_id
undisturbed_root(struct world *w)
{
	struct fake_server *server = fake_new(&w->keys);
	struct pipeline_job job = w->job;

	job.up.arg = server;
	job.done_cache = NULL;
	job.done_spans = 0;
	if (pipeline_run(&job, &w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	fake_free(server);
	return w->r.root_id;
}

static void
what_was_named_before_is_not_read_again(void **state)
{
	struct world *w = *state;
	struct chunk_id root;

	/* More new bytes than the first span has are sent: it was done by then. */
	fill_random(w->disk + SPAN - 100000, 12 * MIB, 4);
	root = undisturbed_root(w);
	interrupted(w, 15 * MIB / GROUP_PLAIN_TARGET);
	assert_true(w->job.done_spans >= 1);
	/* A place in the part that was done: whoever reads it fails. */
	w->bad_from = 15 * MIB;
	w->bad_to = w->bad_from + 4096;
	if (pipeline_run(&w->job, &w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(chunk_id_cmp(&root, &w->r.root_id), 0);
	assert_true(w->r.counts.read_bytes < SIZE - w->job.done_spans * (SPAN - 2 * MIB));
}

static void
what_the_server_lost_meanwhile_is_sent_again(void **state)
{
	struct world *w = *state;
	size_t i;

	fill_random(w->disk + SPAN - 100000, 12 * MIB, 4);
	interrupted(w, 15 * MIB / GROUP_PLAIN_TARGET);
	assert_true(w->job.done_spans >= 1);
	for (i = 0; i < FAKE_CHUNKS; i++) {
		free(w->server->chunks[i].p);
		w->server->chunks[i].p = NULL;
	}
	run_and_compare(w);
	assert_true(w->r.counts.new_bytes > 20 * MIB);
}

/* ------------------------------------------------------ files in many pieces -- */

#define CLUSTER 4096u
#define RUNS 80u

/*
 * File `n` of RUNS runs of one to three clusters, spread over the volume so that
 * most blocks of it begin far behind where they end; content by `seed`.
 */
static uint64_t
scatter_file(
    struct image *v, uint32_t n, const char *name, uint32_t *slots, uint64_t seed)
{
	struct image_run runs[RUNS + 1] = { { 0, 0 } };
	uint8_t *bytes = malloc(3 * RUNS * CLUSTER);
	uint64_t at = 0;
	uint32_t i;

	fill_random(bytes, 3 * RUNS * CLUSTER, seed);
	for (i = 0; i < RUNS; i++) {
		runs[i].lcn = slots[i];
		runs[i].len = 1 + i % 3;
		memcpy(image_cluster(v, slots[i]), bytes + at, runs[i].len * CLUSTER);
		at += runs[i].len * CLUSTER;
	}
	image_file(v, n, 5, name, runs);
	free(bytes);
	return at;
}

/* Two files of the same content, scattered each in its own way, on w->disk. */
static uint64_t
scattered_volume(struct world *w)
{
	struct image *v = image_new(8192, CLUSTER, 512, 1024, 32);
	uint32_t slots[2 * RUNS], first = image_free_from(v), i, k, x = 12345, swap;
	uint64_t len;

	for (i = 0; i < 2 * RUNS; i++)
		slots[i] = first + 8 + i * 48;
	for (i = 2 * RUNS - 1; i > 0; i--) {
		x = x * 1664525u + 1013904223u;
		k = (x >> 8) % (i + 1);
		swap = slots[i];
		slots[i] = slots[k];
		slots[k] = swap;
	}
	len = scatter_file(v, 16, "a", slots, 5);
	assert_int_equal(scatter_file(v, 17, "b", slots + RUNS, 5), len);
	image_finish(v);
	assert_true(v->size <= SIZE && v->size > SPAN);
	memset(w->disk, 0, SIZE);
	memcpy(w->disk, v->p, v->size);
	w->size = w->job.source.size = w->job.root.size = v->size;
	w->job.map_flags = 0;
	image_free(v);
	return len;
}

static void
scattered_files_are_whole_and_stored_once(void **state)
{
	struct world *w = *state;
	uint64_t len = scattered_volume(w);
	struct fake_image im = run_and_compare(w);

	assert_true(im.bytes[EXTENT_HOLE] > SPAN / 2);
	assert_true(im.bytes[EXTENT_DATA] >= 2 * len);
	assert_true(w->r.counts.known_bytes >= len);
	assert_true(w->r.counts.new_bytes < 2 * len);
	becomes_base(w);
	run_and_compare(w);
	assert_int_equal(w->server->puts, 0);
}

static void
scattered_chunks_are_read_again_if_pending(void **state)
{
	struct world *w = *state;

	scattered_volume(w);
	w->server->pending_every = 2;
	w->server->pending_times = 3;
	run_and_compare(w);
}

static void
scattered_chunks_that_are_missing_are_found(void **state)
{
	struct world *w = *state;
	struct chunk_id data[256];
	struct fake_image im;
	size_t i, n = 0, sent;

	scattered_volume(w);
	run_and_compare(w);
	for (i = 0; i < FAKE_CHUNKS && n < 256; i++)
		if (w->server->chunks[i].p != NULL &&
		    w->server->chunks[i].kind == CHUNK_DATA) {
			data[n++] = w->server->chunks[i].id;
			free(w->server->chunks[i].p);
			w->server->chunks[i].p = NULL;
		}
	assert_true(n > 5);
	if (pipeline_resend(&w->job, data, n, NULL, 0, &w->r.root_id, &sent, &(int){ 0 },
		&w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(sent, n);
	assert_int_equal(
	    fake_rebuild(w->server, &w->r.root_id, w->back, w->size, &im, &w->err), 0);
	assert_memory_equal(w->back, w->disk, w->size);
}

static void
scattered_files_survive_an_interruption(void **state)
{
	struct world *w = *state;
	struct chunk_id root;

	scattered_volume(w);
	root = undisturbed_root(w);
	interrupted(w, 2);
	/* Whatever was done when it ended: also try with one span and with all. */
	run_and_compare(w);
	assert_int_equal(chunk_id_cmp(&root, &w->r.root_id), 0);
	assert_int_equal(cache_settle(w->new, w->old, &(struct err)ERR_INIT), 0);
	for (w->job.done_spans = 1; w->job.done_spans <= tree_spans(w->size);
	     w->job.done_spans++) {
		run_and_compare(w);
		assert_int_equal(chunk_id_cmp(&root, &w->r.root_id), 0);
		assert_int_equal(w->server->twice, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_bytes_arrive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_the_base_has_is_not_asked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_change_travels_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_damaged_cache_only_costs_questions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    quarantined_chunks_are_asked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    pending_chunks_are_sent_if_the_other_host_dies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    pending_chunks_that_arrive_are_not_sent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    nodes_that_another_host_sends_do_not_pile_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    missing_chunks_are_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_lost_view_is_no_changed_chunk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_lost_connection_ends_it_and_is_told_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_group_keeps_to_a_part_of_the_volume, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_bad_sector_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stopping_ends_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    the_smallest_volume_works, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    scattered_files_are_whole_and_stored_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    scattered_chunks_are_read_again_if_pending, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    scattered_chunks_that_are_missing_are_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_was_named_before_is_not_read_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_the_server_lost_meanwhile_is_sent_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    scattered_files_survive_an_interruption, set_up, tear_down),
	};

	/* Most of the time of all, of memory and not of threads. */
#ifdef __SANITIZE_THREAD__
	cmocka_set_skip_filter("nodes_that_another_host_sends_do_not_pile_up");
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
