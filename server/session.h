/*
 * session.h - one peer's connection, from its handshake to its goodbye.
 *
 * A session is a state machine on its conn's loop.  Three things drive it: a
 * frame came, a job on a worker finished, time passed.
 *
 *	GREETING --Hello ok--> IDLE --Begin--> RECEIVING --Committed--> IDLE
 *	any state --failure that closes, the peer's end, silence--> CLOSING
 *
 * Every request becomes a job on a worker; nothing of the store is touched on
 * the loop.  Have and Put run side by side, within limits; every other request
 * waits until those before it are done and runs alone, and meanwhile the conn
 * is paused: a fast peer waits in its own socket, not in our memory.
 *
 * It is freed after the conn's last callback, its last job and the closing of
 * its leases, whichever comes last.
 */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct authority;
struct conn;
struct err;
struct loop;
struct policy;
struct registry;
struct rescues;
struct scratch_pool;
struct session;
struct store;
struct preflight;
struct upkeep;
struct workers;

/* What all sessions of a server share; outlives them all. */
struct session_world {
	struct store *store;
	struct authority *authority;
	struct registry *registry;
	struct rescues *rescues;
	struct policy *policy;
	struct scratch_pool *scratch;
	struct workers *cpu;   /* Decoding and hashing. */
	struct workers *disk;  /* Store calls, signatures. */
	struct workers *slow;  /* Verify, collect, copy: minutes, and only for admins. */
	struct workers *count; /* Usage: minutes, one at a time. */
	const char *advertise; /* "host:port" for tokens. */
	const char *copy_to;   /* Where the second copy goes; "": nowhere. */
	uint64_t copy_rate;
	/* Held from reading a peer\'s record to writing it again: a Renew must not undo
	   a Revoke. */
	pthread_mutex_t *people;
	struct upkeep *upkeep;
	struct preflight *preflight; /* NULL: there is no rescue image. */
	atomic_size_t *ingest; /* Bytes of Put under way in all sessions. */
	size_t ingest_max;     /* Above it each session has one Put at a time. */
};

/* Begin a session on a conn that was just accepted, on its loop `l`. */
void session_accept(const struct session_world *world, struct loop *l, struct conn *c);

/*
 * The following are called on the session's loop (registry_tell()).
 *
 * session_end: tell the peer `why` and close.  session_drain: the same, but
 * let the request in hand finish first.  session_cut: close at once.
 */
void session_end(struct session *s, const struct err *why);
void session_drain(struct session *s, const struct err *why);
void session_cut(struct session *s, const struct err *why);

#endif /* SERVER_SESSION_H */
