#include "agent/backup/pipeline_replay.h"

#include <stdlib.h>
#include <string.h>

#include "agent/backup/cache.h"

#define NO_SPAN UINT64_MAX

struct pipeline_replay {
	struct pipeline *p;
	uint64_t span; /* Whose extents are below. */
	struct buf leaf;
	size_t n, cap;
	struct extent *extents;
	int failed; /* No memory for one more. */
};

struct pipeline_replay *
pipeline_replay_new(struct pipeline *p)
{
	struct pipeline_replay *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->p = p;
	r->span = NO_SPAN;
	r->leaf.max = CHUNK_META_MAX;
	return r;
}

void
pipeline_replay_free(struct pipeline_replay *r)
{
	if (r == NULL)
		return;
	buf_free(&r->leaf);
	free(r->extents);
	free(r);
}

static int
add(void *arg, const struct extent *e)
{
	struct pipeline_replay *r = arg;
	struct extent *more;

	if (r->n == r->cap) {
		size_t cap = r->cap == 0 ? 512 : r->cap * 2;

		if ((more = realloc(r->extents, cap * sizeof(*more))) == NULL) {
			r->failed = 1;
			return 1;
		}
		r->extents = more;
		r->cap = cap;
	}
	r->extents[r->n++] = *e;
	return 0;
}

static int
load(struct pipeline_replay *r, uint64_t span, struct err *err)
{
	uint64_t size = r->p->job->root.size;

	if (r->span == span)
		return 0;
	r->span = span;
	r->n = 0;
	if (cache_leaf(r->p->done, span, &r->leaf) == 0)
		return err_set(err, ERR_CORRUPT, "%s: span %llu cannot be read again",
		    r->p->job->done_cache, (unsigned long long)span);
	if (tree_parse_leaf(r->leaf.p, r->leaf.len, span * TREE_SPAN_LEN,
		tree_covers(size, 0, span), add, r, err) < 0)
		return -1;
	return r->failed ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

int
pipeline_replay_at(
    struct pipeline_replay *r, uint64_t offset, struct extent *out, struct err *err)
{
	size_t low = 0, high, mid;
	uint32_t skip;

	if (load(r, offset / TREE_SPAN_LEN, err) != 0)
		return -1;
	/* The last extent that begins at or before the offset. */
	for (high = r->n; high - low > 1;) {
		mid = low + (high - low) / 2;
		if (r->extents[mid].offset <= offset)
			low = mid;
		else
			high = mid;
	}
	*out = r->extents[low];
	skip = (uint32_t)(offset - out->offset);
	out->offset += skip;
	out->len -= skip;
	if (out->kind == EXTENT_DATA)
		out->chunk_offset += skip;
	return 0;
}

int
pipeline_replay_open(struct pipeline *p, struct err *err)
{
	const struct pipeline_job *job = p->job;
	struct pipeline_replay *r;
	int found, rc;

	if (job->done_cache == NULL || job->done_spans == 0)
		return 0;
	if ((found = cache_open_partial(job->done_cache, job->keys, &p->done, err)) < 0)
		return -1;
	if (found == 0)
		return err_set(
		    err, ERR_CORRUPT, "%s: cannot be read again", job->done_cache);
	p->done_end = job->done_spans * TREE_SPAN_LEN;
	if (p->done_end > job->root.size)
		p->done_end = job->root.size;
	/* Looked up through a reader of its own: those of `done` only go forward. */
	if ((r = pipeline_replay_new(p)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	rc = pipeline_replay_at(r, p->done_end - 1, &p->tail, err);
	pipeline_replay_free(r);
	cache_close(p->done);
	p->done = NULL;
	if (rc != 0)
		return -1;
	return cache_open_partial(job->done_cache, job->keys, &p->done, err) < 0 ? -1 : 0;
}
