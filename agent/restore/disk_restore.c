#include "agent/restore/disk_restore.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/host/stop.h"
#include "agent/restore/disk_restore_items.h"
#include "agent/restore/disk_restore_table.h"
#include "agent/restore/restore_flow.h"
#include "agent/restore/restore_window.h"
#include "agent/restore/target.h"
#include "agent/session/dial.h"
#include "proto/base/err.h"
#include "proto/net/channel.h"

#define SESSIONS_MAX 16u

struct run {
	const struct disk_restore_job *job;
	struct target *target;
	struct disk_restore_items items;

	pthread_mutex_t done_lock; /* Around part_begin, part_done; before `lock`. */
	pthread_mutex_t lock;	   /* Guards all below; nothing is locked under it. */
	unsigned next;
	int failed;
	struct err why;
	struct channel *live[SESSIONS_MAX]; /* To be cancelled. */
	struct disk_restore_progress progress;
	unsigned waiting; /* Threads that have lost the server. */
	unsigned proving; /* Items that are being proven. */
	struct disk_restore_result *out;
};

/* One session, as often as it takes, and the thread that uses it. */
struct hand {
	struct run *run;
	unsigned number;
	struct dial dial;
	int open;
	unsigned failures; /* Since something moved. */
	uint64_t since_us; /* The first of them. */
	struct disk_restore_item *item;
};

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
fail(struct run *r, const struct err *why)
{
	pthread_mutex_lock(&r->lock);
	if (!r->failed) {
		r->failed = 1;
		r->why = *why;
		for (unsigned i = 0; i < SESSIONS_MAX; i++)
			if (r->live[i] != NULL)
				channel_cancel(r->live[i]);
	}
	pthread_mutex_unlock(&r->lock);
}

static void
on_stop(void *arg)
{
	struct err why = ERR_INIT;

	err_set(&why, ERR_CANCELED, "interrupted");
	fail(arg, &why);
}

static int
has_failed(struct run *r)
{
	int failed;

	pthread_mutex_lock(&r->lock);
	failed = r->failed;
	pthread_mutex_unlock(&r->lock);
	return failed;
}

/* ----------------------------------------------------------------- progress -- */

/* Tell how far all is; under the lock. */
static void
tell(struct run *r)
{
	struct disk_restore_progress *p = &r->progress;
	double done = 0;

	for (unsigned i = 0; i < r->items.count; i++) {
		const struct disk_restore_item *item = &r->items.item[i];

		if (item->size > 0)
			done += (double)item->weight * (double)item->position /
				(double)item->size;
	}
	p->done = (uint64_t)done;
	p->written = target_written(r->target);
	if (p->stage != DISK_RESTORE_FINISHING)
		p->stage = r->waiting > 0   ? DISK_RESTORE_WAITING
			   : r->proving > 0 ? DISK_RESTORE_VERIFYING
					    : DISK_RESTORE_WRITING;
	if (r->job->progress != NULL)
		r->job->progress(r->job->progress_arg, p);
}

static void
on_position(void *arg, uint64_t position, uint64_t received)
{
	struct hand *h = arg;
	struct run *r = h->run;

	pthread_mutex_lock(&r->lock);
	h->item->position = position;
	r->progress.received += received;
	tell(r);
	pthread_mutex_unlock(&r->lock);
}

static void
note(struct run *r, unsigned *count, int by)
{
	pthread_mutex_lock(&r->lock);
	*count += (unsigned)by;
	tell(r);
	pthread_mutex_unlock(&r->lock);
}

/* ----------------------------------------------------------------- sessions -- */

static void
hang_up(struct hand *h)
{
	if (!h->open)
		return;
	pthread_mutex_lock(&h->run->lock);
	h->run->live[h->number] = NULL;
	pthread_mutex_unlock(&h->run->lock);
	dial_close(&h->dial);
	h->open = 0;
}

