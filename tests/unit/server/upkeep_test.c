/*
 * What the server does by itself: it prunes by the policies and not while the time is
 * in doubt, frees what that left, checks all in a cycle, one job at a time, and stops
 * at once.
 */
#include <stdatomic.h>

#include "server/config.h"
#include "server/upkeep.h"
#include "server/upkeep_jobs.h"
#include "storage/catalog.h"
#include "storage/fs_fault.h"
#include "storage/store_options.h"
#include "storage/store_retention.h"
#include "storage/store_space.h"
#include "storage/store_time.h"
#include "tests/unit/storage/store_rig.h"

#define BLOCKS 64u
#define DAY INT64_C(86400000000)

static _Atomic int64_t ahead;

static int64_t
read_wall(void)
{
	return (int64_t)time(NULL) * 1000000 + ahead;
}

static int64_t
read_mono(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct world {
	struct fs_fault *ff;
	struct store *s;
	struct err err;
	struct store_point p;
	atomic_int stop;
	char said[ERR_TEXT_MAX];
	struct upkeep_run run;
};

static struct world *
new_world(void)
{
	struct store_options o = STORE_OPTIONS_INIT;
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	ahead = 0;
	o.clock = read_wall;
	o.monotonic = read_mono;
	w->ff = fs_fault_new(1);
	assert_non_null(w->ff);
	rig_ok(store_init_fs(fs_fault_fs(w->ff), &w->err), &w->err);
	rig_ok(store_open_with_fs(fs_fault_fs(w->ff), CATALOG_NAME, &o, &w->s, &w->err),
	    &w->err);
	w->run = (struct upkeep_run){ .store = w->s,
		.stop = &w->stop,
		.verify_cycle_s = 1,
		.verify_every_s = 1,
		.said = w->said,
		.cap = sizeof(w->said) };
	return w;
}

static void
end_world(struct world *w)
{
	store_close(w->s);
	fs_fault_free(w->ff);
	free(w);
}

/* Points whose blocks nothing else has. */
static void
back_up(struct world *w, uint32_t n)
{
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };

	for (uint32_t k = 0; k < n; k++) {
		rig_fill(blocks, BLOCKS, 1000 * (k + 1));
		rig_ok(rig_backup(w->s, "alpha", &v, &w->p, &w->err), &w->err);
	}
}

static void
keep_last(struct world *w, uint32_t n)
{
	struct store_policy policy = { .scope = STORE_POLICY_DEFAULT,
		.who = "alice",
		.set = 1,
		.rules = { .last = n } };

	rig_ok(store_policy_put(w->s, &policy, &w->err), &w->err);
}

static uint64_t
points(struct world *w)
{
	struct store_stats st;

	rig_ok(store_stats(w->s, &st, &w->err), &w->err);
	return st.points;
}

static int64_t
verified_us(struct world *w, uint64_t sequence)
{
	struct store_kept k;

	rig_ok(store_kept_one(w->s, "alpha", sequence, &k, &w->err), &w->err);
	return k.verified_us;
}

static void
pruned_but_not_while_the_time_is_in_doubt(void **state)
{
	struct world *w = new_world();

	(void)state;
	back_up(w, 4);
	keep_last(w, 1);
	ahead = 400 * DAY;
	rig_ok(upkeep_prune(&w->run, &w->err), &w->err);
	assert_non_null(strstr(w->said, "skipped"));
	assert_int_equal(points(w), 4);
	ahead = 0;
	rig_ok(upkeep_prune(&w->run, &w->err), &w->err);
	assert_int_equal(points(w), 1);
	if (strncmp(w->said, "3 points of 1 hosts", 19) != 0)
		fail_msg("%s", w->said);
	/* What they alone had is freed, though it lies in packs that are not full. */
	rig_ok(upkeep_gc(&w->run, &w->err), &w->err);
	if (strstr(w->said, "MiB freed") == NULL || strncmp(w->said, "0 MiB", 5) == 0)
		fail_msg("%s", w->said);
	rig_ok(upkeep_verify(&w->run, &w->err), &w->err);
	assert_non_null(strstr(w->said, " 0 bad"));
	/* All of it was read; once its trees are walked the point is verified. */
	assert_int_equal(verified_us(w, 4), 0);
	w->run.trees = 1;
	rig_ok(upkeep_verify(&w->run, &w->err), &w->err);
	if (strstr(w->said, "1 of 1 points verified") == NULL)
		fail_msg("%s", w->said);
	assert_true(verified_us(w, 4) > 0);
	end_world(w);
}

static void
a_job_that_is_stopped_says_so(void **state)
{
	struct world *w = new_world();

	(void)state;
	back_up(w, 2);
	rig_ok(store_space_seal(w->s, &w->err), &w->err);
	atomic_store(&w->stop, 1);
	assert_int_equal(upkeep_verify(&w->run, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CANCELED);
	err_clear(&w->err);
	end_world(w);
}

/* Wait for it, but not for ever. */
static void
await_job(struct upkeep *u, enum upkeep_job job, int running, struct upkeep_status *out)
{
	struct timespec pause = { 0, 10000000 };
	struct upkeep_status all[UPKEEP_JOBS];

	for (int i = 0; i < 30000; i++) { /* Five minutes. */
		int busy = 0;

		upkeep_status(u, all);
		for (int k = 0; k < UPKEEP_JOBS; k++)
			busy += all[k].running;
		assert_true(busy <= 1);
		*out = all[job];
		if (running ? all[job].running : all[job].ended_us != 0)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("job %d does not come", (int)job);
}

static void
jobs_come_one_at_a_time_and_stop_at_once(void **state)
{
	struct world *w = new_world();
	struct config *c = calloc(1, sizeof(*c));
	struct upkeep_status status;
	struct upkeep *u;
	int64_t began;

	(void)state;
	assert_non_null(c);
	back_up(w, 4);
	config_defaults(c);
	c->gc_every_s = c->verify_cycle_s = 1;
	rig_ok(upkeep_start(w->s, c, &u, &w->err), &w->err);
	await_job(u, UPKEEP_GC, 0, &status);
	assert_int_equal(status.how.code, ERR_NONE);
	await_job(u, UPKEEP_VERIFY, 0, &status);
	assert_int_equal(status.how.code, ERR_NONE);
	assert_true(status.next_us > 0);
	upkeep_stop(u);

	/* At 64 KiB a second this would take half a minute. */
	c->maintenance_rate = 1 << 16;
	c->gc_every_s = 0;
	rig_ok(upkeep_start(w->s, c, &u, &w->err), &w->err);
	await_job(u, UPKEEP_VERIFY, 1, &status);
	began = read_mono();
	upkeep_stop(u);
	assert_true(read_mono() - began < 5000000);
	free(c);
	end_world(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pruned_but_not_while_the_time_is_in_doubt),
		cmocka_unit_test(a_job_that_is_stopped_says_so),
		cmocka_unit_test(jobs_come_one_at_a_time_and_stop_at_once),
	};

	return cmocka_run_group_tests_name("upkeep", tests, NULL, NULL);
}
