/* What retention policies do: prune. */
#include "server/cli/cli.h"

#include <string.h>

struct sweep {
	json_t *json;
	int dry;
	char host[CERT_NAME_MAX];
	uint64_t hosts, stay, go, gone, stopped, failed;
	int ended; /* The last request came to its end, whatever failed on its way. */
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

/* A host that could not be pruned; the text begins with its name. */
static void
say_failed(struct sweep *w, const char *why)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "holdfast: prune: %s\n", why);
	w->failed++;
}

static int
take(void *arg, const ProtobufCMessage *m)
{
	const Wire__Pruned *p = (const Wire__Pruned *)m;
	struct sweep *w = arg;

	w->ended |= p->host[0] == '\0';
	if (p->host[0] == '\0')
		return 0;
	if (p->failed[0] != '\0') {
		say_failed(w, p->failed);
		return 0;
	}
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

/* Was this one host's trouble, so that the next may be asked for? */
static int
prune_goes_on(const struct err *err)
{
	return err->code == ERR_NOTFOUND || err->code == ERR_DENIED;
}

/*
 * One host, or all for "".  0, also if some could not be pruned, each of which was said
 * and counted; -1 if nothing more can be asked.
 */
static int
prune_one(struct cli *c, const char *host, struct sweep *w, struct err *err)
{
	Wire__Prune m = WIRE__PRUNE__INIT;

	m.host = (char *)(uintptr_t)host;
	m.dry = w->dry;
	w->ended = 0;
	if (cli_each(c, &m.base, MSG_PRUNED, take, w, err) == 0)
		return 0;
	if (!w->ended && (host[0] == '\0' || !prune_goes_on(err)))
		return -1;
	if (!w->ended)
		say_failed(w, err->text);
	err_clear(err);
	return 0;
}

/* What came of all of it, as far as it is not said. */
static int
prune_end(const struct sweep *w, struct err *err)
{
	if (w->failed > 0)
		(void)err_set(err, ERR_DENIED,
		    "%llu hosts could not be pruned, see above",
		    (unsigned long long)w->failed);
	else if (w->stopped > 0 && !w->dry)
		(void)err_set(err, ERR_DENIED, "%llu hosts were not pruned, see above",
		    (unsigned long long)w->stopped);
	else
		return 0;
	return cli_fail("prune", err);
}

int
cli_prune(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST, DRY };
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
	return rc != 0 ? cli_fail("prune", &err) : prune_end(&w, &err);
}
