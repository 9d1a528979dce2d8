#include "agent/volmap_runs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

void
volmap_runs_init(struct volmap_runs *r, uint32_t clusters, uint32_t cluster_size)
{
	memset(r, 0, sizeof(*r));
	r->clusters = clusters;
	r->cluster_size = cluster_size;
}

void
volmap_runs_free(struct volmap_runs *r)
{
	free(r->run);
	free(r->by_lcn);
	r->run = NULL;
	r->by_lcn = NULL;
	r->count = r->room = 0;
}

uint32_t
volmap_runs_unit(const struct volmap_runs *r)
{
	return r->cluster_size > 65536 ? r->cluster_size / 65536 : 1;
}

uint64_t
volmap_runs_valid(const struct volmap_runs *r, const struct volmap_run *run)
{
	if (run->valid == 0)
		return (uint64_t)run->len * r->cluster_size;
	return (uint64_t)(run->len - 1) * r->cluster_size +
	       (uint64_t)run->valid * volmap_runs_unit(r);
}

int
volmap_runs_same(const struct volmap_run *a, const struct volmap_run *b)
{
	return a->owner == b->owner && a->stream == b->stream;
}

/* Does `b` go on where `a` ends, in every respect? */
static int
continues(const struct volmap_run *a, const struct volmap_run *b)
{
	return volmap_runs_same(a, b) && a->flags == b->flags && a->valid == 0 &&
	       (uint64_t)a->lcn + a->len == b->lcn && (uint64_t)a->vcn + a->len == b->vcn;
}

int
volmap_runs_add(struct volmap_runs *r, const struct volmap_run *run, struct err *err)
{
	struct volmap_run *grown, *last;
	uint32_t room;

	assert(run->len > 0 && (uint64_t)run->lcn + run->len <= r->clusters);
	assert((uint64_t)run->vcn + run->len <= UINT32_MAX);
	if (r->overflow)
		return 0;
	last = r->count > 0 ? &r->run[r->count - 1] : NULL;
	if (last != NULL && continues(last, run)) {
		last->len += run->len;
		last->valid = run->valid;
		return 0;
	}
	if (r->count == VOLMAP_RUNS_MAX) {
		volmap_runs_free(r);
		r->overflow = 1;
		return 0;
	}
	if (r->count == r->room) {
		room = r->room + r->room / 2 + 1024;
		if (room > VOLMAP_RUNS_MAX)
			room = VOLMAP_RUNS_MAX;
		if ((grown = realloc(r->run, room * sizeof(*grown))) == NULL)
			return err_set(
			    err, ERR_NOMEM, "no memory for a map of %u runs", room);
		r->run = grown;
		r->room = room;
	}
	r->run[r->count++] = *run;
	return 0;
}

/* ------------------------------------------------------------------ sorting -- */

/* Order of two places; and exchange of them.  In place: the table may be all we have. */
struct order {
	int (*less)(const struct volmap_runs *r, uint32_t a, uint32_t b);
	void (*swap)(struct volmap_runs *r, uint32_t a, uint32_t b);
};

static int
file_less(const struct volmap_runs *r, uint32_t a, uint32_t b)
{
	const struct volmap_run *x = &r->run[a], *y = &r->run[b];

	if (x->owner != y->owner)
		return x->owner < y->owner;
	if (x->stream != y->stream)
		return x->stream < y->stream;
	if (x->vcn != y->vcn)
		return x->vcn < y->vcn;
	return x->lcn < y->lcn;
}

static void
file_swap(struct volmap_runs *r, uint32_t a, uint32_t b)
{
	struct volmap_run t = r->run[a];

	r->run[a] = r->run[b];
	r->run[b] = t;
}

static int
lcn_less(const struct volmap_runs *r, uint32_t a, uint32_t b)
{
	return r->run[r->by_lcn[a]].lcn < r->run[r->by_lcn[b]].lcn;
}

