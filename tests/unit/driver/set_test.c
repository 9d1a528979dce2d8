/* Sets: one cut for all volumes, every gate opens again, what becomes of one volume is
   not the others' end. */
#define _GNU_SOURCE 1 /* pthread_timedjoin_np */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "driver/core/set.h"
#include "driver/core/track.h"
#include "driver/sim/env_posix.h"
#include "tests/unit/driver/ram_volume.h"
#include "tests/unit/driver/set_rig.h"

static void
freeze_read_and_release(void **state)
{
	struct hotcopy_frozen out;
	struct hotcopy_stats stats;
	struct rig r;
	uint8_t byte[512];

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	assert_int_equal(set_number(r.set), 77);
	assert_int_equal(set_state(r.set, r.ram[0].volume), HOTCOPY_PREPARED);
	assert_int_equal(set_read(r.set, 0, 0, byte, 512), SET_STATE);
	assert_int_equal(set_unneeded(r.set, 0, 0, 8, byte), SET_STATE);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_true(out.closed <= out.cut && out.cut <= out.opened);
	assert_int_equal(out.set, 77);
	assert_int_equal(out.volumes, 2);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_STATE);
	assert_int_equal(set_state(r.set, r.ram[1].volume), HOTCOPY_ACTIVE);
	assert_true(ram_write_now(&r.ram[0], 0, 4096, 9));
	assert_true(ram_write_now(&r.ram[1], SIZE - 512, 512, 9));
	assert_false(ram_write_now(&r.ram[2], 0, 512, 9));
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	assert_true(image_is(&r, 1, 0, SIZE, 2));
	assert_int_equal(set_read(r.set, 2, 0, byte, 512), SET_NOT_FOUND);
	assert_int_equal(set_read(r.set, 0, SIZE, byte, 512), SET_BAD);
	assert_int_equal(set_done(r.set, 0, 0, CHUNK), SET_OK);
	assert_int_equal(set_read(r.set, 0, 0, byte, 512), SET_NOT_KEPT);
	assert_int_equal(set_stats(r.set, 0, &stats), SET_OK);
	assert_int_equal(stats.needed, SIZE / CHUNK - 1);
	assert_int_equal(stats.copied, 1);
	assert_int_equal(stats.held, 1);
	assert_int_equal(stats.memory_used, CHUNK);
	assert_int_equal(set_stats(r.set, 2, &stats), SET_NOT_FOUND);
	assert_false(set_event(r.set, &(struct hotcopy_event){ 0 }));
	rig_end(&r);
}

static void
bad_sets_are_refused(void **state)
{
	struct hotcopy_prepare p = { .volumes = 2, .memory = MEMORY };
	struct rig r;
	struct volume *twice[2];
	struct set *s = NULL;

	(void)state;
	rig_make(&r);
	twice[0] = twice[1] = r.ram[0].volume;
	assert_int_equal(
	    set_prepare(&s, 1, &p, twice, (struct set_notice){ events, &r }), SET_BAD);
	assert_int_equal(prepare(&r, 0, 0), SET_BAD);
	assert_int_equal(prepare(&r, 2, 4), SET_BAD);
	assert_int_equal(prepare(&r, 2, 1), SET_STATE); /* it is not tracked */
	p.throttle_ms = HOTCOPY_THROTTLE_MS_MAX + 1;
	assert_int_equal(
	    set_prepare(&s, 1, &p, &r.ram[0].volume, (struct set_notice){ events, &r }),
	    SET_BAD);
	volume_pass_only(r.ram[1].volume);
	assert_int_equal(prepare(&r, 2, 0), SET_STATE);
	rig_end(&r);
}

