#include "server/cli/cli.h"

#include <string.h>

#define ALARMS_MAX 16u

struct listing {
	json_t *json;
	struct cli_table *table;
	int backups; /* The table is of the newest backups. */
	size_t stores;
	char store[ALARMS_MAX][256];
};

/* ------------------------------------------------------------- the newest backup -- */

/* Points whose proof is behind, of so many: "37 of 100"; "all" if all was read. */
static const char *
proof_text(const Wire__LastBackup *b, char *out, size_t cap)
{
	uint64_t turns = b->sequence > b->proven ? b->sequence - b->proven : 0;

	if (b->slices == 0)
		return "all";
	if (b->proven == 0)
		return "not told";
	(void)snprintf(out, cap, "to %llu (%llu of %u)", (unsigned long long)b->proven,
	    (unsigned long long)(turns < b->slices ? turns : b->slices), b->slices);
	return out;
}

static int
is_tracked(const Wire__LastBackup *b)
{
	return strstr(b->capture, "changes by tracking") != NULL;
}

/* "vss, tracked": who froze it, and whether a list said what to read. */
static const char *
how_text(const Wire__LastBackup *b, char *out, size_t cap)
{
	(void)snprintf(out, cap, "%s%s", b->providers,
	    is_tracked(b)   ? ", tracked"
	    : b->slices > 0 ? ", by a list"
			    : "");
	return out;
}

static void
backup_row(struct cli_table *t, const Wire__Host *h)
{
	static const Wire__LastBackup none = WIRE__LAST_BACKUP__INIT;
	const int is = h->n_backup > 0;
	const Wire__LastBackup *b = is ? h->backup[0] : &none;
	const char *dash = "-";
	char how[120], proof[64];

	cli_table_row(t,
	    (const char *const[]){ h->name, is ? cli_number(b->sequence) : dash,
		cli_time(h->point_us), is ? how_text(b, how, sizeof(how)) : dash,
		cli_time(b->whole_us), is ? proof_text(b, proof, sizeof(proof)) : dash,
		is ? cli_size(b->read_bytes) : dash, is ? cli_size(b->sent_bytes) : dash,
		is ? cli_size(b->stored_bytes) : dash });
}

static json_t *
backup_json(const Wire__Host *h)
{
	const Wire__LastBackup *b;

	if (h->n_backup == 0)
		return json_null();
	b = h->backup[0];
	return json_pack("{s:I, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:o}",
	    "sequence", (json_int_t)b->sequence, "providers", b->providers, "capture",
	    b->capture, "tracked", is_tracked(b), "read_bytes", (json_int_t)b->read_bytes,
	    "sent_bytes", (json_int_t)b->sent_bytes, "stored_bytes",
	    (json_int_t)b->stored_bytes, "duration_us", (json_int_t)b->duration_us,
	    "kept_bytes", (json_int_t)b->kept_bytes, "proven_bytes",
	    (json_int_t)b->proven_bytes, "slices", (json_int_t)b->slices, "proven_to",
	    (json_int_t)b->proven, "whole", (json_int_t)b->whole, "whole_time",
	    cli_json_time(b->whole_us));
}

/* -------------------------------------------------------------------- the hosts -- */

static json_t *
host_json(const Wire__Host *h)
{
	char serial[2 * 64 + 1] = "";

	for (size_t i = 0; i < h->serial.len && i < 64; i++)
		(void)snprintf(serial + 2 * i, 3, "%02x", h->serial.data[i]);
	return json_pack(
	    "{s:s, s:s, s:b, s:b, s:o, s:o, s:I, s:o, s:s, s:s, s:o, s:s, s:s, s:I, s:s, "
	    "s:{s:I, s:I, s:I, s:o}}",
	    "name", h->name, "group", h->group, "online", h->online, "revoked",
	    h->revoked, "enrolled", cli_json_time(h->enrolled_us), "seen",
	    cli_json_time(h->seen_us), "points", (json_int_t)h->points, "newest",
	    cli_json_time(h->point_us), "program", h->program, "serial", serial,
	    "certificate_ends", cli_json_time(h->cert_ends_us), "alarm", h->alarm,
	    "brake", h->brake, "damaged", (json_int_t)h->damaged, "rescue", h->rescue,
	    "suspect", "points", (json_int_t)h->suspect, "first",
	    (json_int_t)h->suspect_first, "last", (json_int_t)h->suspect_last, "since",
	    cli_json_time(h->suspect_us));
}

static void
add_json(struct listing *l, const Wire__Host *h)
{
	json_t *j = host_json(h);

	if (l->backups)
		(void)json_object_set_new(j, "backup", backup_json(h));
	(void)json_array_append_new(l->json, j);
}

