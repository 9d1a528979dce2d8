/*
 * dial.h - a session with the server: connected, greeted, known by name.
 */
#ifndef AGENT_SESSION_DIAL_H
#define AGENT_SESSION_DIAL_H

#include <stdint.h>

#include "agent/host/state.h"
#include "proto/chunk/chunk_id.h"

struct channel;
struct err;
struct stop;
struct tls_config;

/* No byte from the server for so long means that it is gone. */
#define DIAL_SILENCE_MS (300u * 1000)
#define DIAL_TIMEOUT_MS (20u * 1000)

/* What Welcome said. */
struct dial_welcome {
	char name[CERT_NAME_MAX]; /* As the server knows us. */
	uint64_t window;	  /* Bytes of Put that may wait for Stored. */
	/* Our newest point is in no list there, or its journal was longer once. */
	int rolled_back;
	int layout;  /* The server keeps disks. */
	int capture; /* It keeps how a point was frozen. */
	int changes; /* It keeps what rests on a list of changes. */
	int renew;   /* The certificate is past half its life. */
	int has_head;
	uint8_t head[STATE_HASH_LEN]; /* Newest record the server has of us. */
};

#define DIAL_ROLLED_BACK                                                              \
	"WARNING: the server lacks what it once had: an older copy of its store was " \
	"put "                                                                        \
	"back, or it was tampered with"

struct dial {
	struct channel *ch;
	struct tls_config *tls;
	const struct state *st; /* NULL: somebody else's session, nothing is kept. */
	struct chunk_keys keys;
	struct dial_welcome welcome;
};

/*
 * Connect as the enrolled agent and say Hello with the head we remember.
 * ERR_NOTFOUND: not enrolled; ERR_DENIED: refused by name (revoked, expired, a
 * copied key); ERR_IO, ERR_TIMEOUT: not reachable now; ERR_CANCELED: `stop` (may be
 * NULL; nothing is attached to it) was asked meanwhile.
 */
int dial_open(const struct state *st, const uint8_t machine[STATE_HASH_LEN],
    struct stop *stop, struct dial *out, struct err *err);

/* A channel_watch's `begun`: `arg`, a struct stop, cancels the channel if asked. */
void dial_stoppable(void *arg, struct channel *ch);

/* Keep the session ticket, if there is a state, and hang up. */
void dial_close(struct dial *d);

/* Have the certificate renewed for the same key and keep it. */
int dial_renew(struct dial *d, struct err *err);

/* Non-zero if trying again later, unchanged, may help. */
int dial_may_retry(const struct err *err);

/*
 * How long to wait before attempt `n` (0, 1, ...), in ms: doubles from 500 to
 * 30000, with a random quarter more or less so that a fleet does not march in step.
 */
uint32_t dial_backoff_ms(unsigned n);

#endif /* AGENT_SESSION_DIAL_H */
