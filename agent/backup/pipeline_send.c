#include <stdlib.h>

#include "agent/backup/pipeline_stages.h"
#include "agent/host/progress.h"
#include "proto/base/queue.h"
#include "proto/chunk/codec.h"

/* ----------------------------------------------------------------- packer -- */

static int
pack(struct pipeline *p, struct codec *codec, struct pipeline_builder *b, struct err *err)
{
	void *item;
	int rc;

	if (queue_get(p->free_groups, &item) != QUEUE_OK)
		return 0;
	rc = group_builder_finish(b->group, codec, p->job->level, item, err);
	if (rc != 0)
		return -1;
	queue_put(p->free_builders[b->kind], b, 1);
	return queue_put(p->packed, item, ((struct buf *)item)->len) == QUEUE_OK;
}

void *
pipeline_packer(void *arg)
{
	struct pipeline *p = arg;
	struct codec *codec = codec_new();
	struct err err = ERR_INIT;
	void *item;
	int rc = 1, last;

	if (codec == NULL)
		rc = err_set(&err, ERR_NOMEM, "out of memory");
	while (rc == 1 && queue_get(p->full, &item) == QUEUE_OK)
		rc = pack(p, codec, item, &err);
	if (rc < 0)
		pipeline_fail(p, 0, &err);
	codec_free(codec);
	pthread_mutex_lock(&p->lock);
	last = --p->packers == 0;
	pthread_mutex_unlock(&p->lock);
	if (last)
		queue_finish(p->packed);
	pipeline_done(p, PIPELINE_PACK);
	return NULL;
}

/* ----------------------------------------------------------------- sender -- */

/* Wait until `len` more bytes may be on their way: 1, or 0 if the pipeline failed. */
static int
enter_window(struct pipeline *p, size_t len)
{
	int go;

	pthread_mutex_lock(&p->lock);
	while (!p->failed && p->in_window > 0 && p->in_window + len > p->job->up.window)
		pthread_cond_wait(&p->changed, &p->lock);
	go = !p->failed;
	if (go)
		p->in_window += len;
	pthread_mutex_unlock(&p->lock);
	return go;
}

static int
send_group(struct pipeline *p, struct buf *group, struct err *err)
{
	const struct uplink *up = &p->job->up;
	struct uplink_counts counts = { .sent_bytes = group->len };
	struct pipeline_sent *sent;

	if (!enter_window(p, group->len))
		return 0;
	if ((sent = malloc(sizeof(*sent))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	sent->len = group->len;
	if (up->ops->put(up->arg, group->p, group->len, &sent->request, err) != 0) {
		free(sent);
		return -1;
	}
	pipeline_count(p, &counts);
	progress_add(p->job->progress, PROGRESS_SENT, group->len);
	queue_put(p->free_groups, group, 1);
	if (queue_put(p->sent, sent, 1) == QUEUE_OK)
		return 1;
	free(sent);
	return 0;
}

void *
pipeline_sender(void *arg)
{
	struct pipeline *p = arg;
	struct err err = ERR_INIT;
	void *item;
	int rc = 1;

	while (rc == 1 && queue_get(p->packed, &item) == QUEUE_OK)
		rc = send_group(p, item, &err);
	if (rc < 0)
		pipeline_fail(p, 1, &err);
	queue_finish(p->sent);
	pipeline_done(p, PIPELINE_SEND);
	return NULL;
}

/* --------------------------------------------------------------- receiver -- */

void *
pipeline_receiver(void *arg)
{
	struct pipeline *p = arg;
	const struct uplink *up = &p->job->up;
	struct err err = ERR_INIT;
	struct pipeline_sent *sent;
	void *item;
	int rc = 0;

	while (rc == 0 && queue_get(p->sent, &item) == QUEUE_OK) {
		sent = item;
		rc = up->ops->put_wait(up->arg, sent->request, &err);
		if (rc != 0)
			pipeline_fail(p, 1, &err);
		pthread_mutex_lock(&p->lock);
		p->in_window -= sent->len;
		pthread_cond_broadcast(&p->changed);
		pthread_mutex_unlock(&p->lock);
		free(sent);
	}
	pipeline_done(p, PIPELINE_RECEIVE);
	return NULL;
}
