/*
 * session_state.h - inside a session: shared by the session_*.c files only.
 *
 * Whose what is:
 *	the loop	everything not said to be otherwise
 *	lone job	`backup`, `view`, `rescue`, `pull`, `begun`: read and written by
 *			the job that runs alone; Have and Put read `backup`, never beside
 *			such a job
 *	any thread	`gone` (atomic); `world`, `address`, `peer` (constant once set);
 *			what is behind pointers that lock themselves
 */
#ifndef SERVER_SESSION_STATE_H
#define SERVER_SESSION_STATE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/log.h"
#include "proto/chunk/tree.h"
#include "proto/tls/tls.h"
#include "proto/wire/msg.h"
#include "server/preflight.h"
#include "server/session.h"
#include "storage/store.h"
#include "storage/store_retention.h"

struct session_job;
struct store_copy_hold;
struct timer;

enum session_state {
	SESSION_GREETING = 1,
	SESSION_IDLE = 2,
	SESSION_RECEIVING = 4,
	SESSION_CLOSING = 8
};

/* Have and Put under way at once, beside the window's bytes. */
#define SESSION_BESIDE_MAX 64u

/* Bytes of answers a job makes before it must wait for them to be sent. */
#define SESSION_ROUND (2u * 1024 * 1024)

/* A volume of one point, open for reading. */
struct session_view {
	struct store_lease *lease;
	struct store_point point;
	uint32_t volume;
	struct tree_walk *walk;
};

/* What a rescue may read. */
struct session_rescue {
	uint64_t restore;  /* Its number; 0: this is no rescue. */
	uint64_t sequence; /* The point that counts as the newest. */
	int only;	   /* And is the only one. */
	int over;	   /* It said that it is done. */
};

struct session {
	const struct session_world *world;
	struct loop *loop;
	struct conn *conn; /* NULL once it is closed. */
	uint64_t id;	   /* In the registry. */
	char address[64];
	struct tls_peer peer;

	enum session_state state;
	enum cert_role role; /* CERT_NOBODY until the Welcome. */
	char name[CERT_NAME_MAX];
	uint64_t window;

	unsigned beside;	  /* Have and Put under way. */
	size_t beside_bytes;	  /* Of Put among them. */
	struct session_job *lone; /* The request that runs, or waits, alone. */
	int lone_running;
	int open; /* The handshake is done: there is somebody to tell. */
	int paused, draining;
	struct err drain_why;
	struct timer *timer;
	int64_t moved_ms; /* When the last frame came or output went on. */

	struct store_lease *backup;
	uint32_t begun_count;
	char (*begun)[STORE_NAME_MAX]; /* Volumes of this backup. */
	struct session_view *view;
	struct session_rescue rescue;
	struct store_copy_hold *pull; /* What a peer copies; or NULL. */

	atomic_int gone; /* Its end has come: jobs may stop early. */
};

/* An answer that waits to be sent. */
struct session_out {
	struct session_out *next;
	uint16_t kind, flags;
	size_t len;
	uint8_t bytes[];
};

enum session_pool { SESSION_CPU, SESSION_DISK, SESSION_SLOW, SESSION_COUNT };

/* How one kind of request is dealt with. */
struct session_handler {
	uint16_t kind;
	unsigned states; /* In which it may come. */
	int beside;	 /* Runs beside others of its like. */
	enum session_pool pool;
	/*
	 * On a worker.  Fails with j->err, or answers by session_reply(); with
	 * j->more it is called again once those answers are on their way.
	 */
	void (*run)(struct session_job *j);
	void (*done)(
	    struct session_job *j); /* On the loop, if it did not fail; or NULL. */
};

/* One request under way. */
struct session_job {
	struct session *s;
	const struct session_handler *how;
	uint64_t request;
	ProtobufCMessage *msg; /* NULL for raw kinds. */
	uint8_t *raw;
	size_t raw_len;
	struct session_out *out, **out_end;
	size_t out_bytes;
	int more;
	struct err err;
	int closing; /* A failure ends the session. */
	void *state; /* The handler's, between run and done. */
	void (*state_free)(void *state);
};

/* The handler of a kind, or NULL. */
const struct session_handler *session_handler_of(uint16_t kind);

/* Add an answer to the job, on its worker.  A failure goes to j->err. */
void session_reply(struct session_job *j, const ProtobufCMessage *m, uint16_t flags);
void
session_reply_raw(struct session_job *j, uint16_t kind, const uint8_t *p, size_t len);

/* Send an answer from a worker at once, while the job goes on. */
void session_progress(struct session_job *j, const ProtobufCMessage *m);

/* One line about this session; any thread. */
void session_log(const struct session *s, enum log_level level, const char *fmt, ...)
    ERR_PRINTF(3, 4);

/* Put an operator's act into the audit chain, and into the log.  0, or j->err is set. */
int session_audit(struct session_job *j, const char *fmt, ...) ERR_PRINTF(2, 3);

/* Copy a peer's text, cut between characters where it does not fit. */
void session_text(char *out, size_t cap, const char *text);

