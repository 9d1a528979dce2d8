/*
 * The driver's calls against the simulator: what it says arrives, what it refuses is an
 * error of its own kind, and a link that goes takes along what it had frozen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>

#include <cmocka.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_forget.h"
#include "agent/hotcopy/hotcopy_pin.h"
#include "driver/core/atomic.h"
#include "proto/base/err.h"
#include "tests/unit/agent/sim_driver.h"

#define MIB (1u << 20)
#define BLOCK (1u << HOTCOPY_TRACK_SHIFT)

static struct sim sim;
static const uint8_t guid[16], first_nonce[HOTCOPY_NONCE] = { 1 },
			       second_nonce[HOTCOPY_NONCE] = { 2 };

static int
setup(void **state)
{
	(void)state;
	sim_start(&sim);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sim_stop(&sim);
	return 0;
}

static struct hotcopy_link *
opened(void)
{
	struct hotcopy_link *l = NULL;
	struct err err = ERR_INIT;

	if (hotcopy_link_open(sim_path(&sim, "c"), &l, &err) != 0)
		fail_msg("%s", err.text);
	return l;
}

#define OK(call)                                  \
	do {                                      \
		struct err err = ERR_INIT;        \
		if ((call) != 0)                  \
			fail_msg("%s", err.text); \
	} while (0)
#define REFUSED(wanted, call)                                        \
	do {                                                         \
		struct err err = ERR_INIT;                           \
		assert_int_equal((call), -1);                        \
		if (err.code != (wanted))                            \
			fail_msg("%d: %s", (int)err.code, err.text); \
	} while (0)

/* A set of c and d with so many bytes for copies. */
static struct hotcopy_prepared
prepared(struct hotcopy_link *l, uint64_t memory)
{
	struct hotcopy_wishes wishes = { .chunk_shift = 14, .memory = memory };
	const uint64_t volumes[] = { 1, 2 };
	struct hotcopy_prepared p;

	OK(hotcopy_prepare(l, volumes, 2, &wishes, &p, &err));
	return p;
}

static struct hotcopy_frozen
frozen(struct hotcopy_link *l, uint64_t set, uint32_t flags, const uint8_t *nonce)
{
	struct hotcopy_frozen f;

	OK(hotcopy_freeze(l, set, flags, 5000, 0, nonce, &f, &err));
	return f;
}

static void
host_writes(int disk, uint64_t offset, uint32_t len)
{
	uint8_t *bytes = malloc(len);

	memset(bytes, 'n', len);
	assert_int_equal(disk_write(sim.disk[disk], offset, bytes, len), 0);
	free(bytes);
}

/* ------------------------------------------------------------------------ tests -- */

static void
test_a_driver_that_is_not_there_is_unsupported(void **state)
{
	struct hotcopy_link *l = NULL;
	char path[300];

	(void)state;
	snprintf(path, sizeof(path), "hotcopy:%s/none:c", sim.dir);
	REFUSED(ERR_UNSUPPORTED, hotcopy_link_open(path, &l, &err));
	REFUSED(ERR_UNSUPPORTED, hotcopy_link_open(NULL, &l, &err));
	REFUSED(ERR_UNSUPPORTED, hotcopy_link_open("/dev/sda1", &l, &err));
	REFUSED(ERR_UNSUPPORTED, hotcopy_link_open("hotcopy:", &l, &err));
	memset(path, 'x', sizeof(path) - 1);
	memcpy(path, "hotcopy:", 8);
	path[sizeof(path) - 1] = '\0';
	REFUSED(ERR_UNSUPPORTED, hotcopy_link_open(path, &l, &err));
	hotcopy_link_close(NULL);
}

