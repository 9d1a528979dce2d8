#include "agent/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"

#define STATE_DEFAULT "/var/lib/holdfast-agent"

const char *
command_help(void)
{
	return "usage: holdfast-agent [--state DIR] COMMAND ...\n"
	       "\n"
	       "  enroll TOKEN [--name NAME]    become a host of the server that made "
	       "TOKEN\n"
	       "                                (- reads it from standard input)\n"
	       "  backup [NAME=PATH | PATH]...  one recovery point of devices or image "
	       "files\n"
	       "                                (none: those of agent.conf)\n"
	       "  restore POINT --volume NAME --to FILE|DEVICE\n"
	       "                                POINT is a number or latest\n"
	       "  points                        this host's recovery points\n"
	       "  status                        enrolment, certificate, last backup, "
	       "server\n"
	       "  run                           back up at the interval of agent.conf\n"
	       "\n"
	       "  --state DIR       where key and memory are "
	       "(HOLDFAST_STATE; " STATE_DEFAULT ")\n"
	       "  --server ADDR     another address of the same server\n"
	       "  --machine-id FILE names this machine in place of /etc/machine-id\n"
	       "  --json            one JSON object a line\n"
	       "  --quiet           no progress\n"
	       "enroll:  --replace  although enrolled already\n"
	       "backup:  --level N  zstd level, 1..19    --retry-for 10m  outlast a lost "
	       "server\n"
	       "         --no-cache ask for every chunk  --profile        CPU time of "
	       "each stage\n"
	       "restore: --delta    rewrite only what differs\n"
	       "         --force    replace an existing file\n"
	       "         --zero-holes | --discard   what is free becomes zeros | is "
	       "discarded\n"
	       "         --overwrite-source         allow a volume that was backed up "
	       "from here\n";
}

/* An option and where its value or mark goes. */
struct option {
	const char *name;
	const char **value;
	int *mark;
};

static int
take_option(const struct option *options, int argc, char **argv, int *i, struct err *err)
{
	const struct option *o;
	size_t len;

	for (o = options; o->name != NULL; o++) {
		len = strlen(o->name);
		if (strncmp(argv[*i], o->name, len) != 0 ||
		    (argv[*i][len] != '\0' && (argv[*i][len] != '=' || o->value == NULL)))
			continue;
		if (o->value == NULL) {
			*o->mark = 1;
			return 0;
		}
		if (argv[*i][len] == '=') {
			*o->value = argv[*i] + len + 1;
			return 0;
		}
		if (++*i == argc)
			return err_set(
			    err, ERR_UNSUPPORTED, "%s: a value is missing", o->name);
		*o->value = argv[*i];
		return 0;
	}
	return err_set(err, ERR_UNSUPPORTED, "%s: no such option; try --help", argv[*i]);
}

static int
take_verb(struct command *c, const char *word, struct err *err)
{
	static const struct {
		const char *word;
		enum command_verb verb;
	} verbs[] = { { "enroll", COMMAND_ENROLL }, { "enrol", COMMAND_ENROLL },
		{ "backup", COMMAND_BACKUP }, { "restore", COMMAND_RESTORE },
		{ "points", COMMAND_POINTS }, { "status", COMMAND_STATUS },
		{ "run", COMMAND_RUN }, { "help", COMMAND_HELP } };
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(word, verbs[i].word) == 0) {
			c->verb = verbs[i].verb;
			return 0;
		}
	return err_set(err, ERR_UNSUPPORTED, "%s: no such command; try --help", word);
}

static int
take_word(struct command *c, const char *word, struct err *err)
{
	switch (c->verb) {
	case COMMAND_ENROLL:
		if (c->token != NULL)
			break;
		c->token = word;
		return 0;
	case COMMAND_BACKUP:
		if (c->volumes_count == SETTINGS_VOLUMES_MAX)
			return err_set(err, ERR_UNSUPPORTED, "more than %d volumes",
			    SETTINGS_VOLUMES_MAX);
		c->volumes[c->volumes_count++] = word;
		return 0;
	case COMMAND_RESTORE:
		if (c->point != NULL)
			break;
		c->point = word;
		return 0;
	default:
		break;
	}
	return err_set(err, ERR_UNSUPPORTED, "%s: one word too many; try --help", word);
}