/* Each memory or thread that PREPARE wants is refused once. */
static void
prepare_without_memory_leaves_nothing_behind(void **state)
{
	struct env_posix_facts before, after;
	enum set_result result;
	struct rig r;
	unsigned n = 0;

	(void)state;
	rig_make(&r);
	env_posix_facts(&before);
	do {
		struct hotcopy_frozen out;

		env_posix_fail(++n);
		result = prepare(&r, 3, 0);
		env_posix_fail(0);
		assert_true(result == SET_OK || result == SET_NO_MEMORY);
		if (result == SET_OK) {
			/* Fewer helpers, but as good. */
			assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
			assert_true(ram_write_now(&r.ram[0], 0, 512, 9));
			assert_true(image_is(&r, 0, 0, 512, 1));
			assert_true(ram_write_now(&r.ram[0], 0, SIZE, 1));
			set_free(r.set);
		}
		r.set = NULL;
		env_posix_facts(&after);
		assert_int_equal(before.blocks, after.blocks);
		assert_int_equal(before.threads, after.threads);
	} while (n < 200 && (n < 10 || result != SET_OK || n < 45));
	assert_true(n > 10);
	rig_end(&r);
}

static void
timeout_opens_all_and_the_set_can_be_frozen_again(void **state)
{
	struct hotcopy_frozen out;
	struct ram_write stuck, held;
	struct rig r;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 3, 0), SET_OK);
	ram_set(&r.ram[1], r.ram[1].writes_stick = true);
	assert_false(ram_write(&r.ram[1], &stuck, 0, 512, 9));
	assert_int_equal(freeze(&r, 0, 30, &out), SET_TIMEOUT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(set_state(r.set, r.ram[i].volume), HOTCOPY_PREPARED);
	assert_false(ram_write(&r.ram[0], &held, 0, 512, 9));
	ram_finish(&held);
	ram_let_writes(&r.ram[1]);
	ram_finish(&stuck);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_true(image_is(&r, 0, 0, 512, 9));
	assert_true(image_is(&r, 1, 0, 512, 9));
	rig_end(&r);
}

static void *
freeze_long(void *arg)
{
	struct rig *r = arg;
	struct hotcopy_frozen out;

	return freeze(r, 0, 10000, &out) == SET_OK ? r : NULL;
}

static void
a_volume_that_goes_at_the_gate_stops_nobody(void **state)
{
	struct ram_write stuck, held;
	struct hotcopy_event e;
	struct rig r;
	pthread_t t;
	void *ok;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	ram_set(&r.ram[1], r.ram[1].writes_stick = true);
	assert_false(ram_write(&r.ram[1], &stuck, 0, 512, 9));
	pthread_create(&t, NULL, freeze_long, &r);
	while (volume_state(r.ram[0].volume) != HOTCOPY_GATED ||
	       volume_state(r.ram[1].volume) != HOTCOPY_GATED)
		sched_yield();
	assert_true(ram_write(&r.ram[0], &held, 0, 512, 9));
	volume_gone(r.ram[1].volume);
	pthread_join(t, &ok);
	assert_non_null(ok);
	ram_finish(&held);
	ram_let_writes(&r.ram[1]);
	ram_finish(&stuck);
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	assert_int_equal(set_read(r.set, 1, 0, &(uint8_t[512]){ 0 }, 512), SET_LOST);
	assert_int_equal(set_state(r.set, r.ram[1].volume), HOTCOPY_REMOVED);
	assert_true(set_event(r.set, &e));
	assert_int_equal(e.code, HOTCOPY_EVENT_DROPPED);
	assert_int_equal(e.argument, HOTCOPY_WHY_REMOVED);
	assert_int_equal(e.volume, 2);
	assert_int_equal(e.sequence, 1);
	set_leave(r.set, r.ram[1].volume);
	assert_null(set_volume(r.set, 1));
	assert_int_equal(set_done(r.set, 1, 0, CHUNK), SET_LOST);
	assert_true(ram_write_now(&r.ram[0], CHUNK, 512, 9));
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	rig_end(&r);
}

static void
cut_only_copies_nothing_and_prepares_again(void **state)
{
	struct hotcopy_frozen out;
	struct rig r;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	assert_int_equal(freeze(&r, HOTCOPY_FREEZE_CUT_ONLY, 0, &out), SET_OK);
	assert_int_equal(set_state(r.set, r.ram[0].volume), HOTCOPY_PREPARED);
	assert_false(ram_write_now(&r.ram[0], 0, 512, 9));
	assert_int_equal(set_read(r.set, 0, 0, &(uint8_t[512]){ 0 }, 512), SET_STATE);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_true(ram_write_now(&r.ram[0], 0, 512, 8));
	assert_true(image_is(&r, 0, 0, 512, 9));
	rig_end(&r);
}

