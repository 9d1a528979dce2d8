#include <stdlib.h>
#include <string.h>

#include "proto/tls/restore_token.h"
#include "server/cli/cli.h"

/* ------------------------------------------------------------------ allowing -- */

/* "52:54:00:12:34:56", with colons or hyphens. */
static int
parse_mac(const char *text, uint8_t out[MSG_MAC_LEN])
{
	static const char hex[] = "0123456789abcdef";

	if (strlen(text) != 3 * MSG_MAC_LEN - 1)
		return -1;
	for (size_t i = 0; text[i] != '\0'; i++) {
		char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] + 'a' - 'A')
							  : text[i];
		const char *at = strchr(hex, c);

		if (i % 3 == 2 ? text[i] != text[2] || (c != ':' && c != '-')
			       : at == NULL)
			return -1;
		if (i % 3 == 0)
			out[i / 3] = (uint8_t)((at - hex) << 4);
		else if (i % 3 == 1)
			out[i / 3] |= (uint8_t)(at - hex);
	}
	return 0;
}

/* --point: 0 or the exit status. */
static int
take_point(const char *command, const char *text, Wire__NewRestoreToken *m)
{
	m->only = 1;
	if (strcmp(text, "latest") == 0)
		return 0;
	if (strspn(text, "0123456789") != strlen(text) || strlen(text) > 18 ||
	    (m->sequence = strtoull(text, NULL, 10)) == 0)
		return cli_usage(
		    command, "--point '%s': a point's number, or latest", text);
	return 0;
}

/* `restore-token` and `rescue arm`, which needs a MAC. */
static int
allow(struct cli *c, const char *command, int arm, int argc, char **argv)
{
	enum { POINT = CLI_OPT_FIRST, TTL, MAC };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "point", required_argument, NULL, POINT },
		{ "ttl", required_argument, NULL, TTL },
		{ "mac", required_argument, NULL, MAC }, { NULL, 0, NULL, 0 } };
	Wire__NewRestoreToken m = WIRE__NEW_RESTORE_TOKEN__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	uint8_t mac[MSG_MAC_LEN];
	int opt, rc = 0;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == POINT) {
			if ((rc = take_point(command, optarg, &m)) != 0)
				return rc;
		} else if (opt == TTL) {
			if (cli_duration(optarg, &m.ttl_s) != 0 || m.ttl_s == 0)
				return cli_usage(command,
				    "--ttl '%s': say 90s, 15m, 6h or 2d", optarg);
		} else if (opt == MAC && arm) {
			if (parse_mac(optarg, mac) != 0)
				return cli_usage(
				    command, "--mac '%s': say 52:54:00:12:34:56", optarg);
			m.mac.data = mac;
			m.mac.len = sizeof(mac);
		} else if (opt == MAC) {
			return cli_usage(
			    command, "--mac is for `holdfast rescue arm`, not here");
		} else if ((rc = cli_option(c, arm ? "rescue" : command, opt)) != 0) {
			return rc - 1;
		}
	}
	if ((rc = cli_words(command, argc, argv, 1, 1, "HOST")) != 0)
		return rc;
	if (arm && m.mac.len == 0)
		return cli_usage(command, "--mac MAC is missing");
	m.host = argv[optind];
	if (cli_connect(c, &err) != 0 || cli_can(c, MSG_NEW_RESTORE_TOKEN, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_TOKEN_TEXT, &reply, &err) != 0)
		return cli_fail(command, &err);
	if (arm)
		(void)printf("armed: boot the machine, then `holdfast rescue confirm "
			     "CODE` with the code on its screen\n");
	else
		(void)puts(((const Wire__TokenText *)reply)->text);
	msg_free(reply);
	return 0;
}

int
cli_restore_token(struct cli *c, int argc, char **argv)
{
	return allow(c, "restore-token", 0, argc, argv);
}

/* ------------------------------------------------------------------- listing -- */

struct listing {
	struct cli_table *table;
	json_t *json;
	int waiting; /* Those who wait, not the restores. */
	size_t rows;
};

static void
macs_text(const ProtobufCBinaryData *macs, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < macs->len && n + 4 < cap; i++)
		n += (size_t)snprintf(out + n, cap - n, "%s%02x",
		    i == 0		   ? ""
		    : i % MSG_MAC_LEN == 0 ? " "
					   : ":",
		    macs->data[i]);
}

