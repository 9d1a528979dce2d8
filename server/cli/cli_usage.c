#include "server/cli/cli.h"

#include <string.h>
#include <unistd.h>

struct listing {
	json_t *json;
	struct cli_table *table;
	int one, terminal;
	uint64_t missing;
};

static json_t *
use_json(const Wire__Use *u)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "host", u->host, "points",
	    (json_int_t)u->points, "logical_bytes", (json_int_t)u->logical_bytes,
	    "own_chunks", (json_int_t)u->chunks, "own_bytes", (json_int_t)u->bytes,
	    "own_stored_bytes", (json_int_t)u->stored_bytes);
}

static int
collect(void *arg, const ProtobufCMessage *m)
{
	const Wire__Usage *r = (const Wire__Usage *)m;
	struct listing *l = arg;

	if (l->terminal && r->total > 0)
		(void)fprintf(stderr, "\r\033[K%s of %s points", cli_number(r->done),
		    cli_number(r->total));
	if (l->terminal && r->total == 0)
		(void)fprintf(stderr, "\r\033[K");
	l->missing = r->missing;
	for (size_t i = 0; i < r->n_uses; i++) {
		const Wire__Use *u = r->uses[i];
		const char *cells[] = { u->host, cli_number(u->points),
			cli_size(u->logical_bytes), cli_size(u->bytes),
			cli_size(u->stored_bytes) };

		if (l->json != NULL)
			(void)json_array_append_new(l->json, use_json(u));
		else if (!l->one)
			cli_table_row(l->table, cells);
		else
			(void)printf(
			    "points       %s\nin points    %s\n"
			    "alone        %s in %s chunks that nothing else uses\n"
			    "would free   %s\n",
			    cells[1], cells[2], cells[3], cli_number(u->chunks),
			    cells[4]);
	}
	return 0;
}

int
cli_usage_of(struct cli *c, const char *which, int json)
{
	static const char *const titles[] = { "HOST", "POINTS", "IN POINTS", "ALONE",
		"WOULD FREE" };
	struct listing l = { .one = which[0] != '\0' };
	char host[CERT_NAME_MAX] = "";
	Wire__GetUsage m = WIRE__GET_USAGE__INIT;
	struct err err = ERR_INIT;
	int rc;

	if (l.one && cli_point_name(which, host, &m.sequence, &err) != 0)
		return cli_usage("stats", "'%s' is not HOST or HOST/NUMBER", which);
	m.host = host;
	if (cli_connect(c, &err) != 0)
		return cli_fail("stats", &err);
	l.terminal = isatty(STDERR_FILENO);
	if (json)
		l.json = json_array();
	else if (!l.one)
		l.table = cli_table_new(5, titles, "lrrrr");
	rc = cli_each(c, &m.base, MSG_USAGE, collect, &l, &err);
	if (rc == 0 && json)
		rc = cli_json_print(l.json, &err);
	else if (rc == 0 && !l.one)
		cli_table_print(l.table);
	if (rc == 0 && l.missing > 0)
		(void)fprintf(stderr,
		    "holdfast: stats: %llu chunks are missing: run verify\n",
		    (unsigned long long)l.missing);
	return rc == 0 ? 0 : cli_fail("stats", &err);
}