struct holder {
	struct rig *rig;
	unsigned i;
};

static void *
hold(void *arg)
{
	struct holder *h = arg;

	set_hold(h->rig->set, h->rig->ram[h->i].volume, NULL);
	return NULL;
}

static void *
freeze_at_hold(void *arg)
{
	struct rig *r = arg;
	struct hotcopy_frozen out;

	return freeze(r, HOTCOPY_FREEZE_AT_HOLD, 10000, &out) == SET_OK ? r : NULL;
}

static void
cut_comes_when_all_hold(void **state)
{
	struct holder h[3];
	struct rig r;
	pthread_t t, hold_thread[3];
	void *ok;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 3, 0), SET_OK);
	assert_true(
	    set_hold(r.set, r.ram[0].volume, NULL)); /* nobody wants it: it goes on */
	pthread_create(&t, NULL, freeze_at_hold, &r);
	for (unsigned i = 0; i < 2; i++) {
		h[i] = (struct holder){ &r, i };
		pthread_create(&hold_thread[i], NULL, hold, &h[i]);
	}
	/* The third goes away instead. */
	volume_gone(r.ram[2].volume);
	/* A hold that came before FREEZE wanted it went on; another comes. */
	for (;;) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 20000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		if (pthread_timedjoin_np(t, &ok, &until) == 0)
			break;
		for (unsigned i = 0; i < 2; i++) {
			if (pthread_tryjoin_np(hold_thread[i], NULL) == 0)
				pthread_create(&hold_thread[i], NULL, hold, &h[i]);
		}
	}
	assert_non_null(ok);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(hold_thread[i], NULL);
	assert_true(image_is(&r, 0, 0, 512, 1));
	assert_int_equal(set_state(r.set, r.ram[0].volume), HOTCOPY_ACTIVE);
	rig_end(&r);
}

struct waiter {
	struct rig *rig;
	uint32_t flags, gone, asked;
	enum set_result result;
	bool held, stays;
};

/* Only who waits is asked about. */
static bool
has_gone(void *who)
{
	struct waiter *w = who;

	__atomic_fetch_add(&w->asked, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&w->gone, __ATOMIC_SEQ_CST) != 0;
}

static void
wait_asked(struct waiter *w, uint32_t times)
{
	ram_spin_while(__atomic_load_n(&w->asked, __ATOMIC_SEQ_CST) < times);
}

static void *
freeze_as(void *arg)
{
	struct waiter *w = arg;
	struct hotcopy_freeze f = { .flags = w->flags,
		.timeout_ms = HOTCOPY_HOLD_MS_MAX,
		.hold_ms = HOTCOPY_HOLD_MS_MAX };
	struct set_caller caller = { has_gone, w };
	struct hotcopy_frozen out;

	w->result = set_freeze(w->rig->set, &f, &out, &caller);
	return NULL;
}

static void *
hold_as(void *arg)
{
	struct waiter *w = arg;
	struct set_caller caller = { has_gone, w };

	/* Until a FREEZE wants it, it goes on as it came. */
	do
		w->held = set_hold(w->rig->set, w->rig->ram[0].volume, &caller);
	while (w->held &&
	       __atomic_load_n(w->stays ? &w->asked : &w->gone, __ATOMIC_SEQ_CST) == 0);
	return NULL;
}

