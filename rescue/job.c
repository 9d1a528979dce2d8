#include "rescue/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/host/stop.h"
#include "agent/session/reading.h"
#include "proto/base/err.h"
#include "rescue/job_parts.h"

#define LINE_MAX_LEN 400u

void
job_say(struct job *j, const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	j->c.front.say(j->c.front.arg, line);
}

/* ------------------------------------------------------------------- machine -- */

/*
 * What the machine is known by after a power cut: the mainboard's UUID, else the first
 * network card's address.
 */
static int
machine_hash(const struct job *j, uint8_t out[STATE_HASH_LEN], struct err *err)
{
	const struct options *o = j->c.options;
	const struct machine *m = &j->machine;
	char path[MACHINE_PATH_MAX];
	unsigned i;
	FILE *f;
	int rc;

	if (o->machine_id != NULL)
		return state_machine(o->machine_id, out, err);
	if (m->uuid[0] != '\0') {
		snprintf(path, sizeof(path), "%s/" MACHINE_UUID_PATH, o->sys);
		return state_machine(path, out, err);
	}
	if (m->macs_count == 0)
		return err_set(err, ERR_NOTFOUND,
		    "this machine has neither a UUID nor a network card");
	if ((f = tmpfile()) == NULL)
		return err_set(err, ERR_IO, "no place for a temporary file");
	for (i = 0; i < sizeof(m->macs[0]); i++)
		fprintf(f, "%02x", m->macs[0][i]);
	fflush(f);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(f));
	rc = state_machine(path, out, err);
	fclose(f);
	return rc;
}

int
job_new(const struct job_config *config, struct job **out, struct err *err)
{
	struct redeem_options o;
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	j->c = *config;
	match_clear(&j->match);
	memset(&o, 0, sizeof(o));
	if (job_look(j, err) != 0 || machine_hash(j, o.machine, err) != 0)
		goto fail;
	o.server = config->server;
	o.ca_path = config->options->ca;
	o.token = config->token;
	o.macs = (const uint8_t(*)[REDEEM_MAC_LEN])j->machine.macs;
	o.macs_count = j->machine.macs_count;
	o.stop = config->stop;
	if (redeem_new(&o, &j->redeem, err) != 0)
		goto fail;
	*out = j;
	return 0;
fail:
	job_free(j);
	return -1;
}

void
job_free(struct job *j)
{
	if (j == NULL)
		return;
	redeem_free(j->redeem);
	free(j->point);
	free(j);
}

const struct redeem_facts *
job_facts(const struct job *j)
{
	return &j->facts;
}

/* ------------------------------------------------------------------- server -- */

int
job_wait(struct job *j, unsigned n, const struct err *why, struct err *err)
{
	if (n == 0)
		job_say(j, "waiting for the server: %s", why->text);
	if (stop_wait_ms(j->c.stop, dial_backoff_ms(n)))
		return err_set(err, ERR_CANCELED, "interrupted");
	return 0;
}

int
job_enter(struct job *j, struct err *err)
{
	struct err why = ERR_INIT;
	unsigned n;

	for (n = 0;; n++) {
		if (redeem_begin(j->redeem, j->c.front.waits, j->c.front.arg, &j->facts,
			&why) == 0)
			return 0;
		if (!dial_may_retry(&why)) {
			*err = why;
			return -1;
		}
		if (job_wait(j, n, &why, err) != 0)
			return -1;
		err_clear(&why);
	}
}

int
job_over_session(struct job *j,
    int (*work)(struct job *j, struct dial *d, void *arg, struct err *err), void *arg,
    struct err *err)
{
	struct err why = ERR_INIT;
	struct dial d;
	unsigned n;
	int rc;

	for (n = 0;; n++) {
		rc = redeem_dial(j->redeem, &d, &why);
		if (rc == 0) {
			rc = work(j, &d, arg, &why);
			dial_close(&d);
		}
		if (rc == 0)
			return 0;
		if (!dial_may_retry(&why)) {
			*err = why;
			return -1;
		}
		if (job_wait(j, n, &why, err) != 0)
			return -1;
		err_clear(&why);
	}
}

struct listing {
	int (*each)(void *arg, const Wire__Point *p);
	void *arg;
};

static int
list(struct job *j, struct dial *d, void *arg, struct err *err)
{
	const struct listing *l = arg;

	(void)j;
	return reading_points(d->ch, "", 0, l->each, l->arg, err) < 0 ? -1 : 0;
}

int
job_points(struct job *j, int (*each)(void *arg, const Wire__Point *p), void *arg,
    struct err *err)
{
	struct listing l = { each, arg };

	return job_over_session(j, list, &l, err);
}

static int
find(struct job *j, struct dial *d, void *arg, struct err *err)
{
	return disk_restore_find(d->ch, "", *(uint64_t *)arg, j->point, err);
}

int
job_choose(struct job *j, uint64_t sequence, struct err *err)
{
	if (sequence == 0)
		sequence = j->c.cmdline->sequence;
	if (sequence == 0)
		sequence = j->facts.sequence;
	if (j->point == NULL && (j->point = calloc(1, sizeof(*j->point))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	match_clear(&j->match);
	if (job_over_session(j, find, &sequence, err) == 0)
		return 0;
	free(j->point);
	j->point = NULL;
	return -1;
}

const struct disk_restore_point *
job_point(const struct job *j)
{
	return j->point;
}
