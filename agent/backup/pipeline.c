#include "agent/backup/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/backup/cache.h"
#include "agent/backup/pipeline_reader.h"
#include "agent/host/stop.h"
#include "agent/map/metacache.h"
#include "proto/base/queue.h"
#include "proto/base/wait.h"

/* Threads of a pipeline: one of each stage, but PIPELINE_PACKERS packers. */
#define THREADS (PIPELINE_STAGES - 1 + PIPELINE_PACKERS)

const char *
pipeline_stage_name(enum pipeline_stage stage)
{
	static const char *const names[PIPELINE_STAGES] = { "read", "hash", "plan",
		"answer", "pack", "send", "receive" };

	return names[stage];
}

/* ----------------------------------------------------- shared by the threads -- */

static void
abort_queues(struct pipeline *p)
{
	struct queue *const all[] = { p->free_slabs, p->read, p->hashed, p->free_batches,
		p->asked, p->free_builders[CHUNK_DATA], p->free_builders[CHUNK_META],
		p->full, p->free_groups, p->packed, p->sent };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		queue_abort(all[i]);
}

void
pipeline_fail(struct pipeline *p, int uplink, const struct err *why)
{
	int first;

	pthread_mutex_lock(&p->lock);
	first = !p->failed;
	if (first) {
		p->failed = 1;
		p->uplink_failed = uplink;
		p->why = *why;
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	if (first) {
		abort_queues(p);
		p->job->up.ops->cancel(p->job->up.arg);
	}
}

void
pipeline_fail_stale(struct pipeline *p, uint64_t at)
{
	struct err why = ERR_INIT;

	pthread_mutex_lock(&p->lock);
	if (!p->failed) {
		p->stale = 1;
		p->stale_at = at;
	}
	pthread_mutex_unlock(&p->lock);
	err_set(&why, ERR_SNAPSHOT_LOST,
	    "byte %llu is not what the newest point has, though nothing said that it "
	    "changed",
	    (unsigned long long)at);
	pipeline_fail(p, 0, &why);
}

int
pipeline_failed(struct pipeline *p)
{
	int failed;

	pthread_mutex_lock(&p->lock);
	failed = p->failed;
	pthread_mutex_unlock(&p->lock);
	return failed;
}

void
pipeline_count(struct pipeline *p, const struct uplink_counts *more)
{
	pthread_mutex_lock(&p->lock);
	p->counts.read_bytes += more->read_bytes;
	p->counts.sent_bytes += more->sent_bytes;
	p->counts.new_bytes += more->new_bytes;
	p->counts.known_bytes += more->known_bytes;
	p->counts.zero_bytes += more->zero_bytes;
	p->counts.hole_bytes += more->hole_bytes;
	p->counts.excluded_bytes += more->excluded_bytes;
	for (unsigned i = 0; i < EXTENT_REASONS; i++)
		p->counts.excluded_by[i] += more->excluded_by[i];
	p->counts.chunks += more->chunks;
	p->counts.new_chunks += more->new_chunks;
	pthread_mutex_unlock(&p->lock);
}

void
pipeline_done(struct pipeline *p, enum pipeline_stage stage)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	pthread_mutex_lock(&p->lock);
	p->cpu_us[stage] += (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
	pthread_mutex_unlock(&p->lock);
}

void
pipeline_slab_drop(struct pipeline_slab *s)
{
	if (atomic_fetch_sub(&s->refs, 1) == 1)
		queue_put(s->home, s, 1);
}

/* Let go of the chunks; nodes are its own. */
static void
batch_clear(struct pipeline_batch *b)
{
	size_t i;

	for (i = 0; i < b->n; i++)
		if (b->asked[i].slab == NULL)
			free((uint8_t *)b->asked[i].p);
		else
			pipeline_slab_drop(b->asked[i].slab);
	b->n = b->slabs = b->bytes = 0;
	b->last_slab = NULL;
}

void
pipeline_batch_drop(void *batch)
{
	struct pipeline_batch *b = batch;

	batch_clear(b);
	queue_put(b->home, b, 1);
}

/* ---------------------------------------------------------- making, freeing -- */

static int
make_queues(struct pipeline *p)
{
	size_t any = SIZE_MAX;

	p->free_slabs = queue_new(PIPELINE_SLABS, any);
	p->read = queue_new(PIPELINE_SLABS, any);
	p->hashed = queue_new(PIPELINE_SLABS, any);
	p->free_batches = queue_new(PIPELINE_BATCHES, any);
	p->asked = queue_new(PIPELINE_ASKED_MAX, any);
	p->free_builders[CHUNK_DATA] = queue_new(PIPELINE_DATA_BUILDERS, any);
	p->free_builders[CHUNK_META] = queue_new(PIPELINE_META_BUILDERS, any);
	p->full = queue_new(PIPELINE_BUILDERS, any);
	p->free_groups = queue_new(PIPELINE_BUFFERS, any);
	p->packed = queue_new(PIPELINE_GROUPS_MAX, any);
	p->sent = queue_new(PIPELINE_PUTS_MAX, any);
	return p->free_slabs != NULL && p->read != NULL && p->hashed != NULL &&
	       p->free_batches != NULL && p->asked != NULL &&
	       p->free_builders[CHUNK_DATA] != NULL &&
	       p->free_builders[CHUNK_META] != NULL && p->full != NULL &&
	       p->free_groups != NULL && p->packed != NULL && p->sent != NULL;
}

static int
make_pool(struct pipeline *p)
{
	struct pipeline_pool *pool = &p->pool;
	struct pipeline_builder *b;
	unsigned i;

	for (i = 0; i < PIPELINE_SLABS; i++) {
		/* Not cleared: what a small volume does not use costs no memory. */
		if ((pool->slabs[i] = malloc(sizeof(*pool->slabs[i]))) == NULL)
			return 0;
		pool->slabs[i]->home = p->free_slabs;
		queue_put(p->free_slabs, pool->slabs[i], 1);
	}
	for (i = 0; i < PIPELINE_BATCHES; i++) {
		if ((pool->batches[i] = calloc(1, sizeof(*pool->batches[i]))) == NULL)
			return 0;
		pool->batches[i]->home = p->free_batches;
		queue_put(p->free_batches, pool->batches[i], 1);
	}
	for (i = 0; i < PIPELINE_BUILDERS; i++) {
		b = &pool->builders[i];
		b->kind = i < PIPELINE_DATA_BUILDERS ? CHUNK_DATA : CHUNK_META;
		if ((b->group = group_builder_new(b->kind)) == NULL)
			return 0;
		queue_put(p->free_builders[b->kind], b, 1);
	}
	for (i = 0; i < PIPELINE_BUFFERS; i++) {
		pool->groups[i].max = GROUP_LEN_MAX;
		queue_put(p->free_groups, &pool->groups[i], 1);
	}
	return 1;
}

static void
pipeline_free(struct pipeline *p)
{
	unsigned i;

	if (p == NULL)
		return;
	/* Slabs may be dropped while batches are cleared: they go first, queues last. */
	for (i = 0; i < PIPELINE_BATCHES; i++) {
		if (p->pool.batches[i] != NULL)
			batch_clear(p->pool.batches[i]);
		free(p->pool.batches[i]);
	}
	for (i = 0; i < PIPELINE_SLABS; i++)
		free(p->pool.slabs[i]);
	for (i = 0; i < PIPELINE_BUILDERS; i++)
		group_builder_free(p->pool.builders[i].group);
	for (i = 0; i < PIPELINE_BUFFERS; i++)
		buf_free(&p->pool.groups[i]);
	queue_free(p->free_slabs, NULL);
	queue_free(p->read, NULL);
	queue_free(p->hashed, NULL);
	queue_free(p->free_batches, NULL);
	queue_free(p->asked, NULL);
	queue_free(p->free_builders[CHUNK_DATA], NULL);
	queue_free(p->free_builders[CHUNK_META], NULL);
	queue_free(p->full, NULL);
	queue_free(p->free_groups, NULL);
	queue_free(p->packed, NULL);
	queue_free(p->sent, free);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	cache_close(p->done);
	volmap_close(p->map);
	pipeline_keep_close(p->keep);
	free(p);
}

static struct pipeline *
pipeline_new(const struct pipeline_job *job, struct err *err)
{
	struct pipeline *p = calloc(1, sizeof(*p));

	if (p != NULL) {
		p->job = job;
		pthread_mutex_init(&p->lock, NULL);
		wait_init(&p->changed);
		if (make_queues(p) && make_pool(p))
			return p;
		pipeline_free(p);
	}
	err_set(err, ERR_NOMEM, "out of memory");
	return NULL;
}

/* ---------------------------------------------------------------- running -- */

static void
on_stop(void *arg)
{
	struct err why = ERR_INIT;

	err_set(&why, ERR_CANCELED, "interrupted");
	pipeline_fail(arg, 0, &why);
}

static void
run_threads(struct pipeline *p)
{
	static void *(*const run[THREADS])(void *) = { pipeline_receiver, pipeline_sender,
		pipeline_packer, pipeline_packer, pipeline_answerer, pipeline_planner,
		pipeline_hasher, pipeline_reader };
	pthread_t threads[THREADS];
	struct err err = ERR_INIT;
	unsigned n;
	int os;

	p->packers = PIPELINE_PACKERS;
	for (n = 0; n < THREADS; n++)
		if ((os = pthread_create(&threads[n], NULL, run[n], p)) != 0) {
			err_os(&err, os, "thread");
			pipeline_fail(p, 0, &err);
			break;
		}
	while (n > 0)
		pthread_join(threads[--n], NULL);
}

static void
tell(const struct pipeline *p, struct pipeline_result *out)
{
	struct metacache_facts f = { 0 };

	if (p->job->metacache != NULL)
		metacache_facts(p->job->metacache, &f);
	if (f.full && out->note[0] == '\0')
		strcpy(out->note, "not all that its map reads can be kept: there is no "
				  "room for it in the state directory");
	out->grade = p->job->root.grade;
	if (p->map != NULL && volmap_hibernated(p->map))
		out->grade = TREE_CRASH;
	out->counts = p->counts;
	out->cached = p->cached;
	out->spans = p->spans;
	out->root_id = p->root_id;
	out->uplink_failed = p->uplink_failed;
	out->stale = p->stale;
	out->stale_at = p->stale_at;
	out->kept_bytes = p->kept_bytes;
	out->proven_bytes = p->proven_bytes;
	out->map_bytes = p->map_bytes;
	out->map_known_bytes = f.known_bytes;
	memcpy(out->cpu_us, p->cpu_us, sizeof(out->cpu_us));
	out->tree_lost = p->tree_lost.code != ERR_NONE;
	out->shape_lost = p->shape_lost.code != ERR_NONE;
	(void)snprintf(out->lost, sizeof(out->lost), "%.199s",
	    out->tree_lost ? p->tree_lost.text : p->shape_lost.text);
}

int
pipeline_run(const struct pipeline_job *job, struct pipeline_result *out, struct err *err)
{
	struct pipeline *p = pipeline_new(job, err);
	int rc;

	memset(out, 0, sizeof(*out));
	if (p == NULL)
		return -1;
	rc = pipeline_map_open(p, err);
	if (!pipeline_map_stale(p) && rc == 0 &&
	    (rc = pipeline_replay_open(p, err)) == 0) {
		strncpy(out->note, volmap_note(p->map), sizeof(out->note) - 1);
		stop_attach(job->stop, on_stop, p);
		run_threads(p);
		stop_attach(job->stop, NULL, NULL);
	}
	tell(p, out);
	if (p->failed) {
		*err = p->why;
		rc = -1;
	}
	if (job->metacache != NULL)
		metacache_end(job->metacache, rc == 0);
	pipeline_free(p);
	return rc;
}
