#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/host_facts.h"
#include "proto/base/err.h"
#include "rescue/fit.h"
#include "rescue/job.h"
#include "rescue/job_parts.h"

/* The chip, without the board that it sits on: up to "sv" of a PCI device's name. */
static int
same_device(const struct layout_device *a, const struct layout_device *b)
{
	const char *end = strstr(a->modalias, "sv");
	size_t n = end == NULL ? strlen(a->modalias) + 1 : (size_t)(end - a->modalias);

	return strncmp(a->modalias, b->modalias, n) == 0;
}

/* Has this machine a storage controller that the point's machine had not? */
static int
is_dissimilar(const struct layout *here, const struct layout *there)
{
	unsigned i, k;

	for (i = 0; i < here->devices_count && there->devices_count > 0; i++) {
		if (here->devices[i].kind != LAYOUT_STORAGE)
			continue;
		for (k = 0; k < there->devices_count; k++)
			if (same_device(&here->devices[i], &there->devices[k]))
				break;
		if (k == there->devices_count)
			return 1;
	}
	return 0;
}

static int
make_fit(struct job *j, const struct layout *here, struct job_target *t, struct err *err)
{
	const struct cmdline *c = j->c.cmdline;
	struct fit_config config = { .dial = redeem_dial,
		.dial_arg = j->redeem,
		.host = "",
		.sequence = j->point->sequence,
		.layout = &j->point->layout,
		.disk = t->disk,
		.flags = (c->extend ? FIT_EXTEND : 0) | (c->shrink ? FIT_SHRINK : 0) |
			 (c->adapt ? FIT_ADAPT : 0),
		.devices = here->devices,
		.devices_count = here->devices_count,
		.say = j->c.front.say,
		.say_arg = j->c.front.arg,
		.stop = j->c.stop };

	if (c->adapt || is_dissimilar(here, &j->point->layout))
		config.flags |= FIT_REPORT;
	return fit_new(&config, &t->fit, err);
}

/* The plan, now with the exact sizes to which file systems can shrink. */
static int
plan_disk(struct job *j, const struct layout *here, struct job_target *t,
    const struct machine_disk *target, struct err *err)
{
	struct disk_plan_wish wish;
	struct err why = ERR_INIT;
	unsigned n;

	if ((t->plan = malloc(sizeof(*t->plan))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (make_fit(j, here, t, err) != 0)
		return -1;
	for (n = 0;; n++) {
		memset(&wish, 0, sizeof(wish));
		wish.size = target->size;
		wish.sector_size = target->sector_size;
		if (fit_wish(t->fit, &wish, &why) == 0)
			break;
		if (!dial_may_retry(&why)) {
			*err = why;
			return -1;
		}
		if (job_wait(j, n, &why, err) != 0)
			return -1;
		err_clear(&why);
	}
	return disk_plan_make(&j->point->layout, t->disk, &wish, t->plan, NULL, err);
}

void
job_plan_free(struct job_targets *t)
{
	unsigned i;

	for (i = 0; i < t->count; i++) {
		fit_free(t->at[i].fit);
		free(t->at[i].plan);
	}
	free(t->here);
	memset(t, 0, sizeof(*t));
}

int
job_plan(struct job *j, struct job_targets *t, struct err *err)
{
	unsigned i;

	if ((t->here = calloc(1, sizeof(*t->here))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	host_facts_read(j->c.options->sys, t->here);
	for (i = 0; i < j->point->layout.disks_count; i++) {
		struct job_target *at = &t->at[t->count];
		const struct machine_disk *d;

		if (j->match.to[i] < 0)
			continue;
		d = &j->machine.disks[j->match.to[i]];
		t->count++;
		at->disk = i;
		snprintf(
		    at->device, sizeof(at->device), "%s/%s", j->c.options->dev, d->name);
		if (plan_disk(j, t->here, at, d, err) != 0)
			return err_context(err, "%s", at->device);
	}
	if (t->count == 0)
		return err_set(err, ERR_NOTFOUND, "no disk was chosen");
	return 0;
}