/* Add to what is wrong with a host; an empty text is nothing. */
static void
say(char *out, size_t cap, const char *what, const char *text)
{
	size_t n = strlen(out);

	if (text[0] != '\0')
		(void)snprintf(
		    out + n, cap - n, "%s%s%.255s", n > 0 ? "; " : "", what, text);
}

static void
host_row(struct cli_table *t, const Wire__Host *h)
{
	const char *state = h->revoked ? "revoked" : h->online ? "online" : "-";
	char alarm[1000] = "", damaged[60] = "", points[60];

	(void)snprintf(points, sizeof(points), "%s", cli_number(h->points));
	if (h->suspect > 0)
		(void)snprintf(points, sizeof(points), "%s, %s suspect",
		    cli_number(h->points), cli_number(h->suspect));
	if (h->damaged > 0)
		(void)snprintf(damaged, sizeof(damaged), "%s of its points DAMAGED",
		    cli_number(h->damaged));
	say(alarm, sizeof(alarm), "", damaged);
	say(alarm, sizeof(alarm), "", h->alarm);
	say(alarm, sizeof(alarm), "NOT PRUNED: ", h->brake);
	say(alarm, sizeof(alarm), "NOT RESTORABLE: ", h->rescue);
	cli_table_row(
	    t, (const char *const[]){ h->name, h->group[0] != '\0' ? h->group : "-",
		   state, points, cli_time(h->point_us), cli_time(h->seen_us), alarm });
}

static int
collect(void *arg, const ProtobufCMessage *m)
{
	const Wire__Hosts *hosts = (const Wire__Hosts *)m;
	struct listing *l = arg;

	for (size_t i = 0; i < hosts->n_hosts; i++) {
		if (l->json != NULL)
			add_json(l, hosts->hosts[i]);
		else if (l->backups)
			backup_row(l->table, hosts->hosts[i]);
		else
			host_row(l->table, hosts->hosts[i]);
	}
	for (size_t i = 0; i < hosts->n_alarms && i < ALARMS_MAX; i++)
		(void)snprintf(l->store[l->stores++ % ALARMS_MAX], sizeof(l->store[0]),
		    "%s", hosts->alarms[i]);
	return 0;
}

/* What the store itself has to say, beside what was asked for. */
static void
print_alarms(const struct listing *l)
{
	for (size_t i = 0; i < l->stores && i < ALARMS_MAX; i++)
		(void)fprintf(
		    l->json != NULL ? stderr : stdout, "ALARM: %s\n", l->store[i]);
}

static struct cli_table *
table_of(const struct listing *l)
{
	static const char *const hosts[] = { "HOST", "GROUP", "STATE", "POINTS",
		"NEWEST POINT", "LAST SEEN", "ALARM" };
	static const char *const backups[] = { "HOST", "POINT", "TIME", "HOW", "ALL READ",
		"PROVEN", "READ", "SENT", "STORED" };

	return l->backups ? cli_table_new(9, backups, "lrllllrrr")
			  : cli_table_new(7, hosts, "lllrlll");
}

int
cli_hosts(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST, BACKUPS };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON },
		{ "backups", no_argument, NULL, BACKUPS }, { NULL, 0, NULL, 0 } };
	Wire__ListHosts m = WIRE__LIST_HOSTS__INIT;
	struct listing l = { 0 };
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == JSON)
			l.json = l.json == NULL ? json_array() : l.json;
		else if (opt == BACKUPS)
			m.backups = l.backups = 1;
		else if ((rc = cli_option(c, "hosts", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("hosts", argc, argv, 0, 0, "")) != 0)
		return rc;
	if (cli_connect(c, &err) != 0)
		return cli_fail("hosts", &err);
	if (l.json == NULL)
		l.table = table_of(&l);
	if (cli_each(c, &m.base, MSG_HOSTS, collect, &l, &err) != 0)
		return cli_fail("hosts", &err);
	if (l.json == NULL)
		cli_table_print(l.table);
	print_alarms(&l);
	if (l.json != NULL && cli_json_print(l.json, &err) != 0)
		return cli_fail("hosts", &err);
	return 0;
}

int
cli_revoke(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON, { NULL, 0, NULL, 0 } };
	Wire__Revoke m = WIRE__REVOKE__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if ((rc = cli_option(c, "revoke", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("revoke", argc, argv, 1, 1, "NAME")) != 0)
		return rc;
	m.host = argv[optind];
	if (cli_connect(c, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_DONE, &reply, &err) != 0)
		return cli_fail("revoke", &err);
	msg_free(reply);
	(void)printf("'%s' is revoked; its points stay\n", m.host);
	return 0;
}

