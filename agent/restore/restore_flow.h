/*
 * restore_flow.h - one volume of a point, over one session, into an open target.
 *
 * May begin at any span: what a lost session had written whole need not come again.
 */
#ifndef AGENT_RESTORE_RESTORE_FLOW_H
#define AGENT_RESTORE_RESTORE_FLOW_H

#include <stdint.h>

#include "agent/restore/restore_tree.h"

struct err;
struct stop;
struct target;

struct restore_flow {
	struct restore_source src;
	struct restore_tree *tree; /* Opened from `src`. */
	struct target *target;
	unsigned flags; /* RESTORE_DELTA counts here. */
	uint64_t from;	/* Span to begin with. */
	/* Spans that a lost session may have begun: what is there already is left out. */
	uint64_t begun;
	/*
	 * The restore has come to about this byte of the volume, and so many more bytes
	 * were received.  On the caller's thread; may be NULL.
	 */
	void (*tell)(void *arg, uint64_t position, uint64_t received);
	void *tell_arg;
	struct stop *stop; /* May be NULL. */
};

struct restore_flow_result {
	uint64_t received_bytes; /* Groups. */
	uint64_t same_bytes;	 /* With RESTORE_DELTA: found right, left alone. */
	uint64_t reached;	 /* All spans before it are written. */
	int lost;		 /* After a failure: it was the session's. */
};

/* Run it.  On failure `out` is set too.  The channel is of no use then. */
int restore_flow_run(
    const struct restore_flow *job, struct restore_flow_result *out, struct err *err);

#endif /* AGENT_RESTORE_RESTORE_FLOW_H */
