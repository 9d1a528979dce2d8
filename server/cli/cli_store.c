/* store-info: what lies in a store's directory, without a server and without writing. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/cli/cli.h"
#include "storage/store.h"
#include "storage/store_audit.h"
#include "storage/store_options.h"

struct looking {
	struct store *store;
	json_t *points, *problems;
	struct cli_table *table;
	int json, list, verify, terminal;
	uint64_t bad;
	struct store_chain chain;
	struct store_verify_report report;
};

static int
list_point(void *arg, const struct store_point *p)
{
	struct looking *l = arg;
	uint64_t data = 0;
	char name[STORE_NAME_MAX + 24];

	for (uint32_t i = 0; i < p->volumes_count; i++)
		data += p->volumes[i].data_bytes;
	(void)snprintf(
	    name, sizeof(name), "%s/%llu", p->host, (unsigned long long)p->sequence);
	if (l->points != NULL) {
		(void)json_array_append_new(l->points,
		    json_pack("{s:s, s:I, s:o, s:i, s:I}", "host", p->host, "sequence",
			(json_int_t)p->sequence, "time", cli_json_time(p->time_us),
			"volumes", (int)p->volumes_count, "data_bytes",
			(json_int_t)data));
	} else {
		const char *cells[] = { name, cli_time(p->time_us),
			cli_number(p->volumes_count), cli_size(data) };

		cli_table_row(l->table, cells);
	}
	return 0;
}

static int
watch(void *arg, const struct store_verify_report *r, const char *problem)
{
	struct looking *l = arg;

	if (l->terminal)
		(void)fprintf(stderr, "\r\033[K");
	if (problem != NULL) {
		l->bad++;
		(void)fprintf(stderr, "holdfast: store-info: %s\n", problem);
		(void)json_array_append_new(l->problems, json_string(problem));
	}
	if (l->terminal)
		(void)fprintf(
		    stderr, "%s of %s", cli_size(r->bytes), cli_size(r->bytes_total));
	return 0;
}

static int
look(struct looking *l, struct store_stats *stats, struct err *err)
{
	static const char *const titles[] = { "POINT", "TIME", "VOLUMES", "DATA" };

	/* Everything in the journal is proven on the way to its end. */
	if (store_audit_each(l->store, &l->chain, NULL, NULL, err) < 0)
		return -1;
	if (l->json && l->list)
		l->points = json_array();
	else if (l->list)
		l->table = cli_table_new(4, titles, "llrr");
	if (l->list && store_points(l->store, NULL, INT64_MAX, list_point, l, err) < 0)
		return -1;
	if (l->verify && store_verify(l->store, 0, 1, watch, l, &l->report, err) != 0)
		return -1;
	if (l->verify && l->terminal)
		(void)fprintf(stderr, "\r\033[K");
	return store_stats(l->store, stats, err);
}

static void
head_text(const struct store_chain *c, char out[2 * STORE_HASH_LEN + 1])
{
	for (size_t i = 0; i < STORE_HASH_LEN; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", c->head[i]);
}

static int
print_json(struct looking *l, const struct store_stats *st, struct err *err)
{
	char head[2 * STORE_HASH_LEN + 1];
	json_t *j;

	head_text(&l->chain, head);
	j = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:s}", "hosts",
	    (json_int_t)st->hosts, "points", (json_int_t)st->points, "stored_bytes",
	    (json_int_t)st->stored_bytes, "packs", (json_int_t)st->packs, "quarantined",
	    (json_int_t)st->quarantined, "records", (json_int_t)l->chain.sequence,
	    "journal_bytes", (json_int_t)l->chain.bytes, "head", head, "last_record",
	    cli_json_time(l->chain.time_us), "opened", store_opened(l->store));
	if (l->list)
		(void)json_object_set_new(j, "list", l->points);
	if (l->verify) {
		(void)json_object_set_new(
		    j, "verified_groups", json_integer((json_int_t)l->report.groups));
		(void)json_object_set_new(j, "problems", l->problems);
		l->problems = NULL;
	}
	return cli_json_print(j, err);
}

static void
print_text(struct looking *l, const struct store_stats *st)
{
	char head[2 * STORE_HASH_LEN + 1];

	head_text(&l->chain, head);
	if (l->list)
		cli_table_print(l->table);
	(void)printf("hosts        %s\npoints       %s\n", cli_number(st->hosts),
	    cli_number(st->points));
	(void)printf("stored       %s in %s packs\nquarantined  %s groups\n",
	    cli_size(st->stored_bytes), cli_number(st->packs),
	    cli_number(st->quarantined));
	(void)printf("journal      %s in %s records, the last of %s\n",
	    cli_size(l->chain.bytes), cli_number(l->chain.sequence),
	    cli_time(l->chain.time_us));
	(void)printf(
	    "head         %llu:%s\n", (unsigned long long)l->chain.sequence, head);
	if (store_opened(l->store)[0] != '\0')
		(void)printf("to put right %s\n", store_opened(l->store));
	if (l->verify)
		(void)printf("verified     %s in %s groups, %s points: %s\n",
		    cli_size(l->report.bytes), cli_number(l->report.groups),
		    cli_number(l->report.points_checked),
		    l->bad == 0 ? "all whole" : "NOT WHOLE");
}

int
cli_store_info(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST, POINTS, VERIFY };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON },
		{ "points", no_argument, NULL, POINTS },
		{ "verify", no_argument, NULL, VERIFY }, { NULL, 0, NULL, 0 } };
	const struct store_options how = { .read_only = 1 };
	struct looking l = { .terminal = isatty(STDERR_FILENO) };
	struct store_stats stats = { 0 };
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == JSON)
			l.json = 1;
		else if (opt == POINTS)
			l.list = 1;
		else if (opt == VERIFY)
			l.verify = 1;
		else if ((rc = cli_option(c, "store-info", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("store-info", argc, argv, 1, 1, "DIR")) != 0)
		return rc;
	l.problems = json_array();
	rc = store_open_with(argv[optind], &how, &l.store, &err);
	if (rc == 0)
		rc = look(&l, &stats, &err);
	if (rc == 0 && l.json)
		rc = print_json(&l, &stats, &err);
	else if (rc == 0)
		print_text(&l, &stats);
	store_close(l.store);
	json_decref(l.problems);
	if (rc == 0 && l.bad > 0)
		rc = err_set(
		    &err, ERR_CORRUPT, "%llu problems", (unsigned long long)l.bad);
	return rc == 0 ? 0 : cli_fail("store-info", &err);
}
