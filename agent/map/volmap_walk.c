/*
 * Three layers, each a pull machine over the one below:
 *
 *	found()		what lies at the position: free, claimed, a file's run ...
 *	segment()	the same, like neighbours joined and crumbs made STREAM
 *	next()		the cuts: runs become blocks, and blocks gather their pieces
 *
 * That a piece was delivered ahead is known by its offset being the lowest in
 * the heap: the walk reaches the pieces in the order of the volume, each of them
 * exactly at its start.
 */
#include "agent/map/volmap_walk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/changes.h"
#include "agent/map/volmap.h"
#include "agent/map/volmap_plan.h"
#include "agent/map/volmap_runs.h"
#include "agent/map/volmap_split.h"
#include "proto/base/err.h"

enum seg_kind { SEG_END, SEG_HOLE, SEG_EXCLUDED, SEG_STREAM, SEG_FILE };

struct segment {
	enum seg_kind kind;
	uint64_t offset, len;  /* Bytes. */
	struct volmap_run run; /* SEG_FILE */
	uint8_t reason;	       /* SEG_EXCLUDED: enum extent_reason. */
};

/* Offsets of the pieces delivered ahead, lowest first. */
struct heap {
	uint64_t *p;
	uint32_t count, room;
};

struct volmap_walk {
	struct volmap_plan *plan;
	uint64_t size;		 /* Bytes of volume. */
	uint64_t position;	 /* Bytes: where found() stands. */
	struct volmap_run run;	 /* The first not passed, */
	int has_run;		 /* if it was fetched (1), or there is none (-1). */
	uint32_t claimed;	 /* Clusters below are claimed by runs passed. */
	struct segment ahead[2]; /* Read too far: [0] by join(), [1] by segment(). */
	struct segment file;	 /* SEG_FILE: the run being cut; `offset` moves on. */
	enum volmap_kind kind;	 /* Of its cuts: DATA, or REGION if it is dense. */
	struct heap heap;
	uint32_t held; /* Extents that the pieces in the heap may become. */
	struct volmap_piece piece[VOLMAP_REGION_PIECES_MAX]; /* Of the last cut. */
};

struct volmap_walk *
volmap_walk_new(struct volmap_plan *plan, uint64_t size)
{
	struct volmap_walk *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->plan = plan;
	w->size = size;
	return w;
}

void
volmap_walk_free(struct volmap_walk *w)
{
	if (w == NULL)
		return;
	free(w->heap.p);
	free(w);
}

uint64_t
volmap_walk_memory(const struct volmap_walk *w)
{
	return sizeof(*w) + w->heap.room * sizeof(*w->heap.p);
}

/* --------------------------------------------------------------------- heap -- */

