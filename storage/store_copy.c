#include "storage/store_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/pack.h"
#include "storage/store_copy_state.h"
#include "storage/store_keys.h"
#include "storage/store_state.h"

#define ROUNDS_MAX 8

/* ------------------------------------------------------------ where it goes -- */

struct looking {
	int format, begun, other;
	char name[FS_NAME_MAX];
};

static int
look_one(void *arg, const char *name)
{
	struct looking *l = arg;

	if (strcmp(name, STORE_COPY_FORMAT) == 0) {
		l->format = 1;
	} else if (strcmp(name, STORE_COPY_BEGUN) == 0) {
		l->begun = 1;
	} else if (strcmp(name, "lock") != 0 && strcmp(name, "lost+found") != 0 &&
		   strcmp(name, STORE_COPY_BEGUN ".new") != 0) {
		l->other = 1;
		(void)snprintf(l->name, sizeof(l->name), "%.*s", FS_NAME_MAX - 1, name);
	}
	return 0;
}

/* The store's `format`, into the copy's, under the name that it has there. */
static int
put_format(struct store_copying *c, const char *name, struct err *err)
{
	struct buf ours = BUF_INIT(STORE_COPY_FORMAT_MAX);
	struct buf theirs = BUF_INIT(STORE_COPY_FORMAT_MAX);
	int failed = c->from->ops->format(c->from, &ours, err) != 0;

	if (!failed && fs_slurp(c->to, name, &theirs, err) != 0) {
		failed = err->code != ERR_NOTFOUND;
		if (!failed)
			err_clear(err);
	}
	if (!failed &&
	    (theirs.len != ours.len || memcmp(theirs.p, ours.p, ours.len) != 0))
		failed = fs_replace(c->to, ".", name, ours.p, ours.len, err) != 0;
	buf_free(&ours);
	buf_free(&theirs);
	return failed ? -1 : 0;
}

/* Is it empty, or a copy of this store?  Then it is one from now on. */
static int
prepare(struct store_copying *c, struct err *err)
{
	struct looking l = { 0 };
	uint8_t id[16];
	int found;

	if (fs_list(c->to, ".", look_one, &l, err) < 0)
		return -1;
	if (l.format || l.begun) {
		found = store_keys_format_of(
		    c->to, l.format ? STORE_COPY_FORMAT : STORE_COPY_BEGUN, id, err);
		if (found != 0)
			return -1;
		if (memcmp(id, c->from->store, sizeof(id)) != 0)
			return err_set(
			    err, ERR_EXISTS, "there is another store in its place");
	} else if (l.other) {
		return err_set(
		    err, ERR_EXISTS, "it is not empty and no copy: it has %s", l.name);
	}
	/* What the store needs to be understood comes before what needs it. */
	if (put_format(c, l.format ? STORE_COPY_FORMAT : STORE_COPY_BEGUN, err) != 0 ||
	    fs_mkdir(c->to, PACK_DIR, err) != 0 || fs_sync_dir(c->to, ".", err) != 0)
		return -1;
	return pack_copy_sweep(c->to, err);
}

/* Is what lies there our past?  Whoever opened it gave it another future. */
static int
check_past(struct store_copying *c, struct err *err)
{
	int past = c->from->ops->is_past(c->from, c->to, err);

	if (past == 0)
		return err_set(err, ERR_DENIED,
		    "the copy has records that the store has not: it was opened as a "
		    "store, or this one is older than it was");
	return past < 0 ? -1 : 0;
}

/* ------------------------------------------------------------------- a round -- */

struct round {
	struct store_copying *c;
	uint32_t *no;
	size_t n, cap;
	uint32_t lost;
	struct err *err;
};

static int
want(void *arg, uint32_t no, int sealed)
{
	struct round *r = arg;
	uint32_t *more;
	size_t cap = r->cap == 0 ? 256 : r->cap * 2;

	if (!sealed || pack_set_has(&r->c->there, no) || pack_set_has(&r->c->m.gone, no))
		return 0;
	if (r->n == r->cap) {
		if ((more = realloc(r->no, cap * sizeof(*more))) == NULL)
			return err_set(
			    r->err, ERR_NOMEM, "no memory for a list of packs");
		r->no = more;
		r->cap = cap;
	}
	r->no[r->n++] = no;
	return 0;
}

static int
by_number(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return (a > b) - (a < b);
}

