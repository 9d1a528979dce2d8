/*
 * atomic.h - instead of driver/core/atomic.h in track_order: every look at a shared word
 * is a place where another processor may come first.
 */
#ifndef DRIVER_CORE_ATOMIC_H
#define DRIVER_CORE_ATOMIC_H

#include <stdint.h>

void order_yield(void);

static inline uint32_t
atomic_get(const uint32_t *word)
{
	order_yield();
	return *word;
}

static inline void
atomic_put(uint32_t *word, uint32_t value)
{
	order_yield();
	*word = value;
}

static inline uint32_t
atomic_swap(uint32_t *word, uint32_t value)
{
	uint32_t old;

	order_yield();
	old = *word;
	*word = value;
	return old;
}

static inline uint32_t
atomic_or(uint32_t *word, uint32_t value)
{
	uint32_t old;

	order_yield();
	old = *word;
	*word |= value;
	return old;
}

static inline uint32_t
atomic_and(uint32_t *word, uint32_t value)
{
	uint32_t old;

	order_yield();
	old = *word;
	*word &= value;
	return old;
}

static inline void
atomic_count_relaxed(uint32_t *word)
{
	++*word;
}

#endif /* DRIVER_CORE_ATOMIC_H */
