#include "storage/store_copy_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/pack_format.h"
#include "storage/store_copy_state.h"
#include "storage/store_packs.h"
#include "storage/store_state.h"

/* For packs that other threads are sealing just now. */
#define SEAL_WAITS 1500
#define SEAL_WAIT_NS 20000000

/* ------------------------------------------------------------------- holding -- */

struct store_copy_hold {
	struct store *s;
	struct store_lease *lease;
	struct journal_place until;
	struct store_copy_moment m;
	struct fs_file *file; /* Open for reading, or NULL. */
	uint32_t no;	      /* Which; 0: the journal. */
	uint64_t size;
};

struct opened {
	struct pack_set *set;
	uint32_t n;
	struct err *err;
};

static int
note_open(void *arg, uint32_t no, int sealed)
{
	struct opened *o = arg;

	if (sealed)
		return 0;
	o->n++;
	return pack_set_add(o->set, no, o->err);
}

static int
still_open(void *arg, uint32_t no, int sealed)
{
	struct opened *o = arg;

	o->n += !sealed && pack_set_has(o->set, no);
	return 0;
}

/* What was put so far is in sealed packs when it returns, whoever seals them. */
static int
seal_all(struct store *s, struct err *err)
{
	struct timespec pause = { 0, SEAL_WAIT_NS };
	struct pack_set open = { 0 };
	struct opened o = { &open, 0, err };
	int failed = pack_list(s->fs, note_open, &o, err) != 0 ||
		     store_packs_seal(s->packs, err) != 0;

	for (int i = 0; !failed && o.n > 0; i++) {
		o.n = 0;
		failed = pack_list(s->fs, still_open, &o, err) != 0;
		if (!failed && o.n > 0 && i == SEAL_WAITS)
			failed =
			    err_set(err, ERR_BUSY, "%u packs cannot be sealed now", o.n);
		if (!failed && o.n > 0)
			(void)nanosleep(&pause, NULL);
	}
	pack_set_clear(&open);
	return failed ? -1 : 0;
}

struct sealed {
	struct store_copy_moment *m;
	struct err *err;
};

static int
add_sealed(void *arg, uint32_t no, int sealed)
{
	struct sealed *a = arg;

	if (!sealed || pack_set_has(&a->m->gone, no))
		return 0;
	if (no > a->m->highest)
		a->m->highest = no;
	return pack_set_add(&a->m->alive, no, a->err);
}

/* Those sealed just now are recorded behind the end, and needed all the same. */
static int
list_packs(struct store_copy_hold *h, struct err *err)
{
	struct sealed a = { &h->m, err };

	if (store_copy_packs(&h->m, h->s->journal, &h->until, err) != 0)
		return -1;
	return pack_list(h->s->fs, add_sealed, &a, err) != 0 ? -1 : 0;
}

static int
make_terms(
    struct store_copy_hold *h, uint64_t past, struct store_copy_terms *t, struct err *err)
{
	struct buf format = BUF_INIT(STORE_COPY_FORMAT_MAX);
	int failed;

	memset(t, 0, sizeof(*t));
	memcpy(t->store, h->s->of.store, sizeof(t->store));
	/* After the end was taken: a feature is there before the records that need it. */
	failed = fs_slurp(h->s->fs, STORE_COPY_FORMAT, &format, err) != 0;
	if (!failed) {
		memcpy(t->format, format.p, format.len);
		t->format_len = format.len;
	}
	buf_free(&format);
	return failed
		   ? -1
		   : journal_image_of(h->s->journal, &h->until, past, &t->journal, err);
}

int
store_copy_hold_open(struct store *s, uint64_t past, struct store_copy_terms *terms,
    struct store_copy_hold **out, struct err *err)
{
	struct store_copy_hold *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return err_set(err, ERR_NOMEM, "no memory to copy");
	h->s = s;
	if (store_lease_open(s, "copy", STORE_READ, &h->lease, err) != 0)
		goto fail;
	/* All that a point up to here rests on is in packs that are sealed then. */
	journal_end(s->journal, &h->until);
	if (seal_all(s, err) != 0 || list_packs(h, err) != 0 ||
	    (terms != NULL && make_terms(h, past, terms, err) != 0))
		goto fail;
	*out = h;
	return 0;
fail:
	store_copy_hold_close(h);
	return -1;
}

void
store_copy_hold_close(struct store_copy_hold *h)
{
	if (h == NULL)
		return;
	store_lease_close(h->lease);
	fs_close(h->file);
	store_copy_moment_clear(&h->m);
	free(h);
}

const struct store_copy_moment *
store_copy_hold_moment(const struct store_copy_hold *h)
{
	return &h->m;
}

