#include <unistd.h>

#include "agent/progress.h"

int
progress_terminal(void)
{
	return isatty(STDERR_FILENO);
}
