#include <windows.h>

#include "agent/host/awake.h"

void
awake_begin(void)
{
	(void)SetThreadExecutionState(ES_CONTINUOUS | ES_SYSTEM_REQUIRED);
}

void
awake_end(void)
{
	(void)SetThreadExecutionState(ES_CONTINUOUS);
}

/*
 * "The elapsed time retrieved by GetTickCount or GetTickCount64 includes time the system
 * spends in sleep or hibernation":
 * learn.microsoft.com/windows/win32/sysinfo/windows-time.
 */
uint64_t
awake_clock_ms(void)
{
	return GetTickCount64();
}
