#include "rescue/view_blocks.h"

#include <stdlib.h>

#define PAGE_BITS 32768u /* 4 KiB of bits say of 128 MiB of volume. */
#define WORDS (PAGE_BITS / 64)
#define BUCKETS 4096u

int
view_marks_init(struct view_marks *m, uint64_t blocks)
{
	m->count = 0;
	m->pages = (size_t)(blocks / PAGE_BITS + 1);
	m->page = calloc(m->pages, sizeof(m->page[0]));
	return m->page != NULL ? 0 : -1;
}

void
view_marks_free(struct view_marks *m)
{
	size_t i;

	for (i = 0; m->page != NULL && i < m->pages; i++)
		free(m->page[i]);
	free(m->page);
	m->page = NULL;
}

int
view_marks_add(struct view_marks *m, uint64_t block)
{
	uint64_t **page = &m->page[block / PAGE_BITS];
	uint64_t *word, bit = UINT64_C(1) << block % 64;

	if (*page == NULL && (*page = calloc(WORDS, sizeof(**page))) == NULL)
		return -1;
	word = &(*page)[block % PAGE_BITS / 64];
	m->count += (*word & bit) == 0;
	*word |= bit;
	return 0;
}

int
view_marks_has(const struct view_marks *m, uint64_t block)
{
	const uint64_t *page =
	    block / PAGE_BITS < m->pages ? m->page[block / PAGE_BITS] : NULL;

	return page != NULL && (page[block % PAGE_BITS / 64] >> block % 64 & 1) != 0;
}

int
view_marks_next(
    const struct view_marks *m, uint64_t block, uint64_t *first, uint64_t *count)
{
	const uint64_t *page;

	while (block / PAGE_BITS < m->pages && !view_marks_has(m, block)) {
		page = m->page[block / PAGE_BITS];
		if (page == NULL)
			block = (block / PAGE_BITS + 1) * PAGE_BITS;
		else if (page[block % PAGE_BITS / 64] >> block % 64 == 0)
			block = (block / 64 + 1) * 64;
		else
			block++;
	}
	if (block / PAGE_BITS >= m->pages)
		return 0;
	*first = block;
	while (view_marks_has(m, block))
		block++;
	*count = block - *first;
	return 1;
}

/* ------------------------------------------------------------------- memory -- */

struct kept_block {
	struct kept_block *next;
	uint64_t block;
	uint8_t bytes[VIEW_BLOCK];
};

struct view_kept {
	size_t limit, used;
	struct kept_block *bucket[BUCKETS];
};

struct view_kept *
view_kept_new(size_t limit)
{
	struct view_kept *k = calloc(1, sizeof(*k));

	if (k != NULL)
		k->limit = limit;
	return k;
}

void
view_kept_free(struct view_kept *k)
{
	struct kept_block *b;
	size_t i;

	if (k == NULL)
		return;
	for (i = 0; i < BUCKETS; i++)
		while ((b = k->bucket[i]) != NULL) {
			k->bucket[i] = b->next;
			free(b);
		}
	free(k);
}

size_t
view_kept_bytes(const struct view_kept *k)
{
	return k->used;
}

uint8_t *
view_kept_find(const struct view_kept *k, uint64_t block)
{
	struct kept_block *b;

	for (b = k->bucket[block % BUCKETS]; b != NULL; b = b->next)
		if (b->block == block)
			return b->bytes;
	return NULL;
}

uint8_t *
view_kept_add(struct view_kept *k, uint64_t block)
{
	struct kept_block *b;

	if (k->limit - k->used < sizeof(*b) || (b = malloc(sizeof(*b))) == NULL)
		return NULL;
	k->used += sizeof(*b);
	b->block = block;
	b->next = k->bucket[block % BUCKETS];
	k->bucket[block % BUCKETS] = b;
	return b->bytes;
}