static int
call(struct hand *h, struct err *err)
{
	struct run *r = h->run;

	if (h->open)
		return 0;
	if (r->job->dial(r->job->dial_arg, &h->dial, err) != 0)
		return -1;
	pthread_mutex_lock(&r->lock);
	r->live[h->number] = h->dial.ch;
	h->open = 1;
	if (r->failed)
		channel_cancel(h->dial.ch);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

/* The server is gone: wait for it, as long as the job allows.  Non-zero: try again. */
static int
wait_for_server(struct hand *h, const struct err *why)
{
	struct run *r = h->run;
	char line[ERR_TEXT_MAX + 64];
	uint64_t now = now_us();
	uint32_t ms = dial_backoff_ms(h->failures);
	int stopped;

	if (h->failures++ == 0) {
		h->since_us = now;
		pthread_mutex_lock(&r->lock);
		r->out->lost++;
		pthread_mutex_unlock(&r->lock);
	}
	if (!dial_may_retry(why) || has_failed(r) ||
	    now - h->since_us + (uint64_t)ms * 1000 > (uint64_t)r->job->retry_s * 1000000)
		return 0;
	(void)snprintf(line, sizeof(line), "%s; trying again in %u.%u s", why->text,
	    ms / 1000, ms % 1000 / 100);
	if (r->job->say != NULL)
		r->job->say(r->job->say_arg, line);
	note(r, &r->waiting, 1);
	stopped = stop_wait_ms(r->job->stop, ms);
	note(r, &r->waiting, -1);
	return !stopped && !has_failed(r);
}

/* ------------------------------------------------------------------- volumes -- */

/*
 * As far as one session brings it; `*from` becomes the span to go on with, and up to
 * `*begun` some of it may be there by then.
 */
static int
attempt(struct hand *h, struct target *to, unsigned flags, uint64_t *from,
    uint64_t *begun, int *lost, struct err *err)
{
	struct run *r = h->run;
	const struct disk_restore_point *p = r->job->point;
	struct restore_flow flow = {
		.target = to, .flags = flags, .tell = on_position, .tell_arg = h
	};
	struct restore_flow_result done;
	int rc = -1;

	*lost = 1;
	if (call(h, err) != 0)
		return -1;
	flow.src = (struct restore_source){ h->dial.ch, &h->dial.keys, p->host,
		p->sequence, h->item->volume, p->volume[h->item->volume].root_id };
	if (restore_tree_open(&flow.src, &flow.tree, err) != 0)
		return -1;
	if (restore_tree_root(flow.tree)->size != h->item->size) {
		*lost = 0;
		err_set(err, ERR_CORRUPT, "volume %s is not as long as the point says",
		    p->volume[h->item->volume].name);
	} else {
		flow.from = *from;
		flow.begun = *begun;
		rc = restore_flow_run(&flow, &done, err);
		if (done.reached > *from)
			h->failures = 0;
		*from = done.reached;
		*begun = done.reached + RESTORE_SPANS_MAX;
		*lost = done.lost;
		pthread_mutex_lock(&r->lock);
		r->out->received_bytes += done.received_bytes;
		r->out->same_bytes += done.same_bytes;
		pthread_mutex_unlock(&r->lock);
	}
	restore_tree_close(flow.tree);
	return rc;
}

/* The whole volume, over as many sessions as it takes. */
static int
bring(struct hand *h, struct target *to, unsigned flags, struct err *err)
{
	uint64_t from = 0, begun = 0;
	int lost;

	for (;;) {
		err_clear(err);
		if (attempt(h, to, flags, &from, &begun, &lost, err) == 0)
			return 0;
		hang_up(h);
		if (!lost || !wait_for_server(h, err))
			return err_context(err, "volume %s",
			    h->run->job->point->volume[h->item->volume].name);
	}
}

/* Read it all back: a delta that finds nothing to do. */
static int
prove(struct hand *h, struct err *err)
{
	struct run *r = h->run;
	int rc;

	if (h->item->check == NULL)
		return 0;
	if (target_settle(r->target, err) != 0)
		return -1;
	note(r, &r->proving, 1);
	rc = bring(h, h->item->check, RESTORE_DELTA, err);
	note(r, &r->proving, -1);
	if (rc == 0 && target_written(h->item->check) > 0)
		return err_set(err, ERR_CORRUPT,
		    "volume %s: %llu bytes were not as written when read back",
		    r->job->point->volume[h->item->volume].name,
		    (unsigned long long)target_written(h->item->check));
	return rc;
}

static int
begin_part(struct hand *h, struct err *err)
{
	struct run *r = h->run;
	int rc;

	if (h->item->part == NULL || r->job->part_begin == NULL)
		return 0;
	pthread_mutex_lock(&r->done_lock);
	rc = has_failed(r) ? err_set(err, ERR_CANCELED, "interrupted")
			   : disk_restore_items_begin(r->job, r->target, h->item, err);
	pthread_mutex_unlock(&r->done_lock);
	return rc;
}

static int
finish_part(struct hand *h, struct err *err)
{
	struct run *r = h->run;
	const struct disk_plan_part *part = h->item->part;
	int rc;

	if (part == NULL)
		return 0;
	if (disk_restore_items_hidden(h->item, r->job->plan, err) != 0)
		return -1;
	if (r->job->part_done == NULL)
		return 0;
	pthread_mutex_lock(&r->done_lock);
	rc = disk_restore_items_done(r->job, r->target, part, err);
	pthread_mutex_unlock(&r->done_lock);
	return rc;
}

static struct disk_restore_item *
next_item(struct run *r)
{
	struct disk_restore_item *item = NULL;

	pthread_mutex_lock(&r->lock);
	if (!r->failed && r->next < r->items.count)
		item = &r->items.item[r->next++];
	pthread_mutex_unlock(&r->lock);
	return item;
}

static void *
hand_run(void *arg)
{
	struct hand *h = arg;
	struct run *r = h->run;
	unsigned flags = (r->job->flags & DISK_RESTORE_DELTA) != 0 ? RESTORE_DELTA : 0;
	struct err err = ERR_INIT;

	while ((h->item = next_item(r)) != NULL)
		if (begin_part(h, &err) != 0 ||
		    bring(h, h->item->view, flags, &err) != 0 || prove(h, &err) != 0 ||
		    finish_part(h, &err) != 0) {
			fail(r, &err);
			break;
		}
	hang_up(h);
	return NULL;
}

/* ----------------------------------------------------------------- the whole -- */

static int
run_hands(struct run *r, struct err *err)
{
	struct hand *hands = calloc(SESSIONS_MAX, sizeof(*hands));
	pthread_t threads[SESSIONS_MAX];
	unsigned i, n = r->job->sessions > 0 ? r->job->sessions : DISK_RESTORE_SESSIONS;
	struct err why = ERR_INIT;
	int os;

	if (hands == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (n > SESSIONS_MAX)
		n = SESSIONS_MAX;
	if (n > r->items.count)
		n = r->items.count;
	stop_attach(r->job->stop, on_stop, r);
	for (i = 0; i < n; i++) {
		hands[i].run = r;
		hands[i].number = i;
		if ((os = pthread_create(&threads[i], NULL, hand_run, &hands[i])) != 0) {
			err_os(&why, os, "thread");
			fail(r, &why);
			break;
		}
	}
	while (i > 0)
		pthread_join(threads[--i], NULL);
	stop_attach(r->job->stop, NULL, NULL);
	free(hands);
	if (!r->failed)
		return 0;
	*err = r->why;
	return -1;
}

static int
write_table(struct run *r, struct err *err)
{
	pthread_mutex_lock(&r->lock);
	r->progress.stage = DISK_RESTORE_FINISHING;
	tell(r);
	pthread_mutex_unlock(&r->lock);
	return disk_restore_table_write(&r->job->point->layout, r->job->plan,
	    r->items.image, r->target, (r->job->flags & DISK_RESTORE_VERIFY) != 0, err);
}

static unsigned
target_flags(unsigned flags)
{
	return ((flags & DISK_RESTORE_DELTA) != 0 ? TARGET_KEEP : 0) |
	       ((flags & DISK_RESTORE_FORCE) != 0 ? TARGET_REPLACE : 0) |
	       ((flags & DISK_RESTORE_VHDX) != 0 ? TARGET_VHDX : 0);
}

static int
restore(struct run *r, struct err *err)
{
	for (unsigned i = 0; i < r->items.count; i++)
		r->progress.total += r->items.item[i].weight;
	r->out->bytes = r->progress.total;
	if (target_need(r->target, r->progress.total, err) != 0)
		return err_context(err, "target");
	if (disk_restore_table_clear(r->target, r->job->plan->size, err) != 0 ||
	    run_hands(r, err) != 0)
		return -1;
	return write_table(r, err);
}

int
disk_restore_run(
    const struct disk_restore_job *job, struct disk_restore_result *out, struct err *err)
{
	struct run *r = calloc(1, sizeof(*r));
	uint64_t started = now_us();
	int in_place, rc;

	memset(out, 0, sizeof(*out));
	if (r == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	r->job = job;
	r->out = out;
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->done_lock, NULL);
	if (job->say != NULL && job->point->doubt[0] != '\0')
		job->say(job->say_arg, job->point->doubt);
	rc = target_open(job->target, job->plan->size, job->plan->sector_size,
	    target_flags(job->flags), &r->target, err);
	if (rc != 0) {
		err_context(err, "target");
		goto out;
	}
	if (job->say != NULL && target_note(r->target)[0] != '\0')
		job->say(job->say_arg, target_note(r->target));
	in_place = target_in_place(r->target);
	rc = disk_restore_items_make(job, r->target, &r->items, err);
	if (rc == 0)
		rc = restore(r, err);
	out->size = job->plan->size;
	out->written_bytes = target_written(r->target);
	disk_restore_items_free(&r->items);
	in_place &= out->written_bytes > 0;
	if (rc == 0)
		rc = target_finish(r->target, err);
	else
		target_abandon(r->target);
	if (rc != 0 && in_place)
		err_context(err, "%s is half written and has no partition table; %s",
		    job->target, job->go_on != NULL ? job->go_on : "--delta goes on");
	out->duration_us = now_us() - started;
out:
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->done_lock);
	free(r);
	return rc;
}