static void
hex_text(const ProtobufCBinaryData *b, size_t max, char *out, size_t cap)
{
	out[0] = '\0';
	for (size_t i = 0; i < b->len && i < max && 2 * i + 3 <= cap; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", b->data[i]);
}

static const char *
state_word(const Wire__Restore *r)
{
	static const char *const states[] = { "allowed", "begun", "done", "ended",
		"expired" };
	static const char *const reported[] = { "begun", "restoring", "restoring", "done",
		"FAILED" };

	if (r->state == 1 && r->reported <= 4)
		return reported[r->reported];
	return r->state <= 4 ? states[r->state] : "?";
}

static void
restore_row(struct listing *l, const Wire__Restore *r)
{
	char point[32], progress[80] = "-", by[64] = "token", number[24];
	char text[600];
	const char *cells[] = { number, r->host, point, by, state_word(r), progress,
		cli_time(r->seen_us), r->address[0] != '\0' ? r->address : "-", text };

	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)r->restore);
	if (r->sequence != 0)
		(void)snprintf(point, sizeof(point), "%llu%s",
		    (unsigned long long)r->sequence, r->only ? " only" : "");
	else
		(void)snprintf(point, sizeof(point), "latest%s", r->only ? " only" : "");
	if (r->mac.len > 0)
		macs_text(&r->mac, by, sizeof(by));
	if (r->total > 0)
		(void)snprintf(progress, sizeof(progress), "%s of %s (%u %%)",
		    cli_size(r->bytes), cli_size(r->total),
		    (unsigned)(r->bytes >= r->total
				   ? 100.0
				   : 100.0 * (double)r->bytes / (double)r->total));
	(void)snprintf(
	    text, sizeof(text), "%.250s%.250s", r->text, r->state == 1 ? r->report : "");
	if (r->state == 0)
		(void)snprintf(
		    text, sizeof(text), "may begin until %s", cli_time(r->ends_us));
	cli_table_row(l->table, cells);
}

static json_t *
restore_json(const Wire__Restore *r)
{
	char mac[64], machine[65];

	macs_text(&r->mac, mac, sizeof(mac));
	hex_text(&r->machine, 32, machine, sizeof(machine));
	return json_pack("{s:I, s:s, s:s, s:s, s:b, s:I, s:s, s:b, s:o, s:o, s:o, s:o, "
			 "s:s, s:s, s:I, s:I, s:s, s:o, s:s}",
	    "restore", (json_int_t)r->restore, "host", r->host, "who", r->who, "mac", mac,
	    "only", r->only, "point", (json_int_t)r->sequence, "state", state_word(r),
	    "online", r->online, "made", cli_json_time(r->made_us), "begin_until",
	    cli_json_time(r->ends_us), "begun", cli_json_time(r->begun_us), "ended",
	    cli_json_time(r->ended_us), "text", r->text, "machine", machine, "bytes",
	    (json_int_t)r->bytes, "total", (json_int_t)r->total, "report", r->report,
	    "seen", cli_json_time(r->seen_us), "address", r->address);
}

static void
waiting_row(struct listing *l, const Wire__WaitingRescue *w)
{
	char macs[MSG_MACS_MAX * 18 + 1], machine[9];
	const char *cells[] = { w->code, w->host[0] != '\0' ? w->host : "(not armed)",
		macs, w->address, machine, cli_time(w->since_us) };

	macs_text(&w->macs, macs, sizeof(macs));
	hex_text(&w->machine, 4, machine, sizeof(machine));
	cli_table_row(l->table, cells);
}

static json_t *
waiting_json(const Wire__WaitingRescue *w)
{
	char macs[MSG_MACS_MAX * 18 + 1], machine[65];

	macs_text(&w->macs, macs, sizeof(macs));
	hex_text(&w->machine, 32, machine, sizeof(machine));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "code", w->code, "host",
	    w->host, "macs", macs, "address", w->address, "machine", machine, "since",
	    cli_json_time(w->since_us));
}

/* At the first row: none has no table. */
static void
begin_table(struct listing *l)
{
	static const char *const titles[] = { "NUMBER", "HOST", "POINT", "BY", "STATE",
		"PROGRESS", "LAST SEEN", "AT", "" };
	static const char *const wait_titles[] = { "CODE", "ARMED FOR", "MACS", "AT",
		"MACHINE", "SINCE" };

	if (l->table == NULL && l->json == NULL)
		l->table = l->waiting ? cli_table_new(6, wait_titles, "llllll")
				      : cli_table_new(9, titles, "rllllllll");
}

static int
collect(void *arg, const ProtobufCMessage *m)
{
	const Wire__Restores *r = (const Wire__Restores *)m;
	struct listing *l = arg;

	if ((l->waiting ? r->n_waiting : r->n_restores) > 0)
		begin_table(l);
	for (size_t i = 0; i < r->n_restores && !l->waiting; i++, l->rows++) {
		if (l->json != NULL)
			(void)json_array_append_new(
			    l->json, restore_json(r->restores[i]));
		else
			restore_row(l, r->restores[i]);
	}
	for (size_t i = 0; i < r->n_waiting && l->waiting; i++, l->rows++) {
		if (l->json != NULL)
			(void)json_array_append_new(l->json, waiting_json(r->waiting[i]));
		else
			waiting_row(l, r->waiting[i]);
	}
	return 0;
}

