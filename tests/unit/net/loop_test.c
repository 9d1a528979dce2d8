#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/net/timer.h"
#include "proto/net/workers.h"
#include "tests/unit/net/net_peers.h"

enum { POSTERS = 4, POSTS = 2000 };

static struct loop *loop;
static struct gate gate = GATE_INIT;

static int
start(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	gate.count = 0;
	return loop_start("test", &loop, &err);
}

static int
stop(void **state)
{
	(void)state;
	loop_stop(loop);
	loop = NULL;
	return 0;
}

/* ---------------------------------------------------------------- posts -- */

struct post {
	int poster, n;
};

static int last[POSTERS]; /* On the loop only. */
static struct post posts[POSTERS][POSTS];

static void
check_order(void *arg)
{
	struct post *p = arg;

	PAIR_MUST(loop_here(loop));
	PAIR_MUST(p->n == last[p->poster] + 1);
	last[p->poster] = p->n;
	gate_raise(&gate);
}

static void *
post_all(void *arg)
{
	struct post *mine = arg;

	for (int i = 0; i < POSTS; i++)
		loop_post(loop, check_order, &mine[i]);
	return NULL;
}

static void
posts_of_each_thread_keep_their_order(void **state)
{
	pthread_t threads[POSTERS];

	(void)state;
	assert_false(loop_here(loop));
	for (int i = 0; i < POSTERS; i++) {
		last[i] = 0;
		for (int k = 0; k < POSTS; k++)
			posts[i][k] = (struct post){ i, k + 1 };
		assert_int_equal(
		    pthread_create(&threads[i], NULL, post_all, posts[i]), 0);
	}
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	gate_wait(&gate, (long)POSTERS * POSTS);
}

static void
post_again(void *arg)
{
	int *left = arg;

	if ((*left)-- > 0)
		loop_post(loop, post_again, left);
	gate_raise(&gate);
}

static void
stop_waits_for_what_posts_post(void **state)
{
	int left = 100;

	(void)state;
	loop_post(loop, post_again, &left);
	loop_stop(loop);
	assert_int_equal(gate_count(&gate), 101);
	assert_int_equal(start(NULL), 0);
}

/* --------------------------------------------------------------- timers -- */

static struct timer *timer;
static int fired;

static void
fire(void *arg)
{
	(void)arg;
	if (++fired == 3)
		timer_free(timer);
	gate_raise(&gate);
}

static void
fire_never(void *arg)
{
	(void)arg;
	abort();
}

static void
set_timers(void *arg)
{
	struct timer *never = timer_new(loop, fire_never, NULL);

	(void)arg;
	timer_set(never, 60000, 0);
	timer_free(never);
	timer_free(NULL);
	timer = timer_new(loop, fire, NULL);
	timer_set(timer, 60000, 0);
	timer_set(timer, 1, 1);
}

static void
timers_repeat_until_freed(void **state)
{
	(void)state;
	fired = 0;
	loop_post(loop, set_timers, NULL);
	gate_wait(&gate, 3);
	stop(NULL);
	assert_int_equal(fired, 3);
	assert_int_equal(start(NULL), 0);
}

/* -------------------------------------------------------------- workers -- */

struct job {
	atomic_int ran;
	int done;
};

static struct workers *workers;
static atomic_int running, most;

static void
work(void *arg)
{
	struct job *j = arg;
	int now = atomic_fetch_add(&running, 1) + 1, m = atomic_load(&most);

	PAIR_MUST(!loop_here(loop));
	while (now > m && !atomic_compare_exchange_weak(&most, &m, now))
		;
	atomic_fetch_add(&j->ran, 1);
	atomic_fetch_sub(&running, 1);
}

static void
worked(void *arg)
{
	struct job *j = arg;

	PAIR_MUST(loop_here(loop));
	PAIR_MUST(atomic_load(&j->ran) == 1);
	j->done++;
	gate_raise(&gate);
}

static void
every_job_runs_once_and_reports_to_its_loop(void **state)
{
	static struct job jobs[1000];
	struct err err = ERR_INIT;

	(void)state;
	memset(jobs, 0, sizeof(jobs));
	assert_int_equal(workers_start("work", 3, &workers, &err), 0);
	for (int i = 0; i < 1000; i++)
		workers_submit(workers, work, i % 10 ? loop : NULL, worked, &jobs[i]);
	gate_wait(&gate, 900);
	workers_stop(workers);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(atomic_load(&jobs[i].ran), 1);
	assert_true(atomic_load(&most) <= 3);
	workers_stop(NULL);
}

static struct gate inside = GATE_INIT, go = GATE_INIT;

static void
hold_up(void *arg)
{
	(void)arg;
	gate_raise(&inside);
	gate_wait(&go, 1);
}

static void
busy_counts_what_waits_and_what_runs(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(workers_start("work", 2, &workers, &err), 0);
	assert_int_equal(workers_busy(workers), 0);
	for (int i = 0; i < 5; i++)
		workers_submit(workers, hold_up, NULL, NULL, NULL);
	gate_wait(&inside, 2);
	assert_int_equal(workers_busy(workers), 5);
	assert_int_equal(gate_count(&inside), 2);
	gate_raise(&go);
	workers_stop(workers);
	assert_int_equal(gate_count(&inside), 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    posts_of_each_thread_keep_their_order, start, stop),
		cmocka_unit_test_setup_teardown(
		    stop_waits_for_what_posts_post, start, stop),
		cmocka_unit_test_setup_teardown(timers_repeat_until_freed, start, stop),
		cmocka_unit_test_setup_teardown(
		    every_job_runs_once_and_reports_to_its_loop, start, stop),
		cmocka_unit_test_setup_teardown(
		    busy_counts_what_waits_and_what_runs, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
