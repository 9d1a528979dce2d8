/* Retention policies; what they do is cli_prune.c. */
#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>

enum { HOST = CLI_OPT_FIRST, GROUP, NEW, JSON, WITHIN, VERIFIED_WITHIN, FIRST_COUNT };

/* Of `policy set`, in the order of the options from FIRST_COUNT on. */
static const char *const counted[] = { "last", "hourly", "daily", "weekly", "monthly",
	"yearly", "at least", "verified" };
#define COUNTED (sizeof(counted) / sizeof(counted[0]))

static uint32_t *
count_of(Wire__Rules *r, size_t i)
{
	uint32_t *const counts[COUNTED] = { &r->last, &r->hourly, &r->daily, &r->weekly,
		&r->monthly, &r->yearly, &r->min_points, &r->min_verified };

	return counts[i];
}

static int
number(const char *text, uint32_t *out)
{
	if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text) ||
	    strlen(text) > 6)
		return -1;
	*out = (uint32_t)strtoul(text, NULL, 10);
	return 0;
}

/* "30d", for people; -1 is never asked for. */
static const char *
span(uint64_t s, char out[32])
{
	static const struct {
		uint64_t s;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	size_t u = 0;

	while (s % units[u].s != 0)
		u++;
	(void)snprintf(
	    out, 32, "%llu%c", (unsigned long long)(s / units[u].s), units[u].unit);
	return out;
}

static void
rules_text(const Wire__Rules *from, char *out, size_t cap)
{
	Wire__Rules r = *from;
	char room[32];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < 6 && n < cap; i++)
		if (*count_of(&r, i) > 0)
			n += (size_t)snprintf(
			    out + n, cap - n, "%s %u, ", counted[i], *count_of(&r, i));
	if (r.within_s > 0 && n < cap)
		n += (size_t)snprintf(
		    out + n, cap - n, "within %s, ", span(r.within_s, room));
	if (n == 0)
		n += (size_t)snprintf(out, cap, "everything, ");
	if (n < cap)
		n += (size_t)snprintf(out + n, cap - n, "at least %u, %u verified",
		    r.min_points, r.min_verified);
	if (r.verified_s > 0 && n < cap)
		(void)snprintf(out + n, cap - n,
		    ", the newest verified one at most %s old", span(r.verified_s, room));
}

struct listing {
	json_t *json;
	struct cli_table *table;
	size_t count;
	char zone[64];
};

static const char *
scope_name(uint32_t scope)
{
	static const char *const names[] = { "default", "group", "host" };

	return scope < 3 ? names[scope] : "unknown";
}

static json_t *
policy_json(const Wire__Policy *p)
{
	const Wire__Rules *r = p->rules;

	return json_pack(
	    "{s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:i, s:i, "
	    "s:I}",
	    "scope", scope_name(p->scope), "name", p->name, "who", p->who, "since",
	    cli_json_time(p->since_us), "last", (int)r->last, "hourly", (int)r->hourly,
	    "daily", (int)r->daily, "weekly", (int)r->weekly, "monthly", (int)r->monthly,
	    "yearly", (int)r->yearly, "within_seconds", (json_int_t)r->within_s,
	    "min_points", (int)r->min_points, "min_verified", (int)r->min_verified,
	    "verified_within_seconds", (json_int_t)r->verified_s);
}

static int
collect(void *arg, const ProtobufCMessage *m)
{
	static const char *const titles[] = { "FOR", "NAME", "SET BY", "SINCE", "KEEPS" };
	const Wire__Policies *all = (const Wire__Policies *)m;
	struct listing *l = arg;
	char text[400];

	(void)snprintf(l->zone, sizeof(l->zone), "%.60s", all->zone);
	for (size_t i = 0; i < all->n_policies; i++) {
		const Wire__Policy *p = all->policies[i];

		if (l->count++ == 0 && l->json == NULL)
			l->table = cli_table_new(5, titles, "lllll");
		rules_text(p->rules, text, sizeof(text));
		if (l->json != NULL)
			(void)json_array_append_new(l->json, policy_json(p));
		else
			cli_table_row(
			    l->table, (const char *const[]){ scope_name(p->scope),
					  p->name[0] != '\0' ? p->name : "-", p->who,
					  cli_time(p->since_us), text });
	}
	return 0;
}

static int
policy_show(struct cli *c, const char *host, int json)
{
	Wire__ListPolicies m = WIRE__LIST_POLICIES__INIT;
	struct listing l = { 0 };
	struct err err = ERR_INIT;

	m.host = (char *)(uintptr_t)host;
	if (cli_connect(c, &err) != 0)
		return cli_fail("policy", &err);
	if (json)
		l.json = json_array();
	if (cli_each(c, &m.base, MSG_POLICIES, collect, &l, &err) != 0) {
		json_decref(l.json);
		return cli_fail("policy", &err);
	}
	if (json)
		return cli_json_print(l.json, &err) == 0 ? 0 : cli_fail("policy", &err);
	if (l.count == 0)
		(void)printf("no policy%s%s: every point is kept\n",
		    host[0] != '\0' ? " applies to " : "", host);
	else
		cli_table_print(l.table);
	(void)printf(
	    "hours, days and weeks are those of the server's time zone, %s\n", l.zone);
	return 0;
}

