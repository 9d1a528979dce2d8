#include "storage/index_table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define FIRST_CAP 1024u
#define NUMBER 0xffffffu

struct index_table *
index_table_new(void)
{
	struct index_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->cap = FIRST_CAP;
	t->mask = 2 * FIRST_CAP - 1;
	t->entries = malloc((size_t)t->cap * INDEX_ENTRY_LEN);
	t->slots = calloc((size_t)t->mask + 1, sizeof(*t->slots));
	if (t->entries == NULL || t->slots == NULL) {
		index_table_free(t);
		return NULL;
	}
	return t;
}

void
index_table_free(struct index_table *t)
{
	if (t == NULL)
		return;
	free(t->entries);
	free(t->slots);
	free(t);
}

uint64_t
index_table_ram(const struct index_table *t)
{
	return sizeof(*t) + (uint64_t)t->cap * INDEX_ENTRY_LEN +
	       ((uint64_t)t->mask + 1) * sizeof(*t->slots);
}

/* Slot and tag come from other bytes of the id than order and filters. */
static uint32_t
slot_of(const struct index_table *t, const uint8_t *id)
{
	return load_le32(id + 24) & t->mask;
}

static uint32_t
tag_of(const uint8_t *id)
{
	return (uint32_t)id[28] << 24;
}

static void
enter(struct index_table *t, uint32_t number)
{
	const uint8_t *id = index_table_entry(t, number);
	uint32_t s = slot_of(t, id);

	while (t->slots[s] != 0)
		s = (s + 1) & t->mask;
	t->slots[s] = tag_of(id) | (number + 1);
}

int
index_table_reserve(struct index_table *t, size_t n, struct err *err)
{
	uint32_t cap = t->cap, *slots;
	uint8_t *entries;

	if (n > INDEX_TABLE_MAX - t->count)
		return err_set(err, ERR_LIMIT,
		    "more than %u index entries wait to be written", INDEX_TABLE_MAX);
	while (cap < t->count + n)
		cap *= 2;
	if (cap == t->cap)
		return 0;
	if ((entries = realloc(t->entries, (size_t)cap * INDEX_ENTRY_LEN)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %u index entries", cap);
	t->entries = entries;
	if ((slots = calloc(2 * (size_t)cap, sizeof(*slots))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %u index entries", cap);
	free(t->slots);
	t->slots = slots;
	t->mask = 2 * cap - 1;
	t->cap = cap;
	for (uint32_t i = 0; i < t->count; i++)
		enter(t, i);
	return 0;
}

int
index_table_add(struct index_table *t, const uint8_t entry[INDEX_ENTRY_LEN])
{
	uint32_t tag = tag_of(entry), s;

	for (s = slot_of(t, entry); t->slots[s] != 0; s = (s + 1) & t->mask)
		if ((t->slots[s] & ~NUMBER) == tag &&
		    memcmp(index_table_entry(t, (t->slots[s] & NUMBER) - 1), entry,
			INDEX_ENTRY_LEN) == 0)
			return 0;
	memcpy(t->entries + (size_t)t->count * INDEX_ENTRY_LEN, entry, INDEX_ENTRY_LEN);
	t->count++;
	t->slots[s] = tag | t->count;
	return 1;
}

void
index_table_prefetch(const struct index_table *t, const struct chunk_id *id)
{
	__builtin_prefetch(&t->slots[slot_of(t, id->b)]);
}

int
index_table_find(const struct index_table *t, const struct chunk_id *id,
    int (*usable)(const void *arg, const struct pack_entry *e), const void *arg,
    struct pack_entry *out)
{
	uint32_t tag = tag_of(id->b);

	for (uint32_t s = slot_of(t, id->b); t->slots[s] != 0; s = (s + 1) & t->mask) {
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

uint32_t *
index_table_sort(const struct index_table *t)
{
	struct key *keys = malloc(((size_t)t->count + 1) * sizeof(*keys));
	uint32_t *order = malloc(((size_t)t->count + 1) * sizeof(*order));

	if (keys == NULL || order == NULL) {
		free(keys);
		free(order);
		return NULL;
	}
	for (uint32_t i = 0; i < t->count; i++) {
		keys[i].entry = index_table_entry(t, i);
		keys[i].prefix = index_run_prefix(keys[i].entry);
	}
	qsort(keys, t->count, sizeof(*keys), compare_keys);
	for (uint32_t i = 0; i < t->count; i++)
		order[i] =
		    (uint32_t)((size_t)(keys[i].entry - t->entries) / INDEX_ENTRY_LEN);
	free(keys);
	return order;
}
