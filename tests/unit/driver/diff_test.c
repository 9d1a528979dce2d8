/* A copy that was put is there until it is forgotten, wherever it lies meanwhile; full is
   said, never waited for beyond what was allowed; what failed stays in memory; all memory
   is known beforehand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "driver/core/atomic.h"
#include "driver/core/diff.h"
#include "driver/core/diff_map.h"
#include "driver/core/diff_slots.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"
#include "driver/sim/env_posix.h"

#define SHIFT 14u
#define CHUNK (1u << SHIFT)
#define MEMORY (1u << 20)
#define SLOTS (MEMORY >> SHIFT)
#define SECOND ((uint64_t)10000000)

/* The volume that lends its extents: all that diff.c asks of one. */
struct volume {
	uint64_t length;
	uint32_t sector;
	uint8_t *bytes;
	uint32_t fail_writes, fail_reads, writes, largest;
	/* While "stop" is set, I/O says that it came and waits for "go". */
	uint32_t stop;
	struct env_event came, go;
};

uint64_t
volume_length(const struct volume *v)
{
	return v->length;
}

uint32_t
volume_sector(const struct volume *v)
{
	return v->sector;
}

static void
check_io(struct volume *v, uint64_t offset, uint32_t length)
{
	env_posix_passive("I/O");
	assert_true(length > 0 && length <= VOLUME_IO_MAX);
	assert_true((offset | length) % v->sector == 0);
	assert_true(offset + length <= v->length);
	if (atomic_get(&v->stop)) {
		env_event_set(&v->came);
		assert_true(env_event_wait(&v->go, 60 * SECOND));
	}
}

int
volume_read(struct volume *v, uint64_t offset, void *buffer, uint32_t length)
{
	check_io(v, offset, length);
	if (atomic_get(&v->fail_reads))
		return -1;
	memcpy(buffer, v->bytes + offset, length);
	return 0;
}

int
volume_io_write(
    struct volume *v, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	assert_false(through);
	check_io(v, offset, length);
	if (atomic_get(&v->fail_writes))
		return -1;
	memcpy(v->bytes + offset, buffer, length);
	atomic_add(&v->writes, 1);
	if (length > atomic_get(&v->largest))
		atomic_put(&v->largest, length);
	return 0;
}

static struct volume *
lender(uint64_t length, uint32_t sector)
{
	struct volume *v = calloc(1, sizeof(*v));

	v->length = length;
	v->sector = sector;
	v->bytes = calloc(1, length);
	assert_non_null(v->bytes);
	env_event_init(&v->came, ENV_STAYS);
	env_event_init(&v->go, ENV_STAYS);
	return v;
}

static void
lender_free(struct volume *v)
{
	env_event_done(&v->came);
	env_event_done(&v->go);
	free(v->bytes);
	free(v);
}

static void
lend(struct diff *d, struct volume *v, uint64_t offset, uint64_t length)
{
	struct hotcopy_extent e = { offset, length };
	enum hotcopy_reason why;

	assert_int_equal(diff_add(d, v, &e, 1, &why), 0);
}

static void
fill(void *p, uint32_t index, uint64_t chunk, uint32_t version, uint32_t bytes)
{
	uint64_t *word = p;

	for (uint32_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] =
		    chunk << 24 | (uint64_t)index << 16 | version << 12 | (i & 0xfff);
}

static bool
put(struct diff *d, uint32_t index, uint64_t chunk, uint32_t version, uint64_t wait)
{
	void *p;

	if (!diff_take(d, &p, wait))
		return false;
	fill(p, index, chunk, version, CHUNK);
	diff_put(d, index, chunk, p);
	return true;
}

static enum diff_result
got(struct diff *d, uint32_t index, uint64_t chunk, uint32_t version, uint32_t from,
    uint32_t length)
{
	static _Thread_local uint64_t want[CHUNK / 8], have[CHUNK / 8];
	enum diff_result r = diff_get(d, index, chunk, from, have, length);

	if (r == DIFF_OK) {
		fill(want, index, chunk, version, CHUNK);
		if (memcmp((uint8_t *)want + from, have, length) != 0)
			abort();
	}
	return r;
}

static struct diff_space
space_of(struct diff *d)
{
	struct diff_space s;

	diff_space(d, &s);
	return s;
}

static uint32_t seed = 7;

static uint32_t
dice(uint32_t sides)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

