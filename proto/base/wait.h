/*
 * wait.h - waiting with an end, by a clock that nobody sets: pthread's own way to say
 * so is not everywhere (winpthreads refuses the clock and then never waits at all).
 */
#ifndef PROTO_BASE_WAIT_H
#define PROTO_BASE_WAIT_H

#include <pthread.h>
#include <stdint.h>

/* Since some moment, the same for the whole process. */
uint64_t wait_now_us(void);

/* Make a condition for wait_until(); pthread_cond_destroy() as any. */
void wait_init(pthread_cond_t *cond);

/*
 * As pthread_cond_wait(), but until wait_now_us() is `until_us` at most: 1 if that time
 * has come, else 0 (woken, perhaps for nothing: look again at what is waited for).
 */
int wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us);

/* Just wait. */
void wait_ms(uint32_t ms);

#endif /* PROTO_BASE_WAIT_H */
