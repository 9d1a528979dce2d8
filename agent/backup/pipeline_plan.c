#include <stdlib.h>
#include <string.h>

#include "agent/backup/ahead.h"
#include "agent/backup/cache.h"
#include "agent/backup/pipeline_replay.h"
#include "agent/backup/pipeline_stages.h"
#include "agent/backup/seen.h"
#include "agent/host/progress.h"
#include "proto/base/bytes.h"
#include "proto/base/queue.h"
#include "proto/chunk/tree_format.h"

#define NO_SPAN UINT64_MAX

/* Builds the tree in volume order and asks for what the base does not have. */
struct planner {
	struct pipeline *p;
	struct tree_builder *tree;
	struct ahead *ahead;
	struct seen *asked;	/* In this run. */
	struct cache *base;	/* NULL: nothing known of it. */
	struct seen *base_span; /* Chunks of the base's leaf of span `span`. */
	uint64_t span;
	struct buf leaf;
	struct pipeline_replay *replay; /* NULL: all is read. */
	struct cache_writer *out;
	struct pipeline_batch *batch[3]; /* By enum chunk_kind. */
	struct chunk_id *bad;		 /* Sorted. */
	size_t bad_n;
	uint64_t at; /* The tree has come this far. */
	struct uplink_counts counts;
	int uplink_failed;
};

/*
 * What is remembered here only saves time: a disk that does not take it fails no backup.
 * 0, or -1 without memory.
 */
static int
give_up_tree(struct planner *pl, struct err *err)
{
	struct err ignored = ERR_INIT;

	if (err->code == ERR_NOMEM)
		return -1;
	pl->p->tree_lost = *err;
	err_clear(err);
	(void)cache_finish(pl->out, NULL, &ignored);
	pl->out = NULL;
	return 0;
}

/* -------------------------------------------------------------- questions -- */

/* Send what is to be asked of a kind: 1, 0 if the pipeline has ended, -1. */
static int
ask_now(struct planner *pl, enum chunk_kind kind, struct err *err)
{
	struct pipeline_batch *b = pl->batch[kind];
	const struct uplink *up = &pl->p->job->up;

	if (b == NULL || b->n == 0)
		return 1;
	if (up->ops->have(up->arg, kind, b->ids, b->n, &b->request, err) != 0) {
		pl->uplink_failed = 1;
		return -1;
	}
	pl->batch[kind] = NULL;
	return queue_put(pl->p->asked, b, 1) == QUEUE_OK;
}

/* Where the next question of this kind goes; NULL if the pipeline has ended. */
static struct pipeline_batch *
batch_of(struct planner *pl, enum chunk_kind kind)
{
	void *item;

	if (pl->batch[kind] == NULL &&
	    queue_get(pl->p->free_batches, &item) == QUEUE_OK) {
		pl->batch[kind] = item;
		pl->batch[kind]->kind = kind;
	}
	return pl->batch[kind];
}

/* Ask about a chunk of `s`: as ask_now(). */
static int
ask_data(struct planner *pl, struct pipeline_slab *s, const struct pipeline_chunk *c,
    struct err *err)
{
	struct pipeline_batch *b = batch_of(pl, CHUNK_DATA);
	struct pipeline_asked *a;

	if (b == NULL)
		return 0;
	a = &b->asked[b->n];
	b->ids[b->n++] = c->id;
	a->p = c->kind == CHUNK_IS_REPLAY || c->kept ? NULL : s->mem + c->at;
	a->kept = c->kept;
	a->len = (uint32_t)c->len;
	a->pieces = &s->pieces[c->piece];
	a->count = c->count;
	a->slab = s;
	atomic_fetch_add(&s->refs, 1);
	if (b->last_slab != s) {
		b->last_slab = s;
		b->slabs++;
	}
	return b->n == UPLINK_IDS_MAX ? ask_now(pl, CHUNK_DATA, err) : 1;
}

static int
ask_node(struct planner *pl, const struct chunk_id *id, const uint8_t *p, size_t len,
    struct err *err)
{
	struct pipeline_batch *b = batch_of(pl, CHUNK_META);
	struct pipeline_asked *a;
	uint8_t *copy;

