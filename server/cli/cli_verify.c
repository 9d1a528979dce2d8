#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct watch {
	uint64_t bad, problems, groups, bytes, points, verified, healed, released,
	    suspect;
	int terminal;
};

static int
watch(void *arg, const ProtobufCMessage *m)
{
	const Wire__VerifyReport *r = (const Wire__VerifyReport *)m;
	struct watch *w = arg;

	for (size_t i = 0; i < r->n_problems; i++) {
		(void)fprintf(stderr, "%sholdfast: verify: %s\n",
		    w->terminal ? "\r\033[K" : "", r->problems[i]);
		w->problems++;
	}
	w->bad = r->bad_groups;
	w->groups = r->groups;
	w->bytes = r->bytes;
	w->points = r->points_checked;
	w->verified = r->points_verified;
	w->healed = r->healed_groups;
	w->released = r->released_groups;
	w->suspect = r->suspect_points;
	if (w->terminal)
		(void)fprintf(stderr, "\r\033[K%s of %s", cli_size(r->bytes),
		    cli_size(r->bytes_total));
	return 0;
}

int
cli_verify(struct cli *c, int argc, char **argv)
{
	enum { SAMPLE = CLI_OPT_FIRST, TREES, ALL, SINCE };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "sample", required_argument, NULL, SAMPLE },
		{ "trees", no_argument, NULL, TREES }, { "all", no_argument, NULL, ALL },
		{ "since", required_argument, NULL, SINCE }, { NULL, 0, NULL, 0 } };
	Wire__Verify m = WIRE__VERIFY__INIT;
	struct watch w = { .terminal = isatty(STDERR_FILENO) };
	struct err err = ERR_INIT;
	char *end;
	int opt, rc, all = 0;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case SAMPLE:
			m.sample = strtod(optarg, &end);
			if (*end != '\0' || end == optarg ||
			    !(m.sample > 0 && m.sample <= 1))
				return cli_usage("verify",
				    "--sample '%s': a share above 0, up to 1", optarg);
			break;
		case TREES:
			m.trees = 1;
			break;
		case ALL:
			all = 1;
			break;
		case SINCE:
			if (cli_since(optarg, &m.since_us) != 0)
				return cli_usage("verify",
				    "--since '%s': 7d, 12h, or a date (2026-11-01)",
				    optarg);
			break;
		default:
			if ((rc = cli_option(c, "verify", opt)) != 0)
				return rc - 1;
		}
	}
	if ((rc = cli_words("verify", argc, argv, 0, 0, "")) != 0)
		return rc;
	if (all && (m.sample > 0 || m.since_us != 0))
		return cli_usage("verify", "--all and a part of it");
	if (cli_connect(c, &err) != 0)
		return cli_fail("verify", &err);
	rc = cli_each(c, &m.base, MSG_VERIFY_REPORT, watch, &w, &err);
	if (w.terminal)
		(void)fprintf(stderr, "\r\033[K");
	if (rc != 0)
		return cli_fail("verify", &err);
	(void)printf("%s in %s groups", cli_size(w.bytes), cli_number(w.groups));
	if (m.trees)
		(void)printf(", %s points looked at, %s verified", cli_number(w.points),
		    cli_number(w.verified));
	(void)printf(": %s bad", cli_number(w.bad));
	if (w.healed > 0)
		(void)printf(", %s bad but sent again since", cli_number(w.healed));
	if (w.released > 0)
		(void)printf(", %s good again", cli_number(w.released));
	(void)printf("\n");
	if (w.suspect > 0)
		(void)printf("%s points are SUSPECT: what is stored of them may be whole "
			     "and yet not what was there; `holdfast points` names them\n",
		    cli_number(w.suspect));
	if (w.bad == 0 && w.problems == 0)
		return 0;
	(void)err_set(&err, ERR_CORRUPT, "%llu bad groups, %llu problems",
	    (unsigned long long)w.bad, (unsigned long long)w.problems);
	return cli_fail("verify", &err);
}
