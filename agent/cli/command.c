#include "agent/cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/cli/command_system.h"
#include "agent/restore/restore.h"
#include "proto/base/err.h"
#include "proto/wire/msg_check.h"

#define COMMAND_TEXT_MAX 1024u

const char *
command_help(void)
{
	return "usage: holdfast-agent [--state DIR] COMMAND ...\n"
	       "\n"
	       "  enroll TOKEN [--name NAME]    become a host of the server that made "
	       "TOKEN\n"
	       "                                (- reads it from standard input)\n"
	       "  unenroll                      forget key and server (its points "
	       "stay there)\n"
	       "  backup [NAME=PATH | PATH]...  one recovery point of devices or image "
	       "files\n"
	       "                                (none: those of agent.conf)\n"
	       "                                --disk NAME=PATH: a whole disk with its "
	       "table\n"
	       "                                Windows: C:, C:\\mnt, label:DATA, "
	       "\\\\?\\Volume{...}\n"
	       "  restore POINT --volume NAME | --disk NAME  --to FILE|DEVICE\n"
	       "                                POINT is a number or latest\n"
	       "  clone SRC DST [--disk]        copy a volume or a whole disk, without a "
	       "server\n"
	       "  points                        this host's recovery points\n"
	       "  status                        enrolment, certificate, last backup, "
	       "server\n"
	       "  vss doctor                    would a backup by VSS work here? "
	       "(Windows)\n"
	       "  driver install | remove       the hot-copy driver, --dir DIR: from "
	       "there (Windows)\n"
	       "  driver status [VOLUME]        what it does and tracks\n"
	       "  volumes                       this machine's volumes and disks "
	       "(Windows)\n"
	       "  run                           back up at the interval of agent.conf "
	       "(--now: and\n"
	       "                                at once)\n"
	       "  service install | uninstall | start | stop   (Windows) `run` as a "
	       "service\n"
	       "\n"
	       "  --state DIR       where key and memory are "
	       "(HOLDFAST_STATE)\n"
	       "  --server ADDR     another address of the same server\n"
	       "  --machine-id FILE names this machine in place of /etc/machine-id\n"
	       "  --json            one JSON object a line\n"
	       "  --quiet           no progress\n"
	       "enroll:  --replace  although enrolled already\n"
	       "         --token-file FILE  in place of TOKEN\n"
	       "         --unless-enrolled  nothing to do if enrolled already\n"
	       "         --or-later | --later  leave it to `run` if the server cannot\n"
	       "                    be reached | in any case\n"
	       "backup:  --level N  zstd level, 1..19    --retry-for 10m  outlast a lost "
	       "server\n"
	       "         --no-cache ask for every chunk  --profile        CPU time of "
	       "each stage\n"
	       "         --host-facts DIR  read in place of /sys\n"
	       "         --provider auto|offline|vss|hotcopy  who freezes the volumes\n"
	       "         --changed-from FILE  ranges that changed since the last point, "
	       "a line each:\n"
	       "                    OFFSET LENGTH; with --check-changes all is read as "
	       "well\n"
	       "restore: --delta    rewrite only what differs\n"
	       "         --force    replace an existing file\n"
	       "         --zero-holes | --discard   what is free becomes zeros | is "
	       "discarded\n"
	       "         --extend --size 500G --verify   of a disk: the last data "
	       "partition takes\n"
	       "                    the room, length of a new image file, read all "
	       "back\n"
	       "         --format raw|vhdx  plain bytes or a virtual disk (a target "
	       "*.vhdx is one)\n"
	       "         --overwrite-source         allow a volume that was backed up "
	       "from here\n"
	       "clone:   --provider, --delta, --force, --zero-holes, --discard, "
	       "--format,\n"
	       "         --overwrite-source: as above\n"
	       "         --no-verify                the copy is not read back\n";
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
		{ "unenroll", COMMAND_UNENROLL }, { "backup", COMMAND_BACKUP },
		{ "restore", COMMAND_RESTORE }, { "clone", COMMAND_CLONE },
		{ "points", COMMAND_POINTS }, { "status", COMMAND_STATUS },
		{ "volumes", COMMAND_VOLUMES }, { "vss", COMMAND_VSS },
		{ "driver", COMMAND_DRIVER }, { "run", COMMAND_RUN },
		{ "service", COMMAND_SERVICE }, { "help", COMMAND_HELP } };
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(word, verbs[i].word) == 0) {
			c->verb = verbs[i].verb;
			return 0;
		}
	return err_set(err, ERR_UNSUPPORTED, "%s: no such command; try --help", word);
}

