#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "rescue/boot.h"
#include "rescue/job.h"
#include "rescue/job_parts.h"

#define DISKS_STEP_MS 1000u

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

/*
 * To choose a disk it is enough that the data would fit; how far the file system can
 * really shrink takes a look at all of it, and is asked before anything is written.
 */
static void
hope(const struct job *j, struct disk_plan_wish *wish)
{
	const struct layout *l = &j->point->layout;
	unsigned i;

	for (i = 0; i < l->partitions_count; i++) {
		const struct layout_partition *p = &l->partitions[i];
		const struct disk_restore_volume *v;

		if (p->volume >= j->point->volumes)
			continue;
		v = &j->point->volume[p->volume];
		if (strcmp(v->fs, "ntfs") == 0 && v->data_bytes < p->length)
			wish->smallest[i] = (v->data_bytes + 4095) / 4096 * 4096;
	}
}

static int
plan_roughly(const struct job *j, unsigned disk, const struct machine_disk *target,
    struct disk_plan *out, uint64_t *missing, struct err *err)
{
	struct disk_plan_wish wish;

	memset(&wish, 0, sizeof(wish));
	wish.size = target->size;
	wish.sector_size = target->sector_size;
	wish.flags = (j->c.cmdline->extend ? DISK_PLAN_EXTEND : 0) |
		     (j->c.cmdline->shrink ? DISK_PLAN_SHRINK : 0);
	if (j->c.cmdline->shrink)
		hope(j, &wish);
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
	rc = plan_roughly(job, disk, target, plan, &missing, &err);
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

/* A match by what it says of disks, whose indices change when others come. */
struct choice {
	struct {
		enum match_why why;
		char name[MACHINE_NAME_MAX];
		uint64_t sequence;
	} of[LAYOUT_DISKS_MAX];
};

/*
 * A disk that has no rival may get one: what is matched by anything less than a
 * serial must be matched alike a while later.
 */
static int
is_settled(const struct job *j, struct choice *before)
{
	struct choice now;
	unsigned i;
	int alike;

	memset(&now, 0, sizeof(now));
	for (i = 0; i < j->point->layout.disks_count; i++) {
		if (j->match.to[i] < 0)
			continue;
		now.of[i].why = j->match.why[i];
		strcpy(now.of[i].name, j->machine.disks[j->match.to[i]].name);
		now.of[i].sequence = j->machine.disks[j->match.to[i]].sequence;
	}
	alike = memcmp(before, &now, sizeof(now)) == 0;
	memcpy(before, &now, sizeof(now));
	return alike || is_certain(j);
}

int
job_match(struct job *j, struct err *err)
{
	unsigned long most = strtoul(j->c.options->disks_wait, NULL, 10) * 1000;
	struct choice before;
	unsigned long ms;

	memset(&before, 0, sizeof(before));
	for (ms = 0;; ms += DISKS_STEP_MS) {
		int last = ms >= most, rc = match(j, last, err);

		if (rc == 0 && is_settled(j, &before))
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
