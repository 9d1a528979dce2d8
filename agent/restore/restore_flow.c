#include "agent/restore/restore_flow.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/host/stop.h"
#include "agent/restore/restore.h"
#include "agent/restore/restore_window.h"
#include "agent/restore/target.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/queue.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/net/channel.h"
#include "proto/wire/frame.h"

#define WORKERS 2u
#define WINDOWS_AHEAD 2u
#define GROUPS_QUEUED 64u
#define GROUPS_BYTES (8u * 1024 * 1024)
#define REQUESTS_MAX 64u /* Of one window: 64 times MSG_IDS_MAX ids. */

/*
 * Three kinds of threads: the planner goes ahead through the tree and asks for
 * groups, the receiver (the caller's thread) takes them in, workers decode,
 * prove and write.
 */
struct restore {
	const struct restore_flow *job;
	struct restore_tree *tree;
	struct target *target;
	struct queue *windows, *groups;
	struct asked *current; /* Whose groups come; the receiver's. */
	uint64_t reached;      /* Spans that are whole; the receiver's. */

	pthread_mutex_t lock; /* Guards all below; nothing is locked under it. */
	int failed;
	int lost; /* It was the session. */
	struct err why;
	uint64_t same, received;
};

/* Whose failure it is. */
enum whose { OURS, SESSION };

/* A window with its requests for groups. */
struct asked {
	struct restore_window *w;
	uint64_t requests[REQUESTS_MAX];
	unsigned n;
	uint64_t begin, end; /* Bytes of the volume. */
	pthread_mutex_t lock;
	pthread_cond_t less;
	unsigned under_way; /* Groups with the workers. */
};

/* A group on its way to a worker. */
struct incoming {
	struct asked *asked;
	uint8_t *p;
	size_t len;
};

static void
fail(struct restore *r, enum whose whose, const struct err *why)
{
	int first;

	pthread_mutex_lock(&r->lock);
	first = !r->failed;
	if (first) {
		r->failed = 1;
		r->lost = whose == SESSION;
		r->why = *why;
	}
	pthread_mutex_unlock(&r->lock);
	if (first) {
		queue_abort(r->windows);
		queue_abort(r->groups);
		channel_cancel(r->job->src.ch);
	}
}

static void
on_stop(void *arg)
{
	struct err why = ERR_INIT;

	err_set(&why, ERR_CANCELED, "interrupted");
	fail(arg, OURS, &why);
}

static void
add_same(struct restore *r, uint64_t same)
{
	pthread_mutex_lock(&r->lock);
	r->same += same;
	pthread_mutex_unlock(&r->lock);
}

/* ---------------------------------------------------------------- planner -- */

static void
asked_free(void *item)
{
	struct asked *a = item;

	if (a == NULL)
		return;
	restore_window_free(a->w);
	pthread_cond_destroy(&a->less);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static struct asked *
asked_new(uint64_t first, uint32_t spans, uint64_t size)
{
	struct asked *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->less, NULL);
	a->begin = first * TREE_SPAN_LEN;
	a->end = (first + spans) * TREE_SPAN_LEN;
	if (a->end > size)
		a->end = size;
	if ((a->w = restore_window_new(first, spans)) == NULL) {
		asked_free(a);
		return NULL;
	}
	return a;
}

/* Where restore_tree_take() puts extents. */
struct planning {
	struct restore *r;
	struct asked *a;
	struct err *err;
	int ours; /* Taking an extent failed, not getting it. */
};

static int
on_extent(void *arg, const struct extent *e)
{
	struct planning *p = arg;
	int rc = restore_window_extent(p->a->w, p->r->target, e, p->err);

	p->ours |= rc != 0;
	return rc;
}

/* Ask for the groups of what is wanted: all of it, or by name. */
static int
ask_groups(struct restore *r, struct asked *a, struct err *err)
{
	Wire__GetGroups m = WIRE__GET_GROUPS__INIT;
	struct buf ids = BUF_INIT(MSG_IDS_MAX * CHUNK_ID_LEN);
	size_t at = 0, wanted = restore_window_wanted(a->w);
	int all = wanted == restore_window_chunks(a->w), rc = 0;

	m.host = (char *)(uintptr_t)r->job->src.host;
	m.sequence = r->job->src.sequence;
	m.volume = r->job->src.volume;
	m.first_span = restore_window_first(a->w);
	m.spans = restore_window_spans(a->w);
	while (rc == 0 && wanted > 0) {
		buf_clear(&ids);
		if (!all &&
		    (rc = restore_window_ids(a->w, &at, MSG_IDS_MAX, &ids, err)) != 0)
			break;
		if ((!all && ids.len == 0) || (all && a->n == 1) || a->n == REQUESTS_MAX)
			break;
		m.ids.data = ids.p;
		m.ids.len = ids.len;
		rc = channel_send(r->job->src.ch, &m.base, &a->requests[a->n++], err);
	}
	buf_free(&ids);
	return rc;
}

static uint32_t
at_most(uint64_t left, uint32_t n)
{
	return left < n ? (uint32_t)left : n;
}

