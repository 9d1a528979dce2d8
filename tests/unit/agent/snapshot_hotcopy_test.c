/*
 * The hotcopy provider over the driver's simulator: one cut of several volumes, whatever
 * is written, wherever copies lie, however short room is; and page files left out only
 * where they are theirs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>

#include <cmocka.h>

#include "agent/capture/snapshot_hotcopy.h"
#include "agent/capture/snapshot_provider.h"
#include "agent/capture/tracking.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "driver/core/atomic.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"
#include "tests/unit/agent/ntfs_index.h"
#include "tests/unit/agent/sim_driver.h"
#include "tests/unit/agent/spill_array.h"

#define CHUNK 16384u
#define CHUNKS (SIM_LENGTH / CHUNK)
#define RUNS(...) ((const struct image_run[]){ __VA_ARGS__, { 0, 0 } })

static struct sim sim;
static struct hot_system system_now;
static struct settings_hotcopy wishes;
static struct snapshot_options options;
static struct snapshot *set;
static struct spill_array spill;
static struct snapshot_volume *volume[2];
static uint8_t *was[2]; /* What c and d held at the cut. */

static int
setup(void **state)
{
	(void)state;
	sim_start(&sim);
	system_now = snapshot_hotcopy_here;
	snapshot_hotcopy_system = &system_now;
	memset(&options, 0, sizeof(options));
	wishes = (struct settings_hotcopy){
		.memory_mib = 1, .room = "none", .room_percent = 20, .throttle_ms = 60000
	};
	options.hotcopy = &wishes;
	set = NULL;
	for (int i = 0; i < 2; i++) {
		was[i] = malloc(SIM_LENGTH);
		memset(was[i], 'o', SIM_LENGTH);
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	snapshot_close(set);
	set = NULL;
	for (int i = 0; i < 2; i++)
		free(was[i]);
	sim_stop(&sim);
	snapshot_hotcopy_system = &snapshot_hotcopy_here;
	return 0;
}

#define OK(call)                                  \
	do {                                      \
		struct err err = ERR_INIT;        \
		if ((call) != 0)                  \
			fail_msg("%s", err.text); \
	} while (0)

static void
added(void)
{
	OK(snapshot_open(&snapshot_hotcopy, &options, &set, &err));
	OK(snapshot_add(set, sim_path(&sim, "c"), &volume[0], &err));
	OK(snapshot_add(set, sim_path(&sim, "d"), &volume[1], &err));
}

static void
frozen(void)
{
	added();
	OK(snapshot_freeze(set, 1000, &err));
}

static void
host_writes(int disk, uint64_t offset, const void *bytes, uint32_t len)
{
	assert_int_equal(disk_write(sim.disk[disk], offset, bytes, len), 0);
}

static void
host_fills(int disk, uint64_t offset, uint32_t len, int letter)
{
	uint8_t *bytes = malloc(len);

	memset(bytes, letter, len);
	host_writes(disk, offset, bytes, len);
	free(bytes);
}

/* From now on it holds what `was` has, over which this is put. */
static void
holds(int disk, const struct image *v)
{
	if (v != NULL)
		memcpy(was[disk], v->p, v->size);
	for (uint32_t at = 0; at < SIM_LENGTH; at += 1 << 20)
		host_writes(disk, at, was[disk] + at, 1 << 20);
}

static void
is_as_it_was(int disk, uint64_t offset, size_t len)
{
	uint8_t *bytes = malloc(len + 1);

	bytes[len] = 0x5a;
	OK(snapshot_read(volume[disk], offset, bytes, len, &err));
	assert_memory_equal(bytes, was[disk] + offset, len);
	assert_int_equal(bytes[len], 0x5a);
	free(bytes);
}

static void
all_is_as_it_was(void)
{
	for (int disk = 0; disk < 2; disk++)
		for (uint64_t at = 0; at < SIM_LENGTH; at += 1 << 18)
			is_as_it_was(disk, at, 1 << 18);
}

/* What the driver counted of a volume of the open set. */
static struct hotcopy_stats
stats(int disk)
{
	struct hotcopy_link *l;
	struct hotcopy_stats s;
	/* Sets are numbered from 1; a test has few. */
	int found = 0;

	OK(hotcopy_link_open(sim_path(&sim, "c"), &l, &err));
	for (uint64_t n = 1; n < 20 && !found; n++) {
		struct err ignored = ERR_INIT;

		found = hotcopy_stats(l, n, (unsigned)disk, &s, &ignored) == 0;
	}
	hotcopy_link_close(l);
	assert_true(found);
	return s;
}

/* The set is gone and no gate is closed. */
static void
all_is_idle(void)
{
	for (int disk = 0; disk < 2; disk++) {
		struct hotcopy_volume v;
		struct hotcopy_link *l;

		OK(hotcopy_link_open(sim_path(&sim, "c"), &l, &err));
		do {
			usleep(1000);
			OK(hotcopy_find(l, (uint64_t)disk + 1, &v, &err));
		} while (v.state != HOTCOPY_IDLE);
		hotcopy_link_close(l);
		host_fills(disk, 0, 512, 'i');
	}
}

/* ------------------------------------------------------------------------ the set -- */

static void
test_both_volumes_are_of_one_cut(void **state)
{
	const struct snapshot_info *info;

	(void)state;
	frozen();
	for (int i = 0; i < 2; i++) {
		info = snapshot_info(volume[i]);
		assert_int_equal(info->size, SIM_LENGTH);
		assert_int_equal(info->sector_size, 512);
		assert_int_equal(info->grade, SNAPSHOT_CRASH);
		assert_false(info->flushed);
		assert_true(info->frozen_at > INT64_C(1000000000000000));
		host_fills(i, 0, 1 << 19, 'n');
	}
	assert_int_equal(
	    snapshot_info(volume[0])->frozen_at, snapshot_info(volume[1])->frozen_at);
	all_is_as_it_was();
	OK(snapshot_confirm(set, &err));
	assert_non_null(strstr(snapshot_method(set), "hotcopy: gate closed "));
	assert_non_null(
	    strstr(snapshot_method(set), "copies by 16 KiB, 1 MiB of memory"));
	OK(snapshot_finish(set, 1, &err));
	all_is_idle();
}

static void
test_reads_may_begin_and_end_anywhere(void **state)
{
	static const struct {
		uint64_t offset;
		size_t len;
	} cases[] = { { 0, 1 }, { 511, 1 }, { 511, 2 }, { 1, 510 }, { 3, 5000 },
		{ 512, 512 }, { 4096, 4097 }, { SIM_LENGTH - 1, 1 },
		{ SIM_LENGTH - 1000, 1000 }, { 77, 3 << 20 } };

	(void)state;
	for (uint32_t i = 0; i < SIM_LENGTH; i++)
		was[0][i] = (uint8_t)(i * 2654435761u >> 24);
	holds(0, NULL);
	frozen();
	host_fills(0, 0, 1 << 19, 'n');
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_as_it_was(0, cases[i].offset, cases[i].len);
}

static void
test_what_cannot_be_frozen_is_said(void **state)
{
	struct snapshot_volume *v;
	struct err why = ERR_INIT;

	(void)state;
	added();
	assert_int_equal(snapshot_add(set, sim_path(&sim, "nothing"), &v, &why), -1);
	assert_int_equal(why.code, ERR_NOTFOUND);
	err_clear(&why);
	assert_int_equal(snapshot_add(set, sim_path(&sim, "c"), &v, &why), -1);
	assert_int_equal(why.code, ERR_EXISTS);
	err_clear(&why);
	/* The set is as before. */
	OK(snapshot_freeze(set, 1000, &err));
	all_is_as_it_was();
}

/* Whoever holds the driver lets it go after a moment. */
static void *
hold_for_a_moment(void *arg)
{
	struct hotcopy_link *l = arg;

	usleep(300000);
	hotcopy_link_close(l);
	return NULL;
}

static void
test_another_set_is_waited_for(void **state)
{
	const struct hotcopy_wishes little = { .memory = 1 << 20 };
	struct hotcopy_prepared p;
	struct hotcopy_link *l;
	const uint64_t number = 1;
	pthread_t thread;

	(void)state;
	OK(hotcopy_link_open(sim_path(&sim, "c"), &l, &err));
	OK(hotcopy_prepare(l, &number, 1, &little, &p, &err));
	assert_int_equal(pthread_create(&thread, NULL, hold_for_a_moment, l), 0);
	frozen();
	(void)pthread_join(thread, NULL);
	all_is_as_it_was();
}

static void
test_a_tracking_store_reads_as_zeros(void **state)
{
	static const uint8_t none[16], nonce[HOTCOPY_NONCE] = { 1 };
	const struct hotcopy_extent store = { 1 << 20, 1 << 18 };
	struct hotcopy_link *l;

	(void)state;
	OK(hotcopy_link_open(sim_path(&sim, "c"), &l, &err));
	OK(hotcopy_track(l, 1, none, nonce, &store, 1, &err));
	memset(was[0] + store.offset, 0, store.length);
	frozen();
	all_is_as_it_was();
	is_as_it_was(0, store.offset - 5000, 10000);
	is_as_it_was(0, store.offset + store.length - 3, 7);
	snapshot_close(set);
	set = NULL;
	hotcopy_link_close(l);
}

/* ----------------------------------------------------------------- room for copies -- */

static void
test_a_disk_lends_room(void **state)
{
	(void)state;
	snprintf(wishes.room, sizeof(wishes.room), "%s", sim_path(&sim, "room"));
	wishes.throttle_ms = 0; /* Without that room it would be dropped. */
	frozen();
	assert_non_null(strstr(snapshot_method(set), "and 2 MiB on disk"));
	host_fills(0, 0, 1 << 20, 'n');
	host_fills(1, 1 << 20, 1 << 20, 'n');
	all_is_as_it_was();
}

static void
test_room_that_cannot_be_had_is_said(void **state)
{
	(void)state;
	snprintf(wishes.room, sizeof(wishes.room), "%s", sim_path(&sim, "d"));
	frozen();
	assert_non_null(strstr(snapshot_method(set), "; no room on disk: "));
	host_fills(0, 0, 1 << 19, 'n');
	all_is_as_it_was();
}

/* ------------------------------------------------------------------ room is short -- */

struct writer {
	pthread_t thread;
	int disk;
	uint32_t from, to; /* Chunks. */
};

/* Each chunk once, in an order of its own; no write may fail. */
static void *
write_all(void *arg)
{
	const struct writer *w = arg;
	uint32_t count = w->to - w->from;

	for (uint32_t i = 0; i < count; i++)
		host_fills(w->disk, (uint64_t)(w->from + i * 7 % count) * CHUNK + 4096,
		    4096, 'n');
	return NULL;
}

#define WRITERS 8

/* Of each disk chunks [from, to). */
static void
begin_writing(struct writer w[WRITERS], uint32_t from, uint32_t to)
{
	uint32_t each = (to - from) / (WRITERS / 2);

	for (int i = 0; i < WRITERS; i++) {
		w[i].disk = i % 2;
		w[i].from = from + (uint32_t)(i / 2) * each;
		/* Not a multiple of 7, so that each chunk comes once. */
		w[i].to = w[i].from + each - (each % 7 == 0);
		assert_int_equal(pthread_create(&w[i].thread, NULL, write_all, &w[i]), 0);
	}
}

static void
end_writing(struct writer w[WRITERS])
{
	for (int i = 0; i < WRITERS; i++)
		(void)pthread_join(w[i].thread, NULL);
}

static void
test_what_writes_wait_for_is_kept_in_memory(void **state)
{
	struct writer w[WRITERS];

	(void)state;
	frozen();
	begin_writing(w, 16, 80);
	end_writing(w);
	assert_true(stats(0).throttled + stats(1).throttled > 0);
	all_is_as_it_was();
	OK(snapshot_confirm(set, &err));
}

static void
test_what_does_not_fit_there_is_spilled(void **state)
{
	struct writer w[WRITERS];

	(void)state;
	spill_array_init(&spill);
	options.spill = &spill.spill;
	system_now.ahead_max = 4 * CHUNK;
	frozen();
	begin_writing(w, 16, 80);
	end_writing(w);
	assert_true(spill.writes > 20);
	all_is_as_it_was();
	OK(snapshot_finish(set, 1, &err));
	snapshot_close(set);
	set = NULL;
	assert_int_equal(spill.files, 0);
}

/* Nobody reads, and there is no room at all: the writes go on, and the view is lost. */
static void
lost_and_said(void)
{
	struct writer w[WRITERS];
	struct err why = ERR_INIT;
	uint8_t byte;
	int lost;

	wishes.throttle_ms = 300;
	system_now.ahead_max = 4 * CHUNK;
	frozen();
	begin_writing(w, 16, 80);
	end_writing(w);
	/* Once one is lost, its room is the other's. */
	lost = snapshot_read(volume[0], 0, &byte, 1, &why) != 0;
	if (!lost)
		assert_int_equal(snapshot_read(volume[1], 0, &byte, 1, &why), -1);
	assert_int_equal(why.code, ERR_SNAPSHOT_LOST);
	assert_non_null(strstr(why.text, "no room was left for copies"));
	err_clear(&why);
	assert_int_equal(snapshot_confirm(set, &why), -1);
	assert_int_equal(why.code, ERR_SNAPSHOT_LOST);
	OK(snapshot_finish(set, 0, &err));
	all_is_idle();
}

static void
test_without_any_room_the_view_is_lost_and_nothing_else(void **state)
{
	(void)state;
	lost_and_said();
}

/* A second look is wished for: nothing of it may be given up. */
static void
test_what_must_be_kept_is_not_given_up(void **state)
{
	(void)state;
	options.keep_all = 1;
	lost_and_said();
}

/* An NTFS on c, with a file table of its own. */
static struct image *
ntfs_on_c(void)
{
	struct image *v = image_new(1000, 4096, 512, 1024, 64);

	image_finish(v);
	holds(0, v);
	return v;
}

static void *
read_all(void *arg)
{
	(void)arg;
	for (uint64_t at = 0; at < SIM_LENGTH; at += 50000)
		is_as_it_was(
		    0, at, SIM_LENGTH - at < 50000 ? (size_t)(SIM_LENGTH - at) : 50000);
	return NULL;
}

static void
test_what_was_read_is_given_up(void **state)
{
	struct image *v = ntfs_on_c();
	struct err err = ERR_INIT;
	struct writer w[WRITERS];
	pthread_t reader;
	uint8_t byte;

	(void)state;
	/* For d, of which nothing is read. */
	spill_array_init(&spill);
	options.spill = &spill.spill;
	system_now.ahead_max = 4 * CHUNK;
	frozen();
	assert_int_equal(pthread_create(&reader, NULL, read_all, NULL), 0);
	(void)pthread_join(reader, NULL);
	/* More than there is room for, and d's is never read. */
	begin_writing(w, 16, 96);
	end_writing(w);
	begin_writing(w, 96, 176);
	end_writing(w);
	assert_int_equal(
	    snapshot_read(volume[0], 100 * (uint64_t)CHUNK, &byte, 1, &err), -1);
	assert_int_equal(err.code, ERR_SNAPSHOT_LOST);
	assert_non_null(strstr(err.text, "given up"));
	/* What a map reads again and again is kept. */
	is_as_it_was(0, (uint64_t)v->mft[0].lcn * v->cluster, 16 * 4096);
	is_as_it_was(0, (uint64_t)v->bitmap.lcn * v->cluster, 4096);
	is_as_it_was(0, 0, 512);
	image_free(v);
}

static void
test_readers_and_writers_go_on_together(void **state)
{
	struct image *v = ntfs_on_c();
	struct writer w[WRITERS];
	pthread_t reader;

	(void)state;
	spill_array_init(&spill);
	options.spill = &spill.spill;
	system_now.ahead_max = 8 * CHUNK;
	frozen();
	begin_writing(w, 32, 112);
	assert_int_equal(pthread_create(&reader, NULL, read_all, NULL), 0);
	(void)pthread_join(reader, NULL);
	end_writing(w);
	/* Of d nothing was read: all of it is there. */
	for (uint64_t at = 0; at < SIM_LENGTH; at += 1 << 18)
		is_as_it_was(1, at, 1 << 18);
	OK(snapshot_confirm(set, &err));
	OK(snapshot_finish(set, 1, &err));
	snapshot_close(set);
	set = NULL;
	image_free(v);
}

/* What has left its place to others must not be taken for what was never kept. */
static void
test_a_copy_that_made_room_is_lost_and_not_forgotten(void **state)
{
	static struct hot_set own;
	uint8_t read[CHUNKS / 8] = { 1 }, given[CHUNKS / 8] = { 0 }, bytes[CHUNK];
	struct hot_volume v = { .set = &own,
		.path = "c",
		.length = SIM_LENGTH,
		.read = read,
		.given = given,
		.unit_shift = 14 };
	struct snapshot_options none = { .keep_all = 0 };
	struct err why = ERR_INIT;
	struct hot_ahead *a;

	(void)state;
	memset(&own, 0, sizeof(own));
	assert_int_equal(pthread_mutex_init(&own.lock, NULL), 0);
	own.options = &none;
	own.chunk_shift = 14;
	own.count = 1;
	own.volume[0] = &v;
	system_now.ahead_max = 2 * CHUNK;
	a = snapshot_hotcopy_ahead_new(&own);
	assert_non_null(a);
	for (uint64_t n = 0; n < 3; n++) {
		memset(bytes, 'a' + (int)n, CHUNK);
		assert_int_equal(snapshot_hotcopy_ahead_put(a, &v, n, bytes), 0);
	}
	/* Chunk 0 was read, and no other. */
	assert_int_equal(snapshot_hotcopy_ahead_put(a, &v, 3, bytes), -1);
	for (uint64_t n = 1; n < 3; n++) {
		assert_int_equal(
		    snapshot_hotcopy_ahead_get(a, &v, n, 5, bytes, 1, &why), 1);
		assert_int_equal(bytes[0], 'a' + (int)n);
	}
	assert_int_equal(snapshot_hotcopy_ahead_get(a, &v, 9, 0, bytes, 1, &why), 0);
	assert_int_equal(snapshot_hotcopy_ahead_get(a, &v, 0, 0, bytes, 1, &why), -1);
	assert_int_equal(why.code, ERR_SNAPSHOT_LOST);
	snapshot_hotcopy_ahead_free(a);
	(void)pthread_mutex_destroy(&own.lock);
}

/* --------------------------------------------------------------------- page files -- */

static struct {
	unsigned opened, moves; /* It moves before the image, so many times. */
	unsigned looked, changes;
} live;

/* An NTFS whose page file has its second run at `second`. */
static struct image *
with_page_file(uint32_t second)
{
	struct image *v = image_new(1000, 4096, 512, 1024, 64);
	uint32_t f = (image_free_from(v) + 3) / 4 * 4;
	struct index_node n;

	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 16 }, { second, 8 }));
	image_file(v, 17, 5, "other", RUNS({ f + 20, 4 }));
	index_begin(&n);
	index_entry(&n, 17, "other", INDEX_NO_CHILD);
	index_entry(&n, 16, "pagefile.sys", INDEX_NO_CHILD);
	index_entry(&n, 0, NULL, INDEX_NO_CHILD);
	index_root(v, &n);
	image_finish(v);
	return v;
}