static void
memory_alone_keeps_until_it_is_full(void **state)
{
	struct diff *d = diff_make(MEMORY, SHIFT);
	void *p;

	(void)state;
	for (uint32_t i = 0; i < SLOTS; i++) {
		assert_true(put(d, i % 3, i, 1, 0));
		assert_int_equal(got(d, i % 3, i, 1, 0, CHUNK), DIFF_OK);
	}
	assert_false(diff_take(d, &p, 0));
	assert_false(diff_take(d, &p, SECOND / 100));
	assert_int_equal(space_of(d).memory_used, MEMORY);
	assert_int_equal(space_of(d).memory_size, MEMORY);
	assert_int_equal(got(d, 1, 3, 1, 0, CHUNK), DIFF_NONE);
	diff_forget(d, 1, 3);
	assert_false(diff_take(d, &p, 0));
	diff_forget(d, 0, 3);
	assert_int_equal(got(d, 0, 3, 1, 0, CHUNK), DIFF_NONE);
	assert_true(diff_take(d, &p, 0));
	diff_give(d, p);
	/* A key that has a copy keeps it. */
	assert_true(put(d, 0, 0, 2, 0));
	assert_int_equal(got(d, 0, 0, 1, 512, 1024), DIFF_OK);
	assert_int_equal(space_of(d).memory_used, MEMORY - CHUNK);
	diff_free(d);
	assert_null(diff_make(CHUNK - 1, SHIFT));
	assert_null(diff_make(MEMORY, HOTCOPY_CHUNK_SHIFT_MAX + 1));
	diff_free(NULL);
}

/* Any order of puts, gets and forgets, much more than the memory holds. */
static void
disk_and_memory_are_one(void **state)
{
	enum { KEYS = 700, ROUNDS = 12000 };
	struct volume *v = lender(64 * CHUNK * 8, 4096);
	struct diff *d = diff_make(MEMORY, SHIFT);
	static uint8_t version[KEYS];
	uint32_t kept = 0, peak = 0;

	(void)state;
	lend(d, v, 4096, 200 * CHUNK + 8192);
	lend(d, v, 300 * CHUNK, CHUNK - 4096); /* not one whole chunk */
	lend(d, v, 301 * CHUNK, 150 * CHUNK);
	assert_int_equal(space_of(d).size, 350 * CHUNK);
	memset(version, 0, sizeof(version));
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t key = dice(KEYS), index = key % 7;
		uint32_t from = dice(31) * 512,
			 length = 512 * (1 + dice(32 - from / 512));

		if (version[key] == 0 && kept < 350) {
			version[key] = (uint8_t)(1 + dice(14));
			assert_true(put(d, index, key / 7, version[key], 60 * SECOND));
			kept++;
		} else if (dice(3) == 0 && version[key] != 0) {
			diff_forget(d, index, key / 7);
			version[key] = 0;
			kept--;
		}
		assert_int_equal(got(d, index, key / 7, version[key], from, length),
		    version[key] != 0 ? DIFF_OK : DIFF_NONE);
		if (kept > peak)
			peak = kept;
		/* Nothing is spent on what is not kept. */
		assert_true(space_of(d).used <= (uint64_t)peak * CHUNK);
	}
	assert_true(
	    atomic_get(&v->writes) > 0 && atomic_get(&v->largest) == VOLUME_IO_MAX);
	for (uint32_t i = 0; i < KEYS; i++)
		diff_forget(d, i % 7, i / 7);
	while (space_of(d).used + space_of(d).memory_used > 0)
		(void)env_event_wait(&v->go, SECOND / 1000);
	diff_free(d);
	for (uint64_t i = 0; i < v->length; i++)
		if (v->bytes[i] != 0 && !(i >= 4096 && i < 4096 + 200 * CHUNK) &&
		    !(i >= 301 * CHUNK && i < 451 * CHUNK))
			fail();
	lender_free(v);
}

struct worker {
	struct diff *d;
	uint32_t number;
	struct env_thread thread;
};