/* Fail a job with a sentence and the end of the session. */
void session_refuse(struct session_job *j, enum err_code code, const char *fmt, ...)
    ERR_PRINTF(3, 4);

/*
 * Open `volume` of a host's point for reading, keeping what the job before had
 * open if it is the same.  Checks that this session may read that host (the
 * empty name is an agent's own).
 */
int session_view_open(struct session *s, const char *host, uint64_t sequence,
    uint32_t volume, struct session_view **out, struct err *err);
void session_view_close(struct session_view *v);

/*
 * A request that read: if its lease was revoked meanwhile (a restore may take longer
 * than unfinished-keep), it failed, but the next has another lease: ERR_BUSY.
 */
void session_view_renew(struct session_job *j);
int
session_may_see(const struct session *s, const char **host, int content, struct err *err);

/*
 * The point that `sequence` (0: the newest) means to this session, which may be a
 * rescue that is to read one only.
 */
int session_may_read(const struct session *s, uint64_t *sequence, struct err *err);

/*
 * By what name the registry knows the sessions of restore `id` of `host`: not by the
 * host's, which is its agent's.  0: of a restore that is not known yet.
 */
#define SESSION_RESCUE_NAME_MAX (CERT_NAME_MAX + 24)
void
session_rescue_name(const char *host, uint64_t id, char out[SESSION_RESCUE_NAME_MAX]);

/* At Hello: does the restore of this certificate stand?  0, or the job has failed. */
int session_rescue_check(
    struct session_job *j, const Wire__Hello *hello, struct session_rescue *out);

/*
 * `name` was revoked: end the open restores of that host and those that this operator
 * allowed, with their sessions.  0, or -1.
 */
int session_rescues_revoke(struct session_job *j, const char *name);

/* A token's secret is nobody's: counted, and told to an operator if there are many. */
void session_wrong_token(struct session_job *j);

/* A key that also lives on another machine is not this host's alone: raise the alarm. */
void session_copied_key(struct session *s, const char *host);

/* After a backup of the host: has it changed as never before?  Then there is an alarm. */
void session_brake_look(struct session *s, const char *host);

/* After a backup: could the host be restored to an empty machine?  If not, it is logged.
 */
void session_check_look(struct session *s, const char *host);

/* What `hosts` says of it: why not, or "".  0, or -1. */
int session_check_flag(const struct session *s, const struct store_peer *p,
    char text[PREFLIGHT_FLAG_MAX], struct err *err);

/* The handlers, by file. */
void session_hello_run(struct session_job *j);
void session_hello_done(struct session_job *j);
void session_enroll_run(struct session_job *j);
void session_renew_run(struct session_job *j);
void session_begin_run(struct session_job *j);
void session_begin_done(struct session_job *j);
void session_have_run(struct session_job *j);
void session_put_run(struct session_job *j);
void session_commit_run(struct session_job *j);
void session_suspect_run(struct session_job *j);
void session_commit_done(struct session_job *j);
void session_points_run(struct session_job *j);
void session_nodes_run(struct session_job *j);
void session_groups_run(struct session_job *j);
void session_token_run(struct session_job *j);
void session_operator_run(struct session_job *j);
void session_hosts_run(struct session_job *j);
void session_revoke_run(struct session_job *j);
void session_stats_run(struct session_job *j);
void session_verify_run(struct session_job *j);
void session_policy_run(struct session_job *j);
void session_policies_run(struct session_job *j);
void session_prune_run(struct session_job *j);
void session_hold_run(struct session_job *j);
void session_lock_run(struct session_job *j);
void session_forget_run(struct session_job *j);
void session_brake_run(struct session_job *j);
void session_audit_run(struct session_job *j);
void session_clock_run(struct session_job *j);
void session_usage_run(struct session_job *j);
void session_collect_run(struct session_job *j);
void session_jobs_run(struct session_job *j);
void session_check_run(struct session_job *j);
void session_escrow_run(struct session_job *j);
void session_alarm_run(struct session_job *j);
void session_copy_run(struct session_job *j);
void session_pull_open_run(struct session_job *j);
void session_pull_read_run(struct session_job *j);
void session_redeem_run(struct session_job *j);
void session_announce_run(struct session_job *j);
void session_report_run(struct session_job *j);
void session_ticket_run(struct session_job *j);
void session_restores_run(struct session_job *j);
void session_confirm_run(struct session_job *j);
void session_unrestore_run(struct session_job *j);

/* Answer with a point: fills `out`, which borrows from `p`; arrays in `room`. */
struct session_point_room {
	Wire__VolumeInfo volumes[STORE_VOLUMES_MAX];
	Wire__VolumeInfo *pointers[STORE_VOLUMES_MAX];
	Wire__Counts counts;
	Wire__Excluded excluded[STORE_EXCLUDED_MAX], *reasons[STORE_EXCLUDED_MAX];
	struct store_kept kept;
	char capture[STORE_CAPTURE_MAX];
	Wire__Changes changes[STORE_VOLUMES_MAX], *changed[STORE_VOLUMES_MAX];
};
void session_point_fill(
    Wire__Point *out, const struct store_point *p, struct session_point_room *room);

#endif /* SERVER_SESSION_STATE_H */
