/*
 * options.h - the rescue program's own command line.
 *
 * In the rescue image it is started without any; each option is a place that a test,
 * or a person who repairs a rescue, may want to be another.
 */
#ifndef RESCUE_OPTIONS_H
#define RESCUE_OPTIONS_H

struct err;

/* The words are argv's, or constants. */
struct options {
	int help, version;
	const char *cmdline; /* Like /proc/cmdline. */
	const char *sys, *dev;
	const char *ca;	    /* The authority's certificate, PEM. */
	const char *server; /* A file with the server's address, if nobody says one. */
	const char *machine_id; /* NULL: the mainboard's UUID. */
	const char *efivars;	/* NULL: below `sys`. */
	const char
	    *disks_wait; /* Seconds for which disks that come late are waited for. */
	const char *esp; /* A directory in place of the mounted ESP; or NULL. */
};

/* ERR_UNSUPPORTED with one line. */
int options_parse(int argc, char **argv, struct options *out, struct err *err);

/* What --help shows; static. */
const char *options_help(void);

#endif /* RESCUE_OPTIONS_H */
