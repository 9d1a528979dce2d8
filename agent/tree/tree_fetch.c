#include "agent/tree/tree_fetch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tree/group_cache.h"
#include "agent/tree/tree_link.h"
#include "agent/tree/tree_nodes.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/net/channel.h"
#include "proto/wire/frame.h"

#define CODECS_MAX 16u

/* Ids that somebody is asking for, sorted. */
struct request {
	struct request *next;
	const struct chunk_id *ids;
	size_t n;
};

struct tree_fetch {
	struct tree_link *link;
	struct group_cache *cache;
	pthread_mutex_t lock; /* Guards all below; the cache's comes after it. */
	pthread_cond_t came;  /* A group, or the end of a request. */
	struct request *requests;
	struct codec *codecs[CODECS_MAX]; /* That nobody uses. */
	unsigned codecs_n;
	struct tree_fetch_counts counts;
};

struct tree_fetch *
tree_fetch_new(struct tree_link *l, struct group_cache *c)
{
	struct tree_fetch *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->link = l;
	f->cache = c;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->came, NULL);
	return f;
}

void
tree_fetch_free(struct tree_fetch *f)
{
	if (f == NULL)
		return;
	while (f->codecs_n > 0)
		codec_free(f->codecs[--f->codecs_n]);
	pthread_cond_destroy(&f->came);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void
tree_fetch_count(struct tree_fetch *f, struct tree_fetch_counts *out)
{
	pthread_mutex_lock(&f->lock);
	*out = f->counts;
	pthread_mutex_unlock(&f->lock);
}

static struct codec *
codec_take(struct tree_fetch *f)
{
	struct codec *c = NULL;

	pthread_mutex_lock(&f->lock);
	if (f->codecs_n > 0)
		c = f->codecs[--f->codecs_n];
	pthread_mutex_unlock(&f->lock);
	return c != NULL ? c : codec_new();
}

static void
codec_give(struct tree_fetch *f, struct codec *c)
{
	pthread_mutex_lock(&f->lock);
	if (f->codecs_n < CODECS_MAX) {
		f->codecs[f->codecs_n++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&f->lock);
	codec_free(c);
}

/* ------------------------------------------------------------ who asks for what -- */

static int
by_id(const void *a, const void *b)
{
	return chunk_id_cmp(a, b);
}

static int
piece_by_id(const void *a, const void *b)
{
	return chunk_id_cmp(
	    &((const struct tree_piece *)a)->id, &((const struct tree_piece *)b)->id);
}

static int
asked_for(const struct tree_fetch *f, const struct chunk_id *id)
{
	const struct request *r;

	for (r = f->requests; r != NULL; r = r->next)
		if (bsearch(id, r->ids, r->n, sizeof(*id), by_id) != NULL)
			return 1;
	return 0;
}

static void
request_end(struct tree_fetch *f, struct request *r)
{
	struct request **at = &f->requests;

	pthread_mutex_lock(&f->lock);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	pthread_cond_broadcast(&f->came);
	pthread_mutex_unlock(&f->lock);
}

/* --------------------------------------------------------------- one request -- */

struct asking {
	struct tree_fetch *f;
	struct codec *codec;
	struct tree_piece *pieces; /* By id; may be none. */
	size_t n;
};

static void
copy_piece(struct tree_piece *p, const uint8_t *chunk)
{
	memcpy(p->to, chunk + p->chunk_offset, p->len);
	p->to = NULL;
}

static void
on_chunk(void *arg, const struct chunk_id *id, const uint8_t *bytes, size_t len)
{
	struct asking *a = arg;
	size_t low = 0, high = a->n, mid;

	/* The first piece of this chunk, if there is one. */
	while (low < high) {
		mid = low + (high - low) / 2;
		if (chunk_id_cmp(&a->pieces[mid].id, id) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < a->n && chunk_id_cmp(&a->pieces[low].id, id) == 0; low++)
		if (a->pieces[low].to != NULL && a->pieces[low].chunk_len == len)
			copy_piece(&a->pieces[low], bytes);
}

static int
on_group(void *arg, const struct channel_frame *f, struct err *err)
{
	struct asking *a = arg;

	if (f == NULL)
		return 1;
	if (f->kind == MSG_GROUPS_END)
		return 0;
	if (f->kind != MSG_GROUP)
		return err_set(
		    err, ERR_PROTOCOL, "%s where a group was due", msg_name(f->kind));
	if (group_cache_take(a->f->cache, tree_link_keys(a->f->link), a->codec,
		f->payload, f->len, on_chunk, a, err) != 0)
		return -1;
	pthread_mutex_lock(&a->f->lock);
	a->f->counts.groups++;
	a->f->counts.received_bytes += f->len;
	pthread_cond_broadcast(&a->f->came);
	pthread_mutex_unlock(&a->f->lock);
	return 1;
}

/* Ask for these ids, or with none for all of the span. */
static int
ask(struct tree_fetch *f, const struct tree_of *of, uint64_t span, int ahead,
    const struct chunk_id *ids, size_t n, struct tree_piece *pieces, size_t pieces_n,
    struct err *err)
{
	Wire__GetGroups m = WIRE__GET_GROUPS__INIT;
	struct asking a = { f, codec_take(f), pieces, pieces_n };
	int rc;

	if (a.codec == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	m.host = (char *)(uintptr_t)of->host;
	m.sequence = of->sequence;
	m.volume = of->volume;
	m.first_span = span;
	m.spans = 1;
	m.ids.data = (uint8_t *)(uintptr_t)ids;
	m.ids.len = n * sizeof(*ids);
	rc = tree_link_ask(f->link, ahead, &m.base, on_group, &a, err);
	codec_give(f, a.codec);
	return rc;
}

/* -------------------------------------------------------------------- pieces -- */

static int
cached(struct tree_fetch *f, struct tree_piece *p)
{
	const uint8_t *bytes;
	struct group_held *g = group_cache_find(f->cache, &p->id, p->chunk_len, &bytes);

	if (g == NULL)
		return 0;
	copy_piece(p, bytes);
	group_cache_drop(f->cache, g);
	return 1;
}

int
tree_fetch_cached(struct tree_fetch *f, struct tree_piece *p)
{
	int was = cached(f, p);

	pthread_mutex_lock(&f->lock);
	f->counts.hits += was != 0;
	f->counts.misses += was == 0;
	pthread_mutex_unlock(&f->lock);
	return was;
}

/*
 * With the lock held: take what has come; wait while all that is still lacking is
 * being asked for by others; name what nobody asks for.  Returns how many ids.
 */
static size_t
wanted(struct tree_fetch *f, struct tree_piece *pieces, size_t n, struct chunk_id *ids)
{
	for (;;) {
		size_t count = 0, waiting = 0;

		for (size_t i = 0; i < n; i++) {
			struct tree_piece *p = &pieces[i];

			if (p->to == NULL || cached(f, p))
				continue;
			if (asked_for(f, &p->id))
				waiting++;
			else if (count == 0 || chunk_id_cmp(&ids[count - 1], &p->id) != 0)
				ids[count++] = p->id;
		}
		if (count > 0 || waiting == 0)
			return count;
		pthread_cond_wait(&f->came, &f->lock);
	}
}

/* What was asked for and is not there is lost. */
static int
all_there(const struct chunk_id *ids, size_t n, const struct tree_piece *pieces,
    size_t pieces_n, struct err *err)
{
	size_t lost = 0;

	for (size_t i = 0; i < pieces_n; i++)
		lost += pieces[i].to != NULL &&
			bsearch(&pieces[i].id, ids, n, sizeof(*ids), by_id) != NULL;
	if (lost > 0)
		return err_set(err, ERR_CORRUPT,
		    "the store has lost chunks of this volume: %zu that are needed here",
		    lost);
	return 0;
}

int
tree_fetch_pieces(struct tree_fetch *f, const struct tree_of *of, uint64_t span,
    struct tree_piece *pieces, size_t n, struct err *err)
{
	struct chunk_id *ids = malloc(n * sizeof(*ids));
	struct request mine;
	int rc = 0;

	if (ids == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	qsort(pieces, n, sizeof(*pieces), piece_by_id);
	while (rc == 0) {
		pthread_mutex_lock(&f->lock);
		mine.ids = ids;
		mine.n = wanted(f, pieces, n, ids);
		if (mine.n > 0) {
			mine.next = f->requests;
			f->requests = &mine;
		}
		pthread_mutex_unlock(&f->lock);
		if (mine.n == 0)
			break;
		rc = ask(f, of, span, 0, ids, mine.n, pieces, n, err);
		request_end(f, &mine);
		if (rc == 0)
			rc = all_there(ids, mine.n, pieces, n, err);
	}
	free(ids);
	return rc;
}

/* --------------------------------------------------------------------- ahead -- */

/* The ids of a leaf, sorted, each once. */
static size_t
leaf_ids(const struct tree_node *leaf, struct chunk_id *ids)
{
	size_t n = 0, kept = 0;

	for (uint32_t i = 0; i < leaf->count; i++)
		if (leaf->extents[i].kind == EXTENT_DATA)
			ids[n++] = leaf->extents[i].id;
	qsort(ids, n, sizeof(*ids), by_id);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || chunk_id_cmp(&ids[kept - 1], &ids[i]) != 0)
			ids[kept++] = ids[i];
	return kept;
}

int
tree_fetch_ahead(struct tree_fetch *f, const struct tree_of *of, uint64_t span,
    const struct tree_node *leaf, struct err *err)
{
	struct chunk_id *ids = malloc((leaf->count + 1) * sizeof(*ids));
	struct request mine = { NULL, ids, 0 };
	size_t all, n = 0;
	int rc = 0;

	if (ids == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	all = leaf_ids(leaf, ids);
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < all; i++)
		if (!group_cache_has(f->cache, &ids[i]) && !asked_for(f, &ids[i]))
			ids[n++] = ids[i];
	if (n > 0) {
		mine.n = n;
		mine.next = f->requests;
		f->requests = &mine;
	}
	pthread_mutex_unlock(&f->lock);
	for (size_t at = 0; at < n && rc == 0; at += MSG_IDS_MAX) {
		size_t some = n - at < MSG_IDS_MAX ? n - at : MSG_IDS_MAX;

		/* A whole span needs no names. */
		rc = n == all ? ask(f, of, span, 1, NULL, 0, NULL, 0, err)
			      : ask(f, of, span, 1, ids + at, some, NULL, 0, err);
		if (n == all)
			break;
	}
	if (n > 0)
		request_end(f, &mine);
	free(ids);
	return rc;
}