static int
heap_room(struct heap *h, uint32_t more, struct err *err)
{
	uint64_t *grown;
	uint32_t room;

	if (h->count + more <= h->room)
		return 0;
	room = h->room + h->room / 2 + 1024 + more;
	if ((grown = realloc(h->p, room * sizeof(*grown))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %u pieces ahead", room);
	h->p = grown;
	h->room = room;
	return 0;
}

static void
heap_push(struct heap *h, uint64_t offset)
{
	uint32_t at = h->count++, up;

	for (; at > 0 && h->p[up = (at - 1) / 2] > offset; at = up)
		h->p[at] = h->p[up];
	h->p[at] = offset;
}

static void
heap_pop(struct heap *h)
{
	uint64_t last = h->p[--h->count];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < h->count) {
		if (child + 1 < h->count && h->p[child + 1] < h->p[child])
			child++;
		if (h->p[child] >= last)
			break;
		h->p[at] = h->p[child];
		at = child;
	}
	h->p[at] = last;
}

/* -------------------------------------------------------------------- found -- */

static int
range(struct volmap_walk *w, struct segment *s, enum seg_kind kind, uint64_t end)
{
	s->kind = kind;
	s->reason = 0;
	s->offset = w->position;
	s->len = end - w->position;
	w->position = end;
	return 0;
}

/* The byte where cluster `n` begins. */
static uint64_t
byte_of(const struct volmap_walk *w, uint32_t n)
{
	return w->plan->base + (uint64_t)n * w->plan->cluster_size;
}

/*
 * Must cluster `at`, which is called free, be kept, since it was written when that may
 * have been no longer true?  `count` is as for volmap_plan's state().
 */
static int
was_written(const struct volmap_walk *w, uint32_t at, uint32_t *count)
{
	const struct volmap_plan *p = w->plan;
	uint64_t from = byte_of(w, at), len = (uint64_t)*count * p->cluster_size;
	int written = changes_touch(p->written, from, p->cluster_size);

	/* To the next cluster that is otherwise; a part of one that is written is all. */
	len = changes_alike(p->written, from, len);
	if (written)
		len += p->cluster_size - 1;
	if (len / p->cluster_size < *count)
		*count = (uint32_t)(len / p->cluster_size);
	*count += *count == 0;
	return written;
}

/* No run covers clusters [at, limit): what does the file system say? */
static int
between_runs(struct volmap_walk *w, struct segment *s, uint32_t at, uint32_t limit,
    struct err *err)
{
	const struct volmap_plan *p = w->plan;
	uint32_t count = limit - at;
	int used;

	if (p->whole || p->state == NULL)
		return range(w, s, SEG_STREAM, byte_of(w, limit));
	if ((used = p->state(p->state_arg, at, &count, err)) == -1)
		return -1;
	if (!used && p->written != NULL)
		used = was_written(w, at, &count);
	assert(count >= 1 && count <= limit - at);
	return range(w, s, used ? SEG_STREAM : SEG_HOLE, byte_of(w, at + count));
}

/* See that w->run is the first run not passed: 1; 0 if there is none; -1. */
static int
look_at_run(struct volmap_walk *w, struct err *err)
{
	int more;

	if (w->has_run == 0) {
		if ((more = volmap_runs_next(&w->plan->runs, &w->run, err)) == -1)
			return -1;
		w->has_run = more == 1 ? 1 : -1;
	}
	return w->has_run == 1;
}

/*
 * Is the run a range of its own?  The start of what is left out is, however short:
 * a memory's first page must not come back.  Few files are left out, so they cannot
 * make too many ranges.
 */
static int
is_whole(const struct volmap_run *run)
{
	if ((run->flags & VOLMAP_RUN_CLASH) != 0)
		return 0;
	if ((run->flags & VOLMAP_RUN_EXCLUDED) != 0)
		return (run->flags & VOLMAP_RUN_SHORT) == 0 || run->vcn == 0;
	return (run->flags & (VOLMAP_RUN_SHORT | VOLMAP_RUN_TAIL)) == 0;
}

static int
found(struct volmap_walk *w, struct segment *s, struct err *err)
{
	const struct volmap_plan *p = w->plan;
	const struct volmap_run *run = &w->run;
	uint32_t at, limit;
	int more;

	if (w->position == w->size)
		return range(w, s, SEG_END, w->size);
	if (w->position < p->base)
		return range(w, s, SEG_STREAM, p->base);
	if (w->position >= byte_of(w, p->clusters))
		return range(w, s, SEG_STREAM, w->size);

	at = (uint32_t)((w->position - p->base) / p->cluster_size);
	for (limit = p->clusters; (more = look_at_run(w, err)) == 1; w->has_run = 0) {
		if (run->lcn > at) {
			limit = run->lcn;
			break;
		}
		if (is_whole(run)) {
			assert(run->lcn == at);
			s->run = *run;
			w->has_run = 0;
			(void)range(w, s,
			    run->flags & VOLMAP_RUN_EXCLUDED ? SEG_EXCLUDED : SEG_FILE,
			    byte_of(w, at + run->len));
			s->reason = run->flags >> VOLMAP_RUN_REASON_SHIFT;
			return 0;
		}
		if (run->lcn + run->len > w->claimed)
			w->claimed = run->lcn + run->len;
	}
	if (more == -1)
		return -1;
	if (w->claimed > at)
		return range(w, s, SEG_STREAM,
		    byte_of(w, w->claimed < limit ? w->claimed : limit));
	return between_runs(w, s, at, limit, err);
}

/* ------------------------------------------------------------------ segment -- */

/* The next of found() with like neighbours joined. */
static int
join(struct volmap_walk *w, struct segment *s, struct err *err)
{
	struct segment *more = &w->ahead[0];

	if (more->len > 0)
		*s = *more;
	else if (found(w, s, err) == -1)
		return -1;
	more->len = 0;
	while (s->kind != SEG_FILE && s->kind != SEG_END) {
		if (found(w, more, err) == -1)
			return -1;
		if (more->kind != s->kind || more->reason != s->reason)
			break;
		s->len += more->len;
		more->len = 0;
	}
	return 0;
}

/* A hole too short for an extent of its own is read like its neighbours. */
static void
no_crumbs(struct segment *s)
{
	if (s->kind == SEG_HOLE && s->len < VOLMAP_GRAIN)
		s->kind = SEG_STREAM;
}

static int
segment(struct volmap_walk *w, struct segment *s, struct err *err)
{
	struct segment *more = &w->ahead[1];

	if (more->len > 0)
		*s = *more;
	else if (join(w, s, err) == -1)
		return -1;
	more->len = 0;
	no_crumbs(s);
	while (s->kind == SEG_STREAM) {
		if (join(w, more, err) == -1)
			return -1;
		no_crumbs(more);
		if (more->kind != SEG_STREAM)
			break;
		s->len += more->len;
		more->len = 0;
	}
	return 0;
}

/* --------------------------------------------------------------------- cuts -- */

/* The part of run `r` in the file's bytes [from, to), as a piece; 0 if none. */
static int
part(const struct volmap_walk *w, const struct volmap_run *r, uint64_t from, uint64_t to,
    struct volmap_piece *out)
{
	uint64_t start = (uint64_t)r->vcn * w->plan->cluster_size;
	uint64_t end = start + volmap_runs_valid(&w->plan->runs, r);
	uint64_t a = start > from ? start : from, b = end < to ? end : to;

	if (a >= b)
		return 0;
	out->offset = byte_of(w, r->lcn) + (a - start);
	out->len = (uint32_t)(b - a);
	return 1;
}

/*
 * May these pieces, the lowest of which is at `here`, be delivered ahead?  Those far
 * away stay long in the heap: they may take half of it, else a few of them would
 * leave no room for all the blocks whose pieces are close together.
 */
static int
room_ahead(
    const struct volmap_walk *w, const struct volmap_piece *p, uint32_t n, uint64_t here)
{
	uint32_t most = VOLMAP_AHEAD_MAX, more = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (p[i].offset - here > VOLMAP_NEAR)
			most = VOLMAP_AHEAD_MAX / 2;
		if (p[i].offset != here)
			more += volmap_ahead(w->kind, p[i].len);
	}
	return w->held + more <= most;
}