static void
test_volumes_are_found(void **state)
{
	struct hotcopy_link *l = opened();
	struct hotcopy_volumes *v = NULL;
	struct hotcopy_volume one;
	uint32_t build = 0;
	uint64_t number = 0;

	(void)state;
	OK(hotcopy_is_disabled(l, &build, &err));
	assert_int_equal(build, 1);
	OK(hotcopy_link_volume(l, sim_path(&sim, "d"), &number, &err));
	assert_int_equal(number, 2);
	REFUSED(ERR_NOTFOUND, hotcopy_link_volume(l, sim_path(&sim, "e"), &number, &err));
	REFUSED(ERR_NOTFOUND, hotcopy_link_volume(l, sim_path(&sim, ""), &number, &err));
	REFUSED(ERR_NOTFOUND, hotcopy_link_volume(l, "/dev/sda1", &number, &err));
	OK(hotcopy_list(l, &v, &err));
	assert_int_equal(v->given, 3);
	assert_int_equal(v->volume[2].length, SIM_ROOM);
	free(v);
	OK(hotcopy_find(l, 2, &one, &err));
	assert_int_equal(one.length, SIM_LENGTH);
	assert_int_equal(one.sector, 512);
	REFUSED(ERR_NOTFOUND, hotcopy_find(l, 99, &one, &err));
	hotcopy_link_close(l);
}

struct ranges {
	unsigned count, stop_at;
	uint64_t offset[16], len[16];
};

static int
add_range(void *arg, uint64_t offset, uint64_t len)
{
	struct ranges *r = arg;

	assert_true(r->count < 16);
	r->offset[r->count] = offset;
	r->len[r->count++] = len;
	return r->count == r->stop_at ? 7 : 0;
}

static struct hotcopy_volume
looked_at(struct hotcopy_link *l, uint64_t volume)
{
	struct hotcopy_volume v;

	OK(hotcopy_find(l, volume, &v, &err));
	return v;
}

/* Generations begin at cuts, are committed or given up, and are against the last. */
static void
test_changes_are_told_by_generations(void **state)
{
	struct hotcopy_link *l = opened();
	struct ranges r = { .stop_at = 0 };
	struct hotcopy_frozen f;
	uint64_t set, first;

	(void)state;
	OK(hotcopy_track(l, 1, guid, first_nonce, NULL, 0, &err));
	REFUSED(ERR_UNSUPPORTED, hotcopy_track(l, 1, guid, first_nonce, NULL, 0, &err));
	REFUSED(ERR_NOTFOUND, hotcopy_track(l, 9, guid, first_nonce, NULL, 0, &err));
	assert_int_equal(looked_at(l, 1).tracking, HOTCOPY_TRACK_NEW);
	set = prepared(l, 16 * MIB).set;
	f = frozen(
	    l, set, HOTCOPY_FREEZE_GENERATION | HOTCOPY_FREEZE_CUT_ONLY, first_nonce);
	first = f.generation[0];
	assert_int_not_equal(first, 0);
	assert_int_equal(f.generation[1], 0);
	OK(hotcopy_changed(l, set, 0, SIM_LENGTH, 0, add_range, &r, &err));
	assert_int_equal(r.count, 1); /* no base: all */
	assert_int_equal(r.len[0], SIM_LENGTH);
	REFUSED(ERR_NOTFOUND, hotcopy_commit(l, 1, first, second_nonce, &err));
	REFUSED(ERR_NOTFOUND, hotcopy_commit(l, 1, first + 1, first_nonce, &err));
	OK(hotcopy_commit(l, 1, first, first_nonce, &err));
	OK(hotcopy_commit(l, 1, first, first_nonce, &err));
	OK(hotcopy_release(l, set, &err));
	assert_int_equal(looked_at(l, 1).tracking, HOTCOPY_TRACK_VALID);
	assert_int_equal(looked_at(l, 1).generation, first);

	host_writes(0, 3 * BLOCK + 512, 512);
	host_writes(0, 9 * BLOCK, 3 * BLOCK);
	host_writes(0, SIM_LENGTH - 512, 512);
	set = prepared(l, 16 * MIB).set;
	f = frozen(l, set, HOTCOPY_FREEZE_GENERATION, second_nonce);
	host_writes(0, 20 * BLOCK, 512);
	memset(&r, 0, sizeof(r));
	OK(hotcopy_changed(l, set, 0, SIM_LENGTH, 0, add_range, &r, &err));
	assert_int_equal(r.count, 3);
	assert_int_equal(r.offset[0], 3 * BLOCK);
	assert_int_equal(r.len[0], BLOCK);
	assert_int_equal(r.offset[1], 9 * BLOCK);
	assert_int_equal(r.len[1], 3 * BLOCK);
	assert_int_equal(r.offset[2], SIM_LENGTH - BLOCK);
	memset(&r, 0, sizeof(r));
	OK(hotcopy_changed(l, set, 0, SIM_LENGTH, 1, add_range, &r, &err));
	assert_int_equal(r.count, 4);
	assert_int_equal(r.offset[2], 20 * BLOCK);
	/* Its last block is no whole one; and who asks may have had enough. */
	memset(&r, 0, sizeof(r));
	OK(hotcopy_changed(l, set, 0, SIM_LENGTH - 512, 0, add_range, &r, &err));
	assert_int_equal(r.len[2], BLOCK - 512);
	memset(&r, 0, sizeof(r));
	r.stop_at = 2;
	{
		struct err err = ERR_INIT;

		assert_int_equal(
		    hotcopy_changed(l, set, 0, SIM_LENGTH, 0, add_range, &r, &err), 7);
	}
	OK(hotcopy_release(l, set, &err));
	OK(hotcopy_abort(l, 1, f.generation[0], second_nonce, &err));
	assert_int_equal(looked_at(l, 1).generation, first);
	OK(hotcopy_invalidate(l, 1, &err));
	assert_int_equal(looked_at(l, 1).tracking, HOTCOPY_TRACK_INVALID);
	OK(hotcopy_untrack(l, 1, &err));
	REFUSED(ERR_UNSUPPORTED, hotcopy_untrack(l, 1, &err));
	REFUSED(ERR_UNSUPPORTED, hotcopy_invalidate(l, 2, &err));
	hotcopy_link_close(l);
}

