/*
 * Clusters that were allocated before the flush and are free in the image are told as
 * written, and nothing else is; and where that cannot be known, nothing is free.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/capture/snapshot_hotcopy.h"
#include "agent/capture/snapshot_provider.h"
#include "agent/capture/tracking.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_link.h"
#include "agent/map/changes.h"
#include "agent/map/ntfs_free.h"
#include "proto/base/err.h"
#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/agent/sim_driver.h"
#include "tests/unit/agent/spill_array.h"

#define CLUSTER 4096u
/* Its bitmap is 75,001 bytes, of which the last has three bits. */
#define CLUSTERS 600003u
#define WINDOW (NTFS_FREE_PART * 8)
#define HEAD SNAPSHOT_HOTCOPY_FREED_HEAD

#define OK(call)                                  \
	do {                                      \
		struct err err = ERR_INIT;        \
		if ((call) != 0)                  \
			fail_msg("%s", err.text); \
	} while (0)

/* ----------------------------------------------------------- what the file system says -- */

static struct live {
	uint8_t bits[CLUSTERS / 8 + 2];
	uint64_t clusters, round;   /* Answers begin at multiples of this (clusters). */
	size_t most;		    /* Bytes of bitmap in an answer. */
	unsigned asked, fail, grow; /* Which call; 0: none. */
	/* Lies of one answer. */
	unsigned lie;
	uint64_t start, count;
	size_t got;
} live;

static void
put(uint8_t *bits, uint64_t first, uint64_t count, int set)
{
	for (uint64_t n = first; n < first + count; n++)
		if (set)
			bits[n / 8] |= (uint8_t)(1u << n % 8);
		else
			bits[n / 8] &= (uint8_t) ~(1u << n % 8);
}

static int
live_bitmap(
    void *arg, uint64_t first, void *answer, size_t cap, size_t *got, struct err *err)
{
	uint64_t start = first / live.round * live.round;
	size_t len = (size_t)((live.clusters - start + 7) / 8);
	uint8_t *p = answer;

	(void)arg;
	assert_true(first % 8 == 0 && first < live.clusters);
	assert_true(cap > HEAD);
	if (++live.asked == live.fail)
		return err_set(err, ERR_IO, "no bitmap today");
	len = len < live.most ? len : live.most;
	len = len < cap - HEAD ? len : cap - HEAD;
	store_le64(p, start);
	store_le64(p + 8, live.clusters - start + (live.asked == live.grow));
	memcpy(p + HEAD, live.bits + start / 8, len);
	*got = HEAD + len;
	if (live.asked == live.lie) {
		store_le64(p, live.start);
		store_le64(p + 8, live.count);
		*got = live.got;
	}
	return 0;
}

/* --------------------------------------------------------------------- a frozen NTFS -- */

static struct image *v;
static uint8_t *now; /* Its bitmap. */
static int unreadable;
static struct spill_array spill;
static struct changes *freed;

/* Behind what the image has in memory there are zeros. */
static int
read_image(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	uint64_t at = (uint64_t)(now - v->p);
	size_t n = 0;

	(void)arg;
	if (unreadable && offset + len > at && offset < at + 20 * CLUSTER)
		return err_set(err, ERR_IO, "bad sector");
	if (offset < v->size)
		n = v->size - offset < len ? (size_t)(v->size - offset) : len;
	memcpy(buf, v->p + offset, n);
	memset((uint8_t *)buf + n, 0, len - n);
	return 0;
}

static struct volmap_source src = { .read = read_image,
	.size = (uint64_t)CLUSTERS * CLUSTER + 512 };

