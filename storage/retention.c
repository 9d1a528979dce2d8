#include "storage/retention.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"

#define SECOND_US 1000000
#define DAY_S 86400

/*
 * Slots of one rule come in falling order but around a change of the clocks, when
 * a few may come again: none comes back behind this many others.
 */
#define BACK 8u

/* ----------------------------------------------------------------- calendar -- */

static int32_t
local_offset(void *arg, int64_t time_us)
{
	time_t t = (time_t)(time_us / SECOND_US);
	struct tm tm;

	(void)arg;
	return localtime_r(&t, &tm) != NULL ? (int32_t)tm.tm_gmtoff : 0;
}

const struct retention_zone retention_local = { local_offset, NULL };

void
retention_local_name(int64_t time_us, char out[32])
{
	time_t t = (time_t)(time_us / SECOND_US);
	struct tm tm;

	out[0] = '\0';
	if (localtime_r(&t, &tm) != NULL)
		(void)snprintf(out, 32, "%s", tm.tm_zone);
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int
is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

struct civil {
	int64_t year;
	int month, day, yday; /* Month and day from 1, yday from 0. */
};

/* The date of a day, counted from 1970-01-01. */
static struct civil
civil_of(int64_t days)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	/* Days since 0001-01-01, by whole cycles of 400, 100, 4 and 1 years. */
	int64_t d = days + 719162, era = floor_div(d, 146097), left = d - era * 146097;
	int64_t c = left / 36524 > 3 ? 3 : left / 36524, q, y;
	struct civil out;
	int n;

	left -= c * 36524;
	q = left / 1461;
	left -= q * 1461;
	y = left / 365 > 3 ? 3 : left / 365;
	left -= y * 365;
	out.year = 1 + era * 400 + c * 100 + q * 4 + y;
	out.yday = (int)left;
	for (out.month = 1;; out.month++) {
		n = lengths[out.month - 1] + (out.month == 2 && is_leap(out.year));
		if (left < n)
			break;
		left -= n;
	}
	out.day = (int)left + 1;
	return out;
}

/* What tells a slot from others of its rule. */
struct slot {
	int64_t key;
	int32_t offset; /* Of hours only: one that comes twice is two. */
};

static struct slot
slot_of(enum retention_rule rule, const struct retention_zone *zone,
    const struct retention_point *p)
{
	int32_t offset = zone->offset_s(zone->arg, p->time_us);
	int64_t local = floor_div(p->time_us, SECOND_US) + offset;
	int64_t days = floor_div(local, DAY_S);
	struct slot s = { 0, 0 };
	struct civil c;

	switch (rule) {
	case RETENTION_HOURLY:
		s.key = floor_div(local, 3600);
		s.offset = offset;
		return s;
	case RETENTION_DAILY:
		s.key = days;
		return s;
	case RETENTION_WEEKLY:
		s.key = floor_div(days + 3, 7); /* 1970 began on a Thursday. */
		return s;
	case RETENTION_MONTHLY:
		c = civil_of(days);
		s.key = c.year * 12 + c.month;
		return s;
	case RETENTION_YEARLY:
		s.key = civil_of(days).year;
		return s;
	default:
		s.key = (int64_t)p->sequence;
		return s;
	}
}

/* ------------------------------------------------------------------ judging -- */

int
retention_any(const struct store_rules *r)
{
	return r->last != 0 || r->hourly != 0 || r->daily != 0 || r->weekly != 0 ||
	       r->monthly != 0 || r->yearly != 0 || r->within_s != 0;
}

static uint32_t
count_of(const struct store_rules *r, enum retention_rule rule)
{
	const uint32_t counts[RETENTION_COUNTED] = { r->last, r->hourly, r->daily,
		r->weekly, r->monthly, r->yearly, r->min_verified, r->min_points };

	return counts[rule];
}

/* Points by age, and what was found of them. */
struct judging {
	const struct store_rules *rules;
	const struct retention_point *points;
	const struct retention_zone *zone;
	int64_t now_us;
	struct retention_verdict *out;
	size_t n;
	size_t *order; /* Newest first. */
};

static void
keep(struct judging *j, size_t i, enum retention_rule rule, uint32_t number)
{
	j->out[i].rules |= 1u << rule;
	if (rule < RETENTION_COUNTED)
		j->out[i].number[rule] = number;
}

/* The last few slots met. */
struct met {
	struct slot slots[BACK];
	unsigned n;
};

static int
met_before(const struct met *m, const struct slot *s)
{
	for (unsigned i = 0; i < BACK && i < m->n; i++)
		if (m->slots[i].key == s->key && m->slots[i].offset == s->offset)
			return 1;
	return 0;
}

static void
meet(struct met *m, const struct slot *s)
{
	m->slots[m->n++ % BACK] = *s;
	if (m->n == 2 * BACK)
		m->n = BACK;
}

