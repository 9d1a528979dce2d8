/* diff_slots.c - a tree of bits: is something free below? */
#include "driver/core/diff_slots.h"

#include <stddef.h>
#include "driver/core/env.h"

#define SHIFT 5
#define MASK 31u

static uint32_t
words(uint32_t bits)
{
	return (bits >> SHIFT) + ((bits & MASK) != 0);
}

uint64_t
diff_slots_bytes(uint32_t count)
{
	uint64_t bytes = 0;

	do {
		count = words(count);
		bytes += (uint64_t)count * sizeof(uint32_t);
	} while (count > 1);
	return bytes;
}

static void
fill(uint32_t *word, uint32_t bits)
{
	for (uint32_t i = 0; i < bits >> SHIFT; i++)
		word[i] = UINT32_MAX;
	if (bits & MASK)
		word[bits >> SHIFT] = (1u << (bits & MASK)) - 1;
}

int
diff_slots_make(struct diff_slots *s, uint32_t count)
{
	uint32_t bits = count;

	*s = (struct diff_slots){ .count = count, .free = count };
	do {
		uint32_t n = words(bits);
		uint32_t *word = env_alloc((n > 0 ? n : 1) * sizeof(uint32_t));

		if (word == NULL) {
			diff_slots_free(s);
			return -1;
		}
		fill(word, bits);
		s->level[s->levels++] = word;
		bits = n;
	} while (bits > 1);
	return 0;
}

void
diff_slots_free(struct diff_slots *s)
{
	for (unsigned i = 0; i < s->levels; i++)
		env_free(s->level[i]);
	*s = (struct diff_slots){ 0 };
}

uint32_t
diff_slots_lowest(const struct diff_slots *s)
{
	uint32_t at = 0;

	for (unsigned i = s->levels; i-- > 0;)
		at = (at << SHIFT) + (uint32_t)__builtin_ctz(s->level[i][at]);
	return at;
}

bool
diff_slots_has(const struct diff_slots *s, uint32_t slot)
{
	return slot < s->count && (s->level[0][slot >> SHIFT] >> (slot & MASK) & 1) != 0;
}

void
diff_slots_take(struct diff_slots *s, uint32_t slot)
{
	s->free--;
	for (unsigned i = 0; i < s->levels; i++, slot >>= SHIFT) {
		uint32_t *word = &s->level[i][slot >> SHIFT];

		*word &= ~(1u << (slot & MASK));
		if (*word != 0)
			return;
	}
}

void
diff_slots_give(struct diff_slots *s, uint32_t slot)
{
	s->free++;
	for (unsigned i = 0; i < s->levels; i++, slot >>= SHIFT)
		s->level[i][slot >> SHIFT] |= 1u << (slot & MASK);
}