/* All is allocated, before and after. */
static int
setup(void **state)
{
	struct image_run runs[2] = { { 0, 20 }, { 0, 0 } };

	(void)state;
	v = image_new(1000, CLUSTER, 512, 1024, 64);
	runs[0].lcn = image_free_from(v);
	now = image_cluster(v, (uint64_t)runs[0].lcn);
	image_begin(v, 6, 1, 0);
	image_attr(v, 6, 0x80, "", 0, runs, CLUSTERS / 8 + 1);
	image_finish(v);
	store_le64(v->p + 40, (uint64_t)CLUSTERS * (CLUSTER / 512));
	memset(now, 0xff, CLUSTERS / 8 + 1);
	memset(&live, 0, sizeof(live));
	memset(live.bits, 0xff, sizeof(live.bits));
	live.clusters = CLUSTERS;
	live.round = 8;
	live.most = SIZE_MAX;
	unreadable = 0;
	spill_array_init(&spill);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(spill.files, 0);
	changes_free(freed);
	freed = NULL;
	image_free(v);
	return 0;
}

/* Both halves; -1: which of them failed is in `why`. */
static int
find(size_t memory, struct err *why)
{
	struct hot_freed *f;
	int got;

	live.asked = 0;
	changes_free(freed);
	freed = NULL;
	if (snapshot_hotcopy_freed_take(
		live_bitmap, NULL, memory, &spill.spill, &f, why) != 0)
		return -1;
	got = snapshot_hotcopy_freed_find(f, &src, &freed, why);
	assert_true(got == 1 ? freed != NULL : freed == NULL);
	snapshot_hotcopy_freed_free(f);
	return got;
}

static void
found(size_t memory)
{
	struct err why = ERR_INIT;

	if (find(memory, &why) != 1)
		fail_msg("%s", why.text);
}

/* Exactly these clusters are told, and these ranges are all. */
static void
told(uint64_t first, uint64_t count)
{
	const uint64_t at = first * CLUSTER, len = count * CLUSTER;

	assert_true(changes_touch(freed, at, 1));
	assert_int_equal(changes_alike(freed, at, src.size - at), len);
	assert_false(changes_touch(freed, at - 1, 1));
}

static void
told_in_all(uint64_t count)
{
	assert_int_equal(changes_bytes(freed), count * CLUSTER);
}

/* ----------------------------------------------------------------------- two bitmaps -- */

static void
test_what_was_freed_is_told(void **state)
{
	(void)state;
	found(SIZE_MAX);
	told_in_all(0);
	put(now, 1000, 1, 0);
	put(now, 2003, 21, 0);
	put(now, 4096, 64, 0);
	/* Free before, and afterwards: somebody's, or nobody's. */
	put(live.bits, 5000, 100, 0);
	put(live.bits, 6000, 100, 0);
	put(now, 6000, 100, 0);
	/* Half of it was. */
	put(live.bits, 7000, 9, 0);
	put(now, 7000, 20, 0);
	found(SIZE_MAX);
	told(1000, 1);
	told(2003, 21);
	told(4096, 64);
	told(7009, 11);
	told_in_all(1 + 21 + 64 + 11);
}

static void
test_ranges_go_across_windows_and_answers(void **state)
{
	static const struct {
		size_t most;
		uint64_t round;
	} way[] = { { SIZE_MAX, 8 }, { 1001, 8 }, { 8192, 32768 }, { 5000, 32768 } };

	(void)state;
	put(now, WINDOW - 3, 10, 0);
	put(now, 1001 * 8 - 5, 9, 0);
	put(now, 32768 * 2 - 1, 32770, 0);
	/* Free all along: an answer that is put elsewhere would show. */
	put(live.bits, 41000, 50, 0);
	put(now, 41000, 50, 0);
	for (unsigned i = 0; i < 4; i++) {
		live.most = way[i].most;
		live.round = way[i].round;
		for (size_t memory = 0; memory <= 1 << 20; memory += 1 << 20) {
			found(memory);
			told(WINDOW - 3, 10);
			told(1001 * 8 - 5, 9);
			told(32768 * 2 - 1, 32770);
			told_in_all(10 + 9 + 32770);
		}
	}
	assert_true(spill.writes > 0 && spill.reads > 0);
}

