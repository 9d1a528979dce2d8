#include "storage/store_verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/index.h"
#include "storage/journal.h"
#include "storage/store_gc.h"
#include "storage/store_packs.h"
#include "storage/store_state.h"

#define NOTED_AT_ONCE 64u /* Packs that one record says are checked. */
#define LISTED_AT_ONCE 4096u

/* A run of store_verify(). */
struct verify {
	struct store *s;
	const struct store_verify_options *o;
	struct store_verify_report *report;
	int (*tell)(void *arg, const struct store_verify_report *r, const char *problem);
	void *arg;
	struct err *err;
	uint32_t pack;		       /* Being read. */
	int stopped;		       /* `tell` said so. */
	int problems;		       /* Told. */
	struct timespec began;	       /* For the rate. */
	struct journal_event *checked; /* Packs read and not yet recorded so. */
	/* Groups of the pack being read that are bad, to tell them from those that
	 * are good again. */
	uint32_t *bad;
	size_t bad_count, bad_cap;
	/* What the disk did not give: it counts towards no window, proves nothing. */
	uint64_t unread, unread_bytes;
	int64_t began_us; /* All packs up to `highest` were there. */
	uint32_t highest;
	int64_t oldest_us; /* Every one of them was checked since then. */
	int sealed;   /* Nothing that points need lay in packs that are not listed. */
	int no_index; /* It is damaged: trees cannot be walked. */
	struct timespec heard; /* When trees last asked whether to go on. */
	struct store_lease *lease;
	struct store_nodes *nodes;
	char hurt[STORE_TEXT_MAX]; /* What the point being walked lacks. */
};

static int
tell(struct verify *v, const char *problem)
{
	v->problems += problem != NULL;
	if (v->tell != NULL && v->tell(v->arg, v->report, problem) != 0)
		v->stopped = 1;
	return v->stopped;
}

/* -------------------------------------------------------------------- packs -- */

static int
note_bad_group(struct verify *v, uint32_t offset)
{
	size_t cap = v->bad_cap == 0 ? 64 : 2 * v->bad_cap;
	uint32_t *more;

	if (v->bad_count == v->bad_cap) {
		if ((more = realloc(v->bad, cap * sizeof(*more))) == NULL)
			return err_set(v->err, ERR_NOMEM, "no memory for bad groups");
		v->bad = more;
		v->bad_cap = cap;
	}
	v->bad[v->bad_count++] = offset;
	return 0;
}

static int
bad_group(void *arg, uint32_t offset, const struct err *why)
{
	char line[ERR_TEXT_MAX + 60];
	struct verify *v = arg;
	int known, healed;

	if (note_bad_group(v, offset) != 0 ||
	    (known = store_is_quarantined(v->s, v->pack, offset, v->err)) < 0)
		return -1;
	/* Unreadable is as bad as wrong: either way it is to be sent again. */
	if (store_quarantine(v->s, v->pack, offset, v->err) != 0 ||
	    (healed = store_is_healed(v->s, v->pack, offset, v->err)) < 0)
		return -1;
	/* It was told when it was found; since then all of it was sent again. */
	if (known && healed) {
		v->report->healed_groups++;
		return 0;
	}
	v->report->bad_groups++;
	(void)snprintf(
	    line, sizeof(line), "pack %08x at %u: %s", v->pack, offset, why->text);
	return tell(v, line);
}

/* A problem that is not one group's: the pack's footer, or the pack is gone. */
static int
bad_pack(struct verify *v, const char *what)
{
	char line[ERR_TEXT_MAX + 160];

	v->report->bad_groups++;
	(void)snprintf(line, sizeof(line), "pack %08x: %s", v->pack, what);
	return tell(v, line);
}

/* Quarantined groups of this pack that were read now and are good. */
static int
release_good(struct verify *v)
{
	struct journal_group g = { v->pack, 0 }, next;
	uint32_t n = 1;

	while (n == 1) {
		size_t i = 0;

		if (catalog_quarantined(v->s->catalog, &g, &next, 1, &n, v->err) != 0)
			return -1;
		if (n == 0 || next.pack != v->pack)
			break;
		g = next;
		while (i < v->bad_count && v->bad[i] != g.offset)
			i++;
		if (i < v->bad_count)
			continue;
		if (store_release_group(v->s, g.pack, g.offset, v->err) != 0)
			return -1;
		v->report->released_groups++;
	}
	return 0;
}

