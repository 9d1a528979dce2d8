/*
 * retention.h - which points a policy keeps, and why: a pure function.
 *
 * No clock, no store, no I/O: points, rules, a time zone and the time come in, a
 * verdict for each point comes out.  What the rules mean:
 *
 *	last N		the N newest points
 *	hourly N ...	of each of the N newest hours (days, weeks from Monday,
 *			months, years) that have points, the newest point.  Slots
 *			are those of the calendar in the zone given; an hour that
 *			comes twice when clocks go back is two.
 *	within		all points not older than that
 *	verified N	the N newest of those that were found whole
 *	minimum N	the newest of those that no other rule keeps, until N stay
 *	held, locked	stay whatever the rules say
 *	ahead		later than now: of a time when the clock was wrong
 *	last good	the newest proven point of each volume: what came behind it may
 *			all be found wrong at once.  And the newest whole one, where
 *			else only damaged ones would stay
 *
 * Rules without a number keep everything.  A damaged point takes nobody's place:
 * slots are counted and filled by whole ones.  It stays where it would stay if it
 * were whole, since damage can heal, and counts for nothing.
 *
 * Newer is later, and of equal times the higher sequence.
 */
#ifndef STORAGE_RETENTION_H
#define STORAGE_RETENTION_H

#include <stddef.h>
#include <stdint.h>

#include "storage/store_retention.h"

struct err;

/* Seconds east of UTC at a time; must be within 26 hours. */
struct retention_zone {
	int32_t (*offset_s)(void *arg, int64_t time_us);
	void *arg;
};

/* The time zone of this process (TZ, /etc/localtime). */
extern const struct retention_zone retention_local;

/* Its name now, for people: "CET". */
void retention_local_name(int64_t time_us, char out[32]);

struct retention_point {
	int64_t time_us;
	uint64_t sequence;
	int held, locked, verified, damaged;
	/* Of the points of one of its volumes that cannot be found to rest on a wrong list of
	 * changes any more, the newest that counts. */
	int proven;
};

/* Those before RETENTION_COUNTED have a number: "3 of 7". */
enum retention_rule {
	RETENTION_LAST,
	RETENTION_HOURLY,
	RETENTION_DAILY,
	RETENTION_WEEKLY,
	RETENTION_MONTHLY,
	RETENTION_YEARLY,
	RETENTION_VERIFIED,
	RETENTION_MINIMUM,
	RETENTION_COUNTED,
	RETENTION_WITHIN = RETENTION_COUNTED,
	RETENTION_HELD,
	RETENTION_LOCKED,
	RETENTION_AHEAD,
	RETENTION_EMPTY, /* There are no rules. */
	RETENTION_GOOD,	 /* The last good one. */
	RETENTION_RULES
};

struct retention_verdict {
	uint32_t rules; /* A bit for each that keeps it; 0: it goes. */
	uint32_t number[RETENTION_COUNTED]; /* From 1, newest first. */
};

/* Judge `n` points, in any order; out[i] is that of points[i].  ERR_NOMEM. */
int retention_judge(const struct store_rules *rules, const struct retention_point *points,
    size_t n, const struct retention_zone *zone, int64_t now_us,
    struct retention_verdict *out, struct err *err);

/* Is there any rule that says what to keep?  Without one nothing ever goes. */
int retention_any(const struct store_rules *rules);

/* "daily 3 of 7 (2026-11-23), weekly 1 of 4 (2026-W48)"; or "no rule keeps it". */
void retention_say(const struct store_rules *rules, const struct retention_point *p,
    const struct retention_verdict *v, const struct retention_zone *zone, char *out,
    size_t cap);

/* "last 3, daily 7, within 2d, at least 1, verified 1": the rules themselves. */
void retention_say_rules(const struct store_rules *rules, char *out, size_t cap);

#endif /* STORAGE_RETENTION_H */
