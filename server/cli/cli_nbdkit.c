#include "server/cli/cli_nbdkit.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/tree/disk_reader.h"
#include "agent/tree/tree_reader.h"
#include "server/cli/cli.h"

#define MODULE "holdfast-nbd.so"
#define ARGS_MAX 32
#define STOP_MS 10000

/* ---------------------------------------------------------------------- names -- */

int
cli_part_parse(const char *text, struct cli_part *out, struct err *err)
{
	const char *colon = strchr(text, ':'), *slash;
	char point[CERT_NAME_MAX + 24];
	size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);

	memset(out, 0, sizeof(*out));
	out->path = "";
	if (n >= sizeof(point))
		return err_set(err, ERR_NOTFOUND, "point '%.80s': no such host", text);
	memcpy(point, text, n);
	point[n] = '\0';
	if (cli_point_name(point, out->host, &out->sequence, err) != 0)
		return -1;
	if (colon == NULL)
		return 0;
	slash = strpbrk(colon, "/\\");
	n = slash != NULL ? (size_t)(slash - colon - 1) : strlen(colon + 1);
	if (n >= sizeof(out->volume))
		return err_set(
		    err, ERR_NOTFOUND, "no volume has a name like '%.80s'", colon + 1);
	memcpy(out->volume, colon + 1, n);
	if (slash != NULL)
		out->path = slash;
	return 0;
}

int
cli_companion(const char *name, char *out, size_t cap, struct err *err)
{
	static const char *const places[] = { "", "/../lib/holdfast" };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	if (strrchr(self, '/') != NULL)
		*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if ((size_t)snprintf(out, cap, "%s%s/%s", self, places[i], name) < cap &&
		    access(out, R_OK) == 0)
			return 0;
	}
	return err_set(
	    err, ERR_NOTFOUND, "%s is not installed beside this program", name);
}

/* ------------------------------------------------------------------- processes -- */

