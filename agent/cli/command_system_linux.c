#include <stdlib.h>
#include <sys/resource.h>

#include "agent/cli/command_system.h"

#define STATE_DEFAULT "/var/lib/holdfast-agent"

const char command_system_help[] =
    "Without --state and HOLDFAST_STATE: " STATE_DEFAULT "\n";

int
command_system_begin(int *argc, char ***argv, struct err *err)
{
	(void)argc;
	(void)argv;
	(void)err;
	return 0;
}

const char *
command_system_state(void)
{
	return STATE_DEFAULT;
}

const char *
command_system_env(const char *name)
{
	return getenv(name);
}

static uint64_t
us(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

void
command_system_usage(struct command_usage *out)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	out->user_us = us(&u.ru_utime);
	out->system_us = us(&u.ru_stime);
	out->peak = (uint64_t)u.ru_maxrss * 1024;
}