static int
count_entry(void *arg, const struct pack_entry *e)
{
	(void)arg;
	(void)e;
	return 0;
}

/* The footer is bad: what can be read is found by walking. */
static int
walk_pack(struct verify *v, struct pack *p, const struct journal_pack *known,
    const struct err *why)
{
	char what[ERR_TEXT_MAX + 80];
	struct pack_recovery r;

	if (pack_walk(p, &v->s->judge, count_entry, NULL, &r, v->err) != 0)
		return -1;
	/*
	 * If one is not, nobody can say what was in it, and the index still gives it:
	 * then the index gives nothing of this pack, until it is opened again, which
	 * reads whole groups only, or the store is repaired.
	 */
	if (r.groups < known->groups &&
	    (store_lose_unnamed(v->s, known->no, v->err) != 0 ||
		store_lose_pack(v->s, known->no, v->err) != 0))
		return -1;
	(void)snprintf(what, sizeof(what), "%s; %u of %u groups are whole: run repair",
	    why->text, r.groups, known->groups);
	return bad_pack(v, what);
}

static int
flush_checked(struct verify *v)
{
	int ret = 0;

	if (v->checked->u.checked.n > 0)
		ret = store_record(v->s, v->checked, NULL, v->err);
	v->checked->u.checked.n = 0;
	return ret;
}

static int
note_checked(struct verify *v, int64_t began_us)
{
	struct journal_checked *k = &v->checked->u.checked;

	if (k->n == 0)
		k->when_us = began_us;
	k->packs[k->n++] = v->pack;
	return k->n == NOTED_AT_ONCE ? flush_checked(v) : 0;
}

/*
 * Something in the pack is bad: has its parity put it right, or is it by now?  Told
 * either way; what kept it from that is no reason to end here.
 */
static int
mend_pack(struct verify *v, const struct journal_pack *known, const struct err *why,
    int index_too)
{
	char what[ERR_TEXT_MAX], line[2 * ERR_TEXT_MAX + 80];
	struct err failed = ERR_INIT;
	int mended;

	if (v->s->read_only)
		return 0;
	if ((mended = store_mend_pack(v->s, known, what, &failed)) < 0)
		(void)snprintf(what, sizeof(what), "%s", failed.text);
	/* That the disk does not give it is said once. */
	if (mended < 0 && failed.code == ERR_IO && why->code == ERR_IO)
		return 0;
	if (mended == 1 && index_too &&
	    store_remember_mended(v->s, known->no, v->err) != 0)
		return -1;
	v->report->mended_packs += mended == 1;
	if (what[0] != '\0') {
		(void)snprintf(line, sizeof(line), "pack %08x: %s%s%s", known->no,
		    why->text, why->text[0] != '\0' ? "; " : "", what);
		(void)tell(v, line);
	}
	return mended > 0;
}

/* Read the groups, and its parity: 2 if it was mended and is to be read again. */
static int
scrub_pack(struct verify *v, struct pack *p, const struct journal_pack *known,
    int may_mend, struct err *why)
{
	struct err parity = ERR_INIT;
	int ret = pack_scrub(p, bad_group, v, why), mended = 0;

	if (ret > 0 || v->err->code != ERR_NONE)
		return ret;
	if (ret < 0 && why->code != ERR_CORRUPT && why->code != ERR_IO)
		return -1;
	if (may_mend && (ret < 0 || v->bad_count > 0))
		mended = mend_pack(v, known, why, ret < 0);
	else if (may_mend && pack_check_parity(p, &parity) < 0)
		mended = mend_pack(v, known, &parity, 0);
	if (mended != 0)
		return mended < 0 ? -1 : 2;
	return ret;
}

