/* Queues lose nothing, keep their limits, and end for everyone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proto/base/queue.h"

enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 20000 };

static atomic_llong sum;
static atomic_int taken;

static void *
produce(void *arg)
{
	for (uintptr_t i = 1; i <= EACH; i++)
		if (queue_put(arg, (void *)i, i % 7) != QUEUE_OK)
			return arg;
	return NULL;
}

static void *
consume(void *arg)
{
	void *item;

	while (queue_get(arg, &item) == QUEUE_OK) {
		atomic_fetch_add(&sum, (long long)(uintptr_t)item);
		atomic_fetch_add(&taken, 1);
	}
	return NULL;
}

static void
many_threads_pass_everything_once(void **state)
{
	struct queue *q = queue_new(8, 20);
	pthread_t p[PRODUCERS], c[CONSUMERS];

	(void)state;
	for (int i = 0; i < PRODUCERS; i++)
		pthread_create(&p[i], NULL, produce, q);
	for (int i = 0; i < CONSUMERS; i++)
		pthread_create(&c[i], NULL, consume, q);
	for (int i = 0; i < PRODUCERS; i++) {
		void *failed;

		pthread_join(p[i], &failed);
		assert_null(failed);
	}
	queue_finish(q);
	for (int i = 0; i < CONSUMERS; i++)
		pthread_join(c[i], NULL);
	assert_int_equal(atomic_load(&taken), PRODUCERS * EACH);
	assert_true(atomic_load(&sum) == (long long)PRODUCERS * EACH * (EACH + 1) / 2);
	queue_free(q, NULL);
}

static void
abort_wakes_a_waiting_producer_and_a_waiting_consumer(void **state)
{
	struct queue *full = queue_new(1, 1), *empty = queue_new(1, 1);
	pthread_t p, c;
	void *failed;

	(void)state;
	pthread_create(&p, NULL, produce, full);
	pthread_create(&c, NULL, consume, empty);
	queue_abort(full);
	queue_abort(empty);
	pthread_join(p, &failed);
	assert_ptr_equal(failed, full);
	pthread_join(c, NULL);
	queue_free(full, NULL);
	queue_free(empty, NULL);
}

static int dropped;

static void
drop(void *item)
{
	dropped += item != NULL;
}

static void
one_heavy_item_is_let_in_and_what_stays_is_dropped(void **state)
{
	struct queue *q = queue_new(4, 10);
	void *item;
	int x;

	(void)state;
	assert_int_equal(queue_get_now(q, &item), QUEUE_EMPTY);
	assert_int_equal(queue_put(q, &x, 1000), QUEUE_OK);
	queue_finish(q);
	queue_free(q, drop);
	assert_int_equal(dropped, 1);
	q = queue_new(1, 1);
	queue_finish(q);
	assert_int_equal(queue_get(q, &item), QUEUE_END);
	queue_free(q, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_threads_pass_everything_once),
		cmocka_unit_test(abort_wakes_a_waiting_producer_and_a_waiting_consumer),
		cmocka_unit_test(one_heavy_item_is_let_in_and_what_stays_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
