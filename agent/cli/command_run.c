#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/backup/backup.h"
#include "agent/cli/command.h"
#include "agent/cli/service.h"
#include "agent/disk/volumes.h"
#include "agent/host/awake.h"
#include "agent/host/schedule.h"
#include "agent/host/seal.h"
#include "agent/host/stop.h"
#include "agent/session/dial.h"
#include "agent/session/pending.h"
#include "proto/base/err.h"
#include "proto/base/log.h"

/* After a backup that failed for good, try again this soon (or at the interval). */
#define AGAIN_S (15u * 60)
/* The longest wait in one piece: a clock that a sleeping machine stops is no clock. */
#define SLICE_MS 60000u
/* Seconds to wait for another program that works with the directory. */
#define LOCK_TRIES 10

static void
log_line(void *arg, const char *line)
{
	(void)arg;
	if (strcmp(line, DIAL_ROLLED_BACK) == 0 ||
	    strncmp(line, BACKUP_DISTRUSTED, strlen(BACKUP_DISTRUSTED)) == 0)
		log_about(LOG_ALARM, LOG_ERROR, "%s", line);
	else
		log_event(LOG_WARN, "%s", line);
}

static void
log_script(void *arg, const char *line)
{
	(void)arg;
	log_about(LOG_SCRIPT, LOG_INFO, "%s", line);
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

/* One backup: non-zero if it made its point. */
static int
one(const struct command_context *c)
{
	struct backup_options o = { .settings = &c->settings,
		.mode = PROGRESS_SILENT,
		.stop = c->stop,
		.say = log_line,
		.say_script = log_script };
	char read[24], sent[24];
	struct err err = ERR_INIT;
	struct backup_result r;

	memcpy(o.machine, c->machine, sizeof(o.machine));
	if (backup_with_scripts(c->st, &o, &r, &err) != 0) {
		if (err.code == ERR_CANCELED && stop_asked(c->stop))
			log_event(LOG_WARN, "backup: %s", err.text);
		else
			log_about(LOG_FAILED, LOG_ERROR, "backup: %s", err.text);
		return 0;
	}
	if (r.captured[0] != '\0')
		log_about(LOG_CAPTURED, LOG_INFO, "captured: %s", r.captured);
	progress_bytes(r.counts.read_bytes, read);
	progress_bytes(r.counts.sent_bytes, sent);
	log_about(LOG_DONE, LOG_INFO, "point %llu made: read %s, sent %s in %.1f s",
	    (unsigned long long)r.point.sequence, read, sent,
	    (double)r.counts.duration_us / 1e6);
	return 1;
}

/* `enroll` or `status` may hold the directory a moment longer. */
static int
lock(const struct command_context *c, struct err *err)
{
	for (int i = 0; state_lock(c->st, err) != 0; i++) {
		if (err->code != ERR_BUSY || i == LOCK_TRIES ||
		    stop_wait_ms(c->stop, 1000))
			return -1;
		err_clear(err);
	}
	return 0;
}

/* What people wrote since counts from the next backup on; nonsense does not. */
static void
read_again(struct command_context *c)
{
	struct settings *before = malloc(sizeof(*before));
	struct err err = ERR_INIT;

	if (before == NULL)
		return;
	*before = c->settings;
	if (command_settings(c, &err) == 0 && !volumes_wanted(&c->settings))
		err_set(
		    &err, ERR_NOTFOUND, "%s/agent.conf: no volumes", state_dir(c->st));
	if (err.code != ERR_NONE) {
		log_event(LOG_ERROR, "%s; going on with what it said before", err.text);
		c->settings = *before;
	}
	free(before);
}

/* Sleep of the machine counts as time that has passed. */
static void
wait_s(const struct command_context *c, uint32_t seconds)
{
	const uint64_t due = awake_clock_ms() + (uint64_t)seconds * 1000;
	uint64_t now;

	while ((now = awake_clock_ms()) < due && !stop_asked(c->stop))
		stop_wait_ms(
		    c->stop, due - now < SLICE_MS ? (uint32_t)(due - now) : SLICE_MS);
}

/* Sealed by now, where this system can; else said aloud. */
static void
say_key(const struct command_context *c)
{
	enum seal_kind kind = SEAL_NONE;
	struct err why = ERR_INIT;
	struct state_identity id;

	if (!seal_available())
		return;
	if (state_identity(c->st, &id, &why) == 1)
		state_identity_free(&id);
	err_clear(&why);
	if (state_key_kind(c->st, &kind, &why) == 1 && kind == SEAL_NONE)
		log_about(LOG_ALARM, LOG_WARN,
		    "the private key in %s is not sealed: DPAPI does not work here",
		    state_dir(c->st));
}

static int64_t
now_us(void)
{
	return (int64_t)time(NULL) * 1000000;
}

/* What cannot be noted is only a backup too early, after a restart. */
static void
say_unnoted(int rc, const struct err *err)
{
	if (rc != 0)
		log_event(
		    LOG_WARN, "when this backup is made cannot be noted: %s", err->text);
}

/* One more, and a note of when. */
static int
one_noted(struct command_context *c, struct schedule *s)
{
	uint8_t what[SCHEDULE_WHAT];
	struct err err = ERR_INIT;
	int good;

	schedule_what(c->st, &c->settings, what);
	say_unnoted(schedule_begin(c->st, s, what, now_us(), &err), &err);
	good = one(c);
	err_clear(&err);
	say_unnoted(schedule_end(c->st, s, good, now_us(), &err), &err);
	return good;
}

/* Of a program that was started anew the interval goes on. */
static uint32_t
first_wait(const struct command_context *c, const struct schedule *s)
{
	uint32_t interval = c->settings.interval_s, wait;
	uint8_t what[SCHEDULE_WHAT];
	char when[24];

	if (c->cmd->now)
		return 0;
	schedule_what(c->st, &c->settings, what);
	wait = schedule_wait_s(s, what, now_us(), jittered(interval),
	    jittered(interval < AGAIN_S ? interval : AGAIN_S));
	if (wait == 0)
		return 0;
	command_time(s->began_us != 0 ? s->began_us : s->done_us, when);
	log_event(LOG_INFO, "the last backup %s at %s UTC; the next one begins in %u s",
	    s->began_us != 0 ? "began and did not end, since" : "was made", when, wait);
	return wait;
}

static void
back_up(struct command_context *c)
{
	struct schedule s;
	uint32_t wait;

	if (c->settings.count + c->settings.disks_count == 0)
		log_event(LOG_INFO, "backing up %s every %u s",
		    c->settings.include[0] != '\0' ? c->settings.include
						   : "all of this machine",
		    c->settings.interval_s);
	else
		log_event(LOG_INFO, "backing up %u volumes and %u disks every %u s",
		    c->settings.count, c->settings.disks_count, c->settings.interval_s);
	schedule_load(c->st, &s);
	if ((wait = first_wait(c, &s)) > 0) {
		wait_s(c, wait);
		read_again(c);
	}
	while (!stop_asked(c->stop)) {
		wait = c->settings.interval_s;
		if (!one_noted(c, &s) && wait > AGAIN_S)
			wait = AGAIN_S;
		wait_s(c, jittered(wait));
		if (!stop_asked(c->stop))
			read_again(c);
	}
}

int
command_run(const struct command_context *from, struct err *err)
{
	const struct pending_wait enrolment = { .st = from->st,
		.machine = from->machine,
		.stop = from->stop,
		.say = log_line };
	struct command_context *c = malloc(sizeof(*c));
	int rc = -1;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	*c = *from;
	log_setup(LOG_INFO, c->cmd->json ? LOG_JSON : LOG_TEXT);
	if (!volumes_wanted(&c->settings)) {
		err_set(
		    err, ERR_NOTFOUND, "no volumes in %s/agent.conf", state_dir(c->st));
		goto out;
	}
	log_about(LOG_STARTED, LOG_INFO, "holdfast-agent " HOLDFAST_VERSION ", %s",
	    state_dir(c->st));
	service_ready();
	if (pending_wait(&enrolment, err) < 0 ||
	    (!stop_asked(c->stop) && lock(c, err) != 0))
		goto out;
	say_key(c);
	back_up(c);
	log_about(LOG_STOPPED, LOG_INFO, "asked to stop");
	rc = 0;
out:
	free(c);
	return rc == 0 ? 0 : err_context(err, "run");
}
