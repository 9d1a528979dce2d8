#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/backup.h"
#include "agent/command.h"
#include "agent/pending.h"
#include "agent/stop.h"
#include "proto/base/err.h"
#include "proto/base/log.h"

/* After a backup that failed for good, try again this soon (or at the interval). */
#define AGAIN_S (15u * 60)

static void
log_line(void *arg, const char *line)
{
	(void)arg;
	log_event(LOG_WARN, "%s", line);
}

/* The interval with a random twentieth more or less: a fleet must not march in step. */
static uint32_t
jittered(uint32_t seconds)
{
	struct timespec now;
	uint32_t spread = seconds / 10 + 1;

	clock_gettime(CLOCK_REALTIME, &now);
	return seconds - spread / 2 + (uint32_t)((uint64_t)now.tv_nsec % spread);
}

static void
one(const struct command_context *c, int *fine)
{
	struct backup_options o = { .settings = &c->settings,
		.mode = PROGRESS_QUIET,
		.stop = c->stop,
		.say = log_line };
	char read[24], sent[24];
	struct err err = ERR_INIT;
	struct backup_result r;

	memcpy(o.machine, c->machine, sizeof(o.machine));
	*fine = backup_run(c->st, &o, &r, &err) == 0;
	if (!*fine) {
		log_event(LOG_ERROR, "backup: %s", err.text);
		return;
	}
	progress_bytes(r.counts.read_bytes, read);
	progress_bytes(r.counts.sent_bytes, sent);
	log_event(LOG_INFO, "point %llu made: read %s, sent %s in %.1f s",
	    (unsigned long long)r.point.sequence, read, sent,
	    (double)r.counts.duration_us / 1e6);
}

int
command_run(const struct command_context *c, struct err *err)
{
	const struct pending_wait enrolment = {
		.st = c->st, .machine = c->machine, .stop = c->stop, .say = log_line
	};
	uint32_t wait;
	int fine;

	if (c->settings.count + c->settings.disks_count == 0)
		return err_set(err, ERR_NOTFOUND, "run: no volumes in %s/agent.conf",
		    state_dir(c->st));
	log_setup(LOG_INFO, c->cmd->json ? LOG_JSON : LOG_TEXT);
	if (pending_wait(&enrolment, err) < 0 ||
	    (!stop_asked(c->stop) && state_lock(c->st, err) != 0))
		return err_context(err, "run");
	log_event(LOG_INFO, "backing up %u volumes and %u disks every %u s",
	    c->settings.count, c->settings.disks_count, c->settings.interval_s);
	while (!stop_asked(c->stop)) {
		one(c, &fine);
		wait = c->settings.interval_s;
		if (!fine && wait > AGAIN_S)
			wait = AGAIN_S;
		wait = jittered(wait);
		/* stop_wait_ms() counts in 32 bits: long intervals go in hours. */
		for (; wait > 3600 && !stop_wait_ms(c->stop, 3600u * 1000); wait -= 3600)
			;
		if (!stop_asked(c->stop))
			stop_wait_ms(c->stop, wait * 1000);
	}
	log_event(LOG_INFO, "asked to stop");
	return 0;
}
