/* bits.c - bitmaps that many processors read and change at once. */
#include "driver/core/bits.h"

#include <stddef.h>
#include "driver/core/atomic.h"
#include "driver/core/env.h"

#define WORD_SHIFT 5
#define WORD_BITS (1u << WORD_SHIFT)
#define WORD_ALL UINT32_MAX
/* Bytes of one bitmap: 512 TiB by 16 KiB.  More is no wish but a wrong number. */
#define BYTES_MAX (1ull << 32)

static uint64_t
words(uint64_t count)
{
	return (count >> WORD_SHIFT) + ((count & (WORD_BITS - 1)) != 0);
}

int
bits_make(struct bits *b, uint64_t count)
{
	uint64_t bytes = words(count) * sizeof(uint32_t);

	b->word = NULL;
	b->count = 0;
	if (bytes > BYTES_MAX || bytes > SIZE_MAX / 2)
		return -1;
	/* None of no bits is still one that was made. */
	b->word = env_alloc(bytes > 0 ? (size_t)bytes : sizeof(uint32_t));
	if (b->word == NULL)
		return -1;
	b->count = count;
	return 0;
}

void
bits_free(struct bits *b)
{
	env_free(b->word);
	b->word = NULL;
	b->count = 0;
}

static uint32_t
mask_of(uint64_t i)
{
	return 1u << (i & (WORD_BITS - 1));
}

bool
bits_get(const struct bits *b, uint64_t i)
{
	return (atomic_get(&b->word[i >> WORD_SHIFT]) & mask_of(i)) != 0;
}

bool
bits_set(struct bits *b, uint64_t i)
{
	uint32_t *word = &b->word[i >> WORD_SHIFT];

	/* Most bits are set already; asking costs no bus lock. */
	if (atomic_get(word) & mask_of(i))
		return false;
	return (atomic_or(word, mask_of(i)) & mask_of(i)) == 0;
}

bool
bits_clear(struct bits *b, uint64_t i)
{
	uint32_t *word = &b->word[i >> WORD_SHIFT];

	if (!(atomic_get(word) & mask_of(i)))
		return false;
	return (atomic_and(word, ~mask_of(i)) & mask_of(i)) != 0;
}

/* Without the instruction of that name, which not every processor has, and without the
   compiler's library, which a driver is not linked with. */
static uint32_t
ones(uint32_t v)
{
	v -= v >> 1 & 0x55555555u;
	v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
	v = (v + (v >> 4)) & 0x0f0f0f0fu;
	return v * 0x01010101u >> 24;
}

/* A walk over the words of a range, each with those of its bits that lie in it. */
struct walk {
	uint64_t at, last; /* words */
	uint32_t mask, tail;
	bool more;
};

static void
walk_begin(struct walk *w, const struct bits *b, uint64_t first, uint64_t last)
{
	w->more = b->word != NULL && first <= last && first < b->count;
	if (!w->more)
		return;
	if (last >= b->count)
		last = b->count - 1;
	w->at = first >> WORD_SHIFT;
	w->last = last >> WORD_SHIFT;
	w->tail = WORD_ALL >> (WORD_BITS - 1 - (last & (WORD_BITS - 1)));
	w->mask = WORD_ALL << (first & (WORD_BITS - 1));
	if (w->at == w->last)
		w->mask &= w->tail;
}

static void
walk_on(struct walk *w)
{
	w->more = w->at < w->last;
	w->at++;
	w->mask = w->at == w->last ? w->tail : WORD_ALL;
}

bool
bits_any(const struct bits *b, uint64_t first, uint64_t last)
{
	struct walk w;

	for (walk_begin(&w, b, first, last); w.more; walk_on(&w))
		if (atomic_get(&b->word[w.at]) & w.mask)
			return true;
	return false;
}

bool
bits_all(const struct bits *b, uint64_t first, uint64_t last)
{
	struct walk w;

	for (walk_begin(&w, b, first, last); w.more; walk_on(&w))
		if (~atomic_get(&b->word[w.at]) & w.mask)
			return false;
	return true;
}

uint64_t
bits_set_range(struct bits *b, uint64_t first, uint64_t last)
{
	uint64_t changed = 0;
	struct walk w;

	for (walk_begin(&w, b, first, last); w.more; walk_on(&w)) {
		uint32_t *word = &b->word[w.at];

		if (~atomic_get(word) & w.mask)
			changed += ones(~atomic_or(word, w.mask) & w.mask);
	}
	return changed;
}

uint64_t
bits_clear_range(struct bits *b, uint64_t first, uint64_t last)
{
	uint64_t changed = 0;
	struct walk w;

	for (walk_begin(&w, b, first, last); w.more; walk_on(&w)) {
		uint32_t *word = &b->word[w.at];

		if (atomic_get(word) & w.mask)
			changed += ones(atomic_and(word, ~w.mask) & w.mask);
	}
	return changed;
}

uint64_t
bits_number(const struct bits *b)
{
	uint64_t n = 0;

	/* Bits beyond the end are never set. */
	for (uint64_t i = 0; i < words(b->count); i++)
		n += ones(atomic_get(&b->word[i]));
	return n;
}

/* The first bit at or after i that is 1 in word ^ flip. */
static uint64_t
next(const struct bits *b, uint64_t i, uint32_t flip)
{
	struct walk w;

	for (walk_begin(&w, b, i, UINT64_MAX); w.more; walk_on(&w)) {
		uint32_t found = (atomic_get(&b->word[w.at]) ^ flip) & w.mask;

		if (found != 0)
			return (w.at << WORD_SHIFT) + (unsigned)__builtin_ctz(found);
	}
	return b->count;
}

uint64_t
bits_next_set(const struct bits *b, uint64_t i)
{
	return next(b, i, 0);
}

uint64_t
bits_next_clear(const struct bits *b, uint64_t i)
{
	return next(b, i, WORD_ALL);
}

void
bits_merge(struct bits *into, const struct bits *from)
{
	for (uint64_t i = 0; i < words(into->count); i++) {
		uint32_t more = atomic_get(&from->word[i]);

		if (more & ~atomic_get(&into->word[i]))
			(void)atomic_or(&into->word[i], more);
	}
}

/* Bytes, not words: "first" is only a multiple of 8. */
void
bits_export(const struct bits *b, uint64_t first, uint32_t count, uint8_t *bytes)
{
	uint64_t end = b->count;

	for (uint32_t n = 0; n < count; n += 8) {
		uint64_t i = first + n;
		uint32_t byte = 0;

		if (i < end)
			byte = atomic_get(&b->word[i >> WORD_SHIFT]) >>
				   (i & (WORD_BITS - 1)) &
			       0xff;
		if (count - n < 8)
			byte &= 0xffu >> (8 - (count - n));
		bytes[n >> 3] = (uint8_t)byte;
	}
}

void
bits_import(struct bits *b, uint64_t first, uint32_t count, const uint8_t *bytes)
{
	for (uint32_t n = 0; n < count; n += 8) {
		uint64_t i = first + n;
		uint32_t byte = bytes[n >> 3];

		if (i >= b->count)
			return;
		if (count - n < 8)
			byte &= 0xffu >> (8 - (count - n));
		if (b->count - i < 8)
			byte &= 0xffu >> (8 - (b->count - i));
		byte <<= i & (WORD_BITS - 1);
		if (byte & ~atomic_get(&b->word[i >> WORD_SHIFT]))
			(void)atomic_or(&b->word[i >> WORD_SHIFT], byte);
	}
}
