#include "server/session_state.h"

#define ANY (SESSION_IDLE | SESSION_RECEIVING)

static const struct session_handler handlers[] = {
	{ MSG_HELLO, SESSION_GREETING, 0, SESSION_DISK, session_hello_run,
	    session_hello_done },
	{ MSG_ENROLL, SESSION_IDLE, 0, SESSION_DISK, session_enroll_run, NULL },
	{ MSG_RENEW, ANY, 0, SESSION_DISK, session_renew_run, NULL },

	{ MSG_BEGIN, SESSION_IDLE, 0, SESSION_DISK, session_begin_run,
	    session_begin_done },
	{ MSG_HAVE_ASK, SESSION_RECEIVING, 1, SESSION_DISK, session_have_run, NULL },
	{ MSG_PUT, SESSION_RECEIVING, 1, SESSION_CPU, session_put_run, NULL },
	{ MSG_MARK_SUSPECT, SESSION_RECEIVING, 0, SESSION_DISK, session_suspect_run,
	    NULL },
	{ MSG_COMMIT, SESSION_RECEIVING, 0, SESSION_DISK, session_commit_run,
	    session_commit_done },

	{ MSG_LIST_POINTS, ANY, 0, SESSION_DISK, session_points_run, NULL },
	{ MSG_GET_NODES, ANY, 0, SESSION_DISK, session_nodes_run, NULL },
	{ MSG_GET_GROUPS, ANY, 0, SESSION_DISK, session_groups_run, NULL },

	{ MSG_NEW_TOKEN, SESSION_IDLE, 0, SESSION_DISK, session_token_run, NULL },
	{ MSG_NEW_OPERATOR, SESSION_IDLE, 0, SESSION_DISK, session_operator_run, NULL },
	{ MSG_LIST_HOSTS, SESSION_IDLE, 0, SESSION_DISK, session_hosts_run, NULL },
	{ MSG_REVOKE, SESSION_IDLE, 0, SESSION_DISK, session_revoke_run, NULL },
	{ MSG_GET_STATS, SESSION_IDLE, 0, SESSION_DISK, session_stats_run, NULL },
	{ MSG_VERIFY, SESSION_IDLE, 0, SESSION_SLOW, session_verify_run, NULL },

	{ MSG_SET_POLICY, SESSION_IDLE, 0, SESSION_DISK, session_policy_run, NULL },
	{ MSG_LIST_POLICIES, SESSION_IDLE, 0, SESSION_DISK, session_policies_run, NULL },
	{ MSG_PRUNE, SESSION_IDLE, 0, SESSION_DISK, session_prune_run, NULL },
	{ MSG_HOLD, SESSION_IDLE, 0, SESSION_DISK, session_hold_run, NULL },
	{ MSG_LOCK, SESSION_IDLE, 0, SESSION_DISK, session_lock_run, NULL },
	{ MSG_FORGET, SESSION_IDLE, 0, SESSION_DISK, session_forget_run, NULL },
	{ MSG_CLEAR_BRAKE, SESSION_IDLE, 0, SESSION_DISK, session_brake_run, NULL },

	{ MSG_LIST_AUDIT, SESSION_IDLE, 0, SESSION_DISK, session_audit_run, NULL },
	{ MSG_ACCEPT_CLOCK, SESSION_IDLE, 0, SESSION_DISK, session_clock_run, NULL },
	{ MSG_GET_USAGE, SESSION_IDLE, 0, SESSION_COUNT, session_usage_run, NULL },
	{ MSG_COLLECT, SESSION_IDLE, 0, SESSION_SLOW, session_collect_run, NULL },
	{ MSG_LIST_JOBS, SESSION_IDLE, 0, SESSION_DISK, session_jobs_run, NULL },

	{ MSG_NOTE_ESCROW, SESSION_IDLE, 0, SESSION_DISK, session_escrow_run, NULL },
	{ MSG_CLEAR_ALARM, SESSION_IDLE, 0, SESSION_DISK, session_alarm_run, NULL },
	{ MSG_COPY_STORE, SESSION_IDLE, 0, SESSION_SLOW, session_copy_run, NULL },
	{ MSG_COPY_OPEN, SESSION_IDLE, 0, SESSION_DISK, session_pull_open_run, NULL },
	{ MSG_COPY_READ, SESSION_IDLE, 0, SESSION_DISK, session_pull_read_run, NULL },

	{ MSG_REDEEM, SESSION_IDLE, 0, SESSION_DISK, session_redeem_run, NULL },
	{ MSG_ANNOUNCE, SESSION_IDLE, 0, SESSION_DISK, session_announce_run, NULL },
	{ MSG_REPORT_RESTORE, SESSION_IDLE, 0, SESSION_DISK, session_report_run, NULL },
	{ MSG_NEW_RESTORE_TOKEN, SESSION_IDLE, 0, SESSION_DISK, session_ticket_run,
	    NULL },
	{ MSG_LIST_RESTORES, SESSION_IDLE, 0, SESSION_DISK, session_restores_run, NULL },
	{ MSG_CONFIRM_RESCUE, SESSION_IDLE, 0, SESSION_DISK, session_confirm_run, NULL },
	{ MSG_END_RESTORE, SESSION_IDLE, 0, SESSION_DISK, session_unrestore_run, NULL },
	{ MSG_CHECK_RESCUE, SESSION_IDLE, 0, SESSION_DISK, session_check_run, NULL },
};

const struct session_handler *
session_handler_of(uint16_t kind)
{
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (handlers[i].kind == kind)
			return &handlers[i];
	}
	return NULL;
}
