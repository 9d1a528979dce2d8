/*
 * cli.h - the operator's commands: `holdfast COMMAND ...`.
 *
 * A command is a function of its arguments; it returns the exit status: 0, 1 for
 * a failure that was said in one line, 2 for a wrong command line.  All but
 * `init` are clients of a running server and begin with cli_connect().
 *
 * An operator directory holds who the operator is:
 *	operator.key	the private key, DER; mode 0600
 *	operator.pem	the certificate
 *	ca.pem		the authority that server and operator trust
 *	server		"host:port"
 */
#ifndef SERVER_CLI_CLI_H
#define SERVER_CLI_CLI_H

#include <getopt.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/tls/cert.h"
#include "proto/wire/msg.h"
#include "storage/escrow.h"

struct authority; /* server/authority.h */
struct dial;	  /* agent/session/dial.h */
struct store;
struct tls_config;

struct cli {
	const char *operator_dir; /* --operator, or NULL. */
	const char *server;	  /* --server, or NULL. */
	char **argv;		  /* The command and its arguments. */
	struct stop *stop; /* Ends cli_connect(); NULL: a signal ends the program. */

	struct cert_identity me;
	struct cert_key *key;
	struct cert ca;
	struct tls_config *tls;
	struct channel *ch;
	char address[200];
	uint8_t domain_key[32]; /* From the Welcome. */
	char name[CERT_NAME_MAX];
	unsigned features; /* In force: a bit each, in the order of msg_features. */
};

struct cli_command {
	const char *name, *arguments, *what, *help;
	int (*run)(struct cli *c, int argc, char **argv);
};

/* ------------------------------------------------------------- cli_connect.c -- */

/* Read the operator directory, connect, greet.  Renews the certificate if it is time. */
int cli_connect(struct cli *c, struct err *err);
void cli_close(struct cli *c);

/*
 * A session apart from all others, as who `arg` (a struct cli) says: the `dial` of
 * agent/tree/tree_reader.h and agent/restore/disk_restore.h.  dial_close() ends it.
 */
int cli_dial(void *arg, struct dial *out, struct err *err);

/* Does the server know this kind?  0, or -1: it is older than this program. */
int cli_can(const struct cli *c, uint16_t kind, struct err *err);

/* Unpack the payload of a received frame and free it. */
int cli_unpack(struct channel_frame *f, ProtobufCMessage **out, struct err *err);

/*
 * Send `m` and call `each` with every answer of `kind` up to the one without
 * FRAME_MORE; `each` returns non-zero to stop.
 */
int cli_each(struct cli *c, const ProtobufCMessage *m, uint16_t kind,
    int (*each)(void *arg, const ProtobufCMessage *m), void *arg, struct err *err);

/* ------------------------------------------------------------- cli_identity.c -- */

/* Refuse a directory that already holds an operator; make it if it is missing. */
int cli_identity_prepare(const char *dir, struct err *err);

/* Write all of it. */
int cli_identity_write(const char *dir, const struct cert_key *key,
    const struct cert *cert, const struct cert *ca, const char *server, struct err *err);

/* Replace only the certificate. */
int cli_identity_renew(const char *dir, const struct cert *cert, struct err *err);

/* `server` has room for `cap` bytes. */
int cli_identity_read(const char *dir, struct cert_key **key, struct cert *cert,
    struct cert *ca, char *server, size_t cap, struct err *err);

/* -------------------------------------------------------------- cli_format.c -- */

/* "1.5 GiB", "512 B"; a static ring of buffers, good for one line of output. */
const char *cli_size(uint64_t bytes);
const char *cli_number(uint64_t n);
const char *cli_time(int64_t us);  /* Local; "-" for 0. */
const char *cli_span(uint64_t us); /* "3.2 s", "1:02:03" */

/* "20M": bytes a second; -1 if it is none. */
int cli_rate(const char *text, uint64_t *out);

/* For JSON: ISO 8601 in UTC, or null for 0. */
json_t *cli_json_time(int64_t us);
int cli_json_print(json_t *j, struct err *err); /* Takes over `j`. */

/* "90s", "15m", "1h", "30d"; -1 if it is none. */
int cli_duration(const char *text, uint64_t *seconds);

/* "7d" ago, "2026-11-01" in local time, as microseconds since 1970; -1. */
int cli_since(const char *text, int64_t *us);

/* "HOST/SEQ" or "HOST" (sequence 0). */
int cli_point_name(
    const char *text, char host[CERT_NAME_MAX], uint64_t *sequence, struct err *err);

/* A table with aligned columns; cells are copied. */
#define CLI_COLUMNS_MAX 16u
struct cli_table;
struct cli_table *cli_table_new(size_t columns, const char *const titles[],
    const char *rights); /* 'r' for each column that is aligned right. */
void cli_table_row(struct cli_table *t, const char *const cells[]);
void cli_table_print(struct cli_table *t); /* And frees it. */

/* -------------------------------------------------------------- the commands -- */

/* Print "holdfast: COMMAND: why" and return 1. */
int cli_fail(const char *command, const struct err *err);

/* Print in one line what is wrong with the command line and return 2. */
int cli_usage(const char *command, const char *fmt, ...) ERR_PRINTF(2, 3);