static int
live_open(const char *path, void **out, struct err *err)
{
	(void)err;
	if (path[strlen(path) - 1] != 'c')
		return 0;
	*out = with_page_file(live.opened++ < live.moves ? 600 : 500);
	return 1;
}

static int
live_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	const struct image *v = arg;

	(void)err;
	memcpy(buf, v->p + offset, len);
	return 0;
}

static void
live_close(void *arg)
{
	image_free(arg);
}

static void
live_look(const char *path, struct hot_look *out)
{
	memset(out, 0, sizeof(*out));
	if (path[strlen(path) - 1] != 'c')
		return;
	out->file[0].there = 1;
	/* Twice for each try. */
	out->file[0].size = live.looked++ < live.changes ? live.looked : 0;
}

/* Frozen with such a page file on c; how many ranges are not kept. */
static unsigned
frozen_with_page_file(
    unsigned moves, unsigned changes, const struct volmap_unkept **unkept)
{
	struct image *v = with_page_file(500);

	holds(0, v);
	image_free(v);
	memset(&live, 0, sizeof(live));
	live.moves = moves;
	live.changes = changes;
	system_now.open = live_open;
	system_now.read = live_read;
	system_now.close = live_close;
	system_now.look = live_look;
	frozen();
	return snapshot_unkept(volume[0], unkept);
}

