#include "agent/host/awake.h"

#include <time.h>

void
awake_begin(void)
{
}

void
awake_end(void)
{
}

uint64_t
awake_clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
