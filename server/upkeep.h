/*
 * upkeep.h - what the server does without being asked: a thread of its own.
 *
 * It looks every few seconds at the store's clock and disk, and logs what has
 * changed.  upkeep_start() once the store is open, upkeep_stop() before it is
 * closed.
 */
#ifndef SERVER_UPKEEP_H
#define SERVER_UPKEEP_H

struct config;
struct err;
struct store;
struct upkeep;

int upkeep_start(struct store *store, const struct config *config, struct upkeep **out,
    struct err *err);

/* Ends what is under way, soon.  NULL is allowed. */
void upkeep_stop(struct upkeep *u);

#endif /* SERVER_UPKEEP_H */