static void
work(void *arg)
{
	enum { KEYS = 48, ROUNDS = 1500 };
	struct worker *w = arg;
	uint8_t version[KEYS] = { 0 };
	uint32_t dice_here = w->number;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t key, other;

		dice_here = dice_here * 1664525u + 1013904223u;
		key = (dice_here >> 10) % KEYS;
		other = dice_here >> 20;
		if (version[key] == 0) {
			if (put(w->d, w->number, key, 1 + i % 15, 60 * SECOND))
				version[key] = (uint8_t)(1 + i % 15);
		} else if (other % 3 == 0) {
			diff_forget(w->d, w->number, key);
			version[key] = 0;
		}
		if (got(w->d, w->number, key, version[key], 0, CHUNK) !=
		    (version[key] != 0 ? DIFF_OK : DIFF_NONE))
			abort();
		/* Another's, which may go at any moment: any result, but no mix of two.
		 */
		{
			uint64_t pair[2];

			if (diff_get(w->d, (w->number + 1) % 4, key, 0, pair, 16) ==
				DIFF_OK &&
			    pair[0] + 1 != pair[1])
				abort();
		}
	}
	for (uint32_t i = 0; i < KEYS; i++)
		diff_forget(w->d, w->number, i);
}

static void
threads_share_it(void **state)
{
	struct volume *v = lender(300 * CHUNK, 512);
	struct diff *d = diff_make(MEMORY / 4, SHIFT);
	struct worker worker[4];

	(void)state;
	lend(d, v, 0, 200 * CHUNK);
	for (uint32_t i = 0; i < 4; i++) {
		worker[i] = (struct worker){ .d = d, .number = i };
		assert_int_equal(
		    env_thread_start(&worker[i].thread, work, &worker[i]), 0);
	}
	for (uint32_t i = 0; i < 4; i++)
		env_thread_join(&worker[i].thread);
	while (space_of(d).used + space_of(d).memory_used > 0)
		(void)env_event_wait(&v->go, SECOND / 1000);
	assert_false(diff_failed(d));
	diff_free(d);
	lender_free(v);
}

static void
freed_slots_are_used_again_lowest_first(void **state)
{
	struct volume *v = lender(1000 * CHUNK, 512);
	struct diff *d = diff_make(MEMORY, SHIFT);
	uint64_t behind = 0;

	(void)state;
	lend(d, v, 0, 1000 * CHUNK);
	/* Never more than 200 are kept; 2000 pass through. */
	for (uint32_t i = 0; i < 2000; i++) {
		assert_true(put(d, 0, i, 1, 60 * SECOND));
		if (i >= 200)
			diff_forget(d, 0, i - 200);
		assert_true(space_of(d).used <= 201 * CHUNK);
	}
	diff_free(d);
	for (uint64_t i = 0; i < v->length; i++)
		if (v->bytes[i] != 0)
			behind = i;
	assert_true(behind < 202 * CHUNK);
	lender_free(v);
}

static void
stop_at_a_write(struct diff *d, struct volume *v)
{
	atomic_put(&v->stop, 1);
	for (uint32_t i = 0; i <= SLOTS / 2; i++)
		assert_true(put(d, 0, i, 1, 0));
	assert_true(env_event_wait(&v->came, 60 * SECOND));
}

static void
let_go(struct volume *v)
{
	atomic_put(&v->stop, 0);
	env_event_set(&v->go);
}

static void
a_copy_being_written_is_read_and_forgotten(void **state)
{
	struct volume *v = lender(1000 * CHUNK, 512);
	struct diff *d = diff_make(MEMORY, SHIFT);

	(void)state;
	lend(d, v, 0, 1000 * CHUNK);
	stop_at_a_write(d, v);
	assert_int_equal(got(d, 0, 0, 1, 0, CHUNK), DIFF_OK);
	diff_forget(d, 0, 0);
	assert_int_equal(got(d, 0, 0, 1, 0, CHUNK), DIFF_NONE);
	assert_int_equal(got(d, 0, 1, 1, 0, CHUNK), DIFF_OK);
	/* And comes again while its old bytes are still under way. */
	assert_true(put(d, 0, 0, 2, 0));
	let_go(v);
	while (space_of(d).memory_used > MEMORY / 4)
		(void)env_event_wait(&v->came, SECOND / 1000), env_event_clear(&v->came);
	assert_int_equal(got(d, 0, 0, 2, 0, CHUNK), DIFF_OK);
	for (uint32_t i = 1; i <= SLOTS / 2; i++)
		assert_int_equal(got(d, 0, i, 1, 0, CHUNK), DIFF_OK);
	assert_int_equal(
	    space_of(d).used + space_of(d).memory_used, (SLOTS / 2 + 1) * CHUNK);
	diff_free(d);
	lender_free(v);
}

