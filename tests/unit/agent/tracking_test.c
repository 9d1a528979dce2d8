/*
 * Change tracking of a set against the driver's simulator, whoever freezes it: what was
 * written is in a list, the base is what the server holds, and whatever is in the way
 * costs the list, with a reason, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/capture/capture.h"
#include "agent/capture/snapshot_provider.h"
#include "agent/capture/tracking.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/map/changes.h"
#include "agent/map/volmap.h"
#include "proto/base/err.h"
#include "tests/unit/agent/sim_driver.h"

#define BLOCK (1u << HOTCOPY_TRACK_SHIFT)

static struct sim sim;
static char path_c[200], path_d[200];

static int
setup(void **state)
{
	(void)state;
	sim_start(&sim);
	snprintf(path_c, sizeof(path_c), "%s", sim_path(&sim, "c"));
	snprintf(path_d, sizeof(path_d), "%s", sim_path(&sim, "d"));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sim_stop(&sim);
	return 0;
}

static void
host_writes(int disk, uint64_t offset, uint32_t len)
{
	uint8_t *bytes = malloc(len);

	memset(bytes, 'n', len);
	assert_int_equal(disk_write(sim.disk[disk], offset, bytes, len), 0);
	free(bytes);
}

static struct hotcopy_link *
opened(void)
{
	struct hotcopy_link *l = NULL;
	struct err err = ERR_INIT;

	if (hotcopy_link_open(path_c, &l, &err) != 0)
		fail_msg("%s", err.text);
	return l;
}

static struct hotcopy_volume
info(int disk)
{
	struct hotcopy_link *l = opened();
	struct hotcopy_volume v;
	struct err err = ERR_INIT;

	assert_int_equal(hotcopy_find(l, (uint64_t)disk + 1, &v, &err), 0);
	hotcopy_link_close(l);
	return v;
}

/* ------------------------------------------------------------- one set of c and d -- */

/* c, something that no driver knows, d. */
static struct tracking *
begun(const struct tracking_options *o)
{
	static const struct tracking_options on = { .on = 1 };
	const char *paths[] = { path_c, "/nowhere", path_d };
	struct tracking *t;
	struct err err = ERR_INIT;

	assert_int_equal(
	    tracking_begin(NULL, paths, 3, o != NULL ? o : &on, &t, &err), 0);
	return t;
}

static struct tracking_view
view(const struct tracking *t, unsigned i)
{
	struct tracking_view v;

	tracking_view(t, i, &v);
	return v;
}

static int
add(void *arg, uint64_t offset, uint64_t len)
{
	changes_add(arg, offset, len);
	return 0;
}

/* The list of volume `i` must be these blocks. */
static void
lists(struct tracking *t, unsigned i, uint64_t blocks)
{
	struct changes *c;
	struct err err = ERR_INIT;

	assert_int_equal(changes_new(SIM_LENGTH, &c, &err), 0);
	if (tracking_list(t, i, add, c, &err) != 0)
		fail_msg("%s", err.text);
	for (unsigned n = 0; n < SIM_LENGTH / BLOCK; n++)
		if (changes_touch(c, (uint64_t)n * BLOCK, BLOCK) !=
		    (int)(blocks >> n & 1))
			fail_msg("volume %u: block %u is %s", i, n,
			    blocks >> n & 1 ? "missing" : "there");
	changes_free(c);
}