static void
test_the_last_byte_has_three_bits(void **state)
{
	(void)state;
	/* Behind them is anything. */
	now[CLUSTERS / 8] = 0x03;
	found(SIZE_MAX);
	told(CLUSTERS - 1, 1);
	told_in_all(1);
	now[CLUSTERS / 8] = 0x07;
	found(SIZE_MAX);
	told_in_all(0);
}

static void
test_what_was_not_in_the_bitmap_then_counts_as_allocated(void **state)
{
	(void)state;
	memset(now, 0, CLUSTERS / 8 + 1);
	memset(live.bits, 0, sizeof(live.bits));
	live.clusters = CLUSTERS - 14;
	found(0);
	told(CLUSTERS - 14, 14);
	told_in_all(14);
	live.clusters = WINDOW - 8;
	found(0);
	told_in_all(CLUSTERS - (WINDOW - 8));
	/* And it may have been longer. */
	live.clusters = CLUSTERS + 5;
	memset(live.bits + CLUSTERS / 8, 0xff, 2);
	found(0);
	told_in_all(3);
}

/* --------------------------------------------------------------------------- failures -- */

static void
fails(size_t memory, enum err_code code)
{
	struct err why = ERR_INIT;

	assert_int_equal(find(memory, &why), -1);
	assert_int_equal(why.code, code);
	assert_int_equal(spill.files, 0);
}

static void
test_a_spill_that_fails_is_said(void **state)
{
	struct hot_freed *f;
	struct err why = ERR_INIT;

	(void)state;
	live.most = 10000;
	spill.fail_open = 1;
	fails(75000, ERR_IO);
	found(75001);
	spill.fail_write = 2;
	fails(0, ERR_NOSPACE);
	spill.fail_read = 2;
	fails(0, ERR_IO);
	assert_int_equal(
	    snapshot_hotcopy_freed_take(live_bitmap, NULL, 75000, NULL, &f, &why), -1);
	assert_int_equal(why.code, ERR_NOSPACE);
}

static void
test_answers_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		uint64_t start, count;
		size_t got;
	} lie[] = {
		{ 8000, CLUSTERS - 8000, HEAD },
		{ 8000, CLUSTERS - 8000, 3 },
		{ 8000, CLUSTERS - 8000, HEAD + SNAPSHOT_HOTCOPY_FREED_PIECE + 1 },
		{ 8008, CLUSTERS - 8008, HEAD + 1000 },
		{ 7999, CLUSTERS - 7999, HEAD + 1000 },
		{ 0, CLUSTERS, HEAD + 1000 },
		{ 8000, 0, HEAD + 1000 },
		{ 8000, UINT64_MAX, HEAD + 1000 },
		{ UINT64_MAX - 7, 16, HEAD + 1000 },
		{ 8000, CLUSTERS - 8001, HEAD + 1000 },
	};

	(void)state;
	live.most = 1000;
	live.lie = 2;
	for (unsigned i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		live.start = lie[i].start;
		live.count = lie[i].count;
		live.got = lie[i].got;
		fails(SIZE_MAX, ERR_CORRUPT);
		fails(0, ERR_CORRUPT);
	}
	live.lie = 0;
	live.grow = 3;
	fails(0, ERR_CORRUPT);
	live.grow = 0;
	for (live.fail = 1; live.fail <= 76; live.fail += 25)
		fails(0, ERR_IO);
	found(0);
	assert_int_equal(live.asked, 76);
}

static void
test_an_image_that_cannot_be_read_is_not_known(void **state)
{
	struct err why = ERR_INIT;

	(void)state;
	unreadable = 1;
	fails(SIZE_MAX, ERR_IO);
	unreadable = 0;
	/* An MFT somewhere else; a boot sector that contradicts itself; none. */
	store_le64(v->p + 48, 900);
	fails(SIZE_MAX, ERR_CORRUPT);
	v->p[13] = 3;
	fails(SIZE_MAX, ERR_CORRUPT);
	memset(v->p, 0, 512);
	assert_int_equal(find(SIZE_MAX, &why), 0);
}

