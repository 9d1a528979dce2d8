#include "storage/store_time.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/journal.h"
#include "storage/store_options.h"
#include "storage/store_space.h"
#include "storage/store_state.h"

#define SECOND_US ((int64_t)1000000)
#define DAY_US (86400 * SECOND_US)

struct store_time {
	int64_t (*clock)(void), (*monotonic)(void);
	int64_t slack_us; /* 0: the clock is believed, whatever it says. */

	pthread_mutex_t lock; /* A leaf: the journal's is held when it asks. */
	/* The store's time was `base_us` when the monotonic clock said `base_at`. */
	int64_t base_us, base_at;
	int64_t ahead_us; /* How far the clock may be ahead of that. */
	int settled;	  /* The clock has been believed since opening. */
	int64_t last_us;  /* The last answer: never less. */

	/* What the journal says, and since when it says it: by one thread at a time. */
	pthread_mutex_t noting;
	char noted[STORE_TEXT_MAX];
	int64_t noted_us;
};

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * SECOND_US + ts.tv_nsec / 1000;
}

static int64_t
system_clock(void)
{
	return read_clock(CLOCK_REALTIME);
}

static int64_t
system_monotonic(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/* The store's time; `*off_us` gets by how much the clock is wrong, 0 if it is believed.
 */
static int64_t
judge_locked(struct store_time *t, int64_t *off_us)
{
	int64_t wall = t->clock(), at = t->monotonic(), now;

	*off_us = 0;
	now = t->base_us + (at - t->base_at);
	if (t->slack_us == 0 ||
	    (wall >= now - t->slack_us && wall <= now + t->ahead_us)) {
		if (!t->settled) {
			t->settled = 1;
			t->ahead_us = t->slack_us;
			t->base_us = wall;
			t->base_at = at;
		}
		now = wall;
	} else {
		*off_us = wall - now;
	}
	if (now < t->last_us)
		now = t->last_us;
	t->last_us = now;
	return now;
}

static int64_t
judge(struct store_time *t, int64_t *off_us)
{
	int64_t now;

	pthread_mutex_lock(&t->lock);
	now = judge_locked(t, off_us);
	pthread_mutex_unlock(&t->lock);
	return now;
}

/* The journal asks this instead of the machine's clock. */
static int64_t
journal_clock(void *arg)
{
	int64_t off;

	return judge(arg, &off);
}

/* "3 days", "5 hours". */
static void
say_span(int64_t us, char *out, size_t cap)
{
	int64_t n = us < 0 ? -(us / SECOND_US) : us / SECOND_US;

	if (n >= 2 * 86400)
		(void)snprintf(out, cap, "%lld days", (long long)(n / 86400));
	else
		(void)snprintf(out, cap, "%lld hours", (long long)(n / 3600));
}

/* The alarm's line, which must not change while it stands. */
static void
say(int64_t off, char why[STORE_TEXT_MAX])
{
	char span[32];

	say_span(off, span, sizeof(span));
	(void)snprintf(why, STORE_TEXT_MAX,
	    "the server's clock is %s %s the store's time: nothing is pruned and no lock "
	    "opens until it is right again, or `holdfast clock accept` says that it is",
	    span, off > 0 ? "ahead of" : "behind");
}

int
store_time_paused(struct store *s, char why[STORE_TEXT_MAX])
{
	int64_t off;

	(void)judge(s->time, &off);
	if (off == 0)
		return 0;
	if (why != NULL)
		say(off, why);
	return 1;
}

int64_t
store_time_trusted(struct store *s)
{
	int64_t off;

	return judge(s->time, &off);
}

/* -------------------------------------------------------------- open, close -- */

/*
 * Where the store's time begins: where the last record ended.  But if a wrong
 * clock was accepted once, records have been ahead since, a microsecond apart;
 * then what was noted last counts.
 */
static int64_t
last_known(struct store *s, const struct catalog_notice *n)
{
	struct journal_place end;

	journal_end(s->journal, &end);
	if (n->time_us == 0)
		return end.time_us;
	if (n->time_us > n->trusted_us + SECOND_US &&
	    end.time_us - n->time_us < SECOND_US)
		return n->trusted_us;
	return end.time_us > n->trusted_us ? end.time_us : n->trusted_us;
}

int
store_time_open(struct store *s, const struct store_options *o, struct err *err)
{
	struct catalog_notice n;
	struct store_time *t;
	int64_t off;

	if (catalog_notice(s->catalog, STORE_NOTICE_CLOCK, &n, err) != 0)
		return -1;
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the store's time");
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->noting, NULL);
	t->clock = o->clock != NULL ? o->clock : system_clock;
	t->monotonic = o->monotonic != NULL ? o->monotonic : system_monotonic;
	t->ahead_us = o->clock_jump_us;
	t->slack_us = o->clock_jump_us < STORE_TIME_SLACK_US ? o->clock_jump_us
							     : STORE_TIME_SLACK_US;
	t->base_us = last_known(s, &n);
	t->base_at = t->monotonic();
	memcpy(t->noted, n.text, sizeof(t->noted));
	t->noted_us = n.trusted_us;
	s->time = t;
	(void)judge(t, &off);
	journal_set_clock(s->journal, journal_clock, t);
	return 0;
}

