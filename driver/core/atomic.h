/*
 * atomic.h - words that several processors share, in the core and in the NT glue.
 *
 * Every word that is read without a lock goes through these, so that thread sanitizers
 * see what the kernel's compilers must be told, too.  32-bit words and pointers only: a
 * 64-bit atomic on i686 would want floating-point registers, which a driver may not
 * touch.
 */
#ifndef DRIVER_CORE_ATOMIC_H
#define DRIVER_CORE_ATOMIC_H

#include <stdint.h>

/* Tests disturb the order of threads here; nothing otherwise. */
#ifndef ATOMIC_HOOK
#define ATOMIC_HOOK() ((void)0)
#endif

/* Sequentially consistent, as the gate's counting needs; _relaxed where a count is only
   shown to people. */
static inline uint32_t
atomic_get(const uint32_t *word)
{
	ATOMIC_HOOK();
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void
atomic_put(uint32_t *word, uint32_t value)
{
	ATOMIC_HOOK();
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static inline uint32_t
atomic_swap(uint32_t *word, uint32_t value)
{
	ATOMIC_HOOK();
	return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}

/* Each gives the value before. */
static inline uint32_t
atomic_add(uint32_t *word, uint32_t value)
{
	ATOMIC_HOOK();
	return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
}

static inline uint32_t
atomic_sub(uint32_t *word, uint32_t value)
{
	ATOMIC_HOOK();
	return __atomic_fetch_sub(word, value, __ATOMIC_SEQ_CST);
}

static inline uint32_t
atomic_or(uint32_t *word, uint32_t value)
{
	ATOMIC_HOOK();
	return __atomic_fetch_or(word, value, __ATOMIC_SEQ_CST);
}

static inline uint32_t
atomic_and(uint32_t *word, uint32_t value)
{
	ATOMIC_HOOK();
	return __atomic_fetch_and(word, value, __ATOMIC_SEQ_CST);
}

static inline void
atomic_count_relaxed(uint32_t *word)
{
	ATOMIC_HOOK();
	__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
}

/* 64 bits of two words.  Who reads in the moment of a carry sees 2^32 less. */
struct atomic_count {
	uint32_t low, high;
};

static inline void
atomic_count_add(struct atomic_count *count)
{
	ATOMIC_HOOK();
	if (__atomic_fetch_add(&count->low, 1, __ATOMIC_RELAXED) == UINT32_MAX)
		__atomic_fetch_add(&count->high, 1, __ATOMIC_RELAXED);
}

static inline uint64_t
atomic_count_get(const struct atomic_count *count)
{
	uint32_t high, low;

	do {
		high = atomic_get(&count->high);
		low = atomic_get(&count->low);
	} while (high != atomic_get(&count->high));
	return (uint64_t)high << 32 | low;
}

static inline void *
atomic_get_pointer(void *const *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void
atomic_put_pointer(void **word, void *value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

#endif /* DRIVER_CORE_ATOMIC_H */
