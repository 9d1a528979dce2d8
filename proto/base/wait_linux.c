#include <time.h>

#include "proto/base/wait.h"

uint64_t
wait_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void
wait_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

int
wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us)
{
	const struct timespec until = { (time_t)(until_us / 1000000),
		(long)(until_us % 1000000) * 1000 };

	return pthread_cond_timedwait(cond, lock, &until) != 0;
}

void
wait_ms(uint32_t ms)
{
	struct timespec left = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) != 0)
		;
}
