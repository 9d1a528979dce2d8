#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/cli/cli.h"

static const char *const states[] = { "marking", "rewriting", "condemning", "removing",
	"waiting", "done" };

struct watch {
	int terminal, json, dry;
	json_t *last;
};

static json_t *
report_json(const Wire__CollectReport *r)
{
	return json_pack(
	    "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, "
	    "s:s}",
	    "state", states[r->state], "points", (json_int_t)r->points, "chunks",
	    (json_int_t)r->chunks, "missing", (json_int_t)r->missing, "packs",
	    (json_int_t)r->packs, "packs_left", (json_int_t)r->packs_left,
	    "packs_rewritten", (json_int_t)r->packs_rewritten, "packs_condemned",
	    (json_int_t)r->packs_condemned, "packs_removed", (json_int_t)r->packs_removed,
	    "bytes_total", (json_int_t)r->bytes_total, "bytes_dead",
	    (json_int_t)r->bytes_dead, "bytes_freed", (json_int_t)r->bytes_freed,
	    "bytes_rewritten", (json_int_t)r->bytes_rewritten, "leases_revoked",
	    (json_int_t)r->leases_revoked, "disk_full", r->disk_full, "waiting",
	    r->waiting);
}

static void
print_report(const struct watch *w, const Wire__CollectReport *r)
{
	(void)printf("in use       %s chunks of %s points\n", cli_number(r->chunks),
	    cli_number(r->points));
	(void)printf("dead         %s of %s in %s packs\n", cli_size(r->bytes_dead),
	    cli_size(r->bytes_total), cli_number(r->packs));
	(void)printf("%s %s: %s packs removed, %s rewritten\n",
	    w->dry ? "would free  " : "freed       ", cli_size(r->bytes_freed),
	    cli_number(r->packs_removed), cli_number(r->packs_rewritten));
	if (r->packs_left > 0)
		(void)printf(
		    "left         %s packs that are too young, in use or damaged\n",
		    cli_number(r->packs_left));
	if (r->waiting[0] != '\0')
		(void)printf("waiting      %s packs, for %s; the next gc removes them\n",
		    cli_number(r->packs_condemned), r->waiting);
	if (r->leases_revoked > 0)
		(void)printf("revoked      %s unfinished backups or old readers\n",
		    cli_number(r->leases_revoked));
	if (r->missing > 0)
		(void)printf("MISSING      %s chunks that points need: run verify\n",
		    cli_number(r->missing));
	if (r->disk_full)
		(void)printf(
		    "the disk was full: what is mostly dead was left for the next "
		    "time\n");
}

static int
watch(void *arg, const ProtobufCMessage *m)
{
	const Wire__CollectReport *r = (const Wire__CollectReport *)m;
	struct watch *w = arg;

	if (w->terminal)
		(void)fprintf(stderr, "\r\033[K%s: %s chunks, %s rewritten, %s freed",
		    states[r->state], cli_number(r->chunks), cli_size(r->bytes_rewritten),
		    cli_size(r->bytes_freed));
	/* The last one is the answer. */
	json_decref(w->last);
	w->last = report_json(r);
	return 0;
}

struct last {
	struct watch *w;
	Wire__CollectReport *report; /* Unpacked; the last. */
};

static int
keep(void *arg, const ProtobufCMessage *m)
{
	struct last *l = arg;
	const Wire__CollectReport *r = (const Wire__CollectReport *)m;
	char *waiting = strdup(r->waiting);

	if (l->report->waiting != protobuf_c_empty_string)
		free(l->report->waiting);
	*l->report = *r;
	l->report->waiting = waiting != NULL ? waiting : (char *)protobuf_c_empty_string;
	return watch(l->w, m);
}

int
cli_gc(struct cli *c, int argc, char **argv)
{
	enum { DRY = CLI_OPT_FIRST, RATE, JSON };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "dry-run", no_argument, NULL, DRY },
		{ "max-rate", required_argument, NULL, RATE },
		{ "json", no_argument, NULL, JSON }, { NULL, 0, NULL, 0 } };
	Wire__Collect m = WIRE__COLLECT__INIT;
	Wire__CollectReport report = WIRE__COLLECT_REPORT__INIT;
	struct watch w = { .terminal = isatty(STDERR_FILENO) };
	struct last last = { &w, &report };
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == DRY)
			m.dry_run = w.dry = 1;
		else if (opt == JSON)
			w.json = 1;
		else if (opt == RATE && cli_rate(optarg, &m.max_rate) != 0)
			return cli_usage("gc", "--max-rate '%s': 20M", optarg);
		else if (opt != RATE && (rc = cli_option(c, "gc", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("gc", argc, argv, 0, 0, "")) != 0)
		return rc;
	if (cli_connect(c, &err) != 0)
		return cli_fail("gc", &err);
	rc = cli_each(c, &m.base, MSG_COLLECT_REPORT, keep, &last, &err);
	if (w.terminal)
		(void)fprintf(stderr, "\r\033[K");
	if (rc == 0 && w.json) {
		rc = cli_json_print(w.last, &err);
		w.last = NULL;
	} else if (rc == 0) {
		print_report(&w, &report);
	}
	json_decref(w.last);
	if (report.waiting != protobuf_c_empty_string)
		free(report.waiting);
	return rc == 0 ? 0 : cli_fail("gc", &err);
}

static int
list_jobs(void *arg, const ProtobufCMessage *m)
{
	const Wire__Jobs *jobs = (const Wire__Jobs *)m;
	struct cli_table *table = NULL;
	static const char *const titles[] = { "JOB", "NEXT", "LAST", "HOW IT WENT" };
	json_t *json = *(json_t **)arg;

	if (json == NULL)
		table = cli_table_new(4, titles, "llll");
	for (size_t i = 0; i < jobs->n_jobs; i++) {
		const Wire__Job *j = jobs->jobs[i];
		const char *cells[] = { j->name,
			j->running	  ? "running"
			: j->next_us != 0 ? cli_time(j->next_us)
					  : "off",
			cli_time(j->ended_us), j->text };

		if (json == NULL)
			cli_table_row(table, cells);
		else
			(void)json_array_append_new(
			    json, json_pack("{s:s, s:b, s:o, s:o, s:o, s:b, s:s}", "job",
				      j->name, "running", j->running, "next",
				      cli_json_time(j->next_us), "began",
				      cli_json_time(j->began_us), "ended",
				      cli_json_time(j->ended_us), "failed", j->code != 0,
				      "text", j->text));
	}
	if (json == NULL)
		cli_table_print(table);
	return 0;
}

int
cli_jobs(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON }, { NULL, 0, NULL, 0 } };
	Wire__ListJobs m = WIRE__LIST_JOBS__INIT;
	json_t *json = NULL;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == JSON)
			json = json == NULL ? json_array() : json;
		else if ((rc = cli_option(c, "jobs", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("jobs", argc, argv, 0, 0, "")) != 0)
		return rc;
	if (cli_connect(c, &err) != 0 ||
	    cli_each(c, &m.base, MSG_JOBS, list_jobs, &json, &err) != 0 ||
	    (json != NULL && cli_json_print(json, &err) != 0))
		return cli_fail("jobs", &err);
	return 0;
}
