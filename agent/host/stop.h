/*
 * stop.h - how a request to stop (SIGINT, SIGTERM, a failure) reaches work that
 * is spread over threads.
 *
 * Whoever asks says stop_request(); work in progress has told by stop_attach()
 * what must be shaken awake.  Waiting for time to pass goes through
 * stop_wait_ms(), which ends at once when asked to stop.
 */
#ifndef AGENT_HOST_STOP_H
#define AGENT_HOST_STOP_H

#include <stdint.h>

struct err;
struct stop;

/* NULL without memory. */
struct stop *stop_new(void);
void stop_free(struct stop *s);

/* From any thread, but not from a signal handler.  Idempotent. */
void stop_request(struct stop *s);

/* Non-zero once asked.  `s` may be NULL, here and below: never asked. */
int stop_asked(struct stop *s);

/* Wait `ms`; non-zero if asked to stop before. */
int stop_wait_ms(struct stop *s, uint32_t ms);

/*
 * Call `wake(arg)` once when asked to stop; at once if that was already.  One
 * at a time; NULL detaches and waits for a running call.  `wake` must not come
 * back here.
 */
void stop_attach(struct stop *s, void (*wake)(void *arg), void *arg);

/*
 * Have the first SIGINT or SIGTERM (Windows: Ctrl-C, Ctrl-Break, a closed window, the
 * end of the session) become stop_request(); a second one kills the program.  For
 * threads made from here on: those signals are blocked in them.  Once a process;
 * `s` must live to its end.
 */
int stop_on_signals(struct stop *s, struct err *err);

#endif /* AGENT_HOST_STOP_H */
