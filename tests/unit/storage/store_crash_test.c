/*
 * A process that stores is killed at any moment: the store opens again with
 * every point that it had acknowledged.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/storage/store_rig.h"

#define ROUNDS 50
#define BLOCKS 24u

/* What volume `n` of the writer looks like: mostly the same, a little new. */
static void
make_blocks(uint32_t n, uint32_t blocks[BLOCKS])
{
	rig_fill(blocks, BLOCKS, 1);
	blocks[n % BLOCKS] = 90000000u + n;
	blocks[(n + 7) % BLOCKS] = n % 3;
}

/* The frozen time says which volume a point is of. */
static int
back_up(struct store *s, uint32_t n, struct store_point *p, struct err *err)
{
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };

	make_blocks(n, blocks);
	return rig_backup(s, "alpha", &v, p, err);
}

/* Store points until killed; tell the sequence and root of each once it is one. */
static void
writer(const char *dir, int to, uint32_t from)
{
	struct store_point *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;
	struct store *s;

	if (p == NULL || store_open(dir, &s, &err) != 0)
		_exit(3);
	for (uint32_t n = from;; n++) {
		uint32_t line[2] = { n, 0 };

		if (back_up(s, n, p, &err) != 0)
			_exit(4);
		line[1] = (uint32_t)p->sequence;
		if (write(to, line, sizeof(line)) != (ssize_t)sizeof(line))
			_exit(5);
	}
}

/* Run a writer for `us`, kill it; the last point it told of. */
static void
run_and_kill(const char *dir, uint32_t from, long us, uint32_t last[2])
{
	struct timespec pause = { us / 1000000, us % 1000000 * 1000 };
	uint32_t line[2];
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		writer(dir, ends[1], from);
		_exit(6);
	}
	close(ends[1]);
	nanosleep(&pause, NULL);
	assert_int_equal(kill(pid, SIGKILL), 0);
	last[0] = last[1] = 0;
	while (read(ends[0], line, sizeof(line)) == (ssize_t)sizeof(line))
		memcpy(last, line, sizeof(line));
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* It must have been killed, not have failed. */
	if (!WIFSIGNALED(status))
		fail_msg("the writer ended with %d", WEXITSTATUS(status));
}

/* Every point there is must be whole, and be what was backed up. */
static void
check_points(struct store *s, uint64_t count, uint32_t *of, struct store_point *p)
{
	struct err err = ERR_INIT;
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };

	for (uint64_t q = count > 3 ? count - 3 : 1; q <= count; q++) {
		rig_ok(store_point_get(s, "alpha", q, p, &err), &err);
		make_blocks(of[q], blocks);
		rig_ok(rig_verify(s, p, 0, &v, &err), &err);
	}
}

static void
test_killed_at_any_moment_no_acknowledged_point_is_lost(void **state)
{
	struct store_point *p = calloc(1, sizeof(*p));
	uint32_t *of = calloc(100000, sizeof(*of)), last[2], next = 1;
	struct store_verify_report report;
	struct err err = ERR_INIT;
	uint64_t acknowledged = 0, x = 88172645463325252u, unacknowledged = 0;
	struct store *s;
	char dir[64];

	(void)state;
	assert_non_null(p);
	assert_non_null(of);
	rig_dir(dir);
	rig_ok(store_init(dir, &err), &err);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t before = acknowledged, now = 0;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		run_and_kill(dir, next, (long)(x % 150000), last);
		/* The writer numbers volumes and the store points: both one by one. */
		if (last[1] != 0) {
			assert_int_equal(last[1] - before, last[0] - next + 1);
			acknowledged = last[1];
		}
		rig_ok(store_open(dir, &s, &err), &err);
		if (store_point_get(s, "alpha", 0, p, &err) == 0)
			now = p->sequence;
		err_clear(&err);
		/* One more may have been recorded when the end came. */
		assert_in_range(now, acknowledged, acknowledged + 1);
		unacknowledged += now - acknowledged;
		assert_true(now < 100000);
		for (uint64_t q = before + 1; q <= now; q++)
			of[q] = next + (uint32_t)(q - before - 1);
		next += (uint32_t)(now - before);
		acknowledged = now;
		check_points(s, now, of, p);
		store_close(s);
	}
	assert_true(acknowledged > 0);
	rig_ok(store_open(dir, &s, &err), &err);
	rig_ok(store_verify(s, 0, 1, NULL, NULL, &report, &err), &err);
	assert_int_equal(report.bad_groups, 0);
	assert_int_equal(report.points_checked, acknowledged);
	store_close(s);
	print_message("%d rounds, %llu points, %llu of them not yet acknowledged\n",
	    ROUNDS, (unsigned long long)acknowledged, (unsigned long long)unacknowledged);
	rig_remove(dir);
	free(of);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_at_any_moment_no_acknowledged_point_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