/* Each in far less than its limit of ten seconds. */
static void
who_waits_may_go(void **state)
{
	enum { FREEZER, RELEASER, HOLDER };
	struct hotcopy_frozen out;
	struct rig r;

	(void)state;
	rig_make(&r);
	for (int what = FREEZER; what <= HOLDER; what++) {
		struct waiter f = { .rig = &r, .flags = HOTCOPY_FREEZE_AT_HOLD };
		struct waiter h = { .rig = &r, .stays = what == HOLDER };
		pthread_t freezer, holder;
		uint64_t began;

		assert_int_equal(prepare(&r, 2, 0), SET_OK);
		pthread_create(&freezer, NULL, freeze_as, &f);
		pthread_create(&holder, NULL, hold_as, &h);
		wait_asked(&f, 3);
		wait_asked(&h, 1);
		began = env_now();
		if (what == FREEZER)
			__atomic_store_n(&f.gone, 1, __ATOMIC_SEQ_CST);
		else if (what == RELEASER)
			set_abandon(r.set);
		else
			__atomic_store_n(&h.gone, 1, __ATOMIC_SEQ_CST);
		if (what == HOLDER) {
			pthread_join(holder, NULL);
			/* What is over is not waited for any more: it goes on alone. */
			assert_false(h.held);
			assert_true(env_now() - began < 5000 * MS);
			__atomic_store_n(&f.gone, 1, __ATOMIC_SEQ_CST);
			pthread_join(freezer, NULL);
		} else {
			pthread_join(freezer, NULL);
			assert_true(env_now() - began < 5000 * MS);
			__atomic_store_n(&h.gone, 1, __ATOMIC_SEQ_CST);
			pthread_join(holder, NULL);
		}
		assert_int_equal(f.result, SET_CANCELLED);
		assert_int_equal(volume_state(r.ram[0].volume), HOTCOPY_IDLE);
		if (what == FREEZER) {
			/* As before: it can be frozen. */
			assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
			assert_true(image_is(&r, 0, 0, 512, 1));
		}
		set_free(r.set);
		r.set = NULL;
	}
	rig_end(&r);
}

/* The gate opens with who asked for it to be closed. */
static void
a_gate_does_not_outlast_who_wanted_it(void **state)
{
	struct waiter f;
	struct ram_write stuck, held;
	pthread_t freezer;
	uint64_t began;
	struct rig r;

	(void)state;
	rig_make(&r);
	f = (struct waiter){ .rig = &r };
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	ram_set(&r.ram[0], r.ram[0].writes_stick = true);
	assert_false(ram_write(&r.ram[0], &stuck, 0, 512, 9));
	pthread_create(&freezer, NULL, freeze_as, &f);
	while (volume_state(r.ram[1].volume) != HOTCOPY_GATED)
		sched_yield();
	assert_true(ram_write(&r.ram[1], &held, 0, 512, 9));
	began = env_now();
	__atomic_store_n(&f.gone, 1, __ATOMIC_SEQ_CST);
	ram_finish(&held);
	pthread_join(freezer, NULL);
	assert_true(env_now() - began < 5000 * MS);
	assert_int_equal(f.result, SET_CANCELLED);
	ram_let_writes(&r.ram[0]);
	ram_finish(&stuck);
	rig_end(&r);
}

static void
what_spoils_drops_that_image_alone(void **state)
{
	struct hotcopy_frozen out;
	struct hotcopy_event e;
	struct rig r;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 3, 0), SET_OK);
	volume_resized(r.ram[2].volume, SIZE / 2); /* before the cut */
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_int_equal(set_state(r.set, r.ram[2].volume), HOTCOPY_DROPPED);
	volume_unknown_write(r.ram[1].volume, HOTCOPY_WHY_UNKNOWN_WRITE);
	assert_int_equal(set_state(r.set, r.ram[1].volume), HOTCOPY_DROPPED);
	assert_true(set_event(r.set, &e));
	assert_int_equal(e.argument, HOTCOPY_WHY_RESIZED);
	assert_true(set_event(r.set, &e));
	assert_int_equal(e.argument, HOTCOPY_WHY_UNKNOWN_WRITE);
	assert_int_equal(e.volume, 2);
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	volume_power(r.ram[0].volume, false);
	assert_int_equal(set_read(r.set, 0, 0, &(uint8_t[512]){ 0 }, 512), SET_LOST);
	assert_int_equal(r.told, 3);
	rig_end(&r);
}

