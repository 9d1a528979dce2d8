/*
 * What the hotcopy provider takes of a machine: room on disks stays pinned as long as the
 * driver may write there, and memory that is never paged is bounded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot_hotcopy.h"
#include "agent/capture/snapshot_provider.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_pin.h"
#include "proto/base/err.h"
#include "tests/unit/agent/sim_driver.h"

static struct sim sim;
static struct hot_system system_now;
static struct settings_hotcopy wishes;
static struct snapshot_options options;
static struct snapshot *set;

static int
setup(void **state)
{
	(void)state;
	sim_start(&sim);
	system_now = snapshot_hotcopy_here;
	snapshot_hotcopy_system = &system_now;
	memset(&options, 0, sizeof(options));
	wishes = (struct settings_hotcopy){
		.memory_mib = 1, .room = "none", .room_percent = 20, .throttle_ms = 60000
	};
	options.hotcopy = &wishes;
	set = NULL;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	snapshot_close(set);
	set = NULL;
	sim_stop(&sim);
	snapshot_hotcopy_system = &snapshot_hotcopy_here;
	return 0;
}

#define OK(call)                                  \
	do {                                      \
		struct err err = ERR_INIT;        \
		if ((call) != 0)                  \
			fail_msg("%s", err.text); \
	} while (0)

/* Copies go to what the driver took of it, as long as the set is there. */
static void
test_room_that_is_refused_stays_pinned(void **state)
{
	const struct hotcopy_wishes little = { .memory = 1 << 20 };
	struct hot_set *s = calloc(1, sizeof(*s));
	const struct hotcopy_extent *extent;
	struct hotcopy_prepared p;
	const uint64_t number = 1;

	(void)state;
	s->wishes = wishes;
	s->wishes.room_percent = 10;
	OK(hotcopy_link_open(sim_path(&sim, "c"), &s->owner, &err));
	OK(hotcopy_link_volume(s->owner, sim_path(&sim, "room"), &s->room[0].at, &err));
	OK(hotcopy_prepare(s->owner, &number, 1, &little, &p, &err));
	OK(hotcopy_pin_open(
	    sim_path(&sim, "room"), HOTCOPY_PIN_ROOM, 1 << 20, &s->room[0].pin, &err));
	s->room[0].bytes = 1 << 20;
	s->rooms = 1;
	s->number = p.set + 1;
	snapshot_hotcopy_lend_rooms(s);
	assert_int_equal(s->rooms, 1);
	assert_int_equal(hotcopy_pin_extents(s->room[0].pin, &extent), 1);
	assert_true(s->room_note[0] != '\0');
	assert_int_equal(snapshot_hotcopy_room(s), 0);
	/* For the next set it is room again. */
	s->number = p.set;
	snapshot_hotcopy_lend_rooms(s);
	assert_int_equal(snapshot_hotcopy_room(s), 1 << 20);
	hotcopy_link_close(s->owner);
	snapshot_hotcopy_drop_rooms(s);
	free(s);
}

/* What the driver takes is never paged: not more than is good for the machine. */
static uint64_t
little_memory(void)
{
	return (uint64_t)64 << 20;
}

static void
test_a_small_machine_gives_little_memory(void **state)
{
	struct snapshot_volume *v;

	(void)state;
	wishes.memory_mib = 4096;
	system_now.memory = little_memory;
	snprintf(wishes.room, sizeof(wishes.room), "%s", sim_path(&sim, "room"));
	OK(snapshot_open(&snapshot_hotcopy, &options, &set, &err));
	OK(snapshot_add(set, sim_path(&sim, "c"), &v, &err));
	OK(snapshot_freeze(set, 1000, &err));
	assert_non_null(strstr(snapshot_method(set), ", 8 MiB of memory"));
	assert_non_null(strstr(snapshot_method(set), "and 1 MiB on disk"));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(room_that_is_refused_stays_pinned),
		TEST(a_small_machine_gives_little_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
