#include "storage/index_view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/index.h"
#include "storage/index_run.h"

/* -------------------------------------------------------------- pack sets -- */

/* The first range that ends at or after `pack`. */
static uint32_t
locate(const struct index_packs *set, uint32_t pack)
{
	uint32_t lo = 0, hi = set->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (set->r[mid].last < pack)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int
index_view_has(const struct index_packs *set, uint32_t pack)
{
	uint32_t i = locate(set, pack);

	return i < set->n && set->r[i].first <= pack;
}

/* Open a gap for one range at `i`. */
static int
make_gap(struct index_packs *set, uint32_t i, struct err *err)
{
	if (set->n == INDEX_RANGES_MAX)
		return err_set(
		    err, ERR_LIMIT, "more than %u ranges of packs", INDEX_RANGES_MAX);
	if (set->n == set->cap) {
		uint32_t cap = set->cap != 0 ? 2 * set->cap : 16;
		struct index_range *r = realloc(set->r, cap * sizeof(*r));

		if (r == NULL)
			return err_set(err, ERR_NOMEM, "no memory for a set of packs");
		set->r = r;
		set->cap = cap;
	}
	memmove(set->r + i + 1, set->r + i, (set->n - i) * sizeof(*set->r));
	set->n++;
	return 0;
}

static void
close_gap(struct index_packs *set, uint32_t i)
{
	set->n--;
	memmove(set->r + i, set->r + i + 1, (set->n - i) * sizeof(*set->r));
}

int
index_view_insert(struct index_packs *set, uint32_t pack, struct err *err)
{
	uint32_t i = locate(set, pack);
	int before = i > 0 && set->r[i - 1].last + 1 == pack;
	int after = i < set->n && set->r[i].first - 1 == pack;

	if (i < set->n && set->r[i].first <= pack)
		return 0;
	if (before && after) {
		set->r[i - 1].last = set->r[i].last;
		close_gap(set, i);
	} else if (before)
		set->r[i - 1].last = pack;
	else if (after)
		set->r[i].first = pack;
	else {
		if (make_gap(set, i, err) != 0)
			return -1;
		set->r[i].first = set->r[i].last = pack;
	}
	return 0;
}

/* Put the range at the end of `to`, whose room was made; ranges come in order. */
static void
append(struct index_packs *to, uint32_t first, uint32_t last)
{
	struct index_range *end = to->n > 0 ? &to->r[to->n - 1] : NULL;

	if (end != NULL && (uint64_t)first <= (uint64_t)end->last + 1) {
		if (last > end->last)
			end->last = last;
		return;
	}
	to->r[to->n].first = first;
	to->r[to->n++].last = last;
}

/* All of `set` and `nos`, or of `set` without them, into `to`. */
static void
unite(
    const struct index_packs *set, const uint32_t *nos, size_t n, struct index_packs *to)
{
	uint32_t i = 0;
	size_t k = 0;

	while (i < set->n || k < n)
		if (k == n || (i < set->n && set->r[i].first <= nos[k])) {
			append(to, set->r[i].first, set->r[i].last);
			i++;
		} else {
			append(to, nos[k], nos[k]);
			k++;
		}
}

static void
subtract(
    const struct index_packs *set, const uint32_t *nos, size_t n, struct index_packs *to)
{
	size_t k = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		uint64_t first = set->r[i].first;

		for (; k < n && nos[k] <= set->r[i].last; k++)
			if (nos[k] >= first) {
				if (nos[k] > first)
					append(to, (uint32_t)first, nos[k] - 1);
				first = (uint64_t)nos[k] + 1;
			}
		if (first <= set->r[i].last)
			append(to, (uint32_t)first, set->r[i].last);
	}
}

int
index_view_change(
    struct index_packs *set, const uint32_t *nos, size_t n, int add, struct err *err)
{
	struct index_packs to = { NULL, 0, 0 };

