#include "server/roles.h"

#include <stddef.h>

#include "proto/wire/msg.h"

#define BIT(role) (1u << (role))
#define NOBODY BIT(CERT_NOBODY)
#define AGENT BIT(CERT_AGENT)
#define VIEWER BIT(CERT_VIEWER)
#define RESTORER BIT(CERT_RESTORER)
#define ADMIN BIT(CERT_ADMIN)
#define RESCUE BIT(CERT_RESCUE)

/*
 * Servers and authorities are not peers of a session at all: they are in no
 * row.  A rescue disk lives for one restore and has nothing to renew.
 */
static const struct {
	uint16_t kind;
	unsigned roles;
} table[] = {
	{ MSG_HELLO, NOBODY | AGENT | VIEWER | RESTORER | ADMIN | RESCUE },

	{ MSG_ENROLL, NOBODY },
	{ MSG_RENEW, AGENT | VIEWER | RESTORER | ADMIN },

	{ MSG_BEGIN, AGENT },
	{ MSG_HAVE_ASK, AGENT },
	{ MSG_PUT, AGENT },
	{ MSG_COMMIT, AGENT },
	{ MSG_MARK_SUSPECT, AGENT },

	{ MSG_LIST_POINTS, AGENT | VIEWER | RESTORER | ADMIN | RESCUE },
	{ MSG_GET_NODES, AGENT | RESTORER | ADMIN | RESCUE },
	{ MSG_GET_GROUPS, AGENT | RESTORER | ADMIN | RESCUE },

	{ MSG_LIST_HOSTS, VIEWER | RESTORER | ADMIN },
	{ MSG_GET_STATS, VIEWER | RESTORER | ADMIN },

	{ MSG_NEW_TOKEN, ADMIN },
	{ MSG_NEW_OPERATOR, ADMIN },
	{ MSG_REVOKE, ADMIN },
	{ MSG_VERIFY, ADMIN },

	{ MSG_SET_POLICY, ADMIN },
	{ MSG_LIST_POLICIES, VIEWER | RESTORER | ADMIN },
	/* What is not dry is an admin's alone: session_prune_run(). */
	{ MSG_PRUNE, VIEWER | RESTORER | ADMIN },
	{ MSG_HOLD, ADMIN },
	{ MSG_LOCK, ADMIN },
	{ MSG_FORGET, ADMIN },
	{ MSG_CLEAR_BRAKE, ADMIN },

	{ MSG_LIST_AUDIT, ADMIN },
	{ MSG_GET_USAGE, VIEWER | RESTORER | ADMIN },
	{ MSG_LIST_JOBS, VIEWER | RESTORER | ADMIN },
	{ MSG_ACCEPT_CLOCK, ADMIN },
	{ MSG_COLLECT, ADMIN },

	{ MSG_NOTE_ESCROW, ADMIN },
	{ MSG_CLEAR_ALARM, ADMIN },
	{ MSG_COPY_STORE, ADMIN },
	/* The whole store: nobody less. */
	{ MSG_COPY_OPEN, ADMIN },
	{ MSG_COPY_READ, ADMIN },

	{ MSG_REDEEM, NOBODY },
	{ MSG_ANNOUNCE, NOBODY },
	{ MSG_REPORT_RESTORE, RESCUE },
	{ MSG_NEW_RESTORE_TOKEN, RESTORER | ADMIN },
	{ MSG_LIST_RESTORES, VIEWER | RESTORER | ADMIN },
	{ MSG_CONFIRM_RESCUE, RESTORER | ADMIN },
	{ MSG_END_RESTORE, RESTORER | ADMIN },
	{ MSG_CHECK_RESCUE, VIEWER | RESTORER | ADMIN },
};

int
roles_allow(enum cert_role role, uint16_t kind)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].kind == kind)
			return role >= CERT_NOBODY && role <= CERT_CA &&
			       (table[i].roles & BIT(role)) != 0;
	}
	return 0;
}