static int
verify_pack(struct verify *v, const struct journal_pack *known)
{
	int64_t began_us = store_now(v->s);
	struct err why = ERR_INIT;
	struct pack *p = NULL;
	int ret, read = 1, mended = 0;

again:
	err_clear(&why);
	v->pack = known->no;
	v->bad_count = 0;
	ret = pack_open(v->s->fs, known->no, v->s->of.store, &p, &why);
	/* The list may be older than a removal. */
	if (ret != 0 && why.code == ERR_NOTFOUND &&
	    (ret = catalog_removed(v->s->catalog, known->no, v->err)) != 0)
		return ret < 0 ? -1 : 0;
	if (why.code != ERR_NONE)
		ret = -1;
	/* Once: what is bad in it afterwards was sealed so. */
	if (!mended && ret != 0 && (why.code == ERR_CORRUPT || why.code == ERR_IO) &&
	    (mended = mend_pack(v, known, &why, 1)) > 0)
		goto again;
	if (mended < 0)
		return -1;
	if (ret == 0) {
		ret = scrub_pack(v, p, known, !mended, &why);
		if (ret == 2) {
			mended = 1;
			pack_close(p);
			p = NULL;
			goto again;
		}
		if (ret == 0)
			ret = release_good(v);
		else if (ret < 0 && why.code == ERR_CORRUPT)
			ret = walk_pack(v, p, known, &why);
		else if (ret < 0 && why.code == ERR_IO)
			read = 0;
	} else if (why.code == ERR_CORRUPT || why.code == ERR_NOTFOUND) {
		/* None of it can be read: it must not be taken for present. */
		(void)store_lose_pack(v->s, known->no, v->err);
		ret = bad_pack(v, why.text);
	} else if (why.code == ERR_IO) {
		/* The disk may give it again: said, and on to the next. */
		read = 0;
	}
	pack_close(p);
	if (v->err->code != ERR_NONE)
		return -1;
	if (ret < 0 && read) {
		*v->err = why;
		return -1;
	}
	v->report->packs++;
	v->report->groups += known->groups;
	v->report->bytes += known->stored;
	if (!read) {
		v->unread++;
		v->unread_bytes += known->stored;
		return bad_pack(v, why.text);
	}
	if (note_checked(v, began_us) != 0)
		return -1;
	return v->stopped ? 1 : tell(v, NULL);
}

/* Is this one of the share that is read?  Any share, spread evenly over the packs. */
static int
sampled(double *sum, double share)
{
	*sum += share;
	if (*sum < 1.0)
		return 0;
	*sum -= 1.0;
	return 1;
}

/* What is going to be read, those checked longest ago first. */
static int
list_packs(struct verify *v, uint32_t **out, size_t *count)
{
	struct catalog_check *page = malloc(LISTED_AT_ONCE * sizeof(*page)), last;
	int64_t since = v->o->since_us != 0 ? v->o->since_us : INT64_MAX;
	const struct catalog_check *after = NULL;
	uint32_t n = LISTED_AT_ONCE, *all = NULL, *more;
	int ret = page != NULL ? 0 : -1;

	*count = 0;
	while (ret == 0 && n == LISTED_AT_ONCE) {
		ret = catalog_checks(
		    v->s->catalog, since, after, page, LISTED_AT_ONCE, &n, v->err);
		if (ret != 0 || n == 0)
			break;
		if ((more = realloc(all, (*count + n) * sizeof(*all))) == NULL) {
			ret = -1;
			break;
		}
		all = more;
		for (uint32_t i = 0; i < n; i++)
			all[(*count)++] = page[i].pack;
		last = page[n - 1];
		after = &last;
	}
	free(page);
	*out = all;
	if (ret != 0 && v->err->code == ERR_NONE)
		return err_set(v->err, ERR_NOMEM, "no memory for the list of packs");
	return ret;
}

/* Wait until what was read fits the rate; never long, for `tell` may want to stop. */
static int
keep_rate(struct verify *v)
{
	const struct timespec pause = { 0, 50 * 1000000 };
	struct timespec now;
	double due, is;

	while (v->o->rate > 0 && !v->stopped) {
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		is = (double)(now.tv_sec - v->began.tv_sec) +
		     (double)(now.tv_nsec - v->began.tv_nsec) / 1e9;
		due = (double)v->report->bytes / (double)v->o->rate;
		if (is >= due)
			break;
		(void)nanosleep(&pause, NULL);
		(void)tell(v, NULL);
	}
	return v->stopped;
}

static int
window_ends(const struct verify *v)
{
	return (v->o->packs_max > 0 && v->report->packs - v->unread >= v->o->packs_max) ||
	       (v->o->bytes_max > 0 &&
		   v->report->bytes - v->unread_bytes >= v->o->bytes_max);
}

