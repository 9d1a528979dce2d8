/* Waiting ends when it is time, not before, and does not burn time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "proto/base/wait.h"

#define MS UINT64_C(1000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond;
static int said;

static void
a_wait_lasts_until_its_time(void **state)
{
	const uint64_t begun = wait_now_us(), until = begun + 300 * MS;
	unsigned rounds = 0;

	(void)state;
	wait_init(&cond);
	pthread_mutex_lock(&lock);
	while (!wait_until(&cond, &lock, until))
		rounds++;
	/* A time that is over is no wait. */
	assert_int_equal(wait_until(&cond, &lock, begun), 1);
	pthread_mutex_unlock(&lock);
	assert_true(wait_now_us() >= until);
	/* Woken for nothing now and then, not all the time. */
	assert_true(rounds < 20);
	pthread_cond_destroy(&cond);
}

static void *
say(void *arg)
{
	wait_ms(50);
	pthread_mutex_lock(&lock);
	said = 1;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
	return arg;
}

static void
a_signal_ends_it_before(void **state)
{
	const uint64_t until = wait_now_us() + 120000 * MS;
	pthread_t thread;
	int late = 0;

	(void)state;
	wait_init(&cond);
	pthread_mutex_lock(&lock);
	assert_int_equal(pthread_create(&thread, NULL, say, NULL), 0);
	while (!said && !late)
		late = wait_until(&cond, &lock, until);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	assert_true(said && !late);
	pthread_cond_destroy(&cond);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_lasts_until_its_time),
		cmocka_unit_test(a_signal_ends_it_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
