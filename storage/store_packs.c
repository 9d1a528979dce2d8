#include "storage/store_packs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/index.h"
#include "storage/journal_record.h"
#include "storage/lease.h"
#include "storage/pack.h"
#include "storage/store.h"
#include "storage/store_heads.h"

/* A group that is in its pack and not yet durable. */
struct batch {
	struct batch *next;
	uint64_t owner;
	size_t n;
	uint64_t len; /* Bytes. */
	struct pack_entry entries[];
};

/* A pack being filled or sealed. */
struct filling {
	struct filling *next;
	struct pack_writer *w;
	enum chunk_kind kind;
	pthread_mutex_t sync; /* One at a time syncs or seals.  Before sp->lock. */
	/* Under sp->lock: */
	unsigned users;
	struct batch *unsynced;
	uint64_t end;			/* Sync up to here for all of them. */
	uint64_t chunks, plain, stored; /* In it; zeros once it was reported. */
	int stuck; /* Can be neither filled nor sealed; kept until the end. */
};

struct store_packs {
	struct store_packs_config config;
	pthread_mutex_t lock;
	pthread_cond_t left; /* A user left a pack. */
	struct filling *all;
	struct filling *current[CHUNK_META + 1];
	uint32_t next_no;
	uint64_t unsynced; /* Bytes. */
	uint64_t failures;
};

struct store_packs *
store_packs_new(const struct store_packs_config *config)
{
	struct store_packs *sp = calloc(1, sizeof(*sp));

	if (sp == NULL)
		return NULL;
	sp->config = *config;
	sp->next_no = config->next_no;
	pthread_mutex_init(&sp->lock, NULL);
	pthread_cond_init(&sp->left, NULL);
	return sp;
}

/* ------------------------------------------------------------ one pack's life -- */

/* Start the next pack of a kind; `lock` is held. */
static struct filling *
start_locked(struct store_packs *sp, enum chunk_kind kind, struct err *err)
{
	struct filling *f = calloc(1, sizeof(*f));

	if (f == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a pack");
		return NULL;
	}
	/* A number is used up even if this fails: a file may have been left. */
	if (pack_writer_open(
		sp->config.fs, sp->next_no++, kind, sp->config.store, &f->w, err) != 0) {
		free(f);
		return NULL;
	}
	pack_writer_parity(f->w, sp->config.parity);
	f->kind = kind;
	pthread_mutex_init(&f->sync, NULL);
	f->next = sp->all;
	sp->all = f;
	sp->current[kind] = f;
	return f;
}

static struct filling *
enter(struct store_packs *sp, enum chunk_kind kind, struct err *err)
{
	struct filling *f;

	pthread_mutex_lock(&sp->lock);
	f = sp->current[kind];
	if (f == NULL)
		f = start_locked(sp, kind, err);
	if (f != NULL)
		f->users++;
	pthread_mutex_unlock(&sp->lock);
	return f;
}

static void
leave(struct store_packs *sp, struct filling *f)
{
	pthread_mutex_lock(&sp->lock);
	f->users--;
	pthread_cond_broadcast(&sp->left);
	pthread_mutex_unlock(&sp->lock);
}

/* Nobody fills `f` from now on; non-zero for the one caller who must retire it. */
static int
detach(struct store_packs *sp, struct filling *f)
{
	int ours;

	pthread_mutex_lock(&sp->lock);
	ours = sp->current[f->kind] == f;
	if (ours)
		sp->current[f->kind] = NULL;
	pthread_mutex_unlock(&sp->lock);
	return ours;
}

/* Let others find the chunks, in this order: indexed first, then unclaimed. */
static int
publish(struct store_packs *sp, struct batch *b, int durable, struct err *err)
{
	struct batch *next;
	int failed = !durable;

	for (; b != NULL; b = next) {
		next = b->next;
		if (!failed)
			failed = index_add(sp->config.index, b->entries, b->n, err) != 0;
		for (size_t i = 0; i < b->n; i++)
			lease_drop(sp->config.claims, b->owner, b->entries[i].kind,
			    &b->entries[i].id);
		pthread_mutex_lock(&sp->lock);
		sp->unsynced -= b->len;
		pthread_mutex_unlock(&sp->lock);
		free(b);
	}
	if (failed) {
		pthread_mutex_lock(&sp->lock);
		sp->failures++;
		pthread_mutex_unlock(&sp->lock);
	}
	return failed ? -1 : 0;
}

uint64_t
store_packs_failures(struct store_packs *sp)
{
	uint64_t n;

	pthread_mutex_lock(&sp->lock);
	n = sp->failures;
	pthread_mutex_unlock(&sp->lock);
	return n;
}