static void
has_no_list(struct tracking *t, unsigned i, const char *why)
{
	struct tracking_view v = view(t, i);
	struct err err = ERR_INIT;

	assert_int_equal(v.base.number, 0);
	if (why[0] == '\0' ? v.why[0] != '\0' : strstr(v.why, why) == NULL)
		fail_msg("said '%s', not '%s'", v.why, why);
	assert_int_equal(tracking_list(t, i, add, NULL, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
}

static void
counts_from(const struct tracking *t, unsigned i, const struct tracking_generation *g)
{
	struct tracking_view v = view(t, i);

	if (v.base.number == 0)
		fail_msg("no base: %s", v.why);
	assert_memory_equal(&v.base, g, sizeof(*g));
	assert_string_equal(v.why, "");
	assert_int_equal(v.length, SIM_LENGTH);
}

/* A point of c and d that the server holds: its generations. */
static void
made(struct tracking_generation *c, struct tracking_generation *d)
{
	struct tracking *t = begun(NULL);

	tracking_cut(t);
	tracking_seen(t);
	*c = view(t, 0).began;
	*d = view(t, 2).began;
	assert_int_not_equal(c->number, 0);
	assert_int_not_equal(d->number, 0);
	tracking_finish(t, 1);
	tracking_free(t);
}

static struct tracking *
cut(void)
{
	struct tracking *t = begun(NULL);

	tracking_cut(t);
	tracking_seen(t);
	return t;
}

static void
each_point_counts_from_the_one_before(void **state)
{
	struct tracking_generation c, d;
	struct tracking *t = begun(NULL);

	(void)state;
	assert_int_equal(info(0).tracking, HOTCOPY_TRACK_NEW);
	tracking_cut(t);
	tracking_seen(t);
	has_no_list(t, 0, "tracking began with this point");
	has_no_list(t, 1, "");
	has_no_list(t, 2, "tracking began with this point");
	c = view(t, 0).began;
	d = view(t, 2).began;
	assert_int_equal(view(t, 1).began.number, 0);
	tracking_finish(t, 1);
	tracking_free(t);
	t = cut();
	counts_from(t, 0, &c);
	counts_from(t, 2, &d);
	lists(t, 0, 0);
	lists(t, 2, 0);
	/* Not made: what is written now is told by the next, what was told is told again. */
	host_writes(0, 5 * BLOCK + 7, 1);
	tracking_finish(t, 0);
	tracking_free(t);
	host_writes(0, 9 * BLOCK - 1, 2);
	host_writes(2, 0, 4096);
	host_writes(1, SIM_LENGTH - 512, 512);
	t = cut();
	counts_from(t, 0, &c);
	lists(t, 0, 1u << 5 | 1u << 8 | 1u << 9);
	lists(t, 0, 1u << 5 | 1u << 8 | 1u << 9);
	lists(t, 2, UINT64_C(1) << 63);
	tracking_finish(t, 1);
	tracking_free(t);
	t = cut();
	lists(t, 0, 0);
	tracking_finish(t, 0);
	tracking_free(t);
}

static void
what_comes_between_cut_and_view_is_told_twice(void **state)
{
	struct tracking_generation c, d;
	struct tracking *t;

	(void)state;
	made(&c, &d);
	t = begun(NULL);
	host_writes(0, BLOCK, 1);
	tracking_cut(t);
	host_writes(0, 3 * BLOCK, 1);
	tracking_seen(t);
	/* After it was taken the set is free, and the list stays. */
	assert_int_equal(info(0).state, HOTCOPY_IDLE);
	host_writes(0, 7 * BLOCK, 1);
	lists(t, 0, 1u << 1 | 1u << 3);
	tracking_finish(t, 1);
	tracking_free(t);
	t = cut();
	lists(t, 0, 1u << 3 | 1u << 7);
	tracking_finish(t, 1);
	tracking_free(t);
}

/* ---------------------------------------------------------------- frozen by others -- */

static void
a_set_that_a_provider_froze_is_of_its_cut(void **state)
{
	static const struct tracking_options on = { .on = 1 };
	const struct hotcopy_wishes wishes = { .memory = 4u << 20 };
	const char *paths[] = { path_d, path_c };
	const uint64_t volumes[] = { 2, 1 };
	struct hotcopy_link *l = opened();
	struct tracking_generation c, d;
	struct hotcopy_prepared prepared;
	struct hotcopy_frozen frozen;
	struct tracking *t;
	struct err err = ERR_INIT;

	(void)state;
	made(&c, &d);
	host_writes(0, 2 * BLOCK, 1);
	assert_int_equal(tracking_begin(l, paths, 2, &on, &t, &err), 0);
	assert_int_equal(hotcopy_prepare(l, volumes, 2, &wishes, &prepared, &err), 0);
	assert_int_equal(hotcopy_freeze(l, prepared.set, HOTCOPY_FREEZE_GENERATION, 5000,
			     0, tracking_nonce(t), &frozen, &err),
	    0);
	tracking_frozen(t, prepared.set, &frozen);
	host_writes(0, 4 * BLOCK, 1);
	counts_from(t, 0, &d);
	counts_from(t, 1, &c);
	lists(t, 0, 0);
	lists(t, 1, 1u << 2);
	assert_memory_equal(view(t, 1).began.nonce, tracking_nonce(t), HOTCOPY_NONCE);
	c = view(t, 1).began;
	assert_int_equal(hotcopy_release(l, prepared.set, &err), 0);
	tracking_finish(t, 1);
	tracking_free(t);
	hotcopy_link_close(l);
	t = cut();
	counts_from(t, 0, &c);
	lists(t, 0, 1u << 4);
	tracking_finish(t, 0);
	tracking_free(t);
}

/* As a provider does, that wants to know what is written from now on. */
static void
a_generation_that_is_nobodys_is_no_base(void **state)
{
	static const uint8_t nonce[HOTCOPY_NONCE] = { 9 };
	const struct hotcopy_wishes wishes = { .memory = 1u << 20 };
	const uint64_t volumes[] = { 1 };
	struct hotcopy_link *l = opened();
	struct hotcopy_prepared prepared;
	struct hotcopy_frozen frozen;
	struct tracking *t = begun(NULL);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(hotcopy_prepare(l, volumes, 1, &wishes, &prepared, &err), 0);
	assert_int_equal(hotcopy_freeze(l, prepared.set,
			     HOTCOPY_FREEZE_CUT_ONLY | HOTCOPY_FREEZE_GENERATION, 5000, 0,
			     nonce, &frozen, &err),
	    0);
	assert_int_equal(hotcopy_commit(l, 1, frozen.generation[0], nonce, &err), 0);
	hotcopy_link_close(l);
	tracking_cut(t);
	tracking_seen(t);
	assert_int_equal(info(0).tracking, HOTCOPY_TRACK_VALID);
	has_no_list(t, 0, "tracking began with this point");
	tracking_finish(t, 0);
	tracking_free(t);
}

static void
a_set_without_a_generation_has_no_list(void **state)
{
	static const struct tracking_options on = { .on = 1 };
	struct tracking_generation c, d;
	struct hotcopy_frozen frozen = { .volumes = 1 };
	struct hotcopy_link *l = opened();
	const char *paths[] = { path_c };
	struct tracking *t;
	struct err err = ERR_INIT;

	(void)state;
	made(&c, &d);
	assert_int_equal(tracking_begin(l, paths, 1, &on, &t, &err), 0);
	tracking_frozen(t, 7, &frozen);
	has_no_list(t, 0, "not tracked when it was frozen");
	tracking_finish(t, 1);
	tracking_free(t);
	hotcopy_link_close(l);
}

/* -------------------------------------------------------------- what is in the way -- */

static void
an_invalid_tracking_says_why_until_a_point_is_made(void **state)
{
	struct hotcopy_link *l = opened();
	struct tracking_generation c, d;
	struct tracking *t;
	struct err err = ERR_INIT;

	(void)state;
	made(&c, &d);
	assert_int_equal(hotcopy_invalidate(l, 1, &err), 0);
	for (int ok = 0; ok < 2; ok++) {
		t = cut();
		has_no_list(t, 0, "tracking is invalid: a restore or a person said so");
		counts_from(t, 2, &d);
		c = view(t, 0).began;
		assert_int_not_equal(c.number, 0);
		tracking_finish(t, ok);
		tracking_free(t);
	}
	t = cut();
	counts_from(t, 0, &c);
	tracking_finish(t, 0);
	tracking_free(t);
	hotcopy_link_close(l);
}

static void
a_wrong_list_is_the_end_of_it_unless_all_was_read(void **state)
{
	struct tracking_generation c, d;
	struct tracking *t;

	(void)state;
	made(&c, &d);
	/* Found wrong, and then everything was read and is a point. */
	t = cut();
	c = view(t, 0).began;
	tracking_distrust(t);
	tracking_finish(t, 1);
	tracking_free(t);
	t = cut();
	counts_from(t, 0, &c);
	/* Found wrong, and no point was made. */
	tracking_distrust(t);
	tracking_finish(t, 0);
	tracking_free(t);
	t = cut();
	has_no_list(t, 0, "tracking is invalid");
	tracking_finish(t, 0);
	tracking_free(t);
}

static void
what_the_server_holds_is_committed_later(void **state)
{
	struct tracking_generation c, d, held[3] = { { .number = 99 } };
	const struct tracking_options again = { .on = 1, .held = held, .held_count = 3 };
	struct tracking *t;

	(void)state;
	made(&c, &d);
	host_writes(0, BLOCK, 1);
	t = cut();
	held[1] = view(t, 0).began;
	held[2] = view(t, 2).began;
	/* The agent is killed: neither committed nor aborted. */
	tracking_free(t);
	host_writes(0, 2 * BLOCK, 1);
	t = begun(&again);
	tracking_cut(t);
	tracking_seen(t);
	counts_from(t, 0, &held[1]);
	counts_from(t, 2, &held[2]);
	lists(t, 0, 1u << 2);
	/* Killed again, before the server had it: what was pending is not the base. */
	tracking_free(t);
	t = begun(&again);
	tracking_cut(t);
	tracking_seen(t);
	counts_from(t, 0, &held[1]);
	lists(t, 0, 1u << 2);
	tracking_finish(t, 1);
	tracking_free(t);
}

static void
a_set_of_somebody_elses_costs_the_list_alone(void **state)
{
	const struct hotcopy_wishes wishes = { .memory = 1u << 20 };
	const uint64_t volumes[] = { 2 };
	struct hotcopy_link *l = opened();
	struct hotcopy_prepared prepared;
	struct tracking_generation c, d;
	struct tracking *t;
	struct err err = ERR_INIT;

	(void)state;
	made(&c, &d);
	assert_int_equal(hotcopy_prepare(l, volumes, 1, &wishes, &prepared, &err), 0);
	t = cut();
	has_no_list(t, 0, "no generation could be begun");
	assert_int_equal(view(t, 0).began.number, 0);
	tracking_finish(t, 1);
	tracking_free(t);
	hotcopy_link_close(l);
	t = cut();
	counts_from(t, 0, &c);
	tracking_finish(t, 0);
	tracking_free(t);
}

static void
nothing_is_tracked_where_nobody_wants_it(void **state)
{
	static const struct tracking_options off = { .on = 0 };
	struct tracking *t = begun(&off);

	(void)state;
	tracking_cut(t);
	tracking_seen(t);
	has_no_list(t, 0, "");
	has_no_list(t, 2, "");
	assert_int_equal(view(t, 0).began.number, 0);
	tracking_finish(t, 1);
	tracking_free(t);
	assert_int_equal(info(0).tracking, HOTCOPY_TRACK_OFF);
	tracking_free(NULL);
}

static void
a_driver_that_goes_costs_the_list_alone(void **state)
{
	struct tracking_generation c, d;
	struct tracking *t;

	(void)state;
	made(&c, &d);
	t = begun(NULL);
	tracking_cut(t);
	calls_close(sim.calls);
	sim.calls = NULL;
	tracking_seen(t);
	has_no_list(t, 0, "the driver tells of no changes");
	tracking_finish(t, 1);
	tracking_free(t);
	t = cut();
	has_no_list(t, 0, "");
	tracking_finish(t, 1);
	tracking_free(t);
}

/* ----------------------------------------- a provider that does not track by itself -- */

static void (*between)(void); /* Cut and view. */

static int
fake_add(void *set, const char *path, void **volume, struct err *err)
{
	(void)set;
	(void)err;
	*volume = (void *)(uintptr_t)(strcmp(path, path_d) == 0 ? 2 : 1);
	return 0;
}

static int
fake_same(const void *volume, const void *other)
{
	return volume == other;
}

static int
fake_freeze(void *set, void **volumes, size_t count, uint32_t timeout_ms,
    struct snapshot_info *infos, struct err *err)
{
	(void)set;
	(void)volumes;
	(void)timeout_ms;
	(void)err;
	between();
	for (size_t i = 0; i < count; i++)
		infos[i] =
		    (struct snapshot_info){ .size = SIM_LENGTH, .sector_size = 512 };
	return 0;
}

static int
fake_read(void *volume, uint64_t offset, void *buf, size_t len, struct err *err)
{
	(void)err;
	return disk_read(sim.disk[(uintptr_t)volume - 1], offset, buf, (uint32_t)len);
}

static int
fake_confirm(void *volume, struct err *err)
{
	(void)volume;
	(void)err;
	return 0;
}

static void
fake_close(void *volume)
{
	(void)volume;
}

static const struct snapshot_provider fake = { .name = "fake",
	.add = fake_add,
	.same = fake_same,
	.freeze = fake_freeze,
	.read = fake_read,
	.confirm = fake_confirm,
	.close = fake_close };

/* c and d, as capture_new() has them; d is a volume of 1 MiB, 2 MiB into its view. */
static struct capture *
captured(void)
{
	static const struct tracking_options on = { .on = 1 };
	struct settings *s = calloc(1, sizeof(*s));
	struct capture *c = calloc(1, sizeof(*c));
	struct err err = ERR_INIT;

	settings_init(s);
	assert_int_equal(settings_add(s, "c=c", &err), 0);
	assert_int_equal(settings_add(s, "d=d", &err), 0);
	c->track = on;
	assert_int_equal(snapshot_open(&fake, NULL, &c->snapshot, &err), 0);
	assert_int_equal(snapshot_add(c->snapshot, path_c, &c->views[0], &err), 0);
	assert_int_equal(snapshot_add(c->snapshot, path_d, &c->views[1], &err), 0);
	c->frozen = 2;
	if (capture_freeze(c, s, 1000, &err) != 0)
		fail_msg("%s", err.text);
	c->volumes[1].view_offset = 2u << 20;
	c->volumes[1].view_size = 1u << 20;
	c->volumes[1].size = (1u << 20) + BLOCK;
	free(s);
	return c;
}

static void
writes_between(void)
{
	host_writes(0, 6 * BLOCK, 1);
}

static void
captured_lists(struct capture_volume *v, uint64_t blocks)
{
	struct changes *c;
	struct err err = ERR_INIT;

	assert_int_equal(changes_new(v->size, &c, &err), 0);
	if (capture_changed(v, c, &err) != 0)
		fail_msg("%s", err.text);
	for (unsigned n = 0; n < v->size / BLOCK; n++)
		assert_int_equal(
		    changes_touch(c, (uint64_t)n * BLOCK, BLOCK), blocks >> n & 1);
	changes_free(c);
}

static void
a_capture_tracks_for_its_provider(void **state)
{
	const struct volmap_unkept *unkept;
	struct tracking_view first, second;
	struct tracking_generation raw;
	struct err err = ERR_INIT;
	struct capture *c;

	(void)state;
	between = writes_between;
	c = captured();
	capture_tracked(&c->volumes[0], &first);
	assert_string_equal(first.why, "tracking began with this point");
	assert_int_equal(c->volumes[0].info.generation, first.began.number);
	assert_memory_equal(c->volumes[0].info.nonce, first.began.nonce, HOTCOPY_NONCE);
	/* The driver's own is noted, to be committed again. */
	capture_began(&c->volumes[0], &raw);
	assert_int_equal(raw.number, first.began.number);
	assert_memory_equal(raw.nonce, tracking_nonce(c->tracking), HOTCOPY_NONCE);
	assert_int_equal(capture_finish(c, 1, &err), 0);
	capture_free(c);
	host_writes(1, 0, 1);
	host_writes(1, (2u << 20) - 1, BLOCK + 2);
	host_writes(1, (3u << 20) - 1, 2);
	c = captured();
	capture_tracked(&c->volumes[0], &second);
	assert_memory_equal(&second.base, &first.began, sizeof(first.began));
	captured_lists(&c->volumes[0], 1u << 6);
	/* Beyond its view it is read live. */
	captured_lists(&c->volumes[1], 1u << 0 | 1u << 1 | 1u << 15 | 1u << 16);
	assert_int_equal(capture_unkept(&c->volumes[0], &unkept), 0);
	/* The server did not get it; its list was wrong, too. */
	capture_distrust(c);
	capture_free(c);
	assert_int_equal(info(0).tracking, HOTCOPY_TRACK_INVALID);
	assert_int_equal(info(1).tracking, HOTCOPY_TRACK_INVALID);
}

static void
nothing_between(void)
{
}

/* The base of volume `i` of the next point is what `began` of a root was then: 1 or 0. */
static int
is_base(struct capture *c, unsigned i, const struct tracking_view *then)
{
	struct tracking_view v;

	capture_tracked(&c->volumes[i], &v);
	assert_true(v.base.number != 0);
	return memcmp(&v.base, &then->began, sizeof(v.base)) == 0;
}

/* One cut gives all its volumes the same number and nonce. */
static void
a_root_counts_for_its_own_place_alone(void **state)
{
	struct tracking_generation raw[2];
	struct tracking_view then[2];
	struct err err = ERR_INIT;
	struct capture *c;
	char other[200];

	(void)state;
	between = nothing_between;
	c = captured();
	for (unsigned i = 0; i < 2; i++) {
		capture_tracked(&c->volumes[i], &then[i]);
		capture_began(&c->volumes[i], &raw[i]);
	}
	assert_memory_equal(&raw[0], &raw[1], sizeof(raw[0]));
	assert_int_equal(capture_finish(c, 1, &err), 0);
	capture_free(c);
	c = captured();
	assert_true(is_base(c, 0, &then[0]));
	assert_true(is_base(c, 1, &then[1]));
	/* A partition that begins elsewhere than it did. */
	c->volumes[1].view_offset += BLOCK;
	assert_false(is_base(c, 1, &then[1]));
	capture_free(c);
	/* Two letters that changed places. */
	memcpy(other, path_c, sizeof(other));
	memcpy(path_c, path_d, sizeof(path_c));
	memcpy(path_d, other, sizeof(path_d));
	c = captured();
	c->volumes[1].view_offset = 0;
	assert_false(is_base(c, 0, &then[0]));
	assert_false(is_base(c, 1, &then[1]));
	assert_false(is_base(c, 0, &then[1]));
	capture_free(c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_point_counts_from_the_one_before),
		T(what_comes_between_cut_and_view_is_told_twice),
		T(a_set_that_a_provider_froze_is_of_its_cut),
		T(a_generation_that_is_nobodys_is_no_base),
		T(a_set_without_a_generation_has_no_list),
		T(an_invalid_tracking_says_why_until_a_point_is_made),
		T(a_wrong_list_is_the_end_of_it_unless_all_was_read),
		T(what_the_server_holds_is_committed_later),
		T(a_set_of_somebody_elses_costs_the_list_alone),
		T(nothing_is_tracked_where_nobody_wants_it),
		T(a_driver_that_goes_costs_the_list_alone),
		T(a_capture_tracks_for_its_provider),
		T(a_root_counts_for_its_own_place_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