/* Copies on the room, what nobody needs given up, and the rest as it was. */
static void
test_the_image_is_read_as_it_was(void **state)
{
	struct hotcopy_link *l = opened(), *reader = opened();
	const struct hotcopy_extent *room, excluded = { 64 * 1024, 64 * 1024 };
	struct hotcopy_pin *pin = NULL;
	const uint8_t free_chunks[2] = { 0, 0x80 }; /* chunk 8 + 15 */
	static uint8_t got[MIB];
	struct hotcopy_stats stats;
	uint64_t set;

	(void)state;
	OK(hotcopy_pin_open(
	    sim_path(&sim, "room"), HOTCOPY_PIN_ROOM, MIB + 1, &pin, &err));
	assert_int_equal(hotcopy_pin_extents(pin, &room), 1);
	assert_int_equal(room->length, MIB + 512);
	set = prepared(l, MIB).set;
	REFUSED(ERR_NOTFOUND, hotcopy_bind(reader, set, 7, &err));
	OK(hotcopy_add_room(l, set, 3, room, 1, &err));
	OK(hotcopy_exclude(l, set, 1, &excluded, 1, &err));
	REFUSED(ERR_UNSUPPORTED, hotcopy_exclude(reader, set, 1, &excluded, 1, &err));
	frozen(l, set, 0, first_nonce);
	OK(hotcopy_bind(reader, set, 0, &err));
	OK(hotcopy_unneeded(reader, set, 0, 8, 16, free_chunks, &err));
	host_writes(0, 0, MIB + MIB / 2);
	assert_int_equal(hotcopy_link_read(reader, MIB, got, MIB), HOTCOPY_OK);
	for (size_t i = 0; i < MIB; i++)
		assert_int_equal(got[i], 'o');
	OK(hotcopy_done_read(reader, set, 0, MIB, MIB, &err));
	assert_int_equal(
	    hotcopy_link_read(reader, MIB, got, 512), HOTCOPY_STATUS_NOT_KEPT);
	assert_int_equal(
	    hotcopy_link_read(reader, 64 * 1024, got, 512), HOTCOPY_STATUS_NOT_KEPT);
	assert_int_equal(
	    hotcopy_link_read(reader, 23 * 16384, got, 512), HOTCOPY_STATUS_NOT_KEPT);
	REFUSED(ERR_SNAPSHOT_LOST, hotcopy_error(HOTCOPY_STATUS_NOT_KEPT, "x", &err));
	OK(hotcopy_stats(l, set, 0, &stats, &err));
	assert_true(stats.copied > 0);
	assert_true(stats.diff_used > 0);
	REFUSED(ERR_UNSUPPORTED, hotcopy_release(reader, set, &err));
	hotcopy_link_close(reader);
	hotcopy_link_close(l);
	hotcopy_pin_close(pin);
	hotcopy_pin_close(NULL);
}

