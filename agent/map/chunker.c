#include "agent/map/chunker.h"

#include <assert.h>

/*
 * The gear table: number i is the splitmix64 of i.  It is part of no format
 * (other cuts only cost deduplication), but must be the same on every agent.
 */
#define MIX_A(x) (((x) ^ ((x) >> 30)) * 0xbf58476d1ce4e5b9u)
#define MIX_B(x) (((x) ^ ((x) >> 27)) * 0x94d049bb133111ebu)
#define MIX_C(x) ((x) ^ ((x) >> 31))
#define GEAR_1(i) MIX_C(MIX_B(MIX_A(0x9e3779b97f4a7c15u * ((uint64_t)(i) + 1))))
#define GEAR_4(i) GEAR_1(i), GEAR_1((i) + 1), GEAR_1((i) + 2), GEAR_1((i) + 3)
#define GEAR_16(i) GEAR_4(i), GEAR_4((i) + 4), GEAR_4((i) + 8), GEAR_4((i) + 12)
#define GEAR_64(i) GEAR_16(i), GEAR_16((i) + 16), GEAR_16((i) + 32), GEAR_16((i) + 48)

static const uint64_t gear[256] = { GEAR_64(0), GEAR_64(64), GEAR_64(128), GEAR_64(192) };

/* Bytes that still weigh in the hash: one leaves at the top for each that comes. */
#define WINDOW 64u

/* `bits` ones at the top: those bits have seen every byte of the window. */
#define MASK(bits) (~(uint64_t)0 << (64 - (bits)))

/* The first length in (from, to] at which `mask` lets the chunk end, or 0. */
static size_t
scan(const uint8_t *p, size_t from, size_t to, uint64_t mask, uint64_t *hash)
{
	uint64_t h = *hash, odd, two;
	size_t i = from;

	/* Two bytes a step: the next step waits for one addition only. */
	for (; i + 1 < to; i += 2) {
		two = (gear[p[i]] << 1) + gear[p[i + 1]];
		odd = (h << 1) + gear[p[i]];
		h = (h << 2) + two;
		if ((odd & mask) == 0)
			return i + 1;
		if ((h & mask) == 0)
			return i + 2;
	}
	if (i < to) {
		h = (h << 1) + gear[p[i]];
		if ((h & mask) == 0)
			return i + 1;
	}
	*hash = h;
	return 0;
}

size_t
chunker_cut_sized(const struct chunker_sizes *s, const uint8_t *p, size_t len, int last)
{
	size_t cut, middle;
	unsigned bits = 0;
	uint64_t h = 0;

	assert(last || len >= s->max);
	assert(s->min >= WINDOW && s->average >= 256 && s->average <= s->max);
	(void)last;
	while ((size_t)1 << bits < s->average)
		bits++;
	if (len <= s->min)
		return len;
	if (len > s->max)
		len = s->max;
	middle = len < s->average ? len : s->average;

	for (size_t i = s->min - WINDOW; i < s->min; i++)
		h = (h << 1) + gear[p[i]];
	/* Twice as hard below the average, four times as easy above it. */
	if ((cut = scan(p, s->min, middle, MASK(bits + 1), &h)) != 0)
		return cut;
	if ((cut = scan(p, middle, len, MASK(bits - 2), &h)) != 0)
		return cut;
	return len;
}

size_t
chunker_cut(const uint8_t *p, size_t len, int last)
{
	static const struct chunker_sizes standard = { CHUNKER_MIN, CHUNKER_AVERAGE,
		CHUNKER_MAX };

	return chunker_cut_sized(&standard, p, len, last);
}