	if ((to.r = malloc((set->n + n + 1) * sizeof(*to.r))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a set of packs");
	(add ? unite : subtract)(set, nos, n, &to);
	if (to.n > INDEX_RANGES_MAX) {
		free(to.r);
		return err_set(
		    err, ERR_LIMIT, "more than %u ranges of packs", INDEX_RANGES_MAX);
	}
	free(set->r);
	/* What is too much goes back; if it does not, it does no harm. */
	set->r = realloc(to.r, (to.n + 1) * sizeof(*to.r));
	if (set->r == NULL)
		set->r = to.r;
	set->n = to.n;
	set->cap = to.n + 1;
	return 0;
}

static int
copy_packs(struct index_packs *to, const struct index_packs *from)
{
	if (from->n == 0)
		return 0;
	if ((to->r = malloc(from->n * sizeof(*to->r))) == NULL)
		return -1;
	memcpy(to->r, from->r, from->n * sizeof(*to->r));
	to->n = to->cap = from->n;
	return 0;
}

/* ------------------------------------------------------------------ views -- */

struct index_view *
index_view_new(void)
{
	struct index_view *v = calloc(1, sizeof(*v));

	if (v != NULL) {
		atomic_init(&v->refs, 1);
		v->next_run = 1;
	}
	return v;
}

struct index_view *
index_view_copy(const struct index_view *v)
{
	struct index_view *to = index_view_new();

	if (to == NULL)
		return NULL;
	to->next_run = v->next_run;
	if (copy_packs(&to->covered, &v->covered) != 0 ||
	    copy_packs(&to->gone, &v->gone) != 0)
		goto fail;
	if (v->n_bad > 0) {
		if ((to->bad = malloc(v->n_bad * sizeof(*to->bad))) == NULL)
			goto fail;
		memcpy(to->bad, v->bad, v->n_bad * sizeof(*to->bad));
		to->n_bad = v->n_bad;
	}
	for (; to->n_runs < v->n_runs; to->n_runs++) {
		to->runs[to->n_runs] = v->runs[to->n_runs];
		index_run_ref(to->runs[to->n_runs]);
	}
	return to;
fail:
	index_view_unref(to);
	return NULL;
}

struct index_view *
index_view_ref(struct index_view *v)
{
	(void)atomic_fetch_add(&v->refs, 1);
	return v;
}

void
index_view_unref(struct index_view *v)
{
	if (v == NULL || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	for (uint32_t i = 0; i < v->n_runs; i++)
		index_run_unref(v->runs[i]);
	free(v->covered.r);
	free(v->gone.r);
	free(v->bad);
	free(v);
}

uint64_t
index_view_ram(const struct index_view *v)
{
	return sizeof(*v) +
	       ((uint64_t)v->covered.cap + v->gone.cap) * sizeof(*v->covered.r) +
	       (uint64_t)v->n_bad * sizeof(*v->bad);
}

static int
compare_bad(const void *va, const void *vb)
{
	const struct index_bad *a = va, *b = vb;

	if (a->pack != b->pack)
		return a->pack < b->pack ? -1 : 1;
	return (a->offset > b->offset) - (a->offset < b->offset);
}

int
index_view_set_bad(
    struct index_view *v, uint32_t pack, uint32_t offset, int is_bad, struct err *err)
{
	struct index_bad key = { pack, offset }, *p;
	uint32_t i = 0, hi = v->n_bad, mid;
	int has;

	while (i < hi) {
		mid = (i + hi) / 2;
		if (compare_bad(&v->bad[mid], &key) < 0)
			i = mid + 1;
		else
			hi = mid;
	}
	has = i < v->n_bad && compare_bad(&v->bad[i], &key) == 0;
	if (has && !is_bad) {
		v->n_bad--;
		memmove(v->bad + i, v->bad + i + 1, (v->n_bad - i) * sizeof(*v->bad));
	} else if (!has && is_bad) {
		if (v->n_bad == INDEX_QUARANTINE_MAX)
			return err_set(err, ERR_LIMIT,
			    "%u groups are in quarantine already", v->n_bad);
		if ((p = realloc(v->bad, (v->n_bad + 1) * sizeof(*p))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for the quarantine");
		v->bad = p;
		memmove(p + i + 1, p + i, (v->n_bad - i) * sizeof(*p));
		p[i] = key;
		v->n_bad++;
	}
	return 0;
}

static int
is_bad_group(const struct index_view *v, const struct pack_loc *loc)
{
	struct index_bad key = { loc->pack, loc->offset };

	return v->n_bad > 0 &&
	       bsearch(&key, v->bad, v->n_bad, sizeof(key), compare_bad) != NULL;
}

int
index_view_run_usable(const void *arg, const struct pack_entry *e)
{
	const struct index_view *v = arg;

	return index_view_has(&v->covered, e->loc.pack) && !is_bad_group(v, &e->loc);
}

int
index_view_mem_usable(const void *arg, const struct pack_entry *e)
{
	const struct index_view *v = arg;

	return !index_view_has(&v->gone, e->loc.pack) && !is_bad_group(v, &e->loc);
}