static int
find_highest(struct verify *v)
{
	struct journal_pack page[64];
	uint32_t n = 64;

	while (n == 64) {
		if (catalog_packs(v->s->catalog, v->highest, page, 64, &n, v->err) != 0)
			return -1;
		if (n > 0)
			v->highest = page[n - 1].no;
	}
	return 0;
}

static int
verify_packs(struct verify *v, double share)
{
	struct journal_pack known;
	double sum = 1.0 - share;
	uint32_t *list = NULL, n;
	size_t count;
	int ret;

	ret = list_packs(v, &list, &count);
	if (ret == 0)
		ret = find_highest(v);
	for (size_t i = 0; ret == 0 && i < count && !window_ends(v); i++) {
		if (!sampled(&sum, share))
			continue;
		/* It may have been collected since the list was made. */
		ret = catalog_packs(v->s->catalog, list[i] - 1, &known, 1, &n, v->err);
		if (ret == 0 && n == 1 && known.no == list[i])
			ret = verify_pack(v, &known);
		if (ret == 0)
			ret = keep_rate(v);
	}
	free(list);
	if (v->err->code == ERR_NONE && flush_checked(v) != 0)
		return -1;
	return ret;
}

/* -------------------------------------------------------------------- trees -- */

/* "; the first lies in pack 0000002a at 96", if that is known. */
static void
say_where(struct verify *v, const struct buf *data, const struct buf *meta, char *out,
    size_t cap)
{
	const struct buf *of = meta->len > 0 ? meta : data;
	struct chunk_id id;
	struct pack_loc loc;

	out[0] = '\0';
	memcpy(id.b, of->p, sizeof(id.b));
	if (store_bad_place(v->s, &id, &loc))
		(void)snprintf(out, cap, "; the first lies in pack %08x at %u", loc.pack,
		    loc.offset);
}

/* A large tree takes minutes: `tell` is asked five times a second. */
static int
go_on(void *arg, const struct chunk_id *id)
{
	struct verify *v = arg;
	struct timespec now;

	(void)id;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - v->heard.tv_sec) * 1000 +
		(now.tv_nsec - v->heard.tv_nsec) / 1000000 <
	    200)
		return 0;
	v->heard = now;
	return tell(v, NULL);
}

static int
verify_volume(
    struct verify *v, const struct store_point *p, const struct store_volume *vol)
{
	struct buf data = BUF_INIT(32 * 1024), meta = BUF_INIT(32 * 1024);
	struct store_check check = { .lease = v->lease,
		.checked = v->nodes,
		.node = go_on,
		.arg = v,
		.data_ids = &data,
		.meta_ids = &meta };
	char what[ERR_TEXT_MAX + 100] = "", where[64], line[sizeof(what) + 200];
	struct err why = ERR_INIT;
	struct store_volume found;
	int ret = 0;

	if (store_check_tree(&check, &vol->root_id, &found, &why) != 0) {
		if (why.code == ERR_CORRUPT) {
			(void)snprintf(what, sizeof(what), "%s", why.text);
		} else if (v->stopped) {
			ret = 1;
		} else {
			*v->err = why;
			ret = -1;
		}
	} else if (data.len + meta.len > 0) {
		say_where(v, &data, &meta, where, sizeof(where));
		(void)snprintf(what, sizeof(what),
		    "%s%zu chunks and %zu nodes are missing%s",
		    data.len == data.max || meta.len == meta.max ? "at least " : "",
		    data.len / CHUNK_ID_LEN, meta.len / CHUNK_ID_LEN, where);
	}
	if (what[0] != '\0') {
		if (v->hurt[0] == '\0')
			(void)snprintf(v->hurt, sizeof(v->hurt), "volume %s: %.180s",
			    vol->name, what);
		(void)snprintf(line, sizeof(line), "%s point %llu volume %s: %s", p->host,
		    (unsigned long long)p->sequence, vol->name, what);
		ret = tell(v, line);
	}
	buf_free(&data);
	buf_free(&meta);
	return ret;
}