static int
take_disk(struct command *c, const char *disk, struct err *err)
{
	if (c->disks_count == SETTINGS_DISKS_MAX)
		return err_set(
		    err, ERR_UNSUPPORTED, "more than %d disks", SETTINGS_DISKS_MAX);
	c->disks[c->disks_count++] = disk;
	return 0;
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
	case COMMAND_CLONE:
		if (c->onto != NULL)
			break;
		*(c->from == NULL ? &c->from : &c->onto) = word;
		return 0;
	case COMMAND_DRIVER:
		if (c->action != NULL && strcmp(c->action, "status") == 0 &&
		    c->driver == NULL) {
			c->driver = word;
			return 0;
		}
		/* fall through */
	case COMMAND_SERVICE:
	case COMMAND_VSS:
		if (c->action != NULL)
			break;
		c->action = word;
		return 0;
	default:
		break;
	}
	return err_set(err, ERR_UNSUPPORTED, "%s: one word too many; try --help", word);
}

/* What restore and clone write to, and how. */
static int
check_target(struct command *c, const char *verb, const char *to, struct err *err)
{
	if (restore_format(c->format, to, &c->vhdx, err) != 0)
		return -1;
	if (c->delta && c->force)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: --delta keeps the target, --force replaces it: say one", verb);
	return 0;
}

static int
check_restore(struct command *c, struct err *err)
{
	if (c->point == NULL)
		return err_set(
		    err, ERR_UNSUPPORTED, "restore: which point? a number, or latest");
	if (c->disks_count > 1 || (c->disks_count == 1 && c->volume != NULL))
		return err_set(
		    err, ERR_UNSUPPORTED, "restore: one --volume or one --disk");
	if ((c->volume == NULL && c->disks_count == 0) || c->to == NULL)
		return err_set(err, ERR_UNSUPPORTED, "restore: %s is missing",
		    c->to == NULL ? "--to FILE|DEVICE" : "--volume NAME or --disk NAME");
	if (c->disks_count == 0 && (c->extend || c->verify || c->size > 0))
		return err_set(err, ERR_UNSUPPORTED,
		    "restore: --extend, --size and --verify belong to --disk");
	return check_target(c, "restore", c->to, err);
}

static int
check_clone(struct command *c, struct err *err)
{
	if (c->from == NULL || c->onto == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "clone: %s is missing: clone SRC DST; try --help",
		    c->from == NULL ? "SRC" : "DST");
	if (c->to != NULL || c->volume != NULL || c->extend || c->size > 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "clone: --to, --volume, --extend and --size belong to restore; try "
		    "--help");
	return check_target(c, "clone", c->onto, err);
}

static int
check(struct command *c, struct err *err)
{
	if (c->verb == COMMAND_ENROLL && (c->token == NULL) == (c->token_file == NULL))
		return err_set(err, ERR_UNSUPPORTED, "enroll: %s",
		    c->token == NULL ? "a token is missing"
				     : "a token or --token-file, not both");
	if (c->verb == COMMAND_ENROLL && c->replace &&
	    (c->later || c->or_later || c->unless_enrolled))
		return err_set(
		    err, ERR_UNSUPPORTED, "enroll: --replace is done now or not at all");
	if (c->verb == COMMAND_SERVICE && c->action == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "service: say install, uninstall, start, stop or run");
	if (c->verb == COMMAND_VSS &&
	    (c->action == NULL || strcmp(c->action, "doctor") != 0))
		return err_set(err, ERR_UNSUPPORTED, "vss: say doctor");
	if (c->verb == COMMAND_DRIVER &&
	    (c->action == NULL ||
		(strcmp(c->action, "install") != 0 && strcmp(c->action, "remove") != 0 &&
		    strcmp(c->action, "status") != 0)))
		return err_set(
		    err, ERR_UNSUPPORTED, "driver: say install, remove or status");
	if (c->dir != NULL &&
	    (c->verb != COMMAND_DRIVER || strcmp(c->action, "install") != 0))
		return err_set(err, ERR_UNSUPPORTED, "--dir belongs to driver install");
	return c->verb == COMMAND_RESTORE ? check_restore(c, err)
	       : c->verb == COMMAND_CLONE ? check_clone(c, err)
					  : 0;
}