void
store_time_free(struct store_time *t)
{
	if (t == NULL)
		return;
	pthread_mutex_destroy(&t->noting);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ------------------------------------------------------------------ noting -- */

/* Record an alarm, or its end, with the time that is believed.  `noting` is held. */
static int
note(struct store *s, const char *text, int64_t trusted_us, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_STORE_ALARM;
	e->u.notice.kind = STORE_NOTICE_CLOCK;
	e->u.notice.trusted_us = trusted_us;
	(void)snprintf(e->u.notice.text, sizeof(e->u.notice.text), "%s", text);
	ret = store_record(s, e, NULL, err);
	free(e);
	if (ret == 0) {
		(void)snprintf(s->time->noted, sizeof(s->time->noted), "%s", text);
		s->time->noted_us = trusted_us;
	}
	return ret;
}

int
store_time_tick(struct store *s, char said[STORE_TEXT_MAX], struct err *err)
{
	struct store_time *t = s->time;
	int64_t off, now = judge(t, &off);
	struct journal_place end;
	char why[STORE_TEXT_MAX] = "";
	int ret = 0;

	said[0] = '\0';
	if (off != 0)
		say(off, why);
	pthread_mutex_lock(&t->noting);
	journal_end(s->journal, &end);
	if ((off != 0) != (t->noted[0] != '\0')) {
		/* Said even if it cannot be recorded yet. */
		(void)snprintf(said, STORE_TEXT_MAX, "%s",
		    off != 0 ? why : "the server's clock is believed again");
		ret = note(s, why, now, err);
	} else if (end.time_us > now + STORE_TIME_SLACK_US &&
		   (now - t->noted_us > DAY_US || now < t->noted_us)) {
		/* Records cannot tell the time now: this one does. */
		ret = note(s, t->noted, now, err);
	}
	pthread_mutex_unlock(&t->noting);
	return ret;
}

int
store_time_accept(struct store *s, const char *who, struct err *err)
{
	struct store_time *t = s->time;
	int64_t wall = t->clock();
	char what[STORE_TEXT_MAX], date[32];
	time_t at = (time_t)(wall / SECOND_US);
	struct tm tm;
	int ret;

	if (s->read_only)
		return err_set(err, ERR_DENIED, "the store is open read-only");
	(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", gmtime_r(&at, &tm));
	(void)snprintf(what, sizeof(what), "accepted the server's clock: %s UTC", date);
	pthread_mutex_lock(&t->noting);
	/* In the journal first: what is not durable must open no lock. */
	ret = store_audit(s, who, what, err);
	if (ret == 0)
		ret = note(s, "", wall, err);
	if (ret == 0) {
		pthread_mutex_lock(&t->lock);
		t->base_us = t->last_us = wall;
		t->base_at = t->monotonic();
		t->ahead_us = t->slack_us;
		t->settled = 1;
		pthread_mutex_unlock(&t->lock);
	}
	pthread_mutex_unlock(&t->noting);
	return ret;
}
