/* track.c - writes, cuts, commits and reports: what is known, in memory. */
#include "driver/core/track.h"

#include <string.h>

#include "driver/core/atomic.h"
#include "driver/core/track_state.h"

bool
track_write(struct track *t, uint64_t offset, uint32_t length)
{
	uint64_t first = offset >> HOTCOPY_TRACK_SHIFT, last, end;

	/* Past the end: a volume that grows is INVALID first. */
	if (length == 0 || first >= t->current.count)
		return true;
	end = length - 1 > UINT64_MAX - offset ? UINT64_MAX : offset + length - 1;
	last = end >> HOTCOPY_TRACK_SHIFT;
	if (first == last)
		(void)bits_set(&t->current, first);
	else
		(void)bits_set_range(&t->current, first, last);
	if (!atomic_get(&t->place.open))
		return true;
	if (track_store_owns(t, offset, end))
		return false;
	first = offset >> TRACK_REGION_SHIFT;
	last = end >> TRACK_REGION_SHIFT;
	if (first == last)
		return bits_get(&t->marks, first);
	return bits_all(&t->marks, first, last);
}

/* memory.mutex held. */
static void
fill_previous(struct track *t)
{
	if (t->memory.flags & TRACK_PREVIOUS_ALL)
		(void)bits_set_range(&t->previous, 0, UINT64_MAX);
}

uint64_t
track_cut(struct track *t, const uint8_t nonce[HOTCOPY_NONCE])
{
	struct track_memory *m = &t->memory;
	uint64_t number;

	env_mutex_take(&m->mutex);
	if (m->kept) {
		bits_merge(&t->previous, &t->current);
		(void)bits_clear_range(&t->current, 0, UINT64_MAX);
	} else {
		struct bits b = t->previous;

		t->previous = t->current;
		t->current = b;
	}
	if (m->flags & TRACK_CURRENT_ALL)
		m->flags |= TRACK_PREVIOUS_ALL;
	if (m->flags & TRACK_CURRENT_RECOVERED)
		m->flags |= TRACK_PREVIOUS_RECOVERED;
	m->flags &= ~(TRACK_CURRENT_ALL | TRACK_CURRENT_RECOVERED);
	if (m->flags & TRACK_STUCK)
		m->flags |= TRACK_CURRENT_ALL;
	m->flags |= TRACK_PENDING;
	fill_previous(t);
	m->kept = true;
	m->stale = true;
	m->epoch++;
	number = ++m->generation;
	memcpy(m->nonce, nonce, sizeof(m->nonce));
	env_mutex_give(&m->mutex);
	return number;
}

static bool
same(uint64_t a, const uint8_t a_nonce[HOTCOPY_NONCE], uint64_t b,
    const uint8_t b_nonce[HOTCOPY_NONCE])
{
	return a == b && memcmp(a_nonce, b_nonce, HOTCOPY_NONCE) == 0;
}

int
track_commit(struct track *t, uint64_t generation, const uint8_t nonce[HOTCOPY_NONCE])
{
	struct track_memory *m = &t->memory;
	int rc = -1;

	env_mutex_take(&m->mutex);
	if (m->base != 0 && same(generation, nonce, m->base, m->base_nonce)) {
		rc = 0;
	} else if ((m->flags & TRACK_PENDING) &&
		   same(generation, nonce, m->generation, m->nonce)) {
		m->base = generation;
		memcpy(m->base_nonce, nonce, sizeof(m->base_nonce));
		(void)bits_clear_range(&t->previous, 0, UINT64_MAX);
		m->flags &=
		    ~(TRACK_PENDING | TRACK_PREVIOUS_ALL | TRACK_PREVIOUS_RECOVERED);
		if ((m->flags & TRACK_CURRENT_ALL) == 0)
			m->why = HOTCOPY_WHY_NONE;
		m->kept = false;
		m->stale = true;
		m->epoch++;
		rc = 1;
	}
	env_mutex_give(&m->mutex);
	return rc == 1 ? track_save(t, false) : rc;
}

