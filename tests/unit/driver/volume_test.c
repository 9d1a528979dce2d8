/* The gate: nothing passes a closed one, nothing is lost at it, it waits for what is in
   flight and for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "driver/core/track.h"
#include "driver/sim/env_posix.h"
#include "driver/core/volume_parts.h"
#include "tests/unit/driver/ram_volume.h"

#define SIZE (1u << 20)
#define SOON (env_now() + 10000) /* 1 ms */

/* Told when it was, not by the end of a wait. */
static bool
drained(struct volume *v)
{
	uint64_t until = env_now() + ram_patience_ms() * 10000;

	return volume_gate_drained(v, until) && env_now() < until;
}

static void
idle_writes_pass_without_lock_or_memory(void **state)
{
	struct env_posix_facts before, after;
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	env_posix_facts(&before);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(
		    volume_write_begin(r.volume, (uint64_t)i * 512, 512), VOLUME_FORWARD);
		volume_write_done(r.volume);
	}
	env_posix_facts(&after);
	/* The volume's thread looks around when it starts: a few, not one a write. */
	assert_true(after.locks - before.locks < 10);
	assert_int_equal(before.takings, after.takings);
	assert_int_equal(volume_state(r.volume), HOTCOPY_IDLE);
	ram_end(&r);
}

static void
closed_gate_holds_and_open_gate_sends_all(void **state)
{
	struct ram_write w[100];
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	volume_gate_close(r.volume);
	assert_int_equal(volume_state(r.volume), HOTCOPY_GATED);
	for (unsigned i = 0; i < 100; i++)
		assert_true(ram_write(&r, &w[i], i * 512, 512, 2));
	assert_true(drained(r.volume));
	assert_int_equal(volume_waiting(r.volume), 100);
	assert_true(ram_all(r.data, SIZE, 1));
	volume_gate_open(r.volume, NULL);
	for (unsigned i = 0; i < 100; i++)
		ram_finish(&w[i]);
	assert_true(ram_all(r.data, 100 * 512, 2));
	assert_int_equal(r.forwarded, 100);
	assert_int_equal(volume_waiting(r.volume), 0);
	ram_end(&r);
}

static void
drain_waits_for_what_is_in_flight_and_gives_up_in_time(void **state)
{
	struct ram_write w, held;
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	ram_set(&r, r.writes_stick = true);
	assert_false(ram_write(&r, &w, 0, 512, 2));
	volume_gate_close(r.volume);
	assert_false(volume_gate_drained(r.volume, SOON));
	assert_true(ram_write(&r, &held, 512, 512, 3));
	assert_false(volume_gate_drained(r.volume, SOON));
	ram_let_writes(&r);
	assert_true(drained(r.volume));
	assert_false(held.finished);
	volume_gate_open(r.volume, NULL);
	ram_finish(&held);
	ram_end(&r);
}

static void *
close_and_drain(void *volume)
{
	volume_gate_close(volume);
	return drained(volume) ? volume : NULL;
}

/* By the last write's end.  Often, for now and then it has ended before anybody waits. */
static void
who_drains_is_told(void **state)
{
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	for (int i = 0; i < 20; i++) {
		struct ram_write stuck;
		pthread_t t;
		void *in_time;

		ram_set(&r, r.writes_stick = true);
		assert_false(ram_write(&r, &stuck, 0, 512, 2));
		pthread_create(&t, NULL, close_and_drain, r.volume);
		while (volume_state(r.volume) != HOTCOPY_GATED)
			sched_yield();
		for (int k = 0; k < 1000; k++)
			sched_yield();
		ram_let_writes(&r);
		pthread_join(t, &in_time);
		assert_non_null(in_time);
		volume_gate_open(r.volume, NULL);
		ram_finish(&stuck);
	}
	ram_end(&r);
}

static void
gone_opens_the_gate_and_ends_a_drain(void **state)
{
	struct ram_write stuck, held;
	pthread_t t;
	struct ram r;
	void *drained;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	ram_set(&r, r.writes_stick = true);
	assert_false(ram_write(&r, &stuck, 0, 512, 2));
	pthread_create(&t, NULL, close_and_drain, r.volume);
	while (volume_state(r.volume) != HOTCOPY_GATED)
		sched_yield();
	assert_true(ram_write(&r, &held, 512, 512, 3));
	volume_gone(r.volume);
	pthread_join(t, &drained);
	assert_non_null(drained);
	assert_int_equal(volume_state(r.volume), HOTCOPY_REMOVED);
	assert_int_equal(volume_spoilt(r.volume), HOTCOPY_WHY_REMOVED);
	ram_until(&r, r.forwarded == 1);
	assert_int_equal(volume_write_begin(r.volume, 1024, 512), VOLUME_FORWARD);
	volume_write_done(r.volume);
	ram_let_writes(&r);
	ram_finish(&stuck);
	ram_finish(&held);
	ram_end(&r);
}

