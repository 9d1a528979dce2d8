/*
 * choose.h - which provider freezes the volumes of a backup, and why.
 *
 * `auto` never changes what a point is worth without saying so:
 *
 *	plain files, Linux devices	offline
 *	Windows volumes			vss; a provider that asks nobody (hotcopy) only if
 *					vss failed and no database's writer is there
 *
 * A provider that was asked for by name is taken or refused, never replaced.
 */
#ifndef AGENT_CAPTURE_CHOOSE_H
#define AGENT_CAPTURE_CHOOSE_H

struct err;
struct settings;

/* What a source is to a provider. */
enum choose_kind {
	CHOOSE_FILE,  /* A plain file or a Linux device. */
	CHOOSE_VOLUME /* A volume or disk of a running Windows. */
};

/* What a choice rests on. */
struct choose_facts {
	unsigned files, volumes; /* Sources of each kind. */
	int has_vss, has_hotcopy;
	int failed;	       /* vss was tried and failed, for good. */
	int writers_known;     /* The writers could be asked who they are. */
	const char *databases; /* Names of databases' writers, or "". */
	int forced;	       /* A person wants it in spite of them. */
};

struct choice {
	char provider[16];
	char why[128]; /* For the point: "asked for by agent.conf". */
};

/*
 * Decide: `wish` is a provider's name or SETTINGS_AUTO.  ERR_UNSUPPORTED, with a line
 * that says what to do: nothing fits.
 */
int choose(const char *wish, const struct choose_facts *facts, struct choice *out,
    struct err *err);

/* Decide for these settings on this host, before anything was tried. */
int choose_provider(const struct settings *s, struct choice *out, struct err *err);

/* What the source at `path` is. */
enum choose_kind choose_kind_of(const char *path);

#endif /* AGENT_CAPTURE_CHOOSE_H */