static void
lcn_swap(struct volmap_runs *r, uint32_t a, uint32_t b)
{
	uint32_t t = r->by_lcn[a];

	r->by_lcn[a] = r->by_lcn[b];
	r->by_lcn[b] = t;
}

static void
sift(struct volmap_runs *r, const struct order *o, uint32_t at, uint32_t n)
{
	uint32_t child;

	while ((child = 2 * at + 1) < n) {
		if (child + 1 < n && o->less(r, child, child + 1))
			child++;
		if (!o->less(r, at, child))
			return;
		o->swap(r, at, child);
		at = child;
	}
}

/* Heap sort: no memory, no recursion, no bad case for an enemy to find. */
static void
sort(struct volmap_runs *r, const struct order *o)
{
	uint32_t i, n = r->count;

	for (i = 1; i < n && !o->less(r, i, i - 1); i++)
		continue;
	if (i >= n)
		return;
	for (i = n / 2; i-- > 0;)
		sift(r, o, i, n);
	for (i = n; i-- > 1;) {
		o->swap(r, 0, i);
		sift(r, o, 0, i);
	}
}

/* ----------------------------------------------------------------- clashes -- */

/*
 * Of the runs met so far, `top` reaches farthest.  If the next begins below its
 * end, both are marked; whatever else overlaps the next overlaps `top` too, and
 * was marked then.
 */
static void
clash(struct volmap_run *top, struct volmap_run *next, uint64_t top_end, uint64_t start,
    uint32_t *clashes)
{
	if (top == NULL || start >= top_end)
		return;
	*clashes += !(top->flags & VOLMAP_RUN_CLASH) + !(next->flags & VOLMAP_RUN_CLASH);
	top->flags |= VOLMAP_RUN_CLASH;
	next->flags |= VOLMAP_RUN_CLASH;
}

static void
mark_along_files(struct volmap_runs *r, uint32_t *clashes)
{
	struct volmap_run *top = NULL, *run;
	uint64_t top_end = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		run = &r->run[i];
		if ((uint64_t)run->len * r->cluster_size < VOLMAP_GRAIN)
			run->flags |= VOLMAP_RUN_SHORT;
		if (top != NULL && !volmap_runs_same(top, run))
			top = NULL;
		clash(top, run, top_end, run->vcn, clashes);
		if (top == NULL || (uint64_t)run->vcn + run->len > top_end) {
			top = run;
			top_end = (uint64_t)run->vcn + run->len;
		}
	}
}

static void
mark_along_volume(struct volmap_runs *r, uint32_t *clashes)
{
	struct volmap_run *top = NULL, *run;
	uint64_t top_end = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		run = &r->run[r->by_lcn[i]];
		clash(top, run, top_end, run->lcn, clashes);
		if ((uint64_t)run->lcn + run->len > top_end) {
			top = run;
			top_end = (uint64_t)run->lcn + run->len;
		}
	}
}

int
volmap_runs_sort(struct volmap_runs *r, uint32_t *clashes, struct err *err)
{
	static const struct order along_files = { file_less, file_swap };
	static const struct order along_volume = { lcn_less, lcn_swap };

	*clashes = 0;
	if (r->count == 0)
		return 0;
	if ((r->by_lcn = malloc(r->count * sizeof(*r->by_lcn))) == NULL)
		return err_set(
		    err, ERR_NOMEM, "no memory for a map of %u runs", r->count);
	sort(r, &along_files);
	for (uint32_t i = 0; i < r->count; i++)
		r->by_lcn[i] = i;
	sort(r, &along_volume);
	mark_along_files(r, clashes);
	mark_along_volume(r, clashes);
	return 0;
}

uint32_t
volmap_runs_find(const struct volmap_runs *r, uint32_t owner)
{
	uint32_t low = 0, high = r->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (r->run[middle].owner < owner)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->count && r->run[low].owner == owner ? low : r->count;
}
