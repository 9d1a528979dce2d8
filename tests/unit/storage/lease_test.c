/* Claims: one owner a chunk, handed over when it ends, bounded. */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/bytes.h"
#include "storage/lease.h"

static struct chunk_id
id_of(uint32_t n)
{
	struct chunk_id id;

	memset(&id, 0x5a, sizeof(id));
	store_le32(id.b + 9, n);
	return id;
}

static enum lease_claim
ask(struct lease_table *t, uint64_t owner, uint32_t n)
{
	struct chunk_id id = id_of(n);

	return lease_ask(t, owner, CHUNK_DATA, &id);
}

static void
test_a_claim_is_one_owners_until_it_ends(void **state)
{
	struct lease_table *t = lease_table_new(1000);
	struct chunk_id id = id_of(1);

	(void)state;
	assert_int_equal(ask(t, 1, 1), LEASE_TAKEN);
	assert_int_equal(ask(t, 1, 1), LEASE_OURS);
	assert_int_equal(ask(t, 2, 1), LEASE_OTHERS);
	/* A node of the same id is something else. */
	assert_int_equal(lease_ask(t, 2, CHUNK_META, &id), LEASE_TAKEN);
	lease_drop(t, 2, CHUNK_DATA, &id);
	assert_int_equal(ask(t, 2, 1), LEASE_OTHERS);
	lease_drop(t, 1, CHUNK_DATA, &id);
	assert_int_equal(ask(t, 2, 1), LEASE_TAKEN);
	assert_int_equal(lease_count(t), 2);
	lease_table_free(t);
}

static uint32_t now_s;

static uint32_t
set_clock(void)
{
	return now_s;
}

static void
test_a_claim_that_nothing_follows_passes_on(void **state)
{
	struct lease_table *t = lease_table_new(1000);
	struct chunk_id two = id_of(2);

	(void)state;
	now_s = UINT32_MAX - 5; /* Also where the seconds wrap. */
	lease_table_clock(t, set_clock);
	assert_int_equal(ask(t, 1, 1), LEASE_TAKEN);
	assert_int_equal(ask(t, 1, 2), LEASE_TAKEN);
	lease_put(t, 1, CHUNK_DATA, &two);
	now_s += LEASE_PATIENCE_S;
	assert_int_equal(ask(t, 2, 1), LEASE_OTHERS);
	now_s++;
	assert_int_equal(ask(t, 2, 1), LEASE_TAKEN);
	/* The one who was slow waits now, and does not take it back at once. */
	assert_int_equal(ask(t, 1, 1), LEASE_OTHERS);
	assert_int_equal(ask(t, 2, 1), LEASE_OURS);
	/* What was put is on its way: a sync ends that claim. */
	assert_int_equal(ask(t, 2, 2), LEASE_OTHERS_PUT);
	lease_release(t, 1);
	assert_int_equal(lease_count(t), 1);
	lease_table_free(t);
}

static void
test_put_shows_and_never_takes_anothers(void **state)
{
	struct lease_table *t = lease_table_new(1000);
	struct chunk_id one = id_of(1), two = id_of(2);

	(void)state;
	assert_int_equal(ask(t, 1, 1), LEASE_TAKEN);
	lease_put(t, 2, CHUNK_DATA, &one);
	assert_int_equal(ask(t, 1, 1), LEASE_OURS);
	lease_put(t, 1, CHUNK_DATA, &one);
	assert_int_equal(ask(t, 1, 1), LEASE_OURS_PUT);
	assert_int_equal(ask(t, 2, 1), LEASE_OTHERS_PUT);
	lease_put(t, 2, CHUNK_DATA, &two);
	assert_int_equal(ask(t, 1, 2), LEASE_OTHERS_PUT);
	lease_table_free(t);
}

static void
test_all_claims_of_an_owner_end_with_it(void **state)
{
	struct lease_table *t = lease_table_new(100000);

	(void)state;
	for (uint32_t i = 0; i < 20000; i++)
		assert_int_equal(ask(t, 1 + i % 3, i), LEASE_TAKEN);
	lease_release(t, 2);
	assert_int_equal(lease_count(t), 20000 - 6667);
	for (uint32_t i = 0; i < 20000; i++)
		assert_int_equal(
		    ask(t, 9, i), 1 + i % 3 == 2 ? LEASE_TAKEN : LEASE_OTHERS);
	lease_release(t, 1);
	lease_release(t, 3);
	lease_release(t, 9);
	assert_int_equal(lease_count(t), 0);
	lease_table_free(t);
}

static void
test_a_full_table_claims_nothing_more(void **state)
{
	struct lease_table *t = lease_table_new(640);
	unsigned taken = 0, full = 0;

	(void)state;
	for (uint32_t i = 0; i < 10000; i++) {
		enum lease_claim c = ask(t, 1, i);

		taken += c == LEASE_TAKEN;
		full += c == LEASE_FULL;
	}
	assert_int_equal(taken + full, 10000);
	assert_true(taken <= 640);
	assert_true(taken > 300);
	lease_release(t, 1);
	assert_int_equal(ask(t, 2, 5), LEASE_TAKEN);
	lease_table_free(t);
}

/* ------------------------------------------------------------------ threads -- */

#define IDS 2000u

struct claimer {
	pthread_t thread;
	struct lease_table *t;
	uint64_t owner;
	atomic_uint *taken; /* Per id. */
};

static void *
claim_all(void *arg)
{
	struct claimer *c = arg;

	for (uint32_t i = 0; i < IDS; i++)
		if (ask(c->t, c->owner, i) == LEASE_TAKEN)
			atomic_fetch_add(&c->taken[i], 1);
	return NULL;
}

static void
test_of_many_threads_one_gets_each_claim(void **state)
{
	struct lease_table *t = lease_table_new(100000);
	atomic_uint *taken = calloc(IDS, sizeof(*taken));
	struct claimer c[8];

	(void)state;
	assert_non_null(taken);
	for (unsigned i = 0; i < 8; i++) {
		c[i] = (struct claimer){ .t = t, .owner = i + 1, .taken = taken };
		assert_int_equal(pthread_create(&c[i].thread, NULL, claim_all, &c[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++)
		pthread_join(c[i].thread, NULL);
	for (uint32_t i = 0; i < IDS; i++)
		assert_int_equal(atomic_load(&taken[i]), 1);
	free(taken);
	lease_table_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_claim_is_one_owners_until_it_ends),
		cmocka_unit_test(test_a_claim_that_nothing_follows_passes_on),
		cmocka_unit_test(test_put_shows_and_never_takes_anothers),
		cmocka_unit_test(test_all_claims_of_an_owner_end_with_it),
		cmocka_unit_test(test_a_full_table_claims_nothing_more),
		cmocka_unit_test(test_of_many_threads_one_gets_each_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