static void
pass_only_opens_the_gate(void **state)
{
	struct ram_write held;
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	volume_gate_close(r.volume);
	assert_true(ram_write(&r, &held, 0, 512, 2));
	volume_pass_only(r.volume);
	ram_finish(&held);
	assert_false(ram_write_now(&r, 512, 512, 2));
	assert_int_equal(volume_state(r.volume), HOTCOPY_PASSING);
	ram_end(&r);
}

static void
without_a_thread_all_passes(void **state)
{
	struct track_notice notice = { NULL, NULL };
	struct hotcopy_track how = { .extents = 0 };
	struct track_facts facts;
	struct ram r;
	struct track *t;

	(void)state;
	env_posix_fail(2);
	ram_make(&r, 1, SIZE, 1);
	env_posix_fail(0);
	assert_int_equal(volume_state(r.volume), HOTCOPY_PASSING);
	/* Nobody sees what is written. */
	t = track_open(r.volume, &how, NULL, notice);
	assert_non_null(t);
	assert_null(volume_track_put(r.volume, t));
	track_facts(t, &facts);
	assert_int_equal(facts.state, HOTCOPY_TRACK_INVALID);
	assert_ptr_equal(volume_track_put(r.volume, NULL), t);
	track_free(t);
	volume_gate_close(r.volume);
	assert_false(ram_write_now(&r, 0, 512, 2));
	volume_gate_open(r.volume, NULL);
	ram_end(&r);
}

static void
helpers_serve_side_by_side_and_stop(void **state)
{
	struct ram_write w[8];
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	assert_int_equal(volume_helpers_start(r.volume, 9), VOLUME_HELPERS_MAX);
	ram_set(&r, r.forward_sticks = true);
	volume_gate_close(r.volume);
	for (unsigned i = 0; i < 8; i++)
		assert_true(ram_write(&r, &w[i], i * 512, 512, 2));
	volume_gate_open(r.volume, NULL);
	ram_until(&r, r.forwards_stuck == 1 + VOLUME_HELPERS_MAX);
	ram_set(&r, r.forward_sticks = false);
	for (unsigned i = 0; i < 8; i++)
		ram_finish(&w[i]);
	volume_helpers_stop(r.volume);
	/* The own thread is there still. */
	volume_gate_close(r.volume);
	assert_true(ram_write(&r, &w[0], 0, 512, 3));
	volume_gate_open(r.volume, NULL);
	ram_finish(&w[0]);
	volume_helpers_stop(r.volume);
	ram_end(&r);
}

/* Everything in flight hangs in the disk; what the core does for itself must not. */
static void
stuck_disk_holds_up_neither_engine_nor_tracking(void **state)
{
	struct ram_write w;
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	ram_set(&r, r.writes_stick = true);
	assert_false(ram_write(&r, &w, 0, 512, 2));
	volume_engine_remove(r.volume);
	assert_null(volume_track_put(r.volume, NULL));
	assert_int_equal(volume_state(r.volume), HOTCOPY_IDLE);
	ram_let_writes(&r);
	ram_finish(&w);
	ram_end(&r);
}

struct removal {
	struct volume *volume;
	uint32_t over;
};

static void *
remove_engine(void *arg)
{
	struct removal *r = arg;

	volume_engine_remove(r->volume);
	atomic_put(&r->over, 1);
	return NULL;
}

/* Returns when the removal waits for who is inside. */
static void
removal_begin(struct removal *r, struct volume *v, pthread_t *t)
{
	uint32_t other = atomic_get(&v->state) & VOLUME_OTHER;

	*r = (struct removal){ .volume = v };
	pthread_create(t, NULL, remove_engine, r);
	ram_spin_while((atomic_get(&v->state) & VOLUME_OTHER) == other ||
		       (atomic_get(&v->state) & VOLUME_CHANGING) == 0);
}

/* At no moment is nobody inside; it ends all the same, and waits for each who was. */
static void
removal_waits_for_who_was_inside_and_for_nobody_later(void **state)
{
	struct removal removal;
	uint32_t before, later;
	pthread_t t;
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	before = volume_enter(r.volume);
	for (int i = 0; i < 5; i++) {
		removal_begin(&removal, r.volume, &t);
		later = volume_enter(r.volume);
		assert_int_not_equal(before, later);
		assert_int_equal(atomic_get(&removal.over), 0);
		volume_exit(r.volume, before);
		ram_spin_while(atomic_get(&removal.over) == 0);
		pthread_join(t, NULL);
		before = later;
	}
	volume_exit(r.volume, before);
	ram_end(&r);
}

