#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/catalog.h"
#include "storage/gc_mutant.h"
#include "storage/index.h"
#include "storage/journal.h"
#include "storage/store_state.h"

/* Collects the chunks that a footer puts into one group. */
struct of_group {
	struct store *s;
	uint32_t offset;
	struct err *err;
};

static int
add_bad(void *arg, const struct pack_entry *e)
{
	struct of_group *g = arg;
	struct pack_entry *more;

	if (e->loc.offset != g->offset)
		return 0;
	more = realloc(g->s->bad, (g->s->bad_count + 1) * sizeof(*more));
	if (more == NULL)
		return err_set(g->err, ERR_NOMEM, "no memory for quarantined chunks");
	g->s->bad = more;
	g->s->bad[g->s->bad_count++] = *e;
	return 0;
}

/* The entries of an open pack's group; what cannot be read names nothing. */
static void
add_from_group(struct store *s, struct pack *p, uint32_t offset)
{
	struct pack_loc loc = { .pack = pack_no(p), .offset = offset };
	struct buf b = BUF_INIT(GROUP_LEN_MAX);
	struct err ignored = ERR_INIT;
	struct of_group to = { s, offset, &ignored };
	struct pack_entry *entries;
	struct group g;

	if (pack_read_group(p, &loc, NULL, 0, &b, &g, &ignored) == 0 &&
	    (entries = malloc(g.count * sizeof(*entries))) != NULL) {
		pack_entries(loc.pack, offset, &g, entries);
		for (uint32_t i = 0; i < g.count; i++)
			(void)add_bad(&to, &entries[i]);
		free(entries);
	}
	buf_free(&b);
}

/*
 * Note whose chunks are bad now: the footer is believed before the damaged
 * group, whose own word may be as damaged.  The index gives none of them either
 * way, but commits must know that there are more than are named.
 */
static void
note_bad(struct store *s, uint32_t pack, uint32_t offset)
{
	struct err ignored = ERR_INIT;
	struct of_group to = { s, offset, &ignored };
	struct pack *p = NULL;
	size_t before;

	(void)pack_open(s->fs, pack, s->of.store, &p, &ignored);
	/* Removed meanwhile.  What repair lost of a pack that it removed is at offset 0.
	 */
	if (p == NULL && offset != 0 && catalog_removed(s->catalog, pack, &ignored) > 0)
		return;
	pthread_mutex_lock(&s->bad_lock);
	before = s->bad_count;
	if (p == NULL || pack_each_entry(p, add_bad, &to, NULL, &ignored) != 0 ||
	    s->bad_count == before) {
		s->unnamed++;
		if (p != NULL)
			add_from_group(s, p, offset);
	}
	pthread_mutex_unlock(&s->bad_lock);
	pack_close(p);
}

int
store_lose_pack(struct store *s, uint32_t no, struct err *err)
{
	int gone = catalog_removed(s->catalog, no, err);

	/* Who looked for it has an old list: nobody needs it. */
	if (gone != 0)
		return gone < 0 ? -1 : 0;
	atomic_fetch_add(&s->quarantines, 1);
	if (index_forget_pack(s->index, no, err) != 0)
		return -1;
	atomic_fetch_add(&s->quarantines, 1);
	/* Or it went meanwhile. */
	if ((gone = catalog_removed(s->catalog, no, err)) != 0)
		return gone < 0 ? -1 : 0;
	pthread_mutex_lock(&s->bad_lock);
	s->unnamed++;
	pthread_mutex_unlock(&s->bad_lock);
	return 0;
}