static void
a_failed_write_stays_in_memory(void **state)
{
	struct volume *v = lender(1000 * CHUNK, 512);
	struct diff *d = diff_make(MEMORY, SHIFT);
	void *p;

	(void)state;
	lend(d, v, 0, 1000 * CHUNK);
	stop_at_a_write(d, v);
	diff_forget(d, 0, 1); /* which is part of the write that will fail */
	atomic_put(&v->fail_writes, 1);
	let_go(v);
	while (!diff_failed(d))
		(void)env_event_wait(&v->came, SECOND / 1000);
	for (uint32_t i = 0; i <= SLOTS / 2; i++)
		assert_int_equal(got(d, 0, i, 1, 0, CHUNK), i == 1 ? DIFF_NONE : DIFF_OK);
	atomic_put(&v->fail_writes, 0);
	for (uint32_t i = 0; space_of(d).memory_used < MEMORY; i++)
		assert_true(put(d, 1, i, 1, SECOND));
	assert_false(diff_take(d, &p, SECOND / 100));
	assert_int_equal(atomic_get(&v->writes), 0);
	assert_int_equal(space_of(d).used, 0);
	/* What could not be written goes as all others do. */
	for (uint32_t i = 0; i < SLOTS; i++) {
		diff_forget(d, 0, i);
		diff_forget(d, 1, i);
	}
	assert_int_equal(space_of(d).memory_used, 0);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_true(put(d, 2, i, 1, 0));
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(got(d, 2, i, 1, 0, CHUNK), DIFF_OK);
	diff_free(d);
	lender_free(v);
}

struct taker {
	struct diff *d;
	uint32_t taken;
	struct env_thread thread;
};

static void
take_one(void *arg)
{
	struct taker *t = arg;
	void *p;

	if (diff_take(t->d, &p, 60 * SECOND)) {
		diff_give(t->d, p);
		atomic_put(&t->taken, 1);
	}
}

static void
takers_are_woken(struct diff *d, void (*free_some)(struct diff *, void *), void *arg)
{
	struct taker taker[3];
	uint64_t began;

	for (uint32_t i = 0; i < 3; i++) {
		taker[i] = (struct taker){ .d = d };
		assert_int_equal(
		    env_thread_start(&taker[i].thread, take_one, &taker[i]), 0);
	}
	began = env_now();
	free_some(d, arg);
	for (uint32_t i = 0; i < 3; i++) {
		env_thread_join(&taker[i].thread);
		assert_true(taker[i].taken);
	}
	assert_true(env_now() - began < 50 * SECOND);
}

static void
forget_one(struct diff *d, void *arg)
{
	(void)arg;
	diff_forget(d, 0, 0);
}

static void
write_out(struct diff *d, void *arg)
{
	(void)d;
	let_go(arg);
}

static void
who_waits_is_woken_by_a_forget_and_by_the_writer(void **state)
{
	struct volume *v = lender(1000 * CHUNK, 512);
	struct diff *d = diff_make(MEMORY, SHIFT);

	(void)state;
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_true(put(d, 0, i, 1, 0));
	takers_are_woken(d, forget_one, NULL);
	diff_free(d);
	d = diff_make(MEMORY, SHIFT);
	lend(d, v, 0, 1000 * CHUNK);
	stop_at_a_write(d, v);
	for (uint32_t i = SLOTS / 2 + 1; i < SLOTS; i++)
		assert_true(put(d, 0, i, 1, 0));
	takers_are_woken(d, write_out, v);
	diff_free(d);
	lender_free(v);
}

static void
take_and_keep(void *arg)
{
	struct taker *t = arg;
	void *p;

	if (diff_take(t->d, &p, 60 * SECOND)) {
		diff_put(t->d, 9, t->taken, p);
		atomic_put(&t->taken, 77);
	}
}

