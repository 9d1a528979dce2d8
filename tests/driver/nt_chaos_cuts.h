/*
 * nt_chaos_cuts.h - many cuts, one soon after the other, of small volumes that are
 * written all the time by threads that sleep where it hurts.
 */
#ifndef TESTS_DRIVER_NT_CHAOS_CUTS_H
#define TESTS_DRIVER_NT_CHAOS_CUTS_H

#include <stdbool.h>

/* false: an image changed, or something leaked. */
bool chaos_cuts(unsigned seed, unsigned ms);

#endif /* TESTS_DRIVER_NT_CHAOS_CUTS_H */