static void
judge_slots(struct judging *j, enum retention_rule rule)
{
	uint32_t limit = count_of(j->rules, rule), whole = 0;
	struct met any = { .n = 0 }, good = { .n = 0 };

	for (size_t k = 0; k < j->n && whole < limit; k++) {
		size_t i = j->order[k];
		const struct retention_point *p = &j->points[i];
		struct slot s = slot_of(rule, j->zone, p);

		if (p->time_us > j->now_us ||
		    (rule == RETENTION_VERIFIED && !p->verified))
			continue;
		if (p->damaged && !met_before(&any, &s))
			keep(j, i, rule, whole + 1);
		if (!p->damaged && !met_before(&good, &s)) {
			keep(j, i, rule, ++whole);
			meet(&good, &s);
		}
		if (!met_before(&any, &s))
			meet(&any, &s);
	}
}

/* Does it count, or is it only kept beside those that do? */
static int
counts(const struct judging *j, size_t i)
{
	return !j->points[i].damaged && j->points[i].time_us <= j->now_us;
}

/* Add the newest that no rule keeps until enough stay: those that count, then any. */
static void
judge_minimum(struct judging *j)
{
	uint32_t kept = 0;

	for (int counting = 1; counting >= 0; counting--) {
		for (size_t i = 0; i < j->n; i++)
			kept += counts(j, i) == counting && j->out[i].rules != 0;
		for (size_t k = 0; k < j->n && kept < j->rules->min_points; k++) {
			size_t i = j->order[k];

			if (counts(j, i) == counting && j->out[i].rules == 0)
				keep(j, i, RETENTION_MINIMUM, ++kept);
		}
	}
}

/*
 * After all others: whatever else stays, what will not turn out to be wrong stays, and one
 * that is whole beside those that are not.
 */
static void
judge_good(struct judging *j)
{
	int whole = 0, damaged = 0;

	for (size_t i = 0; i < j->n; i++) {
		whole |= counts(j, i) && j->out[i].rules != 0;
		damaged |= j->points[i].damaged && j->out[i].rules != 0;
	}
	for (size_t k = 0; k < j->n; k++) {
		size_t i = j->order[k];

		if (!counts(j, i))
			continue;
		if ((damaged && !whole) || j->points[i].proven)
			keep(j, i, RETENTION_GOOD, 0);
		whole = 1;
	}
}

static void
judge_each(struct judging *j)
{
	const uint64_t most = UINT64_MAX / SECOND_US;
	int empty = !retention_any(j->rules);
	uint64_t within_s = j->rules->within_s, within_us;

	within_us = within_s < most ? within_s * SECOND_US : UINT64_MAX;

	for (size_t i = 0; i < j->n; i++) {
		const struct retention_point *p = &j->points[i];

		if (p->held)
			keep(j, i, RETENTION_HELD, 0);
		if (p->locked)
			keep(j, i, RETENTION_LOCKED, 0);
		if (empty)
			keep(j, i, RETENTION_EMPTY, 0);
		if (p->time_us > j->now_us)
			keep(j, i, RETENTION_AHEAD, 0);
		else if (within_s > 0 &&
			 (uint64_t)j->now_us - (uint64_t)p->time_us <= within_us)
			keep(j, i, RETENTION_WITHIN, 0);
	}
}

/* A merge sort by age: qsort() has nowhere to put the points. */
static int
newer(const struct retention_point *a, const struct retention_point *b)
{
	return a->time_us != b->time_us ? a->time_us > b->time_us
					: a->sequence > b->sequence;
}

static void
sort(const struct retention_point *p, size_t *order, size_t *room, size_t n)
{
	size_t half = n / 2, a = 0, b = half;

	if (n < 2)
		return;
	sort(p, order, room, half);
	sort(p, order + half, room, n - half);
	for (size_t k = 0; k < n; k++)
		room[k] = b == n || (a < half && !newer(&p[order[b]], &p[order[a]]))
			      ? order[a++]
			      : order[b++];
	memcpy(order, room, n * sizeof(*order));
}

int
retention_judge(const struct store_rules *rules, const struct retention_point *points,
    size_t n, const struct retention_zone *zone, int64_t now_us,
    struct retention_verdict *out, struct err *err)
{
	struct judging j = { .rules = rules,
		.points = points,
		.zone = zone,
		.now_us = now_us,
		.out = out,
		.n = n };
	size_t *room;

	if (n == 0)
		return 0;
	memset(out, 0, n * sizeof(*out));
	j.order = calloc(n, 2 * sizeof(*j.order));
	if (j.order == NULL)
		return err_set(err, ERR_NOMEM, "no memory to judge %zu points", n);
	room = j.order + n;
	for (size_t i = 0; i < n; i++)
		j.order[i] = i;
	sort(points, j.order, room, n);
	for (int rule = RETENTION_LAST; rule <= RETENTION_VERIFIED; rule++)
		judge_slots(&j, (enum retention_rule)rule);
	judge_each(&j);
	judge_minimum(&j);
	judge_good(&j);
	free(j.order);
	return 0;
}