pid_t
cli_spawn(char *const argv[], struct err *err)
{
	pid_t parent = getpid(), pid = fork();
	sigset_t none;

	if (pid < 0)
		return err_os(err, errno, "fork");
	if (pid > 0)
		return pid;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	(void)execvp(argv[0], argv);
	(void)fprintf(stderr, "holdfast: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int
cli_reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void
cli_nbdkit_stop(struct cli_nbdkit *n)
{
	const struct timespec pause = { 0, 10 * 1000000 };

	if (n->pid <= 0)
		return;
	(void)kill(n->pid, SIGTERM);
	for (int ms = 0; ms < STOP_MS; ms += 10) {
		if (waitpid(n->pid, NULL, WNOHANG) != 0) {
			n->pid = 0;
			return;
		}
		(void)nanosleep(&pause, NULL);
	}
	/* A read may wait for a server that is gone. */
	(void)kill(n->pid, SIGKILL);
	(void)cli_reap(n->pid);
	n->pid = 0;
	if (n->socket[0] != '\0')
		(void)unlink(n->socket);
	if (n->own_dir)
		(void)rmdir(dirname(n->socket));
}

/* ---------------------------------------------------------------------- nbdkit -- */

/* That it can be read at all is best said here, in one line. */
static int
look(struct cli_nbdkit_job *job, struct cli_nbdkit *n, struct err *err)
{
	struct tree_point_config config = { .dial = cli_dial,
		.arg = job->c,
		.host = job->part.host,
		.sequence = job->part.sequence,
		.sessions = 1,
		.no_ahead = 1 };
	struct tree_point *p;
	struct tree_reader *v = NULL;
	struct disk_reader *d = NULL;
	size_t len;
	int rc = 0;

	if (tree_point_open(&config, &p, err) != 0)
		return -1;
	job->part.sequence = tree_point_sequence(p);
	if (job->whole && tree_point_layout(p, &len) != NULL)
		job->part.disk = "";
	if (job->part.disk != NULL)
		rc = disk_reader_open(p, job->part.disk, &d, err);
	else if (!job->all)
		rc = tree_reader_open(p, job->part.volume, &v, err);
	if (v != NULL)
		(void)snprintf(n->fs, sizeof(n->fs), "%.15s", tree_reader_root(v)->fs);
	disk_reader_close(d);
	tree_reader_close(v);
	tree_point_close(p);
	return rc;
}

int
cli_private_dir(const char *name, char out[CLI_SOCKET_MAX], struct err *err)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	if (base == NULL || access(base, W_OK) != 0 || strlen(base) > 40)
		base = "/tmp";
	(void)snprintf(out, CLI_SOCKET_MAX, "%s/%s-XXXXXX", base, name);
	if (mkdtemp(out) == NULL)
		return err_os(err, errno, "%.80s", out);
	return 0;
}

/* A place for the socket that nobody else can reach. */
static int
make_socket(const struct cli_nbdkit_job *job, struct cli_nbdkit *n, struct err *err)
{
	if (job->socket != NULL) {
		if (strlen(job->socket) >= sizeof(n->socket))
			return err_set(err, ERR_LIMIT, "--socket: longer than %zu bytes",
			    sizeof(n->socket) - 1);
		if (access(job->socket, F_OK) == 0)
			return err_set(
			    err, ERR_EXISTS, "--socket: %.100s exists", job->socket);
		strcpy(n->socket, job->socket);
		return 0;
	}
	if (cli_private_dir("holdfast-nbd", n->socket, err) != 0)
		return -1;
	n->own_dir = 1;
	strcat(n->socket, "/socket");
	return 0;
}

/* Parameters as nbdkit takes them, in one run of memory. */
struct args {
	char *v[ARGS_MAX];
	size_t n;
};

static void
add(struct args *a, const char *key, const char *value)
{
	char *text;

	if (value == NULL || a->n + 1 >= ARGS_MAX ||
	    (text = malloc(strlen(key) + strlen(value) + 1)) == NULL)
		return;
	(void)sprintf(text, "%s%s", key, value);
	a->v[a->n++] = text;
	a->v[a->n] = NULL;
}

static void
add_number(struct args *a, const char *key, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add(a, key, text);
}

static void
args_free(struct args *a)
{
	while (a->n > 0)
		free(a->v[--a->n]);
}

/* HOST:PORT as two options. */
static int
add_listen(struct args *a, const struct cli_nbdkit_job *job, struct err *err)
{
	const char *colon = strrchr(job->listen, ':');
	char host[128];
	size_t n;

	if (colon == NULL || colon == job->listen || colon[1] == '\0' ||
	    (size_t)(colon - job->listen) >= sizeof(host))
		return err_set(
		    err, ERR_NOTFOUND, "--listen %.100s: HOST:PORT is due", job->listen);
	n = (size_t)(colon - job->listen);
	/* [::1]:10809 */
	if (job->listen[0] == '[' && job->listen[n - 1] == ']') {
		memcpy(host, job->listen + 1, n - 2);
		n -= 2;
	} else {
		memcpy(host, job->listen, n);
	}
	host[n] = '\0';
	add(a, "--ipaddr=", host);
	add(a, "--port=", colon + 1);
	add(a, "--tls=", "require");
	if (job->tls_certificates != NULL) {
		add(a, "--tls-certificates=", job->tls_certificates);
		add(a, "", "--tls-verify-peer");
	} else {
		add(a, "--tls-psk=", job->tls_psk);
	}
	return 0;
}

static int
build(struct args *a, const struct cli_nbdkit_job *job, const struct cli_nbdkit *n,
    const char *module, int ready, struct err *err)
{
	const char *dir = job->c->operator_dir != NULL ? job->c->operator_dir
						       : getenv("HOLDFAST_OPERATOR");

	add(a, "", "nbdkit");
	add(a, "", "--foreground");
	add(a, "", "--readonly");
	add(a, "", "--exit-with-parent");
	add(a, "--threads=", "16");
	if (n->socket[0] != '\0')
		add(a, "--unix=", n->socket);
	else if (add_listen(a, job, err) != 0)
		return -1;
	add(a, "", module);
	add(a, "operator=", dir);
	add(a, "server=", job->c->server);
	add(a, "host=", job->part.host);
	add_number(a, "sequence=", job->part.sequence);
	if (job->part.disk != NULL)
		add(a, "disk=", job->part.disk);
	else if (!job->all)
		add(a, "volume=", job->part.volume);
	if (job->retry_s > 0)
		add_number(a, "retry-for=", job->retry_s);
	if (job->cache_mb > 0)
		add_number(a, "cache=", job->cache_mb);
	if (n->socket[0] != '\0')
		add(a, n->own_dir ? "remove-with-directory=" : "remove=", n->socket);
	add_number(a, "ready-fd=", (uint64_t)ready);
	return 0;
}

static int
launch(const struct cli_nbdkit_job *job, struct cli_nbdkit *n, struct err *err)
{
	char module[PATH_MAX], byte;
	struct args args = { .n = 0 };
	int fds[2], rc;

	if (cli_companion(MODULE, module, sizeof(module), err) != 0)
		return -1;
	if (pipe(fds) != 0)
		return err_os(err, errno, "pipe");
	(void)fcntl(fds[0], F_SETFD, FD_CLOEXEC);
	rc = build(&args, job, n, module, fds[1], err);
	if (rc == 0 && (n->pid = cli_spawn(args.v, err)) < 0)
		rc = -1;
	(void)close(fds[1]);
	args_free(&args);
	if (rc == 0 && read(fds[0], &byte, 1) != 1) {
		/* It has said why. */
		rc = cli_reap(n->pid);
		n->pid = 0;
		if (rc == 127)
			rc = err_set(err, ERR_NOTFOUND,
			    "nbdkit does not run: is the package nbdkit installed?");
		else
			rc = err_set(err, ERR_IO, "nbdkit ended with status %d", rc);
	}
	(void)close(fds[0]);
	return rc;
}

int
cli_nbdkit_start(struct cli_nbdkit_job *job, struct cli_nbdkit *out, struct err *err)
{
	memset(out, 0, sizeof(*out));
	if (look(job, out, err) != 0 ||
	    (job->listen == NULL && make_socket(job, out, err) != 0))
		return -1;
	if (launch(job, out, err) == 0)
		return 0;
	if (out->socket[0] != '\0')
		(void)unlink(out->socket);
	if (out->own_dir)
		(void)rmdir(dirname(out->socket));
	return -1;
}
