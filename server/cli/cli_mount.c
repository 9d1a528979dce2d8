#define _GNU_SOURCE /* O_PATH */
#include "server/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/host/stop.h"
#include "server/cli/cli_nbdkit.h"

#define READY_MS 60000
#define GONE_MS 15000

/*
 * nbdkit serves the volume, nbdfuse makes a file of it, ntfs-3g mounts that.
 * All three are children that end with us; what they leave mounted a keeper takes away,
 * a process that waits for our end, whatever that is.
 */
struct mounting {
	struct cli_nbdkit_job job;
	char dir[PATH_MAX];	  /* The user's. */
	char own[CLI_SOCKET_MAX]; /* Ours; the file is in "m" below. */
	char below[CLI_SOCKET_MAX + 8], file[CLI_SOCKET_MAX + 16];
	char whole[CLI_SOCKET_MAX + 8]; /* The volume, when only a part is the user's. */
	const char *at;			/* Where ntfs-3g mounts: `whole` or `dir`. */
	pid_t keeper, nbdfuse, fs;
	int keeper_fd; /* Closed when we end. */
	struct cli_nbdkit nbdkit;
};

static void
pause_ms(long ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}

/* Is a file system mounted exactly here? */
static int
is_mounted(const char *dir)
{
	char up[PATH_MAX + 4];
	struct stat a, b;

	(void)snprintf(up, sizeof(up), "%s/..", dir);
	return stat(dir, &a) == 0 && stat(up, &b) == 0 && a.st_dev != b.st_dev;
}

/* --------------------------------------------------------------------- the keeper -- */

static void
take_away(const char *dir)
{
	char *const argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"-z",
		(char *)"-q", (char *)(uintptr_t)dir, NULL };
	struct err ignored = ERR_INIT;
	pid_t pid;

	if (umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL)
		return;
	if ((pid = cli_spawn(argv, &ignored)) > 0)
		(void)cli_reap(pid);
}

/* Wait until we are gone or say that it is over, then clear away. */
static void
keep(const struct mounting *m, int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char byte;

	(void)setsid();
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	/* Whoever waits for the end of what a command says does not mean us. */
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
	}
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	take_away(m->dir);
	take_away(m->whole);
	(void)rmdir(m->whole);
	for (int ms = 0; ms < GONE_MS; ms += 20) {
		take_away(m->below);
		if (rmdir(m->below) == 0 || errno == ENOENT)
			break;
		pause_ms(20);
	}
	(void)rmdir(m->own);
	_exit(0);
}