/* Have file `no` open. */
static int
hold_open(struct store_copy_hold *h, uint32_t no, struct err *err)
{
	char name[FS_NAME_MAX] = JOURNAL_NAME;

	if (h->file != NULL && h->no == no)
		return 0;
	if (no != 0 && (!pack_set_has(&h->m.alive, no) || pack_set_has(&h->m.gone, no)))
		return err_set(err, ERR_DENIED, "pack %08x is not of this copy", no);
	fs_close(h->file);
	h->file = NULL;
	h->no = no;
	if (no != 0)
		pack_name(no, 1, name);
	if (fs_open(h->s->fs, name, FS_READ, &h->file, err) != 0)
		return -1;
	if (fs_size(h->file, &h->size, err) == 0 &&
	    (no != 0 || h->size >= h->until.offset)) {
		if (no == 0)
			h->size = h->until.offset;
		return 0;
	}
	fs_close(h->file);
	h->file = NULL;
	return err->code != ERR_NONE
		   ? -1
		   : err_set(err, ERR_CORRUPT, "the journal is shorter than it was");
}

int
store_copy_hold_read(struct store_copy_hold *h, uint32_t no, uint64_t offset, uint8_t *p,
    size_t len, size_t *got, uint64_t *size, struct err *err)
{
	*got = 0;
	if (hold_open(h, no, err) != 0)
		return -1;
	*size = h->size;
	if (offset > h->size)
		return err_set(err, ERR_LIMIT, "%s ends before %llu", h->file->name,
		    (unsigned long long)offset);
	if (len > h->size - offset)
		len = (size_t)(h->size - offset);
	*got = len;
	return fs_read_all(h->file, p, len, offset, err);
}

/* ------------------------------------------------ a store open in this process -- */

struct local {
	struct store_copy_source src;
	struct store *s;
	struct store_copy_hold *hold;
};

static int
local_begin(struct store_copy_source *src, struct fs *to, struct err *err)
{
	(void)src;
	(void)to;
	(void)err;
	return 0;
}

static int
local_format(struct store_copy_source *src, struct buf *out, struct err *err)
{
	return fs_slurp(((struct local *)src)->s->fs, STORE_COPY_FORMAT, out, err);
}

static int
local_is_past(struct store_copy_source *src, struct fs *to, struct err *err)
{
	struct store *s = ((struct local *)src)->s;
	struct journal_place end;
	struct journal *j = NULL;

	if (journal_open(to, s->of.store, s->of.journal, NULL, &j, NULL, err) != 0) {
		if (err->code != ERR_NOTFOUND)
			return err_context(err, "the copy");
		err_clear(err);
		return 1;
	}
	journal_end(j, &end);
	journal_close(j);
	return journal_knows(s->journal, &end, err);
}

static int
local_hold(struct store_copy_source *src, struct store_copy_moment *out, struct err *err)
{
	struct local *l = (struct local *)src;

	store_copy_hold_close(l->hold);
	l->hold = NULL;
	store_copy_moment_clear(out);
	if (store_copy_hold_open(l->s, 0, NULL, &l->hold, err) != 0)
		return -1;
	*out = l->hold->m;
	memset(&l->hold->m, 0, sizeof(l->hold->m));
	return 0;
}

static int
local_removed(struct store_copy_source *src, uint32_t no, struct err *err)
{
	return catalog_removed(((struct local *)src)->s->catalog, no, err);
}

static int
local_journal(struct store_copy_source *src, struct fs *to, struct err *err)
{
	struct local *l = (struct local *)src;

	return journal_copy(l->s->journal, &l->hold->until, to, err);
}

int
store_copy(struct store *s, struct fs *to, const struct store_copy_config *config,
    struct store_copy_report *out, struct err *err)
{
	static const struct store_copy_source_ops ops = { local_begin, local_format,
		local_is_past, local_hold, local_removed, local_journal };
	struct local l = { .src = { .ops = &ops, .fs = s->fs }, .s = s };
	int ret;

	memcpy(l.src.store, s->of.store, sizeof(l.src.store));
	ret = store_copy_from(&l.src, to, config, out, err);
	store_copy_hold_close(l.hold);
	return ret;
}

int
store_copy_to(struct store *s, const char *dest, const struct store_copy_config *config,
    struct store_copy_report *out, struct err *err)
{
	struct fs *to;
	int ret;

	memset(out, 0, sizeof(*out));
	if (mkdir(dest, 0700) != 0 && errno != EEXIST)
		return err_os(err, errno, "cannot make %.150s", dest);
	if (fs_open_dir(dest, &to, err) != 0)
		return -1;
	ret = store_copy(s, to, config, out, err);
	fs_free(to);
	return ret == 0 ? 0 : err_context(err, "copy to %.100s", dest);
}
