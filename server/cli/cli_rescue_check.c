#include <string.h>

#include "server/cli/cli.h"

struct checking {
	json_t *json;
	size_t hosts, bad;
};

static const char *
kind_name(uint32_t kind)
{
	static const char *const names[] = { "other", "storage", "network" };

	return names[kind < 3 ? kind : 0];
}

static const char *
firmware_name(uint32_t firmware)
{
	static const char *const names[] = { "unknown", "BIOS", "UEFI" };

	return names[firmware < 3 ? firmware : 0];
}

static json_t *
texts_json(char *const *texts, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(array, json_string(texts[i]));
	return array;
}

static json_t *
verdict_json(const Wire__RescueVerdict *v)
{
	static const char *const verdicts[] = { "none", "lacks-firmware", "found" };
	json_t *devices = json_array();

	for (size_t i = 0; i < v->n_devices; i++) {
		const Wire__RescueDevice *d = v->devices[i];

		(void)json_array_append_new(
		    devices, json_pack("{s:s, s:s, s:s, s:s}", "kind", kind_name(d->kind),
				 "modalias", d->modalias, "driver",
				 verdicts[d->verdict < 3 ? d->verdict : 0], "modules",
				 d->modules));
	}
	return json_pack("{s:s, s:b, s:I, s:o, s:I, s:s, s:b, s:o, s:o, s:o}", "host",
	    v->host, "restorable", v->n_problems == 0, "point", (json_int_t)v->sequence,
	    "time", cli_json_time(v->time_us), "disks", (json_int_t)v->disks, "firmware",
	    firmware_name(v->firmware), "secure_boot", v->secure_boot, "devices", devices,
	    "problems", texts_json(v->problems, v->n_problems), "notes",
	    texts_json(v->notes, v->n_notes));
}

static void
print(const Wire__RescueVerdict *v)
{
	(void)printf("%s: %s\n", v->host,
	    v->n_problems == 0 ? "can be restored to an empty machine"
			       : "CANNOT BE RESTORED to an empty machine");
	if (v->sequence != 0)
		(void)printf("  point %s of %s, %s disk%s, %s%s\n",
		    cli_number(v->sequence), cli_time(v->time_us), cli_number(v->disks),
		    v->disks == 1 ? "" : "s", firmware_name(v->firmware),
		    v->secure_boot ? ", Secure Boot" : "");
	for (size_t i = 0; i < v->n_problems; i++)
		(void)printf("  PROBLEM: %s\n", v->problems[i]);
	for (size_t i = 0; i < v->n_devices; i++) {
		const Wire__RescueDevice *d = v->devices[i];

		(void)printf("  %-7s  %s  %s%s\n", kind_name(d->kind), d->modalias,
		    d->verdict == 0 ? "-> no driver" : "-> ",
		    d->verdict == 0 ? "" : d->modules);
	}
	for (size_t i = 0; i < v->n_notes; i++)
		(void)printf("  note: %s\n", v->notes[i]);
}

static int
take(void *arg, const ProtobufCMessage *m)
{
	const Wire__RescueReport *r = (const Wire__RescueReport *)m;
	struct checking *c = arg;

	for (size_t i = 0; i < r->n_hosts; i++) {
		c->hosts++;
		c->bad += r->hosts[i]->n_problems > 0;
		if (c->json != NULL)
			(void)json_array_append_new(c->json, verdict_json(r->hosts[i]));
		else
			print(r->hosts[i]);
	}
	return 0;
}

int
cli_rescue_check(struct cli *c, int argc, char **argv)
{
	enum { JSON = CLI_OPT_FIRST };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "json", no_argument, NULL, JSON }, { NULL, 0, NULL, 0 } };
	Wire__CheckRescue m = WIRE__CHECK_RESCUE__INIT;
	struct checking check = { 0 };
	struct err err = ERR_INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == JSON)
			check.json = check.json == NULL ? json_array() : check.json;
		else if ((rc = cli_option(c, "rescue", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words("rescue check", argc, argv, 0, 1, "HOST")) != 0)
		return rc;
	if (argc - optind == 1)
		m.host = argv[optind];
	if (cli_connect(c, &err) != 0 || cli_can(c, MSG_CHECK_RESCUE, &err) != 0 ||
	    cli_each(c, &m.base, MSG_RESCUE_REPORT, take, &check, &err) != 0) {
		json_decref(check.json);
		return cli_fail("rescue check", &err);
	}
	if (check.json != NULL && cli_json_print(check.json, &err) != 0)
		return cli_fail("rescue check", &err);
	if (check.json == NULL && check.hosts == 0)
		(void)puts("no host has points");
	return check.bad > 0 ? 1 : 0;
}