static int
start_keeper(struct mounting *m, struct err *err)
{
	int fds[2];

	if (pipe(fds) != 0)
		return err_os(err, errno, "pipe");
	(void)fcntl(fds[0], F_SETFD, FD_CLOEXEC);
	(void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
	if ((m->keeper = fork()) < 0)
		return err_os(err, errno, "fork");
	if (m->keeper == 0) {
		(void)close(fds[1]);
		keep(m, fds[0]);
	}
	(void)close(fds[0]);
	m->keeper_fd = fds[1];
	return 0;
}

/* ---------------------------------------------------------------- the mounts -- */

/* Wait until `there`, as long as child `pid` lives. */
static int
await(int (*there)(const struct mounting *m), const struct mounting *m, pid_t *pid,
    const char *who, struct err *err)
{
	for (int ms = 0; ms < READY_MS; ms += 20) {
		if (there(m))
			return 0;
		if (waitpid(*pid, NULL, WNOHANG) == *pid) {
			*pid = 0;
			return err_set(err, ERR_IO, "%s failed: see above", who);
		}
		pause_ms(20);
	}
	return err_set(err, ERR_TIMEOUT, "%s did not mount it", who);
}

static int
file_there(const struct mounting *m)
{
	return access(m->file, R_OK) == 0;
}

static int
dir_there(const struct mounting *m)
{
	return is_mounted(m->at);
}

static int
start_nbdfuse(struct mounting *m, struct err *err)
{
	char uri[CLI_SOCKET_MAX + 32];
	char *const argv[] = { (char *)"nbdfuse", (char *)"-r", m->below, uri, NULL };

	(void)snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", m->nbdkit.socket);
	if ((m->nbdfuse = cli_spawn(argv, err)) < 0)
		return -1;
	return await(file_there, m, &m->nbdfuse, "nbdfuse (package libnbd-bin)", err);
}

static int
start_fs(struct mounting *m, struct err *err)
{
	char *const ntfs[] = { (char *)"ntfs-3g", (char *)"-o",
		(char *)"ro,no_detach,streams_interface=windows,efs_raw", m->file,
		(char *)(uintptr_t)m->at, NULL };

	if ((m->fs = cli_spawn(ntfs, err)) < 0)
		return -1;
	return await(dir_there, m, &m->fs, "ntfs-3g (package ntfs-3g)", err);
}

/*
 * The part of the volume becomes the user's mount, and the whole goes: the file system
 * lives for as long as one of them does.  Links in the path are the volume's, and are
 * not followed.
 */
static int
show_part(struct mounting *m, struct err *err)
{
	const char *path = m->job.part.path + strspn(m->job.part.path, "/");
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	int top = open(m->whole, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1, rc = 0;
	char proc[32];

	if (top < 0 || (fd = (int)syscall(SYS_openat2, top, path, &how, sizeof(how))) < 0)
		rc = err_os(err, errno, "%.150s in the volume", m->job.part.path);
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (rc == 0 && mount(proc, m->dir, NULL, MS_BIND, NULL) != 0)
		rc = err_os(err, errno, "%.150s", m->dir);
	if (fd >= 0)
		(void)close(fd);
	if (top >= 0)
		(void)close(top);
	if (rc == 0)
		take_away(m->whole);
	return rc;
}

static int
prepare(struct mounting *m, struct err *err)
{
	if (is_mounted(m->dir))
		return err_set(err, ERR_BUSY, "%.150s is a mount point already", m->dir);
	if (cli_private_dir("holdfast-mount", m->own, err) != 0)
		return -1;
	(void)snprintf(m->below, sizeof(m->below), "%s/m", m->own);
	(void)snprintf(m->file, sizeof(m->file), "%s/nbd", m->below);
	(void)snprintf(m->whole, sizeof(m->whole), "%s/v", m->own);
	m->at =
	    m->job.part.path[strspn(m->job.part.path, "/")] != '\0' ? m->whole : m->dir;
	if (mkdir(m->below, 0700) != 0 || mkdir(m->whole, 0700) != 0)
		return err_os(err, errno, "%.80s", m->own);
	return start_keeper(m, err);
}

static int
can_mount(const struct mounting *m, struct err *err)
{
	const char *fs = m->nbdkit.fs;

	if (strcmp(fs, "ntfs") == 0)
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
	    "volume '%s' is %s: only NTFS is mounted, the rest is for `holdfast nbd`",
	    m->job.part.volume, fs);
}

static int
start(struct mounting *m, struct err *err)
{
	if (prepare(m, err) != 0 || cli_nbdkit_start(&m->job, &m->nbdkit, err) != 0 ||
	    can_mount(m, err) != 0 || start_nbdfuse(m, err) != 0 || start_fs(m, err) != 0)
		return -1;
	return m->at == m->whole ? show_part(m, err) : 0;
}

static void
end_fs(void *arg)
{
	const struct mounting *m = arg;

	(void)kill(m->fs, SIGTERM);
}

static void
end_child(pid_t *pid)
{
	if (*pid <= 0)
		return;
	(void)kill(*pid, SIGTERM);
	for (int ms = 0; ms < GONE_MS; ms += 10) {
		if (waitpid(*pid, NULL, WNOHANG) != 0) {
			*pid = 0;
			return;
		}
		pause_ms(10);
	}
	(void)kill(*pid, SIGKILL);
	(void)cli_reap(*pid);
}

static void
finish(struct mounting *m)
{
	end_child(&m->fs);
	end_child(&m->nbdfuse);
	cli_nbdkit_stop(&m->nbdkit);
	if (m->keeper > 0) {
		(void)close(m->keeper_fd);
		(void)cli_reap(m->keeper);
	} else if (m->own[0] != '\0') {
		(void)rmdir(m->whole);
		(void)rmdir(m->below);
		(void)rmdir(m->own);
	}
}

/* Any of the three ends: it is over. */
static void
wait_for_end(struct mounting *m)
{
	pid_t pid;

	do
		pid = waitpid(-1, NULL, 0);
	while ((pid < 0 && errno == EINTR) ||
	       (pid > 0 && pid != m->fs && pid != m->nbdfuse && pid != m->nbdkit.pid));
	if (pid == m->fs)
		m->fs = 0;
	else if (pid == m->nbdfuse)
		m->nbdfuse = 0;
	else if (pid == m->nbdkit.pid)
		m->nbdkit.pid = 0;
}

/* Mount, say so to `told`, and stay until it ends. */
static int
stay(struct mounting *m, FILE *told, struct err *err)
{
	struct stop *stop = stop_new(); /* Stays: a thread has it. */
	int rc = stop == NULL ? err_set(err, ERR_NOMEM, "out of memory") : start(m, err);

	if (rc == 0) {
		stop_attach(stop, end_fs, m);
		rc = stop_on_signals(stop, err);
	}
	if (rc == 0) {
		(void)fprintf(told, "mounted %s/%llu volume %s on %s\n", m->job.part.host,
		    (unsigned long long)m->job.part.sequence, m->job.part.volume, m->dir);
		if (told == stdout) {
			(void)fflush(told);
		} else {
			(void)fputc('\0', told);
			(void)fclose(told);
		}
		wait_for_end(m);
		stop_attach(stop, NULL, NULL);
	}
	finish(m);
	return rc;
}

/*
 * The process behind, and its children: none has the caller's descriptors, whose end
 * somebody may wait for.  What they print goes to `said`; nobody empties it later, and
 * a full pipe takes no more.
 */
static int
behind(struct mounting *m, int told, int said)
{
	FILE *to = fdopen(told, "w");
	struct err err = ERR_INIT;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	(void)dup2(null, 0);
	(void)dup2(said, 1);
	(void)dup2(said, 2);
	if (to == NULL) {
		err_os(&err, errno, "fdopen");
		return cli_fail("mount", &err);
	}
	return stay(m, to, &err) == 0 ? 0 : cli_fail("mount", &err);
}

/* What there is in `fd` up to a NUL or its end; 1 if there was a NUL. */
static int
pass_on(int fd, FILE *to)
{
	char c;

	while (read(fd, &c, 1) == 1) {
		if (c == '\0')
			return 1;
		(void)fputc(c, to);
	}
	return 0;
}

/* The same in a process of its own; 0 once it is mounted. */
static int
stay_behind(struct mounting *m)
{
	struct err err = ERR_INIT;
	int told[2], said[2], rc;
	pid_t pid;

	if (pipe(told) != 0 || pipe(said) != 0) {
		err_os(&err, errno, "pipe");
		return cli_fail("mount", &err);
	}
	for (int i = 0; i < 2; i++) {
		(void)fcntl(told[i], F_SETFD, FD_CLOEXEC);
		(void)fcntl(said[i], F_SETFD, FD_CLOEXEC);
		(void)fcntl(said[i], F_SETFL, O_NONBLOCK);
	}
	if ((pid = fork()) < 0) {
		err_os(&err, errno, "fork");
		return cli_fail("mount", &err);
	}
	if (pid == 0) {
		(void)close(told[0]);
		_exit(behind(m, told[1], said[1]));
	}
	(void)close(told[1]);
	(void)close(said[1]);
	if (pass_on(told[0], stdout))
		return 0;
	rc = cli_reap(pid);
	(void)pass_on(said[0], stderr);
	return rc;
}

int
cli_mount(struct cli *c, int argc, char **argv)
{
	enum { BACKGROUND = CLI_OPT_FIRST, RETRY };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "background", no_argument, NULL, BACKGROUND },
		{ "retry-for", required_argument, NULL, RETRY }, { NULL, 0, NULL, 0 } };
	static struct mounting m;
	struct err err = ERR_INIT;
	int opt, rc, background = 0;

	m.job.c = c;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case BACKGROUND:
			background = 1;
			break;
		case RETRY:
			if (cli_duration(optarg, &m.job.retry_s) != 0)
				return cli_usage(
				    "mount", "--retry-for %s: 90s, 5m or 1h", optarg);
			break;
		default:
			if ((rc = cli_option(c, "mount", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("mount", argc, argv, 2, 2,
		 "HOST[/NUMBER][:VOLUME[/PATH]] or the directory")) != 0)
		return rc;
	if (cli_part_parse(argv[optind], &m.job.part, &err) != 0)
		return cli_fail("mount", &err);
	if (realpath(argv[optind + 1], m.dir) == NULL) {
		err_os(&err, errno, "%.150s", argv[optind + 1]);
		return cli_fail("mount", &err);
	}
	if (background)
		return stay_behind(&m);
	return stay(&m, stdout, &err) == 0 ? 0 : cli_fail("mount", &err);
}

