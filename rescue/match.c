#include "rescue/match.h"

#include <stdio.h>
#include <string.h>

#include "agent/host/progress.h"
#include "proto/base/err.h"

/* What is known while a match is sought. */
struct search {
	const struct layout *l;
	const struct machine *machine;
	match_fits *fits;
	void *fits_arg;
	void (*say)(void *arg, const char *line);
	void *say_arg;
	struct match *out;
	int taken[MACHINE_DISKS_MAX];
};

const char *
match_words(enum match_why why)
{
	static const char *const words[] = { "not matched", "same serial",
		"same size and model", "same size", "the only one that fits", "named" };

	return words[why];
}

void
match_clear(struct match *m)
{
	unsigned i;

	for (i = 0; i < LAYOUT_DISKS_MAX; i++) {
		m->to[i] = -1;
		m->why[i] = MATCH_NOT;
	}
}

/* May `d` be written at all?  What is carried about only if its serial says so. */
static int
may_take(const struct search *s, unsigned disk, const struct machine_disk *d,
    int removable, char why[MATCH_TEXT_MAX])
{
	if (d->medium)
		snprintf(why, MATCH_TEXT_MAX, "the rescue system came from it");
	else if (d->readonly)
		snprintf(why, MATCH_TEXT_MAX, "read-only");
	else if (d->removable && !removable)
		snprintf(why, MATCH_TEXT_MAX, "removable: only if it is named");
	else if (strcmp(d->bus, "usb") == 0 && !removable)
		snprintf(why, MATCH_TEXT_MAX, "on USB: only if it is named");
	else
		return s->fits(s->fits_arg, disk, d, why);
	return 0;
}

static void
take(struct search *s, unsigned disk, unsigned target, enum match_why why)
{
	s->out->to[disk] = (int)target;
	s->out->why[disk] = why;
	s->taken[target] = 1;
}

/* Says the line and is -1 with it as the reason. */
static int
refuse(struct search *s, enum err_code code, const char *line, struct err *err)
{
	if (s->say != NULL)
		s->say(s->say_arg, line);
	return err_set(err, code, "%s", line);
}

/* ------------------------------------------------------------------- serial -- */

/* Disks of the point with this serial. */
static unsigned
sharing(const struct layout *l, const char *serial)
{
	unsigned i, n = 0;

	for (i = 0; i < l->disks_count; i++)
		n += strcmp(l->disks[i].serial, serial) == 0;
	return n;
}

static int
by_serial(struct search *s, unsigned disk, struct err *err)
{
	const struct layout_disk *want = &s->l->disks[disk];
	char why[MATCH_TEXT_MAX], line[2 * MATCH_TEXT_MAX];
	unsigned i;
	int found = -1;

	if (want->serial[0] == '\0' || sharing(s->l, want->serial) > 1)
		return 0;
	for (i = 0; i < s->machine->disks_count; i++) {
		const struct machine_disk *d = &s->machine->disks[i];

		if (strcmp(d->serial, want->serial) != 0)
			continue;
		if (found >= 0) {
			snprintf(line, sizeof(line),
			    "%s: %s and %s both have its serial %s (two paths to one "
			    "disk?): name one",
			    want->name, s->machine->disks[found].name, d->name,
			    d->serial);
			return refuse(s, ERR_EXISTS, line, err);
		}
		found = (int)i;
	}
	if (found < 0)
		return 0;
	if (!may_take(s, disk, &s->machine->disks[found], 1, why)) {
		snprintf(line, sizeof(line), "%s: %s has its serial, but: %s", want->name,
		    s->machine->disks[found].name, why);
		return refuse(s, ERR_NOTFOUND, line, err);
	}
	take(s, disk, (unsigned)found, MATCH_SERIAL);
	return 0;
}

/* --------------------------------------------------------------------- size -- */

static int
alike(const struct layout_disk *a, const char *model, uint64_t size, int by_model)
{
	return a->size == size &&
	       (!by_model || (model[0] != '\0' && strcmp(a->model, model) == 0));
}

/* Open disks of the point that a disk like `like` could stand for. */
static unsigned
rivals(const struct search *s, const struct layout_disk *like, int by_model)
{
	unsigned i, n = 0;

	for (i = 0; i < s->l->disks_count; i++)
		n += s->out->to[i] < 0 &&
		     alike(&s->l->disks[i], like->model, like->size, by_model);
	return n;
}

static void
by_size(struct search *s, unsigned disk, int by_model)
{
	const struct layout_disk *want = &s->l->disks[disk];
	char why[MATCH_TEXT_MAX];
	unsigned i, n = 0, last = 0;

	if (s->out->to[disk] >= 0 || rivals(s, want, by_model) != 1)
		return;
	for (i = 0; i < s->machine->disks_count; i++) {
		const struct machine_disk *d = &s->machine->disks[i];

		if (!s->taken[i] && alike(want, d->model, d->size, by_model) &&
		    may_take(s, disk, d, 0, why)) {
			last = i;
			n++;
		}
	}
	if (n == 1)
		take(s, disk, last, by_model ? MATCH_SIZE_MODEL : MATCH_SIZE);
}