/*
 * One window of the leaves asked for, `*spans` from `first` on; `*spans` becomes the
 * next one's, whose leaves are under way then.  1, 0 if the restore has ended, -1.
 */
static int
plan_window(struct restore *r, uint64_t first, uint32_t *spans, enum whose *whose,
    struct err *err)
{
	uint64_t size = restore_tree_root(r->tree)->size, next = first + *spans, same = 0;
	struct asked *a = asked_new(first, *spans, size);
	struct planning p = { r, a, err, 0 };
	int rc = -1;

	*whose = OURS;
	if (a == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (restore_tree_take(r->tree, on_extent, &p, err) != 0) {
		*whose = p.ours ? OURS : SESSION;
		goto out;
	}
	if (restore_window_seal(a->w, err) != 0)
		goto out;
	/* The leaves after these travel while the groups of these do. */
	*spans = at_most(tree_spans(size) - next, restore_window_next(a->w));
	*whose = SESSION;
	if (*spans > 0 && restore_tree_ask(r->tree, next, *spans, err) != 0)
		goto out;
	*whose = OURS;
	if (((r->job->flags & RESTORE_DELTA) != 0 || first < r->job->begun) &&
	    restore_window_compare(a->w, r->target, r->job->src.keys, &same, err) != 0)
		goto out;
	add_same(r, same);
	*whose = SESSION;
	if (ask_groups(r, a, err) != 0)
		goto out;
	rc = queue_put(r->windows, a, 1) == QUEUE_OK;
	if (rc == 1)
		return 1;
out:
	asked_free(a);
	return rc;
}

static void *
planner(void *arg)
{
	struct restore *r = arg;
	uint64_t all = tree_spans(restore_tree_root(r->tree)->size), first, next;
	uint32_t n = at_most(all - r->reached, RESTORE_SPANS_MIN);
	enum whose whose = SESSION;
	struct err err = ERR_INIT;
	int rc = 1;

	first = r->reached;
	if (n > 0 && restore_tree_ask(r->tree, first, n, &err) != 0)
		rc = -1;
	for (; rc == 1 && first < all; first = next) {
		next = first + n;
		rc = plan_window(r, first, &n, &whose, &err);
	}
	if (rc < 0)
		fail(r, whose, &err);
	queue_finish(r->windows);
	return NULL;
}

/* ---------------------------------------------------------------- workers -- */

static void
incoming_free(void *item)
{
	struct incoming *in = item;

	free(in->p);
	free(in);
}

static void *
worker(void *arg)
{
	struct restore *r = arg;
	struct codec *codec = codec_new();
	uint8_t *plain = malloc(GROUP_PLAIN_MAX);
	struct err err = ERR_INIT;
	struct incoming *in;
	uint64_t same = 0;
	void *item;
	int rc = 0;

	if (codec == NULL || plain == NULL)
		rc = err_set(&err, ERR_NOMEM, "out of memory");
	while (rc == 0 && queue_get(r->groups, &item) == QUEUE_OK) {
		in = item;
		rc = restore_window_group(in->asked->w, r->target, r->job->src.keys,
		    codec, plain, in->p, in->len, &same, &err);
		/* Told first, or that chunks did not come would be taken for the reason.
		 */
		if (rc != 0)
			fail(r, OURS, &err);
		pthread_mutex_lock(&in->asked->lock);
		in->asked->under_way--;
		pthread_cond_signal(&in->asked->less);
		pthread_mutex_unlock(&in->asked->lock);
		incoming_free(in);
	}
	if (rc != 0)
		fail(r, OURS, &err);
	add_same(r, same);
	codec_free(codec);
	free(plain);
	return NULL;
}

/* --------------------------------------------------------------- receiver -- */

static int
take_end(const struct channel_frame *f, struct err *err)
{
	struct frame view = { f->kind, f->flags, f->request, f->payload, f->len };
	ProtobufCMessage *m;
	size_t lost;

	if (msg_unpack(&view, &m, err) != 0)
		return -1;
	lost = ((Wire__GroupsEnd *)m)->missing_ids.len / CHUNK_ID_LEN;
	msg_free(m);
	if (lost > 0)
		return err_set(err, ERR_CORRUPT,
		    "the store has lost %zu%s chunks of this volume", lost,
		    lost == MSG_IDS_MAX ? " or more" : "");
	return 0;
}

/* How far the restore has come, as the share of the window's chunks that are there. */
static void
show_progress(struct restore *r, const struct asked *a, uint64_t received)
{
	size_t all = restore_window_chunks(a->w), left = restore_window_wanted(a->w);
	uint64_t len = a->end - a->begin;

	if (r->job->tell != NULL)
		r->job->tell(r->job->tell_arg,
		    left == 0 ? a->end
			      : a->begin + (uint64_t)((double)len * (double)(all - left) /
						      (double)all),
		    received);
}

/* Hand a group to the workers; takes the payload over.  1, 0 if ended, -1. */
static int
hand_out(struct restore *r, struct asked *a, struct channel_frame *f, struct err *err)
{
	struct incoming *in = malloc(sizeof(*in));

	if (in == NULL) {
		free(f->payload);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	*in = (struct incoming){ a, f->payload, f->len };
	pthread_mutex_lock(&a->lock);
	a->under_way++;
	pthread_mutex_unlock(&a->lock);
	r->received += f->len;
	show_progress(r, a, f->len);
	if (queue_put(r->groups, in, f->len) == QUEUE_OK)
		return 1;
	incoming_free(in);
	return 0;
}

/* All groups of one request: as hand_out(). */
static int
receive(struct restore *r, struct asked *a, uint64_t request, struct err *err)
{
	struct channel_frame f;
	int rc = 1;

	while (rc == 1) {
		if (channel_wait(r->job->src.ch, request, 0, &f, err) != 0)
			return -1;
		if (f.kind == MSG_GROUP) {
			rc = hand_out(r, a, &f, err);
			continue;
		}
		if (f.kind == MSG_GROUPS_END)
			rc = take_end(&f, err);
		else
			rc = err_set(err, ERR_PROTOCOL, "%s where a group was due",
			    msg_name(f.kind));
		free(f.payload);
		return rc == 0 ? 1 : -1;
	}
	return rc;
}

/* The workers are done with this window, or the restore has failed. */
static void
settle(struct restore *r, struct asked *a)
{
	struct timespec until;
	int failed = 0;

	pthread_mutex_lock(&a->lock);
	while (a->under_way > 0 && !failed) {
		/* Groups that an abort left in the queue are never counted down. */
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		pthread_cond_timedwait(&a->less, &a->lock, &until);
		pthread_mutex_lock(&r->lock);
		failed = r->failed;
		pthread_mutex_unlock(&r->lock);
	}
	pthread_mutex_unlock(&a->lock);
}

static int
receive_window(struct restore *r, struct asked *a, struct err *err)
{
	unsigned i;
	int rc = 1;

	for (i = 0; i < a->n && rc == 1; i++)
		rc = receive(r, a, a->requests[i], err);
	if (rc != 1)
		return rc;
	settle(r, a);
	pthread_mutex_lock(&r->lock);
	rc = !r->failed;
	pthread_mutex_unlock(&r->lock);
	if (rc == 1 && restore_window_wanted(a->w) > 0)
		return err_set(err, ERR_CORRUPT, "the server did not send %zu chunks",
		    restore_window_wanted(a->w));
	if (rc == 1)
		r->reached = restore_window_first(a->w) + restore_window_spans(a->w);
	show_progress(r, a, 0);
	return rc;
}

/* A window lives until its groups have left the workers: r->current is freed after them.
 */
static void
receive_all(struct restore *r)
{
	struct err err = ERR_INIT;
	void *item;
	int rc = 1;

	while (rc == 1 && queue_get(r->windows, &item) == QUEUE_OK) {
		r->current = item;
		rc = receive_window(r, r->current, &err);
		if (rc == 1) {
			asked_free(r->current);
			r->current = NULL;
		}
	}
	if (rc < 0)
		fail(r, SESSION, &err);
	queue_finish(r->groups);
}

/* --------------------------------------------------------------- the whole -- */

static int
run_threads(struct restore *r, struct err *err)
{
	pthread_t threads[1 + WORKERS];
	struct err why = ERR_INIT;
	unsigned n;
	int os;

	r->windows = queue_new(WINDOWS_AHEAD, SIZE_MAX);
	r->groups = queue_new(GROUPS_QUEUED, GROUPS_BYTES);
	if (r->windows == NULL || r->groups == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	stop_attach(r->job->stop, on_stop, r);
	for (n = 0; n < 1 + WORKERS; n++)
		if ((os = pthread_create(
			 &threads[n], NULL, n == 0 ? planner : worker, r)) != 0) {
			err_os(&why, os, "thread");
			fail(r, OURS, &why);
			break;
		}
	receive_all(r);
	while (n > 0)
		pthread_join(threads[--n], NULL);
	stop_attach(r->job->stop, NULL, NULL);
	if (!r->failed)
		return 0;
	*err = r->why;
	return -1;
}

int
restore_flow_run(
    const struct restore_flow *job, struct restore_flow_result *out, struct err *err)
{
	struct restore *r = calloc(1, sizeof(*r));
	int rc;

	memset(out, 0, sizeof(*out));
	out->reached = job->from;
	if (r == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	pthread_mutex_init(&r->lock, NULL);
	r->job = job;
	r->tree = job->tree;
	r->target = job->target;
	r->reached = job->from;
	rc = run_threads(r, err);
	asked_free(r->current);
	queue_free(r->windows, asked_free);
	queue_free(r->groups, incoming_free);
	out->received_bytes = r->received;
	out->same_bytes = r->same;
	out->reached = r->reached;
	out->lost = rc != 0 && r->lost;
	pthread_mutex_destroy(&r->lock);
	free(r);
	return rc;
}