/* ------------------------------------------------------------------------- umount -- */

/* In that table spaces and the like are "\\040". */
static void
unescape(char *text)
{
	char *out = text;

	while (*text != '\0') {
		if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3) {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
					(text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

/*
 * Ours is mounted on `dir`: what it comes from, and so the directory that goes when all
 * is over.  -1 if there is none.
 */
static int
mounted_from(const char *dir, char own[PATH_MAX])
{
	FILE *f = fopen("/proc/self/mounts", "r");
	char line[2 * PATH_MAX], source[PATH_MAX], where[PATH_MAX];
	char *end;
	int found = -1;

	if (f == NULL)
		return -1;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "%4095s %4095s", source, where) == 2) {
			unescape(source);
			unescape(where);
			if (strcmp(where, dir) != 0 ||
			    (end = strstr(source, "/m/nbd")) == NULL ||
			    strstr(source, "/holdfast-mount-") == NULL)
				continue;
			*end = '\0';
			strcpy(own, source);
			found = 0;
		}
	(void)fclose(f);
	return found;
}

static int
unmount(const char *dir, struct err *err)
{
	char *const argv[] = { (char *)"fusermount3", (char *)"-u",
		(char *)(uintptr_t)dir, NULL };
	pid_t pid;

	if (umount2(dir, UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno != EPERM)
		return err_os(err, errno, "%.150s", dir);
	if ((pid = cli_spawn(argv, err)) < 0)
		return -1;
	return cli_reap(pid) == 0 ? 0
				  : err_set(err, ERR_IO, "fusermount3 failed: see above");
}

int
cli_umount(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON, { NULL, 0, NULL, 0 } };
	char dir[PATH_MAX], own[PATH_MAX];
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		if ((rc = cli_option(c, "umount", opt)) != 0)
			return rc - 1;
	if ((rc = cli_words("umount", argc, argv, 1, 1, "the directory")) != 0)
		return rc;
	if (realpath(argv[optind], dir) == NULL) {
		err_os(&err, errno, "%.150s", argv[optind]);
	} else if (mounted_from(dir, own) != 0) {
		err_set(&err, ERR_NOTFOUND, "no `holdfast mount` is on %.150s", dir);
	} else if (unmount(dir, &err) == 0) {
		/* Whoever mounted it clears away now. */
		for (int ms = 0; ms < GONE_MS && access(own, F_OK) == 0; ms += 20)
			pause_ms(20);
		return 0;
	}
	return cli_fail("umount", &err);
}
