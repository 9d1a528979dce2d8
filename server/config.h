/*
 * config.h - what holdfastd is told by its configuration file.
 *
 * The file is "key = value" lines without sections, comments after ';' or '#'
 * (INI, by libinih).  The parser does no I/O; it is given the text and says of
 * the first thing that is wrong which line it is on.  The keys, their limits and
 * whether SIGHUP applies them are one table in config.c; --check-config prints it.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/log.h"

struct err;

/* Of a disk: bytes, or if that is not 0 a share. */
struct config_share {
	uint64_t bytes, percent;
};

#define CONFIG_TEXT_MAX (64u * 1024) /* Bytes of a file. */
#define CONFIG_PATH_MAX 512	     /* With its NUL. */
#define CONFIG_ADDRESS_MAX 200
#define CONFIG_PORT_DEFAULT "7437"

struct config {
	char store[CONFIG_PATH_MAX];
	char listen[CONFIG_ADDRESS_MAX];    /* "host:port"; port 0: any. */
	char advertise[CONFIG_ADDRESS_MAX]; /* In tokens; "": made from listen. */
	char ready_file[CONFIG_PATH_MAX];   /* Gets the address in use; "": none. */
	uint64_t threads;		    /* Loops; 0: one a core. */
	uint64_t workers, disk_workers;	    /* 0: one a core, four. */

	uint64_t sessions;
	uint64_t window;	/* Bytes of Put under way a session. */
	uint64_t ingest_memory; /* Of Put under way in all sessions. */
	uint64_t silence_s, handshake_s, drain_s;
	uint64_t socket_buffer; /* Bytes, each way; 0: the system's. */

	char copy_to[CONFIG_PATH_MAX]; /* Directory of the second copy; "": none. */
	uint64_t copy_rate;	       /* Bytes a second; 0: no limit. */

	char rescue_dir[CONFIG_PATH_MAX];	/* Of the rescue image; "": none. */
	char rescue_listen[CONFIG_ADDRESS_MAX]; /* Its HTTP; "": none. */

	int agents_may_restore, read_only;
	uint64_t certificate_s; /* Life of an agent's certificate. */

	uint64_t pack_parity;		     /* Per cent. */
	uint64_t reserve;		     /* Bytes kept for a full disk. */
	struct config_share low_water;	     /* No new backup begins below. */
	char prune_at[8];		     /* "03:30", "off". */
	char maintenance_window[16];	     /* "22:00-06:00" */
	uint64_t gc_every_s, verify_cycle_s; /* 0: off. */
	uint64_t unfinished_keep_s;
	uint64_t maintenance_rate; /* Bytes a second. */
	uint64_t clock_jump_s;	   /* What a clock may be ahead after a rest. */

	enum log_level log_level;
	enum log_format log_format;
};

void config_defaults(struct config *out);

/*
 * Read `len` bytes of text over the defaults into `out`.  `file` is only for the
 * message: "FILE:LINE: why".  ERR_CORRUPT, ERR_LIMIT; `out` is then unspecified.
 */
int config_parse(
    const char *file, const char *text, size_t len, struct config *out, struct err *err);

/* Minutes since midnight of "03:30"; -1 for "off", -2 for what is neither. */
int config_time_of_day(const char *text);

/* "22:00-06:00": 0, or -1. */
int config_window(const char *text, int *from, int *to);

/* The first key that differs and needs a restart to apply, or NULL. */
const char *config_needs_restart(const struct config *now, const struct config *then);

/* Call for each key with its value as text and one line of what it means. */
void config_each(const struct config *c,
    void (*each)(void *arg, const char *key, const char *value, const char *meaning),
    void *arg);

#endif /* SERVER_CONFIG_H */
