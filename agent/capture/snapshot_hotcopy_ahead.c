/*
 * Copies of our own: chunks that a write waits for and nobody has read yet.  They lie in
 * a bounded memory, then in a temporary file; what was read for good leaves its place in
 * memory to others.
 */
#include "agent/capture/snapshot_hotcopy.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/spill.h"
#include "proto/base/err.h"

#define TABLE_MIN 256u
#define GONE UINT32_MAX

struct entry {
	uint64_t key;	/* 0: free. */
	uint32_t place; /* Slots first, then the file's. */
};

struct hot_ahead {
	pthread_mutex_t lock; /* All below; taken before the set's. */
	const struct hot_set *set;
	uint32_t chunk, slots;
	uint8_t *memory;     /* Taken when it is first needed. */
	uint64_t *slot;	     /* Whose each is; 0: nobody's. */
	struct entry *table; /* Half of it is free at least. */
	uint32_t size, count;
	void *file;
	uint32_t filed; /* Chunks in it. */
	int file_failed;
};

struct hot_ahead *
snapshot_hotcopy_ahead_new(const struct hot_set *s)
{
	struct hot_ahead *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->set = s;
	a->chunk = 1u << s->chunk_shift;
	a->slots =
	    (snapshot_hotcopy_system->ahead_max != 0 ? snapshot_hotcopy_system->ahead_max
						     : SNAPSHOT_HOTCOPY_AHEAD) /
	    a->chunk;
	a->size = TABLE_MIN;
	a->slot = calloc(a->slots, sizeof(*a->slot));
	a->table = calloc(a->size, sizeof(*a->table));
	if (a->slot == NULL || a->table == NULL ||
	    pthread_mutex_init(&a->lock, NULL) != 0) {
		free(a->slot);
		free(a->table);
		free(a);
		return NULL;
	}
	return a;
}

void
snapshot_hotcopy_ahead_free(struct hot_ahead *a)
{
	if (a == NULL)
		return;
	if (a->file != NULL)
		a->set->options->spill->ops->close(a->file);
	(void)pthread_mutex_destroy(&a->lock);
	free(a->memory);
	free(a->slot);
	free(a->table);
	free(a);
}

static uint64_t
key_of(const struct hot_volume *v, uint64_t chunk)
{
	return (uint64_t)(v->index + 1) << 56 | chunk;
}

/* Its entry, or the free one where it belongs. */
static struct entry *
find(struct entry *table, uint32_t size, uint64_t key)
{
	uint64_t at = key * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	for (;; at++) {
		struct entry *e = &table[at & (size - 1)];

		if (e->key == 0 || e->key == key)
			return e;
	}
}

static int
grow(struct hot_ahead *a)
{
	struct entry *more;

	if (a->count < a->size / 2)
		return 0;
	if ((more = calloc((size_t)a->size * 2, sizeof(*more))) == NULL)
		return -1;
	for (uint32_t i = 0; i < a->size; i++)
		if (a->table[i].key != 0)
			*find(more, a->size * 2, a->table[i].key) = a->table[i];
	free(a->table);
	a->table = more;
	a->size *= 2;
	return 0;
}

/* A slot that nobody needs (any more), or `slots`. */
static uint32_t
free_slot(struct hot_ahead *a)
{
	uint32_t i = 0;

	if (a->memory == NULL &&
	    (a->memory = malloc((size_t)a->slots * a->chunk)) == NULL)
		return a->slots;
	while (i < a->slots && a->slot[i] != 0)
		i++;
	if (i < a->slots)
		return i;
	for (i = 0; i < a->slots; i++) {
		struct hot_volume *v = a->set->volume[(a->slot[i] >> 56) - 1];

		if (!snapshot_hotcopy_is_read(v, a->slot[i] & (UINT64_MAX >> 8)))
			continue;
		find(a->table, a->size, a->slot[i])->place = GONE;
		a->slot[i] = 0;
		return i;
	}
	return a->slots;
}

static int
put_in_file(struct hot_ahead *a, const uint8_t *p, struct err *err)
{
	const struct spill *spill = a->set->options->spill;

	if (spill == NULL || a->file_failed ||
	    (uint64_t)(a->filed + 1) * a->chunk > SPILL_MAX)
		return -1;
	if ((a->file == NULL && spill->ops->open(spill->arg, &a->file, err) != 0) ||
	    spill->ops->write(a->file, (uint64_t)a->filed * a->chunk, p, a->chunk, err) !=
		0) {
		a->file_failed = 1;
		return -1;
	}
	a->filed++;
	return 0;
}

static int
put(struct hot_ahead *a, uint64_t key, const uint8_t *p)
{
	struct err ignored = ERR_INIT;
	struct entry *e;
	uint32_t slot;

	if (grow(a) != 0)
		return -1;
	e = find(a->table, a->size, key);
	if (e->key == key)
		return 0;
	if ((slot = free_slot(a)) < a->slots) {
		memcpy(a->memory + (size_t)slot * a->chunk, p, a->chunk);
		a->slot[slot] = key;
		e->place = slot;
	} else if (put_in_file(a, p, &ignored) == 0) {
		e->place = a->slots + a->filed - 1;
	} else {
		return -1;
	}
	e->key = key;
	a->count++;
	return 0;
}

int
snapshot_hotcopy_ahead_put(
    struct hot_ahead *a, struct hot_volume *v, uint64_t chunk, const uint8_t *p)
{
	int rc;

	(void)pthread_mutex_lock(&a->lock);
	rc = put(a, key_of(v, chunk), p);
	(void)pthread_mutex_unlock(&a->lock);
	return rc;
}

int
snapshot_hotcopy_ahead_get(struct hot_ahead *a, const struct hot_volume *v,
    uint64_t chunk, uint32_t from, void *out, uint32_t len, struct err *err)
{
	const uint64_t key = key_of(v, chunk);
	const struct entry *e;
	int rc = 0;

	if (a == NULL)
		return 0;
	(void)pthread_mutex_lock(&a->lock);
	e = find(a->table, a->size, key);
	if (e->key == key && e->place == GONE) {
		rc = err_set(err, ERR_SNAPSHOT_LOST,
		    "%.100s: byte %llu was given up (read before) and is wanted again",
		    v->path, (unsigned long long)(chunk * a->chunk + from));
	} else if (e->key == key) {
		rc = 1;
		if (e->place < a->slots)
			memcpy(out, a->memory + (size_t)e->place * a->chunk + from, len);
		else if (a->set->options->spill->ops->read(a->file,
			     (uint64_t)(e->place - a->slots) * a->chunk + from, out, len,
			     err) != 0)
			rc = -1;
	}
	(void)pthread_mutex_unlock(&a->lock);
	return rc;
}