/* Sync one pack; f->sync is held. */
static int
sync_held(struct store_packs *sp, struct filling *f, struct err *err)
{
	struct batch *batches;
	uint64_t end;
	int durable;

	pthread_mutex_lock(&sp->lock);
	batches = f->unsynced;
	f->unsynced = NULL;
	end = f->end;
	pthread_mutex_unlock(&sp->lock);
	if (batches == NULL)
		return 0;
	durable = pack_writer_sync(f->w, end, err) == 0;
	if (durable && sp->config.heads != NULL)
		store_heads_note(
		    sp->config.heads, (int)f->kind, pack_writer_no(f->w), end);
	if (publish(sp, batches, durable, err) == 0)
		return 0;
	/* What is in this pack is in doubt: the next group starts another. */
	pthread_mutex_lock(&sp->lock);
	if (sp->current[f->kind] == f)
		sp->current[f->kind] = NULL;
	f->stuck = 1;
	pthread_mutex_unlock(&sp->lock);
	return -1;
}

/* Tell what the sealed pack holds; failing that, the next opening will. */
static void
report(struct store_packs *sp, uint32_t no, enum chunk_kind kind)
{
	struct err ignored = ERR_INIT;
	struct journal_pack found = { .no = no, .kind = (uint8_t)kind };
	struct pack_stats stats;
	struct pack *p;

	if (sp->config.sealed == NULL ||
	    pack_open(sp->config.fs, no, sp->config.store, &p, &ignored) != 0)
		return;
	if (pack_each_entry(p, NULL, NULL, &stats, &ignored) == 0) {
		found.chunks = stats.chunks;
		found.groups = stats.groups;
		found.plain = stats.plain;
		found.stored = stats.stored;
		sp->config.sealed(sp->config.arg, &found);
	}
	pack_close(p);
}

static void
wait_alone(struct store_packs *sp, struct filling *f)
{
	pthread_mutex_lock(&sp->lock);
	while (f->users > 0)
		pthread_cond_wait(&sp->left, &sp->lock);
	pthread_mutex_unlock(&sp->lock);
}

/* Take it from the list once nobody stands on it: they go on by its `next`. */
static void
unlink_filling(struct store_packs *sp, struct filling *f)
{
	struct filling **link;

	pthread_mutex_lock(&sp->lock);
	while (f->users > 0)
		pthread_cond_wait(&sp->left, &sp->lock);
	for (link = &sp->all; *link != f; link = &(*link)->next)
		continue;
	*link = f->next;
	pthread_mutex_unlock(&sp->lock);
}

static void
free_filling(struct filling *f)
{
	pack_writer_free(f->w);
	pthread_mutex_destroy(&f->sync);
	free(f);
}

/*
 * End a detached pack: its last groups become durable and found, then it is
 * sealed.  If sealing fails, nothing is lost: the file stays as it is, readable,
 * and the next opening of the store seals it.
 */
static int
retire(struct store_packs *sp, struct filling *f, struct err *err)
{
	uint32_t no = pack_writer_no(f->w);
	int failed, empty;

	wait_alone(sp, f);
	pthread_mutex_lock(&f->sync);
	failed = sync_held(sp, f, err) != 0;
	empty = pack_writer_groups(f->w) == 0;
	if (!failed)
		failed = f->stuck || pack_writer_seal(f->w, err) != 0;
	pthread_mutex_unlock(&f->sync);
	if (failed) {
		pthread_mutex_lock(&sp->lock);
		f->stuck = 1;
		pthread_mutex_unlock(&sp->lock);
		return -1;
	}
	if (!empty) {
		index_pack_done(sp->config.index, no);
		pthread_mutex_lock(&sp->lock);
		f->chunks = f->plain = f->stored = 0;
		pthread_mutex_unlock(&sp->lock);
		report(sp, no, f->kind);
	}
	unlink_filling(sp, f);
	free_filling(f);
	return 0;
}

/* -------------------------------------------------------------------- calls -- */

static struct batch *
batch_new(uint64_t owner, const struct group *g)
{
	struct batch *b = malloc(sizeof(*b) + g->count * sizeof(b->entries[0]));

	if (b != NULL) {
		b->owner = owner;
		b->n = g->count;
		b->len = g->len;
	}
	return b;
}