static void
what_passes_only_before_the_cut_has_no_image(void **state)
{
	struct hotcopy_frozen out;
	struct rig r;

	(void)state;
	rig_make(&r);
	assert_int_equal(prepare(&r, 2, 0), SET_OK);
	volume_pass_only(r.ram[1].volume);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_int_equal(set_read(r.set, 1, 0, &(uint8_t[512]){ 0 }, 512), SET_LOST);
	assert_int_equal(set_why(r.set, r.ram[1].volume), HOTCOPY_WHY_ASKED);
	assert_false(ram_write_now(&r.ram[1], 0, 512, 9));
	assert_true(image_is(&r, 0, 0, SIZE, 1));
	rig_end(&r);
}

static void
low_space_is_told_once_a_crossing(void **state)
{
	struct hotcopy_prepare p = { .volumes = 1, .memory = 1 << 20 };
	struct hotcopy_frozen out;
	struct hotcopy_event e;
	struct rig r;
	unsigned low = 0;

	(void)state;
	rig_make(&r);
	assert_int_equal(set_prepare(&r.set, 1, &p, &r.ram[0].volume,
			     (struct set_notice){ events, &r }),
	    SET_OK);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	for (unsigned round = 0; round < 2; round++) {
		/* Downwards, all but two chunks of the memory. */
		for (unsigned i = 62; i > 0; i--)
			ram_write_now(&r.ram[0], ((1 - round) * 64 + i) * CHUNK, 512, 9);
		while (set_event(r.set, &e)) {
			assert_int_equal(e.code, HOTCOPY_EVENT_LOW_SPACE);
			assert_in_range(e.argument, 1, (1 << 20) / 8);
			low++;
		}
		assert_int_equal(low, round + 1);
		assert_int_equal(
		    set_done(r.set, 0, (1 - round) * 64 * CHUNK, 64 * CHUNK), SET_OK);
	}
	rig_end(&r);
}

/* Each write into a full area throttles, and tells so, until its chunk is read. */
static void
lost_events_leave_a_gap(void **state)
{
	struct hotcopy_prepare p = { .volumes = 2,
		.memory = 1 << 20,
		.full = HOTCOPY_FULL_THROTTLE,
		.throttle_ms = HOTCOPY_THROTTLE_MS_MAX };
	struct hotcopy_frozen out;
	struct hotcopy_event e;
	struct volume *v[2];
	uint64_t sequence = 0;
	struct rig r;

	(void)state;
	rig_make(&r);
	v[0] = r.ram[0].volume;
	v[1] = r.ram[1].volume;
	assert_int_equal(
	    set_prepare(&r.set, 1, &p, v, (struct set_notice){ events, &r }), SET_OK);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	for (unsigned i = 64; i-- > 0;)
		ram_write_now(&r.ram[0], i * CHUNK, 512, 9);
	for (unsigned i = 0; i < 100; i++) {
		uint32_t told = __atomic_load_n(&r.told, __ATOMIC_RELAXED);
		struct ram_write w;

		assert_true(ram_write(&r.ram[1], &w, i * CHUNK, 512, 9));
		while (__atomic_load_n(&r.told, __ATOMIC_RELAXED) == told)
			sched_yield();
		assert_int_equal(set_done(r.set, 1, i * CHUNK, CHUNK), SET_OK);
		ram_finish(&w);
	}
	/* LOW_SPACE and 100 of them; the ring holds 64. */
	while (set_event(r.set, &e)) {
		assert_int_equal(e.code, HOTCOPY_EVENT_THROTTLED);
		assert_int_equal(e.sequence, sequence == 0 ? 101 - 63 : sequence + 1);
		assert_int_equal(e.argument, (e.sequence - 2) * CHUNK);
		sequence = e.sequence;
	}
	assert_int_equal(sequence, 101);
	rig_end(&r);
}

/* One image is dropped; its copies make room for the other's. */
static void
a_dropped_image_gives_its_room_to_the_others(void **state)
{
	struct hotcopy_prepare p = { .volumes = 2, .memory = 1 << 20 };
	struct volume *v[2];
	struct hotcopy_frozen out;
	struct rig r;

	(void)state;
	rig_make(&r);
	v[0] = r.ram[0].volume;
	v[1] = r.ram[1].volume;
	assert_int_equal(
	    set_prepare(&r.set, 1, &p, v, (struct set_notice){ events, &r }), SET_OK);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	for (unsigned i = 60; i > 0; i--)
		ram_write_now(&r.ram[0], i * CHUNK, 512, 9);
	assert_int_equal(set_state(r.set, v[0]), HOTCOPY_ACTIVE);
	volume_power(v[0], false);
	for (unsigned i = 60; i > 0; i--)
		ram_write_now(&r.ram[1], i * CHUNK, 512, 9);
	assert_int_equal(set_state(r.set, v[1]), HOTCOPY_ACTIVE);
	assert_true(image_is(&r, 1, 0, SIZE, 2));
	rig_end(&r);
}