/* What a process froze goes with its link, and one set is open at a time. */
static void
test_a_link_takes_its_set_along(void **state)
{
	struct hotcopy_link *l = opened(), *other = opened();
	struct hotcopy_wishes wishes = { .chunk_shift = 14, .memory = MIB };
	const uint64_t volume = 1, none = 77;
	struct hotcopy_prepared p;
	struct err why;

	(void)state;
	REFUSED(ERR_NOTFOUND, hotcopy_prepare(l, &none, 1, &wishes, &p, &err));
	REFUSED(ERR_UNSUPPORTED, hotcopy_prepare(l, &none, 0, &wishes, &p, &err));
	p = prepared(l, MIB);
	frozen(l, p.set, 0, first_nonce);
	REFUSED(ERR_BUSY, hotcopy_prepare(other, &volume, 1, &wishes, &p, &err));
	hotcopy_link_close(l);
	do {
		err_clear(&why);
	} while (hotcopy_prepare(other, &volume, 1, &wishes, &p, &why) != 0 &&
		 why.code == ERR_BUSY);
	assert_int_equal(why.code, ERR_NONE);
	hotcopy_link_close(other);
}

/* ----------------------------------------------------------------------- threads -- */

struct reader {
	struct hotcopy_link *l;
	uint32_t stop, reads;
	uint32_t last;
};

static void *
read_until_lost(void *arg)
{
	struct reader *r = arg;
	uint8_t got[4096];
	uint32_t stop;

	/* The last one begins when it was told to stop. */
	do {
		stop = atomic_get(&r->stop);
		r->last = hotcopy_link_read(r->l, 0, got, sizeof(got));
		atomic_add(&r->reads, 1);
	} while (stop == 0);
	return NULL;
}

/* Two threads on one link: one reads, the other hears that the image was dropped. */
static void
test_an_event_comes_beside_reads(void **state)
{
	struct reader r = { .l = opened() };
	struct hotcopy_event event = { .code = 0 };
	uint64_t set = prepared(r.l, MIB).set;
	pthread_t thread;

	(void)state;
	frozen(r.l, set, 0, first_nonce);
	OK(hotcopy_bind(r.l, set, 0, &err));
	assert_int_equal(hotcopy_link_event(r.l, 60, &event), 0);
	pthread_create(&thread, NULL, read_until_lost, &r);
	while (atomic_get(&r.reads) < 10)
		usleep(1000);
	host_writes(0, 0, SIM_LENGTH);
	while (event.code != HOTCOPY_EVENT_DROPPED)
		assert_int_equal(hotcopy_link_event(r.l, 20000, &event), 1);
	assert_int_equal(event.argument, HOTCOPY_WHY_NO_SPACE);
	atomic_put(&r.stop, 1);
	pthread_join(thread, NULL);
	assert_int_equal(r.last, HOTCOPY_STATUS_LOST);
	REFUSED(ERR_SNAPSHOT_LOST, hotcopy_error(r.last, "reading", &err));
	hotcopy_link_close(r.l);
}

static void *
wait_long(void *arg)
{
	struct reader *r = arg;
	struct hotcopy_event event;

	r->last = (uint32_t)hotcopy_link_event(r->l, 600000, &event);
	return NULL;
}

