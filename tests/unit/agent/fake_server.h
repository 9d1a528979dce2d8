/*
 * fake_server.h - a server in arrays behind struct uplink, for the pipeline's
 * tests.  It proves what it is given with the product's own gates, walks trees
 * at commit, and can be told to stall, refuse, lose and break.
 */
#ifndef TESTS_UNIT_AGENT_FAKE_SERVER_H
#define TESTS_UNIT_AGENT_FAKE_SERVER_H

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backup/uplink.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"

#define FAKE_CHUNKS 65536u /* Slots; a power of two. */
#define FAKE_REQUESTS 4096u

struct fake_chunk {
	struct chunk_id id;
	enum chunk_kind kind;
	uint8_t *p; /* NULL: not stored. */
	uint32_t len;
	int claimed;
	int pending; /* Answers "pending" that are still due. */
	int used;
};

struct fake_server {
	pthread_mutex_t lock;
	struct chunk_keys keys;
	struct codec *codec;
	uint8_t *plain;
	struct fake_chunk *chunks;
	struct {
		uint8_t *answers;
		size_t n;
		int failed;
	} requests[FAKE_REQUESTS];
	uint64_t next;
	/* What it saw. */
	uint64_t asked, needed, puts, chunks_put, twice, bytes_put;
	uint64_t waiting, waiting_most; /* Nodes last answered "pending". */
	/* What it shall do. */
	unsigned pending_every; /* Each n-th new chunk is pending for `pending_times`. */
	int pending_times;
	int pending_then_have; /* ... and then another host has sent it. */
	int nodes_pending;     /* Of every node so many answers are "pending". */
	uint64_t fail_put;     /* The n-th Put breaks the connection; 0: never. */
	/* Answers wait until it says so; NULL: they do not. */
	int (*may_answer)(void *arg);
	void *may_answer_arg;
	int canceled;
	struct err bad; /* A broken rule. */
};

static struct fake_chunk *
fake_slot(struct fake_server *s, const struct chunk_id *id)
{
	uint64_t h;
	struct fake_chunk *c;

	memcpy(&h, id->b, sizeof(h));
	for (;; h++) {
		c = &s->chunks[h & (FAKE_CHUNKS - 1)];
		if (!c->used || chunk_id_cmp(&c->id, id) == 0)
			break;
	}
	if (!c->used) {
		c->used = 1;
		c->id = *id;
	}
	return c;
}

static int
fake_begin(void *arg, const struct uplink_volume *volumes, unsigned n,
    struct uplink_base *bases, struct buf *bad, int *resumed, struct err *err)
{
	(void)arg, (void)volumes, (void)bad, (void)err;
	memset(bases, 0, n * sizeof(*bases));
	*resumed = 0;
	return 0;
}

static uint8_t
fake_answer(struct fake_server *s, const struct chunk_id *id, enum chunk_kind kind)
{
	struct fake_chunk *c = fake_slot(s, id);

	s->asked++;
	if (c->p != NULL)
		return UPLINK_HAVE;
	if (c->kind == 0) {
		c->kind = kind;
		if (s->pending_every > 0 && s->asked % s->pending_every == 0)
			c->pending = s->pending_times;
		if (kind == CHUNK_META && s->nodes_pending > 0) {
			c->pending = s->nodes_pending;
			if (++s->waiting > s->waiting_most)
				s->waiting_most = s->waiting;
		}
	}
	if (c->pending > 0) {
		c->pending--;
		if (c->pending == 0 && s->pending_then_have) {
			c->p = malloc(1);
			return UPLINK_HAVE;
		}
		return UPLINK_PENDING;
	}
	if (!c->claimed && kind == CHUNK_META && s->nodes_pending > 0)
		s->waiting--;
	c->claimed = 1;
	s->needed++;
	return UPLINK_NEED;
}

