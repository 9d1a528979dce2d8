#include <assert.h>
#include <string.h>

#include "agent/backup/pipeline_reader.h"
#include "agent/backup/shape.h"
#include "agent/host/progress.h"
#include "proto/base/queue.h"

int
pipeline_reader_now(
    struct reader *r, uint64_t from, uint32_t at, uint32_t len, struct err *err)
{
	const struct volmap_source *src = &r->p->job->source;

	if (pipeline_reader_flush(r, err) != 0)
		return -1;
	if (src->read(src->arg, from, r->slab->mem + at, len, err) != 0)
		return err_context(
		    err, "%u bytes at byte %llu", len, (unsigned long long)from);
	r->read_bytes += len;
	progress_add(r->p->job->progress, PROGRESS_READ, len);
	return 0;
}

int
pipeline_reader_flush(struct reader *r, struct err *err)
{
	uint32_t len = r->len;

	if (len == 0)
		return 0;
	r->len = 0;
	if (pipeline_reader_now(r, r->from, r->at, len, err) == 0)
		return 0;
	r->len = len;
	return -1;
}

int
pipeline_reader_plan(struct reader *r, uint64_t from, uint32_t len, struct err *err)
{
	if (r->len > 0 && r->from + r->len == from) {
		r->len += len;
	} else {
		if (pipeline_reader_flush(r, err) != 0)
			return -1;
		r->from = from;
		r->at = r->slab->used;
		r->len = len;
	}
	r->slab->used += len;
	return 0;
}

/* Hand the slab on.  1, or 0 if the pipeline has ended, or -1. */
static int
hand_on(struct reader *r, struct err *err)
{
	if (r->slab == NULL)
		return 1;
	if (pipeline_reader_flush(r, err) != 0)
		return -1;
	if (queue_put(r->p->read, r->slab, 1) != QUEUE_OK)
		return 0;
	r->slab = NULL;
	return 1;
}

/* The hasher, too, must have room for pieces of regions, and one more for each chunk. */
int
pipeline_reader_room(struct reader *r, uint32_t pieces, uint32_t len, struct err *err)
{
	struct pipeline_slab *s = r->slab;
	void *item;
	int rc;

	if (s != NULL && s->items_n < PIPELINE_ITEMS_MAX &&
	    s->pieces_n + s->region_n + pieces <= PIPELINE_PIECES_MAX &&
	    s->used + len <= sizeof(s->mem))
		return 1;
	if ((rc = hand_on(r, err)) != 1)
		return rc;
	if (queue_get(r->p->free_slabs, &item) != QUEUE_OK)
		return 0;
	s = r->slab = item;
	r->slabs++;
	s->items_n = s->pieces_n = s->chunks_n = s->region_n = 0;
	s->used = PIPELINE_HEADROOM;
	atomic_store(&s->refs, 1);
	return 1;
}

struct pipeline_item *
pipeline_reader_item(
    struct reader *r, enum volmap_kind kind, uint64_t offset, uint64_t len)
{
	struct pipeline_item *it = &r->slab->items[r->slab->items_n++];

	memset(it, 0, sizeof(*it));
	it->kind = kind;
	it->offset = offset;
	it->len = len;
	it->at = r->slab->used;
	return it;
}

void
pipeline_reader_keep(struct reader *r, struct pipeline_item *it,
    enum pipeline_keep_what what, const struct pipeline_kept *kept)
{
	it->keep = what;
	if (what == KEEP_NOTHING)
		return;
	it->kept = *kept;
	*(what == KEEP_IT ? &r->p->kept_bytes : &r->p->proven_bytes) += it->len;
}

static int
stream(struct reader *r, const struct volmap_cut *cut, struct err *err)
{
	uint64_t offset = cut->offset, left = cut->len;
	struct pipeline_item *it;
	uint32_t n;
	int rc;

	while (left > 0) {
		if ((rc = pipeline_reader_room(r, 0, 1, err)) != 1)
			return rc;
		n = (uint32_t)sizeof(r->slab->mem) - r->slab->used;
		if (n > left)
			n = (uint32_t)left;
		it = pipeline_reader_item(r, VOLMAP_STREAM, offset, n);
		it->goes_on = left != cut->len;
		it->last = n == left;
		if (pipeline_reader_plan(r, offset, n, err) != 0)
			return -1;
		offset += n;
		left -= n;
	}
	return 1;
}