static void
test_page_files_are_not_kept(void **state)
{
	const struct volmap_unkept *unkept;
	struct hotcopy_stats before;

	(void)state;
	assert_int_equal(frozen_with_page_file(0, 0, &unkept), 2);
	assert_int_equal(live.opened, 1);
	assert_int_equal(unkept[0].len, 16 * 4096);
	assert_int_equal(unkept[0].reason, EXTENT_PAGEFILE);
	assert_int_equal(unkept[1].offset, 500 * 4096);
	assert_int_equal(unkept[1].len, 8 * 4096);
	/* What is written there needs no copy. */
	before = stats(0);
	host_fills(0, 500 * 4096, 8 * 4096, 'p');
	assert_int_equal(stats(0).copied, before.copied);
	/* And reads there give zeros. */
	for (unsigned i = 0; i < 2; i++)
		memset(was[0] + unkept[i].offset, 0, unkept[i].len);
	all_is_as_it_was();
	is_as_it_was(0, unkept[1].offset - 10, unkept[1].len + 20);
	is_as_it_was(0, unkept[1].offset + 10, 20);
	assert_int_equal(snapshot_unkept(volume[1], &unkept), 0);
}

static void
test_page_files_that_moved_are_found_again(void **state)
{
	const struct volmap_unkept *unkept;

	(void)state;
	assert_int_equal(frozen_with_page_file(2, 0, &unkept), 2);
	assert_int_equal(live.opened, 3);
	assert_int_equal(unkept[1].offset, 500 * 4096);
	assert_null(strstr(snapshot_method(set), "moved"));
}