static int
fake_have(void *arg, enum chunk_kind kind, const struct chunk_id *ids, size_t n,
    uint64_t *request, struct err *err)
{
	struct fake_server *s = arg;
	uint8_t *answers = malloc(n);
	size_t i;

	(void)err;
	pthread_mutex_lock(&s->lock);
	if (n == 0 || n > UPLINK_IDS_MAX)
		err_set(&s->bad, ERR_PROTOCOL, "have of %zu", n);
	for (i = 0; i < n; i++)
		answers[i] = fake_answer(s, &ids[i], kind);
	*request = s->next++;
	s->requests[*request % FAKE_REQUESTS].answers = answers;
	s->requests[*request % FAKE_REQUESTS].n = n;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int
fake_have_wait(void *arg, uint64_t request, uint8_t *answers, size_t n, struct err *err)
{
	struct fake_server *s = arg;
	int rc = 0;

	while (s->may_answer != NULL && !s->may_answer(s->may_answer_arg))
		;
	pthread_mutex_lock(&s->lock);
	if (s->canceled)
		rc = err_set(err, ERR_CANCELED, "canceled");
	else
		memcpy(answers, s->requests[request % FAKE_REQUESTS].answers, n);
	free(s->requests[request % FAKE_REQUESTS].answers);
	s->requests[request % FAKE_REQUESTS].answers = NULL;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* Keep a group's chunks, if it passes all gates. */
static int
fake_store(struct fake_server *s, const uint8_t *p, size_t len, struct err *err)
{
	struct group g;
	uint32_t i;

	if (group_parse(p, len, &g, err) != 0 || group_check(&g, err) != 0 ||
	    group_decode(s->codec, &g, s->plain, err) != 0 ||
	    group_prove(&g, &s->keys, s->plain, err) != 0)
		return -1;
	for (i = 0; i < g.count; i++) {
		struct group_entry e;
		struct fake_chunk *c;

		group_entry(&g, i, &e);
		c = fake_slot(s, &e.id);
		s->chunks_put++;
		if (!c->claimed && s->bad.code == ERR_NONE)
			err_set(
			    &s->bad, ERR_PROTOCOL, "a chunk came that was not asked for");
		if (c->p != NULL) {
			s->twice++;
			continue;
		}
		c->kind = g.kind;
		c->len = e.len;
		c->p = malloc(e.len);
		memcpy(c->p, s->plain + e.offset, e.len);
	}
	return 0;
}

static int
fake_put(void *arg, const uint8_t *group, size_t len, uint64_t *request, struct err *err)
{
	struct fake_server *s = arg;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	s->puts++;
	s->bytes_put += len;
	if (s->canceled)
		rc = err_set(err, ERR_CANCELED, "canceled");
	else if (s->fail_put != 0 && s->puts >= s->fail_put)
		rc = err_set(err, ERR_IO, "connection reset");
	else if (s->bad.code == ERR_NONE && fake_store(s, group, len, &s->bad) == 0)
		*request = s->next++;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int
fake_put_wait(void *arg, uint64_t request, struct err *err)
{
	(void)arg, (void)request, (void)err;
	return 0;
}

static int
fake_fetch(void *arg, const struct chunk_id *id, struct buf *out, struct err *err)
{
	struct fake_chunk *c = fake_slot(arg, id);

	buf_clear(out);
	if (c->p == NULL || c->kind != CHUNK_META)
		return err_set(err, ERR_NOTFOUND, "a node is missing");
	return buf_add(out, c->p, c->len, err);
}

static void
fake_cancel(void *arg)
{
	struct fake_server *s = arg;

	pthread_mutex_lock(&s->lock);
	s->canceled = 1;
	pthread_mutex_unlock(&s->lock);
}

static const struct uplink_ops fake_ops = { .begin = fake_begin,
	.have = fake_have,
	.have_wait = fake_have_wait,
	.put = fake_put,
	.put_wait = fake_put_wait,
	.cancel = fake_cancel };

static struct fake_server *
fake_new(const struct chunk_keys *keys)
{
	struct fake_server *s = calloc(1, sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	s->keys = *keys;
	s->codec = codec_new();
	s->plain = malloc(GROUP_PLAIN_MAX);
	s->chunks = calloc(FAKE_CHUNKS, sizeof(*s->chunks));
	return s;
}

static void
fake_free(struct fake_server *s)
{
	size_t i;

	for (i = 0; i < FAKE_CHUNKS; i++)
		free(s->chunks[i].p);
	for (i = 0; i < FAKE_REQUESTS; i++)
		free(s->requests[i].answers);
	free(s->chunks);
	free(s->plain);
	codec_free(s->codec);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Forget what was counted, not what is stored. */
static void
fake_reset(struct fake_server *s)
{
	s->asked = s->needed = s->puts = s->chunks_put = s->twice = s->bytes_put = 0;
	s->fail_put = 0;
	s->canceled = 0;
}

/* --------------------------------------------------------- what it now holds -- */

struct fake_image {
	struct fake_server *s;
	uint8_t *out;
	uint64_t missing;
	uint64_t bytes[4]; /* By enum extent_kind. */
};

static int
fake_extent(void *arg, const struct extent *e)
{
	struct fake_image *im = arg;
	struct fake_chunk *c;

	im->bytes[e->kind] += e->len;
	if (e->kind != EXTENT_DATA) {
		memset(im->out + e->offset, 0, e->len);
		return 0;
	}
	c = fake_slot(im->s, &e->id);
	if (c->p == NULL || c->len != e->chunk_len)
		im->missing++;
	else
		memcpy(im->out + e->offset, c->p + e->chunk_offset, e->len);
	return 0;
}

/* Rebuild the image of `root` into `out` (`size` bytes): chunks missing, or -1. */
static int64_t
fake_rebuild(struct fake_server *s, const struct chunk_id *root, uint8_t *out,
    uint64_t size, struct fake_image *im, struct err *err)
{
	struct tree_walk *w;
	uint64_t n;

	memset(im, 0, sizeof(*im));
	im->s = s;
	im->out = out;
	if (tree_walk_open(root, fake_fetch, s, &w, err) != 0)
		return -1;
	if (tree_walk_root(w)->size != size) {
		tree_walk_close(w);
		return err_set(err, ERR_CORRUPT, "another size");
	}
	for (n = 0; n < tree_spans(size); n++)
		if (tree_walk_span(w, n, fake_extent, im, err) != 0) {
			tree_walk_close(w);
			return -1;
		}
	tree_walk_close(w);
	return (int64_t)im->missing;
}

#endif /* TESTS_UNIT_AGENT_FAKE_SERVER_H */
