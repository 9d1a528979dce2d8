/*
 * thread.h - starting a thread of this room: named, and deaf to signals, so
 * that those go to the program's main thread and a write to a closed socket is
 * an error code instead of SIGPIPE.
 */
#ifndef PROTO_NET_THREAD_H
#define PROTO_NET_THREAD_H

#include <pthread.h>

struct err;

/*
 * Run `fn(arg)` on a new thread; `name` (cut at 15 bytes) shows in the process
 * list.  The caller joins it with pthread_join().  ERR_IO.
 */
int thread_start(
    const char *name, void (*fn)(void *arg), void *arg, pthread_t *out, struct err *err);

#endif /* PROTO_NET_THREAD_H */
