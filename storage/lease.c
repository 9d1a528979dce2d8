#include "storage/lease.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/bytes.h"

#define SHARDS 64u
#define NONE UINT32_MAX

struct claim {
	struct chunk_id id;
	uint64_t owner;
	uint32_t since; /* When, in seconds of our clock. */
	uint32_t next;	/* In its bucket, or in the free list. */
	uint8_t kind;
	uint8_t put;
};

/* A hash table with chains of indices into one array, which grows to `max`. */
struct shard {
	pthread_mutex_t lock;
	struct claim *claims;
	uint32_t *buckets;
	uint32_t used, cap, max, n_buckets; /* Buckets: a power of two, or none yet. */
	uint32_t free;
	uint32_t count;
};

struct lease_table {
	/* Ids are the agents' choice: a key of ours keeps chains short. */
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint32_t (*clock)(void);
	struct shard shards[SHARDS];
};

static uint32_t
steady_seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)t.tv_sec;
}

struct lease_table *
lease_table_new(uint32_t max)
{
	struct lease_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	randombytes_buf(t->key, sizeof(t->key));
	t->clock = steady_seconds;
	for (uint32_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&t->shards[i].lock, NULL);
		t->shards[i].max = (max + SHARDS - 1) / SHARDS;
		t->shards[i].free = NONE;
	}
	return t;
}

void
lease_table_clock(struct lease_table *t, uint32_t (*clock)(void))
{
	t->clock = clock;
}

void
lease_table_free(struct lease_table *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < SHARDS; i++) {
		free(t->shards[i].claims);
		free(t->shards[i].buckets);
		pthread_mutex_destroy(&t->shards[i].lock);
	}
	free(t);
}

/* The shard of an id, locked, and its bucket's hash. */
static struct shard *
shard_of(struct lease_table *t, const struct chunk_id *id, uint32_t *hash)
{
	uint8_t out[crypto_shorthash_BYTES];
	struct shard *s;

	crypto_shorthash(out, id->b, sizeof(id->b), t->key);
	*hash = load_le32(out);
	s = &t->shards[out[7] % SHARDS];
	pthread_mutex_lock(&s->lock);
	return s;
}

static struct claim *
find(struct shard *s, uint32_t hash, enum chunk_kind kind, const struct chunk_id *id)
{
	uint32_t i;

	if (s->n_buckets == 0)
		return NULL;
	for (i = s->buckets[hash & (s->n_buckets - 1)]; i != NONE; i = s->claims[i].next)
		if (s->claims[i].kind == kind && chunk_id_cmp(&s->claims[i].id, id) == 0)
			return &s->claims[i];
	return NULL;
}

/* Room for twice as many, at most `max`; 0, or -1 if that cannot be. */
static int
grow(struct lease_table *t, struct shard *s)
{
	uint32_t cap = s->cap == 0 ? 64 : s->cap * 2, n = 1, hash;
	uint8_t out[crypto_shorthash_BYTES];
	struct claim *claims;
	uint32_t *buckets;

	if (cap > s->max)
		cap = s->max;
	if (cap <= s->cap)
		return -1;
	while (n < cap)
		n *= 2;
	if ((claims = realloc(s->claims, cap * sizeof(*claims))) == NULL)
		return -1;
	s->claims = claims;
	if ((buckets = malloc(n * sizeof(*buckets))) == NULL)
		return -1;
	for (uint32_t i = 0; i < n; i++)
		buckets[i] = NONE;
	/* It grows only when every place is in use. */
	for (uint32_t i = 0; i < s->used; i++) {
		crypto_shorthash(out, claims[i].id.b, sizeof(claims[i].id.b), t->key);
		hash = load_le32(out) & (n - 1);
		claims[i].next = buckets[hash];
		buckets[hash] = i;
	}
	free(s->buckets);
	s->buckets = buckets;
	s->n_buckets = n;
	s->cap = cap;
	return 0;
}

