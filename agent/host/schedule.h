/*
 * schedule.h - when `run` is to make its next backup, across its own restarts: the file
 * "schedule" in the state directory.
 *
 * The interval counts from the end of the last good backup of the same volumes to the same
 * server, and one that ended without a word (a crash, a power cut) is not begun again at
 * once: a service that falls over and over must not read its disks all day.  A clock that
 * was wrong, then or now, never puts a backup off: what lies in the future is not known.
 * While the program runs it counts by its own clock (awake.h).
 *
 *	+0	8	magic "HFSCHED1"
 *	+8	8	when the last good one ended, microseconds since 1970; 0: none
 *	+16	8	when one began that has not ended; 0: none
 *	+24	32	hash of what was backed up, and for whom
 *	+56	32	BLAKE3-256 of the bytes before
 */
#ifndef AGENT_HOST_SCHEDULE_H
#define AGENT_HOST_SCHEDULE_H

#include <stdint.h>

struct err;
struct settings;
struct state;

#define SCHEDULE_NAME "schedule" /* Of its file. */
#define SCHEDULE_WHAT 32u
/* A clock that was put right by so much, in seconds, is the same clock. */
#define SCHEDULE_SKEW_S 3600

struct schedule {
	int64_t done_us, began_us;
	uint8_t what[SCHEDULE_WHAT];
};

/* What these settings back up, and for which host of which server. */
void schedule_what(
    const struct state *st, const struct settings *s, uint8_t out[SCHEDULE_WHAT]);

/* What was kept; zeros if there is nothing, or it is not whole. */
void schedule_load(const struct state *st, struct schedule *out);

/* A backup of `what` begins, or has ended (`good`: with a point).  As state_write(). */
int schedule_begin(const struct state *st, struct schedule *s,
    const uint8_t what[SCHEDULE_WHAT], int64_t now_us, struct err *err);
int schedule_end(const struct state *st, struct schedule *s, int good, int64_t now_us,
    struct err *err);

/*
 * Seconds from `now_us` until the next backup of `what`, 0: at once.  `interval_s` is
 * between two good ones, `again_s` after one that did not end.
 */
uint32_t schedule_wait_s(const struct schedule *s, const uint8_t what[SCHEDULE_WHAT],
    int64_t now_us, uint32_t interval_s, uint32_t again_s);

#endif /* AGENT_HOST_SCHEDULE_H */