static int
check(const struct command *c, struct err *err)
{
	if (c->verb == COMMAND_ENROLL && c->token == NULL)
		return err_set(err, ERR_UNSUPPORTED, "enroll: a token is missing");
	if (c->verb != COMMAND_RESTORE)
		return 0;
	if (c->point == NULL)
		return err_set(
		    err, ERR_UNSUPPORTED, "restore: which point? a number, or latest");
	if (c->volume == NULL || c->to == NULL)
		return err_set(err, ERR_UNSUPPORTED, "restore: %s is missing",
		    c->volume == NULL ? "--volume NAME" : "--to FILE|DEVICE");
	if (c->delta && c->force)
		return err_set(err, ERR_UNSUPPORTED,
		    "restore: --delta keeps the target, --force replaces it: say one");
	return 0;
}

int
command_parse(int argc, char **argv, struct command *out, struct err *err)
{
	const char *level = NULL, *retry = NULL;
	int help = 0, version = 0, has_verb = 0, only_words = 0, rc, i;
	const struct option options[] = { { "--state", &out->state_dir, NULL },
		{ "--server", &out->server, NULL },
		{ "--machine-id", &out->machine_id, NULL },
		{ "--json", NULL, &out->json }, { "--quiet", NULL, &out->quiet },
		{ "--name", &out->name, NULL }, { "--replace", NULL, &out->replace },
		{ "--level", &level, NULL }, { "--retry-for", &retry, NULL },
		{ "--no-cache", NULL, &out->no_cache },
		{ "--profile", NULL, &out->profile }, { "--volume", &out->volume, NULL },
		{ "--to", &out->to, NULL }, { "--delta", NULL, &out->delta },
		{ "--force", NULL, &out->force }, { "--discard", NULL, &out->discard },
		{ "--zero-holes", NULL, &out->zero_holes },
		{ "--overwrite-source", NULL, &out->over_source },
		{ "--help", NULL, &help }, { "--version", NULL, &version },
		{ NULL, NULL, NULL } };

	memset(out, 0, sizeof(*out));
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0 && !only_words) {
			only_words = 1;
			continue;
		}
		if (strcmp(argv[i], "-h") == 0)
			argv[i] = (char *)"--help";
		if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
			rc = take_option(options, argc, argv, &i, err);
		else if (!has_verb)
			rc = take_verb(out, argv[i], err), has_verb = 1;
		else
			rc = take_word(out, argv[i], err);
		if (rc != 0)
			return -1;
	}
	if (help || version) {
		out->verb = help ? COMMAND_HELP : COMMAND_VERSION;
		return 0;
	}
	if (!has_verb)
		return err_set(err, ERR_UNSUPPORTED, "what is to be done? try --help");
	if (level != NULL && settings_level(level, &out->level, err) != 0)
		return -1;
	out->has_retry = retry != NULL;
	if (retry != NULL && settings_duration(retry, &out->retry_s, err) != 0)
		return -1;
	if (out->state_dir == NULL)
		out->state_dir = getenv("HOLDFAST_STATE");
	if (out->state_dir == NULL)
		out->state_dir = STATE_DEFAULT;
	return check(out, err);
}

enum progress_mode
command_progress(const struct command *cmd)
{
	return cmd->quiet ? PROGRESS_QUIET : cmd->json ? PROGRESS_JSON : PROGRESS_AUTO;
}

void
command_time(int64_t us, char out[24])
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;

	if (gmtime_r(&s, &tm) == NULL || strftime(out, 24, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		strcpy(out, "?");
}

void
command_say(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "holdfast-agent: %s\n", line);
}
