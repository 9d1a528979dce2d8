/* Retention policies and what they do: policy, prune. */
#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------- policies -- */

enum { HOST = CLI_OPT_FIRST, GROUP, JSON, DRY, WITHIN, VERIFIED_WITHIN, FIRST_COUNT };

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
policy_send(struct cli *c, Wire__Policy *p, int removed)
{
	Wire__SetPolicy m = WIRE__SET_POLICY__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	char text[400];

	m.policy = p;
	m.remove = removed;
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
	{ "group", required_argument, NULL, GROUP }, { "json", no_argument, NULL, JSON },
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
policy_option(struct cli *c, int opt, Wire__Policy *p, int *json)
{
	int bad = 0;

	if (opt == JSON) {
		*json = 1;
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
	int opt, rc, json = 0, options = 0;

	p.rules = &rules;
	rules.min_points = rules.min_verified = 1;
	while ((opt = getopt_long(argc, argv, "", policy_options, NULL)) != -1) {
		if ((rc = policy_option(c, opt, &p, &json)) != 0)
			return rc - 1;
		options += opt >= WITHIN;
	}
	if ((rc = cli_words("policy", argc, argv, 1, 2, "set, show or remove")) != 0)
		return rc;
	verb = argv[optind];
	if (strcmp(verb, "show") == 0 && options == 0 && p.scope == 0)
		return policy_show(c, argc - optind > 1 ? argv[optind + 1] : "", json);
	if ((rc = cli_words("policy", argc, argv, 1, 1, "")) != 0)
		return rc;
	if (strcmp(verb, "set") == 0 && options > 0)
		return policy_send(c, &p, 0);
	if (strcmp(verb, "set") == 0)
		return cli_usage("policy", "what to keep is missing, as --keep-daily 7");
	if (strcmp(verb, "remove") == 0 && options == 0)
		return policy_send(c, &p, 1);
	return cli_usage(
	    "policy", "'%s' is not set, show or remove, or not with these options", verb);
}

/* ------------------------------------------------------------------ pruning -- */

struct sweep {
	json_t *json;
	int dry;
	char host[CERT_NAME_MAX];
	uint64_t hosts, stay, go, gone, stopped;
};

static json_t *
fate_json(const Wire__Pruned *p, const Wire__Fate *f)
{
	return json_pack("{s:s, s:I, s:o, s:b, s:s, s:s}", "host", p->host, "sequence",
	    (json_int_t)f->sequence, "time", cli_json_time(f->time_us), "stays", f->stays,
	    "why", f->why, "stopped", p->stopped);
}

/* The line above a host's points. */
static void
begin_host(struct sweep *w, const Wire__Pruned *p)
{
	(void)snprintf(w->host, sizeof(w->host), "%s", p->host);
	w->hosts++;
	w->stay += p->stay;
	w->go += p->go;
	w->gone += p->gone;
	w->stopped += p->stopped[0] != '\0' && p->go > 0;
	if (w->json != NULL)
		return;
	(void)printf("%s: %llu of %llu points %s (policy: %s)\n", p->host,
	    (unsigned long long)(w->dry || p->stopped[0] != '\0' ? p->go : p->gone),
	    (unsigned long long)(p->stay + p->go),
	    w->dry		    ? "would go"
	    : p->stopped[0] != '\0' ? "are not kept by it"
				    : "pruned",
	    p->policy[0] != '\0' ? p->policy : "none");
	if (p->stopped[0] != '\0')
		(void)printf("  NOT PRUNED: %s\n", p->stopped);
}

static int
take(void *arg, const ProtobufCMessage *m)
{
	const Wire__Pruned *p = (const Wire__Pruned *)m;
	struct sweep *w = arg;

	if (p->host[0] == '\0')
		return 0;
	if (strcmp(p->host, w->host) != 0)
		begin_host(w, p);
	for (size_t i = 0; i < p->n_fates; i++) {
		const Wire__Fate *f = p->fates[i];

		if (w->json != NULL)
			(void)json_array_append_new(w->json, fate_json(p, f));
		else if (w->dry || !f->stays)
			(void)printf("  %s/%llu  %s  %s: %s\n", p->host,
			    (unsigned long long)f->sequence, cli_time(f->time_us),
			    f->stays ? "keep" : "go", f->why);
	}
	return 0;
}

/* One host, or all for "". */
static int
prune_one(struct cli *c, const char *host, struct sweep *w, struct err *err)
{
	Wire__Prune m = WIRE__PRUNE__INIT;

	m.host = (char *)(uintptr_t)host;
	m.dry = w->dry;
	return cli_each(c, &m.base, MSG_PRUNED, take, w, err);
}

int
cli_prune(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "dry-run", no_argument, NULL, DRY },
		{ "json", no_argument, NULL, JSON }, { NULL, 0, NULL, 0 } };
	struct sweep w = { 0 };
	struct err err = ERR_INIT;
	int opt, rc, json = 0;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == DRY)
			w.dry = 1;
		else if (opt == JSON)
			json = 1;
		else if ((rc = cli_option(c, "prune", opt)) != 0)
			return rc - 1;
	}
	if (cli_connect(c, &err) != 0)
		return cli_fail("prune", &err);
	if (json)
		w.json = json_array();
	rc = optind == argc ? prune_one(c, "", &w, &err) : 0;
	for (int i = optind; rc == 0 && i < argc; i++)
		rc = prune_one(c, argv[i], &w, &err);
	if (rc == 0 && json)
		rc = cli_json_print(w.json, &err);
	else if (json)
		json_decref(w.json);
	else if (rc == 0)
		(void)printf("%llu hosts, %llu points stay, %llu %s\n",
		    (unsigned long long)w.hosts,
		    (unsigned long long)(w.dry ? w.stay : w.stay + w.go - w.gone),
		    (unsigned long long)(w.dry ? w.go : w.gone),
		    w.dry ? "would go" : "are gone");
	if (rc != 0)
		return cli_fail("prune", &err);
	if (w.stopped == 0 || w.dry)
		return 0;
	(void)err_set(&err, ERR_DENIED, "%llu hosts were not pruned, see above",
	    (unsigned long long)w.stopped);
	return cli_fail("prune", &err);
}
