#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "agent/host/stop.h"
#include "agent/restore/disk_order.h"
#include "agent/restore/restore.h"
#include "agent/session/dial.h"
#include "proto/chunk/chunk_id.h"
#include "rescue/fit.h"
#include "server/cli/cli_fit.h"

/* How long a disk's restore outlasts a lost server. */
#define RETRY_S (10u * 60)

/* The flags stand together, from DELTA to VERIFY. */
enum {
	VOLUME = CLI_OPT_FIRST,
	TO,
	DELTA,
	FORCE,
	ZERO_HOLES,
	DISCARD,
	VERIFY,
	QUIET,
	DISK,
	EXTEND,
	SHRINK,
	ADAPT,
	REPORT_DRIVERS,
	MACHINE,
	SIZE,
	FORMAT,
	JSON
};

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

static void
say(void *arg, const char *line)
{
	(void)arg;
	(void)fprintf(stderr, "holdfast: %s\n", line);
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
	job->say = say;
	return restore_run(job, out, err);
}

/* --------------------------------------------------------------------- disks -- */

/* A session of its own for each that is asked for. */
static int
dial(void *arg, struct dial *out, struct err *err)
{
	const struct cli *c = arg;
	struct cli *again = calloc(1, sizeof(*again));
	int rc = -1;

	memset(out, 0, sizeof(*out));
	if (again == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a session");
	again->operator_dir = c->operator_dir;
	again->server = c->server;
	if (cli_connect(again, err) == 0) {
		chunk_keys_init(&out->keys, again->domain_key);
		out->ch = again->ch;
		out->tls = again->tls;
		again->ch = NULL;
		again->tls = NULL;
		rc = 0;
	}
	cli_close(again);
	free(again);
	return rc;
}

static int
restore_disk(struct cli *c, const struct restore_job *job, struct disk_order *o,
    struct cli_fit *fit, struct err *err)
{
	struct disk_order_result r;
	int rc;

	if ((c->stop = stop_new()) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to restore");
	o->dial = dial;
	o->dial_arg = c;
	o->host = job->host;
	o->sequence = job->sequence;
	o->target = job->target;
	o->mode = job->mode;
	o->retry_s = RETRY_S;
	o->say = say;
	o->stop = c->stop;
	o->flags |=
	    ((job->flags & RESTORE_DELTA) != 0 ? DISK_RESTORE_DELTA : 0) |
	    ((job->flags & RESTORE_FORCE) != 0 ? DISK_RESTORE_FORCE : 0) |
	    ((job->flags & RESTORE_ZERO_HOLES) != 0 ? DISK_RESTORE_ZERO_HOLES : 0) |
	    ((job->flags & RESTORE_DISCARD) != 0 ? DISK_RESTORE_DISCARD : 0) |
	    ((job->flags & RESTORE_VHDX) != 0 ? DISK_RESTORE_VHDX : 0);
	rc = stop_on_signals(c->stop, err);
	if (rc == 0)
		rc = cli_fit_begin(fit, o, err);
	if (rc == 0)
		rc = disk_order_run(o, &r, err);
	cli_fit_end(fit);
	if (rc != 0)
		return -1;
	if (job->mode != PROGRESS_SILENT)
		disk_order_print(o, &r, job->mode == PROGRESS_JSON);
	return 0;
}

/* ---------------------------------------------------------------- the command -- */

struct words {
	struct restore_job job;
	struct choice choice;
	struct disk_order order;
	struct cli_fit fit;
	const char *format; /* NULL: by the target's name. */
};

/* An option that only sets a flag; 0 if it is none. */
static int
take_flag(int opt, struct words *w)
{
	static const struct {
		unsigned volume, disk;
	} flags[] = { { RESTORE_DELTA, 0 }, { RESTORE_FORCE, 0 },
		{ RESTORE_ZERO_HOLES, 0 }, { RESTORE_DISCARD, 0 },
		{ 0, DISK_RESTORE_VERIFY } };

	if (opt < DELTA || opt > VERIFY)
		return 0;
	w->job.flags |= flags[opt - DELTA].volume;
	w->order.flags |= flags[opt - DELTA].disk;
	return 1;
}

/* 0, or the exit status + 1. */
static int
take_option(struct cli *c, int opt, struct words *w)
{
	switch (opt) {
	case VOLUME:
		w->choice.wanted = optarg;
		return 0;
	case TO:
		w->job.target = optarg;
		return 0;
	case QUIET:
	case JSON:
		w->job.mode = opt == JSON ? PROGRESS_JSON : PROGRESS_SILENT;
		return 0;
	case DISK:
		w->order.disk = optarg;
		return 0;
	case EXTEND:
		w->order.extend = 1;
		w->fit.flags |= FIT_EXTEND;
		return 0;
	case SHRINK:
	case ADAPT:
	case REPORT_DRIVERS:
		w->fit.flags |= opt == SHRINK  ? FIT_SHRINK
				: opt == ADAPT ? FIT_ADAPT
					       : FIT_REPORT;
		return 0;
	case MACHINE:
		w->fit.machine = optarg;
		return 0;
	case FORMAT:
		w->format = optarg;
		return 0;
	case SIZE:
		if (cli_rate(optarg, &w->order.size) == 0)
			return 0;
		return cli_usage("restore", "'%.40s' is no size; say 500G", optarg) + 1;
	default:
		return take_flag(opt, w) ? 0 : cli_option(c, "restore", opt);
	}
}

static int
check(const struct words *w)
{
	if (w->job.target == NULL)
		return cli_usage("restore", "--to FILE|DEVICE is missing");
	if (w->order.disk == NULL &&
	    (w->fit.flags != 0 || w->order.size > 0 || w->order.flags != 0))
		return cli_usage("restore",
		    "--extend, --shrink, --size, --verify, --adapt and --report-drivers "
		    "belong to --disk");
	if (w->fit.machine != NULL && (w->fit.flags & (FIT_ADAPT | FIT_REPORT)) == 0)
		return cli_usage(
		    "restore", "--machine belongs to --adapt and --report-drivers");
	if (w->order.disk != NULL && w->choice.wanted != NULL)
		return cli_usage("restore", "one --volume or one --disk");
	if ((w->job.flags & RESTORE_DELTA) != 0 && (w->job.flags & RESTORE_FORCE) != 0)
		return cli_usage(
		    "restore", "--delta keeps the target, --force replaces it: say one");
	return 0;
}

static int
take_format(struct words *w, struct err *err)
{
	int vhdx;

	if (restore_format(w->format, w->job.target, &vhdx, err) != 0)
		return -1;
	if (!vhdx)
		return 0;
	w->job.flags |= RESTORE_VHDX;
	if (w->format == NULL && w->job.mode == PROGRESS_AUTO)
		say(NULL, "the target is made a VHDX by its name; --format raw writes "
			  "plain bytes");
	return 0;
}

static int
restore_volume(struct cli *c, struct words *w, struct err *err)
{
	struct restore_result r = { .size = 0 };

	if (restore(c, &w->job, &w->choice, &r, err) != 0)
		return -1;
	(void)printf("restored %s/%llu %s to %s: %s received, %s written in %s", r.host,
	    (unsigned long long)r.sequence, w->job.volume, w->job.target,
	    cli_size(r.received_bytes), cli_size(r.written_bytes),
	    cli_span(r.duration_us));
	if ((w->job.flags & RESTORE_DELTA) != 0)
		(void)printf(", %s was right already", cli_size(r.same_bytes));
	(void)putchar('\n');
	return 0;
}

int
cli_restore(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "volume", required_argument, NULL, VOLUME },
		{ "to", required_argument, NULL, TO },
		{ "delta", no_argument, NULL, DELTA },
		{ "force", no_argument, NULL, FORCE },
		{ "zero-holes", no_argument, NULL, ZERO_HOLES },
		{ "discard", no_argument, NULL, DISCARD },
		{ "quiet", no_argument, NULL, QUIET },
		{ "disk", required_argument, NULL, DISK },
		{ "extend", no_argument, NULL, EXTEND },
		{ "shrink", no_argument, NULL, SHRINK },
		{ "adapt", no_argument, NULL, ADAPT },
		{ "report-drivers", no_argument, NULL, REPORT_DRIVERS },
		{ "machine", required_argument, NULL, MACHINE },
		{ "size", required_argument, NULL, SIZE },
		{ "format", required_argument, NULL, FORMAT },
		{ "verify", no_argument, NULL, VERIFY },
		{ "json", no_argument, NULL, JSON }, { NULL, 0, NULL, 0 } };
	struct words w = { .job = { .mode = PROGRESS_AUTO } };
	char host[CERT_NAME_MAX];
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		if ((rc = take_option(c, opt, &w)) != 0)
			return rc - 1;
	if ((rc = cli_words("restore", argc, argv, 1, 1, "HOST[/NUMBER]")) != 0 ||
	    (rc = check(&w)) != 0)
		return rc;
	w.job.host = host;
	rc = take_format(&w, &err);
	if (rc == 0)
		rc = cli_point_name(argv[optind], host, &w.job.sequence, &err);
	if (rc == 0)
		rc = w.order.disk != NULL
			 ? restore_disk(c, &w.job, &w.order, &w.fit, &err)
			 : restore_volume(c, &w, &err);
	return rc == 0 ? 0 : cli_fail("restore", &err);
}
