/*
 * gc_lines.h - gc_test without single lines that collecting rests on: what is only
 * there in a build with GC_MUTANTS.
 */
#ifndef TESTS_UNIT_STORAGE_GC_LINES_H
#define TESTS_UNIT_STORAGE_GC_LINES_H

#ifdef GC_MUTANTS
#include <sys/wait.h>

#include "storage/gc_mutant.h"
#include "tests/unit/storage/store_rig.h"

/*
 * Lines that random steps seldom miss, each with the test that does at once.  The test
 * must succeed with all lines, and fail without this one.
 */
static const struct {
	enum gc_line line;
	const char *name, *test;
} missed[] = {
	{ GC_COMMIT_CHECKS, "COMMIT_CHECKS",
	    "test_a_commit_checks_again_what_was_condemned_before_its_record" },
	{ GC_COMMIT_FORGETS, "COMMIT_FORGETS",
	    "test_a_commit_forgets_what_it_met_before_something_was_condemned" },
	{ GC_PINS_MOVE, "PINS_MOVE",
	    "test_what_a_session_was_told_of_is_kept_where_it_was_copied_to" },
	{ GC_QUARANTINE_ENDS, "QUARANTINE_ENDS",
	    "test_a_quarantine_ends_a_cycle_and_brings_condemned_packs_back" },
	{ GC_QUARANTINE_KEEPS, "QUARANTINE_KEEPS",
	    "test_a_quarantine_ends_a_cycle_and_brings_condemned_packs_back" },
	{ GC_SWEEP_WAITS, "SWEEP_WAITS",
	    "test_a_reader_left_open_delays_files_and_can_be_revoked" },
	{ GC_RECORD_FIRST, "RECORD_FIRST",
	    "test_a_removal_that_dies_half_way_is_no_loss" },
	{ GC_WALKED_APART, "WALKED_APART",
	    "test_a_node_marked_by_have_is_walked_all_the_same" },
	{ GC_NUMBERS_STAY, "NUMBERS_STAY",
	    "test_a_removed_packs_number_is_never_given_again" },
	{ GC_NAMED_FIRST, "NAMED_FIRST",
	    "test_a_cycle_while_something_is_quarantined_keeps_what_is_left_of_it" },
};

/* In a process of its own, since a test that fails leaves its store behind. */
static inline int
succeeds(const struct CMUnitTest *test, enum gc_line without)
{
	int status = 0;
	pid_t child;

	(void)fflush(stdout);
	if ((child = fork()) == 0) {
		gc_mutant = without;
		(void)freopen("/dev/null", "w", stdout);
		(void)freopen("/dev/null", "w", stderr);
		_exit(_cmocka_run_group_tests(test->name, test, 1, NULL, NULL) != 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline int
take_lines_away(const struct CMUnitTest *tests, size_t n)
{
	int unseen = 0;

	for (size_t i = 0; i < sizeof(missed) / sizeof(missed[0]); i++) {
		const struct CMUnitTest *t = tests;

		while (t < tests + n && strcmp(t->name, missed[i].test) != 0)
			t++;
		if (t == tests + n || succeeds(t, GC_ALL_HOLD) != 1 ||
		    succeeds(t, missed[i].line) != 0) {
			unseen++;
			(void)printf("without %s: NOT missed\n", missed[i].name);
		} else {
			(void)printf("without %s: missed\n", missed[i].name);
		}
	}
	return unseen;
}
#endif

#endif /* TESTS_UNIT_STORAGE_GC_LINES_H */
