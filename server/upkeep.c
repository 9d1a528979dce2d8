#include "server/upkeep.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "server/config.h"
#include "server/upkeep_jobs.h"
#include "storage/store.h"
#include "storage/store_space.h"

#define LOOK_EVERY_MS 2000
#define SECOND_US ((int64_t)1000000)
/* What is done every so often is first done so long after the start. */
#define FIRST_AFTER_S 900u
#define NICE 10
#define TREES_EVERY_MIN_S 3600u

struct job {
	const char *name;
	int (*run)(const struct upkeep_run *r, struct err *err);
	uint64_t every_s; /* 0: at a time of day. */
	int minute;	  /* Of the day; or -1. */
	int on;
	int64_t due_ms; /* By the monotonic clock. */
	struct upkeep_status last;
};

struct upkeep {
	struct store *store;
	uint64_t rate, verify_cycle_s;
	int64_t trees_ms; /* When trees are to be walked again; the worker's. */
	int64_t lease_keep_us;
	int from,
	    to; /* Minutes of the day between which collecting and checking begin. */
	pthread_t watcher, worker;
	int watching, working;
	atomic_int stop;

	pthread_mutex_t lock; /* Guards the jobs. */
	int ended[2]; /* A pipe; its writing end is closed when it is time to end. */
	struct job jobs[UPKEEP_JOBS];
};

static int64_t
now_us(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * SECOND_US + t.tv_nsec / 1000;
}

static int64_t
now_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}

static void
tell(void *arg, int over, const char *line)
{
	(void)arg;
	log_event(over ? LOG_INFO : LOG_WARN, "store: %s", line);
}

/* Wait; non-zero once it is time to end. */
static int
rest(struct upkeep *u, int64_t ms)
{
	struct pollfd ended = { .fd = u->ended[0], .events = POLLIN };

	/* Woken early it looks once more than it had to. */
	(void)poll(&ended, 1, ms > INT_MAX ? INT_MAX : ms < 0 ? 0 : (int)ms);
	return atomic_load(&u->stop);
}

static void *
watch(void *arg)
{
	struct upkeep *u = arg;

	do
		store_tick(u->store, tell, u);
	while (!rest(u, LOOK_EVERY_MS));
	return NULL;
}

/* --------------------------------------------------------------------- when -- */

/* Minutes since midnight, where the server is. */
static int
minute_now(void)
{
	time_t now = time(NULL);
	struct tm tm;

	(void)localtime_r(&now, &tm);
	return tm.tm_hour * 60 + tm.tm_min;
}

static int
in_window(const struct upkeep *u)
{
	int now = minute_now();

	if (u->from <= u->to)
		return now >= u->from && now < u->to;
	return now >= u->from || now < u->to; /* Over midnight. */
}

/* Milliseconds to the next time it is so late. */
static int64_t
until_minute(int minute)
{
	int64_t ms = (minute - minute_now()) * INT64_C(60000);

	ms -= now_us(CLOCK_REALTIME) / 1000 % 60000;
	return ms > 0 ? ms : ms + INT64_C(86400000);
}

static void
plan(struct job *j, int first)
{
	uint64_t s = j->every_s;

	if (first && s > FIRST_AFTER_S)
		s = FIRST_AFTER_S;
	j->due_ms =
	    now_ms() + (j->minute >= 0 ? until_minute(j->minute) : (int64_t)s * 1000);
	j->last.next_us = now_us(CLOCK_REALTIME) + (j->due_ms - now_ms()) * 1000;
}

/* ---------------------------------------------------------------------- doing -- */

/* Four times in a cycle: points are verified, and damage that was healed is over. */
static int64_t
trees_every_ms(const struct upkeep *u)
{
	uint64_t s = u->verify_cycle_s / 4;

	return (int64_t)(s < TREES_EVERY_MIN_S ? TREES_EVERY_MIN_S : s) * 1000;
}

static void
do_job(struct upkeep *u, struct job *j)
{
	struct err how = ERR_INIT;
	char said[ERR_TEXT_MAX] = "";
	const struct upkeep_run run = { .store = u->store,
		.stop = &u->stop,
		.rate = u->rate,
		.lease_keep_us = u->lease_keep_us,
		.verify_cycle_s = u->verify_cycle_s,
		.verify_every_s = u->jobs[UPKEEP_VERIFY].every_s,
		.trees = now_ms() >= u->trees_ms,
		.said = said,
		.cap = sizeof(said) };

	(void)pthread_mutex_lock(&u->lock);
	j->last.running = 1;
	j->last.began_us = now_us(CLOCK_REALTIME);
	(void)pthread_mutex_unlock(&u->lock);
	if (j->run(&run, &how) == 0)
		(void)snprintf(how.text, sizeof(how.text), "%s", said);
	if (how.code == ERR_NONE && j == &u->jobs[UPKEEP_VERIFY] && run.trees)
		u->trees_ms = now_ms() + trees_every_ms(u);
	if (how.code == ERR_NONE)
		log_event(LOG_INFO, "%s: %s", j->name, how.text);
	else if (how.code != ERR_CANCELED || !atomic_load(&u->stop))
		log_event(LOG_WARN, "%s failed: %s", j->name, how.text);
	(void)pthread_mutex_lock(&u->lock);
	j->last.running = 0;
	j->last.ended_us = now_us(CLOCK_REALTIME);
	j->last.how = how;
	plan(j, 0);
	(void)pthread_mutex_unlock(&u->lock);
}

