/*
 * command.h - the agent's command line: what was asked, and doing it.
 */
#ifndef AGENT_CLI_COMMAND_H
#define AGENT_CLI_COMMAND_H

#include <stdint.h>

#include "agent/host/progress.h"
#include "agent/host/settings.h"
#include "agent/host/state.h"

struct err;
struct stop;

enum command_verb {
	COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_ENROLL,
	COMMAND_UNENROLL,
	COMMAND_BACKUP,
	COMMAND_RESTORE,
	COMMAND_CLONE,
	COMMAND_POINTS,
	COMMAND_STATUS,
	COMMAND_VOLUMES,
	COMMAND_VSS,
	COMMAND_DRIVER,
	COMMAND_RUN,
	COMMAND_SERVICE
};

/* The words are argv's. */
struct command {
	enum command_verb verb;
	const char *state_dir;
	const char *server;	/* NULL: as enrolled. */
	const char *machine_id; /* NULL: the system's. */
	int json, quiet;

	const char *token, *name; /* enroll */
	const char *token_file;	  /* In place of token. */
	int replace, later, or_later, unless_enrolled;

	const char *volumes[SETTINGS_VOLUMES_MAX]; /* backup */
	unsigned volumes_count;
	const char *disks[SETTINGS_DISKS_MAX];
	unsigned disks_count;
	const char *host_facts; /* NULL: the system's. */
	int level;		/* 0: as configured. */
	int has_retry;
	uint32_t retry_s;
	int no_cache, profile;
	const char *provider;	  /* NULL: as configured. */
	const char *changed_from; /* NULL: nobody says. */
	int check_changes;

	const char *action; /* vss: doctor; service: install, uninstall, start, stop, run;
		      * driver: install, remove, status */
	const char *driver; /* driver status: which; NULL: this system's. */
	const char *dir;    /* driver install: where hotcopy.sys is; NULL: beside us. */

	const char *point, *volume, *to; /* restore; or disks[0] */
	const char *format;		 /* NULL: by the target's name. */
	int vhdx;
	int delta, force, discard, zero_holes, over_source;
	int extend, verify;
	uint64_t size; /* Of a new image file; 0: the disk's. */

	int now; /* run */

	const char *from, *onto; /* clone */
	int whole, no_verify;
};

/* Read the command line.  ERR_UNSUPPORTED with one line for what cannot be meant. */
int command_parse(int argc, char **argv, struct command *out, struct err *err);

/* What `--help` shows; static. */
const char *command_help(void);

/* What a verb works with. */
struct command_context {
	const struct command *cmd;
	struct state *st;
	struct settings settings; /* agent.conf, and the command line over it. */
	uint8_t machine[STATE_HASH_LEN];
	struct stop *stop;
};

/* agent.conf, and what the command line says over it, into c->settings. */
int command_settings(struct command_context *c, struct err *err);

/* Do it. */
int command_enroll(const struct command_context *c, struct err *err);
int command_unenroll(const struct command_context *c, struct err *err);
int command_backup(const struct command_context *c, struct err *err);
int command_restore(const struct command_context *c, struct err *err);
int command_points(const struct command_context *c, struct err *err);
int command_status(const struct command_context *c, struct err *err);
/* Without a state; one that is there says what is backed up. */
int command_clone(const struct command *cmd, struct stop *stop, struct err *err);
int command_vss(const struct command *cmd, struct err *err);
int command_driver(const struct command *cmd, struct err *err);
int command_volumes(const struct command_context *c, struct err *err);
int command_run(const struct command_context *c, struct err *err);

/* Nothing is written over the agent's own memory, which is in `state_dir`: ERR_BUSY. */
int command_check_target(const char *to, const char *state_dir, struct err *err);

/* A volume that is backed up from here is no target by accident: ERR_EXISTS. */
int command_check_source(const struct state *st, const struct settings *settings,
    const char *to, struct err *err);

/* How progress is to be shown. */
enum progress_mode command_progress(const struct command *cmd);

/* "2026-11-22 19:04:05" in UTC; `out` has 24 bytes. */
void command_time(int64_t us, char out[24]);

/* `,"key":"text"` on standard output; what is no UTF-8 in it is replaced. */
void command_json_text(const char *key, const char *text);

/* A line for people on standard error, "holdfast-agent: ..."; `arg` is not used. */
void command_say(void *arg, const char *line);

#endif /* AGENT_CLI_COMMAND_H */