static void
test_page_files_that_never_stay_are_kept(void **state)
{
	const struct volmap_unkept *unkept;

	(void)state;
	assert_int_equal(frozen_with_page_file(100, 0, &unkept), 0);
	assert_non_null(strstr(snapshot_method(set), "page files moved and were kept"));
	host_fills(0, 500 * 4096, 8 * 4096, 'p');
	all_is_as_it_was();
}

/* Nothing of it is in the image yet, but the system says so. */
static void
test_page_files_that_changed_meanwhile_are_kept(void **state)
{
	const struct volmap_unkept *unkept;

	(void)state;
	assert_int_equal(frozen_with_page_file(0, 100, &unkept), 0);
	assert_non_null(strstr(snapshot_method(set), "page files moved and were kept"));
	all_is_as_it_was();
}

/* ---------------------------------------------------------------- written since then -- */

static unsigned flushes;

/* The first flush writes one block, each later one another. */
static int
flush_and_write(const char *path, struct err *err)
{
	(void)err;
	if (path[strlen(path) - 1] == 'c')
		host_fills(0, (flushes++ == 0 ? 10 : 20) * 65536u, 512, 'f');
	return 0;
}

static int
write_after_flush(const char *path, void **out, struct err *err)
{
	(void)out;
	(void)err;
	if (path[strlen(path) - 1] == 'c')
		host_fills(0, 30 * 65536u, 512, 'a');
	return 0;
}