/* Slots that are freed one after the other may wake but one; it wakes the next. */
static void
as_many_are_woken_as_were_freed(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		struct diff *d = diff_make(4 * CHUNK, SHIFT);
		struct taker taker[4];

		for (uint32_t i = 0; i < 4; i++)
			assert_true(put(d, 0, i, 1, 0));
		for (uint32_t i = 0; i < 4; i++) {
			taker[i] = (struct taker){ .d = d, .taken = i };
			assert_int_equal(
			    env_thread_start(&taker[i].thread, take_and_keep, &taker[i]),
			    0);
		}
		if (round % 2 == 0) {
			struct env_event never;

			env_event_init(&never, ENV_STAYS);
			(void)env_event_wait(&never, SECOND / 200);
			env_event_done(&never);
		}
		for (uint32_t i = 0; i < 4; i++)
			diff_forget(d, 0, i);
		for (uint32_t i = 0; i < 4; i++) {
			env_thread_join(&taker[i].thread);
			assert_int_equal(taker[i].taken, 77);
		}
		diff_free(d);
	}
}

struct reader {
	struct diff *d;
	enum diff_result result;
	struct env_thread thread;
};

static void
read_one(void *arg)
{
	struct reader *r = arg;

	r->result = got(r->d, 0, 0, 1, 0, CHUNK);
}

/* Puts 0 ... on the disk and stops a reader at copy 0. */
static void
stop_at_a_read(struct diff *d, struct volume *v, struct reader *r)
{
	for (uint32_t i = 0; i <= SLOTS / 2; i++)
		assert_true(put(d, 0, i, 1, 0));
	while (space_of(d).memory_used > MEMORY / 4)
		(void)env_event_wait(&v->came, SECOND / 1000);
	atomic_put(&v->stop, 1);
	*r = (struct reader){ .d = d };
	assert_int_equal(env_thread_start(&r->thread, read_one, r), 0);
	assert_true(env_event_wait(&v->came, 60 * SECOND));
}

static void
a_slot_that_is_read_is_not_used_again(void **state)
{
	struct volume *v = lender(1000 * CHUNK, 512);
	struct diff *d = diff_make(MEMORY, SHIFT);
	struct reader r;
	uint64_t used;

	(void)state;
	lend(d, v, 0, 1000 * CHUNK);
	stop_at_a_read(d, v, &r);
	used = space_of(d).used;
	diff_forget(d, 0, 0);
	assert_int_equal(space_of(d).used, used);
	atomic_put(&v->stop, 0); /* the reader alone still waits */
	for (uint32_t i = 0; i < 3 * SLOTS; i++)
		assert_true(put(d, 1, i, 9, 60 * SECOND));
	env_event_set(&v->go);
	env_thread_join(&r.thread);
	assert_int_equal(r.result, DIFF_OK);
	diff_free(d);
	lender_free(v);
}

struct leaver {
	struct diff *d;
	struct volume *at;
	uint32_t left;
	struct env_thread thread;
};

static void
leave(void *arg)
{
	struct leaver *l = arg;

	diff_leave(l->d, l->at);
	atomic_put(&l->left, 1);
}

static void
who_leaves_waits_for_io_and_takes_its_copies_with_it(void **state)
{
	struct volume *v = lender(1000 * CHUNK, 512), *other = lender(CHUNK * 4, 512);
	struct diff *d = diff_make(MEMORY, SHIFT);
	struct leaver leaver = { .d = d, .at = v };
	struct reader r;

	(void)state;
	lend(d, v, 0, 999 * CHUNK);
	lend(d, other, 0, CHUNK);
	stop_at_a_read(d, v, &r);
	/* Nothing is under way there. */
	diff_leave(d, other);
	assert_int_equal(env_thread_start(&leaver.thread, leave, &leaver), 0);
	assert_false(env_event_wait(&v->go, SECOND / 20));
	assert_false(atomic_get(&leaver.left));
	let_go(v);
	env_thread_join(&leaver.thread);
	env_thread_join(&r.thread);
	assert_int_equal(got(d, 0, 0, 1, 0, CHUNK), DIFF_ERROR);
	assert_true(diff_failed(d));
	/* Memory goes on. */
	assert_true(put(d, 5, 1, 1, 0));
	assert_int_equal(got(d, 5, 1, 1, 0, CHUNK), DIFF_OK);
	diff_leave(d, v);
	diff_free(d);
	lender_free(v);
	lender_free(other);
}

