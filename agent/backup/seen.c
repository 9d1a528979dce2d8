#include "agent/backup/seen.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"

#define WAYS 4u
#define USED_PART 8u /* As long as no more sets are in use, clearing costs what is. */

struct seen {
	size_t mask;		 /* Sets - 1. */
	uint32_t turn;		 /* Which way goes next when a set is full. */
	struct chunk_id *ids;	 /* Sets of WAYS; all zero is empty. */
	uint32_t *used;		 /* Sets that are not empty, */
	size_t used_n, used_max; /* unless there are more than that: used_n is 1 above. */
};

static const struct chunk_id none;

struct seen *
seen_new(unsigned bits)
{
	struct seen *s = calloc(1, sizeof(*s));
	size_t n = (size_t)1 << bits;

	if (s == NULL)
		return NULL;
	s->mask = n / WAYS - 1;
	s->used_max = n / WAYS / USED_PART;
	s->ids = calloc(n, sizeof(*s->ids));
	s->used = malloc((s->used_max + 1) * sizeof(*s->used));
	if (s->ids == NULL || s->used == NULL) {
		seen_free(s);
		return NULL;
	}
	return s;
}

void
seen_free(struct seen *s)
{
	if (s == NULL)
		return;
	free(s->ids);
	free(s->used);
	free(s);
}

void
seen_clear(struct seen *s)
{
	if (s->used_n > s->used_max)
		memset(s->ids, 0, (s->mask + 1) * WAYS * sizeof(*s->ids));
	else
		for (size_t i = 0; i < s->used_n; i++)
			memset(&s->ids[s->used[i] * (size_t)WAYS], 0,
			    WAYS * sizeof(*s->ids));
	s->used_n = 0;
}

/* Ids are hashes: any of their bytes will do for a place. */
static struct chunk_id *
set_of(const struct seen *s, const struct chunk_id *id)
{
	return &s->ids[(load_le64(id->b) & s->mask) * WAYS];
}

int
seen_has(const struct seen *s, const struct chunk_id *id)
{
	const struct chunk_id *set = set_of(s, id);
	unsigned i;

	for (i = 0; i < WAYS; i++)
		if (chunk_id_cmp(&set[i], id) == 0)
			return 1;
	return 0;
}

int
seen_add(struct seen *s, const struct chunk_id *id)
{
	struct chunk_id *set = set_of(s, id);
	unsigned i;

	for (i = 0; i < WAYS; i++) {
		if (chunk_id_cmp(&set[i], id) == 0)
			return 1;
		if (chunk_id_cmp(&set[i], &none) == 0)
			break;
	}
	if (i == WAYS)
		i = s->turn++ % WAYS;
	else if (i == 0 && s->used_n <= s->used_max)
		s->used[s->used_n++] = (uint32_t)((set - s->ids) / WAYS);
	set[i] = *id;
	return 0;
}
