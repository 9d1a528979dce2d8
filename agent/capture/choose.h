/*
 * choose.h - which provider freezes the volumes of a backup, and why.
 *
 * `auto` never changes what a point is worth without saying so:
 *
 *	plain files, Linux devices	offline
 *	Windows volumes			vss; a provider that asks nobody (hotcopy) only if
 *					vss failed and no database's writer is there
 *	the simulator's volumes		hotcopy: nobody else freezes them
 *
 * A provider that was asked for by name is taken or refused, never replaced.
 */
#ifndef AGENT_CAPTURE_CHOOSE_H
#define AGENT_CAPTURE_CHOOSE_H

#include <stddef.h>

struct err;
struct settings;

/* What a source is to a provider. */
enum choose_kind {
	CHOOSE_FILE,  /* A plain file or a Linux device. */
	CHOOSE_VOLUME /* A volume or disk of a running Windows, or of the simulator. */
};

/* What a choice rests on. */
struct choose_facts {
	unsigned files, volumes; /* Sources of each kind. */
	int has_vss, has_hotcopy;
	const char *no_hotcopy; /* Why it has not; NULL: this build has none. */
	const char *failed;	/* vss was tried and failed, for good: how.  Or NULL. */
	int writers_known;	/* The writers could be asked who they are. */
	const char *databases;	/* Names of databases' writers, or "". */
	int flushed;		/* hotcopy asks them, by VSS: hotcopy-flush. */
	int forced;		/* A person wants it in spite of them. */
};

struct choice {
	char provider[16];
	char why[192]; /* For the point: "asked for". */
};

/*
 * Decide: `wish` is a provider's name or SETTINGS_AUTO.  ERR_UNSUPPORTED, with a line
 * that says what to do: nothing fits.
 */
int choose(const char *wish, const struct choose_facts *facts, struct choice *out,
    struct err *err);

/*
 * Decide for these settings on this host; `failed`: vss was tried and this is how it
 * failed for good, else NULL.
 */
int choose_provider(
    const struct settings *s, const char *failed, struct choice *out, struct err *err);

/* What the source at `path` is. */
enum choose_kind choose_kind_of(const char *path);

/*
 * Whose databases are here: their names, joined, "" if none.  1; 0: nobody can tell.  May
 * take minutes on a Windows that does not answer.  Elsewhere there is nobody to ask, and
 * what is frozen as after a power cut is all that there is.
 */
int choose_databases(char *out, size_t cap);

#endif /* AGENT_CAPTURE_CHOOSE_H */