int
track_abort(struct track *t, uint64_t generation, const uint8_t nonce[HOTCOPY_NONCE])
{
	struct track_memory *m = &t->memory;
	int rc = -1;

	env_mutex_take(&m->mutex);
	if (same(generation, nonce, m->generation, m->nonce) &&
	    !same(generation, nonce, m->base, m->base_nonce)) {
		rc = (m->flags & TRACK_PENDING) ? 1 : 0;
		m->flags &= ~TRACK_PENDING;
		m->epoch += (uint32_t)rc;
	}
	env_mutex_give(&m->mutex);
	return rc == 1 ? track_save(t, false) : rc;
}

/* The mutex of what is const to the caller. */
static struct env_mutex *
mutex_of(const struct track *t)
{
	return (struct env_mutex *)(uintptr_t)&t->memory.mutex;
}

#define REPORT_BITS 65536u /* at once under the mutex */
#define ROOM 64u

static void
report_some(
    const struct track *t, bool now, uint64_t first, uint32_t count, uint8_t *bits)
{
	uint32_t all = TRACK_PREVIOUS_ALL | (now ? TRACK_CURRENT_ALL : 0);
	uint64_t end = t->current.count;
	uint8_t more[ROOM];

	if (t->memory.flags & all) {
		for (uint32_t n = 0; n < count; n += 8) {
			uint64_t left = first + n < end ? end - first - n : 0;

			if (left > count - n)
				left = count - n;
			bits[n / 8] = (uint8_t)(left >= 8 ? 0xff : (1u << left) - 1);
		}
		return;
	}
	bits_export(&t->previous, first, count, bits);
	for (uint32_t n = 0; now && n < count; n += ROOM * 8) {
		uint32_t some = count - n < ROOM * 8 ? count - n : ROOM * 8;

		bits_export(&t->current, first + n, some, more);
		for (uint32_t i = 0; i < (some + 7) / 8; i++)
			bits[n / 8 + i] |= more[i];
	}
}

void
track_report(
    const struct track *t, bool now, uint64_t first, uint32_t count, uint8_t *bits)
{
	for (uint32_t n = 0; n < count; n += REPORT_BITS) {
		uint32_t some = count - n < REPORT_BITS ? count - n : REPORT_BITS;

		env_mutex_take(mutex_of(t));
		report_some(t, now, first + n, some, bits + n / 8);
		env_mutex_give(mutex_of(t));
	}
}

const struct bits *
track_previous(const struct track *t)
{
	return &t->previous;
}

static enum hotcopy_tracking
state_of(const struct track_memory *m)
{
	if (m->flags & (TRACK_CURRENT_ALL | TRACK_PREVIOUS_ALL))
		return m->base == 0 && m->why == HOTCOPY_WHY_NONE ? HOTCOPY_TRACK_NEW
								  : HOTCOPY_TRACK_INVALID;
	if (m->flags & (TRACK_CURRENT_RECOVERED | TRACK_PREVIOUS_RECOVERED))
		return HOTCOPY_TRACK_RECOVERED;
	return HOTCOPY_TRACK_VALID;
}

static uint64_t
number(const struct track *t)
{
	const uint64_t words = (t->current.count + 31) >> 5;
	uint64_t n = 0;

	/* In pieces, so that a cut does not wait for all. */
	for (uint64_t i = 0; i < words; i += REPORT_BITS / 32) {
		env_mutex_take(mutex_of(t));
		if (t->memory.flags & (TRACK_CURRENT_ALL | TRACK_PREVIOUS_ALL)) {
			env_mutex_give(mutex_of(t));
			return t->current.count;
		}
		for (uint64_t k = i; k < words && k < i + REPORT_BITS / 32; k++)
			for (uint32_t v = atomic_get(&t->previous.word[k]) |
					  atomic_get(&t->current.word[k]);
			     v != 0; v &= v - 1)
				n++;
		env_mutex_give(mutex_of(t));
	}
	return n;
}

void
track_facts(const struct track *t, struct track_facts *facts)
{
	const struct track_memory *m = &t->memory;

	memset(facts, 0, sizeof(*facts));
	env_mutex_take(mutex_of(t));
	facts->state = state_of(m);
	facts->why = m->why;
	facts->base = m->base;
	memcpy(facts->base_nonce, m->base_nonce, sizeof(facts->base_nonce));
	facts->generation = m->generation;
	memcpy(facts->nonce, m->nonce, sizeof(facts->nonce));
	facts->log_writes = atomic_get(&t->log_writes);
	env_mutex_give(mutex_of(t));
	facts->changed = number(t);
}
