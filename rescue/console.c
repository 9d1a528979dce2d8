#include "rescue/console.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/host/progress.h"
#include "proto/base/err.h"
#include "rescue/rate.h"

#define REDRAW_MS 500u
#define PLAIN_MS 5000u
#define CODE_MS 60000u /* The code is said again so often. */

struct console {
	pthread_mutex_t lock; /* Guards all below, and standard output. */
	int terminal;
	int half; /* The cursor is behind a line that will be redrawn. */
	uint64_t shown_ms, code_ms;
	enum disk_restore_stage stage;
	unsigned disk;
};

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Names and reasons come from elsewhere: a terminal is not to be told what to do. */
void
console_say(const char *line)
{
	/* As screen_put(): one '?' a character. */
	fputs("rescue: ", stdout);
	for (; *line != '\0'; line++)
		if (((unsigned char)*line & 0xc0) != 0x80)
			putchar((unsigned char)*line < ' ' || (unsigned char)*line >= 127
				    ? '?'
				    : *line);
	putchar('\n');
	fflush(stdout);
}

static void
on_say(void *arg, const char *line)
{
	struct console *c = arg;

	pthread_mutex_lock(&c->lock);
	if (c->half)
		fputs("\r\033[K", stdout);
	c->half = 0;
	console_say(line);
	pthread_mutex_unlock(&c->lock);
}

/* It must be read from a few steps away. */
static void
on_waits(void *arg, const char *code)
{
	struct console *c = arg;
	uint64_t now = now_ms();

	pthread_mutex_lock(&c->lock);
	if (c->code_ms == 0 || now - c->code_ms >= CODE_MS) {
		c->code_ms = now;
		printf("rescue: waiting for an operator to let this machine in\n"
		       "rescue:\n"
		       "rescue:     its code:   %.4s - %s\n"
		       "rescue:\n"
		       "rescue: on the server:  holdfast rescue confirm %s\n",
		    code, code + (strlen(code) > 5 ? 5 : 0), code);
		fflush(stdout);
	}
	pthread_mutex_unlock(&c->lock);
}

static void
show(struct console *c, const struct job_progress *p)
{
	char done[24], total[24], speed[24], left[24];

	progress_bytes(p->done, done);
	progress_bytes(p->total, total);
	progress_bytes(p->speed, speed);
	rate_clock(p->left_s, left);
	fputs(c->terminal ? "\r\033[K" : "", stdout);
	printf("rescue: %s", p->device);
	if (p->disks > 1)
		printf(" (%u of %u)", p->disk, p->disks);
	if (p->stage == DISK_RESTORE_WAITING)
		fputs(": waiting for the server", stdout);
	else
		printf(": %s%u%%, %s of %s, %s/s, %s left",
		    p->stage == DISK_RESTORE_VERIFYING ? "verifying, " : "",
		    p->total == 0 ? 100u
				  : (unsigned)((double)p->done * 100 / (double)p->total),
		    done, total, speed, left);
	fputs(c->terminal ? "" : "\n", stdout);
	c->half = c->terminal;
	fflush(stdout);
}

static void
on_progress(void *arg, const struct job_progress *p)
{
	struct console *c = arg;
	uint64_t now = now_ms();

	pthread_mutex_lock(&c->lock);
	if (c->shown_ms == 0 || c->stage != p->stage || c->disk != p->disk ||
	    now - c->shown_ms >= (c->terminal ? REDRAW_MS : PLAIN_MS)) {
		show(c, p);
		c->shown_ms = now;
		c->stage = p->stage;
		c->disk = p->disk;
	}
	pthread_mutex_unlock(&c->lock);
}

static int
attempt(const struct job_config *config, struct console *c, struct err *err)
{
	struct job_config mine = *config;
	struct job *j = NULL;
	int rc = -1;

	mine.front = (struct job_front){ on_say, on_waits, on_progress, c };
	if (job_new(&mine, &j, err) == 0 && job_enter(j, err) == 0 &&
	    job_choose(j, 0, err) == 0 && job_match(j, err) == 0 &&
	    job_restore(j, err) == 0)
		rc = 0;
	job_free(j);
	return rc;
}

/* ------------------------------------------------------------ after a failure -- */

static void
run_shell(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

/* Non-zero: try again.  0: nobody can answer, and never will. */
static int
ask_again(struct console *c)
{
	char line[64];

	/* The image's init asks on every console, when we are gone. */
	if (!isatty(STDIN_FILENO))
		return 0;
	for (;;) {
		on_say(c, "Enter tries again, s and Enter gives a shell");
		if (fgets(line, sizeof(line), stdin) == NULL) {
			/* A line that hung up: what stands on the screen must stay. */
			while (isatty(STDIN_FILENO))
				pause();
			return 0;
		}
		if (line[0] != 's')
			return 1;
		run_shell();
	}
}

int
console_run(const struct job_config *config)
{
	struct console c = { .lock = PTHREAD_MUTEX_INITIALIZER,
		.terminal = isatty(STDOUT_FILENO) };
	struct err err = ERR_INIT;
	char line[ERR_TEXT_MAX + 16];

	while (attempt(config, &c, &err) != 0) {
		snprintf(line, sizeof(line), "failed: %s", err.text);
		on_say(&c, line);
		if (!ask_again(&c))
			return -1;
		err_clear(&err);
		c.code_ms = c.shown_ms = 0;
	}
	on_say(&c, "restored");
	return 0;
}