/* Pin the point by a lease of its own: 1, 0 if it is no more, -1. */
static int
pin(struct verify *v, const struct store_point *p)
{
	struct store_point *again = malloc(sizeof(*again));
	struct err why = ERR_INIT;
	int ret = -1;

	if (again == NULL)
		return err_set(v->err, ERR_NOMEM, "no memory for a point");
	if (store_lease_open(v->s, "", STORE_READ, &v->lease, v->err) == 0) {
		ret = 1;
		if (store_lease_point(v->lease, p->host, p->sequence, again, &why) != 0) {
			ret = why.code == ERR_NOTFOUND ? 0 : -1;
			store_lease_close(v->lease);
			v->lease = NULL;
			if (ret < 0)
				*v->err = why;
		}
	}
	free(again);
	return ret;
}

/* Keep what was learned of a point, if it is news. */
static int
record_point(struct verify *v, const struct store_point *p)
{
	int hurt = v->hurt[0] != '\0', was, ret;
	struct journal_event *e;
	char why[STORE_TEXT_MAX];

	if ((was = catalog_hurt(v->s->catalog, p->host, p->sequence, why, v->err)) < 0)
		return -1;
	if (hurt ? was && strcmp(why, v->hurt) == 0 : p->time_us > v->oldest_us)
		return 0;
	if ((e = calloc(1, sizeof(*e))) == NULL)
		return err_set(v->err, ERR_NOMEM, "no memory for a journal record");
	e->type = hurt ? JOURNAL_HURT : JOURNAL_VERIFIED;
	(void)snprintf(e->u.mark.host, sizeof(e->u.mark.host), "%s", p->host);
	e->u.mark.sequence = p->sequence;
	e->u.mark.when_us = store_now(v->s);
	(void)snprintf(e->u.mark.text, sizeof(e->u.mark.text), "%s", v->hurt);
	ret = store_record(v->s, e, NULL, v->err);
	free(e);
	v->report->points_verified += ret == 0 && !hurt;
	return ret;
}

/* Whole is not right: that is said beside it. */
static int
count_suspect(struct verify *v, const struct store_point *p)
{
	char why[STORE_TEXT_MAX];
	int is = store_point_suspect(v->s, p->host, p->sequence, why, v->err);

	v->report->points_suspect += is > 0;
	return is < 0 ? -1 : 0;
}

static int
verify_point(void *arg, const struct store_point *p)
{
	struct verify *v = arg;
	int ret = 0, pinned;

	/* What it needs stays while it is looked at; one pruned since was not lost. */
	if ((pinned = pin(v, p)) <= 0)
		return pinned;
	v->hurt[0] = '\0';
	for (uint32_t i = 0; ret == 0 && i < p->volumes_count; i++)
		ret = verify_volume(v, p, &p->volumes[i]);
	store_lease_close(v->lease);
	v->lease = NULL;
	if (ret == 0)
		ret = record_point(v, p);
	if (ret == 0)
		ret = count_suspect(v, p);
	if (ret == 0) {
		v->report->points_checked++;
		ret = tell(v, NULL);
	}
	return ret;
}

/*
 * Since when have all packs been checked that were there when this run began?  Those
 * that came later hold what was proven later, too.
 */
static int
find_oldest(struct verify *v)
{
	struct catalog_check k, after;
	uint32_t n = 1;

	v->oldest_us = v->unread > 0 || !v->sealed ? INT64_MIN : v->began_us;
	for (int first = 1; n == 1; first = 0) {
		if (catalog_checks(v->s->catalog, INT64_MAX, first ? NULL : &after, &k, 1,
			&n, v->err) != 0)
			return -1;
		after = k;
		if (n == 1 && k.pack <= v->highest) {
			if (k.when_us < v->oldest_us)
				v->oldest_us = k.when_us;
			break;
		}
	}
	return 0;
}

static int
verify_trees(struct verify *v)
{
	int ret;

	if (find_oldest(v) != 0)
		return -1;
	v->nodes = store_nodes_new(1u << 20);
	if (v->nodes == NULL)
		return err_set(v->err, ERR_NOMEM, "no memory to check trees");
	ret = store_points(v->s, NULL, INT64_MAX, verify_point, v, v->err);
	store_nodes_free(v->nodes);
	return ret;
}

/* The catalog itself: what is not what was written is made anew, and said. */
static int
verify_catalog(struct verify *v)
{
	char line[ERR_TEXT_MAX + 60];
	struct err why = ERR_INIT;

	if (catalog_check(v->s->catalog, &why) == 0)
		return 0;
	if (why.code != ERR_CORRUPT) {
		*v->err = why;
		return -1;
	}
	(void)snprintf(line, sizeof(line), "%s: it was made anew", why.text);
	return tell(v, line);
}