/* Who looked before the last removal and counts himself after it is waited for, too. */
static void
removal_waits_for_who_was_late(void **state)
{
	struct removal removal = { 0 };
	pthread_t t;
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	assert_int_equal(atomic_get(&r.volume->state) & VOLUME_OTHER, 0);
	volume_engine_remove(r.volume);
	atomic_add(&r.volume->inside[0], 1);
	removal.volume = r.volume;
	pthread_create(&t, NULL, remove_engine, &removal);
	ram_spin_while((atomic_get(&r.volume->state) & VOLUME_CHANGING) == 0);
	for (int i = 0; i < 1000; i++)
		sched_yield();
	assert_int_equal(atomic_get(&removal.over), 0);
	volume_exit(r.volume, 0);
	ram_spin_while(atomic_get(&removal.over) == 0);
	pthread_join(t, NULL);
	ram_end(&r);
}

static void
what_spoils_is_known_until_calm(void **state)
{
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	volume_unknown_write(r.volume, HOTCOPY_WHY_UNKNOWN_WRITE);
	assert_int_equal(volume_spoilt(r.volume), HOTCOPY_WHY_UNKNOWN_WRITE);
	volume_calm(r.volume);
	assert_int_equal(volume_spoilt(r.volume), HOTCOPY_WHY_NONE);
	volume_resized(r.volume, SIZE);
	assert_int_equal(volume_spoilt(r.volume), HOTCOPY_WHY_NONE);
	volume_resized(r.volume, SIZE / 2);
	assert_int_equal(volume_spoilt(r.volume), HOTCOPY_WHY_RESIZED);
	assert_int_equal(volume_length(r.volume), SIZE / 2);
	volume_calm(r.volume);
	volume_power(r.volume, true);
	assert_int_equal(volume_spoilt(r.volume), HOTCOPY_WHY_POWER);
	ram_end(&r);
}

/* ------------------------------------------------------------------------ stress -- */

#define WRITERS 4
#define ROUNDS 300

struct writer {
	struct ram *ram;
	uint64_t offset;
	uint32_t *stop;
	pthread_t thread;
};

static void *
write_on(void *arg)
{
	struct writer *w = arg;

	for (uint8_t fill = 0; __atomic_load_n(w->stop, __ATOMIC_RELAXED) == 0; fill++)
		ram_write_now(w->ram, w->offset, 4096, fill);
	return NULL;
}

/* While the gate is closed and drained the disk stands still. */
static void
nothing_passes_a_drained_gate(void **state)
{
	static uint8_t seen[WRITERS * 4096];
	struct writer w[WRITERS];
	uint32_t stop = 0;
	unsigned held = 0;
	struct ram r;

	(void)state;
	ram_make(&r, 1, SIZE, 1);
	volume_helpers_start(r.volume, 2);
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ .ram = &r, .offset = i * 4096, .stop = &stop };
		pthread_create(&w[i].thread, NULL, write_on, &w[i]);
	}
	for (int i = 0; i < ROUNDS; i++) {
		volume_gate_close(r.volume);
		assert_true(drained(r.volume));
		/* Without the disk's mutex: TSan, too, sees who still writes. */
		memcpy(seen, r.data, sizeof seen);
		if (i % 3 == 0) {
			while (volume_waiting(r.volume) < WRITERS)
				sched_yield();
		}
		assert_memory_equal(seen, r.data, sizeof seen);
		held += volume_waiting(r.volume);
		volume_gate_open(r.volume, NULL);
		if (i % 7 == 0)
			volume_engine_remove(r.volume);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(w[i].thread, NULL);
	assert_true(held > 0);
	volume_helpers_stop(r.volume);
	ram_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_writes_pass_without_lock_or_memory),
		cmocka_unit_test(closed_gate_holds_and_open_gate_sends_all),
		cmocka_unit_test(drain_waits_for_what_is_in_flight_and_gives_up_in_time),
		cmocka_unit_test(who_drains_is_told),
		cmocka_unit_test(gone_opens_the_gate_and_ends_a_drain),
		cmocka_unit_test(pass_only_opens_the_gate),
		cmocka_unit_test(without_a_thread_all_passes),
		cmocka_unit_test(helpers_serve_side_by_side_and_stop),
		cmocka_unit_test(stuck_disk_holds_up_neither_engine_nor_tracking),
		cmocka_unit_test(removal_waits_for_who_was_inside_and_for_nobody_later),
		cmocka_unit_test(removal_waits_for_who_was_late),
		cmocka_unit_test(what_spoils_is_known_until_calm),
		cmocka_unit_test(nothing_passes_a_drained_gate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