/* -------------------------------------------------------------- the only one -- */

static unsigned
candidates(const struct search *s, unsigned disk, unsigned *last)
{
	char why[MATCH_TEXT_MAX];
	unsigned i, n = 0;

	for (i = 0; i < s->machine->disks_count; i++)
		if (!s->taken[i] && may_take(s, disk, &s->machine->disks[i], 0, why)) {
			*last = i;
			n++;
		}
	return n;
}

/*
 * Where there is one way to place them all, a disk with one candidate is always
 * among those still open; so taking these, again and again, finds it.
 */
static void
by_lack_of_choice(struct search *s)
{
	unsigned disk, last = 0;
	int again = 1;

	while (again) {
		again = 0;
		for (disk = 0; disk < s->l->disks_count; disk++)
			if (s->out->to[disk] < 0 && candidates(s, disk, &last) == 1) {
				take(s, disk, last, MATCH_ONLY);
				again = 1;
			}
	}
}

/* -------------------------------------------------------------------- whole -- */

static void
say_why(struct search *s, unsigned disk)
{
	const struct layout_disk *want = &s->l->disks[disk];
	char line[2 * MATCH_TEXT_MAX], why[MATCH_TEXT_MAX], size[24];
	unsigned i;

	if (s->say == NULL)
		return;
	progress_bytes(want->size, size);
	snprintf(line, sizeof(line), "%s (%s%s%s) has no place:", want->name, size,
	    want->serial[0] != '\0' ? ", serial " : "", want->serial);
	s->say(s->say_arg, line);
	for (i = 0; i < s->machine->disks_count; i++) {
		const struct machine_disk *d = &s->machine->disks[i];

		if (may_take(s, disk, d, 0, why))
			snprintf(why, sizeof(why), "%s",
			    s->taken[i] ? "taken by another disk of the point"
					: "would do, but so would another");
		progress_bytes(d->size, size);
		snprintf(line, sizeof(line), "  %s (%s%s%s): %s", d->name, size,
		    d->serial[0] != '\0' ? ", serial " : "", d->serial, why);
		s->say(s->say_arg, line);
	}
	if (s->machine->disks_count == 0)
		s->say(s->say_arg, "  this machine shows no disk at all");
}

static int
judge(struct search *s, struct err *err)
{
	unsigned disk, last, open = 0, first = 0, choice = 0;

	for (disk = 0; disk < s->l->disks_count; disk++) {
		if (s->out->to[disk] >= 0)
			continue;
		say_why(s, disk);
		if (open++ == 0)
			first = disk;
		if (candidates(s, disk, &last) > 1)
			choice = 1;
	}
	if (open == 0)
		return 0;
	if (choice)
		return err_set(err, ERR_EXISTS,
		    "more than one disk would do for %s: name it by "
		    "holdfast.disk=%s=/dev/...",
		    s->l->disks[first].name, s->l->disks[first].name);
	return err_set(err, ERR_NOTFOUND, "no disk of this machine can take %s",
	    s->l->disks[first].name);
}

int
match_find(const struct layout *l, const struct machine *machine, match_fits *fits,
    void *fits_arg, void (*say)(void *arg, const char *line), void *say_arg,
    struct match *out, struct err *err)
{
	struct search s = { l, machine, fits, fits_arg, say, say_arg, out, { 0 } };
	unsigned disk;
	int by_model;

	match_clear(out);
	for (disk = 0; disk < l->disks_count; disk++)
		if (by_serial(&s, disk, err) != 0)
			return -1;
	for (by_model = 1; by_model >= 0; by_model--)
		for (disk = 0; disk < l->disks_count; disk++)
			by_size(&s, disk, by_model);
	by_lack_of_choice(&s);
	return judge(&s, err);
}

int
match_name(const struct layout *l, const struct machine *machine, match_fits *fits,
    void *fits_arg, const char *name, const char *device, struct match *m,
    struct err *err)
{
	struct search s = { l, machine, fits, fits_arg, NULL, NULL, m, { 0 } };
	const struct layout_disk *want = layout_disk_find(l, name);
	int target = machine_find(machine, device);
	char why[MATCH_TEXT_MAX];
	unsigned disk, i;

	if (want == NULL)
		return err_set(err, ERR_NOTFOUND, "the point has no disk '%.60s'", name);
	if (target < 0)
		return err_set(
		    err, ERR_NOTFOUND, "this machine has no disk '%.60s'", device);
	disk = (unsigned)(want - l->disks);
	for (i = 0; i < l->disks_count; i++)
		if (i != disk && m->to[i] == target)
			return err_set(err, ERR_EXISTS, "%s is to take %s already",
			    device, l->disks[i].name);
	if (!may_take(&s, disk, &machine->disks[target], 1, why))
		return err_set(err, ERR_UNSUPPORTED, "%s cannot take %s: %s", device,
		    want->name, why);
	m->to[disk] = target;
	m->why[disk] = MATCH_NAMED;
	return 0;
}