/* Was any of them not kept?  Then each comes alone, to be split. */
static int
is_unkept(const struct volmap_walk *w, const struct volmap_piece *p, uint32_t n)
{
	const struct volmap_plan *plan = w->plan;

	for (uint32_t i = 0; i < n && plan->unkept_count > 0; i++)
		if (volmap_split_touches(
			plan->unkept, plan->unkept_count, p[i].offset, p[i].len))
			return 1;
	return 0;
}

/*
 * Make `out` a whole block or region if its lowest piece is `here`, which begins
 * `done` bytes into the run being cut; else that alone.
 */
static int
gather(struct volmap_walk *w, uint64_t done, struct volmap_piece here,
    struct volmap_cut *out, struct err *err)
{
	uint32_t lcn = w->file.run.lcn + (uint32_t)(done / w->plan->cluster_size), n;
	uint64_t len = 0;

	if (volmap_runs_block(&w->plan->runs, lcn, w->piece, &n, err) == -1)
		return -1;
	for (uint32_t i = 0; i < n; i++)
		w->piece[i].offset += w->plan->base;
	if (n == 0 || is_unkept(w, w->piece, n) ||
	    !room_ahead(w, w->piece, n, here.offset)) {
		w->piece[0] = here;
		n = 1;
	}
	if (heap_room(&w->heap, n, err) == -1)
		return -1;
	for (uint32_t i = 0; i < n; i++) {
		len += w->piece[i].len;
		if (w->piece[i].offset == here.offset)
			continue;
		heap_push(&w->heap, w->piece[i].offset);
		w->held += volmap_ahead(w->kind, w->piece[i].len);
	}
	out->kind = w->kind;
	out->reason = out->owned = 0;
	out->offset = here.offset;
	out->len = len;
	out->count = n;
	out->piece = w->piece;
	return 1;
}

