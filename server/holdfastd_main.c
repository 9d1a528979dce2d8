/*
 * holdfastd - the server.  Here are only the command line, signals and the
 * log; what it does is server.h's.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/base/log.h"
#include "server/config.h"
#include "server/ready.h"
#include "server/server.h"
#include "storage/store.h"
#include "storage/store_escrow.h"

#define CONFIG_DEFAULT "/etc/holdfast/holdfastd.conf"

/*
 * Rounds of 2 MiB are filled by one thread and freed by another: left to itself,
 * malloc keeps them in an arena of each, twice and thrice what is in use.
 */
#define ARENAS 2
#define MAPPED_FROM (1 << 20)
#define TRIMMED_FROM (4 << 20)

static int
help(void)
{
	(void)fputs(
	    "usage: holdfastd [--config FILE] [--check-config]\n"
	    "\n"
	    "The Holdfast backup server.  Runs in the foreground, logs to standard "
	    "error.\n"
	    "\n"
	    "  --config FILE    default " CONFIG_DEFAULT "\n"
	    "  --check-config   say what is wrong with it, or every key's value, and "
	    "exit\n"
	    "  --version\n"
	    "  --help\n"
	    "\n"
	    "SIGTERM, SIGINT: finish requests in hand and stop.  SIGHUP: read the\n"
	    "configuration again.  `holdfast init DIR` makes a store and a "
	    "configuration.\n",
	    stdout);
	return 0;
}

/* Read and parse the file, whole. */
static int
load(const char *path, struct config *out, struct err *err)
{
	char *text = malloc(CONFIG_TEXT_MAX + 1);
	FILE *f = NULL;
	size_t n = 0;
	int rc = -1;

	if (text == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for the configuration");
	} else if ((f = fopen(path, "r")) == NULL) {
		(void)err_os(err, errno, "%.150s", path);
	} else {
		n = fread(text, 1, CONFIG_TEXT_MAX + 1, f);
		rc = ferror(f) ? err_os(err, errno, "%.150s", path)
			       : config_parse(path, text, n, out, err);
	}
	if (f != NULL)
		(void)fclose(f);
	free(text);
	return rc;
}

static void
print_key(void *arg, const char *key, const char *value, const char *meaning)
{
	(void)arg;
	(void)printf("%s = %s\n\t; %s\n", key, value, meaning);
}

static void
reload(struct server *server, const char *path, struct config *now)
{
	struct config *then = calloc(1, sizeof(*then));
	struct err err = ERR_INIT;
	const char *key;

	if (then == NULL || load(path, then, &err) != 0) {
		log_event(LOG_ERROR, "reload: %s; nothing changed",
		    then == NULL ? "no memory" : err.text);
		free(then);
		return;
	}
	key = config_needs_restart(now, then);
	if (key != NULL)
		log_event(LOG_WARN, "reload: %s changes only with a restart", key);
	log_setup(then->log_level, then->log_format);
	server_reload(server, then);
	log_event(LOG_INFO, "reload: done");
	free(then);
}

/* Until it was done: nobody thinks of it on the day when it is needed. */
static void
remind(struct store *s)
{
	struct store_escrow escrow;
	struct err err = ERR_INIT;

	if (store_escrow_last(s, &escrow, &err) != 0)
		log_event(LOG_ERROR, "%s", err.text);
	else if (escrow.time_us == 0)
		log_event(LOG_WARN,
		    "the store's keys were never exported: without them it is lost "
		    "(`holdfast keys export`)");
}

static int
run(const char *path, struct config *config)
{
	struct server *server;
	struct err err = ERR_INIT;
	sigset_t set;
	int sig = 0;

	(void)mallopt(M_ARENA_MAX, ARENAS);
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
	(void)mallopt(M_TRIM_THRESHOLD, TRIMMED_FROM);

	/* Threads inherit the mask: only sigwait() below sees these. */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(077);

	if (server_start(config, &server, &err) != 0) {
		log_event(LOG_ERROR, "%s", err.text);
		return 1;
	}
	if (store_opened(server_store(server))[0] != '\0')
		log_event(LOG_WARN, "store: %s", store_opened(server_store(server)));
	remind(server_store(server));
	log_event(LOG_INFO, "listening on %s", server_address(server));
	if (config->ready_file[0] != '\0' &&
	    ready_write(config->ready_file, server_address(server), &err) != 0) {
		log_event(LOG_ERROR, "ready-file: %s", err.text);
		server_stop(server);
		return 1;
	}
	ready_notify("READY=1");
	while (sigwait(&set, &sig) == 0 && sig == SIGHUP) {
		ready_notify("RELOADING=1");
		reload(server, path, config);
		ready_notify("READY=1");
	}
	log_event(LOG_INFO, "stopping: %s", sig == SIGINT ? "SIGINT" : "SIGTERM");
	ready_notify("STOPPING=1");
	if (config->ready_file[0] != '\0')
		(void)unlink(config->ready_file);
	server_stop(server);
	log_event(LOG_INFO, "stopped");
	return 0;
}

int
main(int argc, char **argv)
{
	const char *path = CONFIG_DEFAULT;
	struct config *config = calloc(1, sizeof(*config));
	struct err err = ERR_INIT;
	int check = 0, rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
			path = argv[++i];
		} else if (strncmp(argv[i], "--config=", 9) == 0) {
			path = argv[i] + 9;
		} else if (strcmp(argv[i], "--check-config") == 0) {
			check = 1;
		} else if (strcmp(argv[i], "--version") == 0) {
			(void)puts("holdfastd " HOLDFAST_VERSION);
			free(config);
			return 0;
		} else if (strcmp(argv[i], "--help") == 0) {
			free(config);
			return help();
		} else {
			(void)fprintf(stderr, "holdfastd: %s: %s; try --help\n", argv[i],
			    strcmp(argv[i], "--config") == 0 ? "a file is missing"
							     : "no such option");
			free(config);
			return 2;
		}
	}
	if (config == NULL || load(path, config, &err) != 0) {
		(void)fprintf(
		    stderr, "holdfastd: %s\n", config == NULL ? "no memory" : err.text);
		free(config);
		return 1;
	}
	log_setup(config->log_level, config->log_format);
	rc = 0;
	if (check)
		config_each(config, print_key, NULL);
	else
		rc = run(path, config);
	free(config);
	return rc;
}
