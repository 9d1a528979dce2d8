/*
 * index_table.h - the entries that no run holds yet, in memory.
 *
 * A hash table over an array in pieces; several entries may have one id.  Not
 * locked: index.c does.  It grows in two moves, so that who looks up waits for the
 * short one only: index_table_prepare() while others look, index_table_take() while
 * nobody does.  Private to storage/index*.c.
 */
#ifndef STORAGE_INDEX_TABLE_H
#define STORAGE_INDEX_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/index_run.h"

struct err;

/* More are never held; a slot has 24 bits for an entry's number. */
#define INDEX_TABLE_MAX (1u << 23)

/* Entries of a piece: more than a mebibyte, which the server's malloc gives back. */
#define INDEX_PIECE 32768u

struct index_table {
	uint8_t *pieces[INDEX_TABLE_MAX / INDEX_PIECE];
	uint32_t n_pieces;
	uint32_t *slots; /* 0: free; else tag << 24 | number + 1. */
	uint32_t count;
	uint32_t mask;	/* Slots - 1, slots a power of two, >= 2 count. */
	uint64_t steps; /* Entries that were added or entered anew. */
};

/* Empty; NULL without memory. */
struct index_table *index_table_new(void);
void index_table_free(struct index_table *t);
uint64_t index_table_ram(const struct index_table *t);

/* More slots, to be taken or else freed; slots NULL: there are enough. */
struct index_slots {
	uint32_t *slots;
	uint32_t mask;
};

/*
 * Make room for `n` more, so that adding them cannot fail once `more` is taken.
 * Others may look up, not add, meanwhile.  ERR_NOMEM, ERR_LIMIT.
 */
int index_table_prepare(
    struct index_table *t, size_t n, struct index_slots *more, struct err *err);

/* Take the slots; `more` gets the old ones, for index_table_drop(). */
void index_table_take(struct index_table *t, struct index_slots *more);
void index_table_drop(struct index_slots *more);

/* Add an entry; 0 if that very entry is there already, else 1. */
int index_table_add(struct index_table *t, const uint8_t entry[INDEX_ENTRY_LEN]);

/* Load the memory that a look-up of `id` will touch first. */
void index_table_prefetch(const struct index_table *t, const struct chunk_id *id);

/* As index_run_find(); cannot fail. */
int index_table_find(const struct index_table *t, const struct chunk_id *id,
    int (*usable)(const void *arg, const struct pack_entry *e), const void *arg,
    struct pack_entry *out);

/* All entries in order (malloc, borrowing the table), or NULL without memory. */
const uint8_t **index_table_sort(const struct index_table *t);

static inline const uint8_t *
index_table_entry(const struct index_table *t, uint32_t i)
{
	return t->pieces[i / INDEX_PIECE] + (size_t)(i % INDEX_PIECE) * INDEX_ENTRY_LEN;
}

#endif /* STORAGE_INDEX_TABLE_H */
