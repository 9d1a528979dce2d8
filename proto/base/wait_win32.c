#include <windows.h>

#include "proto/base/wait.h"

/* One wait's length: winpthreads counts in milliseconds of 32 bits. */
#define STEP_MAX_US (UINT64_C(3600) * 1000000)

uint64_t
wait_now_us(void)
{
	LARGE_INTEGER ticks, per_s;

	(void)QueryPerformanceFrequency(&per_s);
	(void)QueryPerformanceCounter(&ticks);
	/* In two parts: ticks * 1000000 would not fit after some weeks. */
	return (uint64_t)(ticks.QuadPart / per_s.QuadPart) * 1000000 +
	       (uint64_t)(ticks.QuadPart % per_s.QuadPart * 1000000 / per_s.QuadPart);
}

void
wait_init(pthread_cond_t *cond)
{
	pthread_cond_init(cond, NULL);
}

int
wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_us)
{
	uint64_t now = wait_now_us(), left;
	struct timespec step;

	if (now >= until_us)
		return 1;
	left = until_us - now < STEP_MAX_US ? until_us - now : STEP_MAX_US;
	/* Rounded up: a wait of no time, again and again, would be a busy one. */
	left = (left + 999) / 1000 * 1000;
	step.tv_sec = (time_t)(left / 1000000);
	step.tv_nsec = (long)(left % 1000000) * 1000;
	if (pthread_cond_timedwait_relative_np(cond, lock, &step) == 0)
		return 0;
	return wait_now_us() >= until_us;
}

void
wait_ms(uint32_t ms)
{
	Sleep(ms);
}
