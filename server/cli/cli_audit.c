#include "server/cli/cli.h"

#include <string.h>
#include <time.h>

struct listing {
	json_t *json;
	struct cli_table *table;
	int check;
};

/* The chain's end, to be noted elsewhere. */
static void
print_head(const Wire__Audit *a)
{
	(void)printf("the chain is whole: %s records, %s, the last of %s\nhead %llu:",
	    cli_number(a->sequence), cli_size(a->bytes), cli_time(a->time_us),
	    (unsigned long long)a->sequence);
	for (size_t i = 0; i < a->head.len; i++)
		(void)printf("%02x", a->head.data[i]);
	(void)putchar('\n');
}

static json_t *
head_json(const Wire__Audit *a)
{
	char head[2 * 64 + 1] = "";

	for (size_t i = 0; i < a->head.len && i < 64; i++)
		(void)snprintf(head + 2 * i, 3, "%02x", a->head.data[i]);
	return json_pack("{s:b, s:I, s:I, s:s, s:o}", "whole", 1, "records",
	    (json_int_t)a->sequence, "bytes", (json_int_t)a->bytes, "head", head, "time",
	    cli_json_time(a->time_us));
}

static int
collect(void *arg, const ProtobufCMessage *m)
{
	const Wire__Audit *a = (const Wire__Audit *)m;
	struct listing *l = arg;

	for (size_t i = 0; i < a->n_entries; i++) {
		const Wire__AuditEntry *e = a->entries[i];
		const char *cells[] = { cli_number(e->sequence), cli_time(e->time_us),
			e->who, e->what };

		if (l->json != NULL)
			(void)json_array_append_new(
			    l->json, json_pack("{s:I, s:o, s:s, s:s}", "record",
					 (json_int_t)e->sequence, "time",
					 cli_json_time(e->time_us), "who", e->who, "what",
					 e->what));
		else
			cli_table_row(l->table, cells);
	}
	if (a->head.len == 0 || !l->check)
		return 0;
	if (l->json == NULL) {
		print_head(a);
	} else {
		json_decref(l->json);
		l->json = head_json(a);
	}
	return 0;
}

int
cli_audit(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST, SINCE, WHO, CHECK };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON },
		{ "since", required_argument, NULL, SINCE },
		{ "who", required_argument, NULL, WHO },
		{ "check", no_argument, NULL, CHECK }, { NULL, 0, NULL, 0 } };
	static const char *const titles[] = { "RECORD", "TIME", "WHO", "WHAT" };
	Wire__ListAudit m = WIRE__LIST_AUDIT__INIT;
	struct listing l = { 0 };
	struct err err = ERR_INIT;
	int opt, json = 0, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case JSON:
			json = 1;
			break;
		case SINCE:
			if (cli_since(optarg, &m.since_us) != 0)
				return cli_usage("audit",
				    "--since '%s': 7d, 12h, or a date (2026-11-01)",
				    optarg);
			break;
		case WHO:
			m.who = optarg;
			break;
		case CHECK:
			m.check = l.check = 1;
			break;
		default:
			if ((rc = cli_option(c, "audit", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("audit", argc, argv, 0, 0, "")) != 0)
		return rc;
	if (cli_connect(c, &err) != 0)
		return cli_fail("audit", &err);
	if (json)
		l.json = json_array();
	else
		l.table = cli_table_new(4, titles, "rlll");
	rc = cli_each(c, &m.base, MSG_AUDIT, collect, &l, &err);
	if (rc == 0 && json)
		rc = cli_json_print(l.json, &err);
	else if (rc == 0 && !l.check)
		cli_table_print(l.table);
	return rc == 0 ? 0 : cli_fail("audit", &err);
}

int
cli_clock(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON, { NULL, 0, NULL, 0 } };
	Wire__AcceptClock m = WIRE__ACCEPT_CLOCK__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if ((rc = cli_option(c, "clock", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("clock", argc, argv, 1, 1, "accept")) != 0)
		return rc;
	if (strcmp(argv[optind], "accept") != 0)
		return cli_usage("clock", "'%s' is not accept", argv[optind]);
	if (cli_connect(c, &err) != 0 || cli_can(c, MSG_ACCEPT_CLOCK, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_DONE, &reply, &err) != 0)
		return cli_fail("clock", &err);
	msg_free(reply);
	(void)printf("the server's clock is accepted as it is\n");
	return 0;
}