/*
 * The part of a range that an interrupted run has cut already, to the end of its
 * last chunk, span by span; `cut` becomes the rest.  1, 0 if ended, -1.
 */
static int
replay_stream(struct reader *r, struct volmap_cut *cut, struct err *err)
{
	const struct extent *tail = &r->p->tail;
	uint64_t done = r->p->done_end, end = cut->offset + cut->len, to;
	struct pipeline_item *it;
	int rc = 1;

	/* Beyond what was done lies the rest of a chunk that began before. */
	if (end > done && tail->kind == EXTENT_DATA)
		done = tail->offset - tail->chunk_offset + tail->chunk_len;
	if (end > done)
		end = done;
	while (rc == 1 && cut->offset < end) {
		to = cut->offset - cut->offset % TREE_SPAN_LEN + TREE_SPAN_LEN;
		if (to > end || to >= r->p->done_end)
			to = end;
		if ((rc = pipeline_reader_room(r, 0, 0, err)) != 1)
			break;
		it =
		    pipeline_reader_item(r, VOLMAP_STREAM, cut->offset, to - cut->offset);
		it->replay = 1;
		cut->len -= to - cut->offset;
		cut->offset = to;
		/* The planner needs the slab's room for pieces: one such item in each. */
		rc = hand_on(r, err);
	}
	return rc;
}

/*
 * The next pieces of a region, as many as the slab has room for; `*first` and `*done`
 * bytes of it say where, and move on.
 */
static int
region_part(struct reader *r, struct pipeline_item *it, const struct volmap_cut *cut,
    uint32_t *first, uint32_t *done, struct err *err)
{
	struct pipeline_slab *s = r->slab;
	struct volmap_piece p;
	uint32_t room;

	it->piece = s->pieces_n;
	while (*first < cut->count && s->used < sizeof(s->mem) &&
	       s->pieces_n + s->region_n + 2 <= PIPELINE_PIECES_MAX) {
		p.offset = cut->piece[*first].offset + *done;
		p.len = cut->piece[*first].len - *done;
		room = (uint32_t)sizeof(s->mem) - s->used;
		*done += p.len < room ? p.len : room;
		p.len = p.len < room ? p.len : room;
		if (*done == cut->piece[*first].len) {
			++*first;
			*done = 0;
		}
		s->pieces[s->pieces_n++] = p;
		s->region_n++;
		it->count++;
		it->len += p.len;
		if (pipeline_reader_plan(r, p.offset, p.len, err) != 0)
			return -1;
	}
	return 0;
}

/*
 * A region in several pieces.  It is read even if an interrupted run has named it:
 * where its chunks begin is not told by the extents at its position.
 */
static int
region(struct reader *r, const struct volmap_cut *cut, struct err *err)
{
	uint32_t first = 0, done = 0;
	struct pipeline_item *it;
	int rc;

	while (first < cut->count) {
		if ((rc = pipeline_reader_room(r, 2, 1, err)) != 1)
			return rc;
		it = pipeline_reader_item(r, VOLMAP_REGION, cut->offset, 0);
		it->goes_on = first > 0 || done > 0;
		if (region_part(r, it, cut, &first, &done, err) != 0)
			return -1;
		it->last = first == cut->count;
	}
	return 1;
}

static int
data(struct reader *r, const struct volmap_cut *cut, struct err *err)
{
	enum pipeline_keep_what what = KEEP_NOTHING;
	struct pipeline_kept kept;
	struct pipeline_item *it;
	uint32_t i;
	int rc;

	if (r->keep != NULL && cut->offset >= r->p->done_end &&
	    pipeline_keep_block(r->keep, cut, &what, &kept, err) != 0)
		return -1;
	if ((rc = pipeline_reader_room(r, cut->count, (uint32_t)cut->len, err)) != 1)
		return rc;
	it = pipeline_reader_item(r, VOLMAP_DATA, cut->offset, cut->len);
	it->piece = r->slab->pieces_n;
	it->count = cut->count;
	it->replay = cut->offset < r->p->done_end;
	pipeline_reader_keep(r, it, what, &kept);
	for (i = 0; i < cut->count; i++) {
		r->slab->pieces[r->slab->pieces_n++] = cut->piece[i];
		if (!it->replay && what != KEEP_IT &&
		    pipeline_reader_plan(
			r, cut->piece[i].offset, cut->piece[i].len, err) != 0)
			return -1;
	}
	return 1;
}

