#define _GNU_SOURCE /* renameat2, mkostemps */
#include "server/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/host/stop.h"
#include "server/cli/cli_nbdkit.h"

static const struct format {
	const char *name, *option, *compressed; /* Options of qemu-img convert. */
} formats[] = { { "raw", NULL, NULL }, { "qcow2", NULL, "compression_type=zstd" },
	{ "vhdx", "subformat=dynamic", NULL },
	{ "vmdk", "subformat=monolithicSparse", "subformat=streamOptimized" } };

struct export
{
	struct cli_nbdkit_job job;
	const struct format *format;
	const char *to;
	int compress, force, quiet;
	char partial[PATH_MAX];
	int fd;	   /* Of the partial file. */
	pid_t pid; /* qemu-img */
};

static const struct format *
format_of(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}

static void
end_child(void *arg)
{
	const struct export *e = arg;

	if (e->pid > 0)
		(void)kill(e->pid, SIGTERM);
}

/* Let qemu-img write the partial file. */
static int
convert(struct export *e, const struct cli_nbdkit *n, struct stop *stop, struct err *err)
{
	const char *option = e->compress ? e->format->compressed : e->format->option;
	char source[CLI_SOCKET_MAX + 32];
	char *argv[16];
	size_t k = 0;
	int rc;

	(void)snprintf(source, sizeof(source), "nbd+unix:///?socket=%s", n->socket);
	argv[k++] = (char *)"qemu-img";
	argv[k++] = (char *)"convert";
	if (!e->quiet)
		argv[k++] = (char *)"-p";
	if (e->compress)
		argv[k++] = (char *)"-c";
	argv[k++] = (char *)"-f";
	argv[k++] = (char *)"raw";
	argv[k++] = (char *)"-O";
	argv[k++] = (char *)(uintptr_t)e->format->name;
	if (option != NULL) {
		argv[k++] = (char *)"-o";
		argv[k++] = (char *)(uintptr_t)option;
	}
	argv[k++] = source;
	argv[k++] = e->partial;
	argv[k] = NULL;
	if ((e->pid = cli_spawn(argv, err)) < 0)
		return -1;
	stop_attach(stop, end_child, e);
	rc = stop_on_signals(stop, err) == 0 ? 0 : -1;
	if (rc != 0)
		end_child(e);
	k = (size_t)cli_reap(e->pid);
	stop_attach(stop, NULL, NULL);
	if (rc == 0 && stop_asked(stop))
		return err_set(err, ERR_CANCELED, "interrupted");
	if (rc == 0 && k == 127)
		return err_set(err, ERR_NOTFOUND,
		    "qemu-img does not run: is the package qemu-utils installed?");
	if (rc == 0 && k != 0)
		return err_set(err, ERR_IO, "qemu-img ended with status %zu", k);
	return rc;
}

/*
 * A file of a name that nobody has, so that two exports never write one.  To qemu-img
 * "a:b" would be a protocol, "./a:b" is not.
 */
static int
make_partial(struct export *e, struct err *err)
{
	if ((size_t)snprintf(e->partial, sizeof(e->partial), "%s%s.XXXXXX.partial",
		e->to[0] == '/' ? "" : "./", e->to) >= sizeof(e->partial))
		return err_set(err, ERR_LIMIT, "--to: too long");
	e->fd = mkostemps(e->partial, (int)strlen(".partial"), O_CLOEXEC);
	return e->fd < 0 ? err_os(err, errno, "%.150s", e->partial) : 0;
}

/* On disk, and under its own name. */
static int
settle(const struct export *e, struct err *err)
{
	mode_t mask = umask(0);

	(void)umask(mask);
	if (fchmod(e->fd, 0666 & ~mask) != 0 || fsync(e->fd) != 0)
		return err_os(err, errno, "%.150s", e->partial);
	if (!e->force) {
		if (renameat2(AT_FDCWD, e->partial, AT_FDCWD, e->to, RENAME_NOREPLACE) ==
		    0)
			return 0;
		if (errno != EINVAL && errno != ENOSYS)
			return err_os(err, errno, "%.150s", e->to);
	}
	return rename(e->partial, e->to) != 0 ? err_os(err, errno, "%.150s", e->to) : 0;
}

