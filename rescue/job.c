#include "rescue/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/reading.h"
#include "agent/stop.h"
#include "proto/base/err.h"
#include "rescue/boot.h"
#include "rescue/job_parts.h"

#define LINE_MAX_LEN 400u
#define DISKS_STEP_MS 1000u

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
 * The mainboard's UUID; some have none, or one that the maker gave to all: then
 * the network cards' addresses tell machines apart.
 */
static int
machine_hash(const struct job *j, uint8_t out[STATE_HASH_LEN], struct err *err)
{
	const struct machine *m = &j->machine;
	char path[64];
	FILE *f;
	int rc;

	if (j->c.options->machine_id != NULL)
		return state_machine(j->c.options->machine_id, out, err);
	if (state_machine(NULL, out, err) == 0)
		return 0;
	if (err->code != ERR_NOTFOUND || m->macs_count == 0)
		return -1;
	err_clear(err);
	if ((f = tmpfile()) == NULL)
		return err_set(err, ERR_IO, "no place for a temporary file");
	fwrite(m->macs, sizeof(m->macs[0]), m->macs_count, f);
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

void
job_code(const struct job *j, char code[RESTORE_CODE_TEXT_MAX])
{
	redeem_code(j->redeem, code);
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

/* -------------------------------------------------------------------- disks -- */

int
job_look(struct job *j, struct err *err)
{
	struct machine *m = malloc(sizeof(*m));
	int rc;

	if (m == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	rc = machine_read(j->c.options->sys, j->c.options->dev, m, err);
	if (rc == 0) {
		j->machine = *m;
		match_clear(&j->match);
	}
	free(m);
	return rc;
}

const struct machine *
job_machine(const struct job *j)
{
	return &j->machine;
}

int
job_foreign(const struct job *j, char why[200])
{
	return boot_foreign(&j->point->layout, j->machine.uefi, why);
}

int
job_plan(const struct job *j, unsigned disk, const struct machine_disk *target,
    struct disk_plan *out, uint64_t *missing, struct err *err)
{
	struct disk_plan_wish wish;

	memset(&wish, 0, sizeof(wish));
	wish.size = target->size;
	wish.sector_size = target->sector_size;
	wish.flags = (j->c.cmdline->extend ? DISK_PLAN_EXTEND : 0) |
		     (j->c.cmdline->shrink ? DISK_PLAN_SHRINK : 0);
	return disk_plan_make(&j->point->layout, disk, &wish, out, missing, err);
}

int
job_fits(
    void *job, unsigned disk, const struct machine_disk *target, char why[MATCH_TEXT_MAX])
{
	struct disk_plan *plan = malloc(sizeof(*plan));
	struct err err = ERR_INIT;
	uint64_t missing = 0;
	int rc;

	if (plan == NULL) {
		snprintf(why, MATCH_TEXT_MAX, "out of memory");
		return 0;
	}
	rc = job_plan(job, disk, target, plan, &missing, &err);
	if (rc != 0)
		snprintf(why, MATCH_TEXT_MAX, "%.180s", err.text);
	free(plan);
	return rc == 0;
}

/* The command line's maps. */
static int
take_maps(struct job *j, struct err *err)
{
	unsigned i;

	for (i = 0; i < j->c.cmdline->maps_count; i++)
		if (job_map(j, j->c.cmdline->maps[i].name, j->c.cmdline->maps[i].device,
			err) != 0)
			return -1;
	return 0;
}

static int
match(struct job *j, int aloud, struct err *err)
{
	if (j->c.cmdline->maps_count > 0)
		return take_maps(j, err);
	return match_find(&j->point->layout, &j->machine, job_fits, j,
	    aloud ? j->c.front.say : NULL, j->c.front.arg, &j->match, err);
}

/* Non-zero if each disk is the very one it was. */
static int
is_certain(const struct job *j)
{
	unsigned i;

	for (i = 0; i < j->point->layout.disks_count; i++)
		if (j->match.to[i] >= 0 && j->match.why[i] != MATCH_SERIAL &&
		    j->match.why[i] != MATCH_NAMED)
			return 0;
	return 1;
}

/*
 * A disk that has no rival may get one: what is matched by anything less than a
 * serial must be matched alike a while later.
 */
static int
is_settled(struct job *j, struct match *before)
{
	int alike = memcmp(before, &j->match, sizeof(*before)) == 0;

	*before = j->match;
	return alike || is_certain(j);
}

int
job_match(struct job *j, struct err *err)
{
	unsigned long most = strtoul(j->c.options->disks_wait, NULL, 10) * 1000;
	struct match before;
	unsigned long ms;

	match_clear(&before);
	for (ms = 0;; ms += DISKS_STEP_MS) {
		int last = ms >= most, rc = match(j, last, err);

		if (rc == 0 && (last || is_settled(j, &before)))
			return 0;
		if (rc != 0 && last)
			return -1;
		if (rc != 0 && err->code != ERR_NOTFOUND) {
			err_clear(err);
			return match(j, 1, err); /* The same, aloud. */
		}
		if (rc != 0 && ms == 0)
			job_say(j, "%s; more disks may come", err->text);
		err_clear(err);
		if (stop_wait_ms(j->c.stop, DISKS_STEP_MS))
			return err_set(err, ERR_CANCELED, "interrupted");
		if (job_look(j, err) != 0)
			return -1;
	}
}

int
job_propose(struct job *j, struct err *err)
{
	return match(j, 0, err);
}

int
job_map(struct job *j, const char *name, const char *device, struct err *err)
{
	const struct layout_disk *d;

	if (device != NULL)
		return match_name(&j->point->layout, &j->machine, job_fits, j, name,
		    device, &j->match, err);
	if ((d = layout_disk_find(&j->point->layout, name)) == NULL)
		return err_set(err, ERR_NOTFOUND, "the point has no disk '%.60s'", name);
	j->match.to[d - j->point->layout.disks] = -1;
	j->match.why[d - j->point->layout.disks] = MATCH_NOT;
	return 0;
}

const struct match *
job_matched(const struct job *j)
{
	return &j->match;
}
