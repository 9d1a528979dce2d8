#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "rescue/boot.h"
#include "rescue/fit.h"
#include "rescue/job.h"
#include "rescue/job_parts.h"
#include "rescue/rate.h"

#define REPORT_MS 5000u
#define DONE_TRIES 20u /* For half an hour, or so. */

struct run {
	struct job *j;
	struct job_targets t;

	/* Progress of the one at work; callbacks of a restore come one at a time. */
	unsigned now; /* Index in `disks`. */
	struct rate rate;
	enum disk_restore_stage stage;

	pthread_t reporter;
	pthread_mutex_t lock; /* Guards all below. */
	pthread_cond_t ended_now;
	int ended, has_reporter;
	uint64_t done, total;
	char text[160];
};

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- the server -- */

/* Tells the server now and then how far it is; that this fails disturbs nothing. */
static void *
reporter(void *arg)
{
	struct run *r = arg;
	struct timespec next;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &next);
	pthread_mutex_lock(&r->lock);
	while (!r->ended) {
		struct redeem_report report = { .state = REDEEM_PROGRESS,
			.sequence = r->j->point->sequence,
			.bytes = r->done,
			.total = r->total };
		struct err ignored = ERR_INIT;
		char text[sizeof(r->text)];

		memcpy(text, r->text, sizeof(text));
		report.text = text;
		pthread_mutex_unlock(&r->lock);
		(void)redeem_report(r->j->redeem, &report, &ignored);
		pthread_mutex_lock(&r->lock);
		next.tv_sec += REPORT_MS / 1000;
		for (rc = 0; !r->ended && rc == 0;)
			rc = pthread_cond_timedwait(&r->ended_now, &r->lock, &next);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static int
start_reporter(struct run *r, struct err *err)
{
	pthread_condattr_t attr;
	int os;

	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->ended_now, &attr);
	pthread_condattr_destroy(&attr);
	if ((os = pthread_create(&r->reporter, NULL, reporter, r)) != 0)
		return err_os(err, os, "thread");
	r->has_reporter = 1;
	return 0;
}

static void
stop_reporter(struct run *r)
{
	if (!r->has_reporter)
		return;
	pthread_mutex_lock(&r->lock);
	r->ended = 1;
	pthread_cond_signal(&r->ended_now);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->reporter, NULL);
	pthread_cond_destroy(&r->ended_now);
	pthread_mutex_destroy(&r->lock);
	r->has_reporter = 0;
}

/* Tell it, as often as it takes, but at most `tries` times. */
static int
tell(struct job *j, const struct redeem_report *what, unsigned tries, struct err *err)
{
	struct err why = ERR_INIT;
	unsigned n;

	for (n = 0;; n++) {
		if (redeem_report(j->redeem, what, &why) == 0)
			return 0;
		if (!dial_may_retry(&why) || n + 1 == tries) {
			*err = why;
			return -1;
		}
		if (job_wait(j, n, &why, err) != 0)
			return -1;
		err_clear(&why);
	}
}

/* From now on the server knows that this point is being written. */
static int
report_begun(struct run *r, struct err *err)
{
	struct redeem_report report = {
		.state = REDEEM_BEGUN, .sequence = r->j->point->sequence, .text = "begun"
	};

	return tell(r->j, &report, UINT_MAX, err);
}

/*
 * The token must not stay open: what is done is told, for a good while.  A machine
 * that is whole starts all the same.
 */
static void
report_done(struct run *r)
{
	struct redeem_report report = { .state = REDEEM_DONE,
		.sequence = r->j->point->sequence,
		.bytes = r->total,
		.total = r->total,
		.text = "restored" };
	struct err err = ERR_INIT;

	if (tell(r->j, &report, DONE_TRIES, &err) != 0)
		job_say(r->j,
		    "the server could not be told: %s; say 'holdfast rescue end' there",
		    err.text);
}

static void
report_failed(struct run *r, const struct err *why)
{
	struct redeem_report report = { .state = REDEEM_FAILED,
		.sequence = r->j->point->sequence,
		.bytes = r->done,
		.total = r->total,
		.text = why->text };
	struct err ignored = ERR_INIT;

	(void)redeem_report(r->j->redeem, &report, &ignored);
}

/* ------------------------------------------------------------------ progress -- */

static void
on_progress(void *arg, const struct disk_restore_progress *p)
{
	static const char *const words[] = { "writing", "verifying",
		"waiting for the server", "finishing" };
	struct run *r = arg;
	const struct job_target *t = &r->t.at[r->now];
	struct job_progress out;

	if (p->stage != r->stage && p->stage == DISK_RESTORE_VERIFYING)
		memset(&r->rate, 0, sizeof(r->rate));
	r->stage = p->stage;
	rate_note(&r->rate, now_ms(), p->done);
	out.disk = r->now + 1;
	out.disks = r->t.count;
	out.name = r->j->point->layout.disks[t->disk].name;
	out.device = t->device;
	out.stage = p->stage;
	out.done = p->done;
	out.total = p->total;
	out.received = p->received;
	out.speed = rate_speed(&r->rate);
	out.left_s = rate_left(&r->rate, p->total - p->done);
	pthread_mutex_lock(&r->lock);
	r->done = p->done;
	r->total = p->total;
	snprintf(r->text, sizeof(r->text), "%s, disk %u of %u, %s", out.name, out.disk,
	    out.disks, words[p->stage]);
	pthread_mutex_unlock(&r->lock);
	r->j->c.front.progress(r->j->c.front.arg, &out);
}

