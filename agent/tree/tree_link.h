/*
 * tree_link.h - a few sessions with a server for requests from many threads.
 *
 * A request and its answers have a session for themselves; a session that is lost is
 * opened again and the request made once more, so requests must change nothing.
 * Sessions that nobody needs are kept awake, because a session that has read of a
 * point holds a lease of it: what is removed on the server meanwhile stays readable.
 */
#ifndef AGENT_TREE_TREE_LINK_H
#define AGENT_TREE_TREE_LINK_H

#include <stdint.h>

#include "proto/wire/msg.h"

struct channel_frame;
struct chunk_keys;
struct dial;
struct err;
struct tree_link;

struct tree_link_config {
	int (*dial)(void *arg, struct dial *out, struct err *err); /* One at a time. */
	void *arg;
	unsigned sessions;     /* At most so many; > 0. */
	uint32_t retry_for_ms; /* How long one request looks for the server. */
	uint32_t awake_ms;     /* Idle sessions ask something so often. */
};

/* Open the first session, without trying twice. */
int tree_link_open(
    const struct tree_link_config *config, struct tree_link **out, struct err *err);

/* Nobody may be inside a call any more. */
void tree_link_close(struct tree_link *l);

/* All calls that wait and all later ones fail with ERR_CANCELED; from any thread. */
void tree_link_cancel(struct tree_link *l);

const struct chunk_keys *tree_link_keys(const struct tree_link *l);
uint64_t tree_link_sessions(struct tree_link *l); /* Opened so far. */

/* What keeps a session awake, and its lease: the root of this volume.  Set once. */
void tree_link_hold(struct tree_link *l, const char *host, uint64_t sequence);

/*
 * Takes the answers of one request: 1 to get the next one, 0 when that was the last,
 * -1.  `f` is NULL before the first and whenever all is asked anew: forget what came.
 */
typedef int (*tree_link_each)(void *arg, const struct channel_frame *f, struct err *err);

/*
 * Ask, and have `each` take the answers.  With `ahead` one session is left to the
 * others.  What the server refuses is not asked again.
 */
int tree_link_ask(struct tree_link *l, int ahead, const ProtobufCMessage *m,
    tree_link_each each, void *arg, struct err *err);

#endif /* AGENT_TREE_TREE_LINK_H */
