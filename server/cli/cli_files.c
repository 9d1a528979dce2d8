#include "server/cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/cli/cli_nbdkit.h"

#define PROGRAM "holdfast-files"

/* What a command line says, as holdfast-files takes it. */
struct request {
	const char *command;
	char flags[8];
	uint64_t retry_s;
	struct cli_part part;
	const char *to; /* Or NULL. */
};

static void
set(struct request *r, char flag)
{
	size_t n = strlen(r->flags);

	if (n + 1 < sizeof(r->flags) && strchr(r->flags, flag) == NULL)
		r->flags[n] = flag;
}

/* Become holdfast-files; returns only if that cannot be. */
static int
become(const struct cli *c, struct request *r, struct err *err)
{
	const char *who =
	    c->operator_dir != NULL ? c->operator_dir : getenv("HOLDFAST_OPERATOR");
	char program[PATH_MAX], sequence[24], retry[24];
	const char *argv[] = { PROGRAM, r->command, who,
		c->server != NULL ? c->server : "", r->part.host, sequence,
		r->part.volume, r->part.path, r->flags, retry, r->to, NULL };

	if (who == NULL)
		return err_set(err, ERR_NOTFOUND,
		    "who are you? Give --operator DIR or set HOLDFAST_OPERATOR");
	if (cli_companion(PROGRAM, program, sizeof(program), err) != 0)
		return -1;
	(void)snprintf(
	    sequence, sizeof(sequence), "%llu", (unsigned long long)r->part.sequence);
	(void)snprintf(retry, sizeof(retry), "%llu", (unsigned long long)r->retry_s);
	(void)execv(program, (char **)(uintptr_t)argv);
	return err_os(err, errno, "cannot run %.150s", program);
}

static int
start(const struct cli *c, struct request *r, const char *what)
{
	struct err err = ERR_INIT;

	if (cli_part_parse(what, &r->part, &err) == 0)
		(void)become(c, r, &err);
	return cli_fail(r->command, &err);
}

static int
retry(struct request *r, const char *text)
{
	if (cli_duration(text, &r->retry_s) == 0 && r->retry_s <= UINT32_MAX / 1000)
		return 0;
	return cli_usage(r->command, "--retry-for %s: 90s, 5m or 1h", text);
}

int
cli_ls(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST, STREAMS, RETRY };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "long", no_argument, NULL, 'l' },
		{ "recursive", no_argument, NULL, 'R' },
		{ "json", no_argument, NULL, JSON },
		{ "streams", no_argument, NULL, STREAMS },
		{ "retry-for", required_argument, NULL, RETRY }, { NULL, 0, NULL, 0 } };
	struct request r = { .command = "ls" };
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "lR", options, NULL)) != -1) {
		switch (opt) {
		case 'l':
		case 'R':
			set(&r, (char)opt);
			break;
		case JSON:
			set(&r, 'j');
			break;
		case STREAMS:
			set(&r, 's');
			break;
		case RETRY:
			if ((rc = retry(&r, optarg)) != 0)
				return rc;
			break;
		default:
			if ((rc = cli_option(c, "ls", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("ls", argc, argv, 1, 1, "HOST[/NUMBER][:VOLUME[/PATH]]")) !=
	    0)
		return rc;
	return start(c, &r, argv[optind]);
}

int
cli_cp(struct cli *c, int argc, char **argv)
{
	enum { FORCE = CLI_OPT_FIRST, STREAMS, QUIET, RETRY };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "recursive", no_argument, NULL, 'r' },
		{ "force", no_argument, NULL, FORCE },
		{ "streams", no_argument, NULL, STREAMS },
		{ "quiet", no_argument, NULL, QUIET },
		{ "retry-for", required_argument, NULL, RETRY }, { NULL, 0, NULL, 0 } };
	struct request r = { .command = "cp" };
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "rR", options, NULL)) != -1) {
		switch (opt) {
		case 'r':
		case 'R':
			set(&r, 'r');
			break;
		case FORCE:
			set(&r, 'f');
			break;
		case STREAMS:
			set(&r, 's');
			break;
		case QUIET:
			set(&r, 'q');
			break;
		case RETRY:
			if ((rc = retry(&r, optarg)) != 0)
				return rc;
			break;
		default:
			if ((rc = cli_option(c, "cp", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("cp", argc, argv, 2, 2,
		 "HOST[/NUMBER][:VOLUME]/PATH or the destination")) != 0)
		return rc;
	r.to = argv[optind + 1];
	return start(c, &r, argv[optind]);
}
