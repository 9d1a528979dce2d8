/*
 * pending.h - an enrolment that waits for its time or its server.
 *
 * An installer may run where the server cannot be reached yet, and must not leave the
 * token to whoever comes later.  So `enroll --or-later` keeps it in the state directory
 * (file `enroll`, mode 0600) and `run` goes on trying, until the server has taken the
 * host or refused it; either removes the file.
 */
#ifndef AGENT_SESSION_PENDING_H
#define AGENT_SESSION_PENDING_H

#include "agent/host/state.h"
#include "proto/tls/token.h"

struct err;
struct stop;

struct pending {
	char token[TOKEN_TEXT_MAX];
	char name[CERT_NAME_MAX];	/* "": the host's own. */
	char server[STATE_ADDRESS_MAX]; /* "": the token's. */
};

/* Keep it, in place of an older one.  The state must be locked. */
int pending_keep(const struct state *st, const struct pending *p, struct err *err);

/* What waits: 1, or 0 if nothing does, or -1. */
int pending_read(const struct state *st, struct pending *out, struct err *err);

/* Nothing waits any more; none is fine. */
int pending_drop(const struct state *st, struct err *err);

struct pending_wait {
	const struct state *st;
	const uint8_t *machine; /* STATE_HASH_LEN */
	struct stop *stop;
	/* What there is to tell, a line each: it waits, was refused, is enrolled. */
	void (*say)(void *arg, const char *line);
	void *arg;
};

/*
 * Return 1 once the agent is enrolled: at once if it is, else by what waits, or by
 * somebody's `enroll` meanwhile, for which the directory is left unlocked between
 * attempts.  0: asked to stop.  -1: the directory cannot be read.
 */
int pending_wait(const struct pending_wait *w, struct err *err);

#endif /* AGENT_SESSION_PENDING_H */