static int
policy_send(struct cli *c, Wire__Policy *p, int removed, int new_group)
{
	Wire__SetPolicy m = WIRE__SET_POLICY__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	char text[400];

	m.policy = p;
	m.remove = removed;
	m.new_group = new_group;
	if (cli_connect(c, &err) != 0 || cli_can(c, MSG_SET_POLICY, &err) != 0 ||
	    channel_call(c->ch, &m.base, MSG_DONE, &reply, &err) != 0)
		return cli_fail("policy", &err);
	msg_free(reply);
	rules_text(p->rules, text, sizeof(text));
	(void)printf("%s%s%s: %s\n", scope_name(p->scope), p->scope != 0 ? " " : "",
	    p->name, removed ? "no policy of its own any more" : text);
	return 0;
}

static const struct option policy_options[] = { CLI_OPT_COMMON,
	{ "host", required_argument, NULL, HOST },
	{ "group", required_argument, NULL, GROUP }, { "new", no_argument, NULL, NEW },
	{ "json", no_argument, NULL, JSON },
	{ "keep-within", required_argument, NULL, WITHIN },
	{ "verified-within", required_argument, NULL, VERIFIED_WITHIN },
	{ "keep-last", required_argument, NULL, FIRST_COUNT },
	{ "keep-hourly", required_argument, NULL, FIRST_COUNT + 1 },
	{ "keep-daily", required_argument, NULL, FIRST_COUNT + 2 },
	{ "keep-weekly", required_argument, NULL, FIRST_COUNT + 3 },
	{ "keep-monthly", required_argument, NULL, FIRST_COUNT + 4 },
	{ "keep-yearly", required_argument, NULL, FIRST_COUNT + 5 },
	{ "min-points", required_argument, NULL, FIRST_COUNT + 6 },
	{ "min-verified", required_argument, NULL, FIRST_COUNT + 7 },
	{ NULL, 0, NULL, 0 } };

/* One option of `policy`: 0, or the exit status + 1. */
static int
policy_option(struct cli *c, int opt, Wire__Policy *p, int *json, int *new_group)
{
	int bad = 0;

	if (opt == JSON) {
		*json = 1;
	} else if (opt == NEW) {
		*new_group = 1;
	} else if (opt == HOST || opt == GROUP) {
		if (p->scope != 0)
			return cli_usage("policy", "one of --host and --group") + 1;
		p->scope = opt == HOST ? 2 : 1;
		p->name = optarg;
	} else if (opt == WITHIN || opt == VERIFIED_WITHIN) {
		bad = cli_duration(
		    optarg, opt == WITHIN ? &p->rules->within_s : &p->rules->verified_s);
	} else if (opt >= FIRST_COUNT && opt < FIRST_COUNT + (int)COUNTED) {
		bad = number(optarg, count_of(p->rules, (size_t)(opt - FIRST_COUNT)));
	} else {
		return cli_option(c, "policy", opt);
	}
	return bad ? cli_usage(
			 "policy", "'%s' is no number, or no span like 30d", optarg) +
			 1
		   : 0;
}

int
cli_policy(struct cli *c, int argc, char **argv)
{
	Wire__Policy p = WIRE__POLICY__INIT;
	Wire__Rules rules = WIRE__RULES__INIT;
	const char *verb;
	int opt, rc, json = 0, new_group = 0, options = 0;

	p.rules = &rules;
	rules.min_points = rules.min_verified = 1;
	while ((opt = getopt_long(argc, argv, "", policy_options, NULL)) != -1) {
		if ((rc = policy_option(c, opt, &p, &json, &new_group)) != 0)
			return rc - 1;
		options += opt >= WITHIN;
	}
	if ((rc = cli_words("policy", argc, argv, 1, 2, "set, show or remove")) != 0)
		return rc;
	verb = argv[optind];
	if (new_group && (p.scope != 1 || strcmp(verb, "set") != 0))
		return cli_usage("policy", "--new goes with set --group GROUP");
	if (strcmp(verb, "show") == 0 && options == 0 && p.scope == 0)
		return policy_show(c, argc - optind > 1 ? argv[optind + 1] : "", json);
	if ((rc = cli_words("policy", argc, argv, 1, 1, "")) != 0)
		return rc;
	if (strcmp(verb, "set") == 0 && options > 0)
		return policy_send(c, &p, 0, new_group);
	if (strcmp(verb, "set") == 0)
		return cli_usage("policy", "what to keep is missing, as --keep-daily 7");
	if (strcmp(verb, "remove") == 0 && options == 0)
		return policy_send(c, &p, 1, 0);
	return cli_usage(
	    "policy", "'%s' is not set, show or remove, or not with these options", verb);
}
