/* What strangers can make the server remember: so much and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/rescues.h"

struct here {
	struct rescues *r;
	struct rescues_waiting all[RESCUES_WAITING_MAX];
	struct err err;
};

static int
setup(void **state)
{
	struct here *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->r = rescues_new();
	assert_non_null(h->r);
	*state = h;
	return 0;
}

static int
teardown(void **state)
{
	struct here *h = *state;

	rescues_free(h->r);
	free(h);
	return 0;
}

/* Machine `n`, armed for a restore or not (0), asks from `address` at `now`; 0 or -1. */
static int
asks(struct here *h, unsigned n, const char *address, uint64_t armed, int64_t now_ms)
{
	struct rescues_waiting w = {
		.macs_count = 1, .armed = armed, .since_us = now_ms
	};
	int rc;

	memcpy(w.key_hash, &n, sizeof(n));
	restore_code_format(w.key_hash, w.code);
	(void)snprintf(w.address, sizeof(w.address), "%s", address);
	rc = rescues_wait(h->r, &w, now_ms, &h->err);
	if (rc != 0) {
		assert_int_equal(h->err.code, ERR_BUSY);
		err_clear(&h->err);
	}
	return rc;
}

static int
waits(struct here *h, unsigned n, int64_t now_ms)
{
	uint8_t key[STORE_HASH_LEN] = { 0 };
	size_t count = rescues_waiting(h->r, now_ms, h->all);

	memcpy(key, &n, sizeof(n));
	for (size_t i = 0; i < count; i++)
		if (memcmp(h->all[i].key_hash, key, sizeof(key)) == 0)
			return 1;
	return 0;
}