/*
 * Are there as many words behind the options as `min` to `max`?  0, or 2 when that
 * was said: `missing` names the first that lacks.
 */
int cli_words(
    const char *command, int argc, char **argv, int min, int max, const char *missing);

/*
 * Options of every command; values from CLI_OPT_FIRST on are the command's own.
 * cli_option() deals with the common ones: 0 if it did, else the exit status + 1.
 */
#define CLI_OPT_COMMON                                \
	{ "operator", required_argument, NULL, 1 },   \
	    { "server", required_argument, NULL, 2 }, \
	{                                             \
		"help", no_argument, NULL, 3          \
	}
#define CLI_OPT_FIRST 10
int cli_option(struct cli *c, const char *command, int opt);

int cli_init(struct cli *c, int argc, char **argv);
int cli_enroll_token(struct cli *c, int argc, char **argv);
int cli_operator(struct cli *c, int argc, char **argv);
int cli_restore_token(struct cli *c, int argc, char **argv);
int cli_rescue_check(struct cli *c, int argc, char **argv); /* `rescue check` */
int cli_rescue(struct cli *c, int argc, char **argv);
int cli_hosts(struct cli *c, int argc, char **argv);
int cli_revoke(struct cli *c, int argc, char **argv);
int cli_points(struct cli *c, int argc, char **argv);
int cli_show(struct cli *c, int argc, char **argv);
int cli_restore(struct cli *c, int argc, char **argv);
int cli_nbd(struct cli *c, int argc, char **argv);
int cli_mount(struct cli *c, int argc, char **argv);
int cli_umount(struct cli *c, int argc, char **argv);
int cli_export(struct cli *c, int argc, char **argv);
int cli_ls(struct cli *c, int argc, char **argv);
int cli_cp(struct cli *c, int argc, char **argv);
int cli_verify(struct cli *c, int argc, char **argv);
int cli_stats(struct cli *c, int argc, char **argv);
int cli_policy(struct cli *c, int argc, char **argv);
int cli_prune(struct cli *c, int argc, char **argv);
int cli_hold(struct cli *c, int argc, char **argv);
int cli_release(struct cli *c, int argc, char **argv);
int cli_lock(struct cli *c, int argc, char **argv);
int cli_forget(struct cli *c, int argc, char **argv);
int cli_brake(struct cli *c, int argc, char **argv);
int cli_catalog(struct cli *c, int argc, char **argv);
int cli_index(struct cli *c, int argc, char **argv);
int cli_repair(struct cli *c, int argc, char **argv);
int cli_keys(struct cli *c, int argc, char **argv);
int cli_store(struct cli *c, int argc, char **argv);
int cli_alarm(struct cli *c, int argc, char **argv);
int cli_recover(struct cli *c, int argc, char **argv);

/* --------------------------------------------------------------- cli_init.c -- */

#define CLI_PATH_MAX 512
#define CLI_ADDRESS_MAX 200

/*
 * Make an admin: key, certificate, the store's word for them, and the operator
 * directory `dir`, which was prepared.  `server` is where it finds the server.
 */
int cli_appoint(struct store *s, struct authority *a, const char *admin, const char *dir,
    const char *server, struct err *err);

/* `path` without links and dots; it must exist. */
int cli_whole_path(const char *path, char out[CLI_PATH_MAX], struct err *err);

/* Where an operator on this machine finds a server that listens so. */
void cli_local_server(const char *listen, char out[CLI_ADDRESS_MAX]);

/* --------------------------------------------------------------- cli_keys.c -- */

/* The line in `file` ("-": standard input), or asked for, twice if wished. */
int cli_passphrase(
    const char *file, int twice, char out[ESCROW_PASSPHRASE_MAX + 2], struct err *err);

/* The master key in an escrow file or a copy of a `keys` file. */
int cli_keys_read(const char *path, const char *passphrase_file,
    struct store_keys_of *out, struct err *err);

/* Read them from `from` and make them those of the store in `dir`, if they are. */
int cli_keys_import(
    const char *dir, const char *from, const char *passphrase_file, struct err *err);
int cli_store_info(struct cli *c, int argc, char **argv);
int cli_audit(struct cli *c, int argc, char **argv);
int cli_gc(struct cli *c, int argc, char **argv);
int cli_jobs(struct cli *c, int argc, char **argv);
int cli_clock(struct cli *c, int argc, char **argv);

/* What one host or point uses alone; HOST or HOST/NUMBER, or "" for every host. */
int cli_usage_of(struct cli *c, const char *which, int json);

/* The points that match, newest first; `each` as for cli_each(). */
int cli_fetch_points(struct cli *c, const char *host, uint64_t sequence, uint32_t limit,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err);

/* One point, the newest with sequence 0, with its layout. */
int cli_fetch_layout(struct cli *c, const char *host, uint64_t sequence,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err);

/* -------------------------------------------------------------- cli_layout.c -- */

/* A point's disks and machine: for people, and as members of its JSON object. */
void cli_layout_print(const Wire__Point *p);
void cli_layout_json(const Wire__Point *p, json_t *point);

#endif /* SERVER_CLI_CLI_H */
