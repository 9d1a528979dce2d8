/*
 * store_rollback.h - an older copy in the store's place is noticed.
 *
 * Nothing inside a store can tell that yesterday's copy was put back: whole and
 * authentic it is as it was.  So those who speak to it remember where its journal
 * ended, and tell it; what it does not know was lost, or never was.  Any thread
 * may call.
 */
#ifndef STORAGE_STORE_ROLLBACK_H
#define STORAGE_STORE_ROLLBACK_H

#include <stdint.h>

#include "storage/store.h"

struct err;

#define STORE_SEEN_LEN 48u /* Offset 8, sequence 8, hash 32. */

/* What there is to remember now: durable, so this store knows it for ever. */
void store_seen_now(struct store *s, uint8_t out[STORE_SEEN_LEN]);

/* Does the store know what was once store_seen_now()?  1, 0, -1. */
int
store_seen_known(struct store *s, const uint8_t seen[STORE_SEEN_LEN], struct err *err);

/*
 * `host` saw what is not here (`what`: one word for it): raises its alarm and the
 * store's own, each once until it is cleared; another alarm of the host stays.
 */
int
store_rollback_note(struct store *s, const char *host, const char *what, struct err *err);

/* Does the store's own alarm stand?  Then `text` says so in a line. */
int store_rollback_stands(struct store *s, char text[STORE_TEXT_MAX]);

/*
 * An operator has seen to it: clear the alarm of a peer, or the store's (`name`
 * "").  ERR_NOTFOUND: no such peer, or no alarm of it.
 */
int
store_alarm_clear(struct store *s, const char *name, const char *who, struct err *err);

#endif /* STORAGE_STORE_ROLLBACK_H */