static struct claim *
add(struct lease_table *t, struct shard *s, uint32_t hash, uint64_t owner,
    enum chunk_kind kind, const struct chunk_id *id)
{
	struct claim *c;
	uint32_t i, *bucket;

	if (s->free != NONE) {
		i = s->free;
		s->free = s->claims[i].next;
	} else {
		if (s->used == s->cap && grow(t, s) != 0)
			return NULL;
		i = s->used++;
	}
	bucket = &s->buckets[hash & (s->n_buckets - 1)];
	c = &s->claims[i];
	c->id = *id;
	c->owner = owner;
	c->kind = (uint8_t)kind;
	c->put = 0;
	c->since = t->clock();
	c->next = *bucket;
	*bucket = i;
	s->count++;
	return c;
}

/* Take entry `*link` out of its chain. */
static void
take_out(struct shard *s, uint32_t *link)
{
	uint32_t i = *link;

	*link = s->claims[i].next;
	s->claims[i].next = s->free;
	s->claims[i].owner = 0;
	s->free = i;
	s->count--;
}

enum lease_claim
lease_ask(struct lease_table *t, uint64_t owner, enum chunk_kind kind,
    const struct chunk_id *id)
{
	enum lease_claim answer;
	struct claim *c;
	struct shard *s;
	uint32_t hash;

	s = shard_of(t, id, &hash);
	c = find(s, hash, kind, id);
	if (c == NULL)
		answer =
		    add(t, s, hash, owner, kind, id) != NULL ? LEASE_TAKEN : LEASE_FULL;
	else if (c->owner == owner)
		answer = c->put ? LEASE_OURS_PUT : LEASE_OURS;
	else if (!c->put && t->clock() - c->since > LEASE_PATIENCE_S) {
		c->owner = owner;
		c->since = t->clock();
		answer = LEASE_TAKEN;
	} else
		answer = c->put ? LEASE_OTHERS_PUT : LEASE_OTHERS;
	pthread_mutex_unlock(&s->lock);
	return answer;
}

void
lease_put(struct lease_table *t, uint64_t owner, enum chunk_kind kind,
    const struct chunk_id *id)
{
	struct claim *c;
	struct shard *s;
	uint32_t hash;

	s = shard_of(t, id, &hash);
	c = find(s, hash, kind, id);
	if (c == NULL)
		c = add(t, s, hash, owner, kind, id);
	if (c != NULL && c->owner == owner)
		c->put = 1;
	pthread_mutex_unlock(&s->lock);
}

void
lease_drop(struct lease_table *t, uint64_t owner, enum chunk_kind kind,
    const struct chunk_id *id)
{
	struct shard *s;
	uint32_t hash, *link;

	s = shard_of(t, id, &hash);
	if (s->n_buckets != 0) {
		link = &s->buckets[hash & (s->n_buckets - 1)];
		while (*link != NONE && (s->claims[*link].kind != kind ||
					    chunk_id_cmp(&s->claims[*link].id, id) != 0))
			link = &s->claims[*link].next;
		if (*link != NONE && s->claims[*link].owner == owner)
			take_out(s, link);
	}
	pthread_mutex_unlock(&s->lock);
}

void
lease_release(struct lease_table *t, uint64_t owner)
{
	for (uint32_t i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];

		pthread_mutex_lock(&s->lock);
		for (uint32_t b = 0; s->count > 0 && b < s->n_buckets; b++) {
			uint32_t *link = &s->buckets[b];

			while (*link != NONE) {
				if (s->claims[*link].owner == owner)
					take_out(s, link);
				else
					link = &s->claims[*link].next;
			}
		}
		pthread_mutex_unlock(&s->lock);
	}
}

uint64_t
lease_count(struct lease_table *t)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&t->shards[i].lock);
		n += t->shards[i].count;
		pthread_mutex_unlock(&t->shards[i].lock);
	}
	return n;
}
