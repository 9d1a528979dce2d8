#include <stdlib.h>
#include <string.h>

#include "storage/index_work.h"

/* What is to change in a view. */
struct change {
	int (*make)(const struct change *c, struct index_view *v, struct err *err);
	const uint32_t *nos; /* Packs, rising. */
	size_t n;
	uint32_t offset; /* Of a group in the one pack. */
};

/* Change a copy of the view and use it, `durable` or not; `install` is held. */
static int
change_held(struct index *ix, const struct change *c, int durable, struct err *err)
{
	struct index_view *v = index_view_copy(ix->view);

	if (v == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a view of the index");
	(void)pthread_mutex_lock(&ix->lock);
	v->next_run = ix->next_run;
	(void)pthread_mutex_unlock(&ix->lock);
	if (c->make(c, v, err) != 0 ||
	    (durable && index_work_manifest(ix, v, err) != 0)) {
		index_view_unref(v);
		return -1;
	}
	index_work_swap(ix, v);
	return 0;
}

static int
change_view(struct index *ix, const struct change *c, int durable, struct err *err)
{
	int ret;

	(void)pthread_mutex_lock(&ix->install);
	ret = change_held(ix, c, durable, err);
	(void)pthread_mutex_unlock(&ix->install);
	return ret;
}

/* ----------------------------------------------------------------- packs -- */

static int
forget(const struct change *c, struct index_view *v, struct err *err)
{
	return index_view_change(&v->gone, c->nos, c->n, 1, err) != 0 ||
		       index_view_change(&v->covered, c->nos, c->n, 0, err) != 0
		   ? -1
		   : 0;
}

static int
hide(const struct change *c, struct index_view *v, struct err *err)
{
	return index_view_change(&v->gone, c->nos, c->n, 1, err);
}

static int
show(const struct change *c, struct index_view *v, struct err *err)
{
	return index_view_change(&v->gone, c->nos, c->n, 0, err);
}

int
index_forget_packs(struct index *ix, const uint32_t *nos, size_t n, struct err *err)
{
	struct change c = { .make = forget };
	uint32_t *sorted;
	int ret;

	if (n == 0)
		return 0;
	if ((sorted = malloc(n * sizeof(*sorted))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a list of packs");
	memcpy(sorted, nos, n * sizeof(*sorted));
	c.nos = sorted;
	c.n = index_work_sort(sorted, n);
	ret = change_view(ix, &c, 1, err);
	free(sorted);
	return ret;
}

int
index_forget_pack(struct index *ix, uint32_t no, struct err *err)
{
	return index_forget_packs(ix, &no, 1, err);
}

/* Does the pack count, in runs or in memory?  `install` is held. */
static int
counts(struct index *ix, uint32_t no)
{
	int yes;

	if (index_view_has(&ix->view->covered, no))
		return 1;
	if (index_view_has(&ix->view->gone, no))
		return 0;
	(void)pthread_mutex_lock(&ix->lock);
	yes = index_work_listed(&ix->done, no) ||
	      (ix->frozen != NULL && index_work_listed(&ix->frozen_done, no)) ||
	      index_work_open_pack(ix, no) != NULL;
	(void)pthread_mutex_unlock(&ix->lock);
	return yes;
}

/*
 * The pack is done no more: until it is again, no freezing may think that it
 * writes out all of it.
 */
static void
take_back_done(struct index *ix, uint32_t no)
{
	uint32_t n = 0;

	(void)pthread_mutex_lock(&ix->lock);
	for (uint32_t i = 0; i < ix->done.n; i++)
		if (ix->done.p[i] != no)
			ix->done.p[n++] = ix->done.p[i];
	ix->done.n = n;
	(void)pthread_mutex_unlock(&ix->lock);
}

/*
 * While its entries come it is hidden, so that a failure half-way changes
 * nothing.  It is shown before it is done: what is done and hidden is written
 * out without being covered.
 */
int
index_remember_pack(struct index *ix, uint32_t no, struct err *err)
{
	struct change c = { .make = hide, .nos = &no, .n = 1 };
	int damaged, known, ret = 0;

	(void)pthread_mutex_lock(&ix->install);
	if ((known = counts(ix, no)) == 0 && (ret = change_held(ix, &c, 0, err)) == 0)
		take_back_done(ix, no);
	(void)pthread_mutex_unlock(&ix->install);
	if (known || ret != 0)
		return ret;
	c.make = show;
	if (index_open_read_pack(ix, no, &damaged, err) != 0 ||
	    change_view(ix, &c, 0, err) != 0)
		return -1;
	if (damaged)
		return err_set(err, ERR_CORRUPT,
		    "footer of pack %08x is damaged: only its whole groups count",
		    (unsigned)no);
	index_pack_done(ix, no);
	return 0;
}

/* ---------------------------------------------------------------- groups -- */

static int
condemn(const struct change *c, struct index_view *v, struct err *err)
{
	return index_view_set_bad(v, c->nos[0], c->offset, 1, err);
}

static int
absolve(const struct change *c, struct index_view *v, struct err *err)
{
	return index_view_set_bad(v, c->nos[0], c->offset, 0, err);
}

int
index_quarantine(struct index *ix, uint32_t no, uint32_t offset, struct err *err)
{
	struct change c = { .make = condemn, .nos = &no, .n = 1, .offset = offset };

	return change_view(ix, &c, 1, err);
}

int
index_release(struct index *ix, uint32_t no, uint32_t offset, struct err *err)
{
	struct change c = { .make = absolve, .nos = &no, .n = 1, .offset = offset };

	return change_view(ix, &c, 1, err);
}