static int
take_block(void *arg, uint64_t offset, uint64_t len)
{
	uint64_t *blocks = arg;

	for (uint64_t n = offset / 65536; n <= (offset + len - 1) / 65536; n++)
		*blocks |= UINT64_C(1) << n;
	return 0;
}

static void
test_what_is_written_after_the_flush_is_told(void **state)
{
	const struct tracking_options tracking = { .on = 1 };
	uint64_t blocks = 0;
	struct err why = ERR_INIT;

	(void)state;
	options.tracking = &tracking;
	flushes = 0;
	system_now.flush = flush_and_write;
	system_now.open = write_after_flush;
	host_fills(0, 5 * 65536u, 512, 'b');
	frozen();
	/* There was no generation to count from: one began between two flushes. */
	assert_int_equal(flushes, 2);
	assert_int_equal(snapshot_written(volume[0], take_block, &blocks, &why), 1);
	assert_int_equal(blocks, UINT64_C(1) << 20 | UINT64_C(1) << 30);
	blocks = 0;
	assert_int_equal(snapshot_written(volume[1], take_block, &blocks, &why), 1);
	assert_int_equal(blocks, 0);
	assert_non_null(snapshot_tracking(set));
	OK(snapshot_finish(set, 1, &err));
	snapshot_close(set);
	/* Now there is: the server's. */
	host_fills(0, 6 * 65536u, 512, 'b');
	frozen();
	assert_int_equal(flushes, 3);
	assert_int_equal(snapshot_written(volume[0], take_block, &blocks, &why), 1);
	assert_int_equal(
	    blocks, UINT64_C(1) << 6 | UINT64_C(1) << 20 | UINT64_C(1) << 30);
}