static void *
work(void *arg)
{
	struct upkeep *u = arg;

	/* Sessions come first: on Linux a thread has a niceness of its own. */
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	while (!rest(u, 500)) {
		for (size_t i = 0; i < UPKEEP_JOBS && !atomic_load(&u->stop); i++) {
			struct job *j = &u->jobs[i];

			if (j->on && now_ms() >= j->due_ms &&
			    (j->minute >= 0 || in_window(u)))
				do_job(u, j);
		}
	}
	return NULL;
}

/* -------------------------------------------------------------------- outside -- */

static void
configure(struct upkeep *u, const struct config *c)
{
	struct job *prune = &u->jobs[UPKEEP_PRUNE], *gc = &u->jobs[UPKEEP_GC],
		   *verify = &u->jobs[UPKEEP_VERIFY];

	u->rate = c->maintenance_rate;
	u->verify_cycle_s = c->verify_cycle_s;
	u->lease_keep_us = (int64_t)c->unfinished_keep_s * SECOND_US;
	(void)config_window(c->maintenance_window, &u->from, &u->to);
	*prune = (struct job){ .name = "prune", .run = upkeep_prune };
	prune->minute = config_time_of_day(c->prune_at);
	prune->on = prune->minute >= 0;
	*gc = (struct job){ .name = "gc", .run = upkeep_gc, .minute = -1 };
	gc->every_s = c->gc_every_s;
	gc->on = gc->every_s > 0;
	*verify = (struct job){ .name = "verify", .run = upkeep_verify, .minute = -1 };
	/* In as many windows as a cycle has hours, but at least one in a cycle. */
	verify->every_s = c->verify_cycle_s < 3600 ? c->verify_cycle_s : 3600;
	verify->on = verify->every_s > 0;
	for (size_t i = 0; i < UPKEEP_JOBS; i++) {
		u->jobs[i].on = u->jobs[i].on && !c->read_only;
		u->jobs[i].last.name = u->jobs[i].name;
		if (u->jobs[i].on)
			plan(&u->jobs[i], 1);
	}
}

int
upkeep_start(struct store *store, const struct config *config, struct upkeep **out,
    struct err *err)
{
	struct upkeep *u = calloc(1, sizeof(*u));
	int rc;

	if (u == NULL)
		return err_set(err, ERR_NOMEM, "no memory for upkeep");
	if (pipe(u->ended) != 0) {
		free(u);
		return err_os(err, errno, "cannot make a pipe");
	}
	u->store = store;
	(void)pthread_mutex_init(&u->lock, NULL);
	configure(u, config);
	rc = pthread_create(&u->watcher, NULL, watch, u);
	u->watching = rc == 0;
	if (rc == 0) {
		rc = pthread_create(&u->worker, NULL, work, u);
		u->working = rc == 0;
	}
	if (rc != 0) {
		upkeep_stop(u);
		return err_os(err, rc, "cannot start a thread");
	}
	*out = u;
	return 0;
}

void
upkeep_stop(struct upkeep *u)
{
	if (u == NULL)
		return;
	atomic_store(&u->stop, 1);
	(void)close(u->ended[1]);
	if (u->working)
		(void)pthread_join(u->worker, NULL);
	if (u->watching)
		(void)pthread_join(u->watcher, NULL);
	(void)close(u->ended[0]);
	(void)pthread_mutex_destroy(&u->lock);
	free(u);
}

void
upkeep_status(struct upkeep *u, struct upkeep_status out[UPKEEP_JOBS])
{
	(void)pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < UPKEEP_JOBS; i++) {
		out[i] = u->jobs[i].last;
		if (!u->jobs[i].on)
			out[i].next_us = 0;
	}
	(void)pthread_mutex_unlock(&u->lock);
}

uint64_t
upkeep_rate(const struct upkeep *u)
{
	return u->rate;
}

int64_t
upkeep_lease_keep_us(const struct upkeep *u)
{
	return u->lease_keep_us;
}