static void
print_stats(const Wire__Stats *s)
{
	double ratio =
	    s->stored_bytes > 0 ? (double)s->logical_bytes / (double)s->stored_bytes : 0;

	(void)printf("hosts        %s\n", cli_number(s->hosts));
	(void)printf("points       %s\n", cli_number(s->points));
	(void)printf("sessions     %s\n", cli_number(s->sessions));
	(void)printf("in points    %s\n", cli_size(s->logical_bytes));
	(void)printf("unique       %s in %s chunks\n", cli_size(s->unique_bytes),
	    cli_number(s->chunks));
	(void)printf("stored       %s in %s packs, 1 : %.1f of what is in points\n",
	    cli_size(s->stored_bytes), cli_number(s->packs), ratio);
	(void)printf("free         %s\n", cli_size(s->free_bytes));
	(void)printf("index        %s of memory\n", cli_size(s->index_ram_bytes));
	(void)printf("quarantined  %s groups\n", cli_number(s->quarantined));
	(void)printf("reserve      %s\n", cli_size(s->reserve_bytes));
	if (s->domain_id.len >= 4)
		(void)printf(
		    "domain       %02x%02x%02x%02x, the only one: all hosts share\n",
		    s->domain_id.data[0], s->domain_id.data[1], s->domain_id.data[2],
		    s->domain_id.data[3]);
	if (s->escrow_us != 0)
		(void)printf("keys         exported %s by %s\n", cli_time(s->escrow_us),
		    s->escrow_who);
	else
		(void)printf(
		    "keys         NEVER EXPORTED: without them the store is lost; "
		    "see `holdfast keys`\n");
	for (size_t i = 0; i < s->n_alarms; i++)
		(void)printf("ALARM: %s\n", s->alarms[i]);
}

static json_t *
stats_json(const Wire__Stats *s)
{
	json_t *alarms = json_array();
	char domain[2 * 32 + 1] = "";

	for (size_t i = 0; i < s->n_alarms; i++)
		(void)json_array_append_new(alarms, json_string(s->alarms[i]));
	for (size_t i = 0; i < s->domain_id.len && i < 32; i++)
		(void)snprintf(domain + 2 * i, 3, "%02x", s->domain_id.data[i]);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:s, s:o, s:o}",
	    "hosts", (json_int_t)s->hosts, "points", (json_int_t)s->points,
	    "logical_bytes", (json_int_t)s->logical_bytes, "unique_bytes",
	    (json_int_t)s->unique_bytes, "stored_bytes", (json_int_t)s->stored_bytes,
	    "chunks", (json_int_t)s->chunks, "packs", (json_int_t)s->packs, "sessions",
	    (json_int_t)s->sessions, "free_bytes", (json_int_t)s->free_bytes,
	    "index_ram_bytes", (json_int_t)s->index_ram_bytes, "quarantined",
	    (json_int_t)s->quarantined, "reserve_bytes", (json_int_t)s->reserve_bytes,
	    "domain", domain, "alarms", alarms, "keys_exported",
	    cli_json_time(s->escrow_us));
}

int
cli_stats(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST, HOSTS, HOST, POINT };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON },
		{ "hosts", no_argument, NULL, HOSTS },
		{ "host", required_argument, NULL, HOST },
		{ "point", required_argument, NULL, POINT }, { NULL, 0, NULL, 0 } };
	const char *which = NULL;
	Wire__GetStats m = WIRE__GET_STATS__INIT;
	ProtobufCMessage *reply;
	const Wire__Stats *s;
	struct err err = ERR_INIT;
	int opt, json = 0, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == JSON)
			json = 1;
		else if (opt == HOSTS)
			which = "";
		else if (opt == HOST || opt == POINT)
			which = optarg;
		else if ((rc = cli_option(c, "stats", opt)) != 0)
			return rc - 1;
		if (opt == POINT && strchr(optarg, '/') == NULL)
			return cli_usage("stats", "--point '%s': HOST/NUMBER", optarg);
		if (opt == HOST && strchr(optarg, '/') != NULL)
			return cli_usage("stats", "--host '%s' is not a host", optarg);
	}
	if ((rc = cli_words("stats", argc, argv, 0, 0, "")) != 0)
		return rc;
	if (which != NULL)
		return cli_usage_of(c, which, json);
	if (cli_connect(c, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_STATS, &reply, &err) != 0)
		return cli_fail("stats", &err);
	s = (const Wire__Stats *)reply;
	rc = 0;
	if (json)
		rc = cli_json_print(stats_json(s), &err);
	else
		print_stats(s);
	msg_free(reply);
	return rc == 0 ? 0 : cli_fail("stats", &err);
}
