/*
 * child.h - running a program of somebody else's and reading what it says.
 */
#ifndef RESCUE_CHILD_H
#define RESCUE_CHILD_H

struct err;
struct stop;

struct child_job {
	/* NULL at the end; argv[0] is looked for in PATH and in the system's places. */
	const char *const *argv;
	/* A line of its standard output or error, ended by '\n' or '\r'; or NULL. */
	void (*line)(void *arg, const char *line);
	void *arg;
	struct stop *stop; /* Ends it; may be NULL. */
	/* Called then, with `stopped_arg`: what it waits for in this process; or NULL. */
	void (*stopped)(void *arg);
	void *stopped_arg;
};

/*
 * Run it to its end.  `*status` is its exit status, 128 + n if signal n ended it.
 * ERR_UNSUPPORTED: there is no such program; ERR_CANCELED; ERR_IO.
 */
int child_run(const struct child_job *job, int *status, struct err *err);

#endif /* RESCUE_CHILD_H */
