/*
 * store_time.h - which time the store believes, and when it does not.
 *
 * The machine's clock may be wrong: set by hand, dead battery, a bad time
 * server.  What a wrong clock may never do is to open a lock or prune a point.
 * So the store goes by its own time: it begins where the last record ended and
 * goes on with the monotonic clock.  The machine's clock is followed as long as
 * it is near that.  If it jumps away, records go on in the store's own time,
 * pruning and unlocking pause, and an alarm says so, until the clock comes back
 * or an operator accepts it.
 *
 * After a time in which the server was off nobody can tell how long that was: the
 * clock may then be ahead by `clock_jump_us` (store_options.h).
 *
 * Any thread may call.
 */
#ifndef STORAGE_STORE_TIME_H
#define STORAGE_STORE_TIME_H

#include <stdint.h>

#include "storage/store.h"

struct err;
struct store_options; /* storage/store_options.h */
struct store_time;

/* How far the machine's clock may leave the store's time while the store is open. */
#define STORE_TIME_SLACK_US ((int64_t)86400 * 1000000)

/*
 * Is the time in doubt, so that nothing may be pruned and no lock may open?
 * Then `why` (may be NULL) gets a line.
 */
int store_time_paused(struct store *s, char why[STORE_TEXT_MAX]);

/*
 * The time by which locks and retention are judged: never ahead because of a
 * jump that nobody accepted.  store_now() may be ahead of it, if a wrong clock
 * was once accepted: points that are later than this are of such a time, and must
 * be kept.
 */
int64_t store_time_trusted(struct store *s);

/* An operator says that the machine's clock is right as it is now. */
int store_time_accept(struct store *s, const char *who, struct err *err);

/* ----------------------------------------------------- for store*.c alone -- */

/* The journal is open: take over its clock.  The catalog is asked what was noted. */
int store_time_open(struct store *s, const struct store_options *o, struct err *err);
void store_time_free(struct store_time *t);

/*
 * Record what the clock has come to: an alarm raised or over.  `said` gets the
 * line for the log, "" if nothing is new.
 */
int store_time_tick(struct store *s, char said[STORE_TEXT_MAX], struct err *err);

#endif /* STORAGE_STORE_TIME_H */