static int
fail_to_flush(const char *path, struct err *err)
{
	return err_set(err, ERR_IO, "%s cannot be flushed", path);
}

static void
test_without_a_flush_nothing_is_known(void **state)
{
	const struct tracking_options tracking = { .on = 1 };
	struct err err = ERR_INIT;
	uint64_t blocks = 0;

	(void)state;
	frozen();
	assert_int_equal(snapshot_written(volume[0], take_block, &blocks, &err), 0);
	snapshot_close(set);
	options.tracking = &tracking;
	system_now.flush = fail_to_flush;
	frozen();
	assert_int_equal(snapshot_written(volume[0], take_block, &blocks, &err), 0);
	assert_int_equal(blocks, 0);
}

/* ------------------------------------------------------------------ what is free -- */

/* After the flush a file is written to where it was free. */
static int
write_free_space(const char *path, void **out, struct err *err)
{
	(void)out;
	(void)err;
	if (path[strlen(path) - 1] == 'c')
		host_fills(0, 3 << 20, 4096, 'w');
	return 0;
}

/* Copies that writing into a chunk costs. */
static uint64_t
cost(uint64_t offset)
{
	uint64_t before = stats(0).copied;

	host_fills(0, offset, 4096, 'n');
	return stats(0).copied - before;
}