static void
what_is_ours_is_known_and_what_is_wrong_refused(void **state)
{
	static const struct hotcopy_extent wrong[][2] = {
		{ { 0, 0 }, { 4096, 4096 } },
		{ { 4096, 4096 }, { 0, 4096 } },
		{ { 0, 8192 }, { 4096, 8192 } },
		{ { 512, 4096 }, { 8192, 4096 } },
		{ { 0, 4096 }, { 8192, 100 } },
		{ { 0, 4096 }, { 99 * CHUNK, 2 * CHUNK } },
		{ { 0, 4096 }, { UINT64_MAX - 4095, 8192 } },
		{ { 0, 4096 }, { 8192, UINT64_MAX - 4095 } },
		{ { 0, 4096 },
		    { 19 * CHUNK, 2 * CHUNK } }, /* overlaps the first call's */
		{ { 30 * CHUNK - 4096, 4096 }, { 40 * CHUNK - 4096, 8192 } },
	};
	struct hotcopy_extent right[] = { { 20 * CHUNK, 2 * CHUNK },
		{ 30 * CHUNK, 10 * CHUNK } };
	struct volume *v = lender(100 * CHUNK, 4096), *other = lender(100 * CHUNK, 4096);
	struct diff *d = diff_make(MEMORY, SHIFT);
	enum hotcopy_reason why = HOTCOPY_WHY_NONE;

	(void)state;
	assert_int_equal(diff_add(d, v, right, 2, &why), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(diff_add(d, v, wrong[i], 2, &why), -1);
		assert_int_equal(why, HOTCOPY_WHY_DIFF_ERROR);
	}
	assert_int_equal(diff_add(d, v, right, 0, &why), -1);
	assert_int_equal(space_of(d).size, 12 * CHUNK);
	for (uint64_t at = 0; at < 50 * CHUNK; at += 512)
		for (uint64_t n = 512; n < 12 * CHUNK; n = n * 3 + 512) {
			bool ours = (at < 22 * CHUNK && at + n > 20 * CHUNK) ||
				    (at < 40 * CHUNK && at + n > 30 * CHUNK);

			assert_int_equal(diff_owns(d, v, at, n), ours);
			assert_false(diff_owns(d, other, at, n));
		}
	assert_false(diff_owns(d, v, 20 * CHUNK, 0));
	assert_true(diff_owns(d, v, 0, UINT64_MAX));
	lend(d, other, 20 * CHUNK, CHUNK);
	assert_true(diff_owns(d, other, 20 * CHUNK, 1));
	diff_free(d);
	lender_free(v);
	lender_free(other);
}

/* 12 GiB of room for copies of any volume: what it costs is what was said. */
static void
memory_is_by_room_and_all_of_it_is_reported(void **state)
{
	static const struct hotcopy_extent e[] = { { 0, (uint64_t)5 << 30 },
		{ (uint64_t)6 << 30, (uint64_t)7 << 30 } };
	struct volume v = { .length = (uint64_t)100 << 30, .sector = 512 };
	struct env_posix_facts before, after;
	enum hotcopy_reason why;
	struct diff_space s;
	struct diff *d;

	(void)state;
	env_posix_facts(&before);
	d = diff_make(16 * MEMORY, SHIFT);
	assert_int_equal(diff_add(d, &v, e, 2, &why), 0);
	env_posix_facts(&after);
	s = space_of(d);
	assert_int_equal(s.size, (uint64_t)12 << 30);
	assert_int_equal(after.bytes - before.bytes, s.overhead + s.memory_size);
	/* 24 bytes a slot, and buffers. */
	assert_true(s.overhead < 24 * ((s.size + s.memory_size) >> SHIFT) + (1 << 19));
	diff_free(d);
	env_posix_facts(&after);
	assert_int_equal(after.bytes, before.bytes);
	assert_int_equal(after.threads, before.threads);
}

static void
without_memory_nothing_changes_and_nothing_leaks(void **state)
{
	struct volume *v = lender(100 * CHUNK, 512);
	struct hotcopy_extent e = { 0, 10 * CHUNK };
	struct env_posix_facts before, after;
	enum hotcopy_reason why;
	struct diff *d = NULL;

	(void)state;
	env_posix_facts(&before);
	for (uint64_t n = 1; d == NULL; n++) {
		env_posix_fail(n);
		d = diff_make(4 * MEMORY, SHIFT);
		assert_int_equal(d == NULL, env_posix_failed());
		env_posix_facts(&after);
		assert_true(d != NULL || after.bytes == before.bytes);
	}
	for (uint64_t n = 1;; n++) {
		env_posix_fail(n);
		if (diff_add(d, v, &e, 1, &why) == 0)
			break;
		assert_true(env_posix_failed());
		assert_int_equal(why, HOTCOPY_WHY_NO_MEMORY);
		assert_int_equal(space_of(d).size, 0);
		assert_false(diff_owns(d, v, 0, CHUNK));
	}
	assert_false(env_posix_failed());
	env_posix_fail(0);
	diff_free(d);
	env_posix_facts(&after);
	assert_int_equal(after.bytes, before.bytes);
	assert_int_equal(after.threads, before.threads);
	lender_free(v);
}

