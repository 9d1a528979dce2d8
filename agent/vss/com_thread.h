/*
 * com_thread.h - a thread that holds COM, for what must not run on others.  Windows only.
 *
 * Multithreaded apartment; process-wide security is set once, as documented for
 * requesters of VSS.  Calls are made there one after another; the caller waits.
 */
#ifndef AGENT_VSS_COM_THREAD_H
#define AGENT_VSS_COM_THREAD_H

struct err;
struct com_thread;

/* ERR_IO: COM cannot be had; ERR_NOMEM. */
int com_thread_new(struct com_thread **out, struct err *err);

/* Have `fn(arg)` called there; its result. */
int com_thread_call(struct com_thread *t, int (*fn)(void *arg), void *arg);

/* NULL is allowed. */
void com_thread_free(struct com_thread *t);

#endif /* AGENT_VSS_COM_THREAD_H */