/* ---------------------------------------------------------------------- tracking -- */

#define BLOCK (1u << HOTCOPY_TRACK_SHIFT)
static const uint8_t nonce[HOTCOPY_NONCE] = { 1, 2, 3 };

static void
lost(void *who, enum hotcopy_reason why)
{
	(void)who;
	(void)why;
}

/* "store": at the end of the volume, else in memory. */
static struct track *
track(struct ram *r, bool store)
{
	struct hotcopy_track want = { .flags = HOTCOPY_TRACK_CREATE, .extents = store };
	struct hotcopy_extent at = { 0, track_store_bytes(SIZE) };
	struct track *t;

	assert_true(at.length < SIZE / 2);
	at.offset = (SIZE - at.length) & ~(uint64_t)4095;
	at.length = SIZE - at.offset;
	t = track_open(
	    r->volume, &want, store ? &at : NULL, (struct track_notice){ lost, r });
	assert_non_null(t);
	assert_null(volume_track_put(r->volume, t));
	return t;
}

static void
untrack(struct ram *r)
{
	track_free(volume_track_put(r->volume, NULL));
}

/* The server holds all of volume 0 as of a cut. */
static void
commit_a_first_generation(struct rig *r, struct track *t)
{
	struct hotcopy_frozen out;

	assert_int_equal(prepare(r, 2, 0), SET_OK);
	assert_int_equal(freeze(r, HOTCOPY_FREEZE_GENERATION, 0, &out), SET_OK);
	assert_true(out.generation[0] != 0);
	assert_true(out.generation[1] == 0);
	set_free(r->set);
	r->set = NULL;
	assert_int_equal(track_commit(t, out.generation[0], nonce), 0);
}

static void
a_tracked_incremental_needs_only_what_changed(void **state)
{
	struct hotcopy_frozen out;
	struct track *t;
	struct rig r;
	uint8_t bits[4];

	(void)state;
	rig_make(&r);
	t = track(&r.ram[0], false);
	commit_a_first_generation(&r, t);
	assert_false(ram_write_now(&r.ram[0], 3 * BLOCK + 512, 512, 1));
	assert_int_equal(prepare(&r, 2, 1), SET_OK);
	assert_int_equal(set_changed(r.set, 0, 0, 0, 32, bits), SET_STATE);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_BAD);
	assert_int_equal(freeze(&r, HOTCOPY_FREEZE_GENERATION, 0, &out), SET_OK);
	assert_false(ram_write_now(&r.ram[0], 5 * BLOCK, 512, 9));
	assert_true(ram_write_now(&r.ram[0], 3 * BLOCK, 512, 9));
	assert_int_equal(set_changed(r.set, 0, 0, 0, 32, bits), SET_OK);
	assert_memory_equal(bits, ((uint8_t[]){ 1 << 3, 0, 0, 0 }), 4);
	assert_int_equal(set_changed(r.set, 0, HOTCOPY_BITS_NOW, 0, 32, bits), SET_OK);
	assert_memory_equal(bits, ((uint8_t[]){ 1 << 3 | 1 << 5, 0, 0, 0 }), 4);
	assert_int_equal(set_changed(r.set, 0, 0, 4, 32, bits), SET_BAD);
	assert_int_equal(set_changed(r.set, 1, 0, 0, 32, bits), SET_STATE);
	assert_true(image_is(&r, 0, 3 * BLOCK, BLOCK, 1));
	assert_int_equal(set_read(r.set, 0, 0, &(uint8_t[512]){ 0 }, 512), SET_NOT_KEPT);
	assert_true(image_is(&r, 1, 0, SIZE, 2));
	set_free(r.set);
	r.set = NULL;
	untrack(&r.ram[0]);
	rig_end(&r);
}

