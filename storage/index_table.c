#include "storage/index_table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define FIRST_SLOTS 2048u
#define NUMBER 0xffffffu

struct index_table *
index_table_new(void)
{
	struct index_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->mask = FIRST_SLOTS - 1;
	if ((t->slots = calloc(FIRST_SLOTS, sizeof(*t->slots))) == NULL) {
		free(t);
		return NULL;
	}
	return t;
}

void
index_table_free(struct index_table *t)
{
	if (t == NULL)
		return;
	for (uint32_t i = 0; i < t->n_pieces; i++)
		free(t->pieces[i]);
	free(t->slots);
	free(t);
}

uint64_t
index_table_ram(const struct index_table *t)
{
	return sizeof(*t) + (uint64_t)t->n_pieces * INDEX_PIECE * INDEX_ENTRY_LEN +
	       ((uint64_t)t->mask + 1) * sizeof(*t->slots);
}

/* Slot and tag come from other bytes of the id than order and filters. */
static uint32_t
hash_of(const uint8_t *id)
{
	return load_le32(id + 24);
}

static uint32_t
tag_of(const uint8_t *id)
{
	return (uint32_t)id[28] << 24;
}

/* All entries into `more`, which reads only what adding changes. */
static void
enter_all(const struct index_table *t, const struct index_slots *more)
{
	for (uint32_t i = 0; i < t->count; i++) {
		const uint8_t *id = index_table_entry(t, i);
		uint32_t s = hash_of(id) & more->mask;

		while (more->slots[s] != 0)
			s = (s + 1) & more->mask;
		more->slots[s] = tag_of(id) | (i + 1);
	}
}

int
index_table_prepare(
    struct index_table *t, size_t n, struct index_slots *more, struct err *err)
{
	size_t want = t->count + n, slots = (size_t)t->mask + 1;

	more->slots = NULL;
	if (want > INDEX_TABLE_MAX)
		return err_set(err, ERR_LIMIT,
		    "more than %u index entries wait to be written", INDEX_TABLE_MAX);
	for (; (size_t)t->n_pieces * INDEX_PIECE < want; t->n_pieces++)
		if ((t->pieces[t->n_pieces] =
			    malloc((size_t)INDEX_PIECE * INDEX_ENTRY_LEN)) == NULL)
			return err_set(
			    err, ERR_NOMEM, "no memory for %zu index entries", want);
	if (2 * want <= slots)
		return 0;
	while (2 * want > slots)
		slots *= 2;
	if ((more->slots = calloc(slots, sizeof(*more->slots))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %zu index entries", want);
	more->mask = (uint32_t)(slots - 1);
	t->steps += t->count;
	enter_all(t, more);
	return 0;
}

void
index_table_take(struct index_table *t, struct index_slots *more)
{
	struct index_slots old = { t->slots, t->mask };

	if (more->slots == NULL)
		return;
	t->slots = more->slots;
	t->mask = more->mask;
	*more = old;
}

void
index_table_drop(struct index_slots *more)
{
	free(more->slots);
	more->slots = NULL;
}

int
index_table_add(struct index_table *t, const uint8_t entry[INDEX_ENTRY_LEN])
{
	uint32_t tag = tag_of(entry), s;

	t->steps++;
	for (s = hash_of(entry) & t->mask; t->slots[s] != 0; s = (s + 1) & t->mask)
		if ((t->slots[s] & ~NUMBER) == tag &&
		    memcmp(index_table_entry(t, (t->slots[s] & NUMBER) - 1), entry,
			INDEX_ENTRY_LEN) == 0)
			return 0;
	memcpy(t->pieces[t->count / INDEX_PIECE] +
		   (size_t)(t->count % INDEX_PIECE) * INDEX_ENTRY_LEN,
	    entry, INDEX_ENTRY_LEN);
	t->count++;
	t->slots[s] = tag | t->count;
	return 1;
}

void
index_table_prefetch(const struct index_table *t, const struct chunk_id *id)
{
	__builtin_prefetch(&t->slots[hash_of(id->b) & t->mask]);
}

int
index_table_find(const struct index_table *t, const struct chunk_id *id,
    int (*usable)(const void *arg, const struct pack_entry *e), const void *arg,
    struct pack_entry *out)
{
	uint32_t tag = tag_of(id->b);

	for (uint32_t s = hash_of(id->b) & t->mask; t->slots[s] != 0;
	     s = (s + 1) & t->mask) {
		const uint8_t *e;

		if ((t->slots[s] & ~NUMBER) != tag)
			continue;
		e = index_table_entry(t, (t->slots[s] & NUMBER) - 1);
		if (memcmp(e, id->b, CHUNK_ID_LEN) != 0)
			continue;
		index_run_decode(e, out);
		if (usable(arg, out))
			return 1;
	}
	return 0;
}

/* What is sorted: mostly decided by the number alone. */
struct key {
	uint64_t prefix;
	const uint8_t *entry;
};

static int
compare_keys(const void *va, const void *vb)
{
	const struct key *a = va, *b = vb;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	return index_run_order(a->entry, b->entry);
}

const uint8_t **
index_table_sort(const struct index_table *t)
{
	struct key *keys = malloc(((size_t)t->count + 1) * sizeof(*keys));
	const uint8_t **order = (const uint8_t **)(void *)keys, **less;

	if (keys == NULL)
		return NULL;
	for (uint32_t i = 0; i < t->count; i++) {
		keys[i].entry = index_table_entry(t, i);
		keys[i].prefix = index_run_prefix(keys[i].entry);
	}
	qsort(keys, t->count, sizeof(*keys), compare_keys);
	/* In the same place: memory is what a full table is short of. */
	for (uint32_t i = 0; i < t->count; i++) {
		const uint8_t *entry = keys[i].entry;

		memcpy(&order[i], &entry, sizeof(entry));
	}
	less = realloc(keys, ((size_t)t->count + 1) * sizeof(*less));
	return less != NULL ? less : order;
}
