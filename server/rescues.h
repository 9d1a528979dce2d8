/*
 * rescues.h - what the server remembers of rescues, until it stops: machines that
 * wait to be confirmed, what those at work last reported, and how many wrong tokens came.
 *
 * Everything that strangers can make it remember has a limit, of all and of one
 * address: a flood costs nothing but its own places.  Of IPv6 the first 64 bits
 * are one address.  Times are milliseconds of a clock that does not go back, given
 * by the caller.  Any thread may call.
 */
#ifndef SERVER_RESCUES_H
#define SERVER_RESCUES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/tls/restore_token.h"
#include "storage/store_restores.h"

struct err;
struct rescues;

#define RESCUES_WAITING_MAX 64u
#define RESCUES_WAITING_EACH 4u	 /* From one address; for one armed restore. */
#define RESCUES_WAITING_MS 60000 /* Since it last asked. */
#define RESCUES_MACS_MAX 16u
#define RESCUES_PROGRESS_MAX 256u
#define RESCUES_ADDRESS_MAX 64

/* So many wrong tokens within that time: an operator must hear of it. */
#define RESCUES_GUESSES_ALARM 50u
#define RESCUES_GUESS_MS 600000

/* A machine that waits for an operator. */
struct rescues_waiting {
	uint8_t key_hash[STORE_HASH_LEN], machine[STORE_HASH_LEN];
	char code[RESTORE_CODE_TEXT_MAX];
	char address[RESCUES_ADDRESS_MAX];
	unsigned macs_count;
	uint8_t macs[RESCUES_MACS_MAX][STORE_MAC_LEN];
	uint64_t armed; /* The restore that one of its MACs is armed for; 0: none. */
	int64_t since_us, seen_ms;
};

/* What a machine at work last said. */
struct rescues_progress {
	uint64_t restore;
	uint32_t state; /* As in ReportRestore; 0: it was here, and has not reported. */
	uint64_t bytes, total;
	char text[STORE_TEXT_MAX];
	char address[RESCUES_ADDRESS_MAX];
	int64_t seen_us;
};

/* NULL without memory. */
struct rescues *rescues_new(void);
void rescues_free(struct rescues *r);

/*
 * A machine asks: it waits from now on, or still.  ERR_BUSY if there is no place.  One
 * that is armed takes that of one that is not, and shares none with others of its
 * address: a whole site may be behind that, and be armed.  It shares those of its
 * restore, for a MAC is easily copied.
 */
int rescues_wait(
    struct rescues *r, const struct rescues_waiting *w, int64_t now_ms, struct err *err);

/* Those that wait now; returns how many. */
size_t rescues_waiting(
    struct rescues *r, int64_t now_ms, struct rescues_waiting out[RESCUES_WAITING_MAX]);

/* It waits no more. */
void rescues_forget(struct rescues *r, const uint8_t key_hash[STORE_HASH_LEN]);

/* Of more than RESCUES_PROGRESS_MAX the one seen longest ago is forgotten. */
void rescues_note(struct rescues *r, const struct rescues_progress *p);
/* 1, or 0 if nothing is known of it. */
int rescues_noted(struct rescues *r, uint64_t restore, struct rescues_progress *out);

/*
 * A token was nobody's, whether it was to enrol or to restore.  Non-zero if it is time
 * for an alarm: once in RESCUES_GUESS_MS.
 *
 * Nobody is made to wait for it: 120 bits are not guessed at any rate that a server can
 * be asked at, and behind one address may be a whole site, one host of which has an old
 * token.
 */
int rescues_wrong(struct rescues *r, int64_t now_ms);

#endif /* SERVER_RESCUES_H */