/* A shadow copy has what we write there, too, and no write of the host's told of it. */
static void
our_own_store_has_always_changed_for_others_views(void **state)
{
	const struct hotcopy_extent *extent;
	struct hotcopy_frozen out;
	uint8_t bits[SIZE / BLOCK / 8], later[SIZE / BLOCK / 8 - 1];
	struct track *t;
	struct rig r;

	(void)state;
	rig_make(&r);
	t = track(&r.ram[0], true);
	commit_a_first_generation(&r, t);
	assert_int_equal(track_extents(t, &extent), 1);
	assert_int_equal(prepare(&r, 1, 0), SET_OK);
	assert_int_equal(
	    freeze(&r, HOTCOPY_FREEZE_CUT_ONLY | HOTCOPY_FREEZE_GENERATION, 0, &out),
	    SET_OK);
	assert_int_equal(
	    set_changed(r.set, 0, HOTCOPY_BITS_NOW, 0, SIZE / BLOCK, bits), SET_OK);
	for (unsigned n = 0; n < SIZE / BLOCK; n++)
		assert_int_equal(
		    bits[n / 8] >> n % 8 & 1, (uint64_t)(n + 1) * BLOCK > extent->offset);
	assert_int_equal(
	    set_changed(r.set, 0, HOTCOPY_BITS_NOW, 8, SIZE / BLOCK - 8, later), SET_OK);
	assert_memory_equal(later, bits + 1, sizeof(later));
	assert_int_equal(set_changed(r.set, 0, 0, 0, SIZE / BLOCK, bits), SET_OK);
	for (unsigned n = 0; n < sizeof(bits); n++)
		assert_int_equal(bits[n], 0);
	set_free(r.set);
	r.set = NULL;
	untrack(&r.ram[0]);
	rig_end(&r);
}

static void
a_region_is_logged_before_its_first_write_passes(void **state)
{
	struct track_facts facts;
	struct track *t;
	struct rig r;

	(void)state;
	rig_make(&r);
	t = track(&r.ram[0], true);
	commit_a_first_generation(&r, t);
	assert_true(ram_write_now(&r.ram[0], 0, 512, 9));
	assert_false(ram_write_now(&r.ram[0], 8 * BLOCK, 512, 9));
	track_facts(t, &facts);
	assert_true(facts.log_writes > 0);
	/* The thread that logs is not stuck with the disk's writes. */
	untrack(&r.ram[0]);
	assert_false(ram_write_now(&r.ram[0], 0, 512, 9));
	rig_end(&r);
}

static void
a_cut_that_cannot_be_stored_costs_the_tracking_not_the_image(void **state)
{
	struct hotcopy_frozen out;
	struct track_facts facts;
	struct track *t;
	struct rig r;

	(void)state;
	rig_make(&r);
	t = track(&r.ram[0], true);
	commit_a_first_generation(&r, t);
	ram_write_now(&r.ram[0], 3 * BLOCK, 512, 1);
	assert_int_equal(prepare(&r, 1, 1), SET_OK);
	ram_set(&r.ram[0], r.ram[0].io_write_fails = true);
	assert_int_equal(freeze(&r, HOTCOPY_FREEZE_GENERATION, 0, &out), SET_OK);
	track_facts(t, &facts);
	assert_int_equal(facts.state, HOTCOPY_TRACK_INVALID);
	/* All may be asked for, so all is needed. */
	assert_true(ram_write_now(&r.ram[0], 5 * BLOCK, 512, 9));
	assert_true(image_is(&r, 0, 0, SIZE / 2, 1));
	set_free(r.set);
	r.set = NULL;
	untrack(&r.ram[0]);
	rig_end(&r);
}