static void
the_map_forgets_without_a_trace(void **state)
{
	enum { PLACES = 900, KEYS = 4000 };
	static uint32_t place_of[KEYS], key_at[PLACES];
	struct diff_map m;
	uint32_t place;

	(void)state;
	assert_int_equal(diff_map_make(&m, PLACES), 0);
	for (int round = 0; round < 200000; round++) {
		uint32_t key = dice(KEYS), to = dice(PLACES);
		uint64_t long_key = (uint64_t)(key & 7) << 56 | key >> 3;
		bool there = diff_map_find(&m, long_key, &place);

		assert_int_equal(there, place_of[key] != 0);
		if (there)
			assert_int_equal(place, place_of[key] - 1);
		if (there && dice(2)) {
			diff_map_remove(&m, long_key);
			key_at[place] = place_of[key] = 0;
		} else if (key_at[to] == 0) {
			if (there) {
				diff_map_move(&m, place, to);
				key_at[place] = 0;
			} else {
				diff_map_insert(&m, long_key, to);
			}
			place_of[key] = to + 1;
			key_at[to] = key + 1;
		}
	}
	for (uint32_t key = 0; key < KEYS; key++)
		if (place_of[key] != 0)
			diff_map_remove(&m, (uint64_t)(key & 7) << 56 | key >> 3);
	for (uint32_t i = 0; i <= m.mask; i++)
		assert_int_equal(m.cell[i], 0);
	diff_map_free(&m);
	assert_int_equal(diff_map_make(&m, DIFF_MAP_PLACES_MAX + 1), -1);
}

static void
slots_give_their_lowest(void **state)
{
	(void)state;
	for (uint32_t count = 1; count < 70000; count = count * 3 + dice(5)) {
		bool *taken = calloc(count, sizeof(*taken));
		struct diff_slots s;

		assert_int_equal(diff_slots_make(&s, count), 0);
		for (uint32_t i = 0; i < count; i++) {
			assert_int_equal(diff_slots_lowest(&s), i);
			diff_slots_take(&s, i);
			taken[i] = true;
		}
		assert_int_equal(s.free, 0);
		for (int round = 0; round < 500; round++) {
			uint32_t i = dice(count), lowest = 0;

			assert_int_equal(diff_slots_has(&s, i), !taken[i]);
			if (taken[i])
				diff_slots_give(&s, i);
			else
				diff_slots_take(&s, i);
			taken[i] = !taken[i];
			while (lowest < count && taken[lowest])
				lowest++;
			if (lowest < count)
				assert_int_equal(diff_slots_lowest(&s), lowest);
			else
				assert_int_equal(s.free, 0);
		}
		assert_false(diff_slots_has(&s, count));
		diff_slots_free(&s);
		free(taken);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_alone_keeps_until_it_is_full),
		cmocka_unit_test(disk_and_memory_are_one),
		cmocka_unit_test(threads_share_it),
		cmocka_unit_test(freed_slots_are_used_again_lowest_first),
		cmocka_unit_test(a_copy_being_written_is_read_and_forgotten),
		cmocka_unit_test(a_failed_write_stays_in_memory),
		cmocka_unit_test(who_waits_is_woken_by_a_forget_and_by_the_writer),
		cmocka_unit_test(as_many_are_woken_as_were_freed),
		cmocka_unit_test(a_slot_that_is_read_is_not_used_again),
		cmocka_unit_test(who_leaves_waits_for_io_and_takes_its_copies_with_it),
		cmocka_unit_test(what_is_ours_is_known_and_what_is_wrong_refused),
		cmocka_unit_test(memory_is_by_room_and_all_of_it_is_reported),
		cmocka_unit_test(without_memory_nothing_changes_and_nothing_leaks),
		cmocka_unit_test(the_map_forgets_without_a_trace),
		cmocka_unit_test(slots_give_their_lowest),
	};

	return cmocka_run_group_tests_name("driver_diff", tests, NULL, NULL);
}
