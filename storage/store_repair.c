#include "storage/store_repair.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/index.h"
#include "storage/journal.h"
#include "storage/store_heads.h"
#include "storage/store_packs.h"
#include "storage/store_reader.h"
#include "storage/store_state.h"
#include "storage/store_verify.h"

#define REPORT_MAX (4u * 1024 * 1024)

struct repair {
	struct store *s;
	struct store_repair_report *report;
	int (*tell)(void *arg, const char *line);
	void *arg;
	struct err *err;
	struct buf text; /* Of the report. */
	uint64_t owner;	 /* Of what is put. */
	/* The groups of the pack being saved, rising. */
	uint32_t *offsets;
	uint32_t n, cap;
};

static int say(struct repair *r, const char *fmt, ...) ERR_PRINTF(2, 3);

static int
say(struct repair *r, const char *fmt, ...)
{
	struct err full = ERR_INIT;
	char line[800];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* A report that is full goes on to be told. */
	if (buf_add(&r->text, line, strlen(line), &full) == 0)
		(void)buf_add(&r->text, "\n", 1, &full);
	if (r->tell != NULL && r->tell(r->arg, line) != 0)
		return err_set(r->err, ERR_CANCELED, "repair was stopped");
	return 0;
}

/* ------------------------------------------------------------------ one pack -- */

static int
note_offset(void *arg, const struct pack_entry *e)
{
	struct repair *r = arg;
	uint32_t cap = r->cap == 0 ? 1024 : 2 * r->cap, *more;

	if (r->n == r->cap) {
		if ((more = realloc(r->offsets, cap * sizeof(*more))) == NULL)
			return err_set(r->err, ERR_NOMEM, "no memory to repair a pack");
		r->offsets = more;
		r->cap = cap;
	}
	r->offsets[r->n++] = e->loc.offset;
	return 0;
}

