/* Who may send what, cell by cell: the table as people agreed on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/wire/msg.h"
#include "server/roles.h"

/*
 * One row a message, one column a role, in the order of enum cert_role:
 * nobody, agent, viewer, restorer, admin, rescue, server, ca.
 */
static const struct {
	uint16_t kind;
	const char *roles;
} table[] = {
	{ MSG_HELLO, "yyyyyy--" },

	{ MSG_ENROLL, "y-------" },
	{ MSG_RENEW, "-yyyy---" },

	{ MSG_BEGIN, "-y------" },
	{ MSG_HAVE_ASK, "-y------" },
	{ MSG_PUT, "-y------" },
	{ MSG_COMMIT, "-y------" },

	{ MSG_LIST_POINTS, "-yyyyy--" },
	{ MSG_GET_NODES, "-y-yyy--" },
	{ MSG_GET_GROUPS, "-y-yyy--" },

	{ MSG_NEW_TOKEN, "----y---" },
	{ MSG_NEW_OPERATOR, "----y---" },
	{ MSG_LIST_HOSTS, "--yyy---" },
	{ MSG_REVOKE, "----y---" },
	{ MSG_GET_STATS, "--yyy---" },
	{ MSG_VERIFY, "----y---" },
	{ MSG_SET_POLICY, "----y---" },
	{ MSG_LIST_POLICIES, "--yyy---" },
	{ MSG_PRUNE, "--yyy---" }, /* Dry; else an admin only. */
	{ MSG_HOLD, "----y---" },
	{ MSG_LOCK, "----y---" },
	{ MSG_FORGET, "----y---" },
	{ MSG_CLEAR_BRAKE, "----y---" },
	{ MSG_LIST_AUDIT, "----y---" },
	{ MSG_GET_USAGE, "--yyy---" },
	{ MSG_ACCEPT_CLOCK, "----y---" },
	{ MSG_COLLECT, "----y---" },
	{ MSG_LIST_JOBS, "--yyy---" },
	{ MSG_NOTE_ESCROW, "----y---" },
	{ MSG_CLEAR_ALARM, "----y---" },
	{ MSG_COPY_STORE, "----y---" },
	{ MSG_COPY_OPEN, "----y---" },
	{ MSG_COPY_READ, "----y---" },
	{ MSG_REDEEM, "y-------" },
	{ MSG_ANNOUNCE, "y-------" },
	{ MSG_REPORT_RESTORE, "-----y--" },
	{ MSG_NEW_RESTORE_TOKEN, "---yy---" },
	{ MSG_LIST_RESTORES, "--yyy---" },
	{ MSG_CONFIRM_RESCUE, "---yy---" },
	{ MSG_END_RESTORE, "---yy---" },
	{ MSG_CHECK_RESCUE, "--yyy---" },
	{ MSG_MARK_SUSPECT, "-y------" },
};

static const char *
row_of(unsigned kind)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].kind == kind)
			return table[i].roles;
	}
	return "--------"; /* Answers and unknown kinds are nobody's to send. */
}

static void
every_cell_is_as_agreed(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind <= UINT16_MAX; kind++) {
		for (int role = CERT_NOBODY; role <= CERT_CA; role++) {
			int may = roles_allow((enum cert_role)role, (uint16_t)kind);

			if (may != (row_of(kind)[role] == 'y'))
				fail_msg("%s, %s: %d",
				    cert_role_name((enum cert_role)role),
				    msg_name((uint16_t)kind), may);
		}
	}
}

static void
every_request_has_a_row(void **state)
{
	(void)state;
	for (uint16_t kind = 1; kind < 200; kind += 2) {
		if (strcmp(msg_name(kind), "unknown") != 0)
			assert_true(strchr(row_of(kind), 'y') != NULL);
	}
}

static void
roles_that_do_not_exist_may_nothing(void **state)
{
	(void)state;
	assert_false(roles_allow((enum cert_role)8, MSG_HELLO));
	assert_false(roles_allow((enum cert_role) - 1, MSG_HELLO));
	assert_false(roles_allow((enum cert_role)1000, MSG_HELLO));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_is_as_agreed),
		cmocka_unit_test(every_request_has_a_row),
		cmocka_unit_test(roles_that_do_not_exist_may_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
