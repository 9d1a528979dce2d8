/*
 * enrol.h - becoming a host the server knows.
 *
 * The key is made and kept before anything is sent, so that a reply that is
 * lost after the token was used up can be asked for again: the server gives
 * the same key the same certificate and takes no second use of the token.
 */
#ifndef AGENT_SESSION_ENROL_H
#define AGENT_SESSION_ENROL_H

#include <stdint.h>

#include "agent/host/state.h"

struct err;
struct stop;

struct enrol_options {
	const char *token;  /* The text, "hf1...." */
	const char *name;   /* NULL: the host's own name. */
	const char *server; /* "host:port" in place of the token's; NULL: the token's. */
	int replace;	    /* Although already enrolled. */
	uint32_t retry_ms;  /* Give up after so long; 0: one attempt. */
	struct stop *stop;  /* May be NULL. */
	uint8_t machine[STATE_HASH_LEN];
};

/*
 * Enrol and keep the certificate; `name` gets the name the server gave.  The
 * state must be locked.  ERR_EXISTS (enrolled already, or the name is taken),
 * ERR_CORRUPT (not a token), ERR_DENIED (wrong, used-up, expired token, or not
 * the server it was made for), ERR_IO, ERR_TIMEOUT, ERR_CANCELED (stopped).
 */
int enrol_run(const struct state *st, const struct enrol_options *options,
    char name[CERT_NAME_MAX], struct err *err);

#define ENROL_HOST_MAX 256

/* This machine's name in the network, perhaps with its domain (enrol_host_SYSTEM.c). */
int enrol_host_name(char out[ENROL_HOST_MAX], struct err *err);

/*
 * Be nobody's host: key, certificate, what was remembered and what waits go, the key
 * first; agent.conf stays.  The server is not told, the host's points stay there.  The
 * state must be locked.  Nothing left is fine.
 */
int enrol_forget(const struct state *st, struct err *err);

#endif /* AGENT_SESSION_ENROL_H */
