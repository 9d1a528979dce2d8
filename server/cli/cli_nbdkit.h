/*
 * cli_nbdkit.h - an nbdkit of our own that serves a point while a command runs.
 *
 * nbdkit is a child of this process and ends with it, however that ends; it removes
 * its socket itself.
 */
#ifndef SERVER_CLI_CLI_NBDKIT_H
#define SERVER_CLI_CLI_NBDKIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/tls/cert.h"

struct cli;
struct err;
struct stop;

#define CLI_VOLUME_MAX 64 /* Names of volumes and disks, with the NUL. */
#define CLI_SOCKET_MAX 100

/* What of a point: "HOST[/NUMBER][:VOLUME[/PATH]]". */
struct cli_part {
	char host[CERT_NAME_MAX];
	uint64_t sequence;	     /* 0: the newest. */
	char volume[CLI_VOLUME_MAX]; /* "": the only one. */
	const char *path;	     /* In the text; with its slash, or "". */
	const char *disk;	     /* NULL: none is meant. */
};

int cli_part_parse(const char *text, struct cli_part *out, struct err *err);

struct cli_nbdkit_job {
	struct cli *c;
	struct cli_part part;
	int all;	    /* All volumes and disks, by the export's name. */
	int whole;	    /* Nothing is named: the only disk, else the only volume. */
	const char *socket; /* NULL: in a directory of its own. */
	const char *listen; /* HOST:PORT instead, with TLS. */
	const char *tls_certificates, *tls_psk; /* A directory; a file. */
	uint64_t retry_s;			/* 0: the default. */
	uint64_t cache_mb;			/* 0: the default. */
};

struct cli_nbdkit {
	pid_t pid;
	char socket[CLI_SOCKET_MAX]; /* Or "". */
	int own_dir;		     /* Its directory is ours, and goes with it. */
	char fs[16];		     /* Of the volume. */
};

/*
 * Open the point to see that all is there, fix its number in job->part, and start
 * nbdkit; returns once clients are served.  From the main thread.
 */
int cli_nbdkit_start(struct cli_nbdkit_job *job, struct cli_nbdkit *out, struct err *err);

/* End it and wait for it. */
void cli_nbdkit_stop(struct cli_nbdkit *n);

/*
 * Run a program from PATH as a child that ends with us, what it prints going to
 * standard error; its id, or -1.
 */
pid_t cli_spawn(char *const argv[], struct err *err);

/* A new directory of ours for sockets and mounts: "<runtime directory>/<name>-XXXXXX". */
int cli_private_dir(const char *name, char out[CLI_SOCKET_MAX], struct err *err);

/* Wait for a child: its exit status, 128 and more for a signal. */
int cli_reap(pid_t pid);

/*
 * A program or module of ours: beside this program, or where packages put it.
 * ERR_NOTFOUND.
 */
int cli_companion(const char *name, char *out, size_t cap, struct err *err);

#endif /* SERVER_CLI_CLI_NBDKIT_H */