/* A range, what of it an interrupted run has cut and the rest. */
static int
range(struct reader *r, struct volmap_cut *cut, struct err *err)
{
	int rc = 1;

	if (cut->offset < r->p->done_end)
		rc = replay_stream(r, cut, err);
	if (rc != 1)
		return rc;
	if (r->keep != NULL && pipeline_keep_may(r->keep, cut))
		return pipeline_keep_range(r, cut, err);
	return stream(r, cut, err);
}

/* One cut of the map: 1, 0 if the pipeline has ended, -1. */
static int
take_cut(struct reader *r, struct volmap_cut *cut, struct err *err)
{
	int rc;

	switch (cut->kind) {
	case VOLMAP_STREAM:
		return range(r, cut, err);
	case VOLMAP_REGION:
		/* In one piece it is a range like any other, and stands where it does. */
		if (cut->count == 1) {
			cut->count = 0;
			return range(r, cut, err);
		}
		return r->keep != NULL && cut->offset >= r->p->done_end
			   ? pipeline_keep_range(r, cut, err)
			   : region(r, cut, err);
	case VOLMAP_DATA:
		return data(r, cut, err);
	case VOLMAP_HOLE:
	case VOLMAP_EXCLUDED:
		break;
	}
	if ((rc = pipeline_reader_room(r, 0, 0, err)) == 1)
		pipeline_reader_item(r, cut->kind, cut->offset, cut->len)->reason =
		    cut->reason;
	return rc;
}

/* -------------------------------------------------------------------- the shape -- */

/* As with the tree (pipeline_plan.c): 0, or -1 without memory. */
static int
give_up_shape(struct reader *r, struct err *err)
{
	struct err ignored = ERR_INIT;

	if (err->code == ERR_NOMEM)
		return -1;
	r->p->shape_lost = *err;
	err_clear(err);
	(void)shape_finish(r->shape, &ignored);
	r->shape = NULL;
	return 0;
}

static int
begin_shape(struct reader *r, struct err *err)
{
	const struct pipeline_job *job = r->p->job;

	if (job->new_shape == NULL ||
	    shape_create(job->new_shape, job->old_shape,
		job->base.known ? &job->base.root_id : NULL, &r->shape, err) == 0)
		return 0;
	return give_up_shape(r, err);
}

static int
add_shape(struct reader *r, const struct volmap_cut *cut, struct err *err)
{
	if (r->shape == NULL || shape_add(r->shape, cut, err) == 0)
		return 0;
	return give_up_shape(r, err);
}

/* `rc` is what the reader came to; also what this does. */
static int
end_shape(struct reader *r, int rc, struct err *err)
{
	struct shape_writer *shape = r->shape;
	struct err why = ERR_INIT;

	r->shape = NULL;
	if (shape_finish(shape, &why) == 0 || rc < 0)
		return rc;
	*err = why;
	return give_up_shape(r, err) == 0 ? rc : -1;
}

/* ---------------------------------------------------------------------- the run -- */

void *
pipeline_reader(void *arg)
{
	struct reader r = { .p = arg };
	struct err err = ERR_INIT;
	struct uplink_counts counts = { 0 };
	struct volmap_cut cut;
	int rc;

	r.p->reader = &r;
	r.keep = r.p->keep;
	rc = begin_shape(&r, &err);
	while (rc >= 0 && (rc = volmap_next(r.p->map, &cut, &err)) == 1) {
		if ((rc = add_shape(&r, &cut, &err)) != 0)
			break;
		if ((rc = take_cut(&r, &cut, &err)) != 1)
			break;
	}
	r.p->reader = NULL;
	(void)pipeline_map_stale(r.p);
	if (rc == 0)
		rc = hand_on(&r, &err);
	rc = end_shape(&r, rc, &err);
	if (rc < 0)
		pipeline_fail(r.p, 0, &err);
	counts.read_bytes = r.read_bytes;
	pipeline_count(r.p, &counts);
	queue_finish(r.p->read);
	pipeline_done(r.p, PIPELINE_READ);
	return NULL;
}

int
pipeline_gather(const struct pipeline_job *job, const struct volmap_piece *pieces,
    uint32_t count, uint8_t *out, struct err *err)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (job->source.read(
			job->source.arg, pieces[i].offset, out, pieces[i].len, err) != 0)
			return err_context(err, "%u bytes at byte %llu", pieces[i].len,
			    (unsigned long long)pieces[i].offset);
		out += pieces[i].len;
	}
	return 0;
}