/* ------------------------------------------------------------------ over the simulator -- */

static struct sim sim;
static struct hot_system system_now;
static struct settings_hotcopy wishes;
static struct snapshot_options options;
static struct snapshot *set;
static struct snapshot_volume *volume[2];
static const struct tracking_options tracking = { .on = 1 };
static struct {
	unsigned flushes, bitmaps, closed; /* Of c; in their order. */
	uint64_t frees; /* A cluster whose bit the last flush clears on the disk. */
} seen;

static void
host_writes(int disk, uint64_t offset, const void *bytes, uint32_t len)
{
	assert_int_equal(disk_write(sim.disk[disk], offset, bytes, len), 0);
}

static int
is_c(const char *path)
{
	return path[strlen(path) - 1] == 'c';
}

static int
flush(const char *path, struct err *err)
{
	(void)err;
	if (!is_c(path))
		return 0;
	seen.flushes++;
	if (seen.bitmaps > 0 && seen.frees != 0) {
		image_bits(v, seen.frees, 1, 0);
		host_writes(0, (uint64_t)v->bitmap.lcn * CLUSTER,
		    image_cluster(v, (uint64_t)v->bitmap.lcn), CLUSTER);
	}
	return 0;
}

static int
open_live(const char *path, void **out, struct err *err)
{
	static int c, d;

	(void)err;
	*out = is_c(path) ? &c : &d;
	if (is_c(path))
		seen.bitmaps++;
	return 1;
}

static int
cannot_open(const char *path, void **out, struct err *err)
{
	(void)out;
	return is_c(path) ? err_set(err, ERR_DENIED, "not today") : 0;
}

static void
close_live(void *arg)
{
	(void)arg;
	seen.closed++;
}

static int
sim_setup(void **state)
{
	(void)state;
	v = image_new(1000, CLUSTER, 512, 1024, 64);
	image_bits(v, 600, 20, 1);
	image_finish(v);
	memset(&live, 0, sizeof(live));
	live.clusters = 1000;
	live.round = 8;
	live.most = SIZE_MAX;
	memcpy(live.bits, image_cluster(v, (uint64_t)v->bitmap.lcn), 125);
	memset(&seen, 0, sizeof(seen));
	now = v->p;
	unreadable = 0;
	sim_start(&sim);
	for (uint64_t at = 0; at < 1000 * CLUSTER; at += 1000 * CLUSTER / 4)
		host_writes(0, at, v->p + at, 1000 * CLUSTER / 4);
	system_now = snapshot_hotcopy_here;
	system_now.flush = flush;
	system_now.flushes = 1;
	system_now.open = open_live;
	system_now.read = read_image;
	system_now.close = close_live;
	system_now.bitmap = live_bitmap;
	snapshot_hotcopy_system = &system_now;
	wishes = (struct settings_hotcopy){
		.memory_mib = 1, .room = "none", .room_percent = 20, .throttle_ms = 60000
	};
	options = (struct snapshot_options){ .hotcopy = &wishes, .tracking = &tracking };
	return 0;
}

static int
sim_teardown(void **state)
{
	(void)state;
	snapshot_close(set);
	set = NULL;
	sim_stop(&sim);
	snapshot_hotcopy_system = &snapshot_hotcopy_here;
	image_free(v);
	return 0;
}

static void
frozen(void)
{
	OK(snapshot_open(&snapshot_hotcopy, &options, &set, &err));
	OK(snapshot_add(set, sim_path(&sim, "c"), &volume[0], &err));
	OK(snapshot_add(set, sim_path(&sim, "d"), &volume[1], &err));
	OK(snapshot_freeze(set, 1000, &err));
}

static int
take(void *arg, uint64_t offset, uint64_t len)
{
	changes_add(arg, offset, len);
	return 0;
}

static int
stop(void *arg, uint64_t offset, uint64_t len)
{
	(void)arg;
	(void)offset;
	(void)len;
	return -1;
}

