#include "server/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/host/stop.h"
#include "server/cli/cli_nbdkit.h"

static void
end_child(void *arg)
{
	const struct cli_nbdkit *n = arg;

	(void)kill(n->pid, SIGTERM);
}

/* A key that both sides know, made if there is no such file: "holdfast:<hex>". */
static int
make_psk(const char *path, struct err *err)
{
	uint8_t key[32];
	char line[9 + 2 * sizeof(key) + 2];
	struct stat st;
	int fd;

	if (stat(path, &st) == 0) {
		/* Whoever has it reads the point, and can pose as us. */
		if ((st.st_mode & 077) != 0)
			return err_set(err, ERR_DENIED,
			    "--tls-psk: others may read %.150s; chmod 600 it", path);
		return st.st_size > 0 ? 0
				      : err_set(err, ERR_CORRUPT,
					    "--tls-psk: %.150s is empty", path);
	}
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return err_os(err, errno, "getrandom");
	strcpy(line, "holdfast:");
	for (size_t i = 0; i < sizeof(key); i++)
		(void)sprintf(line + 9 + 2 * i, "%02x", key[i]);
	strcat(line, "\n");
	explicit_bzero(key, sizeof(key));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_os(err, errno, "%.150s", path);
	if (write(fd, line, strlen(line)) != (ssize_t)strlen(line)) {
		err_os(err, errno, "%.150s", path);
		explicit_bzero(line, sizeof(line));
		(void)close(fd);
		(void)unlink(path);
		return -1;
	}
	explicit_bzero(line, sizeof(line));
	(void)close(fd);
	return 0;
}

/* How a client finds it; one line, for scripts too. */
static void
say_where(const struct cli_nbdkit_job *job, const struct cli_nbdkit *n)
{
	(void)printf("%s/%llu %s%s: ", job->part.host,
	    (unsigned long long)job->part.sequence,
	    job->all		     ? "all volumes"
	    : job->part.disk != NULL ? "disk "
				     : "volume ",
	    job->all		     ? ""
	    : job->part.disk != NULL ? job->part.disk
				     : job->part.volume);
	if (n->socket[0] != '\0')
		(void)printf("nbd+unix:///?socket=%s\n", n->socket);
	else if (job->tls_certificates != NULL)
		(void)printf("nbds://%s/?tls-certificates=%s\n", job->listen,
		    job->tls_certificates);
	else
		(void)printf(
		    "nbds://holdfast@%s/?tls-psk-file=%s\n", job->listen, job->tls_psk);
	(void)fflush(stdout);
}

static int
serve(struct cli_nbdkit_job *job, struct stop *stop, struct err *err)
{
	struct cli_nbdkit n;
	int rc;

	/* It stays: the thread that waits for signals has it. */
	if (stop == NULL)
		return err_set(err, ERR_NOMEM, "no memory");
	if (job->tls_psk != NULL && make_psk(job->tls_psk, err) != 0)
		return -1;
	if (cli_nbdkit_start(job, &n, err) != 0)
		return -1;
	say_where(job, &n);
	stop_attach(stop, end_child, &n);
	if (stop_on_signals(stop, err) != 0) {
		cli_nbdkit_stop(&n);
		return -1;
	}
	rc = cli_reap(n.pid);
	stop_attach(stop, NULL, NULL);
	if (rc != 0 && !stop_asked(stop))
		return err_set(err, ERR_IO, "nbdkit ended with status %d", rc);
	return 0;
}

/* Do the options go together?  0, or 2 when that was said. */
static int
check(const struct cli_nbdkit_job *job)
{
	int tls = job->tls_certificates != NULL || job->tls_psk != NULL;

	if (job->listen != NULL && !tls)
		return cli_usage("nbd", "--listen needs --tls-psk or --tls-certificates");
	if (job->listen != NULL && job->socket != NULL)
		return cli_usage("nbd", "--listen or --socket, not both");
	if (job->listen == NULL && tls)
		return cli_usage("nbd", "TLS is for --listen; a socket is local");
	if (job->tls_certificates != NULL && job->tls_psk != NULL)
		return cli_usage("nbd", "--tls-psk or --tls-certificates, not both");
	return 0;
}

int
cli_nbd(struct cli *c, int argc, char **argv)
{
	enum { DISK = CLI_OPT_FIRST, SOCKET, LISTEN, CERTIFICATES, PSK, RETRY, CACHE };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "disk", required_argument, NULL, DISK },
		{ "socket", required_argument, NULL, SOCKET },
		{ "listen", required_argument, NULL, LISTEN },
		{ "tls-certificates", required_argument, NULL, CERTIFICATES },
		{ "tls-psk", required_argument, NULL, PSK },
		{ "retry-for", required_argument, NULL, RETRY },
		{ "cache", required_argument, NULL, CACHE }, { NULL, 0, NULL, 0 } };
	struct cli_nbdkit_job job = { .c = c };
	const char *disk = NULL;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case DISK:
			disk = optarg;
			break;
		case SOCKET:
			job.socket = optarg;
			break;
		case LISTEN:
			job.listen = optarg;
			break;
		case CERTIFICATES:
			job.tls_certificates = optarg;
			break;
		case PSK:
			job.tls_psk = optarg;
			break;
		case RETRY:
			if (cli_duration(optarg, &job.retry_s) != 0)
				return cli_usage(
				    "nbd", "--retry-for %s: 90s, 5m or 1h", optarg);
			break;
		case CACHE:
			if (cli_rate(optarg, &job.cache_mb) != 0 ||
			    (job.cache_mb >>= 20) == 0)
				return cli_usage("nbd", "--cache %s: 128M or 1G", optarg);
			break;
		default:
			if ((rc = cli_option(c, "nbd", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("nbd", argc, argv, 1, 1, "HOST[/NUMBER][:VOLUME]")) != 0 ||
	    (rc = check(&job)) != 0)
		return rc;
	if (cli_part_parse(argv[optind], &job.part, &err) != 0)
		return cli_fail("nbd", &err);
	if (job.part.path[0] != '\0' || (disk != NULL && job.part.volume[0] != '\0'))
		return cli_usage("nbd", "a volume or a disk, and no path");
	job.part.disk = disk;
	job.all = disk == NULL && job.part.volume[0] == '\0';
	return serve(&job, stop_new(), &err) == 0 ? 0 : cli_fail("nbd", &err);
}
