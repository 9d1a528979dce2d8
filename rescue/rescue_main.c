/* holdfast-rescue: see options_help(). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "rescue/cmdline.h"
#include "rescue/console.h"
#include "rescue/options.h"
#include "rescue/ui.h"

/*
 * The init does what it says.  We do not: on a system that is no rescue image nothing
 * is to be powered off.
 */
#define STATUS_POWEROFF 4

static int
read_cmdline(const char *path, struct cmdline *out, struct err *err)
{
	char text[CMDLINE_LEN_MAX + 1];
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL)
		return err_os(err, errno, "%s", path);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	if (cmdline_parse(text, n, out, err) != 0)
		return err_context(err, "%s", path);
	return 0;
}

/* One line of text, without blanks at its end; "" if there is none. */
static void
read_server(const char *path, char out[CMDLINE_ADDRESS_MAX])
{
	FILE *f = fopen(path, "r");

	out[0] = '\0';
	if (f == NULL)
		return;
	if (fgets(out, CMDLINE_ADDRESS_MAX, f) == NULL)
		out[0] = '\0';
	fclose(f);
	out[strcspn(out, " \t\r\n")] = '\0';
}

static int
unattended(const struct job_config *config)
{
	static const char *const ends[] = { "rebooting", "powering off", "done" };

	if (config->server[0] == '\0') {
		console_say("failed: no server: say holdfast.server=HOST:PORT");
		return 1;
	}
	if (console_run(config) != 0)
		return 1;
	/* The init does it, by the same word of the command line. */
	console_say(ends[config->cmdline->end]);
	return 0;
}

/* The init asks what next after anything but 0. */
static int
interactive(const struct options *o, const struct cmdline *c, struct err *err)
{
	enum ui_end end;

	if (ui_run(o, c, &end, err) != 0)
		return -1;
	if (end == UI_END_RESTORED) {
		console_say("restored");
		console_say("rebooting");
		return 0;
	}
	if (end == UI_END_POWEROFF) {
		console_say("restored");
		console_say("powering off");
		return STATUS_POWEROFF;
	}
	return 3;
}

static int
work(const struct options *o, struct err *err)
{
	struct cmdline *c = malloc(sizeof(*c));
	char server[CMDLINE_ADDRESS_MAX], line[128];
	struct job_config config = { .options = o };
	int rc = -1;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (read_cmdline(o->cmdline, c, err) == 0) {
		if (c->unknown[0] != '\0') {
			snprintf(line, sizeof(line), "nobody knows holdfast.%s: ignored",
			    c->unknown);
			console_say(line);
		}
		if (c->server[0] == '\0')
			read_server(o->server, c->server);
		memcpy(server, c->server, sizeof(server));
		config.cmdline = c;
		config.server = server;
		config.token = c->token[0] != '\0' ? c->token : NULL;
		rc = c->unattended ? unattended(&config) : interactive(o, c, err);
	}
	free(c);
	return rc;
}

int
main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	char line[ERR_TEXT_MAX + 16];
	struct options o;
	int rc;

	if (options_parse(argc, argv, &o, &err) != 0) {
		fprintf(stderr, "holdfast-rescue: %s\n", err.text);
		return 2;
	}
	if (o.help) {
		fputs(options_help(), stdout);
		return 0;
	}
	if (o.version) {
		puts("holdfast-rescue " HOLDFAST_VERSION);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	if ((rc = work(&o, &err)) >= 0)
		return rc;
	snprintf(line, sizeof(line), "failed: %s", err.text);
	console_say(line);
	return 2;
}