/* Whoever waits is woken, and so is whoever is about to. */
static void
test_a_wait_for_events_is_ended(void **state)
{
	struct reader r = { .l = opened(), .last = 7 };
	pthread_t thread;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		pthread_create(&thread, NULL, wait_long, &r);
		if (i % 2 == 0)
			usleep(2000);
		hotcopy_link_wake(r.l);
		pthread_join(thread, NULL);
		assert_int_equal(r.last, 0);
	}
	hotcopy_link_close(r.l);
}

/* The simulator ends while somebody waits: he hears of it. */
static void
test_the_end_of_the_driver_is_heard(void **state)
{
	struct hotcopy_link *l = opened();
	struct hotcopy_event event;
	struct hotcopy_volumes *v;

	(void)state;
	frozen(l, prepared(l, MIB).set, 0, first_nonce);
	sim_stop(&sim);
	while (hotcopy_link_event(l, 60000, &event) == 1)
		;
	assert_int_equal(hotcopy_link_event(l, 60000, &event), -1);
	REFUSED(ERR_SNAPSHOT_LOST, hotcopy_list(l, &v, &err));
	hotcopy_link_close(l);
	sim_start(&sim);
}

static void
test_only_a_room_is_written_over(void **state)
{
	struct hotcopy_pin *pin = NULL;

	(void)state;
	REFUSED(ERR_UNSUPPORTED,
	    hotcopy_pin_open(sim_path(&sim, "c"), HOTCOPY_PIN_ROOM, MIB, &pin, &err));
	REFUSED(ERR_UNSUPPORTED,
	    hotcopy_pin_open(sim_path(&sim, "room"), HOTCOPY_PIN_STORE, MIB, &pin, &err));
	REFUSED(ERR_NOSPACE, hotcopy_pin_open(sim_path(&sim, "room"), HOTCOPY_PIN_ROOM,
				 SIM_ROOM + 1, &pin, &err));
	REFUSED(ERR_NOSPACE,
	    hotcopy_pin_open(sim_path(&sim, "room"), HOTCOPY_PIN_ROOM, 0, &pin, &err));
	REFUSED(ERR_NOTFOUND,
	    hotcopy_pin_open(sim_path(&sim, "room2"), HOTCOPY_PIN_ROOM, 1, &pin, &err));
	hotcopy_pin_clean(sim_path(&sim, "room"));
}

/* Tracked: it is not believed any more.  Not tracked, not there, no driver: nothing. */
static void
test_what_was_written_over_is_forgotten(void **state)
{
	struct hotcopy_link *l = opened();
	struct hotcopy_frozen f;
	uint64_t set;

	(void)state;
	OK(hotcopy_track(l, 1, guid, first_nonce, NULL, 0, &err));
	set = prepared(l, MIB).set;
	f = frozen(
	    l, set, HOTCOPY_FREEZE_GENERATION | HOTCOPY_FREEZE_CUT_ONLY, first_nonce);
	OK(hotcopy_commit(l, 1, f.generation[0], first_nonce, &err));
	OK(hotcopy_release(l, set, &err));
	assert_int_equal(looked_at(l, 1).tracking, HOTCOPY_TRACK_VALID);
	OK(hotcopy_forget(sim_path(&sim, "d"), &err));
	assert_int_equal(looked_at(l, 1).tracking, HOTCOPY_TRACK_VALID);
	OK(hotcopy_forget(sim_path(&sim, "c"), &err));
	assert_int_equal(looked_at(l, 1).tracking, HOTCOPY_TRACK_INVALID);
	assert_int_equal(looked_at(l, 1).why, HOTCOPY_WHY_ASKED);
	OK(hotcopy_forget(sim_path(&sim, "e"), &err));
	OK(hotcopy_forget("/dev/sda1", &err));
	OK(hotcopy_forget("hotcopy:/nowhere/at/all:c", &err));
	hotcopy_link_close(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_a_driver_that_is_not_there_is_unsupported, setup, teardown),
		cmocka_unit_test_setup_teardown(test_volumes_are_found, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_changes_are_told_by_generations, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_the_image_is_read_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_link_takes_its_set_along, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_an_event_comes_beside_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_wait_for_events_is_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_the_end_of_the_driver_is_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_what_was_written_over_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_only_a_room_is_written_over, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
