/*
 * command_system.h - what a program gets from its system: words, places, what it used.
 * (command_system_SYSTEM.c)
 */
#ifndef AGENT_CLI_COMMAND_SYSTEM_H
#define AGENT_CLI_COMMAND_SYSTEM_H

#include <stdint.h>

struct err;

/*
 * First of all in main(): the arguments become UTF-8, standard output and error take
 * bytes as they are, a console shows UTF-8.
 */
int command_system_begin(int *argc, char ***argv, struct err *err);

/* Where the state is if nobody says.  Static; NULL if the system does not tell. */
const char *command_system_state(void);

/* The same for people: the end of `--help`. */
extern const char command_system_help[];

/* A variable of the environment, or NULL; lives as long as the process. */
const char *command_system_env(const char *name);

struct command_usage {
	uint64_t user_us, system_us; /* CPU time of all threads. */
	uint64_t peak;		     /* Bytes of memory at most: the resident set. */
};

void command_system_usage(struct command_usage *out);

#endif /* AGENT_CLI_COMMAND_SYSTEM_H */
