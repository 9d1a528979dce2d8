#include <unistd.h>

#include "agent/host/progress.h"

int
progress_terminal(void)
{
	return isatty(STDERR_FILENO);
}