	if (b == NULL)
		return err_set(err, ERR_CANCELED, "ended");
	if ((copy = malloc(len)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	memcpy(copy, p, len);
	a = &b->asked[b->n];
	memset(a, 0, sizeof(*a));
	b->ids[b->n++] = *id;
	a->p = copy;
	a->len = (uint32_t)len;
	b->bytes += len;
	if (b->n < UPLINK_IDS_MAX && b->bytes < PIPELINE_BATCH_META)
		return 0;
	switch (ask_now(pl, CHUNK_META, err)) {
	case 1:
		return 0;
	case 0:
		return err_set(err, ERR_CANCELED, "ended");
	default:
		return -1;
	}
}

/* --------------------------------------------------------------- the base -- */

static int
cmp_ids(const void *a, const void *b)
{
	return chunk_id_cmp(a, b);
}

static int
is_bad(const struct planner *pl, const struct chunk_id *id)
{
	return pl->bad_n > 0 &&
	       bsearch(id, pl->bad, pl->bad_n, sizeof(*pl->bad), cmp_ids) != NULL;
}

static int
note_extent(void *arg, const struct extent *e)
{
	if (e->kind == EXTENT_DATA)
		seen_add(arg, &e->id);
	return 0;
}

/* Does the base have this chunk in the span where it begins? */
static int
base_has(struct planner *pl, uint64_t offset, const struct chunk_id *id)
{
	uint64_t span = offset / TREE_SPAN_LEN, size = pl->p->job->root.size;
	struct err ignored = ERR_INIT;
	int found;

	if (pl->base == NULL)
		return 0;
	if (span != pl->span) {
		pl->span = span;
		seen_clear(pl->base_span);
		found = cache_leaf(pl->base, span, &pl->leaf);
		if (found != 0)
			tree_parse_leaf(pl->leaf.p, pl->leaf.len, span * TREE_SPAN_LEN,
			    tree_covers(size, 0, span), note_extent, pl->base_span,
			    &ignored);
	}
	return seen_has(pl->base_span, id) && !is_bad(pl, id);
}

/* --------------------------------------------------------------- the tree -- */

/* tree_builder hands over a node. */
static int
on_node(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct planner *pl = arg;
	int is_leaf = load_le32(p) == TREE_LEAF_MAGIC;
	uint64_t span = is_leaf ? pl->at / TREE_SPAN_LEN : CACHE_NO_SPAN;

	if (pl->out != NULL && cache_add(pl->out, span, id, p, len, err) != 0 &&
	    give_up_tree(pl, err) != 0)
		return -1;
	if (is_leaf && pl->base != NULL && cache_leaf_is(pl->base, span, id) &&
	    !is_bad(pl, id))
		return 0;
	if (seen_add(pl->asked, id))
		return 0;
	return ask_node(pl, id, p, len, err);
}

/* The next extent of the volume, in parts that stay within their spans. */
static int
append(struct planner *pl, const struct extent *e, uint64_t len, struct err *err)
{
	struct extent part = *e;
	uint64_t room;

	while (len > 0) {
		room = TREE_SPAN_LEN - pl->at % TREE_SPAN_LEN;
		part.len = (uint32_t)(len < room ? len : room);
		if (tree_builder_add(pl->tree, &part, err) != 0)
			return -1;
		part.offset += part.len;
		part.chunk_offset += part.len;
		pl->at += part.len;
		len -= part.len;
	}
	return 0;
}

/* Pieces held back that lie below `offset` come first. */
static int
catch_up(struct planner *pl, uint64_t offset, struct err *err)
{
	struct extent e;

	while (ahead_pop(pl->ahead, offset, &e))
		if (append(pl, &e, e.len, err) != 0)
			return -1;
	return 0;
}

/* Zero or named bytes in pieces: those that lie ahead wait. */
static int
place_pieces(struct planner *pl, const struct pipeline_slab *s,
    const struct pipeline_chunk *c, struct err *err)
{
	struct extent e = { .kind =
				c->kind == CHUNK_IS_ZERO ? EXTENT_ZERO : EXTENT_DATA };
	uint32_t i, done = 0;
	int rc = 0;

	if (c->kind == CHUNK_IS_DATA) {
		e.id = c->id;
		e.chunk_len = (uint32_t)c->len;
	}
	for (i = 0; i < c->count && rc == 0; i++) {
		e.offset = s->pieces[c->piece + i].offset;
		e.len = s->pieces[c->piece + i].len;
		e.chunk_offset = c->kind == CHUNK_IS_DATA ? done : 0;
		done += e.len;
		rc = e.offset == pl->at ? append(pl, &e, e.len, err)
					: ahead_push(pl->ahead, &e, err);
	}
	return rc;
}

/* A hole or an excluded range. */
static int
place_range(struct planner *pl, const struct pipeline_chunk *c, struct err *err)
{
	struct extent e = { .kind =
				c->kind == CHUNK_IS_HOLE ? EXTENT_HOLE : EXTENT_EXCLUDED,
		.reason = c->reason,
		.offset = c->offset };

	if (c->kind == CHUNK_IS_HOLE) {
		pl->counts.hole_bytes += c->len;
	} else {
		pl->counts.excluded_bytes += c->len;
		pl->counts.excluded_by[c->reason] += c->len;
	}
	return append(pl, &e, c->len, err);
}

/* A named chunk, whose extents are placed: known, or to be asked for. */
static int
consider(struct planner *pl, struct pipeline_slab *s, const struct pipeline_chunk *c,
    struct err *err)
{
	pl->counts.chunks++;
	if (base_has(pl, c->offset, &c->id) || seen_add(pl->asked, &c->id)) {
		pl->counts.known_bytes += c->len;
		return 1;
	}
	return ask_data(pl, s, c, err);
}

/* ------------------------------------------------------------------ replay -- */

static int
misfit(uint64_t offset, struct err *err)
{
	return err_set(err, ERR_CORRUPT,
	    "what an interrupted run noted does not fit the volume at byte %llu",
	    (unsigned long long)offset);
}

/* A block of a file: its id is where its lowest piece lies. */
static int
replay_block(struct planner *pl, struct pipeline_slab *s, const struct pipeline_chunk *c,
    struct err *err)
{
	struct pipeline_chunk named = *c;
	struct extent e;

	if (pipeline_replay_at(pl->replay, c->offset, &e, err) != 0)
		return -1;
	if (e.kind == EXTENT_ZERO) {
		named.kind = CHUNK_IS_ZERO;
		pl->counts.zero_bytes += c->len;
		return place_pieces(pl, s, &named, err) == 0 ? 1 : -1;
	}
	if (e.kind != EXTENT_DATA || e.chunk_len != c->len)
		return misfit(c->offset, err);
	named.id = e.id;
	named.kind = CHUNK_IS_DATA;
	if (place_pieces(pl, s, &named, err) != 0)
		return -1;
	named.kind = CHUNK_IS_REPLAY;
	return consider(pl, s, &named, err);
}

/* The next chunk, or part of one, of a range: its length goes to `*len`. */
static int
replay_part(struct planner *pl, struct pipeline_slab *s, uint64_t at, uint64_t end,
    uint64_t *len, struct err *err)
{
	struct pipeline_chunk c = { .kind = CHUNK_IS_REPLAY, .offset = at, .count = 1 };
	struct extent e;

	if (at < pl->p->done_end) {
		if (pipeline_replay_at(pl->replay, at, &e, err) != 0)
			return -1;
	} else {
		/* The rest of the chunk that the last span ended in. */
		e = pl->p->tail;
		e.chunk_offset += (uint32_t)(at - e.offset);
		e.offset = at;
		e.len = (uint32_t)(end - at);
	}
	if (e.kind != EXTENT_DATA && e.kind != EXTENT_ZERO)
		return misfit(at, err);
	*len = e.len < end - at ? e.len : end - at;
	if (append(pl, &e, *len, err) != 0)
		return -1;
	if (e.kind == EXTENT_ZERO)
		pl->counts.zero_bytes += *len;
	if (e.kind == EXTENT_ZERO || e.chunk_offset != 0)
		return 1;
	if (s->pieces_n == sizeof(s->pieces) / sizeof(s->pieces[0]))
		return misfit(at, err);
	c.len = e.chunk_len;
	c.id = e.id;
	c.piece = s->pieces_n;
	s->pieces[s->pieces_n++] = (struct volmap_piece){ at, e.chunk_len };
	return consider(pl, s, &c, err);
}

static int
take_replay(struct planner *pl, struct pipeline_slab *s, const struct pipeline_chunk *c,
    struct err *err)
{
	uint64_t at = c->offset, end = c->offset + c->len, len = 0;
	int rc = 1;

	if (c->count > 0)
		return replay_block(pl, s, c, err);
	for (; rc == 1 && at < end; at += len)
		rc = replay_part(pl, s, at, end, &len, err);
	return rc;
}

static int
take_chunk(struct planner *pl, struct pipeline_slab *s, const struct pipeline_chunk *c,
    struct err *err)
{
	if (catch_up(pl, c->offset, err) != 0)
		return -1;
	if (c->kind == CHUNK_IS_HOLE || c->kind == CHUNK_IS_EXCLUDED)
		return place_range(pl, c, err) == 0 ? 1 : -1;
	if (c->kind == CHUNK_IS_REPLAY)
		return take_replay(pl, s, c, err);
	if (place_pieces(pl, s, c, err) != 0)
		return -1;
	if (c->kind == CHUNK_IS_ZERO) {
		pl->counts.zero_bytes += c->len;
		return 1;
	}
	return consider(pl, s, c, err);
}

static int
take_slab(struct planner *pl, struct pipeline_slab *s, struct err *err)
{
	uint32_t i;
	int rc = 1;

	for (i = 0; i < s->chunks_n && rc == 1; i++)
		rc = take_chunk(pl, s, &s->chunks[i], err);
	pipeline_slab_drop(s);
	progress_at(pl->p->job->progress, pl->p->job->progress_from + pl->at);
	if (rc == 1 && pl->batch[CHUNK_DATA] != NULL &&
	    pl->batch[CHUNK_DATA]->slabs >= PIPELINE_BATCH_SLABS)
		rc = ask_now(pl, CHUNK_DATA, err);
	return rc;
}

/* ---------------------------------------------------------------- the run -- */

static int
start(struct planner *pl, struct err *err)
{
	const struct pipeline_job *job = pl->p->job;
	struct tree_root root = job->root;

	strncpy(root.fs, volmap_fs(pl->p->map), sizeof(root.fs) - 1);
	if (volmap_hibernated(pl->p->map))
		root.grade = TREE_CRASH;
	pl->span = NO_SPAN;
	pl->leaf.max = CHUNK_META_MAX;
	pl->bad_n = job->bad_len / CHUNK_ID_LEN;
	pl->tree = tree_builder_new(job->keys, &root, on_node, pl);
	pl->ahead = ahead_new(VOLMAP_AHEAD_MAX);
	pl->asked = seen_new(PIPELINE_SEEN_BITS);
	pl->base_span = seen_new(PIPELINE_SPAN_BITS);
	pl->bad = malloc(job->bad_len + 1);
	if (pl->tree == NULL || pl->ahead == NULL || pl->asked == NULL ||
	    pl->base_span == NULL || pl->bad == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (pl->p->done != NULL && (pl->replay = pipeline_replay_new(pl->p)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (pl->bad_n > 0)
		memcpy(pl->bad, job->bad, pl->bad_n * CHUNK_ID_LEN);
	qsort(pl->bad, pl->bad_n, sizeof(*pl->bad), cmp_ids);
	if (job->old_cache != NULL && job->base.known &&
	    cache_open(job->old_cache, &job->base.root_id, job->keys, &pl->base, err) < 0)
		return -1;
	if (job->new_cache == NULL ||
	    cache_create(job->new_cache, pl->base, &pl->out, err) == 0)
		return 0;
	return give_up_tree(pl, err);
}

/* All chunks have come: the last pieces, the nodes above, the last questions. */
static int
finish(struct planner *pl, struct err *err)
{
	struct cache_writer *out;
	int rc;

	if (catch_up(pl, UINT64_MAX, err) != 0 ||
	    tree_builder_finish(pl->tree, &pl->p->root_id, err) != 0)
		return -1;
	if ((rc = ask_now(pl, CHUNK_DATA, err)) == 1)
		rc = ask_now(pl, CHUNK_META, err);
	if (rc != 1)
		return rc;
	out = pl->out;
	pl->out = NULL;
	if (cache_finish(out, &pl->p->root_id, err) != 0 && give_up_tree(pl, err) != 0)
		return -1;
	return 1;
}

static void
end(struct planner *pl)
{
	struct err ignored = ERR_INIT;

	cache_finish(pl->out, NULL, &ignored);
	cache_close(pl->base);
	pipeline_replay_free(pl->replay);
	tree_builder_free(pl->tree);
	ahead_free(pl->ahead);
	seen_free(pl->asked);
	seen_free(pl->base_span);
	buf_free(&pl->leaf);
	free(pl->bad);
}

void *
pipeline_planner(void *arg)
{
	struct planner pl = { .p = arg };
	struct err err = ERR_INIT;
	enum queue_result got = QUEUE_ABORTED;
	void *item;
	int rc;

	rc = start(&pl, &err) == 0 ? 1 : -1;
	pl.p->cached = pl.base != NULL;
	while (rc == 1 && (got = queue_get(pl.p->hashed, &item)) == QUEUE_OK)
		rc = take_slab(&pl, item, &err);
	if (rc == 1 && got == QUEUE_END)
		rc = finish(&pl, &err);
	if (rc < 0)
		pipeline_fail(pl.p, pl.uplink_failed, &err);
	pipeline_count(pl.p, &pl.counts);
	pl.p->spans = pl.p->tree_lost.code != ERR_NONE ? 0
		      : pl.at == pl.p->job->root.size  ? tree_spans(pl.at)
						       : pl.at / TREE_SPAN_LEN;
	end(&pl);
	queue_finish(pl.p->asked);
	pipeline_done(pl.p, PIPELINE_PLAN);
	return NULL;
}