static int
cmp_offset(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Where groups of the pack begin: by its footer, or else by walking. */
static int
find_groups(struct repair *r, struct pack *p)
{
	struct pack_recovery walked;
	struct err why = ERR_INIT;
	uint32_t kept = 0;

	r->n = 0;
	if (pack_each_entry(p, note_offset, r, NULL, &why) != 0) {
		r->n = 0;
		if (r->err->code != ERR_NONE ||
		    pack_walk(p, &r->s->judge, note_offset, r, &walked, r->err) != 0)
			return -1;
	}
	if (r->n > 0)
		qsort(r->offsets, r->n, sizeof(*r->offsets), cmp_offset);
	for (uint32_t i = 0; i < r->n; i++)
		if (i == 0 || r->offsets[i] != r->offsets[i - 1])
			r->offsets[kept++] = r->offsets[i];
	r->n = kept;
	return 0;
}

/* Put every group that is whole and proven into a new pack; how many. */
static int
save_groups(struct repair *r, struct pack *p, uint32_t *saved)
{
	struct buf bytes = BUF_INIT(GROUP_LEN_MAX);
	struct err why = ERR_INIT;
	struct group g;
	int ret = 0;

	*saved = 0;
	for (uint32_t i = 0; ret == 0 && i < r->n; i++) {
		err_clear(&why);
		/* Nothing but the names vouches for what comes from such a file. */
		if (pack_copy_group(p, r->offsets[i], &bytes, &g, &why) != 0 ||
		    !store_proven(r->s, &g))
			continue;
		ret = store_packs_put(r->s->packs, r->owner, &g, NULL, r->err);
		*saved += ret == 0;
	}
	buf_free(&bytes);
	return ret;
}

static int
record_removed(struct repair *r, uint32_t no)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return err_set(r->err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_REMOVED;
	e->u.removed = no;
	ret = store_record(r->s, e, NULL, r->err);
	free(e);
	return ret;
}

/*
 * The pack does not count any more: what it lost stays known, its file aside.  In
 * this order, so that a crash leaves either the pack as it was, and some groups
 * twice, or a pack that is gone, which the next repair finishes.
 */
static int
retire_pack(struct repair *r, const struct journal_pack *k, uint32_t saved, int is_there)
{
	if (store_packs_seal(r->s->packs, r->err) != 0 ||
	    (saved < k->groups && store_lose_unnamed(r->s, k->no, r->err) != 0) ||
	    index_forget_pack(r->s->index, k->no, r->err) != 0 ||
	    (is_there && pack_set_aside(r->s->fs, k->no, r->err) != 0) ||
	    record_removed(r, k->no) != 0)
		return -1;
	pthread_mutex_lock(&r->s->bad_lock);
	if (!is_there && r->s->lost_packs > 0)
		r->s->lost_packs--;
	pthread_mutex_unlock(&r->s->bad_lock);
	store_reader_forget(r->s->reader, k->no);
	store_forget_bad(r->s, k->no);
	r->report->groups_rewritten += saved;
	r->report->groups_lost += k->groups > saved ? k->groups - saved : 0;
	r->report->packs_rewritten += is_there;
	r->report->packs_gone += !is_there;
	return 0;
}

/* Has the pack been put right by its parity?  Then all in it counts again. */
static int
mend_pack(struct repair *r, const struct journal_pack *k)
{
	char what[ERR_TEXT_MAX];
	struct err why = ERR_INIT;
	int mended = store_mend_pack(r->s, k, what, &why);

	/* What stands in the way is said; all that is there is saved as it is. */
	if (mended < 0)
		(void)snprintf(what, sizeof(what), "%s", why.text);
	if (what[0] != '\0' && say(r, "pack %08x: %s", k->no, what) != 0)
		return -1;
	if (mended != 1)
		return 0;
	if (!r->s->read_only && store_remember_mended(r->s, k->no, r->err) != 0)
		return -1;
	r->report->packs_mended++;
	return 1;
}

static int
repair_pack(struct repair *r, const struct journal_pack *k)
{
	struct err why = ERR_INIT;
	struct pack *p = NULL;
	uint32_t saved = 0;
	int ret;

	ret = pack_open(r->s->fs, k->no, r->s->of.store, &p, &why);
	if (ret == 0)
		ret = pack_each_entry(p, NULL, NULL, NULL, &why);
	pack_close(p);
	p = NULL;
	if (ret == 0)
		return 0;
	if (why.code == ERR_NOTFOUND) {
		if (say(r, "pack %08x: its file is gone, with %u groups", k->no,
			k->groups) != 0)
			return -1;
		return r->s->read_only ? 0 : retire_pack(r, k, 0, 0);
	}
	if (why.code == ERR_CORRUPT && say(r, "pack %08x: %s", k->no, why.text) != 0)
		return -1;
	/* It may also be that the disk does not give the footer any more. */
	if ((why.code == ERR_CORRUPT || why.code == ERR_IO) &&
	    (ret = mend_pack(r, k)) != 0)
		return ret < 0 ? -1 : 0;
	if (why.code != ERR_CORRUPT)
		return say(r, "pack %08x: left alone: %s", k->no, why.text);
	if (pack_open_damaged(r->s->fs, k->no, (enum chunk_kind)k->kind, r->s->of.store,
		&p, r->err) != 0)
		return -1;
	ret = find_groups(r, p);
	if (ret == 0 && !r->s->read_only)
		ret = save_groups(r, p, &saved);
	pack_close(p);
	if (ret != 0)
		return -1;
	if (r->s->read_only)
		return say(r, "pack %08x: %u of %u groups were found and would be kept",
		    k->no, r->n, k->groups);
	if (retire_pack(r, k, saved, 1) != 0)
		return -1;
	return say(r,
	    "pack %08x: %u of %u groups are in new packs; the file is aside as "
	    "packs/%08x.damaged",
	    k->no, saved, k->groups, k->no);
}

static int
repair_packs(struct repair *r)
{
	struct journal_pack k;
	uint32_t after = 0, n = 1;

	/* One at a time: the list changes while this goes on. */
	while (n == 1) {
		if (catalog_packs(r->s->catalog, after, &k, 1, &n, r->err) != 0)
			return -1;
		after = k.no;
		if (n == 1 && repair_pack(r, &k) != 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------------- all -- */

static int
hear(void *arg, const struct store_verify_report *v, const char *problem)
{
	struct repair *r = arg;

	(void)v;
	if (problem == NULL)
		return 0;
	r->report->problems++;
	return say(r, "%s", problem) != 0;
}

static int
write_report(struct repair *r)
{
	struct store_repair_report *o = r->report;
	long long second = (long long)(store_now(r->s) / 1000000);
	struct err none = ERR_INIT;
	struct fs_file *f;

	/* What an earlier repair wrote stays, also if the clock stands still or goes
	 * back. */
	do {
		(void)snprintf(o->file, sizeof(o->file), "repair-%lld.txt", second++);
		if (fs_open(r->s->fs, o->file, FS_READ, &f, &none) != 0)
			break;
		fs_close(f);
	} while (1);
	return fs_replace(r->s->fs, ".", o->file, r->text.p, r->text.len, r->err);
}

int
store_repair(struct store *s, int (*tell)(void *arg, const char *line), void *arg,
    struct store_repair_report *out, struct err *err)
{
	const struct store_verify_options o = { .trees = 1 };
	struct repair r = { .s = s, .report = out, .tell = tell, .arg = arg, .err = err };
	struct store_lease *lease = NULL;
	int ret;

	memset(out, 0, sizeof(*out));
	r.text.max = REPORT_MAX;
	if (store_lease_open(s, "", STORE_READ, &lease, err) != 0)
		return -1;
	r.owner = lease->id;
	ret = store_opened(s)[0] != '\0' ? say(&r, "opening: %s", store_opened(s)) : 0;
	if (ret == 0)
		ret = repair_packs(&r);
	store_lease_close(lease);
	if (ret == 0)
		ret = store_verify_with(s, &o, hear, &r, &out->verify, err);
	if (ret == 0)
		ret = say(&r,
		    "%llu packs were rewritten, %llu are gone; %llu groups kept, %llu "
		    "lost; "
		    "%llu bad groups quarantined, %llu good again; %llu of %llu points "
		    "are "
		    "whole",
		    (unsigned long long)out->packs_rewritten,
		    (unsigned long long)out->packs_gone,
		    (unsigned long long)out->groups_rewritten,
		    (unsigned long long)out->groups_lost,
		    (unsigned long long)out->verify.bad_groups,
		    (unsigned long long)out->verify.released_groups,
		    (unsigned long long)out->verify.points_verified,
		    (unsigned long long)out->verify.points_checked);
	if (ret == 0 && !s->read_only)
		ret = write_report(&r);
	free(r.offsets);
	buf_free(&r.text);
	return ret == 0 ? 0 : -1;
}
