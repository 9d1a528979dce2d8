/*
 * diff_slots.h - a set of numbers 0 ... count - 1 that gives its lowest in a few steps,
 * however many there are: the free slots of a diff area, so that its used part stays as
 * small as what is kept.
 *
 * A tree of words of 32 bits; a bit says that something is free below it.  Not locked.
 */
#ifndef DRIVER_CORE_DIFF_SLOTS_H
#define DRIVER_CORE_DIFF_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define DIFF_SLOTS_LEVELS 7u /* 32^7 is more than 32 bits can count */

struct diff_slots {
	uint32_t *level[DIFF_SLOTS_LEVELS]; /* [0]: a bit a number */
	unsigned levels;
	uint32_t count, free;
};

/* All are free.  -1: no memory.  diff_slots_free also of one that is all 0. */
int diff_slots_make(struct diff_slots *s, uint32_t count);
void diff_slots_free(struct diff_slots *s);
uint64_t diff_slots_bytes(uint32_t count);

/* One must be free. */
uint32_t diff_slots_lowest(const struct diff_slots *s);
bool diff_slots_has(const struct diff_slots *s, uint32_t slot);
void diff_slots_take(struct diff_slots *s, uint32_t slot);
void diff_slots_give(struct diff_slots *s, uint32_t slot);

#endif /* DRIVER_CORE_DIFF_SLOTS_H */