static int
is_written(uint64_t cluster)
{
	struct err why = ERR_INIT;
	struct changes *c;
	int is;

	OK(changes_new(SIM_LENGTH, &c, &err));
	assert_int_equal(snapshot_written(volume[0], take, c, &why), 1);
	is = changes_touch(c, cluster * CLUSTER, CLUSTER);
	changes_free(c);
	return is;
}

static int
written_of(int i)
{
	struct err why = ERR_INIT;
	struct changes *c;
	int got;

	OK(changes_new(SIM_LENGTH, &c, &err));
	got = snapshot_written(volume[i], take, c, &why);
	changes_free(c);
	return got;
}

static uint64_t
copied(void)
{
	struct hotcopy_stats s;
	struct hotcopy_link *l;
	int got = 0;

	OK(hotcopy_link_open(sim_path(&sim, "c"), &l, &err));
	/* Sets are numbered from 1; a test has few. */
	for (uint64_t n = 1; n < 20 && !got; n++) {
		struct err ignored = ERR_INIT;

		got = hotcopy_stats(l, n, 0, &s, &ignored) == 0;
	}
	hotcopy_link_close(l);
	assert_true(got);
	return s.copied;
}

/* Copies that writing there costs. */
static uint64_t
cost(uint64_t cluster)
{
	static const uint8_t bytes[CLUSTER] = { 'n' };
	uint64_t before = copied();

	host_writes(0, cluster * CLUSTER, bytes, CLUSTER);
	return copied() - before;
}

static void
test_a_bit_that_goes_before_the_cut_is_told(void **state)
{
	struct err why = ERR_INIT;

	(void)state;
	seen.frees = 610;
	frozen();
	/* One to begin a generation, the bitmap, the other. */
	assert_int_equal(seen.flushes, 2);
	assert_true(seen.closed > 0);
	assert_true(is_written(610));
	assert_false(is_written(611));
	assert_false(is_written(500));
	assert_int_equal(written_of(1), 1);
	assert_int_equal(snapshot_written(volume[0], stop, NULL, &why), -1);
	assert_null(strstr(snapshot_method(set), "free space"));
}

/* Nobody wrote that part of the bitmap, and the file system knows better. */
static void
test_what_was_freed_is_copied(void **state)
{
	(void)state;
	put(live.bits, 704, 1, 1);
	frozen();
	assert_int_equal(cost(705), 1);
	assert_int_equal(cost(800), 0);
}

static void
nothing_is_free(const char *why)
{
	frozen();
	assert_int_equal(written_of(0), 0);
	/* No NTFS: nothing is free there by any bitmap. */
	assert_int_equal(written_of(1), 1);
	assert_non_null(strstr(snapshot_method(set), why));
	assert_int_equal(cost(800), 1);
	snapshot_close(set);
	set = NULL;
}

static void
test_without_that_bitmap_nothing_is_free(void **state)
{
	(void)state;
	live.fail = 1;
	nothing_is_free("; free space is read, too: no bitmap today");
	live.fail = 0;
	system_now.open = cannot_open;
	nothing_is_free("; free space is read, too: not today");
	/* Where there is no such log it is not asked for. */
	system_now.bitmap = NULL;
	frozen();
	assert_int_equal(written_of(0), 1);
	assert_int_equal(cost(900), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
#define SIM(name) cmocka_unit_test_setup_teardown(test_##name, sim_setup, sim_teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_was_freed_is_told),
		TEST(ranges_go_across_windows_and_answers),
		TEST(the_last_byte_has_three_bits),
		TEST(what_was_not_in_the_bitmap_then_counts_as_allocated),
		TEST(a_spill_that_fails_is_said),
		TEST(answers_that_make_no_sense_are_refused),
		TEST(an_image_that_cannot_be_read_is_not_known),
		SIM(a_bit_that_goes_before_the_cut_is_told),
		SIM(what_was_freed_is_copied),
		SIM(without_that_bitmap_nothing_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