/* ------------------------------------------------------------------- saying -- */

struct text {
	char *p;
	size_t cap, len;
	int items;
};

static void add(struct text *t, const char *fmt, ...) ERR_PRINTF(2, 3);

/* Another item of a list; what does not fit is cut. */
static void
add(struct text *t, const char *fmt, ...)
{
	size_t room;
	va_list ap;
	int n;

	if (t->items++ > 0 && t->len + 2 < t->cap) {
		memcpy(t->p + t->len, ", ", 3);
		t->len += 2;
	}
	room = t->cap - t->len;
	va_start(ap, fmt);
	n = vsnprintf(t->p + t->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n < room ? (size_t)n : room - 1;
}

static const char *const names[RETENTION_RULES] = { "last", "hourly", "daily", "weekly",
	"monthly", "yearly", "verified", "minimum", "within", "held", "locked",
	"later than the server's time", "no rules", "the last good one" };

/* " (2026-11-23)", or nothing for a rule without slots. */
static void
say_slot(enum retention_rule rule, const struct retention_zone *zone,
    const struct retention_point *p, char out[64])
{
	int32_t offset = zone->offset_s(zone->arg, p->time_us);
	int64_t local = floor_div(p->time_us, SECOND_US) + offset;
	int64_t days = floor_div(local, DAY_S), thursday;
	struct civil c = civil_of(days);

	out[0] = '\0';
	switch (rule) {
	case RETENTION_HOURLY:
		(void)snprintf(out, 64, " (%04lld-%02d-%02d %02d:00)", (long long)c.year,
		    c.month, c.day, (int)(floor_div(local, 3600) - days * 24));
		return;
	case RETENTION_DAILY:
		(void)snprintf(
		    out, 64, " (%04lld-%02d-%02d)", (long long)c.year, c.month, c.day);
		return;
	case RETENTION_WEEKLY:
		/* A week is of the year in which its Thursday is. */
		thursday = floor_div(days + 3, 7) * 7;
		c = civil_of(thursday);
		(void)snprintf(
		    out, 64, " (%04lld-W%02d)", (long long)c.year, c.yday / 7 + 1);
		return;
	case RETENTION_MONTHLY:
		(void)snprintf(out, 64, " (%04lld-%02d)", (long long)c.year, c.month);
		return;
	case RETENTION_YEARLY:
		(void)snprintf(out, 64, " (%04lld)", (long long)c.year);
		return;
	default:
		return;
	}
}

/* "30d", "36h", "90s" */
static const char *
say_span(uint64_t s, char out[32])
{
	static const struct {
		uint64_t s;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	unsigned u = 0;

	while (s % units[u].s != 0)
		u++;
	(void)snprintf(
	    out, 32, "%llu%c", (unsigned long long)(s / units[u].s), units[u].unit);
	return out;
}

void
retention_say(const struct store_rules *rules, const struct retention_point *p,
    const struct retention_verdict *v, const struct retention_zone *zone, char *out,
    size_t cap)
{
	struct text t = { .p = out, .cap = cap };
	char room[64];

	out[0] = '\0';
	if (v->rules == 0)
		add(&t, "no rule keeps it");
	for (int rule = 0; rule < RETENTION_RULES; rule++) {
		if ((v->rules >> rule & 1) == 0)
			continue;
		if (rule == RETENTION_WITHIN) {
			add(&t, "within %s", say_span(rules->within_s, room));
		} else if (rule >= RETENTION_COUNTED) {
			add(&t, "%s", names[rule]);
		} else {
			say_slot((enum retention_rule)rule, zone, p, room);
			add(&t, "%s %u of %u%s", names[rule], v->number[rule],
			    count_of(rules, (enum retention_rule)rule), room);
		}
	}
}

void
retention_say_rules(const struct store_rules *r, char *out, size_t cap)
{
	struct text t = { .p = out, .cap = cap };
	char room[32];

	out[0] = '\0';
	for (int rule = RETENTION_LAST; rule <= RETENTION_YEARLY; rule++)
		if (count_of(r, (enum retention_rule)rule) > 0)
			add(&t, "%s %u", names[rule],
			    count_of(r, (enum retention_rule)rule));
	if (r->within_s > 0)
		add(&t, "within %s", say_span(r->within_s, room));
	if (!retention_any(r))
		add(&t, "everything");
	add(&t, "at least %u, %u verified", r->min_points, r->min_verified);
	if (r->verified_s > 0)
		add(&t, "the newest verified one at most %s old",
		    say_span(r->verified_s, room));
}
