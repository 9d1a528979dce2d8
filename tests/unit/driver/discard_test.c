/* Discards of gigabytes: what is held of them is the range that was asked for, and not
   what lies behind it, where our own file may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <string.h>
#include "driver/core/atomic.h"
#include "driver/core/track.h"
#include "driver/core/volume_parts.h"

#define GIB ((uint64_t)1 << 30)
#define LENGTH (8 * GIB)
#define FROM 4096u
/* No whole number of units of 32 KiB from there. */
#define STORE (4 * GIB + 3 * 4096)
#define STORE_BYTES (1u << 20)

/* A disk of which only the store's bytes are there. */
static struct {
	struct volume *volume;
	uint8_t store[STORE_BYTES];
	uint32_t elsewhere, forwarded;
} disk;

static uint8_t *
place(uint64_t offset, uint32_t length)
{
	if (offset < STORE || offset + length > STORE + STORE_BYTES) {
		atomic_add(&disk.elsewhere, 1);
		return NULL;
	}
	return disk.store + (offset - STORE);
}

static int
disk_read(void *device, uint64_t offset, void *buffer, uint32_t length)
{
	const uint8_t *at = place(offset, length);

	(void)device;
	memset(buffer, 0, length);
	if (at != NULL)
		memcpy(buffer, at, length);
	return 0;
}

static int
disk_write(
    void *device, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	uint8_t *at = place(offset, length);

	(void)device;
	(void)through;
	if (at != NULL)
		memcpy(at, buffer, length);
	return 0;
}

static void
forward(void *device, struct held *h)
{
	(void)device;
	(void)h;
	volume_write_done(disk.volume);
	atomic_add(&disk.forwarded, 1);
}

static void
lost(void *who, enum hotcopy_reason why)
{
	(void)who;
	(void)why;
}

/* Held once, since its regions are not logged yet. */
static void
discard(uint64_t offset, uint64_t length)
{
	uint32_t before = atomic_get(&disk.forwarded);
	struct held held;

	assert_int_equal(volume_range_begin(disk.volume, offset, length), VOLUME_HOLD);
	volume_hold(disk.volume, &held, offset, length);
	while (atomic_get(&disk.forwarded) == before)
		sched_yield();
}

static void
a_discard_that_ends_where_the_store_begins_leaves_it(void **state)
{
	static const struct volume_ops ops = { disk_read, disk_write, forward };
	struct hotcopy_track want = { .flags = HOTCOPY_TRACK_CREATE, .extents = 1 };
	struct hotcopy_extent at = { STORE, STORE_BYTES };
	static const uint8_t nonce[HOTCOPY_NONCE] = { 5 };
	struct track_facts facts;
	uint64_t generation;
	struct track *t;

	(void)state;
	disk.volume = volume_make(&ops, NULL, 1, LENGTH, 512);
	assert_non_null(disk.volume);
	assert_true(track_store_bytes(LENGTH) <= STORE_BYTES);
	t = track_open(disk.volume, &want, &at, (struct track_notice){ lost, NULL });
	assert_non_null(t);
	assert_null(volume_track_put(disk.volume, t));
	/* Until a generation is committed everything counts, and nothing need be logged. */
	generation = track_cut(t, nonce);
	assert_int_equal(track_cut_store(t), 0);
	assert_int_equal(track_commit(t, generation, nonce), 0);
	discard(FROM, STORE - FROM);
	track_facts(t, &facts);
	assert_int_equal(facts.state, HOTCOPY_TRACK_VALID);
	/* And one byte more is the end of it. */
	discard(FROM, STORE - FROM + 512);
	track_facts(t, &facts);
	assert_int_equal(facts.state, HOTCOPY_TRACK_INVALID);
	track_free(volume_track_put(disk.volume, NULL));
	volume_gone(disk.volume);
	volume_free(disk.volume);
}

static uint64_t
next(uint64_t *dice)
{
	*dice ^= *dice << 13;
	*dice ^= *dice >> 7;
	*dice ^= *dice << 17;
	return *dice;
}

static void
what_is_held_is_exact_or_longer(void **state)
{
	uint64_t dice = 88172645463325252u, offset, length, waited, now = 12345678901;
	struct held h;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t from = next(&dice) >> 12 << 9, more = next(&dice) % 40000000000;
		uint64_t bytes = next(&dice) >> (1 + next(&dice) % 54) << 9;

		from &= ((uint64_t)1 << 53) - 1;
		bytes &= ((uint64_t)1 << 52) - 1;
		volume_held_pack(&h, from, bytes, now);
		volume_held_unpack(&h, now + more, &offset, &length, &waited);
		assert_true(offset == from);
		if (bytes <= VOLUME_RANGE_MAX)
			assert_true(length == bytes);
		else
			assert_true(length >= bytes && length / 8 <= bytes / 7);
		/* Times are good for 28 minutes, to 2 ms. */
		if (more < (uint64_t)1700 * 10000000)
			assert_true(waited + 20000 > more && waited < more + 20000);
	}
	volume_held_pack(&h, 4096, VOLUME_RANGE_MAX, now);
	volume_held_unpack(&h, now, &offset, &length, &waited);
	assert_true(offset == 4096 && length == VOLUME_RANGE_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_discard_that_ends_where_the_store_begins_leaves_it),
		cmocka_unit_test(what_is_held_is_exact_or_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
