#include <stdlib.h>
#include <string.h>

#include "agent/backup/pipeline_fill.h"
#include "agent/host/stop.h"
#include "proto/base/queue.h"
#include "proto/base/wait.h"

/* Pause between rounds of asking for what another host is sending. */
#define PENDING_FIRST_MS 50u
#define PENDING_MOST_MS 2000u
/* Chunks in one such question. */
#define PENDING_ASK 1024u
/* Another host that shows no progress for so long will not finish. */
#define PENDING_LIMIT_MS (30u * 60 * 1000)

struct answerer {
	struct pipeline_fill fill;
	struct pipeline *p;
	struct pipeline_pending *first[3], **last[3]; /* By enum chunk_kind. */
	size_t pending_n, pending_bytes;
	int uplink_failed;
	uint8_t answers[UPLINK_IDS_MAX];
	uint8_t scratch[CHUNK_DATA_MAX];
};

/* ---------------------------------------------------------------- pending -- */

static size_t
pending_size(const struct pipeline_pending *n)
{
	return sizeof(*n) + n->count * sizeof(n->pieces[0]) +
	       (n->node != NULL ? n->len : 0);
}

static void
pending_append(struct answerer *a, struct pipeline_pending *n)
{
	n->next = NULL;
	*a->last[n->kind] = n;
	a->last[n->kind] = &n->next;
	a->pending_n++;
	a->pending_bytes += pending_size(n);
}

static struct pipeline_pending *
pending_take(struct answerer *a, enum chunk_kind kind)
{
	struct pipeline_pending *n = a->first[kind];

	if ((a->first[kind] = n->next) == NULL)
		a->last[kind] = &a->first[kind];
	a->pending_n--;
	a->pending_bytes -= pending_size(n);
	return n;
}

static void
pending_free(struct pipeline_pending *n)
{
	free(n->node);
	free(n);
}