/* The next cut of the run in w->file: 1, or 0 if the rest was delivered ahead. */
static int
cut_file(struct volmap_walk *w, struct volmap_cut *out, struct err *err)
{
	const struct volmap_run *run = &w->file.run;
	uint64_t done, begin, in_file, block;
	uint64_t size = w->kind == VOLMAP_REGION ? VOLMAP_REGION_LEN : VOLMAP_BLOCK;
	struct volmap_piece here;

	if (w->file.len == 0)
		return 0;
	done = w->file.offset - byte_of(w, run->lcn);
	while (w->file.len > 0) {
		in_file = (uint64_t)run->vcn * w->plan->cluster_size + done;
		block = in_file / size * size;
		if (!part(w, run, in_file, block + size, &here)) {
			/* Behind the file's last byte: kept, but not the file's. */
			out->kind = VOLMAP_STREAM;
			out->reason = 0;
			out->owned = 1;
			out->offset = w->file.offset;
			out->len = w->file.len;
			out->count = 0;
			w->file.len = 0;
			return 1;
		}
		w->file.offset += here.len;
		w->file.len -= here.len;
		begin = done;
		done += here.len;
		if (w->heap.count > 0 && w->heap.p[0] == here.offset) {
			heap_pop(&w->heap);
			w->held -= volmap_ahead(w->kind, here.len);
			continue;
		}
		return gather(w, begin, here, out, err);
	}
	return 0;
}

/* The run in `s` is to be cut. */
static int
begin_file(struct volmap_walk *w, const struct segment *s, struct err *err)
{
	int dense = volmap_runs_dense(&w->plan->runs, &s->run, err);

	w->file = *s;
	w->kind = dense == 1 ? VOLMAP_REGION : VOLMAP_DATA;
	return dense == -1 ? -1 : 0;
}

int
volmap_walk_next(struct volmap_walk *w, struct volmap_cut *out, struct err *err)
{
	struct segment s;
	int got;

	for (;;) {
		if ((got = cut_file(w, out, err)) != 0)
			return got;
		if (segment(w, &s, err) == -1)
			return -1;
		switch (s.kind) {
		case SEG_END:
			assert(w->heap.count == 0);
			return 0;
		case SEG_FILE:
			if (begin_file(w, &s, err) == -1)
				return -1;
			continue;
		case SEG_HOLE:
			out->kind = VOLMAP_HOLE;
			break;
		case SEG_EXCLUDED:
			out->kind = VOLMAP_EXCLUDED;
			break;
		case SEG_STREAM:
			out->kind = VOLMAP_STREAM;
			break;
		}
		out->offset = s.offset;
		out->len = s.len;
		out->count = 0;
		out->reason = s.reason;
		out->owned = 0;
		return 1;
	}
}