static int
copy_packs(struct round *r, struct err *err)
{
	struct store_copying *c = r->c;
	struct pack_copying p = { .from = c->from->fs,
		.to = c->to,
		.once = c->from->far,
		.store = c->from->store,
		.step = store_copy_step,
		.bad = store_copy_bad,
		.arg = c };
	uint64_t len;

	c->r.packs = c->r.packs_total > r->n ? c->r.packs_total - r->n : 0;
	if (r->n > 0)
		qsort(r->no, r->n, sizeof(r->no[0]), by_number);
	for (size_t i = 0; i < r->n; i++) {
		c->no = r->no[i];
		if (pack_copy(&p, c->no, &len, err) != 0) {
			/* Collected meanwhile: the next look at the journal says so. */
			if (err->code != ERR_NOTFOUND)
				return err_context(err, "pack %08x", c->no);
			err_clear(err);
			continue;
		}
		c->r.packs++;
		c->r.packs_new++;
	}
	return 0;
}

static int
is_missing(void *arg, uint32_t no, struct err *err)
{
	struct round *r = arg;
	int removed;

	if (pack_set_has(&r->c->there, no))
		return 0;
	if ((removed = r->c->from->ops->removed(r->c->from, no, err)) < 0)
		return -1;
	if (removed)
		return 1; /* Since we looked: look again. */
	r->lost++;
	return 0;
}

/*
 * Copy what the store is at one moment.  1 if the store moved on under it, so that
 * another round is needed.
 */
static int
copy_round(struct store_copying *c, struct err *err)
{
	struct round r = { .c = c, .err = err };
	char text[STORE_TEXT_MAX];
	int ret = -1;

	/* What is needed now stays from here on. */
	if (c->from->ops->hold(c->from, &c->m, err) != 0)
		return -1;
	store_copy_begin(c);
	if (store_copy_list(c, err) != 0 || pack_list(c->from->fs, want, &r, err) != 0 ||
	    copy_packs(&r, err) != 0 || store_copy_list(c, err) != 0)
		goto out;
	ret = store_copy_each(c, is_missing, &r, err);
	if (ret == 0 && r.lost > 0) {
		(void)snprintf(text, sizeof(text),
		    "%u packs are missing in the store: run verify", r.lost);
		ret = store_copy_problem(c, text, err);
	}
out:
	free(r.no);
	return ret;
}

/* --------------------------------------------------------------------- the end -- */

static int
drop_gone(struct store_copying *c, struct err *err)
{
	uint32_t highest = c->m.gone.n * 4096u;

	for (uint32_t no = 1; no < highest; no++) {
		if (!pack_set_has(&c->m.gone, no) || !pack_set_has(&c->there, no))
			continue;
		if (pack_remove(c->to, no, err) != 0)
			return -1;
		c->r.packs_removed++;
	}
	return 0;
}

static int
finish(struct store_copying *c, struct err *err)
{
	struct looking l = { 0 };

	/* Again: what the store needs since we began may have records of the moment. */
	if (fs_list(c->to, ".", look_one, &l, err) < 0 ||
	    put_format(c, l.format ? STORE_COPY_FORMAT : STORE_COPY_BEGUN, err) != 0 ||
	    c->from->ops->journal(c->from, c->to, err) != 0)
		return -1;
	if (!l.format &&
	    (fs_rename(c->to, STORE_COPY_BEGUN, STORE_COPY_FORMAT, err) != 0 ||
		fs_sync_dir(c->to, ".", err) != 0))
		return -1;
	return drop_gone(c, err);
}

int
store_copy_from(struct store_copy_source *src, struct fs *to,
    const struct store_copy_config *config, struct store_copy_report *out,
    struct err *err)
{
	struct store_copying c = { .from = src, .to = to, .config = config };
	struct fs_file *lock = NULL;
	int ret = -1;

	if (store_take(to, &lock, err) == 0 && src->ops->begin(src, to, err) == 0 &&
	    prepare(&c, err) == 0 && check_past(&c, err) == 0)
		ret = 1;
	for (int i = 0; ret == 1 && i < ROUNDS_MAX; i++)
		ret = copy_round(&c, err);
	if (ret == 1)
		ret = err_set(err, ERR_BUSY, "packs are collected faster than copied");
	if (ret == 0)
		ret = finish(&c, err);
	fs_close(lock);
	*out = c.r;
	store_copying_free(&c);
	return ret;
}
