/*
 * index_table.h - the entries that no run holds yet, in memory.
 *
 * A hash table over an array; several entries may have one id.  Not locked:
 * index.c does.  Private to storage/index*.c.
 */
#ifndef STORAGE_INDEX_TABLE_H
#define STORAGE_INDEX_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/index_run.h"

struct err;

/* More are never held; a slot has 24 bits for an entry's number. */
#define INDEX_TABLE_MAX (1u << 23)

struct index_table {
	uint8_t *entries; /* cap of INDEX_ENTRY_LEN bytes. */
	uint32_t *slots;  /* 0: free; else tag << 24 | number + 1. */
	uint32_t count, cap;
	uint32_t mask; /* Slots - 1, slots a power of two, > 1.5 cap. */
};

/* Empty; NULL without memory. */
struct index_table *index_table_new(void);
void index_table_free(struct index_table *t);
uint64_t index_table_ram(const struct index_table *t);

/* Make room for `n` more, so that adding them cannot fail.  ERR_NOMEM, ERR_LIMIT. */
int index_table_reserve(struct index_table *t, size_t n, struct err *err);

/* Add an entry; 0 if that very entry is there already, else 1. */
int index_table_add(struct index_table *t, const uint8_t entry[INDEX_ENTRY_LEN]);

/* Load the memory that a look-up of `id` will touch first. */
void index_table_prefetch(const struct index_table *t, const struct chunk_id *id);

/* As index_run_find(); cannot fail. */
int index_table_find(const struct index_table *t, const struct chunk_id *id,
    int (*usable)(const void *arg, const struct pack_entry *e), const void *arg,
    struct pack_entry *out);

/* The entries' numbers in order of the entries (malloc), or NULL without memory. */
uint32_t *index_table_sort(const struct index_table *t);

static inline const uint8_t *
index_table_entry(const struct index_table *t, uint32_t i)
{
	return t->entries + (size_t)i * INDEX_ENTRY_LEN;
}

#endif /* STORAGE_INDEX_TABLE_H */
