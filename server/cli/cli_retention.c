/*
 * What an operator says about single points: hold, release, lock, forget; and the
 * brake.  Policies and pruning: cli_policy.c.
 */
#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Connect, send `m`, hear Done. */
static int
do_it(struct cli *c, const char *command, const ProtobufCMessage *m)
{
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	if (cli_connect(c, &err) != 0 || cli_can(c, msg_kind_of(m), &err) != 0 ||
	    channel_call(c->ch, m, MSG_DONE, &reply, &err) != 0)
		return cli_fail(command, &err);
	msg_free(reply);
	return 0;
}

/* "HOST/NUMBER", where a number there must be. */
static int
one_point(
    const char *command, const char *text, char host[CERT_NAME_MAX], uint64_t *sequence)
{
	struct err err = ERR_INIT;

	if (cli_point_name(text, host, sequence, &err) != 0 || *sequence == 0)
		return cli_usage(
		    command, "'%.80s' is not HOST/NUMBER, one certain point", text);
	return 0;
}

/* The options of a command that takes a point and perhaps --reason. */
static int
reason_options(struct cli *c, const char *command, int argc, char **argv, char **reason)
{
	enum { REASON = CLI_OPT_FIRST };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "reason", required_argument, NULL, REASON }, { NULL, 0, NULL, 0 } };
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == REASON)
			*reason = optarg;
		else if ((rc = cli_option(c, command, opt)) != 0)
			return rc;
	}
	rc = cli_words(command, argc, argv, 1, 1, "HOST/NUMBER");
	return rc != 0 ? rc + 1 : 0;
}

static int
hold_or_release(struct cli *c, int argc, char **argv, int release)
{
	const char *command = release ? "release" : "hold";
	Wire__Hold m = WIRE__HOLD__INIT;
	char host[CERT_NAME_MAX];
	int rc;

	if ((rc = reason_options(c, command, argc, argv, &m.reason)) != 0)
		return rc - 1;
	if ((rc = one_point(command, argv[optind], host, &m.sequence)) != 0)
		return rc;
	if (!release && m.reason[0] == '\0')
		return cli_usage(command, "--reason is missing");
	m.host = host;
	m.release = release;
	if ((rc = do_it(c, command, &m.base)) != 0)
		return rc;
	(void)printf(release ? "%s/%llu is not held any more\n"
			     : "%s/%llu is held until it is released\n",
	    host, (unsigned long long)m.sequence);
	return 0;
}

int
cli_hold(struct cli *c, int argc, char **argv)
{
	return hold_or_release(c, argc, argv, 0);
}

int
cli_release(struct cli *c, int argc, char **argv)
{
	return hold_or_release(c, argc, argv, 1);
}

int
cli_forget(struct cli *c, int argc, char **argv)
{
	Wire__Forget m = WIRE__FORGET__INIT;
	char host[CERT_NAME_MAX];
	int rc;

	if ((rc = reason_options(c, "forget", argc, argv, &m.reason)) != 0)
		return rc - 1;
	if ((rc = one_point("forget", argv[optind], host, &m.sequence)) != 0)
		return rc;
	m.host = host;
	if ((rc = do_it(c, "forget", &m.base)) != 0)
		return rc;
	(void)printf("%s/%llu is forgotten\n", host, (unsigned long long)m.sequence);
	return 0;
}

/*
 * "2027-01-31", "2027-01-31T12:00", local time; or "30d" from now.  -1: none of these,
 * or a day that there is not: it would be another one, for good.
 */
static int
until_of(const char *text, int64_t *us)
{
	struct tm tm = { .tm_isdst = -1 };
	int day, month;
	uint64_t seconds;
	int end = 0, n;

	if (cli_duration(text, &seconds) == 0 && strpbrk(text, "smhd") != NULL) {
		*us = ((int64_t)time(NULL) + (int64_t)seconds) * 1000000;
		return 0;
	}
	n = sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &end);
	if (n == 3 && text[end] == 'T') {
		text += end;
		end = 0;
		n = sscanf(text, "T%2d:%2d%n", &tm.tm_hour, &tm.tm_min, &end) == 2 ? 3
										   : 0;
	}
	if (n != 3 || end == 0 || text[end] != '\0' || tm.tm_mon < 1 || tm.tm_mon > 12 ||
	    tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59)
		return -1;
	day = tm.tm_mday;
	month = tm.tm_mon -= 1;
	tm.tm_year -= 1900;
	*us = (int64_t)mktime(&tm) * 1000000;
	return tm.tm_mday == day && tm.tm_mon == month ? 0 : -1;
}

int
cli_lock(struct cli *c, int argc, char **argv)
{
	enum { UNTIL = CLI_OPT_FIRST };
	static const struct option options[] = { CLI_OPT_COMMON,
		{ "until", required_argument, NULL, UNTIL }, { NULL, 0, NULL, 0 } };
	Wire__Lock m = WIRE__LOCK__INIT;
	char host[CERT_NAME_MAX];
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == UNTIL) {
			if (until_of(optarg, &m.until_us) != 0)
				return cli_usage("lock",
				    "--until '%s': a date (2027-01-31, "
				    "2027-01-31T12:00) or 30d",
				    optarg);
		} else if ((rc = cli_option(c, "lock", opt)) != 0) {
			return rc - 1;
		}
	}
	if ((rc = cli_words("lock", argc, argv, 1, 1, "HOST/NUMBER")) != 0 ||
	    (rc = one_point("lock", argv[optind], host, &m.sequence)) != 0)
		return rc;
	if (m.until_us == 0)
		return cli_usage("lock", "--until is missing");
	m.host = host;
	if ((rc = do_it(c, "lock", &m.base)) != 0)
		return rc;
	(void)printf("%s/%llu is locked until %s\n", host, (unsigned long long)m.sequence,
	    cli_time(m.until_us));
	return 0;
}

int
cli_brake(struct cli *c, int argc, char **argv)
{
	static const struct option options[] = { CLI_OPT_COMMON, { NULL, 0, NULL, 0 } };
	Wire__ClearBrake m = WIRE__CLEAR_BRAKE__INIT;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if ((rc = cli_option(c, "brake", opt)) != 0)
			return rc - 1;
	}
	if ((rc = cli_words(
		 "brake", argc, argv, 2, 2, argc == optind ? "clear" : "HOST")) != 0)
		return rc;
	if (strcmp(argv[optind], "clear") != 0)
		return cli_usage("brake", "'%s' is not clear", argv[optind]);
	m.host = argv[optind + 1];
	if ((rc = do_it(c, "brake", &m.base)) != 0)
		return rc;
	(void)printf("'%s' may be pruned again\n", m.host);
	return 0;
}