int
store_lose_unnamed(struct store *s, uint32_t no, struct err *err)
{
	struct journal_event *e;
	int ret;

	if ((ret = catalog_removed(s->catalog, no, err)) != 0 ||
	    (ret = store_is_quarantined(s, no, 0, err)) != 0)
		return ret < 0 ? -1 : 0;
	if ((e = calloc(1, sizeof(*e))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_QUARANTINE;
	e->u.group.pack = no;
	atomic_fetch_add(&s->quarantines, 1);
	ret = store_record(s, e, NULL, err);
	/* Who began in between has not seen the record. */
	atomic_fetch_add(&s->quarantines, 1);
	free(e);
	pthread_mutex_lock(&s->bad_lock);
	s->unnamed++;
	pthread_mutex_unlock(&s->bad_lock);
	return ret;
}

int
store_lost_unnamed(struct store *s)
{
	int lost;

	pthread_mutex_lock(&s->bad_lock);
	lost = s->unnamed > 0 || s->lost_packs > 0;
	pthread_mutex_unlock(&s->bad_lock);
	return lost;
}

int
store_release_unnamed(struct store *s, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	struct journal_group page[64], last;
	const struct journal_group *after = NULL;
	uint32_t n = 64;
	int ret = 0;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_RELEASE;
	while (ret == 0 && n == 64) {
		ret = catalog_quarantined(s->catalog, after, page, 64, &n, err);
		for (uint32_t i = 0; ret == 0 && i < n; i++) {
			/* No group is at 0: recovery left one out and did not know which.
			 */
			if (page[i].offset != 0)
				continue;
			e->u.group = page[i];
			if ((ret = store_record(s, e, NULL, err)) != 0)
				break;
			pthread_mutex_lock(&s->bad_lock);
			if (s->unnamed > 0)
				s->unnamed--;
			pthread_mutex_unlock(&s->bad_lock);
		}
		if (n > 0) {
			last = page[n - 1];
			after = &last;
		}
	}
	free(e);
	return ret != 0 ? -1 : 0;
}

int
store_is_quarantined(struct store *s, uint32_t pack, uint32_t offset, struct err *err)
{
	const struct journal_group before = { offset > 0 ? pack : pack - 1,
		offset > 0 ? offset - 1 : UINT32_MAX };
	struct journal_group found;
	uint32_t n;

	if (catalog_quarantined(s->catalog, &before, &found, 1, &n, err) != 0)
		return -1;
	return n == 1 && found.pack == pack && found.offset == offset;
}

static int
lies_at(const struct pack_entry *e, uint32_t pack, uint32_t offset)
{
	return e->loc.pack == pack && e->loc.offset == offset;
}

int
store_release_group(struct store *s, uint32_t pack, uint32_t offset, struct err *err)
{
	struct journal_event *e;
	size_t kept = 0;
	int ret;

	if ((e = calloc(1, sizeof(*e))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_RELEASE;
	e->u.group.pack = pack;
	e->u.group.offset = offset;
	/* Recorded first: opened again, the store must not find it half released. */
	ret = store_record(s, e, NULL, err);
	free(e);
	if (ret != 0 || index_release(s->index, pack, offset, err) != 0)
		return -1;
	pthread_mutex_lock(&s->bad_lock);
	for (size_t i = 0; i < s->bad_count; i++)
		if (!lies_at(&s->bad[i], pack, offset))
			s->bad[kept++] = s->bad[i];
	s->bad_count = kept;
	pthread_mutex_unlock(&s->bad_lock);
	return 0;
}

int
store_is_healed(struct store *s, uint32_t pack, uint32_t offset, struct err *err)
{
	struct index_hit hit;
	int found = 0, healed = 1;

	pthread_mutex_lock(&s->bad_lock);
	for (size_t i = 0; healed > 0 && i < s->bad_count; i++) {
		if (!lies_at(&s->bad[i], pack, offset))
			continue;
		found = 1;
		if (index_lookup(s->index, &s->bad[i].id, 1, &hit, err) != 0)
			healed = -1;
		else if (hit.loc.pack == 0)
			healed = 0;
	}
	pthread_mutex_unlock(&s->bad_lock);
	return found || healed < 0 ? healed : 0;
}

int
store_bad_place(struct store *s, const struct chunk_id *id, struct pack_loc *out)
{
	int found = 0;

	pthread_mutex_lock(&s->bad_lock);
	for (size_t i = 0; !found && i < s->bad_count; i++)
		if (chunk_id_cmp(&s->bad[i].id, id) == 0) {
			*out = s->bad[i].loc;
			found = 1;
		}
	pthread_mutex_unlock(&s->bad_lock);
	return found;
}

int
store_quarantine(struct store *s, uint32_t pack, uint32_t offset, struct err *err)
{
	struct err ignored = ERR_INIT;
	struct journal_event *e;
	int ret;

	if ((ret = catalog_removed(s->catalog, pack, err)) != 0 ||
	    (ret = store_is_quarantined(s, pack, offset, err)) != 0)
		return ret < 0 ? -1 : 0;
	/*
	 * Named before it is hidden: who collects and does not find the chunk must know
	 * which pack has what is left of it.
	 */
	if (GC_HOLDS(GC_NAMED_FIRST))
		note_bad(s, pack, offset);
	/*
	 * Counted before, so that no file is removed while this goes on, and after:
	 * who begins to mark in between finds the group still good.
	 */
	atomic_fetch_add(&s->quarantines, 1);
	/* In the index first: from here on nobody is told that it is there. */
	if (index_quarantine(s->index, pack, offset, err) != 0)
		return -1;
	atomic_fetch_add(&s->quarantines, 1);
	store_pause(s, STORE_PAUSE_QUARANTINE);
	if ((e = calloc(1, sizeof(*e))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_QUARANTINE;
	e->u.group.pack = pack;
	e->u.group.offset = offset;
	ret = store_record(s, e, NULL, err);
	free(e);
	if (!GC_HOLDS(GC_NAMED_FIRST))
		note_bad(s, pack, offset);
	/* The collector may have removed it meanwhile: then nothing is lost. */
	if (catalog_removed(s->catalog, pack, &ignored) > 0)
		store_forget_bad(s, pack);
	return ret;
}

void
store_forget_bad(struct store *s, uint32_t no)
{
	struct err ignored = ERR_INIT;
	uint32_t last = 0;
	size_t kept = 0;

	pthread_mutex_lock(&s->bad_lock);
	for (size_t i = 0; i < s->bad_count; i++) {
		const struct pack_entry *e = &s->bad[i];

		if (e->loc.pack != no) {
			s->bad[kept++] = *e;
			continue;
		}
		/* If it stays in the index's list, it is of a number that is never used.
		 */
		if (e->loc.offset != last)
			(void)index_release(s->index, no, e->loc.offset, &ignored);
		err_clear(&ignored);
		last = e->loc.offset;
	}
	s->bad_count = kept;
	pthread_mutex_unlock(&s->bad_lock);
}

/* Is a group whole?  Not if its pack is not. */
static int
is_whole(struct store *s, const struct index_bad_group *b)
{
	struct buf bytes = BUF_INIT(GROUP_LEN_MAX);
	struct err ignored = ERR_INIT;
	struct pack *p = NULL;
	struct group g;
	int whole = pack_open(s->fs, b->pack, s->of.store, &p, &ignored) == 0 &&
		    pack_copy_group(p, b->offset, &bytes, &g, &ignored) == 0;

	pack_close(p);
	buf_free(&bytes);
	return whole;
}

/*
 * Groups that only the index has in quarantine: a crash came between it and the record
 * of their being bad, or good again.  Looking at them says which.
 */
static int
settle_bad(struct store *s, struct err *err)
{
	struct index_bad_group b = { 0, 0 };
	int is;

	while (index_next_bad(s->index, &b)) {
		if ((is = store_is_quarantined(s, b.pack, b.offset, err)) < 0)
			return -1;
		if (is)
			continue;
		if ((is = catalog_removed(s->catalog, b.pack, err)) < 0)
			return -1;
		/* No group is at 0: that was a loss without a name, which is released. */
		if (is || b.offset == 0 || is_whole(s, &b)) {
			if (index_release(s->index, b.pack, b.offset, err) != 0)
				return -1;
		} else if (store_quarantine(s, b.pack, b.offset, err) != 0)
			return -1;
	}
	return 0;
}

int
store_load_bad(struct store *s, struct err *err)
{
	struct journal_group page[64], last = { 0, 0 };
	struct index_stats stats;
	uint32_t n, all;
	int again;

	/* Told once, the index keeps them; one made anew has forgotten all. */
	index_stats(s->index, &stats);
	for (again = 0; again < 2; again++) {
		const struct journal_group *after = NULL;

		all = 0;
		do {
			if (catalog_quarantined(s->catalog, after, page, 64, &n, err) !=
			    0)
				return -1;
			for (uint32_t i = 0; again && i < n; i++) {
				if (index_quarantine(
					s->index, page[i].pack, page[i].offset, err) != 0)
					return -1;
			}
			for (uint32_t i = 0; !again && i < n; i++)
				note_bad(s, page[i].pack, page[i].offset);
			all += n;
			if (n > 0) {
				last = page[n - 1];
				after = &last;
			}
		} while (n == 64);
		if (all <= stats.quarantined)
			break;
	}
	/* More or as many: some may not be the catalog's. */
	return stats.quarantined > 0 ? settle_bad(s, err) : 0;
}

static int
cmp_id(const void *a, const void *b)
{
	return chunk_id_cmp(a, b);
}

int
store_bad_ids(struct store *s, struct chunk_id **ids, size_t *n, struct err *err)
{
	struct chunk_id *all = NULL;
	struct index_hit hit;
	size_t count = 0;
	int failed = 0;

	*ids = NULL;
	*n = 0;
	pthread_mutex_lock(&s->bad_lock);
	if (s->bad_count > 0 && (all = malloc(s->bad_count * sizeof(*all))) == NULL)
		failed = err_set(err, ERR_NOMEM, "no memory for quarantined chunks");
	for (size_t i = 0; !failed && i < s->bad_count; i++) {
		failed = index_lookup(s->index, &s->bad[i].id, 1, &hit, err) != 0;
		/* Another copy has healed it. */
		if (!failed && hit.loc.pack == 0)
			all[count++] = s->bad[i].id;
	}
	pthread_mutex_unlock(&s->bad_lock);
	if (failed || count == 0) {
		free(all);
		return failed ? -1 : 0;
	}
	qsort(all, count, sizeof(*all), cmp_id);
	*ids = all;
	*n = count;
	return 0;
}