/* What the tracking writes into its store after the cut is a byte from after the cut. */
static void
the_tracking_store_is_in_no_image(void **state)
{
	const struct hotcopy_extent *store;
	struct hotcopy_frozen out;
	struct track *t;
	struct rig r;

	(void)state;
	rig_make(&r);
	t = track(&r.ram[0], true);
	assert_int_equal(track_extents(t, &store), 1);
	assert_int_equal(prepare(&r, 1, 0), SET_OK);
	assert_int_equal(freeze(&r, 0, 0, &out), SET_OK);
	assert_int_equal(set_read(r.set, 0, (store->offset + CHUNK - 1) & ~(CHUNK - 1),
			     &(uint8_t[512]){ 0 }, 512),
	    SET_NOT_KEPT);
	assert_true(image_is(&r, 0, 0, SIZE / 2, 1));
	set_free(r.set);
	r.set = NULL;
	untrack(&r.ram[0]);
	rig_end(&r);
}

/* --------------------------------------------------------------- one cut for all -- */

#define PAIRS 25

struct pair {
	struct rig *rig;
	uint32_t stop;
};

/* To the first volume, and only when that is complete to the second. */
static void *
write_pairs(void *arg)
{
	struct pair *p = arg;

	for (uint8_t n = 0; __atomic_load_n(&p->stop, __ATOMIC_RELAXED) == 0; n++) {
		ram_write_now(&p->rig->ram[0], 8 * CHUNK, 512, n);
		ram_write_now(&p->rig->ram[1], 9 * CHUNK, 512, n);
	}
	return NULL;
}

static void
one_cut_for_all_volumes(void **state)
{
	struct pair p = { 0 };
	struct rig r;
	pthread_t t;

	(void)state;
	rig_make(&r);
	p.rig = &r;
	ram_write_now(&r.ram[0], 8 * CHUNK, 512, 255);
	ram_write_now(&r.ram[1], 9 * CHUNK, 512, 255);
	pthread_create(&t, NULL, write_pairs, &p);
	for (int i = 0; i < PAIRS; i++) {
		struct hotcopy_frozen out;
		uint8_t a[512], b[512], again[512];

		assert_int_equal(prepare(&r, 2, 0), SET_OK);
		assert_int_equal(freeze(&r, 0, 10000, &out), SET_OK);
		assert_int_equal(set_read(r.set, 0, 8 * CHUNK, a, 512), SET_OK);
		assert_int_equal(set_read(r.set, 1, 9 * CHUNK, b, 512), SET_OK);
		assert_true(ram_all(a, 512, a[0]) && ram_all(b, 512, b[0]));
		assert_true((uint8_t)(a[0] - b[0]) <= 1);
		for (int k = 0; k < 10; k++) {
			assert_int_equal(
			    set_read(r.set, 0, 8 * CHUNK, again, 512), SET_OK);
			assert_memory_equal(a, again, 512);
		}
		set_free(r.set);
		r.set = NULL;
	}
	__atomic_store_n(&p.stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	rig_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freeze_read_and_release),
		cmocka_unit_test(bad_sets_are_refused),
		cmocka_unit_test(prepare_without_memory_leaves_nothing_behind),
		cmocka_unit_test(timeout_opens_all_and_the_set_can_be_frozen_again),
		cmocka_unit_test(a_volume_that_goes_at_the_gate_stops_nobody),
		cmocka_unit_test(cut_only_copies_nothing_and_prepares_again),
		cmocka_unit_test(cut_comes_when_all_hold),
		cmocka_unit_test(who_waits_may_go),
		cmocka_unit_test(a_gate_does_not_outlast_who_wanted_it),
		cmocka_unit_test(what_spoils_drops_that_image_alone),
		cmocka_unit_test(what_passes_only_before_the_cut_has_no_image),
		cmocka_unit_test(low_space_is_told_once_a_crossing),
		cmocka_unit_test(lost_events_leave_a_gap),
		cmocka_unit_test(a_dropped_image_gives_its_room_to_the_others),
		cmocka_unit_test(a_tracked_incremental_needs_only_what_changed),
		cmocka_unit_test(our_own_store_has_always_changed_for_others_views),
		cmocka_unit_test(a_region_is_logged_before_its_first_write_passes),
		cmocka_unit_test(
		    a_cut_that_cannot_be_stored_costs_the_tracking_not_the_image),
		cmocka_unit_test(the_tracking_store_is_in_no_image),
		cmocka_unit_test(one_cut_for_all_volumes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