static int
list(struct cli *c, const char *command, int waiting, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST, ALL };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON }, { "all", no_argument, NULL, ALL },
		{ NULL, 0, NULL, 0 } };
	Wire__ListRestores m = WIRE__LIST_RESTORES__INIT;
	struct listing l = { .waiting = waiting };
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == JSON)
			l.json = l.json == NULL ? json_array() : l.json;
		else if (opt == ALL && !waiting)
			m.all = 1;
		else if (opt == ALL)
			return cli_usage(command, "--all is for `holdfast rescue list`");
		else if ((rc = cli_option(c, "rescue", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words(command, argc, argv, 0, 0, "")) != 0)
		return rc;
	if (cli_connect(c, &err) != 0)
		return cli_fail(command, &err);
	if (cli_each(c, &m.base, MSG_RESTORES, collect, &l, &err) != 0)
		return cli_fail(command, &err);
	if (l.json == NULL && l.rows > 0)
		cli_table_print(l.table);
	else if (l.json == NULL)
		(void)puts(waiting ? "no machine waits" : "no restore is open");
	if (l.json != NULL && cli_json_print(l.json, &err) != 0)
		return cli_fail(command, &err);
	return 0;
}

/* --------------------------------------------------------- confirming, ending -- */

static int
confirm(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON, { NULL, 0, NULL, 0 } };
	Wire__ConfirmRescue m = WIRE__CONFIRM_RESCUE__INIT;
	char code[RESTORE_CODE_TEXT_MAX];
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if ((rc = cli_option(c, "rescue", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("rescue confirm", argc, argv, 1, 1, "CODE")) != 0)
		return rc;
	if (restore_code_parse(argv[optind], code, &err) != 0)
		return cli_fail("rescue confirm", &err);
	m.code = code;
	if (cli_connect(c, &err) != 0 || cli_can(c, MSG_CONFIRM_RESCUE, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_DONE, &reply, &err) != 0)
		return cli_fail("rescue confirm", &err);
	msg_free(reply);
	(void)puts("confirmed");
	return 0;
}

static int
end(struct cli *c, int argc, char **argv)
{
	enum { NUMBER = CLI_OPT_FIRST };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "number", required_argument, NULL, NUMBER }, { NULL, 0, NULL, 0 } };
	Wire__EndRestore m = WIRE__END_RESTORE__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == NUMBER) {
			if (strspn(optarg, "0123456789") != strlen(optarg) ||
			    strlen(optarg) > 18 ||
			    (m.restore = strtoull(optarg, NULL, 10)) == 0)
				return cli_usage("rescue end",
				    "--number '%s': as `holdfast rescue list` has it",
				    optarg);
		} else if ((rc = cli_option(c, "rescue", opt)) != 0) {
			return rc - 1;
		}
	}
	if ((rc = cli_words("rescue end", argc, argv, 1, 1, "HOST")) != 0)
		return rc;
	m.host = argv[optind];
	if (cli_connect(c, &err) != 0 || cli_can(c, MSG_END_RESTORE, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_DONE, &reply, &err) != 0)
		return cli_fail("rescue end", &err);
	msg_free(reply);
	(void)puts("ended");
	return 0;
}

int
cli_rescue(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON, { NULL, 0, NULL, 0 } };
	const char *verb;
	int opt, rc, at;

	while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if ((rc = cli_option(c, "rescue", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("rescue", argc, argv, 1, argc,
		 "check, arm, waiting, confirm, list or end")) != 0)
		return rc;
	/* Its words are commands with options of their own. */
	at = optind;
	verb = argv[at];
	argv += at;
	argc -= at;
	c->argv += at;
	optind = 0; /* glibc: start over. */
	if (strcmp(verb, "check") == 0)
		return cli_rescue_check(c, argc, argv);
	if (strcmp(verb, "arm") == 0)
		return allow(c, "rescue arm", 1, argc, argv);
	if (strcmp(verb, "waiting") == 0)
		return list(c, "rescue waiting", 1, argc, argv);
	if (strcmp(verb, "confirm") == 0)
		return confirm(c, argc, argv);
	if (strcmp(verb, "list") == 0)
		return list(c, "rescue list", 0, argc, argv);
	if (strcmp(verb, "end") == 0)
		return end(c, argc, argv);
	if ((rc = cli_words("rescue", argc, argv, 0, 2, "")) != 0)
		return rc;
	return cli_usage(
	    "rescue", "'%s': arm, waiting, confirm, list and end are known", verb);
}
