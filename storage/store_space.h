/*
 * store_space.h - what happens when the disk fills up.
 *
 *	low water	no new backup begins; those under way go on
 *	full		writes fail with ERR_NOSPACE, nothing is lost
 *	the reserve	a file of the store that only takes room.  It is given up
 *			when what frees space (pruning, collecting), or a record that
 *			must be made, finds no room; until there is room to make it
 *			again, backups put nothing
 *
 * store_space_tick() looks at the disk, and says what has changed.  Any thread
 * may call.
 */
#ifndef STORAGE_STORE_SPACE_H
#define STORAGE_STORE_SPACE_H

#include <stdint.h>

#include "storage/store.h"

struct err;
struct journal_event;
struct store_options;
struct store_space;

#define STORE_RESERVE_NAME "reserve"

/* What the store itself has to say to an operator, beside the hosts' alarms. */
enum store_notice {
	STORE_NOTICE_CLOCK = 1,
	STORE_NOTICE_SPACE = 2,
	STORE_NOTICE_ROLLBACK = 3, /* storage/store_rollback.h */
	STORE_NOTICE_GUESSES = 4   /* storage/store_restores.h */
};
#define STORE_NOTICES_MAX 4u

struct store_alarm {
	enum store_notice kind;
	char text[STORE_TEXT_MAX];
};

/* The alarms that stand now; returns how many. */
uint32_t store_alarms(struct store *s, struct store_alarm out[STORE_NOTICES_MAX]);

/*
 * Look at clock and disk: raise and end alarms, make the reserve again.  `tell`
 * gets each line that is new, for the log; `over` for an alarm that has ended.  To
 * be called every few seconds.  What cannot be recorded now is tried next time.
 */
void store_tick(
    struct store *s, void (*tell)(void *arg, int over, const char *line), void *arg);

/* Bytes that the reserve takes now. */
uint64_t store_space_reserve(struct store *s);

/* May a new backup begin?  0, or ERR_NOSPACE with a line for its host. */
int store_space_admit(struct store *s, struct err *err);

/*
 * To be called before work that frees space: gives the reserve up if there is
 * less room than it would make.
 */
void store_space_lend(struct store *s);

/*
 * To be called before collecting, now and then: seals what is being filled, since
 * only what is sealed can be collected, or counted as checked.
 */
int store_space_seal(struct store *s, struct err *err);

/* ----------------------------------------------------- for store*.c alone -- */

/* The store is locked, and nothing else of it is open yet. */
int store_space_open(struct store *s, const struct store_options *o, struct err *err);
void store_space_free(struct store_space *sp);

/* Make the reserve, if there is none and room for it; the store is open. */
void store_space_settle(struct store *s);

/* A write met a full disk: 1 if the reserve made room, and trying again is worth it. */
int store_space_yield(struct store *s);

/* May a backup put a group?  0, or ERR_NOSPACE while the reserve is not there. */
int store_space_may_put(struct store *s, struct err *err);

#endif /* STORAGE_STORE_SPACE_H */