static int
run(struct export *e, struct err *err)
{
	struct stop *stop = stop_new(); /* Stays: a thread has it. */
	struct cli_nbdkit n;
	struct stat st;
	int rc;

	if (stop == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (stat(e->to, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return err_set(
			    err, ERR_EXISTS, "%.150s exists and is no file", e->to);
		if (!e->force)
			return err_set(
			    err, ERR_EXISTS, "%.150s exists: --force replaces it", e->to);
	}
	if (cli_nbdkit_start(&e->job, &n, err) != 0)
		return -1;
	/* Not before: an interrupt while the server is looked for just ends us. */
	if (make_partial(e, err) != 0) {
		cli_nbdkit_stop(&n);
		return -1;
	}
	rc = convert(e, &n, stop, err);
	cli_nbdkit_stop(&n);
	if (rc == 0)
		rc = settle(e, err);
	if (rc != 0)
		(void)unlink(e->partial);
	(void)close(e->fd);
	return rc;
}

/* The format by the file's name, unless one was given.  0, or 2 when that was said. */
static int
check(struct export *e, const char *disk, const char *format)
{
	const char *dot;

	if (e->to == NULL)
		return cli_usage("export", "--to FILE is missing");
	dot = strrchr(e->to, '.');
	if (format == NULL)
		format = dot != NULL ? dot + 1 : "";
	if (strcmp(format, "img") == 0)
		format = "raw";
	if ((e->format = format_of(format)) == NULL)
		return cli_usage(
		    "export", "'%s' is no format: qcow2, vhdx, vmdk or raw", format);
	if (e->compress && e->format->compressed == NULL)
		return cli_usage("export", "--compress is for qcow2 and vmdk");
	if (e->job.part.path[0] != '\0' ||
	    (disk != NULL && e->job.part.volume[0] != '\0'))
		return cli_usage("export", "a volume or a disk, and no path");
	e->job.part.disk = disk;
	e->job.whole = disk == NULL && e->job.part.volume[0] == '\0';
	return 0;
}

int
cli_export(struct cli *c, int argc, char **argv)
{
	enum { DISK = CLI_OPT_FIRST, TO, FORMAT, COMPRESS, FORCE, QUIET, RETRY };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "disk", required_argument, NULL, DISK },
		{ "to", required_argument, NULL, TO },
		{ "format", required_argument, NULL, FORMAT },
		{ "compress", no_argument, NULL, COMPRESS },
		{ "force", no_argument, NULL, FORCE },
		{ "quiet", no_argument, NULL, QUIET },
		{ "retry-for", required_argument, NULL, RETRY }, { NULL, 0, NULL, 0 } };
	struct export e = { .job = { .c = c } };
	const char *disk = NULL, *format = NULL;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case DISK:
			disk = optarg;
			break;
		case TO:
			e.to = optarg;
			break;
		case FORMAT:
			format = optarg;
			break;
		case COMPRESS:
			e.compress = 1;
			break;
		case FORCE:
			e.force = 1;
			break;
		case QUIET:
			e.quiet = 1;
			break;
		case RETRY:
			if (cli_duration(optarg, &e.job.retry_s) != 0)
				return cli_usage(
				    "export", "--retry-for %s: 90s, 5m or 1h", optarg);
			break;
		default:
			if ((rc = cli_option(c, "export", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("export", argc, argv, 1, 1, "HOST[/NUMBER][:VOLUME]")) != 0)
		return rc;
	if (cli_part_parse(argv[optind], &e.job.part, &err) != 0)
		return cli_fail("export", &err);
	if ((rc = check(&e, disk, format)) != 0)
		return rc;
	if (run(&e, &err) != 0)
		return cli_fail("export", &err);
	(void)printf("exported %s/%llu to %s (%s)\n", e.job.part.host,
	    (unsigned long long)e.job.part.sequence, e.to, e.format->name);
	return 0;
}