static void
address_of(unsigned n, char out[64])
{
	(void)snprintf(out, 64, "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);
}

static void
a_flood_has_its_own_places_only(void **state)
{
	struct here *h = *state;
	unsigned got = 0;
	char address[64];

	for (unsigned n = 1; n <= 100; n++)
		got += asks(h, n, "10.0.0.1", 0, 0) == 0;
	assert_int_equal(got, RESCUES_WAITING_EACH);
	/* Many addresses of one network of IPv6 are one. */
	got = 0;
	for (unsigned n = 101; n <= 200; n++) {
		(void)snprintf(address, sizeof(address), "2001:db8::%x", n);
		got += asks(h, n, address, 0, 0) == 0;
	}
	assert_int_equal(got, RESCUES_WAITING_EACH);
	for (unsigned n = 1000; n < 100000; n++) {
		address_of(n, address);
		(void)asks(h, n, address, 0, 0);
	}
	assert_int_equal(rescues_waiting(h->r, 0, h->all), RESCUES_WAITING_MAX);
	/* Who waits already is not in the way of itself. */
	assert_int_equal(asks(h, 1, "10.0.0.1", 0, 0), 0);
}

static void
who_is_armed_gets_a_place(void **state)
{
	struct here *h = *state;
	char address[64];

	for (unsigned n = 1000; n < 1200; n++) {
		address_of(n, address);
		(void)asks(h, n, address, 0, 0);
	}
	assert_int_equal(asks(h, 1, "192.0.2.1", 0, 0), -1);
	assert_int_equal(asks(h, 1, "192.0.2.1", 1, 0), 0);
	assert_true(waits(h, 1, 0));
	assert_int_equal(rescues_waiting(h->r, 0, h->all), RESCUES_WAITING_MAX);
	/* A MAC that was copied to many machines has its share of places. */
	for (unsigned n = 20; n < 30; n++) {
		address_of(n, address);
		assert_int_equal(asks(h, n, address, 7, 0), n < 24 ? 0 : -1);
	}
}

/* A site behind one address, all of whose machines are to be restored. */
static void
armed_machines_of_one_address_all_get_places(void **state)
{
	struct here *h = *state;

	for (unsigned n = 1; n <= RESCUES_WAITING_MAX; n++)
		assert_int_equal(asks(h, n, "192.0.2.9", n, 0), 0);
	for (unsigned n = 1; n <= RESCUES_WAITING_MAX; n++)
		assert_true(waits(h, n, 0));
	/* There is an end of it. */
	assert_int_equal(asks(h, 1000, "192.0.2.9", 1000, 0), -1);
	assert_int_equal(asks(h, 1001, "192.0.2.10", 0, 0), -1);
}

/* Who waits and is armed then does not make more of its share than there is. */
static void
who_is_armed_later_has_no_more_places(void **state)
{
	struct here *h = *state;
	char address[64];

	for (unsigned n = 1; n <= RESCUES_WAITING_MAX; n++) {
		address_of(n, address);
		assert_int_equal(asks(h, n, address, 0, 0), 0);
	}
	for (unsigned n = 1; n <= RESCUES_WAITING_MAX; n++) {
		address_of(n, address);
		assert_int_equal(asks(h, n, address, 7, 1000), 0);
	}
	/* All but four of them give way. */
	for (unsigned n = 100; n < 100 + RESCUES_WAITING_MAX; n++)
		assert_int_equal(asks(h, n, "192.0.2.9", n, 1000),
		    n < 100 + RESCUES_WAITING_MAX - RESCUES_WAITING_EACH ? 0 : -1);
}

static void
who_is_silent_is_forgotten(void **state)
{
	struct here *h = *state;

	assert_int_equal(asks(h, 1, "10.0.0.1", 0, 0), 0);
	assert_int_equal(asks(h, 2, "10.0.0.2", 0, 0), 0);
	assert_int_equal(asks(h, 2, "10.0.0.2", 0, RESCUES_WAITING_MS), 0);
	assert_false(waits(h, 1, RESCUES_WAITING_MS + 1));
	assert_true(waits(h, 2, RESCUES_WAITING_MS + 1));
	rescues_forget(h->r, h->all[0].key_hash);
	assert_false(waits(h, 2, RESCUES_WAITING_MS + 1));
}

static void
progress_is_of_the_newest(void **state)
{
	struct here *h = *state;
	struct rescues_progress p = { 0 }, got;

	for (uint64_t n = 1; n <= 2 * RESCUES_PROGRESS_MAX; n++) {
		p.restore = n;
		p.state = 2;
		p.bytes = 10 * n;
		p.seen_us = (int64_t)n;
		rescues_note(h->r, &p);
	}
	assert_int_equal(rescues_noted(h->r, 1, &got), 0);
	assert_int_equal(rescues_noted(h->r, RESCUES_PROGRESS_MAX, &got), 0);
	assert_int_equal(rescues_noted(h->r, RESCUES_PROGRESS_MAX + 1, &got), 1);
	/* A Hello says when it was here, and takes back nothing. */
	p = (struct rescues_progress){ .restore = RESCUES_PROGRESS_MAX + 1,
		.seen_us = 5000 };
	rescues_note(h->r, &p);
	assert_int_equal(rescues_noted(h->r, RESCUES_PROGRESS_MAX + 1, &got), 1);
	assert_int_equal(got.bytes, 10 * (RESCUES_PROGRESS_MAX + 1));
	assert_int_equal(got.seen_us, 5000);
}

static void
wrong_tokens_raise_one_alarm(void **state)
{
	struct here *h = *state;
	int alarms = 0;

	for (unsigned n = 1; n < RESCUES_GUESSES_ALARM; n++)
		alarms += rescues_wrong(h->r, 0);
	assert_int_equal(alarms, 0);
	assert_int_equal(rescues_wrong(h->r, 1000), 1);
	for (unsigned n = 0; n < 1000; n++)
		alarms += rescues_wrong(h->r, 1000);
	assert_int_equal(alarms, 0);
	/* As many again, and slowly: never so many within that time. */
	for (unsigned n = 0; n < RESCUES_GUESSES_ALARM; n++)
		alarms += rescues_wrong(h->r, RESCUES_GUESS_MS);
	assert_int_equal(alarms, 1);
	for (int64_t n = 1; n < 1000; n++)
		alarms += rescues_wrong(h->r, (1 + n) * RESCUES_GUESS_MS);
	assert_int_equal(alarms, 1);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_flood_has_its_own_places_only),
		T(who_is_armed_gets_a_place),
		T(armed_machines_of_one_address_all_get_places),
		T(who_is_armed_later_has_no_more_places),
		T(who_is_silent_is_forgotten),
		T(progress_is_of_the_newest),
		T(wrong_tokens_raise_one_alarm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
