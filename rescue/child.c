#define _GNU_SOURCE /* pipe2 */
#include "rescue/child.h"

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

#include "agent/host/stop.h"
#include "proto/base/err.h"

#define LINE_MAX_LEN 512u
#define TICK_MS 200

/* Its output as lines. */
struct reading {
	const struct child_job *job;
	char line[LINE_MAX_LEN];
	size_t len;
};

/* PATH of a rescue system may be anything, of cron it lacks sbin. */
static int
spawn(const char *const *argv, int out, pid_t *pid)
{
	static const char *const places[] = { "", "/usr/sbin/", "/sbin/", "/usr/bin/",
		"/bin/" };
	/* Messages are compared with: no translations. */
	static char *const environment[] = { "LC_ALL=C",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	posix_spawn_file_actions_t actions;
	char path[256];
	int os = ENOENT;
	size_t i;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, out, 2);
	for (i = 0; i < sizeof(places) / sizeof(places[0]) && os == ENOENT; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", places[i], argv[0]);
		os = posix_spawnp(pid, path, &actions, NULL,
		    (char *const *)(uintptr_t)argv, environment);
	}
	posix_spawn_file_actions_destroy(&actions);
	return os;
}

static void
take_bytes(struct reading *r, const char *p, size_t n)
{
	for (; n > 0; p++, n--) {
		if (*p != '\n' && *p != '\r') {
			if (r->len + 1 < sizeof(r->line))
				r->line[r->len++] = *p;
			continue;
		}
		r->line[r->len] = '\0';
		if (r->len > 0 && r->job->line != NULL)
			r->job->line(r->job->arg, r->line);
		r->len = 0;
	}
}

/* Until it closes its output; a request to stop kills it. */
static void
read_all(const struct child_job *job, int fd, pid_t pid)
{
	struct reading r = { .job = job };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[4096];
	int killed = 0;
	ssize_t n;

	for (;;) {
		if (!killed && stop_asked(job->stop)) {
			kill(pid, SIGKILL);
			if (job->stopped != NULL)
				job->stopped(job->stopped_arg);
			killed = 1;
		}
		if (poll(&p, 1, TICK_MS) == 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		take_bytes(&r, buf, (size_t)n);
	}
	take_bytes(&r, "\n", 1);
}

int
child_run(const struct child_job *job, int *status, struct err *err)
{
	int fds[2], os, how = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return err_os(err, errno, "%s", job->argv[0]);
	os = spawn(job->argv, fds[1], &pid);
	close(fds[1]);
	if (os != 0) {
		close(fds[0]);
		if (os == ENOENT)
			return err_set(err, ERR_UNSUPPORTED,
			    "there is no program %s here (package ntfs-3g)",
			    job->argv[0]);
		return err_os(err, os, "%s", job->argv[0]);
	}
	read_all(job, fds[0], pid);
	close(fds[0]);
	while (waitpid(pid, &how, 0) < 0)
		if (errno != EINTR)
			return err_os(err, errno, "%s", job->argv[0]);
	if (stop_asked(job->stop))
		return err_set(err, ERR_CANCELED, "stopped");
	*status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
	return 0;
}