static void
test_what_is_free_needs_no_copy(void **state)
{
	const struct tracking_options tracking = { .on = 1 };
	struct image *v = ntfs_on_c();
	struct err why = ERR_INIT;
	uint8_t byte;

	(void)state;
	options.tracking = &tracking;
	system_now.flushes = 1;
	system_now.open = write_free_space;
	frozen();
	assert_int_equal(cost(2 << 20), 0);
	/* What was written since, by 64 KiB, and what is not free. */
	assert_int_equal(cost(3 << 20), 1);
	assert_int_equal(cost((3 << 20) + 49152), 1);
	assert_int_equal(cost((3 << 20) + 65536), 0);
	assert_int_equal(cost((uint64_t)v->mft[0].lcn * v->cluster), 1);
	/* Never zeros for what somebody wants all the same: and then nothing is told. */
	assert_int_equal(snapshot_read(volume[0], 2 << 20, &byte, 1, &why), -1);
	assert_int_equal(why.code, ERR_SNAPSHOT_LOST);
	snapshot_close(set);
	frozen();
	assert_int_equal(cost(2 << 20), 1);
	image_free(v);
}

/* The system's word is missing: everything is kept. */
static void
test_without_the_file_systems_word_all_is_kept(void **state)
{
	const struct tracking_options tracking = { .on = 1 };
	struct image *v = ntfs_on_c();

	(void)state;
	options.tracking = &tracking;
	frozen();
	assert_int_equal(cost(2 << 20), 1);
	image_free(v);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_volumes_are_of_one_cut),
		TEST(reads_may_begin_and_end_anywhere),
		TEST(what_cannot_be_frozen_is_said),
		TEST(another_set_is_waited_for),
		TEST(a_tracking_store_reads_as_zeros),
		TEST(a_disk_lends_room),
		TEST(room_that_cannot_be_had_is_said),
		TEST(what_writes_wait_for_is_kept_in_memory),
		TEST(what_does_not_fit_there_is_spilled),
		TEST(without_any_room_the_view_is_lost_and_nothing_else),
		TEST(what_must_be_kept_is_not_given_up),
		TEST(what_was_read_is_given_up),
		TEST(readers_and_writers_go_on_together),
		TEST(a_copy_that_made_room_is_lost_and_not_forgotten),
		TEST(page_files_are_not_kept),
		TEST(page_files_that_moved_are_found_again),
		TEST(page_files_that_never_stay_are_kept),
		TEST(page_files_that_changed_meanwhile_are_kept),
		TEST(what_is_written_after_the_flush_is_told),
		TEST(without_a_flush_nothing_is_known),
		TEST(without_the_file_systems_word_all_is_kept),
		TEST(what_is_free_needs_no_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