/* Keep a chunk in mind that another host is sending. */
static int
pending_note(struct answerer *a, enum chunk_kind kind, const struct chunk_id *id,
    const struct pipeline_asked *asked, struct err *err)
{
	struct pipeline_pending *n;

	n = calloc(1, sizeof(*n) + asked->count * sizeof(n->pieces[0]));
	if (n == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	n->kind = kind;
	n->id = *id;
	n->len = asked->len;
	n->count = asked->count;
	n->kept = asked->kept;
	if (n->count > 0)
		memcpy(n->pieces, asked->pieces, n->count * sizeof(n->pieces[0]));
	if (kind == CHUNK_META) {
		if ((n->node = malloc(n->len)) == NULL) {
			free(n);
			return err_set(err, ERR_NOMEM, "out of memory");
		}
		memcpy(n->node, asked->p, n->len);
	}
	pending_append(a, n);
	return 0;
}

/* A data chunk is needed: as pipeline_fill_add(). */
static int
add_data(struct answerer *a, const struct chunk_id *id, const struct volmap_piece *pieces,
    uint32_t count, const uint8_t *p, uint32_t len, struct err *err)
{
	uint64_t lowest = pieces[0].offset;

	for (uint32_t i = 1; i < count; i++)
		if (pieces[i].offset < lowest)
			lowest = pieces[i].offset;
	if (!pipeline_fill_move(&a->fill, lowest))
		return 0;
	return pipeline_fill_add(&a->fill, CHUNK_DATA, id, p, len, err);
}

/*
 * The same of one whose bytes are not at hand.  Of one that was kept they may be others
 * than the list of changes promised.
 */
static int
read_again(struct answerer *a, const struct chunk_id *id, int kept,
    const struct volmap_piece *pieces, uint32_t count, uint32_t len, struct err *err)
{
	struct chunk_id real;

	if (pipeline_gather(a->p->job, pieces, count, a->scratch, err) != 0)
		return -1;
	chunk_id_of(a->p->job->keys, CHUNK_DATA, a->scratch, len, &real);
	if (chunk_id_cmp(&real, id) != 0 && kept) {
		pipeline_fail_stale(a->p, pieces[0].offset);
		return 0;
	}
	if (chunk_id_cmp(&real, id) != 0)
		return err_set(err, ERR_SNAPSHOT_LOST,
		    "byte %llu changed while it was read",
		    (unsigned long long)pieces[0].offset);
	return add_data(a, id, pieces, count, a->scratch, len, err);
}

/* It turned out to be ours to send. */
static int
pending_send(struct answerer *a, const struct pipeline_pending *n, struct err *err)
{
	if (n->kind == CHUNK_META)
		return pipeline_fill_add(&a->fill, n->kind, &n->id, n->node, n->len, err);
	return read_again(a, &n->id, n->kept, n->pieces, n->count, n->len, err);
}

/* Ask once more for up to PENDING_ASK of a kind: 1, 0 if ended, -1. */
static int
pending_ask(struct answerer *a, enum chunk_kind kind, struct err *err)
{
	static const size_t max = PENDING_ASK;
	const struct uplink *up = &a->p->job->up;
	struct pipeline_pending *n = a->first[kind];
	struct chunk_id ids[PENDING_ASK];
	uint64_t request;
	size_t i, count;
	int rc = 1;

	for (count = 0; count < max && n != NULL; n = n->next)
		ids[count++] = n->id;
	if (count == 0)
		return 1;
	if (up->ops->have(up->arg, kind, ids, count, &request, err) != 0 ||
	    up->ops->have_wait(up->arg, request, a->answers, count, err) != 0) {
		a->uplink_failed = 1;
		return -1;
	}
	for (i = 0; i < count && rc == 1; i++) {
		n = pending_take(a, kind);
		if (a->answers[i] == UPLINK_PENDING) {
			pending_append(a, n);
			continue;
		}
		if (a->answers[i] == UPLINK_NEED)
			rc = pending_send(a, n, err);
		else if (kind == CHUNK_DATA)
			a->fill.counts.known_bytes += n->len;
		pending_free(n);
	}
	return rc;
}

/* Wait `ms`, or until the pipeline fails. */
static int
pause_ms(struct pipeline *p, uint32_t ms)
{
	const uint64_t end = wait_now_us() + (uint64_t)ms * 1000;
	int failed, late = 0;

	pthread_mutex_lock(&p->lock);
	while (!p->failed && !late)
		late = wait_until(&p->changed, &p->lock, end);
	failed = p->failed;
	pthread_mutex_unlock(&p->lock);
	return !failed;
}

/*
 * Ask until at most `left` are pending, of at most `bytes`.  What we have claimed
 * ourselves is sent first: two hosts may be waiting for each other.
 */
static int
pending_settle(struct answerer *a, size_t left, size_t bytes, struct err *err)
{
	uint32_t wait = PENDING_FIRST_MS, waited = 0;
	size_t before, round;
	int rc = 1;

	while (rc == 1 && (a->pending_n > left || a->pending_bytes > bytes)) {
		before = a->pending_n;
		if (!pipeline_fill_flush(&a->fill))
			return 0;
		for (round = 0; rc == 1 && round < before; round += PENDING_ASK)
			if ((rc = pending_ask(a, CHUNK_DATA, err)) == 1)
				rc = pending_ask(a, CHUNK_META, err);
		if (rc != 1 || a->pending_n < before) {
			wait = PENDING_FIRST_MS;
			waited = 0;
			continue;
		}
		if (waited > PENDING_LIMIT_MS)
			return err_set(err, ERR_TIMEOUT,
			    "%zu chunks that another host began to send do not arrive",
			    a->pending_n);
		if (!pause_ms(a->p, wait))
			return 0;
		waited += wait;
		wait = wait * 2 < PENDING_MOST_MS ? wait * 2 : PENDING_MOST_MS;
	}
	return rc;
}

/* ---------------------------------------------------------------- answers -- */

static int
take_answer(struct answerer *a, struct pipeline_batch *b, size_t i, struct err *err)
{
	const struct pipeline_asked *asked = &b->asked[i];

	switch (a->answers[i]) {
	case UPLINK_NEED:
		if (asked->p == NULL)
			return read_again(a, &b->ids[i], asked->kept, asked->pieces,
			    asked->count, asked->len, err);
		if (b->kind == CHUNK_DATA)
			return add_data(a, &b->ids[i], asked->pieces, asked->count,
			    asked->p, asked->len, err);
		return pipeline_fill_add(
		    &a->fill, b->kind, &b->ids[i], asked->p, asked->len, err);
	case UPLINK_PENDING:
		return pending_note(a, b->kind, &b->ids[i], asked, err) == 0 ? 1 : -1;
	default:
		if (b->kind == CHUNK_DATA)
			a->fill.counts.known_bytes += asked->len;
		return 1;
	}
}

static int
take_batch(struct answerer *a, struct pipeline_batch *b, struct err *err)
{
	const struct uplink *up = &a->p->job->up;
	size_t i;
	int rc = 1;

	if (up->ops->have_wait(up->arg, b->request, a->answers, b->n, err) != 0) {
		a->uplink_failed = 1;
		return -1;
	}
	for (i = 0; i < b->n && rc == 1; i++)
		rc = take_answer(a, b, i, err);
	pipeline_batch_drop(b);
	if (rc == 1 && (a->pending_n >= PIPELINE_PENDING_MAX ||
			   a->pending_bytes >= PIPELINE_PENDING_BYTES))
		rc = pending_settle(
		    a, PIPELINE_PENDING_MAX / 2, PIPELINE_PENDING_BYTES / 2, err);
	return rc;
}

void *
pipeline_answerer(void *arg)
{
	struct answerer *a = calloc(1, sizeof(*a));
	struct pipeline *p = arg;
	struct err err = ERR_INIT;
	enum queue_result got = QUEUE_ABORTED;
	void *item;
	int rc = 1;

	if (a == NULL) {
		err_set(&err, ERR_NOMEM, "out of memory");
		pipeline_fail(p, 0, &err);
		queue_finish(p->full);
		return NULL;
	}
	a->p = a->fill.p = p;
	a->last[CHUNK_DATA] = &a->first[CHUNK_DATA];
	a->last[CHUNK_META] = &a->first[CHUNK_META];
	while (rc == 1 && (got = queue_get(p->asked, &item)) == QUEUE_OK)
		rc = take_batch(a, item, &err);
	if (rc == 1 && got == QUEUE_END && (rc = pending_settle(a, 0, 0, &err)) == 1)
		rc = pipeline_fill_flush(&a->fill);
	if (rc < 0)
		pipeline_fail(p, a->uplink_failed, &err);
	pipeline_count(p, &a->fill.counts);
	while (a->first[CHUNK_DATA] != NULL)
		pending_free(pending_take(a, CHUNK_DATA));
	while (a->first[CHUNK_META] != NULL)
		pending_free(pending_take(a, CHUNK_META));
	free(a);
	queue_finish(p->full);
	pipeline_done(p, PIPELINE_ANSWER);
	return NULL;
}
