/*
 * hooks.h - the scripts before and after a backup (agent.conf, pre-script,
 * post-script, script-timeout).
 *
 * A script is one program or script file, without arguments: what it must know is in
 * its environment.
 *
 *	HOLDFAST_EVENT	 pre or post
 *	HOLDFAST_HOST	 the name that this host is enrolled under
 *	HOLDFAST_STATE	 the agent's directory
 *	HOLDFAST_VOLUMES names of volumes and disks, a blank between
 *	HOLDFAST_RESULT	 (post) ok, failed, interrupted or pre-failed
 *	HOLDFAST_ERROR	 (post) one line, empty if ok; '_' for what is syntax to a shell
 *	HOLDFAST_POINT	 (post) the point's number, empty if there is none
 *	HOLDFAST_PRE	 (post) exit code of the pre-script, empty if there is none
 *
 * A pre-script that fails (any exit code but 0, a timeout, not to be started) stops
 * the backup.  The post-script runs always; that it fails is said and changes nothing.
 * A script must lie where only administrators can write (place.h).
 *
 * Its standard input is empty, its output goes line by line to `say`: HOOKS_LINES of
 * them, cut at HOOKS_LINE_MAX bytes.  It is stopped with all that it started when its
 * time is over or the agent is asked to stop: told first on Linux (SIGTERM), killed
 * after HOOKS_GRACE_MS.  What it leaves running when it ends itself lives on, but
 * nobody listens to it.
 */
#ifndef AGENT_HOST_HOOKS_H
#define AGENT_HOST_HOOKS_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct stop;

#define HOOKS_LINES 200u
#define HOOKS_LINE_MAX 500u
#define HOOKS_GRACE_MS 5000u
#define HOOKS_VARIABLES_MAX 16u

enum hooks_end {
	HOOKS_NONE,    /* There is no script. */
	HOOKS_EXITED,  /* By itself: see exit_code. */
	HOOKS_KILLED,  /* By a signal of somebody else: exit_code is its number. */
	HOOKS_TIMEOUT, /* Stopped by us. */
	HOOKS_STOPPED, /* The agent was asked to stop. */
	HOOKS_UNUSABLE /* Not started: `err` says why. */
};

struct hooks_result {
	enum hooks_end end;
	int exit_code;
	uint64_t duration_us;
	unsigned lines; /* Of output, those that were dropped too. */
};

struct hooks_variable {
	const char *name, *value;
};

struct hooks_script {
	const char *path;
	uint32_t timeout_s;
	const struct hooks_variable *variables; /* Over our own environment. */
	unsigned variables_count;
	struct stop *stop;	/* May be NULL. */
	uint32_t after_stop_ms; /* How long it may go on once asked to stop. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
};

/*
 * Run it to its end.  0 if it ended with exit code 0 or there is none (path NULL or
 * ""); else -1 with one line that names the script: ERR_DENIED (its place), ERR_IO,
 * ERR_TIMEOUT, ERR_CANCELED.  `out` is filled in either case.
 */
int
hooks_run(const struct hooks_script *script, struct hooks_result *out, struct err *err);

/* "exit code 3 after 1.2 s", "stopped after 60.0 s" ...; `out` has 64 bytes. */
void hooks_text(const struct hooks_result *r, char out[64]);

/* Could it be run?  0 also if there is none; else as hooks_run(). */
int hooks_check(const struct hooks_script *script, struct err *err);

/* ------------------------------------------- what a system does (hooks_SYSTEM.c) -- */

struct hooks_child;

/* Start it; its output can be read.  `real` is the path after place_trusted(). */
int hooks_start(const struct hooks_script *script, const char *real,
    struct hooks_child **out, struct err *err);

/* Output that came within `ms`: its length, 0 if none came, -1 if no more will. */
long hooks_read(struct hooks_child *c, char *p, size_t cap, uint32_t ms);

/* Has it ended?  Then *exit_code and *killed are set. */
int hooks_ended(struct hooks_child *c, int *exit_code, int *killed);

/*
 * Stop it and all that it started: ask (`force` 0), non-zero if this system can ask
 * and it may end by itself, or kill.
 */
int hooks_stop(struct hooks_child *c, int force);

/* Nobody listens any more. */
void hooks_free(struct hooks_child *c);

#endif /* AGENT_HOST_HOOKS_H */