/* --------------------------------------------------------------------- disks -- */

/* A file that plays a disk is there already, and stays. */
static unsigned
restore_flags(const struct job *j, const char *device)
{
	struct stat st;
	int keep = j->facts.resumed || (stat(device, &st) == 0 && S_ISREG(st.st_mode));

	return (keep ? DISK_RESTORE_DELTA : 0) |
	       (j->c.cmdline->verify ? DISK_RESTORE_VERIFY : 0) | DISK_RESTORE_DISCARD;
}

static int
restore_disk(struct run *r, struct err *err)
{
	struct job *j = r->j;
	const struct job_target *t = &r->t.at[r->now];
	struct disk_restore_job job = { .dial = redeem_dial,
		.dial_arg = j->redeem,
		.point = j->point,
		.plan = t->plan,
		.target = t->device,
		.flags = restore_flags(j, t->device),
		.retry_s = DISK_RESTORE_RETRY_S,
		.progress = on_progress,
		.progress_arg = r,
		.say = j->c.front.say,
		.say_arg = j->c.front.arg,
		.stop = j->c.stop,
		.go_on = "trying again goes on there" };
	struct disk_restore_result result;
	char read[24], wrote[24], same[24];

	job_say(j, "restoring %s/%llu to %s (%s of the point, %s)", j->facts.host,
	    (unsigned long long)j->point->sequence, t->device,
	    j->point->layout.disks[t->disk].name, match_words(j->match.why[t->disk]));
	/* Since it was matched hours may have gone, over other disks or a network. */
	if (machine_still(j->c.options->sys, j->c.options->dev,
		&j->machine.disks[j->match.to[t->disk]], err) != 0)
		return -1;
	fit_attach(t->fit, t->plan, &job);
	if (disk_restore_run(&job, &result, err) != 0)
		return -1;
	progress_bytes(result.received_bytes, read);
	progress_bytes(result.written_bytes, wrote);
	progress_bytes(result.same_bytes, same);
	job_say(j, "%s: received %s, written %s, already right %s, %.1f s", t->device,
	    read, wrote, same, (double)result.duration_us / 1e6);
	return 0;
}

/* --------------------------------------------------------------------- whole -- */

static void
make_bootable(struct run *r)
{
	struct boot_disk disks[LAYOUT_DISKS_MAX];
	struct job *j = r->j;
	char efivars[MACHINE_PATH_MAX + 32];
	struct boot_job job = { .layout = &j->point->layout,
		.disks = disks,
		.disks_count = r->t.count,
		.efivars = j->c.options->efivars,
		.esp = j->c.options->esp,
		.fallback_loader = j->c.cmdline->fallback_loader,
		.say = j->c.front.say,
		.say_arg = j->c.front.arg };
	unsigned i;

	if (job.efivars == NULL) {
		snprintf(efivars, sizeof(efivars), "%s/firmware/efi/efivars",
		    j->c.options->sys);
		job.efivars = efivars;
	}
	for (i = 0; i < r->t.count; i++)
		disks[i] = (struct boot_disk){ r->t.at[i].plan, r->t.at[i].device };
	if (j->machine.uefi)
		boot_make(&job);
}

static int
check_firmware(struct job *j, struct err *err)
{
	char why[200];

	if (!job_foreign(j, why))
		return 0;
	if (!j->c.cmdline->force)
		return err_set(err, ERR_UNSUPPORTED, "%s; or say holdfast.force", why);
	job_say(j, "warning: %s", why);
	return 0;
}

static int
restore(struct run *r, struct err *err)
{
	if (report_begun(r, err) != 0 || start_reporter(r, err) != 0)
		return -1;
	for (r->now = 0; r->now < r->t.count; r->now++) {
		memset(&r->rate, 0, sizeof(r->rate));
		if (restore_disk(r, err) != 0)
			return -1;
	}
	return 0;
}

int
job_restore(struct job *j, struct err *err)
{
	struct run *r = calloc(1, sizeof(*r));
	int rc;

	if (r == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	r->j = j;
	rc = check_firmware(j, err);
	if (rc == 0)
		rc = job_plan(j, &r->t, err);
	if (rc == 0) {
		rc = restore(r, err);
		stop_reporter(r);
		/* Whatever happens from here on, what is there may be right already. */
		j->facts.resumed = 1;
		if (rc != 0)
			report_failed(r, err);
	}
	if (rc == 0) {
		make_bootable(r);
		sync();
		report_done(r);
	}
	job_plan_free(&r->t);
	free(r);
	return rc;
}
