#include <windows.h>

#include "agent/host/progress.h"

#ifndef ENABLE_VIRTUAL_TERMINAL_PROCESSING
#define ENABLE_VIRTUAL_TERMINAL_PROCESSING 0x0004
#endif

/* One that understands "erase the line": Windows 10 and Server 2016, and later. */
int
progress_terminal(void)
{
	HANDLE h = GetStdHandle(STD_ERROR_HANDLE);
	DWORD mode;

	return h != NULL && h != INVALID_HANDLE_VALUE && GetConsoleMode(h, &mode) &&
	       SetConsoleMode(h,
		   mode | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}
