#include "agent/host/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/err.h"

extern char **environ;

struct hooks_child {
	pid_t
	    pid; /* Its process group, too; reaped last of all, so that it stays ours. */
	int out;
};

/* --------------------------------------------------------- its environment -- */

static int
is_set_anew(const struct hooks_script *s, const char *entry)
{
	for (unsigned i = 0; i < s->variables_count; i++) {
		size_t len = strlen(s->variables[i].name);

		if (strncmp(entry, s->variables[i].name, len) == 0 && entry[len] == '=')
			return 1;
	}
	return 0;
}

static void
free_environment(char **env, size_t own)
{
	for (size_t i = own; env != NULL && env[i] != NULL; i++)
		free(env[i]);
	free(env);
}

/* Ours, and the script's variables behind; *own is how many are not to be freed. */
static char **
make_environment(const struct hooks_script *s, size_t *own)
{
	size_t n = 0, len;
	char **env;

	while (environ[n] != NULL)
		n++;
	if ((env = calloc(n + s->variables_count + 1, sizeof(*env))) == NULL)
		return NULL;
	n = 0;
	for (char **e = environ; *e != NULL; e++)
		if (!is_set_anew(s, *e))
			env[n++] = *e;
	*own = n;
	for (unsigned i = 0; i < s->variables_count; i++, n++) {
		const struct hooks_variable *v = &s->variables[i];

		len = strlen(v->name) + strlen(v->value) + 2;
		if ((env[n] = malloc(len)) == NULL) {
			free_environment(env, *own);
			return NULL;
		}
		(void)snprintf(env[n], len, "%s=%s", v->name, v->value);
	}
	return env;
}

/* ------------------------------------------------------------------- start -- */

/* Group of its own, no signal blocked, none ignored, input from nowhere. */
static int
spawn(const char *real, int out, char **env, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, pipes;
	char *argv[2];
	int os;

	argv[0] = (char *)(uintptr_t)real;
	argv[1] = NULL;
	sigemptyset(&none);
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr,
	    POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipes);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, out, 2);
	os = posix_spawn(pid, real, &files, &attr, argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return os;
}

/* Both ends are closed in whatever is started, but for what is put at 1 and 2. */
static int
make_pipe(int p[2])
{
	if (pipe(p) != 0)
		return errno;
	(void)fcntl(p[0], F_SETFD, FD_CLOEXEC);
	(void)fcntl(p[1], F_SETFD, FD_CLOEXEC);
	(void)fcntl(p[0], F_SETFL, O_NONBLOCK);
	return 0;
}

int
hooks_start(const struct hooks_script *script, const char *real, struct hooks_child **out,
    struct err *err)
{
	struct hooks_child *c = calloc(1, sizeof(*c));
	char **env = NULL;
	int p[2] = { -1, -1 }, os = ENOMEM;
	size_t own = 0;

	if (c == NULL || (env = make_environment(script, &own)) == NULL)
		goto out;
	if ((os = make_pipe(p)) == 0)
		os = spawn(real, p[1], env, &c->pid);
	if (os == 0) {
		c->out = p[0];
		p[0] = -1;
		*out = c;
		c = NULL;
	}
out:
	free_environment(env, own);
	if (p[0] >= 0)
		close(p[0]);
	if (p[1] >= 0)
		close(p[1]);
	free(c);
	return os == 0 ? 0 : err_os(err, os, "%s", script->path);
}

/* ---------------------------------------------------------------- the child -- */

long
hooks_read(struct hooks_child *c, char *p, size_t cap, uint32_t ms)
{
	struct pollfd f = { .fd = c->out, .events = POLLIN };
	ssize_t n;

	if (poll(&f, 1, (int)ms) <= 0)
		return 0;
	n = read(c->out, p, cap);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	return n > 0 ? (long)n : -1;
}

int
hooks_ended(struct hooks_child *c, int *exit_code, int *killed)
{
	siginfo_t s = { .si_pid = 0 };

	if (waitid(P_PID, (id_t)c->pid, &s, WEXITED | WNOHANG | WNOWAIT) != 0 ||
	    s.si_pid == 0)
		return 0;
	*exit_code = s.si_status;
	*killed = s.si_code != CLD_EXITED;
	return 1;
}

int
hooks_stop(struct hooks_child *c, int force)
{
	(void)kill(-c->pid, force ? SIGKILL : SIGTERM);
	return !force;
}

void
hooks_free(struct hooks_child *c)
{
	close(c->out);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(c);
}