/* So is the index; look-ups fail until then. */
static int
verify_index(struct verify *v)
{
	char line[ERR_TEXT_MAX + 60];
	struct err why = ERR_INIT;

	if (index_check(v->s->index, &why) == 0)
		return 0;
	if (why.code != ERR_CORRUPT && why.code != ERR_IO) {
		*v->err = why;
		return -1;
	}
	v->no_index = 1;
	(void)snprintf(
	    line, sizeof(line), "%s: restart the server, that makes it anew", why.text);
	return tell(v, line);
}

static int
verify_all(struct verify *v)
{
	const struct store_verify_options *o = v->o;
	double share = o->sample > 0 && o->sample < 1 ? o->sample : 1.0;
	uint64_t quarantines = atomic_load(&v->s->quarantines);
	struct store_stats stats = { 0 };
	int ret;

	int window = o->packs_max > 0 || o->bytes_max > 0;

	/*
	 * What is being filled is sealed first, so that it is checked as well.  Points
	 * of before lie in packs that are listed then.  Not for a window, of which
	 * there are many a day: they would leave as many small packs.  If that finds
	 * something bad no point is verified by it.
	 */
	v->began_us = store_now(v->s);
	v->sealed = !window || o->trees;
	if ((v->sealed && store_packs_seal(v->s->packs, v->err) != 0) ||
	    catalog_stats(v->s->catalog, &stats, v->err) != 0)
		return -1;
	v->report->bytes_total = (uint64_t)((double)stats.stored_bytes * share);
	if (o->bytes_max > 0 && v->report->bytes_total > o->bytes_max)
		v->report->bytes_total = o->bytes_max;
	ret = verify_catalog(v);
	if (ret == 0 && !window)
		ret = verify_index(v);
	if (ret == 0)
		ret = verify_packs(v, share);
	if (ret == 0 && !v->no_index && (o->trees || v->report->bad_groups > 0))
		ret = verify_trees(v);
	if (ret == 0 && o->trees && share == 1.0 && o->since_us == 0 &&
	    v->problems == 0 && !v->stopped && !window_ends(v)) {
		ret = store_release_unnamed(v->s, v->err);
		/* Nor what only this process knows of: nothing was lost meanwhile. */
		pthread_mutex_lock(&v->s->bad_lock);
		if (ret == 0 && atomic_load(&v->s->quarantines) == quarantines)
			v->s->unnamed = 0;
		pthread_mutex_unlock(&v->s->bad_lock);
	}
	return ret;
}

int
store_verify_with(struct store *s, const struct store_verify_options *o,
    int (*hear)(void *arg, const struct store_verify_report *r, const char *problem),
    void *arg, struct store_verify_report *out, struct err *err)
{
	struct verify v = {
		.s = s, .o = o, .report = out, .tell = hear, .arg = arg, .err = err
	};
	int ret;

	memset(out, 0, sizeof(*out));
	(void)clock_gettime(CLOCK_MONOTONIC, &v.began);
	if ((v.checked = calloc(1, sizeof(*v.checked))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to verify");
	v.checked->type = JOURNAL_CHECKED;
	ret = verify_all(&v);
	free(v.checked);
	free(v.bad);
	if (err->code != ERR_NONE)
		return -1;
	if (v.stopped)
		return err_set(err, ERR_CANCELED, "verify was stopped");
	return ret != 0 ? -1 : 0;
}

int
store_verify(struct store *s, double sample, int trees,
    int (*hear)(void *arg, const struct store_verify_report *r, const char *problem),
    void *arg, struct store_verify_report *out, struct err *err)
{
	const struct store_verify_options o = { .sample = sample, .trees = trees };

	return store_verify_with(s, &o, hear, arg, out, err);
}

int
store_point_hurt(struct store *s, const char *host, uint64_t sequence,
    char why[STORE_TEXT_MAX], struct err *err)
{
	return catalog_hurt(s->catalog, host, sequence, why, err);
}

int
store_points_hurt(struct store *s, const char *host, uint64_t *n, struct err *err)
{
	return catalog_hurt_count(s->catalog, host, n, err);
}
