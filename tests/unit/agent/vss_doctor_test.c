/*
 * What `vss doctor` makes of what a system said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss/vss_doctor.h"

#define DAY_US ((int64_t)86400 * 1000000)
#define GIB ((uint64_t)1 << 30)

/* A system that is well. */
static int
setup(void **state)
{
	static const char *const services[] = { "VSS", "swprv", "EventSystem" };
	struct vss_report *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	for (int i = 0; i < 3; i++) {
		(void)snprintf(
		    r->services[i].name, sizeof(r->services[i].name), "%s", services[i]);
		r->services[i].state = i == 2 ? VSS_SERVICE_RUNNING : VSS_SERVICE_STOPPED;
	}
	r->services_count = 3;
	r->providers_count = 1;
	r->writers_count = 1;
	(void)snprintf(r->writers[0].name, sizeof(r->writers[0].name), "System Writer");
	r->writers[0].state = 1;
	r->now_us = 1000 * DAY_US;
	r->areas_count = 1;
	(void)snprintf(r->areas[0].volume, sizeof(r->areas[0].volume), "C-volume");
	(void)snprintf(r->areas[0].on, sizeof(r->areas[0].on), "D-volume");
	r->areas[0] = (struct vss_report_area){ .volume = "C-volume",
		.on = "D-volume",
		.used = GIB,
		.allocated = 2 * GIB,
		.maximum = UINT64_MAX,
		.free = 50 * GIB,
		.total = 100 * GIB };
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	vss_report_free(*state);
	return 0;
}

/* One line of advice has this in it, and it is (not) a problem. */
static void
expect(struct vss_report *r, int bad, const char *text)
{
	assert_int_equal(vss_doctor_judge(r), bad);
	for (unsigned i = 0; i < r->advice_count; i++)
		if (strstr(r->advice[i].text, text) != NULL) {
			assert_int_equal(r->advice[i].bad, bad);
			return;
		}
	fail_msg("no advice says '%s'", text);
}

static void
a_system_that_is_well_gets_no_advice(void **state)
{
	struct vss_report *r = *state;

	assert_int_equal(vss_doctor_judge(r), 0);
	assert_int_equal(r->advice_count, 0);
}

static void
a_service_that_cannot_start_is_a_problem(void **state)
{
	struct vss_report *r = *state;

	r->services[1].disabled = 1;
	expect(r, 1, "swprv is disabled: sc config swprv start= demand");
	r->services[1].disabled = 0;
	r->services[2].state = VSS_SERVICE_STOPPED;
	expect(r, 1, "net start EventSystem");
	r->services[0].state = VSS_SERVICE_ABSENT;
	expect(r, 1, "service VSS is not there");
}

static void
a_writer_that_failed_is_named(void **state)
{
	struct vss_report *r = *state;

	r->writers[0].state = 9;
	r->writers[0].failure = 0x800423F4u;
	expect(r, 1, "writer System Writer failed at freeze, VSS_E_WRITERERROR_NONRET");
	/* One that timed out may be well the next time. */
	r->writers[0].failure = 0x800423F2u;
	expect(r, 0, "VSS_E_WRITERERROR_TIMEOUT");
	r->writers_count = 0;
	expect(r, 1, "no writer answers");
}

static void
too_little_room_for_copies_is_said(void **state)
{
	struct vss_report *r = *state;

	r->areas[0].free = 4 * GIB;
	expect(r, 0, "D-volume is nearly full");
	r->areas[0].free = GIB / 4;
	expect(r, 1, "D-volume has 256 MiB free");
	r->areas[0].free = 50 * GIB;
	r->areas[0].maximum = GIB + GIB / 100;
	expect(r, 0, "nearly at its limit");
	r->areas[0].maximum = GIB / 8;
	expect(r, 1, "may have 128 MiB only");
}

static void
old_and_many_copies_are_said(void **state)
{
	struct vss_report *r = *state;

	r->copies_count = 61;
	for (unsigned i = 0; i < 61; i++) {
		(void)snprintf(r->copies[i].volume, sizeof(r->copies[i].volume), "V");
		r->copies[i].attributes = 1;
		r->copies[i].made_us = (i == 0 ? 900 : 999) * DAY_US;
	}
	expect(r, 0, "V has 61 shadow copies");
	expect(r, 0, "1 shadow copy is older than 30 days");
	assert_int_equal(r->advice_count, 2);
	r->copies[5].attributes = 0;
	expect(r, 0, "1 shadow copy is of a backup that goes on");
}

static void
what_did_not_answer_is_the_problem(void **state)
{
	struct vss_report *r = *state;

	(void)snprintf(r->trouble, sizeof(r->trouble), "VSS: Query: E_NOTIMPL");
	expect(r, 1, "VSS: Query: E_NOTIMPL");
	assert_int_equal(r->advice_count, 1);
	r->trouble[0] = '\0';
	r->providers_count = 0;
	expect(r, 1, "no provider");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    a_system_that_is_well_gets_no_advice, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_service_that_cannot_start_is_a_problem, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    a_writer_that_failed_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    too_little_room_for_copies_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    old_and_many_copies_are_said, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    what_did_not_answer_is_the_problem, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
