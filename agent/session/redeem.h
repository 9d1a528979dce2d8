/*
 * redeem.h - an empty machine at the server: how it gets to read one host's points.
 *
 * It has a restore token, or it says which MAC addresses it has and waits until an
 * operator has armed one of them and confirmed the code that it shows.  Either way
 * it gets a certificate for one host and one restore, which lives in memory only.
 * The authority comes from the rescue image and is never fetched.
 *
 *	redeem_new -> redeem_begin -> redeem_dial / redeem_report ... -> redeem_free
 *
 * The server knows the machine again by its id: after a power cut, days later, the
 * same token or code begins at the same point, until `done` was reported.
 */
#ifndef AGENT_SESSION_REDEEM_H
#define AGENT_SESSION_REDEEM_H

#include <stdint.h>

#include "agent/session/dial.h"
#include "proto/tls/restore_token.h"

struct err;
struct redeem;
struct stop;

#define REDEEM_MAC_LEN 6
#define REDEEM_MACS_MAX 16u

struct redeem_options {
	const char *server;  /* "host:port" */
	const char *ca_path; /* The authority's certificate, PEM. */
	const char *token;   /* As typed; NULL: by MAC. */
	const uint8_t (*macs)[REDEEM_MAC_LEN];
	unsigned macs_count;		 /* At most REDEEM_MACS_MAX. */
	uint8_t machine[STATE_HASH_LEN]; /* state_machine() of the mainboard's UUID. */
	struct stop *stop;		 /* May be NULL; must outlive the redeem. */
};

/* What the server allowed. */
struct redeem_facts {
	char host[CERT_NAME_MAX];
	uint64_t sequence; /* The point that counts as "latest" in this restore. */
	int only;	   /* No other point may be read. */
	int resumed;	   /* Begun before: what is on the disks may be right already. */
	uint64_t id;	   /* Of the restore, for people and logs. */
};

/*
 * Read the authority and the token, make a key; no network.  Everything is copied.
 * ERR_CORRUPT (the token, the certificate), ERR_NOTFOUND, ERR_IO.
 */
int redeem_new(const struct redeem_options *o, struct redeem **out, struct err *err);
void redeem_free(struct redeem *r);

/* The code of our key, as the operator must see it: "XXXX-XXXX". */
void redeem_code(const struct redeem *r, char code[RESTORE_CODE_TEXT_MAX]);

/*
 * Be let in.  With a token it is one attempt: dial_may_retry() says whether another
 * may help (the network); ERR_DENIED is the server's final word.  By MAC it asks
 * again until an operator has confirmed; `waits` (may be NULL) is called at first
 * and whenever the server was asked, with the code to show.  Network losses while
 * it waits are waited out.  ERR_CANCELED: `stop`.
 */
int redeem_begin(struct redeem *r, void (*waits)(void *arg, const char *code), void *arg,
    struct redeem_facts *out, struct err *err);

/*
 * A session as that host's rescue; any number, from any thread.  disk_restore's
 * `dial`: `redeem` is the struct redeem.  One attempt: dial_may_retry().  If the
 * certificate does not count any more (it ended, the server was put back) the
 * token or code is redeemed again by the way.  dial_close() it.
 */
int redeem_dial(void *redeem, struct dial *out, struct err *err);

enum redeem_state {
	REDEEM_BEGUN = 1,
	REDEEM_PROGRESS = 2,
	REDEEM_DONE = 3,
	REDEEM_FAILED = 4
};

struct redeem_report {
	enum redeem_state state;
	uint64_t sequence; /* The point; with REDEEM_BEGUN it becomes that of restarts. */
	uint64_t bytes, total;
	const char *text; /* One line for people: "disk0, verifying"; why it failed. */
};

/*
 * Tell the server, over a session of its own that is kept; one thread at a time.
 * REDEEM_DONE ends the restore: nothing is let in by it any more; said again
 * because its answer was lost it is no failure.  REDEEM_FAILED is only shown: the same
 * machine may try again.
 */
int redeem_report(struct redeem *r, const struct redeem_report *what, struct err *err);

#endif /* AGENT_SESSION_REDEEM_H */