/* The group of `b` lies at `offset`: from here on a sync includes it. */
static int
note_put(struct store_packs *sp, struct filling *f, struct batch *b, uint32_t plain,
    uint64_t end)
{
	int much;

	for (size_t i = 0; i < b->n; i++)
		lease_put(
		    sp->config.claims, b->owner, b->entries[i].kind, &b->entries[i].id);
	pthread_mutex_lock(&sp->lock);
	b->next = f->unsynced;
	f->unsynced = b;
	if (end > f->end)
		f->end = end;
	f->chunks += b->n;
	f->plain += plain;
	f->stored += b->len;
	sp->unsynced += b->len;
	much = sp->unsynced >= STORE_PACKS_UNSYNCED_MAX;
	pthread_mutex_unlock(&sp->lock);
	return much;
}

int
store_packs_put(struct store_packs *sp, uint64_t owner, const struct group *g,
    uint32_t *no, struct err *err)
{
	struct batch *b = batch_new(owner, g);
	struct err aside = ERR_INIT;
	enum pack_append r = PACK_FULL;
	struct filling *f;
	uint32_t offset;
	uint64_t end;
	int much = 0;

	if (b == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a group");
	/* Full again and again only if others fill each new pack first. */
	for (int tries = 0; r == PACK_FULL && tries < 1000; tries++) {
		if ((f = enter(sp, g->kind, err)) == NULL) {
			free(b);
			return -1;
		}
		r = pack_writer_append(f->w, g, &offset, &end, err);
		if (r == PACK_APPENDED) {
			pack_entries(pack_writer_no(f->w), offset, g, b->entries);
			if (no != NULL)
				*no = pack_writer_no(f->w);
			much = note_put(sp, f, b, g->plain_len, end);
		}
		leave(sp, f);
		/* A pack in doubt goes the same way; what it held is then given up. */
		if ((r == PACK_FULL || (r == PACK_FAILED && err->code == ERR_IO)) &&
		    detach(sp, f)) {
			(void)retire(sp, f, &aside);
			err_clear(&aside);
		}
	}
	if (r != PACK_APPENDED) {
		free(b);
		if (r == PACK_FULL)
			return err_set(err, ERR_BUSY, "no pack takes the group");
		return -1;
	}
	return much ? store_packs_sync(sp, err) : 0;
}

int
store_packs_sync(struct store_packs *sp, struct err *err)
{
	struct filling *f, *next;
	struct err first = ERR_INIT;
	int failed = 0;

	pthread_mutex_lock(&sp->lock);
	for (f = sp->all; f != NULL; f = next) {
		f->users++;
		pthread_mutex_unlock(&sp->lock);
		/* Whoever syncs it now has what was put before: wait for that too. */
		pthread_mutex_lock(&f->sync);
		err_clear(&first);
		if (sync_held(sp, f, &first) != 0 && !failed) {
			*err = first;
			failed = 1;
		}
		pthread_mutex_unlock(&f->sync);
		pthread_mutex_lock(&sp->lock);
		next = f->next;
		f->users--;
		pthread_cond_broadcast(&sp->left);
	}
	pthread_mutex_unlock(&sp->lock);
	return failed ? -1 : 0;
}

void
store_packs_count(struct store_packs *sp, struct store_stats *stats)
{
	pthread_mutex_lock(&sp->lock);
	for (const struct filling *f = sp->all; f != NULL; f = f->next) {
		stats->packs += f->chunks > 0;
		stats->chunks += f->chunks;
		stats->unique_bytes += f->plain;
		stats->stored_bytes += f->stored;
	}
	pthread_mutex_unlock(&sp->lock);
}

int
store_packs_seal(struct store_packs *sp, struct err *err)
{
	struct filling *f;

	for (int kind = CHUNK_DATA; kind <= CHUNK_META; kind++) {
		pthread_mutex_lock(&sp->lock);
		f = sp->current[kind];
		sp->current[kind] = NULL;
		pthread_mutex_unlock(&sp->lock);
		if (f != NULL && retire(sp, f, err) != 0)
			return -1;
	}
	return 0;
}

void
store_packs_free(struct store_packs *sp)
{
	struct err ignored = ERR_INIT;
	struct filling *f, *next;

	if (sp == NULL)
		return;
	for (int kind = CHUNK_DATA; kind <= CHUNK_META; kind++) {
		f = sp->current[kind];
		sp->current[kind] = NULL;
		err_clear(&ignored);
		if (f != NULL)
			(void)retire(sp, f, &ignored);
	}
	for (f = sp->all; f != NULL; f = next) {
		next = f->next;
		err_clear(&ignored);
		(void)publish(sp, f->unsynced, 0, &ignored);
		free_filling(f);
	}
	pthread_cond_destroy(&sp->left);
	pthread_mutex_destroy(&sp->lock);
	free(sp);
}
