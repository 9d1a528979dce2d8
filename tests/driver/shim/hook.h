/*
 * hook.h - included before every file of driver/core and driver/nt by the build of the
 * shim: atomic.h then disturbs the order in which threads run, when a test asks for it.
 */
#ifndef TESTS_DRIVER_SHIM_HOOK_H
#define TESTS_DRIVER_SHIM_HOOK_H

#ifdef SHIM_FAST
#define shim_chaos() ((void)0)
#else
void shim_chaos(void);
#define ATOMIC_HOOK() shim_chaos()
#endif

#endif /* TESTS_DRIVER_SHIM_HOOK_H */
