#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "agent/restore.h"
#include "agent/stop.h"
#include "proto/chunk/chunk_id.h"

/* What the point has, as far as choosing a volume needs it. */
struct choice {
	const char *wanted; /* NULL: the only one. */
	char volume[RESTORE_NAME_MAX];
	char names[120];
	uint64_t sequence;
	size_t volumes;
	int found;
};

static int
choose(void *arg, const Wire__Point *p)
{
	struct choice *c = arg;
	size_t n = 0;

	c->sequence = p->sequence;
	c->volumes = p->n_volumes;
	for (size_t i = 0; i < p->n_volumes; i++) {
		const char *name = p->volumes[i]->name;

		if (n + 1 < sizeof(c->names))
			n += (size_t)snprintf(c->names + n, sizeof(c->names) - n, "%s%s",
			    i > 0 ? ", " : "", name);
		if (c->wanted != NULL ? strcmp(name, c->wanted) == 0
				      : p->n_volumes == 1) {
			(void)snprintf(c->volume, sizeof(c->volume), "%.63s", name);
			c->found = 1;
		}
	}
	return 1;
}

static int
pick_volume(struct cli *c, const char *host, uint64_t sequence, struct choice *choice,
    struct err *err)
{
	if (cli_fetch_points(c, host, sequence, 1, choose, choice, err) != 0)
		return -1;
	if (choice->sequence == 0)
		return err_set(err, ERR_NOTFOUND, "'%s' has no points", host);
	if (choice->found)
		return 0;
	if (choice->wanted != NULL)
		return err_set(err, ERR_NOTFOUND,
		    "point %s/%llu has no volume '%.60s', but %s", host,
		    (unsigned long long)choice->sequence, choice->wanted, choice->names);
	return err_set(err, ERR_NOTFOUND,
	    "point %s/%llu has %zu volumes: say --volume, of %s", host,
	    (unsigned long long)choice->sequence, choice->volumes, choice->names);
}

static int
restore(struct cli *c, struct restore_job *job, struct choice *choice,
    struct restore_result *out, struct err *err)
{
	struct stop *stop = stop_new();
	struct chunk_keys keys;

	if (stop == NULL)
		return err_set(err, ERR_NOMEM, "no memory to restore");
	/* It stays: the thread that waits for signals has it. */
	c->stop = stop;
	if (stop_on_signals(stop, err) != 0 || cli_connect(c, err) != 0 ||
	    pick_volume(c, job->host, job->sequence, choice, err) != 0)
		return -1;
	chunk_keys_init(&keys, c->domain_key);
	job->ch = c->ch;
	job->keys = &keys;
	job->sequence = choice->sequence;
	job->volume = choice->volume;
	job->stop = stop;
	return restore_run(job, out, err);
}

int
cli_restore(struct cli *c, int argc, char **argv)
{
	enum { VOLUME = CLI_OPT_FIRST, TO, DELTA, FORCE, ZERO_HOLES, DISCARD, QUIET };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "volume", required_argument, NULL, VOLUME },
		{ "to", required_argument, NULL, TO },
		{ "delta", no_argument, NULL, DELTA },
		{ "force", no_argument, NULL, FORCE },
		{ "zero-holes", no_argument, NULL, ZERO_HOLES },
		{ "discard", no_argument, NULL, DISCARD },
		{ "quiet", no_argument, NULL, QUIET }, { NULL, 0, NULL, 0 } };
	struct restore_job job = { .mode = PROGRESS_AUTO };
	struct restore_result r = { .size = 0 };
	struct choice choice = { .wanted = NULL };
	char host[CERT_NAME_MAX];
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case VOLUME:
			choice.wanted = optarg;
			break;
		case TO:
			job.target = optarg;
			break;
		case DELTA:
			job.flags |= RESTORE_DELTA;
			break;
		case FORCE:
			job.flags |= RESTORE_FORCE;
			break;
		case ZERO_HOLES:
			job.flags |= RESTORE_ZERO_HOLES;
			break;
		case DISCARD:
			job.flags |= RESTORE_DISCARD;
			break;
		case QUIET:
			job.mode = PROGRESS_QUIET;
			break;
		default:
			if ((rc = cli_option(c, "restore", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("restore", argc, argv, 1, 1, "HOST[/NUMBER]")) != 0)
		return rc;
	if (job.target == NULL)
		return cli_usage("restore", "--to FILE|DEVICE is missing");
	job.host = host;
	if (cli_point_name(argv[optind], host, &job.sequence, &err) != 0 ||
	    restore(c, &job, &choice, &r, &err) != 0)
		return cli_fail("restore", &err);
	(void)printf("restored %s/%llu %s to %s: %s received, %s written in %s", r.host,
	    (unsigned long long)r.sequence, job.volume, job.target,
	    cli_size(r.received_bytes), cli_size(r.written_bytes),
	    cli_span(r.duration_us));
	if ((job.flags & RESTORE_DELTA) != 0)
		(void)printf(", %s was right already", cli_size(r.same_bytes));
	(void)putchar('\n');
	return 0;
}
