/*
 * env_posix.h - what tests may ask of env.h over pthreads, beside what the core asks.
 *
 * What has to do with interrupt levels is checked in every build: whoever waits, or calls
 * anything "passive", while this thread holds a spin lock ends the program, with a line
 * on stderr that names the call.  So does giving locks back in a wrong order, or freeing
 * what env_alloc did not give.
 */
#ifndef DRIVER_SIM_ENV_POSIX_H
#define DRIVER_SIM_ENV_POSIX_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A taking is an env_alloc or an env_thread_start: what may fail for want of resources.
 * The nth from now fails (1: the next one), and only it; 0: none, which is the beginning.
 */
void env_posix_fail(uint64_t nth);
/* Has it failed already?  How a test that counts n up knows that it has seen them all. */
bool env_posix_failed(void);

/* Since the program started; bytes are what was asked for. */
struct env_posix_facts {
	uint64_t takings;
	uint64_t bytes, bytes_peak; /* now held, and most ever */
	uint64_t blocks;	    /* now held */
	uint64_t locks;		    /* spin locks taken */
	uint64_t threads;	    /* started and not joined */
};
void env_posix_facts(struct env_posix_facts *facts);
/* The peak is from here on. */
void env_posix_peak_reset(void);

/* Ends the program if this thread holds a spin lock: for I/O that stands in for passive
   calls.  "call" is named. */
void env_posix_passive(const char *call);

#endif /* DRIVER_SIM_ENV_POSIX_H */
