/*
 * env_posix_test.c - the core's surroundings keep their word on this system: events wake
 * whom they should, time passes, memory is counted and fails when told, and a wait under
 * a spin lock ends the program.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "driver/core/atomic.h"
#include "driver/core/env.h"
#include "driver/sim/env_posix.h"

#define MS 10000u

static void
test_memory_is_zeroed_and_counted(void **state)
{
	struct env_posix_facts a, b;
	unsigned char *p;

	(void)state;
	env_posix_facts(&a);
	env_posix_peak_reset();
	p = env_alloc(5000);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 16, 0);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(p[i], 0);
	env_posix_facts(&b);
	assert_int_equal(b.bytes - a.bytes, 5000);
	assert_int_equal(b.blocks - a.blocks, 1);
	env_free(p);
	env_free(NULL);
	env_posix_facts(&b);
	assert_int_equal(b.bytes, a.bytes);
	assert_int_equal(b.bytes_peak, a.bytes + 5000);
	assert_int_equal(b.takings - a.takings, 1);
}

static void
nothing(void *arg)
{
	(void)arg;
}

static void
test_the_nth_taking_fails_and_only_it(void **state)
{
	struct env_thread t;
	void *p[3];

	(void)state;
	env_posix_fail(2);
	p[0] = env_alloc(1);
	assert_false(env_posix_failed());
	p[1] = env_alloc(1);
	assert_true(env_posix_failed());
	p[2] = env_alloc(1);
	assert_non_null(p[0]);
	assert_null(p[1]);
	assert_non_null(p[2]);
	env_free(p[0]);
	env_free(p[2]);
	env_posix_fail(1);
	assert_int_equal(env_thread_start(&t, nothing, NULL), -1);
	assert_int_equal(env_thread_start(&t, nothing, NULL), 0);
	env_thread_join(&t);
	env_posix_fail(0);
	assert_false(env_posix_failed());
}

static void
test_a_wait_ends_with_its_time(void **state)
{
	struct env_event e;
	uint64_t before;

	(void)state;
	env_event_init(&e, ENV_STAYS);
	before = env_now();
	assert_false(env_event_wait(&e, 0));
	assert_false(env_event_wait(&e, 20 * MS));
	assert_true(env_now() - before >= 20 * MS);
	env_event_set(&e);
	assert_true(env_event_wait(&e, 0));
	assert_true(env_event_wait(&e, ENV_FOREVER));
	env_event_clear(&e);
	assert_false(env_event_wait(&e, 0));
	env_event_done(&e);
	env_event_init(&e, ENV_ONE);
	env_event_set(&e);
	env_event_set(&e);
	assert_true(env_event_wait(&e, 0));
	assert_false(env_event_wait(&e, 0));
	env_event_done(&e);
}

struct waiters {
	struct env_event go, woken;
	struct env_lock lock;
	uint32_t count;
	uint32_t plain; /* under the lock */
};

static void
wait_and_count(void *arg)
{
	struct waiters *w = arg;
	unsigned old;

	env_event_wait(&w->go, ENV_FOREVER);
	old = env_lock_take(&w->lock);
	w->plain++;
	env_lock_give(&w->lock, old);
	atomic_add(&w->count, 1);
	env_event_set(&w->woken);
}

static void
test_an_event_wakes_all_or_one(void **state)
{
	struct env_thread t[4];
	struct env_posix_facts before, after;
	struct waiters w = { 0 };

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		memset(&w, 0, sizeof w);
		env_posix_facts(&before);
		env_event_init(&w.go, kind == 0 ? ENV_STAYS : ENV_ONE);
		env_event_init(&w.woken, ENV_ONE);
		env_lock_init(&w.lock);
		for (int i = 0; i < 4; i++)
			assert_int_equal(env_thread_start(&t[i], wait_and_count, &w), 0);
		for (uint32_t i = 1; kind == 1 && i <= 4; i++) {
			env_event_set(&w.go);
			while (atomic_get(&w.count) < i)
				env_event_wait(&w.woken, 1000 * MS);
			assert_int_equal(atomic_get(&w.count), i);
		}
		if (kind == 0)
			env_event_set(&w.go);
		for (int i = 0; i < 4; i++)
			env_thread_join(&t[i]);
		assert_int_equal(w.plain, 4);
		env_posix_facts(&after);
		assert_int_equal(after.locks - before.locks, 4);
		assert_int_equal(after.threads, before.threads);
		env_event_done(&w.go);
		env_event_done(&w.woken);
	}
}

/* ------------------------------------------------------- what ends the program -- */

static struct env_lock lock;
static struct env_event event;
static struct env_mutex mutex;

static void
wait_locked(void)
{
	env_lock_take(&lock);
	env_event_wait(&event, 0);
}

static void
mutex_locked(void)
{
	env_lock_take(&lock);
	env_mutex_take(&mutex);
}

static void
give_wrong(void)
{
	env_lock_give(&lock, env_lock_take(&lock) + 1);
}

static void
free_twice(void)
{
	static uint64_t not_ours[4];

	env_free(&not_ours[2]);
}

static void
assert_aborts(void (*what)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		if (close(2) == 0)
			what();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

static void
test_a_wait_under_a_spin_lock_ends_the_program(void **state)
{
	(void)state;
	env_lock_init(&lock);
	env_event_init(&event, ENV_STAYS);
	env_mutex_init(&mutex);
	assert_aborts(wait_locked);
	assert_aborts(mutex_locked);
	assert_aborts(give_wrong);
	assert_aborts(free_twice);
	env_mutex_take(&mutex);
	env_lock_give(&lock, env_lock_take(&lock));
	env_mutex_give(&mutex);
	env_mutex_done(&mutex);
	env_event_done(&event);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_zeroed_and_counted),
		cmocka_unit_test(test_the_nth_taking_fails_and_only_it),
		cmocka_unit_test(test_a_wait_ends_with_its_time),
		cmocka_unit_test(test_an_event_wakes_all_or_one),
		cmocka_unit_test(test_a_wait_under_a_spin_lock_ends_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