/* "8589934592", "512M", "500G", "2T". */
static int
take_size(const char *text, uint64_t *out, struct err *err)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	if (text[0] >= '0' && text[0] <= '9') {
		*out = strtoull(text, &end, 10);
		unit = *end != '\0' ? strchr(units, *end) : NULL;
		if (*out > 0 && *out < 1u << 31 && unit != NULL && end[1] == '\0') {
			*out <<= 10 * (unit - units + 1);
			return 0;
		}
		if (*out > 0 && *out < INT64_MAX && *end == '\0')
			return 0;
	}
	return err_set(err, ERR_UNSUPPORTED, "'%s' is no size; say 500G", text);
}

/* Of `backup`, --volume NAME=PATH is one word more; of `restore` it is which. */
static int
take_named(struct command *c, int has_verb, struct err *err)
{
	const char *volume = c->volume;

	if (!has_verb || c->verb != COMMAND_BACKUP || volume == NULL)
		return 0;
	c->volume = NULL;
	return take_word(c, volume, err);
}

int
command_parse(int argc, char **argv, struct command *out, struct err *err)
{
	const char *level = NULL, *retry = NULL, *size = NULL, *disk = NULL;
	int help = 0, version = 0, has_verb = 0, only_words = 0, rc, i;
	const struct option options[] = { { "--state", &out->state_dir, NULL },
		{ "--server", &out->server, NULL },
		{ "--machine-id", &out->machine_id, NULL },
		{ "--json", NULL, &out->json }, { "--quiet", NULL, &out->quiet },
		{ "--name", &out->name, NULL }, { "--replace", NULL, &out->replace },
		{ "--token-file", &out->token_file, NULL },
		{ "--later", NULL, &out->later }, { "--or-later", NULL, &out->or_later },
		{ "--unless-enrolled", NULL, &out->unless_enrolled },
		{ "--level", &level, NULL }, { "--retry-for", &retry, NULL },
		{ "--no-cache", NULL, &out->no_cache },
		{ "--profile", NULL, &out->profile },
		{ "--changed-from", &out->changed_from, NULL },
		{ "--check-changes", NULL, &out->check_changes },
		{ "--volume", &out->volume, NULL }, { "--to", &out->to, NULL },
		{ "--dir", &out->dir, NULL }, { "--delta", NULL, &out->delta },
		{ "--force", NULL, &out->force }, { "--discard", NULL, &out->discard },
		{ "--zero-holes", NULL, &out->zero_holes },
		{ "--overwrite-source", NULL, &out->over_source },
		{ "--disk", &disk, NULL }, { "--host-facts", &out->host_facts, NULL },
		{ "--extend", NULL, &out->extend }, { "--verify", NULL, &out->verify },
		{ "--size", &size, NULL }, { "--provider", &out->provider, NULL },
		{ "--no-verify", NULL, &out->no_verify }, { "--now", NULL, &out->now },
		{ "--format", &out->format, NULL }, { "--help", NULL, &help },
		{ "--version", NULL, &version }, { NULL, NULL, NULL } };

	memset(out, 0, sizeof(*out));
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0 && !only_words) {
			only_words = 1;
			continue;
		}
		/* A disk is named after it, but by `clone` it was. */
		if (out->verb == COMMAND_CLONE && strcmp(argv[i], "--disk") == 0 &&
		    !only_words) {
			out->whole = 1;
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
		if (rc == 0 && disk != NULL)
			rc = take_disk(out, disk, err);
		disk = NULL;
		if (rc == 0)
			rc = take_named(out, has_verb, err);
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
	if (size != NULL && take_size(size, &out->size, err) != 0)
		return -1;
	out->has_retry = retry != NULL;
	if (retry != NULL && settings_duration(retry, &out->retry_s, err) != 0)
		return -1;
	if (out->state_dir == NULL)
		out->state_dir = command_system_env("HOLDFAST_STATE");
	if (out->state_dir == NULL)
		out->state_dir = command_system_state();
	if (out->state_dir == NULL)
		return err_set(err, ERR_NOTFOUND, "no place for the state; say --state");
	return check(out, err);
}

enum progress_mode
command_progress(const struct command *cmd)
{
	return cmd->quiet ? PROGRESS_SILENT : cmd->json ? PROGRESS_JSON : PROGRESS_AUTO;
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
command_json_text(const char *key, const char *text)
{
	char clean[COMMAND_TEXT_MAX];

	(void)snprintf(clean, sizeof(clean), "%s", text);
	msg_check_clean(clean);
	printf(",\"%s\":\"", key);
	for (const char *p = clean; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			putchar('\\');
		putchar(*p);
	}
	putchar('"');
}

void
command_say(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "holdfast-agent: %s\n", line);
}
