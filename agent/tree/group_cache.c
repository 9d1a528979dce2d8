#include "agent/tree/group_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/group.h"

#define CHUNK_TYPICAL (64u * 1024)

struct entry {
	struct chunk_id id;
	uint32_t offset, len;
	struct group_held *group;
	struct entry *next; /* In its bucket. */
};

struct group_held {
	struct group_held *newer, *older;
	uint8_t *plain;
	struct entry *entries;
	uint32_t count;
	unsigned refs; /* The cache itself has one. */
	size_t bytes;
};

struct group_cache {
	pthread_mutex_t lock; /* Guards all below and in groups. */
	struct entry **buckets;
	size_t mask;
	struct group_held *newest, *oldest;
	size_t bytes, max, most;
};

struct group_cache *
group_cache_new(size_t max)
{
	struct group_cache *c = calloc(1, sizeof(*c));
	size_t buckets = 1024;

	if (c == NULL)
		return NULL;
	while (buckets < max / CHUNK_TYPICAL * 2)
		buckets *= 2;
	if ((c->buckets = calloc(buckets, sizeof(*c->buckets))) == NULL) {
		free(c);
		return NULL;
	}
	c->mask = buckets - 1;
	c->max = max;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void
group_free(struct group_held *g)
{
	if (g == NULL)
		return;
	free(g->plain);
	free(g->entries);
	free(g);
}

void
group_cache_free(struct group_cache *c)
{
	struct group_held *g, *older;

	if (c == NULL)
		return;
	for (g = c->newest; g != NULL; g = older) {
		older = g->older;
		group_free(g);
	}
	pthread_mutex_destroy(&c->lock);
	free(c->buckets);
	free(c);
}

static struct entry **
bucket(struct group_cache *c, const struct chunk_id *id)
{
	uint64_t h;

	memcpy(&h, id->b, sizeof(h));
	return &c->buckets[h & c->mask];
}

static struct entry *
lookup(struct group_cache *c, const struct chunk_id *id)
{
	struct entry *e = *bucket(c, id);

	while (e != NULL && chunk_id_cmp(&e->id, id) != 0)
		e = e->next;
	return e;
}

static void
unlink_group(struct group_cache *c, struct group_held *g)
{
	*(g->newer != NULL ? &g->newer->older : &c->newest) = g->older;
	*(g->older != NULL ? &g->older->newer : &c->oldest) = g->newer;
	g->newer = g->older = NULL;
}

static void
link_newest(struct group_cache *c, struct group_held *g)
{
	g->older = c->newest;
	g->newer = NULL;
	*(c->newest != NULL ? &c->newest->newer : &c->oldest) = g;
	c->newest = g;
}

static void
unref(struct group_held *g)
{
	if (--g->refs == 0)
		group_free(g);
}

static void
evict(struct group_cache *c, struct group_held *g)
{
	for (uint32_t i = 0; i < g->count; i++) {
		struct entry **at = bucket(c, &g->entries[i].id);

		while (*at != &g->entries[i])
			at = &(*at)->next;
		*at = g->entries[i].next;
	}
	unlink_group(c, g);
	c->bytes -= g->bytes;
	unref(g);
}

/* Keep it, unless all that is in it is here already. */
static void
keep(struct group_cache *c, struct group_held *g)
{
	uint32_t known = 0;

	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < g->count; i++)
		known += lookup(c, &g->entries[i].id) != NULL;
	if (known == g->count) {
		pthread_mutex_unlock(&c->lock);
		group_free(g);
		return;
	}
	while (c->oldest != NULL && c->bytes + g->bytes > c->max)
		evict(c, c->oldest);
	for (uint32_t i = 0; i < g->count; i++) {
		struct entry **at = bucket(c, &g->entries[i].id);

		g->entries[i].next = *at;
		*at = &g->entries[i];
	}
	g->refs = 1;
	link_newest(c, g);
	c->bytes += g->bytes;
	if (c->bytes > c->most)
		c->most = c->bytes;
	pthread_mutex_unlock(&c->lock);
}

struct proving {
	const struct chunk_keys *keys;
	struct group_held *g;
	void (*each)(
	    void *arg, const struct chunk_id *id, const uint8_t *bytes, size_t len);
	void *arg;
};

static int
prove(void *arg, const struct group_entry *e)
{
	struct proving *p = arg;
	const uint8_t *bytes = p->g->plain + e->offset;
	struct chunk_id id;

	chunk_id_of(p->keys, CHUNK_DATA, bytes, e->len, &id);
	if (chunk_id_cmp(&id, &e->id) != 0)
		return 0;
	p->g->entries[p->g->count++] =
	    (struct entry){ id, e->offset, e->len, p->g, NULL };
	p->each(p->arg, &id, bytes, e->len);
	return 0;
}

int
group_cache_take(struct group_cache *c, const struct chunk_keys *keys,
    struct codec *codec, const uint8_t *p, size_t len,
    void (*each)(void *arg, const struct chunk_id *id, const uint8_t *bytes, size_t len),
    void *arg, struct err *err)
{
	struct proving proving = { keys, NULL, each, arg };
	struct group_held *held;
	struct group g;

	if (group_parse(p, len, &g, err) != 0 || group_check(&g, err) != 0)
		return -1;
	if (g.kind != CHUNK_DATA)
		return err_set(err, ERR_PROTOCOL, "a group of nodes among the data");
	if ((held = calloc(1, sizeof(*held))) == NULL ||
	    (held->plain = malloc(g.plain_len)) == NULL ||
	    (held->entries = calloc(g.count, sizeof(*held->entries))) == NULL) {
		group_free(held);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	if (group_decode(codec, &g, held->plain, err) != 0) {
		group_free(held);
		return -1;
	}
	held->bytes = sizeof(*held) + g.plain_len + g.count * sizeof(*held->entries);
	proving.g = held;
	(void)group_each(&g, prove, &proving);
	keep(c, held);
	return 0;
}

struct group_held *
group_cache_find(
    struct group_cache *c, const struct chunk_id *id, uint32_t len, const uint8_t **bytes)
{
	struct group_held *g = NULL;
	struct entry *e;

	pthread_mutex_lock(&c->lock);
	e = lookup(c, id);
	if (e != NULL && e->len == len) {
		g = e->group;
		g->refs++;
		unlink_group(c, g);
		link_newest(c, g);
		*bytes = g->plain + e->offset;
	}
	pthread_mutex_unlock(&c->lock);
	return g;
}

void
group_cache_drop(struct group_cache *c, struct group_held *h)
{
	pthread_mutex_lock(&c->lock);
	unref(h);
	pthread_mutex_unlock(&c->lock);
}

int
group_cache_has(struct group_cache *c, const struct chunk_id *id)
{
	int has;

	pthread_mutex_lock(&c->lock);
	has = lookup(c, id) != NULL;
	pthread_mutex_unlock(&c->lock);
	return has;
}

size_t
group_cache_most(struct group_cache *c)
{
	size_t most;

	pthread_mutex_lock(&c->lock);
	most = c->most;
	pthread_mutex_unlock(&c->lock);
	return most;
}
