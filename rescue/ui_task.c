#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/stop.h"
#include "rescue/ui_parts.h"

/* ------------------------------------------------------------ the job's front -- */

static void
on_say(void *arg, const char *line)
{
	struct ui_news *n = &((struct ui *)arg)->news;

	pthread_mutex_lock(&n->lock);
	snprintf(n->lines[n->lines_count % UI_LINES], UI_LINE_MAX, "%s", line);
	n->lines_count++;
	pthread_mutex_unlock(&n->lock);
}

static void
on_waits(void *arg, const char *code)
{
	struct ui_news *n = &((struct ui *)arg)->news;

	pthread_mutex_lock(&n->lock);
	snprintf(n->code, sizeof(n->code), "%s", code);
	pthread_mutex_unlock(&n->lock);
}

static void
on_progress(void *arg, const struct job_progress *p)
{
	struct ui_news *n = &((struct ui *)arg)->news;

	pthread_mutex_lock(&n->lock);
	n->has_progress = 1;
	n->progress = *p;
	snprintf(n->name, sizeof(n->name), "%s", p->name);
	snprintf(n->device, sizeof(n->device), "%.70s", p->device);
	pthread_mutex_unlock(&n->lock);
}

/* --------------------------------------------------------------------- steps -- */

static int
connect(struct ui *u, struct err *err)
{
	struct job_config config = { .options = u->o,
		.cmdline = &u->c,
		.server = u->server,
		.token = u->token[0] != '\0' ? u->token : NULL,
		.front = { on_say, on_waits, on_progress, u },
		.stop = u->stop };

	job_free(u->job);
	u->job = NULL;
	if (job_new(&config, &u->job, err) != 0)
		return -1;
	return job_enter(u->job, err);
}

static int
take_point(void *arg, const Wire__Point *p)
{
	struct ui *u = arg;
	struct ui_point *out = &u->points[u->points_count];
	size_t i;

	memset(out, 0, sizeof(*out));
	out->sequence = p->sequence;
	out->time_us = p->time_us;
	for (i = 0; i < p->n_volumes; i++)
		out->bytes += p->volumes[i]->size;
	snprintf(out->note, sizeof(out->note), "%s",
	    p->damage[0] != '\0'    ? "damaged"
	    : p->suspect[0] != '\0' ? "suspect"
	    : p->n_changes > 0	    ? "unproven"
				    : p->note);
	return ++u->points_count == UI_POINTS_MAX;
}

static int
list(struct ui *u, struct err *err)
{
	u->points_count = u->point = 0;
	if (job_points(u->job, take_point, u, err) != 0)
		return -1;
	if (u->points_count == 0)
		return err_set(
		    err, ERR_NOTFOUND, "%s has no points", job_facts(u->job)->host);
	return 0;
}

/* What can be matched without a doubt is; the rest is for the person. */
static int
choose(struct ui *u, struct err *err)
{
	const struct redeem_facts *f = job_facts(u->job);
	struct err ignored = ERR_INIT;
	uint64_t sequence = f->only ? f->sequence : u->points[u->point].sequence;

	if (job_choose(u->job, sequence, err) != 0 || job_look(u->job, err) != 0)
		return -1;
	(void)job_propose(u->job, &ignored);
	return 0;
}

static int
look(struct ui *u, struct err *err)
{
	struct err ignored = ERR_INIT;

	if (job_look(u->job, err) != 0)
		return -1;
	(void)job_propose(u->job, &ignored);
	return 0;
}

static void *
run(void *arg)
{
	static int (*const steps[])(struct ui * u, struct err * err) = { NULL, connect,
		list, choose, look, NULL };
	struct ui *u = arg;
	struct err err = ERR_INIT;
	int rc =
	    u->task == UI_RESTORE ? job_restore(u->job, &err) : steps[u->task](u, &err);

	pthread_mutex_lock(&u->news.lock);
	u->news.ended = 1;
	u->news.rc = rc;
	u->news.why = err;
	pthread_mutex_unlock(&u->news.lock);
	return NULL;
}

/* -------------------------------------------------------------------- tasks -- */

void
ui_begin(struct ui *u, enum ui_task task)
{
	struct ui_news *n = &u->news;
	int os;

	err_clear(&u->why);
	pthread_mutex_lock(&n->lock);
	n->ended = n->has_progress = 0;
	n->code[0] = '\0';
	n->lines_count = 0;
	err_clear(&n->why);
	pthread_mutex_unlock(&n->lock);
	u->asks_abort = 0;
	/* The job holds the stop of its connecting to its end. */
	if (task == UI_CONNECT) {
		job_free(u->job);
		u->job = NULL;
		stop_free(u->stop);
		if ((u->stop = stop_new()) == NULL) {
			err_set(&u->why, ERR_NOMEM, "out of memory");
			return;
		}
	}
	u->task = task;
	if ((os = pthread_create(&u->thread, NULL, run, u)) != 0) {
		u->task = UI_IDLE;
		err_os(&u->why, os, "thread");
	}
}

/* Where a task that went well leads. */
static void
follow(struct ui *u, enum ui_task task)
{
	switch (task) {
	case UI_CONNECT:
		if (job_facts(u->job)->only) {
			ui_begin(u, UI_CHOOSE);
		} else {
			u->page = UI_POINTS;
			ui_begin(u, UI_LIST);
		}
		break;
	case UI_CHOOSE:
		u->page = UI_DISKS;
		u->disk = 0;
		break;
	case UI_RESTORE:
		u->page = UI_DONE;
		break;
	default:
		break;
	}
}

static void
settle(struct ui *u)
{
	enum ui_task task = u->task;

	pthread_join(u->thread, NULL);
	u->task = UI_IDLE;
	u->asks_abort = 0;
	u->why = u->news.why;
	if (u->news.rc == 0)
		follow(u, task);
	else if (task == UI_LIST || stop_asked(u->stop))
		u->page = UI_ENTER; /* What was stopped once begins anew. */
	else if (task == UI_RESTORE)
		u->page = UI_RUN;
}

void
ui_poll(struct ui *u)
{
	int ended;

	if (u->task == UI_IDLE)
		return;
	pthread_mutex_lock(&u->news.lock);
	ended = u->news.ended;
	pthread_mutex_unlock(&u->news.lock);
	if (ended)
		settle(u);
}

void
ui_abort(struct ui *u)
{
	if (u->task == UI_IDLE)
		return;
	stop_request(u->stop);
	settle(u);
}
